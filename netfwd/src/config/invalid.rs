//! What is wrong with a configuration, and where.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::check::Contradiction;

/// Words further apart are not meant for each other.
const NEAR: usize = 3;

/// What is wrong with a configuration, on one line; [`Invalid::excerpt`] shows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}:{column}: {message}")]
pub struct Invalid {
    /// The file.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
    excerpt: String,
}

impl Invalid {
    /// The lines, with marks below the place.
    #[must_use]
    pub fn excerpt(&self) -> &str {
        &self.excerpt
    }

    pub(super) fn of_toml(name: &str, text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or_default();
        Self::new(name, text, helpful(error.message()), span, None)
    }

    pub(super) fn of_contradiction(name: &str, text: &str, contradiction: Contradiction) -> Self {
        let Contradiction { message, first, second } = contradiction;
        Self::new(name, text, message, second, Some(first))
    }

    fn new(name: &str, text: &str, message: String, at: Range<usize>, first: Option<Range<usize>>) -> Self {
        let before = text.get(..at.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let excerpt = excerpt(text, at, first);
        Self { name: name.to_owned(), line: before.matches('\n').count() + 1, column, message, excerpt }
    }
}

fn excerpt(text: &str, at: Range<usize>, first: Option<Range<usize>>) -> String {
    let first = first.map(|span| AnnotationKind::Context.span(span).label("and this"));
    let snippet = Snippet::source(text).annotation(AnnotationKind::Primary.span(at)).annotations(first);
    Renderer::plain().render(&[Group::with_level(Level::ERROR).element(snippet)])
}

/// A message of serde's with the word that may have been meant.
fn helpful(message: &str) -> String {
    let words: Vec<_> = message.split('`').skip(1).step_by(2).collect();
    match (words.as_slice(), message.starts_with("unknown field"), message.starts_with("unknown variant")) {
        ([word, known @ ..], true, _) => {
            format!("unknown key `{word}`{}; there are {}", meant(word, known), known.join(", "))
        }
        ([word, known @ ..], _, true) => {
            format!("`{word}` is not possible{}; possible are {}", meant(word, known), known.join(", "))
        }
        ([word], ..) if message.starts_with("missing field") => format!("the key `{word}` is missing"),
        _ => message.to_owned(),
    }
}

fn meant(word: &str, known: &[&str]) -> String {
    let distances = known.iter().map(|name| (strsim::damerau_levenshtein(word, name), name));
    let nearest = distances.filter(|(distance, _)| *distance <= NEAR).min();
    nearest.map(|(_, name)| format!(" (is `{name}` meant?)")).unwrap_or_default()
}
