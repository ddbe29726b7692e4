//! What `nft --json list ruleset` says (libnftables-json(5)).

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Backend, Chain, Hook, Rule};

#[derive(Deserialize)]
struct Ruleset {
    nftables: Vec<Object>,
}

/// What is neither is left out.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    chain: Option<ChainObject>,
    rule: Option<RuleObject>,
}

#[derive(Deserialize)]
struct ChainObject {
    family: String,
    table: String,
    name: String,
    hook: Option<String>,
    policy: Option<String>,
}

#[derive(Deserialize)]
struct RuleObject {
    family: String,
    table: String,
    chain: String,
    #[serde(default)]
    expr: Vec<Value>,
}

/// The chains with their rules.
pub(super) fn parse(text: &str) -> Result<Vec<Chain>> {
    let ruleset: Ruleset = serde_json::from_str(text).context("nft says what netfwd does not understand")?;
    let mut chains: Vec<Chain> = Vec::new();
    let mut rules = Vec::new();
    for Object { chain, rule } in ruleset.nftables {
        chains.extend(chain.map(described));
        rules.extend(rule);
    }
    for rule in rules {
        let is_in =
            |chain: &&mut Chain| (&chain.family, &chain.table, &chain.name) == (&rule.family, &rule.table, &rule.chain);
        if let Some(chain) = chains.iter_mut().find(is_in) {
            chain.rules.push(judged(&rule.expr));
        }
    }
    Ok(chains)
}

fn described(chain: ChainObject) -> Chain {
    Chain {
        hook: chain.hook.map(|hook| match hook.as_str() {
            "forward" => Hook::Forward,
            "postrouting" => Hook::Postrouting,
            _ => Hook::Other,
        }),
        drops_by_policy: chain.policy.as_deref() == Some("drop"),
        family: chain.family,
        table: chain.table,
        name: chain.name,
        backend: Backend::Nft,
        rules: Vec::new(),
    }
}

fn judged(statements: &[Value]) -> Rule {
    let mut rule = Rule::default();
    for statement in statements {
        judge(statement, &mut rule);
    }
    rule
}

/// Looks at a statement and at all that is in it: verdicts may be in maps.
fn judge(value: &Value, rule: &mut Rule) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, inner)| {
            match name.as_str() {
                // A chain that is jumped to may do either.
                "accept" | "return" | "jump" | "goto" => rule.may_accept = true,
                "drop" | "reject" | "queue" => rule.may_drop = true,
                "masquerade" => rule.masquerades = true,
                "ct" => rule.looks_at_state |= inner.get("key").is_some_and(|key| key == "state"),
                "xt" => of_iptables(inner, rule),
                _ => {}
            }
            judge(inner, rule);
        }),
        Value::Array(values) => values.iter().for_each(|value| judge(value, rule)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A match or target of iptables, of which no more than the name is told.
fn of_iptables(inner: &Value, rule: &mut Rule) {
    let named = |inner: &Map<String, Value>| inner.get("name")?.as_str().map(str::to_owned);
    match inner.as_object().and_then(named).as_deref() {
        Some("MASQUERADE") => rule.masquerades = true,
        Some("REJECT") => rule.may_drop = true,
        Some("conntrack" | "state") => rule.looks_at_state = true,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(objects: &Value) -> Vec<Chain> {
        parse(&json!({ "nftables": objects }).to_string()).unwrap()
    }

    fn rule(expr: &Value) -> Rule {
        let chains = parsed(&json!([
            {"metainfo": {"version": "1.0.6"}},
            {"table": {"family": "ip", "name": "filter", "handle": 1}},
            {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "handle": 1, "type": "filter",
                       "hook": "forward", "prio": 0, "policy": "drop"}},
            {"rule": {"family": "ip", "table": "filter", "chain": "FORWARD", "handle": 3, "expr": expr}},
        ]));
        assert_eq!((chains[0].hook, chains[0].drops_by_policy), (Some(Hook::Forward), true));
        chains[0].rules[0]
    }

    #[test]
    fn rules_of_iptables_and_of_nft_are_understood_alike() {
        let drop = json!([{"xt": {"type": "match", "name": "conntrack"}}, {"counter": {"packets": 0}}, {"drop": null}]);
        let invalid = Rule { may_drop: true, looks_at_state: true, ..Rule::default() };
        assert_eq!(rule(&drop), invalid);
        let state = json!({"ct": {"key": "state"}});
        assert_eq!(rule(&json!([{"match": {"op": "in", "left": state, "right": "invalid"}}, {"drop": null}])), invalid);
        let map = json!({"set": [["invalid", {"drop": null}], ["established", {"accept": null}]]});
        let both = Rule { may_accept: true, ..invalid };
        assert_eq!(rule(&json!([{"vmap": {"key": state, "data": map}}])), both);
        assert_eq!(rule(&json!([{"reject": {"type": "icmp"}}])), Rule { may_drop: true, ..Rule::default() });
        assert_eq!(rule(&json!([{"jump": {"target": "DOCKER-USER"}}])), Rule { may_accept: true, ..Rule::default() });
        for masquerade in [json!({"masquerade": null}), json!({"xt": {"type": "target", "name": "MASQUERADE"}})] {
            assert_eq!(rule(&json!([masquerade])), Rule { masquerades: true, ..Rule::default() });
        }
    }

    #[test]
    fn a_chain_that_others_jump_to_has_no_hook() {
        let chains = parsed(&json!([{"chain": {"family": "ip", "table": "nat", "name": "DOCKER", "handle": 1}}]));
        assert_eq!((chains[0].place().as_str(), chains[0].hook), ("ip nat DOCKER", None));
        assert!(parse("no json").is_err());
    }
}
