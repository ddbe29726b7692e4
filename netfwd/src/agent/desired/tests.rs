use super::*;
use crate::{
    datapath::uplinks::Choices,
    docker::{Container, Network, State},
    mapping::tests::mapping,
};

fn network(bridge: &str, subnet: &str, is_internal: bool, is_masqueraded: bool) -> (String, Network) {
    let subnets: Vec<_> = vec![subnet.parse().unwrap()];
    let masqueraded = if is_masqueraded { subnets.clone() } else { Vec::new() };
    let (name, bridge, apart) = (bridge.to_owned(), bridge.to_owned(), subnets.clone());
    let network = Network { name, bridge: bridge.clone(), subnets, masqueraded, apart, is_internal };
    (bridge, network)
}

fn docker() -> State {
    let web = Container { name: "web".to_owned(), mappings: vec![mapping("8080:172.17.0.2:80")] };
    let networks = [
        network("docker0", "172.17.0.0/16", false, true),
        network("br-inside", "172.18.0.0/16", true, false),
        network("br-routed", "172.19.0.0/16", false, false),
    ];
    State { containers: [("1".to_owned(), web)].into(), networks: networks.into() }
}

fn config(text: &str) -> Config {
    config::parse("netfwd.toml", text).unwrap()
}

/// The uplinks with their subnets.
fn uplinks(desired: &Desired) -> Vec<String> {
    let told = |uplink: &Options| {
        let Choices { subnets, found, .. } = uplink.choices();
        let subnets: Vec<_> = subnets.union(&found.masqueraded).collect();
        format!("{} {} {subnets:?}", uplink.interface, uplink.origin)
    };
    desired.uplinks().iter().map(told).collect()
}

#[test]
fn docker_says_what_is_mapped_masqueraded_and_kept_apart() {
    let mut desired = Desired::new(&[], None, true);
    desired.set_docker(&State::default());
    desired.set_docker(&docker());
    let label = Label { origin: Origin::Docker, name: "web".to_owned() };
    assert_eq!(desired.mappings(), [Wanted { mapping: mapping("8080:172.17.0.2:80"), label }]);
    assert_eq!(desired.origins(), [Origin::Docker]);
    let networks = desired.networks().unwrap();
    assert_eq!(networks.masqueraded, ["172.17.0.0/16".parse().unwrap()].into());
    assert_eq!(networks.internal, ["172.18.0.0/16".parse().unwrap()].into());
    let all = ["172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16"].map(|text| text.parse().unwrap());
    assert_eq!(networks.apart, all.into());
}

#[test]
fn an_uplink_is_as_the_configuration_says_and_masquerades_what_docker_would_too() {
    let file = "host-access = false\n[[uplink]]\ninterface = \"eth0\"\nsubnets = [\"10.0.0.0/8\"]\nparity = true\n";
    let named = ["eth0", "eth1"].map(str::to_owned);
    let mut desired = Desired::new(&named, Some(config(file)), true);
    assert_eq!(uplinks(&desired), ["eth0 config [10.0.0.0/8]", "eth1 docker []"]);
    desired.set_docker(&docker());
    assert_eq!(uplinks(&desired), ["eth0 config [10.0.0.0/8, 172.17.0.0/16]", "eth1 docker [172.17.0.0/16]"]);
    let [eth0, _] = &desired.uplinks()[..] else { panic!() };
    let internal = ["172.18.0.0/16".parse().unwrap()].into();
    assert_eq!((eth0.isolate, eth0.choices().found.internal), (false, internal), "what is not Docker's is as it was");
    let told: Vec<_> = desired.uplinks().iter().map(|uplink| (uplink.parity, uplink.host_access)).collect();
    assert_eq!(told, [(true, false), (false, false)]);
    desired.set_config(config("[[uplink]]\ninterface = \"eth2\"\ninternal = [\"172.16.0.0/12\"]\n"));
    assert_eq!(uplinks(&desired), ["eth2 config []", "eth0 docker [172.17.0.0/16]", "eth1 docker [172.17.0.0/16]"]);
}

#[test]
fn with_docker_alone_the_uplinks_are_those_of_the_default_routes() {
    let mut desired = Desired::new(&[], Some(config("limits.max-flows = 9")), true);
    assert!(!desired.has_default_uplinks(), "nothing is known of Docker");
    desired.set_docker(&docker());
    assert!(desired.has_default_uplinks());
    let uplink = desired.default_uplink("eth0");
    let subnets = ["172.17.0.0/16".parse().unwrap()].into();
    assert_eq!((uplink.choices().found.masqueraded, uplink.max_flows), (subnets, [Some(9), None]));
    desired.set_config(config("[[uplink]]\ninterface = \"eth0\""));
    assert!(!desired.has_default_uplinks());
}

#[test]
fn until_docker_has_answered_nothing_of_it_changes() {
    let mut desired = Desired::new(&[], Some(config("mappings = [\"80:172.17.0.2:80\"]")), true);
    let parts = |desired: &Desired| {
        (desired.origins(), desired.mappings().len(), [true, false].map(|is_attached| desired.may_attach(is_attached)))
    };
    assert_eq!(parts(&desired), (vec![Origin::Config], 1, [false, false]));
    desired.lose_docker();
    assert_eq!(parts(&desired), (vec![Origin::Config], 1, [false, true]), "containers go on without their engine");
    assert!(desired.default_uplink("eth0").isolate, "nobody knows yet what is to be open");
    desired.set_docker(&docker());
    let known = (vec![Origin::Config, Origin::Docker], 2, [true, true]);
    assert_eq!(parts(&desired), known);
    desired.lose_docker();
    assert_eq!(parts(&desired), known);
}

#[test]
fn what_nobody_wants_any_more_ends_and_what_nobody_speaks_of_stays() {
    let mut desired = Desired::new(&[], None, false);
    assert_eq!((desired.origins(), desired.timeouts(), desired.knows_uplinks()), (vec![], None, false));
    desired.set_config(config("timeouts.udp = 5"));
    desired.ask_docker(false);
    assert_eq!((desired.origins(), desired.knows_uplinks()), (vec![Origin::Config, Origin::Docker], true));
    let detached = |desired: &Desired| [Origin::Hand, Origin::Config, Origin::Docker].map(|one| desired.detaches(one));
    assert_eq!(detached(&desired), [false, true, true]);
    desired.ask_docker(true);
    assert_eq!(detached(&desired), [false, true, false]);
    assert_eq!(desired.timeouts().unwrap().udp, 5_000_000_000);
}
