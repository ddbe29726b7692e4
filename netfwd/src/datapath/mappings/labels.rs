//! The labels of mappings, by rule.

use std::collections::HashMap;

use anyhow::Result;
use netfwd_common::abi::{self, Rule};

use crate::{
    datapath::maps::Maps,
    mapping::{Label, Origin},
};

/// The labels of all rules in one life of theirs; of rules without one the label of what is made by hand.
#[derive(Debug, Default)]
pub struct Labels(HashMap<Rule, Label>);

impl Labels {
    /// Reads the map.
    pub fn read(maps: &Maps) -> Result<Self> {
        let labels = maps.labels()?.into_iter();
        Ok(Self(labels.map(|(id, label)| (Rule { id, generation: label.generation }, decode(&label))).collect()))
    }

    /// The label of a rule.
    #[must_use]
    pub fn of(&self, rule: Rule) -> Label {
        self.0.get(&rule).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
impl<const N: usize> From<[(Rule, Label); N]> for Labels {
    fn from(labels: [(Rule, Label); N]) -> Self {
        Self(labels.into())
    }
}

/// Gives a rule a label. One that is to take effect gets it before.
pub(super) fn set(maps: &mut Maps, rule: Rule, label: &Label) -> Result<()> {
    if *label == Label::default() {
        // What another life of the rule had is not left to it.
        return maps.remove_label(rule.id);
    }
    maps.set_label(rule.id, &encode(rule, label))
}

fn encode(rule: Rule, label: &Label) -> abi::Label {
    let kept = label.kept_name();
    let mut name = [0; abi::Label::MAX_NAME];
    name.iter_mut().zip(kept.bytes()).for_each(|(place, byte)| *place = byte);
    abi::Label { generation: rule.generation, origin: label.origin.number(), length: kept.len() as u8, name }
}

fn decode(label: &abi::Label) -> Label {
    let name = label.name.get(..label.length.into()).unwrap_or_default();
    Label { origin: Origin::from_number(label.origin), name: String::from_utf8_lossy(name).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written_and_read(name: &str) -> Label {
        let label = Label { origin: Origin::Docker, name: name.to_owned() };
        let read = decode(&encode(Rule { id: 3, generation: 4 }, &label));
        assert!(read.is_kept_as(&label) && label.is_kept_as(&read));
        read
    }

    #[test]
    fn a_name_that_is_too_long_ends_where_a_character_does() {
        assert_eq!(written_and_read("web"), Label { origin: Origin::Docker, name: "web".to_owned() });
        assert_eq!(written_and_read(""), Label { origin: Origin::Docker, name: String::new() });
        assert_eq!(written_and_read(&"é".repeat(40)).name, "é".repeat(37));
        assert_eq!(written_and_read(&format!("x{}", "é".repeat(40))).name, format!("x{}", "é".repeat(36)));
    }
}
