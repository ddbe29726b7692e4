//! A sentence, and what it is about: in logs these are fields.

use crate::mapping::{Label, Mapping, Origin};

/// A sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    text: String,
    uplink: Option<String>,
    mapping: Option<String>,
    container: Option<String>,
}

/// Logs a line. Levels of events are constants.
macro_rules! log {
    ($level:ident, $line:expr) => {{
        let Line { text, uplink, mapping, container } = $line;
        let [uplink, mapping, container] = [uplink, mapping, container].map(|field| field.as_deref());
        tracing::$level!(target: "netfwd", uplink, mapping, container, "{text}");
    }};
}

impl Line {
    /// About an uplink.
    pub(super) fn of_uplink(name: &str, text: String) -> Self {
        Self { uplink: Some(name.to_owned()), ..Self::from(text) }
    }

    /// About a mapping.
    pub(super) fn of_mapping(mapping: &Mapping, label: &Label, text: String) -> Self {
        let container = (label.origin == Origin::Docker).then(|| label.name.clone());
        Self { mapping: Some(mapping.host.to_string()), container, ..Self::from(text) }
    }

    /// It happened.
    pub(super) fn inform(&self) {
        log!(info, self);
    }

    /// Something suffers from it.
    pub(super) fn warn(&self) {
        log!(warn, self);
    }

    /// It could not be done.
    pub(super) fn complain(&self) {
        log!(error, self);
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

#[cfg(test)]
impl PartialEq<&str> for Line {
    fn eq(&self, text: &&str) -> bool {
        self.text == *text
    }
}

#[cfg(test)]
impl PartialEq<String> for Line {
    fn eq(&self, text: &String) -> bool {
        self.text == *text
    }
}
