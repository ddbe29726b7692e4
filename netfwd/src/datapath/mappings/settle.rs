//! Which of the mappings that are wanted can be: two of them cannot have the same host port.

use std::{collections::HashSet, net::IpAddr};

use super::Conflict;
use crate::mapping::{Label, Mapping, Origin};

/// A mapping that somebody wants, and who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The mapping.
    pub mapping: Mapping,
    /// Whose it is.
    pub label: Label,
}

impl Wanted {
    /// Whether both cannot be. One of any address and one of a single address can, if they are of one origin: then the
    /// single address goes first, as somebody wants it. Somebody else may not take it away so.
    #[must_use]
    pub fn is_in_the_way_of(&self, other: &Self) -> bool {
        let (own, others) = (&self.mapping.host, &other.mapping.host);
        own.overlaps(others) || self.label.origin != other.label.origin && own.is_beside(others)
    }

    /// What of it cannot be because of `present`, and what can all the same. Docker publishes each port by itself: of its
    /// ranges only the ports go that are taken. Any other mapping is wanted as a whole.
    fn cut(&self, present: &Mapping) -> (Self, Vec<Self>) {
        if self.label.origin != Origin::Docker {
            return (self.clone(), Vec::new());
        }
        let part = |mapping| Self { mapping, label: self.label.clone() };
        let [below, taken, above] = self.mapping.around(present.host.ports);
        (taken.map_or_else(|| self.clone(), part), [below, above].into_iter().flatten().map(part).collect())
    }
}

/// One that cannot be.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// What was wanted.
    pub wanted: Wanted,
    /// Why it cannot be.
    pub why: Conflict,
}

/// What can be, in the order of host parts, and what cannot. `kept` are mappings that stay as they are, and `own` the
/// host's addresses. The first origin goes first, and of one origin the first host part.
pub(super) fn settle(kept: &[Wanted], own: &HashSet<IpAddr>, wanted: &[Wanted]) -> (Vec<Wanted>, Vec<Refused>) {
    let mut waiting: Vec<_> = wanted.to_vec();
    waiting.sort_by(|a, b| {
        (b.label.origin, b.mapping.host, &b.label.name).cmp(&(a.label.origin, a.mapping.host, &a.label.name))
    });
    let (mut settled, mut refused) = (Vec::<Wanted>::new(), Vec::new());
    while let Some(wanted) = waiting.pop() {
        let present = kept.iter().chain(&settled).find(|present| present.is_in_the_way_of(&wanted));
        match present {
            // Two want the same: then it is the first one's.
            Some(present) if present.mapping == wanted.mapping => {}
            Some(Wanted { mapping: present, label }) => {
                let why = Conflict::Before { present: *present, origin: label.origin };
                let (wanted, rest) = wanted.cut(present);
                refused.push(Refused { wanted, why });
                waiting.extend(rest.into_iter().rev());
            }
            None if own.contains(&wanted.mapping.container) => {
                refused.push(Refused { why: Conflict::Own { mapping: wanted.mapping }, wanted });
            }
            None => settled.push(wanted),
        }
    }
    settled.sort_by_key(|wanted| wanted.mapping.host);
    (settled, refused)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mapping::tests::mapping;

    fn wanted(origin: Origin, text: &str) -> Wanted {
        Wanted { mapping: mapping(text), label: Label { origin, name: text.to_owned() } }
    }

    fn settled(kept: &[&str], all: &[Wanted]) -> (Vec<String>, Vec<String>) {
        let kept: Vec<_> = kept.iter().map(|text| wanted(Origin::Hand, text)).collect();
        let (settled, refused) = settle(&kept, &HashSet::from(["172.17.0.1".parse().unwrap()]), all);
        let text = |wanted: &Wanted| format!("{} {}", wanted.label.origin, wanted.mapping);
        (settled.iter().map(text).collect(), refused.iter().map(|one| text(&one.wanted)).collect())
    }

    #[test]
    fn the_users_hand_goes_before_the_configuration_and_that_before_docker() {
        let docker = wanted(Origin::Docker, "80:172.17.0.2:80");
        let config = wanted(Origin::Config, "80:172.17.0.3:80");
        let both = [docker.clone(), config];
        let (first, second) = ("config 80:172.17.0.3:80/tcp".to_owned(), "docker 80:172.17.0.2:80/tcp".to_owned());
        assert_eq!(settled(&[], &both), (vec![first.clone()], vec![second.clone()]));
        assert_eq!(settled(&["80:172.17.0.4:80"], &both), (vec![], vec![first, second.clone()]));
        assert_eq!(
            settled(&["80:172.17.0.2:80"], std::slice::from_ref(&docker)),
            (vec![], vec![]),
            "there is nothing to add to it"
        );
        assert_eq!(settled(&["80:[fd00::2]:80"], &[docker]), (vec![second], vec![]));
    }

    #[test]
    fn nobody_takes_an_address_of_a_port_that_another_one_has() {
        let [one, any] = ["192.0.2.1:80:172.17.0.2:80", "80:172.17.0.2:80"].map(|text| wanted(Origin::Docker, text));
        assert_eq!(settled(&["80:172.17.0.4:80"], std::slice::from_ref(&one)).0, [] as [&str; 0]);
        assert_eq!(settled(&["192.0.2.1:80:172.17.0.4:80"], std::slice::from_ref(&any)).0, [] as [&str; 0]);
        assert_eq!(settled(&["192.0.2.1:81:172.17.0.4:80"], &[one, any]).0.len(), 2, "of one origin");
    }

    #[test]
    fn who_has_the_port_is_told() {
        let docker = wanted(Origin::Docker, "80:172.17.0.2:80");
        let why = |origin: Origin| {
            let kept = [wanted(origin, "80:172.17.0.3:80")];
            settle(&kept, &HashSet::new(), std::slice::from_ref(&docker)).1.remove(0).why.to_string()
        };
        assert!(
            why(Origin::Hand).starts_with("80/tcp is mapped to 172.17.0.3:80 by hand, which goes before: unmap it")
        );
        assert!(why(Origin::Config).starts_with("80/tcp is mapped to 172.17.0.3:80 by the configuration, which"));
        assert!(why(Origin::Docker).starts_with("80/tcp is mapped to 172.17.0.3:80 by Docker: stop"));
    }

    #[test]
    fn of_dockers_ranges_only_the_ports_go_that_are_taken() {
        let range = |origin| wanted(origin, "80-89:172.17.0.2:180-189");
        let (settled_ones, refused) = settled(&["83:172.17.0.9:1"], &[range(Origin::Docker)]);
        assert_eq!(settled_ones, ["docker 80-82:172.17.0.2:180-182/tcp", "docker 84-89:172.17.0.2:184-189/tcp"]);
        assert_eq!(refused, ["docker 83:172.17.0.2:183/tcp"]);
        let nothing_of_it = settled(&["83:172.17.0.9:1"], &[range(Origin::Config)]);
        assert_eq!(nothing_of_it, (vec![], vec!["config 80-89:172.17.0.2:180-189/tcp".to_owned()]));
    }

    #[test]
    fn the_host_itself_is_no_container() {
        let refused = settled(&[], &[wanted(Origin::Docker, "80:172.17.0.1:80")]).1;
        assert_eq!(refused, ["docker 80:172.17.0.1:80/tcp"]);
    }

    fn any() -> impl Strategy<Value = Wanted> {
        let origin = prop_oneof![Just(Origin::Config), Just(Origin::Docker)];
        (origin, 1_u16..20, 0_u16..6, 2_u8..5).prop_map(|(origin, first, more, container)| {
            let last = first + more;
            wanted(origin, &format!("{first}-{last}:172.17.0.{container}:{first}-{last}"))
        })
    }

    proptest! {
        #[test]
        fn nothing_that_is_settled_shares_a_port_and_settling_it_again_changes_nothing(some in prop::collection::vec(any(), 0..12)) {
            let kept = [wanted(Origin::Hand, "7:172.17.0.9:7")];
            let (settled, refused) = settle(&kept, &HashSet::new(), &some);
            let taken: Vec<_> = kept.iter().chain(&settled).map(|one| one.mapping).collect();
            for (place, one) in taken.iter().enumerate() {
                prop_assert!(taken.iter().skip(place + 1).all(|other| !one.host.overlaps(&other.host)));
            }
            for one in refused {
                prop_assert!(taken.iter().any(|present| present.host.overlaps(&one.wanted.mapping.host)));
            }
            prop_assert_eq!(settle(&kept, &HashSet::new(), &settled).0, settled);
        }
    }
}
