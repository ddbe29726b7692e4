//! Rules that Docker has made.

use std::collections::BTreeSet;

use crate::{
    check::{Finding, list},
    host::firewall::{Backend, Chain, Firewall, Hook},
};

/// How the names of Docker's chains begin.
const CHAINS: &str = "DOCKER";
/// The table of Docker's back end for nftables (Docker 29).
const TABLE: &str = "docker-bridges";
/// Docker's rules name its chains, or bridges, or are about what a container sends to itself.
const FILTER: &str = r"grep -v -e DOCKER -e docker0 -e br- -e '-s \([^ ]*\) -d \1 '";

pub(super) fn judge(firewall: &Firewall) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Before the rules that accept are removed.
    findings.extend(firewall.of(Hook::Forward).filter(|chain| chain.drops_by_policy && !is_dockers(chain)).map(policy));
    findings.extend(chains(firewall));
    findings.extend(masquerading(firewall));
    if findings.is_empty() && firewall.unknown.is_empty() {
        findings.push(Finding::ok("rules", "none of Docker, and the FORWARD chain is open"));
    }
    findings.extend(firewall.unknown.iter().map(|why| {
        Finding::warning("rules", format!("were not looked at: {why}"))
            .because("Docker may have left some, which go before netfwd")
            .todo("apt-get install nftables, then `sudo netfwd docker check`")
    }));
    findings
}

fn is_dockers(chain: &Chain) -> bool {
    chain.name.starts_with(CHAINS) || chain.table == TABLE
}

fn chains(firewall: &Firewall) -> Option<Finding> {
    let left: Vec<_> = firewall.chains.iter().filter(|chain| is_dockers(chain)).collect();
    if left.is_empty() {
        return None;
    }
    let tables: BTreeSet<_> = left.iter().map(|chain| format!("{} {}", chain.family, chain.table)).collect();
    let tables: Vec<_> = tables.into_iter().collect();
    let todo: BTreeSet<_> = left.iter().map(|chain| removal(chain)).collect();
    Some(
        Finding::problem("rules", format!("Docker's are there ({})", list(&tables)))
            .because(
                "they stay when iptables is turned off: they drop and masquerade, and nobody keeps them up to date",
            )
            .todo(todo.into_iter().collect::<Vec<_>>().join(" && ")),
    )
}

/// What removes Docker's rules where a chain of them is.
fn removal(chain: &Chain) -> String {
    if chain.table == TABLE {
        return format!("nft delete table {} {TABLE}", chain.family);
    }
    let (six, legacy) =
        (if chain.family == "ip6" { "6" } else { "" }, if chain.backend == Backend::Legacy { "-legacy" } else { "" });
    format!("ip{six}tables{legacy}-save | {FILTER} | ip{six}tables{legacy}-restore")
}

fn masquerading(firewall: &Firewall) -> Vec<Finding> {
    let masquerades = |chain: &&Chain| !is_dockers(chain) && chain.rules.iter().any(|rule| rule.masquerades);
    let finding = |chain: &Chain| {
        Finding::warning("rules", format!("the chain {} masquerades", chain.place()))
            .because(
                "if it is Docker's, it goes before netfwd, whose containers have no ports of their own outside then",
            )
            .todo(match chain.iptables() {
                Some(_) => removal(chain),
                None => format!("nft --handle list chain {}, and delete the rule", chain.place()),
            })
    };
    firewall.chains.iter().filter(masquerades).map(finding).collect()
}

fn policy(chain: &Chain) -> Finding {
    let place = chain.place();
    let todo = match chain.iptables() {
        Some(program) => format!("{program} -P {} ACCEPT", chain.name),
        None => format!("nft chain {place} '{{ policy accept; }}'"),
    };
    Finding::problem("rules", format!("the chain {place} drops what no rule accepts"))
        .because(
            "Docker sets this policy and leaves it: first packets do not get to containers, or from them to the outside; \
             `netfwd attach --isolate` keeps apart what it kept apart",
        )
        .todo(todo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::firewall::Rule;

    fn chain(place: &str, backend: Backend) -> Chain {
        let words: Vec<_> = place.split(' ').map(str::to_owned).collect();
        let [family, table, name] = words.try_into().unwrap();
        Chain { family, table, name, backend, ..Chain::default() }
    }

    fn todos(chains: &[Chain]) -> Vec<String> {
        let firewall = Firewall { chains: chains.to_vec(), unknown: Vec::new() };
        judge(&firewall).into_iter().filter_map(|finding| finding.todo).collect()
    }

    #[test]
    fn what_docker_left_is_removed_where_it_is() {
        let nft = chain("ip nat DOCKER", Backend::Nft);
        let all = [nft.clone(), chain("ip filter DOCKER-USER", Backend::Nft)];
        let filter = r"grep -v -e DOCKER -e docker0 -e br- -e '-s \([^ ]*\) -d \1 '";
        assert_eq!(todos(&all), [format!("iptables-save | {filter} | iptables-restore")]);
        let all =
            [chain("ip6 filter DOCKER", Backend::Legacy), chain("ip docker-bridges filter-FORWARD", Backend::Nft)];
        let expected = format!(
            "ip6tables-legacy-save | {filter} | ip6tables-legacy-restore && nft delete table ip docker-bridges"
        );
        assert_eq!(todos(&all), [expected]);
        assert!(todos(&[chain("ip filter FORWARD", Backend::Nft)]).is_empty());
    }

    #[test]
    fn a_policy_that_drops_is_to_be_set_back() {
        let forward = |place| Chain { hook: Some(Hook::Forward), drops_by_policy: true, ..chain(place, Backend::Nft) };
        assert_eq!(todos(&[forward("ip filter FORWARD")]), ["iptables -P FORWARD ACCEPT"]);
        assert_eq!(todos(&[forward("inet fw forward")]), ["nft chain inet fw forward '{ policy accept; }'"]);
    }

    #[test]
    fn a_rule_that_masquerades_is_told_of() {
        let rules = vec![Rule { masquerades: true, ..Rule::default() }];
        let found = todos(&[Chain { rules, ..chain("ip nat POSTROUTING", Backend::Nft) }]);
        assert!(found.len() == 1 && found[0].starts_with("iptables-save | grep"), "{found:?}");
    }
}
