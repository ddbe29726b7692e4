//! `netfwd timeouts`.

use netfwd_common::abi;
use serde::Serialize;

use crate::{
    datapath::timeouts::{ALL, Timeout},
    render::{self, Column, Listing},
};

/// All timeouts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    /// In the order of their listing.
    pub timeouts: Vec<Entry>,
}

/// A timeout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub seconds: u64,
    /// What it is unless set.
    pub default_seconds: u64,
    /// What a standard demands at least.
    pub minimum_seconds: Option<u64>,
    /// Which standard, or else what it is for.
    pub note: &'static str,
}

impl Timeouts {
    /// The timeouts in force.
    #[must_use]
    pub fn new(timeouts: &abi::Timeouts) -> Self {
        let entry = |timeout: &Timeout| Entry {
            name: timeout.name,
            seconds: timeout.seconds(*timeouts),
            default_seconds: timeout.seconds(abi::Timeouts::default()),
            minimum_seconds: timeout.minimum,
            note: timeout.note,
        };
        Self { timeouts: ALL.iter().map(entry).collect() }
    }
}

impl Listing for Timeouts {
    fn text(&self) -> String {
        let columns =
            [Column::Text("NAME"), Column::Number("SECONDS"), Column::Number("DEFAULT"), Column::Text("NOTE")];
        let rows = self.timeouts.iter().map(|entry| {
            let note = match entry.minimum_seconds {
                Some(seconds) => format!("at least {seconds} ({})", entry.note),
                None => entry.note.to_owned(),
            };
            [entry.name.to_owned(), entry.seconds.to_string(), entry.default_seconds.to_string(), note]
        });
        render::table(columns, rows)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_shape_of_the_json_stays() {
        let listing = Timeouts::new(&abi::Timeouts { udp: 90_000_000_000, ..abi::Timeouts::default() });
        let json = serde_json::to_value(&listing).unwrap();
        let udp = json!({
            "name": "udp",
            "seconds": 90,
            "default_seconds": 300,
            "minimum_seconds": 120,
            "note": "RFC 4787 REQ-5",
        });
        assert_eq!(json["timeouts"][6], udp);
        assert_eq!(json["timeouts"][10]["minimum_seconds"], json!(null));
        let text = listing.text();
        assert!(text.contains("udp                    90      300  at least 120 (RFC 4787 REQ-5)"), "{text}");
    }
}
