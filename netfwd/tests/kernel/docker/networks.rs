//! Containers in several networks.

use lab::Topology;

use super::{Follower, PATIENCE, SOON, dockers, network};

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn ports_lead_to_the_address_in_the_network_that_is_the_gateway() {
    let (engine, _lab) = dockers(Topology::default());
    let follower = Follower::start(&engine);
    for (name, subnet, option) in [
        ("inside", "10.1.0.0/24", "--internal"),
        ("middle", "10.2.0.0/24", "--opt=com.docker.network.bridge.name=middle0"),
        ("zone", "10.3.0.0/24", "--opt=com.docker.network.bridge.enable_ip_masquerade=false"),
    ] {
        engine.docker(&["network", "create", "--subnet", subnet, option, name]).unwrap();
    }
    let state = follower.state(PATIENCE, |state| network(state, "zone").is_some());
    let facts = |name: &str| {
        let network = network(&state, name).unwrap();
        (network.is_internal, network.subnets.len(), network.masqueraded.len())
    };
    assert_eq!(
        ["inside", "middle", "zone", "bridge"].map(facts),
        [(true, 1, 0), (false, 1, 1), (false, 1, 0), (false, 1, 1)]
    );
    assert_eq!(network(&state, "middle").unwrap().bridge, "middle0");
    assert!(network(&state, "zone").unwrap().bridge.starts_with("br-"));

    engine.docker(&["run", "--detach", "--name", "a1", "--network", "zone", "-p", "8080:80", "web"]).unwrap();
    follower.publishes("a1", &["8080:10.3.0.2:80/tcp"]);
    engine.docker(&["network", "connect", "inside", "a1"]).unwrap();
    engine.docker(&["network", "connect", "middle", "a1"]).unwrap();
    // middle comes before zone.
    follower.publishes("a1", &["8080:10.2.0.2:80/tcp"]);
    engine.docker(&["network", "disconnect", "middle", "a1"]).unwrap();
    follower.publishes("a1", &["8080:10.3.0.2:80/tcp"]);
    engine.docker(&["network", "disconnect", "zone", "a1"]).unwrap();
    follower.publishes("a1", &[]);
    engine.docker(&["run", "--detach", "--name", "h1", "--network", "host", "web"]).unwrap();
    engine.docker(&["run", "--detach", "--name", "n1", "--network", "none", "web"]).unwrap();
    follower.publishes("n1", &[]);
    engine.docker(&["network", "rm", "zone"]).unwrap();
    follower.state(SOON, |state| network(state, "zone").is_none());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn ipv6_ports_lead_to_the_ipv6_address_of_a_container_that_has_one() {
    let (engine, _lab) = dockers(Topology::dual_stack());
    let follower = Follower::start(&engine);
    engine
        .docker(&["network", "create", "--ipv6", "--subnet", "10.2.0.0/24", "--subnet", "fd00:2::/64", "two"])
        .unwrap();
    engine.docker(&["run", "--detach", "--name", "a1", "--network", "two", "-p", "8080:80", "web"]).unwrap();
    follower.publishes("a1", &["8080:10.2.0.2:80/tcp", "8080:[fd00:2::2]:80/tcp"]);
    engine.docker(&["run", "--detach", "--name", "b1", "-p", "8081:80", "web"]).unwrap();
    follower.publishes("b1", &["8081:172.17.0.2:80/tcp"]);
}
