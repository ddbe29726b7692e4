//! The list of keys in the documentation.

use std::fmt::Write as _;

use serde_json::Value;

use super::Key;

const BEGIN: &str = "<!-- keys: made of the types by a test -->\n";

/// The document, whose last part is made.
pub(super) fn completed(document: &str, schema: &Value) -> String {
    let (written, _) = document.split_once(BEGIN).unwrap();
    let (tables, plain): (Vec<_>, Vec<_>) =
        Key::all(schema, schema).into_iter().partition(|key| !key.below().is_empty());
    let mut text = format!("{written}{BEGIN}\n## Keys at the top\n\n{}", list(&plain));
    for table in tables {
        let header = if table.is_array() { format!("[[{}]]", table.name) } else { format!("[{}]", table.name) };
        write!(text, "\n## `{header}`\n\n{}\n\n{}", table.description(), list(&table.below())).unwrap();
    }
    text
}

fn list(keys: &[Key<'_>]) -> String {
    let mut text = "| key | default | example | meaning |\n|---|---|---|---|\n".to_owned();
    for key in keys {
        let quoted = |value: Option<String>| value.map(|value| format!("`{value}`")).unwrap_or_default();
        let words = key.words();
        let words: Vec<_> = words.iter().map(|(word, meaning)| format!("`\"{word}\"`: {meaning}")).collect();
        let words = if words.is_empty() { String::new() } else { format!("<br>{}", words.join("<br>")) };
        let meaning = format!("{}{words}", key.description()).replace('|', "\\|");
        let (default, example) = (quoted(key.default()), quoted(key.example()));
        writeln!(text, "| `{}` | {default} | {example} | {meaning} |", key.name).unwrap();
    }
    text
}
