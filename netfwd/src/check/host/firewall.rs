//! Rules of netfilter that packets meet, or do not meet any more.

use super::{Attached, Facts};
use crate::{
    check::Finding,
    host::firewall::{Chain, Hook, Rule},
};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let firewall = &facts.firewall;
    let mut findings: Vec<_> = firewall.of(Hook::Forward).filter_map(|chain| forward(facts, chain)).collect();
    findings.extend(firewall.chains.iter().filter(|chain| any(chain, |rule| rule.masquerades)).map(masquerading));
    findings.extend(liberal(facts));
    findings.extend(bridged(facts));
    if findings.is_empty() && firewall.unknown.is_empty() {
        findings.push(Finding::ok("firewall", "no rule drops what is forwarded, and none masquerades"));
    }
    let unknown = firewall.unknown.iter().map(|why| {
        Finding::warning("firewall", format!("its rules were not looked at: {why}"))
            .because("they may drop first packets of connections, and do not see those of known ones")
            .todo("apt-get install nftables, then `sudo netfwd check`")
    });
    findings.extend(unknown);
    findings
}

fn any(chain: &Chain, is: impl Fn(&Rule) -> bool) -> bool {
    chain.rules.iter().any(is)
}

fn drops(chain: &Chain) -> bool {
    chain.drops_by_policy || any(chain, |rule| rule.may_drop)
}

fn forward(facts: &Facts, chain: &Chain) -> Option<Finding> {
    let place = chain.place();
    if chain.drops_by_policy && !any(chain, |rule| rule.may_accept) {
        return Some(
            Finding::problem("firewall", format!("the chain {place} drops all that is forwarded"))
                .because(
                    "no first packet of a connection gets to a container, or from one to the outside; once it is open, \
                     `netfwd attach --isolate` keeps what is not mapped away from containers",
                )
                .todo(opening(facts, chain)),
        );
    }
    let is_fast = matches!(facts.attached, Attached::Yes { is_fast: true } | Attached::No);
    if !is_fast && !chain.drops_by_policy {
        return None;
    }
    (drops(chain) || !chain.rules.is_empty()).then(|| {
        let policy = if chain.drops_by_policy { "drops what no rule accepts" } else { "has rules" };
        Finding::warning("firewall", format!("the chain {place} {policy}"))
            .because(
                "it decides on first packets; those of known flows go past it, and its counters do not see them; what \
                 it drops stays dropped",
            )
            .todo("nothing, if first packets to containers are accepted; `netfwd attach --fast-path off` takes all packets through it")
    })
}

/// What lets packets through a chain, to the bridges and from them.
fn opening(facts: &Facts, chain: &Chain) -> String {
    let sides = |bridge: &str| match chain.iptables() {
        Some(program) => ["-i", "-o"].map(|side| format!("{program} -I {} {side} {bridge} -j ACCEPT", chain.name)),
        None => ["iifname", "oifname"].map(|side| format!("nft insert rule {} {side} {bridge} accept", chain.place())),
    };
    facts.bridges().flat_map(|bridge| sides(&bridge.name)).collect::<Vec<_>>().join(" && ")
}

fn masquerading(chain: &Chain) -> Finding {
    let place = chain.place();
    let list = match chain.iptables() {
        Some(program) => format!("{program} -t {} -S {}", chain.table, chain.name),
        None => format!("nft --handle list chain {place}"),
    };
    Finding::warning("firewall", format!("the chain {place} masquerades"))
        .because("it goes first: netfwd passes what has the host's address already, and its containers have no ports of their own outside")
        .todo(format!("delete the rule, which `{list}` shows; for Docker's see `netfwd docker check`"))
}

fn liberal(facts: &Facts) -> Option<Finding> {
    let invalid = |chain: &&Chain| any(chain, |rule| rule.looks_at_state && rule.may_drop);
    let chain = facts.firewall.of(Hook::Forward).find(invalid)?;
    (facts.is_liberal == Some(false)).then(|| {
        Finding::warning("conntrack", format!("the chain {} drops by the state of connections", chain.place()))
            .because(
                "netfilter does not see the packets of the fast path: one that goes through the stack again may be \
                 invalid to it",
            )
            .todo("sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1")
    })
}

fn bridged(facts: &Facts) -> Option<Finding> {
    let chain = facts.firewall.of(Hook::Forward).find(|chain| drops(chain) && chain.family != "inet")?;
    facts.filters_bridged.then(|| {
        Finding::warning("bridges", format!("what stays on a bridge goes through {}, too", chain.place()))
            .because("containers of one network may not reach each other")
            .todo("sysctl -w net.bridge.bridge-nf-call-iptables=0 && sysctl -w net.bridge.bridge-nf-call-ip6tables=0")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            Level::{Problem, Warning},
            host::{complaints, well},
        },
        host::firewall::Backend,
    };

    fn chain(place: &str, hook: Hook, drops_by_policy: bool, rules: &[Rule]) -> Chain {
        let words: Vec<_> = place.split(' ').map(str::to_owned).collect();
        let [family, table, name] = words.try_into().unwrap();
        let (hook, rules) = (Some(hook), rules.to_vec());
        Chain { family, table, name, backend: Backend::Nft, hook, drops_by_policy, rules }
    }

    fn found(chains: &[Chain], change: impl Fn(&mut Facts)) -> Vec<(crate::check::Level, &'static str, String)> {
        let mut facts = well();
        facts.firewall.chains = chains.to_vec();
        change(&mut facts);
        complaints(judge, &facts)
    }

    const ACCEPT: Rule = Rule { may_accept: true, may_drop: false, looks_at_state: false, masquerades: false };

    #[test]
    fn a_chain_that_drops_everything_is_a_problem_and_is_opened_by_the_program_that_keeps_it() {
        let todo = "iptables -I FORWARD -i docker0 -j ACCEPT && iptables -I FORWARD -o docker0 -j ACCEPT".to_owned();
        let all = |place: &str| found(&[chain(place, Hook::Forward, true, &[])], |_| ());
        assert_eq!(all("ip filter FORWARD"), [(Problem, "firewall", todo)]);
        let todo = "nft insert rule inet fw forward iifname docker0 accept && \
                    nft insert rule inet fw forward oifname docker0 accept";
        assert_eq!(all("inet fw forward"), [(Problem, "firewall", todo.to_owned())]);
        assert!(all("bridge filter forward").is_empty());
    }

    #[test]
    fn a_chain_with_rules_is_told_of_where_packets_go_past_it() {
        let chains = [chain("ip filter FORWARD", Hook::Forward, false, &[ACCEPT])];
        assert_eq!(found(&chains, |_| ())[0].0, Warning);
        assert!(found(&chains, |facts| facts.attached = Attached::Yes { is_fast: false }).is_empty());
        assert!(found(&[chain("ip filter FORWARD", Hook::Forward, false, &[])], |_| ()).is_empty());
        assert!(found(&[chain("ip filter INPUT", Hook::Other, true, &[])], |_| ()).is_empty());
    }

    #[test]
    fn a_masquerading_rule_is_told_of() {
        let masquerade = Rule { masquerades: true, ..Rule::default() };
        let found = found(&[chain("ip nat POSTROUTING", Hook::Postrouting, false, &[masquerade])], |_| ());
        assert_eq!(found.len(), 1);
        assert!(found[0].2.contains("`iptables -t nat -S POSTROUTING`"), "{found:?}");
    }

    #[test]
    fn what_drops_by_state_and_what_filters_bridges_is_told_of() {
        let invalid = Rule { may_drop: true, looks_at_state: true, ..Rule::default() };
        let chains = [chain("ip filter FORWARD", Hook::Forward, false, &[invalid])];
        let subjects = |change: fn(&mut Facts)| found(&chains, change).iter().map(|one| one.1).collect::<Vec<_>>();
        assert_eq!(subjects(|_| ()), ["firewall"]);
        assert_eq!(subjects(|facts| facts.is_liberal = Some(true)), ["firewall"]);
        assert_eq!(subjects(|facts| facts.is_liberal = Some(false)), ["firewall", "conntrack"]);
        assert_eq!(subjects(|facts| facts.filters_bridged = true), ["firewall", "bridges"]);
    }

    #[test]
    fn rules_that_cannot_be_read_are_told_of() {
        let found = found(&[], |facts| facts.firewall.unknown = vec!["nft is not installed".to_owned()]);
        assert_eq!((found[0].0, found[0].1), (Warning, "firewall"));
    }
}
