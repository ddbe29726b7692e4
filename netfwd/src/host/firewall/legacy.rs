//! What `iptables-legacy -S` says (iptables(8)).

use super::{Backend, Chain, Hook, Rule};

/// The chains of a table with their rules.
pub(super) fn parse(family: &str, table: &str, text: &str) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["-P", name, policy] => {
                chains
                    .push(Chain { drops_by_policy: *policy == "DROP", ..chain(family, table, name, Some(hook(name))) });
            }
            ["-N", name] => chains.push(chain(family, table, name, None)),
            ["-A", name, rest @ ..] => {
                if let Some(chain) = chains.iter_mut().find(|chain| chain.name == *name) {
                    chain.rules.push(rule(rest));
                }
            }
            _ => {}
        }
    }
    chains
}

fn chain(family: &str, table: &str, name: &str, hook: Option<Hook>) -> Chain {
    let [family, table, name] = [family, table, name].map(str::to_owned);
    Chain { family, table, name, hook, backend: Backend::Legacy, ..Chain::default() }
}

fn hook(name: &str) -> Hook {
    match name {
        "FORWARD" => Hook::Forward,
        "POSTROUTING" => Hook::Postrouting,
        _ => Hook::Other,
    }
}

fn rule(words: &[&str]) -> Rule {
    let target = words.windows(2).find_map(|pair| match pair {
        ["-j" | "-g", target] => Some(*target),
        _ => None,
    });
    let mut rule = Rule { looks_at_state: words.iter().any(|word| word.contains("INVALID")), ..Rule::default() };
    match target {
        Some("DROP" | "REJECT") => rule.may_drop = true,
        Some("MASQUERADE") => rule.masquerades = true,
        Some("LOG" | "MARK") | None => {}
        Some(_) => rule.may_accept = true,
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_chains_and_rules_are_understood() {
        let text = "-P INPUT ACCEPT\n-P FORWARD DROP\n-N DOCKER\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\n\
                    -A FORWARD -o docker0 -j DOCKER\n";
        let chains = parse("ip", "filter", text);
        assert_eq!(chains.len(), 3);
        assert!(chains[1].drops_by_policy && chains[1].hook == Some(Hook::Forward) && !chains[0].drops_by_policy);
        assert_eq!(chains[1].iptables(), Some("iptables-legacy"));
        let invalid = Rule { may_drop: true, looks_at_state: true, ..Rule::default() };
        assert_eq!(chains[1].rules, [invalid, Rule { may_accept: true, ..Rule::default() }]);
        let nat =
            parse("ip6", "nat", "-P POSTROUTING ACCEPT\n-A POSTROUTING -s fd00::/64 ! -o docker0 -j MASQUERADE\n");
        assert!(nat[0].rules[0].masquerades);
    }
}
