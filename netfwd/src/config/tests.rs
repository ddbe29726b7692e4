use std::net::IpAddr;

use proptest::{prelude::*, sample::select, test_runner::TestCaseResult};

use super::*;
use crate::{
    datapath::{hook::Hook, ports::Range, xdp},
    uplink::{Clamp, FilteringChoice, Found, HookChoice, Options, XdpChoice, parse as value},
};

const ALL: &str = r#"
host-access = false
mappings = ["8080:172.17.0.2:80", { name = "dns", map = "53:172.17.0.3:53/tcp+udp" }]

[limits]
max-flows = 1000
max-flows6 = 2000

[timeouts]
udp = 180

[docker]
enabled = true
socket = "/run/docker.sock"

[metrics]
listen = "127.0.0.1:19753"

[[uplink]]
interface = "eth0"
bridges = ["docker0"]
subnets = ["172.18.0.1/16"]
addresses = ["192.0.2.1"]
no-masquerade = ["10.0.0.0/8"]
isolate = true
internal = ["172.30.0.0/16"]
ports = "2000-2999,4000"
parity = true
filtering = "endpoint"
max-ports-per-source = 7
clamp-mss = 1400
pick-up = true
fast-path = false
xdp = "auto"
hook = "tc"

[[uplink]]
interface = "eth1"
"#;

fn parsed(text: &str) -> Config {
    parse("netfwd.toml", text).unwrap()
}

fn refused(text: &str) -> Invalid {
    parse("netfwd.toml", text).unwrap_err()
}

#[test]
fn every_key_of_an_uplink_is_what_attach_takes() {
    let [all, least] = &parsed(ALL).uplinks()[..] else { panic!() };
    let expected = Options {
        interface: "eth0".to_owned(),
        bridges: vec!["docker0".to_owned()],
        subnets: vec!["172.18.0.0/16".parse().unwrap()],
        addresses: vec![IpAddr::from([192, 0, 2, 1])],
        no_masquerade: vec!["10.0.0.0/8".parse().unwrap()],
        isolate: true,
        internal: vec!["172.30.0.0/16".parse().unwrap()],
        found: Found::default(),
        ports: vec![Range { first: 2000, last: 2999 }, Range { first: 4000, last: 4000 }],
        parity: true,
        filtering: netfwd_common::abi::Filtering::Endpoint,
        max_ports_per_source: Some(7),
        clamp_mss: Some(Clamp::Bytes(1400)),
        pick_up: true,
        fast_path: false,
        xdp: xdp::Choice::Auto,
        hook: Some(Hook::Tc),
        host_access: false,
        max_flows: [Some(1000), Some(2000)],
        origin: Origin::Config,
    };
    assert_eq!(*all, expected);
    let options = Options {
        host_access: false,
        max_flows: [Some(1000), Some(2000)],
        origin: Origin::Config,
        ..Options::new("eth1")
    };
    assert_eq!(*least, options);
}

#[test]
fn the_other_keys_are_read_too() {
    let config = parsed(ALL);
    let wanted = config.wanted();
    let told: Vec<_> =
        wanted.iter().map(|one| format!("{} {} {}", one.label.origin, one.label.name, one.mapping)).collect();
    let expected =
        ["config  8080:172.17.0.2:80/tcp", "config dns 53:172.17.0.3:53/tcp", "config dns 53:172.17.0.3:53/udp"];
    assert_eq!(told, expected);
    assert_eq!(config.timeouts.unwrap().in_force().udp, 180_000_000_000);
    assert_eq!((config.docker.enabled, config.docker.socket.unwrap().0.as_str()), (true, "unix:///run/docker.sock"));
    assert_eq!(config.metrics.listen.unwrap().0, "127.0.0.1:19753".parse().unwrap());
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(parsed(""), Config::default());
    assert_eq!(Config::default().text().unwrap(), "");
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_would_be_right() {
    for (text, place, part) in [
        ("subnet = 1", "1:1", "unknown key `subnet`; there are host-access, mappings, limits, timeouts, "),
        ("[[uplink]]\ninterface = \"e\"\nsubnet = []", "3:1", "unknown key `subnet` (is `subnets` meant?); there are "),
        ("[timeouts]\nupd = 3", "2:1", "unknown key `upd` (is `udp` meant?); there are tcp-opening, "),
        ("mappings = [{ nam = 1 }]", "1:15", "unknown key `nam` (is `name` meant?); there are map, name"),
        ("[[uplink]]\ninterface = \"e\"\nhook = \"xdp\"", "3:8", "`xdp` is not possible"),
        (
            "[[uplink]]\ninterface = \"e\"\nfiltering = \"adress\"",
            "3:13",
            "(is `address` meant?); possible are endpoint, ",
        ),
        ("[[uplink]]\nbridges = []", "1:1", "the key `interface` is missing"),
        ("[[uplink]]\ninterface = \"é\"\nsubnets = [\"é\", \"10.0.0.0\"]", "3:12", "not a subnet such as"),
        ("[[uplink]]\ninterface = \"e\"\nsubnets = [\"10.0.0.0/8\", \"10.0.0.0\"]", "3:26", "as in 10.0.0.0/16"),
        ("[[uplink]]\ninterface = \"e\"\nclamp-mss = 3", "3:13", "a segment's size in bytes from 536 to 65495"),
        ("[[uplink]]\ninterface = \"e\"\nmax-ports-per-source = 0", "3:24", "0 is not in 1 to 4294967295"),
        ("[limits]\nmax-flows = -1", "2:13", "-1 is not in 1 to 16777216"),
        ("[timeouts]\nudp = 0", "2:7", "a timeout has 1 to 2592000 whole seconds (30 days)"),
        ("[metrics]\nlisten = \"x\"", "2:10", "not an address and a port such as 127.0.0.1:19753 or [::1]:19753"),
        ("[docker]\nsocket = \"docker.sock\"", "2:10", "neither a path such as /var/run/docker.sock"),
        ("host-access = 3", "1:15", "invalid type: integer `3`, expected a boolean"),
        (
            "[[uplink]]\ninterface = \"e\"\nsubnets = [3]",
            "3:12",
            "invalid type: integer `3`, expected a text in quotes",
        ),
        ("mappings = [\n  \"0:1.2.3.4:80\"]", "2:3", "host port `0` in `0:1.2.3.4:80`: ports are 1 to 65535"),
        ("mappings = [\"172.17.0.2:80\"]", "1:13", "write HOST_PORTS, as many as the container has"),
        ("mappings = [{ name = \"a\", map = \"x\" }]", "1:33", "a mapping is [HOST_IP:]"),
        ("[docker]\nenabled = true\nenabled = true", "3:1", "duplicate key"),
        ("[docker", "1:8", ""),
    ] {
        let error = refused(text);
        let told = error.to_string();
        assert!(told.starts_with(&format!("netfwd.toml:{place}: ")) && told.contains(part), "{text}: {told}");
    }
}

#[test]
fn what_contradicts_itself_is_shown_at_both_places() {
    let error = refused("mappings = [\n  \"8080:172.17.0.2:80\",\n  \"8000-8090:172.17.0.3:8000-8090\",\n]");
    assert_eq!(error.to_string(), "netfwd.toml:3:3: 8000-8090/tcp is mapped already, by 8080:172.17.0.2:80/tcp");
    let expected = "  |
2 |   \"8080:172.17.0.2:80\",
  |   -------------------- and this
3 |   \"8000-8090:172.17.0.3:8000-8090\",
  |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^";
    assert_eq!(error.excerpt(), expected);
    let error = refused("[[uplink]]\ninterface = \"e\"\n\n[[uplink]]\ninterface = \"e\"");
    assert_eq!(error.to_string(), "netfwd.toml:5:13: the uplink e is there twice");
    let uplink = |rest: &str| format!("[[uplink]]\ninterface = \"e\"\n{rest}");
    let error = refused(&uplink("addresses = [\"192.0.2.1\", \"2001:db8::1\", \"192.0.2.2\"]"));
    assert_eq!(error.to_string(), "netfwd.toml:3:42: 192.0.2.1 and 192.0.2.2 are two IPv4 addresses: give one");
    assert_eq!(parsed(&uplink("addresses = [\"192.0.2.1\", \"192.0.2.1\"]")).uplinks[0].addresses.len(), 2);
    let error = refused(&uplink("internal = [\"10.0.0.0/8\"]\nsubnets = [\"fd00:1::/64\", \"10.1.0.0/16\"]"));
    let message = "10.1.0.0/16 is to be masqueraded, and nothing of the internal 10.0.0.0/8 is: choose one";
    assert_eq!(error.to_string(), format!("netfwd.toml:4:27: {message}"));
    assert_eq!(parsed("mappings = [\"80:172.17.0.2:80\", \"80:172.17.0.2:80/udp\"]").wanted().len(), 2);
}

fn texts<T>(all: &'static [&'static str], read: impl Fn(&str) -> T) -> impl Strategy<Value = Vec<T>>
where
    T: std::fmt::Debug + Clone + 'static,
{
    prop::sample::subsequence(all.iter().map(|text| read(text)).collect::<Vec<_>>(), 0..=all.len())
}

fn placed<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn any_uplink() -> impl Strategy<Value = Uplink> {
    let subnets = texts(&["172.17.0.0/16", "fd00:1::/64"], |text| placed(Subnet(value::subnet(text).unwrap())));
    let destinations = texts(&["10.0.0.0/8", "::/0"], |text| Destinations(value::destinations(text).unwrap()));
    let addresses = texts(&["192.0.2.1", "2001:db8::1"], |text| placed(Address(value::address(text).unwrap())));
    let ports = prop::option::of(select(vec!["1-1", "1024-65535", "2000-2999,4000"]))
        .prop_map(|text| text.map(|text| Ports(value::ports(text).unwrap())));
    let segment = prop_oneof![Just(Clamp::Mtu), (value::MIN_SEGMENT..=value::MAX_SEGMENT).prop_map(Clamp::Bytes)];
    let count =
        prop::option::of(1..i64::from(u32::MAX)).prop_map(|count| count.map(|count| Count::try_from(count).unwrap()));
    let filtering = select(vec![FilteringChoice::Endpoint, FilteringChoice::Address, FilteringChoice::AddressAndPort]);
    let xdp = select(vec![XdpChoice::Auto, XdpChoice::Native, XdpChoice::Generic, XdpChoice::Off]);
    let words = (filtering, xdp, select(vec![HookChoice::Auto, HookChoice::Tcx, HookChoice::Tc]));
    let internal = texts(&["172.30.0.0/16", "fd00:30::/64"], |text| placed(Subnet(value::subnet(text).unwrap())));
    let networks = (subnets, destinations, addresses, texts(&["docker0", "br-1"], str::to_owned), internal);
    (networks, ports, prop::option::of(segment), count, words, any::<[bool; 4]>()).prop_map(
        |(networks, ports, segment, count, (filtering, xdp, hook), switches)| {
            let (subnets, no_masquerade, addresses, bridges, internal) = networks;
            let [parity, pick_up, fast_path, isolate] = switches;
            Uplink {
                interface: placed(String::new()),
                bridges,
                subnets,
                addresses,
                no_masquerade,
                isolate,
                internal,
                ports,
                parity,
                filtering,
                max_ports_per_source: count,
                clamp_mss: segment.map(Segment),
                pick_up,
                fast_path,
                xdp,
                hook,
            }
        },
    )
}

fn any_config() -> impl Strategy<Value = Config> {
    let name = |place: usize| placed(format!("eth{place}"));
    let uplinks = prop::collection::vec(any_uplink(), 0..3).prop_map(move |uplinks| {
        let named = uplinks.into_iter().enumerate().map(|(place, uplink)| Uplink { interface: name(place), ..uplink });
        named.collect()
    });
    let all = ["80:172.17.0.2:80", "192.0.2.1:80:172.17.0.2:80/sctp", "1-9:[fd00::2]:11-19/udp"];
    let mappings = prop::sample::subsequence(all.to_vec(), 0..=all.len());
    let mappings = (mappings, any::<String>()).prop_map(|(texts, name)| {
        let entry = |text: &&str| Entry::new(&crate::mapping::tests::mapping(text), name.clone());
        texts.iter().map(|text| placed(entry(text))).collect()
    });
    let timeouts = prop::option::of(1_u64..100)
        .prop_map(|seconds| seconds.map(|seconds| toml::from_str(&format!("udp = {seconds}")).unwrap()));
    let limits = prop::option::of(1..i64::from(value::MAX_FLOWS))
        .prop_map(|flows| Limits { max_flows: flows.map(|flows| Flows::try_from(flows).unwrap()), max_flows6: None });
    let (docker, metrics) = (parsed(ALL).docker, parsed(ALL).metrics);
    (any::<[bool; 3]>(), mappings, limits, timeouts, uplinks).prop_map(
        move |(on, mappings, limits, timeouts, uplinks)| {
            let [host_access, has_docker, has_metrics] = on;
            Config {
                host_access,
                mappings,
                limits,
                timeouts,
                docker: if has_docker { docker.clone() } else { Docker::default() },
                metrics: if has_metrics { metrics.clone() } else { Metrics::default() },
                uplinks,
            }
        },
    )
}

fn is_read_as_written(config: &Config) -> TestCaseResult {
    let text = config.text().unwrap();
    let read = parse("netfwd.toml", &text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
    prop_assert_eq!(&read, config);
    Ok(())
}

#[test]
fn a_file_is_read_as_it_was_written() {
    is_read_as_written(&parsed(ALL)).unwrap();
}

proptest! {
    #[test]
    fn any_configuration_is_read_as_it_was_written(config in any_config()) {
        is_read_as_written(&config)?;
    }

    #[test]
    fn no_text_is_too_much(text in any::<String>(), cut in 0..ALL.len(), more in "[\\[\\]{}\"=a-z\n.0-9]{0,4}") {
        let _any = parse("netfwd.toml", &text).is_ok();
        let _spoilt = parse("netfwd.toml", &format!("{}{more}{}", &ALL[..cut], &ALL[cut..])).is_ok();
    }
}
