//! The sample: each key with its default in a comment, or with an example.

use std::fmt::Write as _;

use serde_json::Value;

use super::Key;

const WIDTH: usize = 100;
const HEAD: &str = "\
# The configuration of netfwd: `netfwd run --config FILE` brings it about and follows it, `netfwd apply FILE` brings it
# about once. Each key is here with its default or, where it has none, with an example; remove the `#` before it.
";

pub(super) fn text(schema: &Value) -> String {
    let mut text = HEAD.to_owned();
    for key in Key::all(schema, schema) {
        text.push('\n');
        add(&mut text, &key);
    }
    text
}

fn add(text: &mut String, key: &Key<'_>) {
    add_comment(text, &key.description());
    let below = key.below();
    if below.is_empty() {
        add_setting(text, key);
        return;
    }
    let header = if key.is_array() { format!("[[{}]]", key.name) } else { format!("[{}]", key.name) };
    writeln!(text, "#{header}").unwrap();
    for key in below {
        add_comment(text, &key.description());
        add_setting(text, &key);
    }
}

fn add_setting(text: &mut String, key: &Key<'_>) {
    for (word, meaning) in key.words() {
        writeln!(text, "#   \"{word}\": {meaning}").unwrap();
    }
    let value = key.default().or_else(|| key.example()).unwrap_or_else(|| panic!("{} has no example", key.name));
    writeln!(text, "#{} = {value}", key.name).unwrap();
}

fn add_comment(text: &mut String, comment: &str) {
    let mut line = "#".to_owned();
    for word in comment.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            writeln!(text, "{line}").unwrap();
            line = "#".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    writeln!(text, "{line}").unwrap();
}
