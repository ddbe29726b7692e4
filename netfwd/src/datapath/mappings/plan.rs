//! What adding and removing means, decided before anything is changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use thiserror::Error;

use super::Installed;
use crate::mapping::{HostPorts, Mapping, Transport};

/// What becomes of one mapping that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is added.
    Add(Mapping),
    /// It takes the place of others, which end.
    Replace(Mapping, Vec<Installed>),
    /// It is in force already.
    Nothing(Mapping),
}

impl Change {
    /// The mapping that was asked for.
    #[must_use]
    pub fn mapping(&self) -> &Mapping {
        match self {
            Self::Add(mapping) | Self::Replace(mapping, _) | Self::Nothing(mapping) => mapping,
        }
    }

    /// What ends for it.
    #[must_use]
    pub fn replaces(&self) -> &[Installed] {
        match self {
            Self::Replace(_, installed) => installed,
            Self::Add(_) | Self::Nothing(_) => &[],
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing(_))
    }
}

/// Why mappings cannot be added or removed. Nothing has been changed then.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Conflict {
    /// Another mapping has the host port.
    #[error("{} is mapped to {}, not to {}; unmap it first, or give --replace", .present.host, target(.present), target(.wanted))]
    Taken {
        /// What was asked for.
        wanted: Mapping,
        /// What is in force.
        present: Mapping,
    },
    /// Two of the mappings that were asked for exclude each other.
    #[error("{first} and {second} have the same host port; leave one out")]
    Both {
        /// One.
        first: Mapping,
        /// The other.
        second: Mapping,
    },
    /// There is no such mapping.
    #[error("there is no mapping of {host}{}; `netfwd list` shows all", also(.similar))]
    Missing {
        /// What was asked for.
        host: HostPorts,
        /// What has the same port.
        similar: Vec<HostPorts>,
    },
}

/// Mappings by their host ports, none of which overlap.
struct ByHost<'m>(BTreeMap<(Option<Ipv4Addr>, Transport, u16), &'m Installed>);

impl<'m> ByHost<'m> {
    fn new(installed: &'m [Installed]) -> Self {
        Self(installed.iter().map(|one| (place(&one.mapping.host), one)).collect())
    }

    /// Those that answer to packets that `host` answers to.
    fn overlapping(&self, host: &HostPorts) -> Vec<Installed> {
        let last = (host.address, host.protocol, host.ports.last());
        let before = self.0.range(..=last).rev().map(|(_, one)| **one);
        before.take_while(|one| one.mapping.host.overlaps(host)).collect()
    }

    fn find(&self, host: &HostPorts) -> Option<Installed> {
        self.0.get(&place(host)).filter(|one| one.mapping.host == *host).map(|one| **one)
    }
}

fn place(host: &HostPorts) -> (Option<Ipv4Addr>, Transport, u16) {
    (host.address, host.protocol, host.ports.first())
}

/// Decides on all `wanted` mappings, or on none.
pub(super) fn plan(installed: &[Installed], wanted: &[Mapping], replace: bool) -> Result<Vec<Change>, Conflict> {
    let present = ByHost::new(installed);
    let wanted = without_repetitions(wanted)?;
    wanted.iter().map(|mapping| change(&present, mapping, replace)).collect()
}

/// The mappings in the order of their hosts' ports. Two different ones for the same port are an error.
fn without_repetitions(wanted: &[Mapping]) -> Result<Vec<Mapping>, Conflict> {
    let mut sorted = wanted.to_vec();
    sorted.sort_by_key(|mapping| (place(&mapping.host), mapping.host.ports));
    sorted.dedup();
    match sorted.array_windows().find(|[first, second]| first.host.overlaps(&second.host)) {
        Some([first, second]) => Err(Conflict::Both { first: *first, second: *second }),
        None => Ok(sorted),
    }
}

fn change(present: &ByHost<'_>, wanted: &Mapping, replace: bool) -> Result<Change, Conflict> {
    let others = present.overlapping(&wanted.host);
    match others.as_slice() {
        [] => Ok(Change::Add(*wanted)),
        [same] if same.mapping == *wanted => Ok(Change::Nothing(*wanted)),
        [other, ..] if !replace => Err(Conflict::Taken { wanted: *wanted, present: other.mapping }),
        _ => Ok(Change::Replace(*wanted, others)),
    }
}

/// The installed mappings with these host parts: all, or none.
pub(super) fn find_all(installed: &[Installed], hosts: &[HostPorts]) -> Result<Vec<Installed>, Conflict> {
    let present = ByHost::new(installed);
    let hosts: BTreeSet<_> = hosts.iter().collect();
    hosts.into_iter().map(|host| present.find(host).ok_or_else(|| missing(installed, *host))).collect()
}

fn missing(installed: &[Installed], host: HostPorts) -> Conflict {
    let similar = installed.iter().map(|installed| installed.mapping.host).filter(|other| other.ports == host.ports);
    Conflict::Missing { host, similar: similar.collect() }
}

fn also(similar: &[HostPorts]) -> String {
    let names: Vec<_> = similar.iter().map(ToString::to_string).collect();
    if names.is_empty() { String::new() } else { format!(", but of {}", names.join(" and ")) }
}

fn target(mapping: &Mapping) -> String {
    format!("{}:{}", mapping.container, mapping.container_ports())
}

#[cfg(test)]
mod tests {
    use netfwd_common::abi::Rule;

    use super::*;
    use crate::mapping::Ports;

    fn mapping(text: &str) -> Mapping {
        text.parse().unwrap()
    }

    fn installed(texts: &[&str]) -> Vec<Installed> {
        let rule = |id| Rule { id, generation: 1 };
        (0..).zip(texts).map(|(id, text)| Installed { mapping: mapping(text), rule: rule(id) }).collect()
    }

    #[test]
    fn a_free_port_is_added_and_the_same_mapping_again_is_nothing() {
        let present = installed(&["80:172.17.0.2:80"]);
        let wanted = ["80:172.17.0.2:80", "81:172.17.0.2:80", "80:172.17.0.2:80/udp", "81:172.17.0.2:80"].map(mapping);
        let [same, added, udp, _] = wanted;
        let expected = vec![Change::Nothing(same), Change::Add(added), Change::Add(udp)];
        assert_eq!(plan(&present, &wanted, false), Ok(expected));
    }

    #[test]
    fn another_target_for_a_taken_port_is_an_error_that_names_the_present_one() {
        let present = installed(&["80:172.17.0.2:8000"]);
        let error = plan(&present, &[mapping("80:172.17.0.3:80")], false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "80/tcp is mapped to 172.17.0.2:8000, not to 172.17.0.3:80; unmap it first, or give --replace"
        );
        let wanted = mapping("80:172.17.0.3:80");
        assert_eq!(plan(&present, &[wanted], true), Ok(vec![Change::Replace(wanted, present)]));
    }

    #[test]
    fn one_address_and_any_address_do_not_exclude_each_other() {
        let present = installed(&["80:172.17.0.2:80"]);
        let wanted = mapping("192.0.2.1:80:172.17.0.3:80");
        assert_eq!(plan(&present, &[wanted], false), Ok(vec![Change::Add(wanted)]));
    }

    #[test]
    fn one_command_cannot_give_a_port_to_two_containers_even_to_replace() {
        let error = plan(&[], &["80:172.17.0.2:80", "80:172.17.0.3:80"].map(mapping), true).unwrap_err();
        let message = "80:172.17.0.2:80/tcp and 80:172.17.0.3:80/tcp have the same host port; leave one out";
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn a_range_takes_the_place_of_all_that_it_overlaps() {
        let present = installed(&["79:172.17.0.2:79", "80:172.17.0.2:80", "82:172.17.0.2:82", "83:172.17.0.2:83"]);
        let mut wanted = mapping("80:172.17.0.3:80");
        wanted.host.ports = Ports::new(80, 82).unwrap();
        let replaced = vec![present[2], present[1]];
        assert_eq!(plan(&present, &[wanted], true), Ok(vec![Change::Replace(wanted, replaced)]));
        let error = plan(&[], &[mapping("81:172.17.0.2:81"), wanted], false).unwrap_err();
        assert!(matches!(error, Conflict::Both { .. }), "{error}");
    }

    #[test]
    fn removing_finds_all_or_none_and_says_what_has_the_same_port() {
        let present = installed(&["80:172.17.0.2:80/udp", "81:172.17.0.2:81"]);
        let hosts = ["81", "80/udp", "81"].map(|text| text.parse().unwrap());
        assert_eq!(find_all(&present, &hosts), Ok(vec![present[0], present[1]]));
        let hosts = ["81", "80"].map(|text| text.parse().unwrap());
        assert_eq!(
            find_all(&present, &hosts).unwrap_err().to_string(),
            "there is no mapping of 80/tcp, but of 80/udp; `netfwd list` shows all"
        );
    }
}
