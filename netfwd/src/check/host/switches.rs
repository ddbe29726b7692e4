//! The switches of `/proc/sys/net`.

use super::{Facts, Link};
use crate::{check::Finding, host::forwarding::Switch};

/// `rp_filter`: a packet is dropped unless its answer would leave by the interface that it came in on (RFC 3704).
const STRICT: u8 = 1;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = forwarding(facts);
    findings.extend(reverse_path(facts));
    findings.extend(localnet(facts));
    findings
}

fn forwarding(facts: &Facts) -> Vec<Finding> {
    let has_ipv6 = facts.uplinks().any(|link| link.has_ipv6) && facts.bridges().any(|link| link.has_ipv6);
    let mut findings = Vec::new();
    for (family, name, main) in [(0, "IPv4", Switch::ipv4()), (1, "IPv6", Switch::ipv6())] {
        let Some(forwards) = facts.forwards.get(family).copied().flatten().filter(|_| family == 0 || has_ipv6) else {
            continue;
        };
        match (forwards, facts.is_attached()) {
            (true, _) => findings.extend(interfaces(facts, family, name)),
            (false, false) => {
                findings.push(Finding::ok("forwarding", format!("of {name} is off; attach turns it on")));
            }
            (false, true) => findings.push(
                Finding::problem("forwarding", format!("of {name} is off"))
                    .because("no first packet of a connection gets to a container, or from one to the outside")
                    .todo(format!("sysctl -w {}=1", main.name())),
            ),
        }
    }
    findings
}

/// Those that do not forward although the host does.
fn interfaces(facts: &Facts, family: usize, name: &str) -> Vec<Finding> {
    let is_off = |link: &&Link| link.forwards.get(family) == Some(&Some(false));
    let off: Vec<_> = facts.links.iter().filter(is_off).collect();
    if off.is_empty() {
        return vec![Finding::ok("forwarding", format!("of {name} is on"))];
    }
    let finding = |link: &&Link| {
        let switch = Switch::of_interface(&name.to_lowercase(), &link.name, "forwarding");
        Finding::problem("forwarding", format!("of {name} is off on {}", link.name))
            .because("no first packet of a connection that comes in there goes on")
            .todo(format!("sysctl -w {}=1", switch.name()))
    };
    off.iter().map(finding).collect()
}

fn reverse_path(facts: &Facts) -> Vec<Finding> {
    let defaults = facts.uplinks().filter(|link| link.is_default).count();
    let strict: Vec<_> = facts.uplinks().filter(|link| link.rp_filter == STRICT).collect();
    let finding = |link: &&Link| {
        if link.is_default && defaults == 1 {
            let what = format!("is strict on {}, which has the only default route: nothing is lost", link.name);
            return Finding::ok("rp_filter", what);
        }
        let switch = Switch::of_interface("ipv4", &link.name, "rp_filter");
        Finding::warning("rp_filter", format!("is strict on {}, which is not the only way out", link.name))
            .because("the kernel drops first packets from clients whom it would answer by another interface")
            .todo(format!("sysctl -w {}=2", switch.name()))
    };
    if strict.is_empty() {
        return vec![Finding::ok("rp_filter", "is strict on no uplink")];
    }
    strict.iter().map(finding).collect()
}

fn localnet(facts: &Facts) -> Vec<Finding> {
    let finding = |link: &Link| {
        let names = ["all", &link.name].map(|name| Switch::of_interface("ipv4", name, "route_localnet").name());
        Finding::warning("route_localnet", format!("is on on {}", link.name))
            .because("whoever is on the link may reach what listens on 127.0.0.1; netfwd does not need it")
            .todo(names.map(|name| format!("sysctl -w {name}=0")).join(" && "))
    };
    facts.uplinks().filter(|link| link.routes_localnet).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{
        Level::{Problem, Warning},
        host::{Attached, complaints, well},
    };

    #[test]
    fn forwarding_matters_once_netfwd_is_attached() {
        let mut facts = well();
        facts.forwards = [Some(false); 2];
        let expected = [(Problem, "forwarding", "sysctl -w net.ipv4.ip_forward=1".to_owned())];
        assert_eq!(complaints(judge, &facts), expected, "there is no IPv6");
        facts.links.iter_mut().for_each(|link| link.has_ipv6 = true);
        assert_eq!(complaints(judge, &facts)[1].2, "sysctl -w net.ipv6.conf.all.forwarding=1");
        facts.attached = Attached::No;
        assert!(complaints(judge, &facts).is_empty());
    }

    #[test]
    fn an_interface_may_not_forward_although_the_host_does() {
        let mut facts = well();
        facts.links[1].forwards[0] = Some(false);
        let expected = [(Problem, "forwarding", "sysctl -w net.ipv4.conf.docker0.forwarding=1".to_owned())];
        assert_eq!(complaints(judge, &facts), expected);
    }

    #[test]
    fn strict_filtering_by_the_reverse_path_matters_where_there_is_another_way_out() {
        let mut facts = well();
        facts.links[0].rp_filter = STRICT;
        assert!(complaints(judge, &facts).is_empty());
        let expected = [(Warning, "rp_filter", "sysctl -w net.ipv4.conf.ens33.rp_filter=2".to_owned())];
        facts.links[0].is_default = false;
        assert_eq!(complaints(judge, &facts), expected);
        facts.links[0].is_default = true;
        facts.links.push(Link { name: "ens34".to_owned(), is_default: true, ..Link::default() });
        assert_eq!(complaints(judge, &facts), expected);
        facts.links[0].rp_filter = 2;
        assert!(complaints(judge, &facts).is_empty());
    }

    #[test]
    fn loopback_addresses_should_not_be_routed() {
        let mut facts = well();
        facts.links[0].routes_localnet = true;
        assert_eq!(complaints(judge, &facts)[0].1, "route_localnet");
    }
}
