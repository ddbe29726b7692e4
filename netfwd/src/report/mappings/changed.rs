//! `netfwd map` and `netfwd unmap`: what became of mappings.

use serde::Serialize;

use super::{Container, Host};
use crate::{datapath::mappings::Change, mapping::Mapping, render::Listing};

/// The mappings that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mapped {
    /// In the order of their host parts.
    pub mappings: Vec<Outcome>,
}

/// What became of a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What was done.
    pub change: Kind,
    /// The mapping.
    #[serde(flatten)]
    pub mapping: Parts,
    /// What it has taken the place of.
    pub instead_of: Vec<Parts>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It was added.
    Added,
    /// It took the place of others, whose flows have ended.
    Replaced,
    /// It took the place of one whose ports lead where they did: flows of the ports that both have go on.
    Altered,
    /// It was in force already.
    Unchanged,
}

/// The mappings that were removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unmapped {
    /// In the order of their host parts.
    pub mappings: Vec<Parts>,
}

/// A mapping by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parts {
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The host's part.
    pub host: Host,
    /// The container's part.
    pub container: Container,
    #[serde(skip)]
    mapping: Mapping,
}

impl From<&[Change]> for Mapped {
    fn from(changes: &[Change]) -> Self {
        Self { mappings: changes.iter().map(Outcome::from).collect() }
    }
}

impl From<&Change> for Outcome {
    fn from(change: &Change) -> Self {
        Self {
            change: match change {
                Change::Add(_) => Kind::Added,
                Change::Replace(_, ended) if ended.is_empty() => Kind::Added,
                Change::Replace(..) => Kind::Replaced,
                Change::Alter(..) => Kind::Altered,
                Change::Nothing(_) => Kind::Unchanged,
            },
            mapping: (*change.mapping()).into(),
            instead_of: change.replaces().map(|installed| installed.mapping.into()).collect(),
        }
    }
}

/// What became of a mapping, in a sentence.
pub(crate) fn sentence(change: &Change) -> String {
    Outcome::from(change).sentence()
}

impl From<Vec<Mapping>> for Unmapped {
    fn from(mappings: Vec<Mapping>) -> Self {
        Self { mappings: mappings.into_iter().map(Parts::from).collect() }
    }
}

impl From<Mapping> for Parts {
    fn from(mapping: Mapping) -> Self {
        let protocol = mapping.host.protocol.to_string();
        Self { protocol, host: Host::of(&mapping), container: Container::of(&mapping), mapping }
    }
}

impl Listing for Mapped {
    fn text(&self) -> String {
        self.mappings.iter().map(Outcome::sentence).collect::<Vec<_>>().join("\n")
    }
}

impl Outcome {
    fn sentence(&self) -> String {
        let Parts { mapping, .. } = self.mapping;
        let (host, to) = (mapping.host, mapping.target());
        let named = |others: &[Parts], name: &dyn Fn(&Mapping) -> String| {
            others.iter().map(|other| name(&other.mapping)).collect::<Vec<_>>().join(" and ")
        };
        // What had the same host part needs no name but its target.
        let other = |other: &Mapping| {
            if other.host == host { other.target() } else { format!("{} to {}", other.host, other.target()) }
        };
        match self.change {
            Kind::Added => format!("mapped {host} to {to}"),
            Kind::Unchanged => format!("{host} is mapped to {to} already, nothing changed"),
            Kind::Replaced => {
                format!("mapped {host} to {to} instead of {}, whose flows have ended", named(&self.instead_of, &other))
            }
            Kind::Altered => {
                let (heir, ended) = self.instead_of.split_at(self.instead_of.len().min(1));
                let before = named(heir, &|other| other.host.to_string());
                let ending = if ended.is_empty() {
                    String::new()
                } else {
                    format!(", those of {} have ended", named(ended, &other))
                };
                format!("mapped {host} to {to} instead of {before}; flows of ports that both have go on{ending}")
            }
        }
    }
}

impl Listing for Unmapped {
    fn text(&self) -> String {
        if self.mappings.is_empty() {
            return "no mappings, nothing changed".to_owned();
        }
        let sentence = |Parts { mapping, .. }: &Parts| format!("unmapped {} from {}", mapping.host, mapping.target());
        self.mappings.iter().map(sentence).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use netfwd_common::abi::Rule;
    use serde_json::json;

    use super::*;
    use crate::{datapath::mappings::Installed, mapping::tests::mapping};

    fn text(change: Change) -> String {
        Mapped::from(&[change][..]).text()
    }

    fn installed(text: &str) -> Installed {
        Installed { mapping: mapping(text), rule: Rule { id: 1, generation: 1 }, is_whole: true }
    }

    #[test]
    fn the_text_tells_what_became_of_a_mapping() {
        let web = mapping("8080:172.17.0.2:80");
        assert_eq!(text(Change::Add(web)), "mapped 8080/tcp to 172.17.0.2:80");
        assert_eq!(
            text(Change::Nothing(installed("8080:172.17.0.2:80"))),
            "8080/tcp is mapped to 172.17.0.2:80 already, nothing changed"
        );
        let others = vec![installed("8080:172.17.0.3:80"), installed("8080-8081:172.17.0.2:1-2")];
        assert_eq!(
            text(Change::Replace(web, others)),
            "mapped 8080/tcp to 172.17.0.2:80 instead of 172.17.0.3:80 and 8080-8081/tcp to 172.17.0.2:1-2, whose flows \
             have ended"
        );
        assert_eq!(
            text(Change::Alter(mapping("80-90:[fd00::2]:80-90"), installed("80:[fd00::2]:80"), Vec::new())),
            "mapped [::]:80-90/tcp to [fd00::2]:80-90 instead of [::]:80/tcp; flows of ports that both have go on"
        );
        let whole = Change::Alter(
            mapping("80-90:172.17.0.2:80-90"),
            installed("82-90:172.17.0.2:82-90"),
            vec![installed("80-81:172.17.0.2:80-81")],
        );
        assert_eq!(
            text(whole),
            "mapped 80-90/tcp to 172.17.0.2:80-90 instead of 82-90/tcp; flows of ports that both have go on, those of \
             80-81/tcp to 172.17.0.2:80-81 have ended"
        );
        assert_eq!(text(Change::Replace(web, Vec::new())), text(Change::Add(web)), "the other one lives on elsewhere");
        assert_eq!(Unmapped::from(vec![web]).text(), "unmapped 8080/tcp from 172.17.0.2:80");
        assert_eq!(Unmapped::from(Vec::new()).text(), "no mappings, nothing changed");
    }

    #[test]
    fn the_shape_of_the_json_stays() {
        let change = Change::Alter(mapping("8000-8010:172.17.0.2:80-90"), installed("8000:172.17.0.2:80"), Vec::new());
        let one = |first: u16, last: u16| {
            json!({
                "protocol": "tcp",
                "host": { "address": null, "port_first": first + 7920, "port_last": last + 7920 },
                "container": { "address": "172.17.0.2", "port_first": first, "port_last": last },
            })
        };
        let mut expected = one(80, 90);
        expected["change"] = "altered".into();
        expected["instead_of"] = json!([one(80, 80)]);
        assert_eq!(serde_json::to_value(Mapped::from(&[change][..])).unwrap(), json!({ "mappings": [expected] }));
        let removed = Unmapped::from(vec![mapping("8000:172.17.0.2:80")]);
        assert_eq!(serde_json::to_value(removed).unwrap(), json!({ "mappings": [one(80, 80)] }));
    }
}
