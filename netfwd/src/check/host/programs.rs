//! Programs of others on the hooks.

use super::{Facts, Other};
use crate::{check::Finding, datapath::hook::is_attached_by_netfwd};

const XDP: &str = "XDP";

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    if facts.others.is_empty() {
        return vec![Finding::ok("programs", "nobody else's are on the hooks of uplinks and bridges")];
    }
    facts.others.iter().map(finding).collect()
}

fn finding(other: &Other) -> Finding {
    let Other { interface, hook, id, name } = other;
    let name = name.as_deref();
    let what = match name {
        Some(name) => format!("{name} (id {id}) is on the {hook} of {interface}"),
        None => format!("the program with the id {id} is on the {hook} of {interface}; only root may know its name"),
    };
    let show = format!("bpftool net show dev {interface}");
    if name.is_some_and(is_attached_by_netfwd) {
        return Finding::problem("programs", format!("{what}: another netfwd's"))
            .because("two would translate every packet twice; attach refuses")
            .todo(format!("detach that one with its own --pin-dir; `{show}` shows it"));
    }
    let why = if *hook == XDP {
        "it comes before netfwd's: what it drops or redirects netfwd does not see"
    } else {
        "it comes after netfwd's: it sees translated packets, and nothing of known flows on the fast path"
    };
    Finding::warning("programs", what).because(why).todo(format!("nothing, if that is meant; `{show}` shows it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{
        Level::{Problem, Warning},
        host::{complaints, well},
    };

    #[test]
    fn programs_of_others_are_told_of_and_another_netfwd_is_a_problem() {
        let mut facts = well();
        let other = |hook, name: Option<&str>| Other {
            interface: "ens33".to_owned(),
            hook,
            id: 7,
            name: name.map(str::to_owned),
        };
        facts.others =
            vec![other("ingress", Some("cil_from_netdev")), other(XDP, None), other("egress", Some("netfwd_egress"))];
        let levels: Vec<_> = complaints(judge, &facts).into_iter().map(|(level, ..)| level).collect();
        assert_eq!(levels, [Warning, Warning, Problem]);
        let findings = judge(&facts);
        assert_eq!(findings[0].what, "cil_from_netdev (id 7) is on the ingress of ens33");
        assert!(findings[1].what.ends_with("only root may know its name"));
    }
}
