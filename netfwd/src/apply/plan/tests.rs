use proptest::{prelude::*, sample::select};

use super::*;
use crate::{
    mapping::{Label, tests::mapping},
    uplink::Options,
};

impl State {
    /// As it is after a step.
    fn after(mut self, step: &Step) -> Self {
        match step {
            Step::Attach(uplink) | Step::Alter { after: uplink, .. } => {
                self.uplinks.insert(name(uplink), (**uplink).clone());
            }
            Step::HostAccess(is_on) => self.host_access = *is_on,
            Step::Timeouts { after, .. } => self.timeouts = *after,
            Step::Map(mapping) => self.add(mapping),
            Step::Replace(mapping, others) => {
                for other in others {
                    self.remove(other);
                }
                self.add(mapping);
            }
            Step::Relabel(before, after) => {
                self.remove(before);
                self.add(after);
            }
            Step::Unmap(mapping) => self.remove(mapping),
            Step::Detach(uplink) => {
                self.uplinks.remove(&name(uplink)).unwrap();
                assert!(!self.uplinks.is_empty() || self.mappings.is_empty(), "mappings end without being told");
            }
        }
        self
    }

    fn add(&mut self, one: &Owned) {
        assert!(!self.mappings.values().any(|other| other.is_in_the_way_of(one)), "{one:?} is not alone");
        self.mappings.insert(one.mapping.host, one.clone());
    }

    fn remove(&mut self, one: &Owned) {
        assert_eq!(self.mappings.remove(&one.mapping.host).as_ref(), Some(one));
    }
}

fn name(uplink: &Uplink) -> String {
    uplink.options.interface.get_ref().clone()
}

fn uplink(name: &str, origin: Origin, parity: bool, address: u8) -> (String, Uplink) {
    let options = config::Uplink::from(&Options { parity, ..Options::new(name) });
    let masqueraded = [("172.17.0.0/16".parse().unwrap(), [192, 0, 2, address].into())].into();
    (name.to_owned(), Uplink { options, masqueraded, origin })
}

fn owned(origin: Origin, name: &str, text: &str) -> Owned {
    Owned { mapping: mapping(text), label: Label { origin, name: name.to_owned() } }
}

fn state(uplinks: &[(String, Uplink)], mappings: &[Owned]) -> State {
    let mappings = mappings.iter().map(|one| (one.mapping.host, one.clone())).collect();
    State { uplinks: uplinks.iter().cloned().collect(), mappings, ..State::default() }
}

fn desired(uplinks: &[(String, Uplink)], mappings: &[Owned]) -> Desired {
    Desired {
        uplinks: uplinks.iter().cloned().collect(),
        mappings: mappings.to_vec(),
        timeouts: None,
        host_access: false,
    }
}

fn planned(desired: &Desired, present: &State) -> Result<Plan, Refusal> {
    diff(desired, present, &HashSet::from(["172.17.0.1".parse().unwrap()]))
}

#[test]
fn what_is_not_in_the_configuration_ends_only_if_it_is_from_one() {
    let present = state(
        &[uplink("eth0", Origin::Config, false, 1), uplink("eth1", Origin::Hand, false, 1)],
        &[
            owned(Origin::Config, "", "80:172.17.0.2:80"),
            owned(Origin::Hand, "", "81:172.17.0.2:81"),
            owned(Origin::Docker, "web", "82:172.17.0.2:82"),
        ],
    );
    let plan = planned(&desired(&[], &[]), &present).unwrap();
    let unmapped = Step::Unmap(owned(Origin::Config, "", "80:172.17.0.2:80"));
    assert_eq!(plan.steps, [unmapped, Step::Detach(Box::new(present.uplinks["eth0"].clone()))]);
    assert_eq!(plan.kept_uplinks, [present.uplinks["eth1"].clone()]);
    assert_eq!(plan.kept_mappings, [mapping("81:172.17.0.2:81")]);
}

#[test]
fn what_was_made_by_hand_as_the_configuration_says_stays_what_it_is() {
    let by_hand = state(&[uplink("eth0", Origin::Hand, true, 1)], &[owned(Origin::Hand, "", "80:172.17.0.2:80")]);
    let same = desired(&[uplink("eth0", Origin::Config, true, 1)], &[owned(Origin::Config, "x", "80:172.17.0.2:80")]);
    assert_eq!(planned(&same, &by_hand), Ok(Plan::default()));
    let moved = desired(&[uplink("eth0", Origin::Config, true, 2)], &[]);
    assert!(matches!(&planned(&moved, &by_hand).unwrap().steps[..], [Step::Alter { .. }]));
}

#[test]
fn the_configuration_goes_before_docker_and_not_before_the_hand() {
    let eth0 = [uplink("eth0", Origin::Config, false, 1)];
    let wanted = [owned(Origin::Config, "", "80-81:172.17.0.9:80-81")];
    let docker = [owned(Origin::Docker, "a", "80:172.17.0.2:80"), owned(Origin::Docker, "b", "81:172.17.0.3:81")];
    let plan = planned(&desired(&eth0, &wanted), &state(&eth0, &docker)).unwrap();
    assert_eq!(plan.steps, [Step::Replace(wanted[0].clone(), docker.to_vec())]);
    let by_hand = [owned(Origin::Hand, "", "81:172.17.0.3:81")];
    let refused = planned(&desired(&eth0, &wanted), &state(&eth0, &by_hand)).unwrap_err().to_string();
    assert!(refused.starts_with("81/tcp is mapped to 172.17.0.3:81 by hand: unmap it first"), "{refused}");
    let one_address = [owned(Origin::Config, "", "192.0.2.1:81:172.17.0.9:81")];
    let refused = planned(&desired(&eth0, &one_address), &state(&eth0, &by_hand)).unwrap_err().to_string();
    assert!(refused.starts_with("81/tcp is mapped to 172.17.0.3:81 by hand: unmap it first"), "{refused}");
    let plan = planned(&desired(&eth0, &one_address), &state(&eth0, &docker)).unwrap();
    assert_eq!(plan.steps, [Step::Replace(one_address[0].clone(), vec![docker[1].clone()])]);
    let same = [owned(Origin::Config, "", "80:172.17.0.2:80")];
    let plan = planned(&desired(&eth0, &same), &state(&eth0, &docker[..1])).unwrap();
    assert_eq!(plan.steps, [Step::Relabel(docker[0].clone(), same[0].clone())]);
}

#[test]
fn mappings_need_an_uplink_and_do_not_go_with_the_last_one_unless_they_are_the_configurations() {
    let eth0 = [uplink("eth0", Origin::Config, false, 1)];
    let own = [owned(Origin::Config, "", "80:172.17.0.2:80")];
    assert_eq!(planned(&desired(&[], &own), &state(&[], &[])), Err(Refusal::NoUplink));
    assert_eq!(planned(&desired(&[], &own), &state(&eth0, &own)), Err(Refusal::NoUplink));
    let all = planned(&desired(&[], &[]), &state(&eth0, &own)).unwrap();
    assert_eq!(all.steps, [Step::Unmap(own[0].clone()), Step::Detach(Box::new(eth0[0].1.clone()))]);
    let other = [owned(Origin::Docker, "", "80:172.17.0.2:80")];
    let refused = planned(&desired(&[], &[]), &state(&eth0, &other));
    assert_eq!(refused, Err(Refusal::Last(other[0].mapping)));
    let host = [owned(Origin::Config, "", "80:172.17.0.1:80")];
    assert_eq!(planned(&desired(&eth0, &host), &state(&eth0, &[])), Err(Refusal::Own { mapping: host[0].mapping }));
}

fn some_uplinks(origins: &'static [Origin]) -> impl Strategy<Value = BTreeMap<String, Uplink>> {
    let one = (select(vec!["eth0", "eth1", "eth2"]), select(origins), any::<bool>(), 1_u8..3);
    prop::collection::vec(one.prop_map(|(name, origin, parity, address)| uplink(name, origin, parity, address)), 0..4)
        .prop_map(|uplinks| uplinks.into_iter().collect())
}

/// Mappings that are not in each other's way.
fn some_mappings(origins: &'static [Origin]) -> impl Strategy<Value = Vec<Owned>> {
    let one = (select(origins), select(vec!["", "a"]), select(vec!["", "192.0.2.1:"]), 1_u16..14, 0_u16..3, 2_u8..4);
    let one = one.prop_map(|(origin, name, host, first, more, container)| {
        let last = first + more;
        owned(origin, name, &format!("{host}{first}-{last}:172.17.0.{container}:{first}-{last}"))
    });
    prop::collection::vec(one, 0..8).prop_map(|all| {
        let mut apart = Vec::<Owned>::new();
        for one in all {
            if apart.iter().all(|other| !other.is_in_the_way_of(&one)) {
                apart.push(one);
            }
        }
        apart
    })
}

fn some_timeouts() -> impl Strategy<Value = Timeouts> {
    (1_u64..3).prop_map(|udp| Timeouts { udp, ..Timeouts::default() })
}

fn some_state() -> impl Strategy<Value = State> {
    const ALL: &[Origin] = &[Origin::Hand, Origin::Config, Origin::Docker];
    (some_uplinks(&ALL[..2]), some_mappings(ALL), some_timeouts(), any::<bool>()).prop_map(
        |(uplinks, mappings, timeouts, host_access)| {
            let mappings = if uplinks.is_empty() { Vec::new() } else { mappings };
            let mappings = mappings.into_iter().map(|one| (one.mapping.host, one)).collect();
            State { uplinks, mappings, timeouts, host_access }
        },
    )
}

fn some_desired() -> impl Strategy<Value = Desired> {
    const OWN: &[Origin] = &[Origin::Config];
    (some_uplinks(OWN), some_mappings(OWN), prop::option::of(some_timeouts()), any::<bool>())
        .prop_map(|(uplinks, mappings, timeouts, host_access)| Desired { uplinks, mappings, timeouts, host_access })
}

proptest! {
    #[test]
    fn the_steps_lead_to_what_is_desired_and_then_nothing_is_left_to_do(wanted in some_desired(), present in some_state()) {
        let Ok(plan) = planned(&wanted, &present) else { return Ok(()) };
        let after = plan.steps.iter().fold(present.clone(), State::after);
        let again = planned(&wanted, &after);
        prop_assert_eq!(&again.map(|plan| plan.steps), &Ok(Vec::new()));
        for (name, uplink) in &wanted.uplinks {
            let now = &after.uplinks[name];
            prop_assert_eq!((&now.options, &now.masqueraded), (&uplink.options, &uplink.masqueraded));
        }
        for one in &wanted.mappings {
            prop_assert_eq!(&after.mappings[&one.mapping.host].mapping, &one.mapping);
        }
        if !after.uplinks.is_empty() {
            prop_assert_eq!(after.host_access, wanted.host_access);
            prop_assert_eq!(after.timeouts, wanted.timeouts.unwrap_or(present.timeouts));
        }
    }

    #[test]
    fn of_what_is_not_the_configurations_only_docker_gives_way(wanted in some_desired(), present in some_state()) {
        let Ok(plan) = planned(&wanted, &present) else { return Ok(()) };
        let after = plan.steps.iter().fold(present.clone(), State::after);
        for (host, one) in &present.mappings {
            let is_wanted = wanted.mappings.iter().any(|wanted| one.is_in_the_way_of(wanted));
            let stays = one.label.origin == Origin::Hand || one.label.origin == Origin::Docker && !is_wanted;
            prop_assert!(!stays || after.mappings.get(host) == Some(one), "{:?}", one);
            prop_assert!(stays || is_wanted || !after.mappings.contains_key(host), "{:?}", one);
        }
        for (name, uplink) in &present.uplinks {
            let stays = uplink.origin == Origin::Hand || wanted.uplinks.contains_key(name);
            prop_assert_eq!(after.uplinks.contains_key(name), stays);
        }
    }
}
