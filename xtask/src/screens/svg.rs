//! A terminal's text as a picture.

use std::fmt::Write as _;

/// Pixels of a character.
const WIDTH: f64 = 8.0;
const HEIGHT: usize = 17;
/// Around the text.
const MARGIN: usize = 8;

/// A picture of a command and what it prints.
pub(super) fn picture(command: &str, text: &str) -> String {
    let lines: Vec<_> = [format!("host# {command}")].into_iter().chain(text.lines().map(str::to_owned)).collect();
    let columns = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
    let height = lines.len() * HEIGHT + 2 * MARGIN;
    let width = pixels(columns) + 2.0 * WIDTH;
    // Writing to a string does not fail.
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#16181d\"/>\n\
         <g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"13\" fill=\"#d5d9e0\" \
         xml:space=\"preserve\">\n"
    );
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
        // The foot of a letter is above the foot of its line.
        let (y, length) = (MARGIN + (number + 1) * HEIGHT - 4, pixels(line.chars().count()));
        let line = escaped(line);
        writeln!(picture, "<text x=\"{MARGIN}\" y=\"{y}\" textLength=\"{length}\">{line}</text>").ok();
    }
    picture.push_str("</g>\n</svg>\n");
    picture
}

/// Pixels of that many characters.
fn pixels(characters: usize) -> f64 {
    f64::from(u32::try_from(characters).unwrap_or(u32::MAX)) * WIDTH
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_each_line_and_room_for_it() {
        let picture = picture("netfwd list", "a <b> & c\n\nlast");
        assert!(picture.contains(">host# netfwd list</text>") && picture.contains(">a &lt;b&gt; &amp; c</text>"));
        assert!(picture.contains("viewBox=\"0 0 152 84\""), "{picture}");
        assert_eq!(picture.matches("<text ").count(), 3);
    }
}
