//! The files that are made of the types: the schema, the sample and the list of keys in the documentation.

mod document;
mod sample;

use std::{env, fmt::Write as _, fs, path::PathBuf};

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::{Config, parse};

/// Set, it writes the files instead of comparing them.
const BLESS: &str = "NETFWD_BLESS";

/// The schema, by which editors know the keys.
fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    schema.insert("title".to_owned(), "netfwd.toml".into());
    schema.into()
}

/// A key as the schema describes it.
#[derive(Clone, Copy)]
struct Key<'s> {
    root: &'s Value,
    name: &'s str,
    described: &'s Value,
}

impl<'s> Key<'s> {
    /// The keys of the table that `described` describes.
    fn all(root: &'s Value, described: &'s Value) -> Vec<Self> {
        let properties = resolved(root, described)["properties"].as_object();
        properties.into_iter().flatten().map(|(name, described)| Self { root, name, described }).collect()
    }

    fn description(&self) -> String {
        let text = self.described["description"].as_str();
        text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The keys below it, if it is a table or several.
    fn below(&self) -> Vec<Self> {
        let described = self.described.get("items").unwrap_or(self.described);
        Self::all(self.root, described)
    }

    fn is_array(&self) -> bool {
        self.described["type"] == "array"
    }

    fn default(&self) -> Option<String> {
        let default =
            self.described.get("default").filter(|default| !default.is_null() && **default != Value::Array(vec![]));
        default.map(Value::to_string)
    }

    fn example(&self) -> Option<String> {
        Some(self.described["examples"].as_array()?.first()?.to_string())
    }

    /// The words that it may be, with what they mean.
    fn words(&self) -> Vec<(&'s str, &'s str)> {
        let words = resolved(self.root, self.described)["oneOf"].as_array().into_iter().flatten();
        words.filter_map(|word| Some((word["const"].as_str()?, word["description"].as_str()?))).collect()
    }
}

fn resolved<'s>(root: &'s Value, described: &'s Value) -> &'s Value {
    let reference = described["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    reference.and_then(|path| root.pointer(path)).unwrap_or(described)
}

fn check(path: &[&str], made: &str) {
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), ".."].iter().collect();
    let path = root.join(path.iter().collect::<PathBuf>());
    if env::var_os(BLESS).is_some() {
        fs::write(&path, made).unwrap();
    }
    let present = fs::read_to_string(&path).unwrap();
    assert!(present == made, "{} differs: {BLESS}=1 cargo test -p netfwd --lib config writes it anew", path.display());
}

#[test]
fn the_schema_is_that_of_the_types() {
    let text = serde_json::to_string_pretty(&schema()).unwrap();
    check(&["packaging", "netfwd.schema.json"], &format!("{text}\n"));
}

#[test]
fn the_sample_is_that_of_the_types_and_the_default() {
    let sample = sample::text(&schema());
    check(&["packaging", "netfwd.toml"], &sample);
    assert_eq!(parse("netfwd.toml", &sample).unwrap(), Config::default());
}

#[test]
fn all_that_the_sample_has_in_comments_is_possible() {
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting.to_owned(),
        _ => String::new(),
    };
    let text: Vec<_> = sample::text(&schema()).lines().map(uncommented).collect();
    let config = parse("netfwd.toml", &text.join("\n")).unwrap_or_else(|error| panic!("{error}\n{}", error.excerpt()));
    assert_eq!((config.mappings.len(), config.uplinks.len()), (3, 1));
}

#[test]
fn the_defaults_that_are_told_are_those_that_are_taken() {
    let schema = schema();
    let settings = |keys: Vec<Key<'_>>| -> String {
        keys.iter().filter_map(|key| Some(format!("{} = {}\n", key.name, key.default()?))).collect()
    };
    let (tables, plain): (Vec<_>, Vec<_>) =
        Key::all(&schema, &schema).into_iter().partition(|key| !key.below().is_empty());
    let (mut short, mut long) = (String::new(), settings(plain));
    for table in tables {
        let head = if table.is_array() { "[[uplink]]\ninterface = \"eth0\"\n" } else { &format!("[{}]\n", table.name) };
        short.push_str(head);
        write!(long, "{head}{}", settings(table.below())).unwrap();
    }
    let [short, long] = [short, long].map(|text| parse("netfwd.toml", &text).unwrap());
    let timeouts = |config: &Config| config.timeouts.as_ref().unwrap().in_force();
    assert_eq!((short.uplinks(), &short.docker, timeouts(&short)), (long.uplinks(), &long.docker, timeouts(&long)));
}

#[test]
fn the_documentation_has_every_key() {
    let path = ["docs", "configuration.md"];
    let present = fs::read_to_string([env!("CARGO_MANIFEST_DIR"), "..", path[0], path[1]].iter().collect::<PathBuf>());
    check(&path, &document::completed(&present.unwrap(), &schema()));
}
