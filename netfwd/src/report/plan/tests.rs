use serde_json::json;

use super::*;
use crate::{
    config,
    datapath::xdp,
    mapping::{Label, Origin, tests::mapping},
    uplink::Options,
};

fn uplink(options: &Options, masqueraded: &[(&str, &str)]) -> Uplink {
    let masqueraded = masqueraded.iter().map(|(net, address)| (net.parse().unwrap(), address.parse().unwrap()));
    Uplink { options: config::Uplink::from(options), masqueraded: masqueraded.collect(), origin: Origin::Config }
}

fn one(origin: Origin, name: &str, text: &str) -> Owned {
    Owned { mapping: mapping(text), label: Label { origin, name: name.to_owned() } }
}

fn all() -> plan::Plan {
    let before = uplink(
        &Options { bridges: vec!["docker0".to_owned()], pick_up: true, parity: true, ..Options::new("eth0") },
        &[("10.1.0.0/16", "192.0.2.1"), ("10.2.0.0/16", "192.0.2.1")],
    );
    let after = uplink(
        &Options { bridges: vec!["br1".to_owned()], fast_path: false, parity: true, ..Options::new("eth0") },
        &[("10.2.0.0/16", "192.0.2.2"), ("fd00::/64", "2001:db8::1")],
    );
    let parity = Options { parity: true, ..Options::new("eth1") };
    let docker = one(Origin::Docker, "web", "80:172.17.0.2:80");
    let named = one(Origin::Config, "dns", "53:172.17.0.3:53/udp");
    let udp = Timeouts { udp: 5_000_000_000, ..Timeouts::default() };
    plan::Plan {
        steps: vec![
            Step::Attach(Box::new(uplink(&parity, &[("10.1.0.0/16", "192.0.2.9")]))),
            Step::Alter { before: Box::new(before.clone()), after: Box::new(after) },
            Step::HostAccess(true),
            Step::Timeouts { before: Timeouts::default(), after: udp },
            Step::Map(named.clone()),
            Step::Replace(one(Origin::Config, "", "80-81:172.17.0.9:80-81"), vec![docker]),
            Step::Relabel(one(Origin::Config, "x", "53:172.17.0.3:53/udp"), named),
            Step::Unmap(one(Origin::Config, "", "[::1]:1:[fd00::2]:2")),
            Step::Detach(Box::new(before.clone())),
        ],
        kept_uplinks: vec![
            Uplink { origin: Origin::Hand, ..before.clone() },
            Uplink { origin: Origin::Docker, ..before },
        ],
        kept_mappings: vec![mapping("81:172.17.0.2:81")],
    }
}

#[test]
fn a_plan_is_told_line_by_line() {
    let expected = "\
+ uplink eth1
    parity = true
    masquerades 10.1.0.0/16 as 192.0.2.9
~ uplink eth0
    bridges [\"docker0\"] -> [\"br1\"]
    fast-path true -> false
    pick-up true -> false
    - masquerades 10.1.0.0/16 as 192.0.2.1
    masquerades 10.2.0.0/16 as 192.0.2.1 -> 192.0.2.2
    + masquerades fd00::/64 as 2001:db8::1
~ host-access: false -> true
~ timeouts: udp 300 -> 5
+ mapping 53/udp to 172.17.0.3:53 (dns)
~ mapping 80-81/tcp to 172.17.0.9:80-81: instead of 80/tcp to 172.17.0.2:80 (docker web)
~ mapping 53/udp to 172.17.0.3:53 (dns): was 53/udp to 172.17.0.3:53 (config x)
- mapping [::1]:1/tcp to [fd00::2]:2
- uplink eth0
= uplink eth0 stays: made by hand (`netfwd detach eth0`)
= uplink eth0 stays: attached for Docker (`netfwd detach eth0`)
= mapping 81/tcp to 172.17.0.2:81 stays: made by hand (`netfwd unmap 81/tcp`)
Plan: 2 to add, 5 to change, 2 to remove.";
    assert_eq!(Plan::new(&all(), false).text(), expected);
    assert!(Plan::new(&all(), true).text().ends_with("\nApplied: 2 added, 5 changed, 2 removed."));
    assert_eq!(Plan::new(&plan::Plan::default(), true).text(), "No changes.");
}

#[test]
fn the_shape_of_the_json_stays() {
    let told = serde_json::to_value(Plan::new(&all(), false)).unwrap();
    let expected = json!({
        "change": "add",
        "what": "uplink eth1",
        "details": ["parity = true", "masquerades 10.1.0.0/16 as 192.0.2.9"],
    });
    assert_eq!((&told["applied"], &told["changes"][0]), (&json!(false), &expected));
    let kept =
        json!({ "what": "mapping 81/tcp to 172.17.0.2:81", "origin": "hand", "ended_by": "netfwd unmap 81/tcp" });
    assert_eq!(told["kept"][2], kept);
}

#[test]
fn the_change_of_a_word_fits_on_its_line() {
    let native = Options { xdp: xdp::Choice::Native, ..Options::new("eth0") };
    let (before, after) = (uplink(&Options::new("eth0"), &[]), uplink(&native, &[]));
    let plan = plan::Plan {
        steps: vec![Step::Alter { before: Box::new(before), after: Box::new(after) }],
        ..plan::Plan::default()
    };
    assert!(Plan::new(&plan, false).text().starts_with("~ uplink eth0: xdp off -> native\n"));
}

#[test]
fn keys_with_a_default_are_not_written_if_they_have_it() {
    for (key, default) in DEFAULTS {
        let value = if matches!(default, "true" | "false") { default.to_owned() } else { format!("\"{default}\"") };
        let read: config::Uplink = toml::from_str(&format!("interface = \"eth0\"\n{key} = {value}")).unwrap();
        assert_eq!(keys(&uplink(&Options::from(&read), &[])), BTreeMap::new(), "{key}");
    }
}
