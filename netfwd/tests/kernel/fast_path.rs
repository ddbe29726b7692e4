//! The fast path: what belongs to known flows goes past the host's stack, and everything that a router does is done.

mod status;
mod xdp;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use lab::{Capture, Iperf, IperfServer, Lab, Topology, UdpEcho};

use crate::{
    sockets::{PATIENCE, at, echoes, is_unanswered, udp_at},
    support::{json, lab, on_the_way, said},
};

/// One family's addresses in the lab.
struct Addresses {
    client: &'static str,
    host: &'static str,
    /// A mapping to the first container, and one to the second.
    mappings: [&'static str; 2],
    any: &'static str,
    time_exceeded: &'static str,
}

const FAMILIES: [Addresses; 2] = [
    Addresses {
        client: "192.168.137.1",
        host: "192.168.137.104",
        mappings: ["8080:172.17.0.2:80/udp", "9090:172.17.0.3:80/udp"],
        any: "0.0.0.0",
        time_exceeded: "icmp[0] == 11",
    },
    Addresses {
        client: "2001:db8:137::1",
        host: "2001:db8:137::104",
        mappings: ["[::]:8080:[fd00:17::2]:80/udp", "[::]:9090:[fd00:17::3]:80/udp"],
        any: "::",
        time_exceeded: "icmp6 and ip6[40] == 3",
    },
];

/// A lab of both families with the fast path.
fn fast() -> Lab {
    let lab = lab(&Topology::dual_stack());
    said(&lab, &["attach", "ens33", "--fast-path", "on", "--hook", "tc"]);
    lab
}

/// Three conversations: a container's with the client, the client's with a container, and a container's with the other
/// one by way of the host's address.
struct Conversations {
    sockets: [(UdpSocket, SocketAddr); 3],
    echoes: [UdpEcho; 3],
}

impl Conversations {
    /// Begins them, and waits until the kernel part knows where the containers are.
    fn begin(lab: &Lab, family: &Addresses) -> Self {
        said(lab, &["map", family.mappings[0], family.mappings[1]]);
        let [first, second] = [0, 1].map(|number| &lab.containers()[number]);
        let any = at(family.any, 80);
        let echoes = [
            UdpEcho::start_at(lab.client(), at(family.any, 7)).unwrap(),
            UdpEcho::start_at(first, any).unwrap(),
            UdpEcho::start_at(second, any).unwrap(),
        ];
        let from = |netns| udp_at(netns, at(family.any, 0));
        let sockets = [
            (from(first), at(family.client, 7)),
            (from(lab.client()), at(family.host, 8080)),
            (from(first), at(family.host, 9090)),
        ];
        let conversations = Self { sockets, echoes };
        // Each has sent its neighbours' question and heard their answer by then.
        assert!(conversations.go_on());
        conversations
    }

    fn go_on(&self) -> bool {
        self.sockets.iter().all(|(socket, target)| echoes(socket, *target))
    }

    fn heard(&self) -> usize {
        self.echoes.iter().map(|echo| echo.peers().len()).sum()
    }
}

/// Packets that took the fast path on a hook.
fn counted(lab: &Lab) -> [u64; 3] {
    let stats = json(lab, &["stats"]);
    let (uplink, bridge) = (&stats["uplinks"][0], &stats["bridges"][0]);
    [&uplink["ingress"], &uplink["egress"], &bridge["ingress"]]
        .map(|hook| hook["fast_path"]["packets"].as_u64().unwrap())
}

/// The members that have the program, according to tc, which knows the filters of clsact.
fn members(lab: &Lab) -> usize {
    let links = lab.host().run(&["ip", "-o", "link", "show", "master", "docker0"]).unwrap().stdout;
    let names = links.lines().map(|line| line.split([' ', '@', ':']).nth(2).unwrap().to_owned());
    let filters = |name: String| lab.host().run(&["tc", "filter", "show", "dev", &name, "ingress"]).unwrap().stdout;
    names.filter(|name| filters(name.clone()).contains("netfwd_member")).count()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn known_flows_go_past_the_bridge_in_every_direction() {
    for family in &FAMILIES {
        let lab = fast();
        let conversations = Conversations::begin(&lab, family);
        let bridge = Capture::start(lab.host(), "docker0", "udp").unwrap();
        let (container, client) = (lab.containers()[0].hardware_address("eth0").unwrap(), lab.client());
        let inside = Capture::start(&lab.containers()[0], "eth0", "udp and dst port 80").unwrap();
        let wire = Capture::start(client, "eth0", "udp and dst port 7").unwrap();
        let before = counted(&lab);
        for _ in 0..5 {
            assert!(conversations.go_on());
        }
        let after = counted(&lab);
        let counts: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(counts, [10, 10, 10], "{}", said(&lab, &["stats"]));
        let through = bridge.stop().unwrap().lines().unwrap();
        assert!(through.is_empty(), "{through:#?}");
        let (inside, wire) = (inside.stop().unwrap(), wire.stop().unwrap());
        for packets in [&inside, &wire] {
            assert_eq!(packets.bad_checksums().unwrap(), Vec::<String>::new());
        }
        assert!(inside.frames().unwrap().iter().all(|frame| frame[..6] == container));
        let hops = |packets: &lab::Packets| -> Vec<u8> {
            let v4 = packets.ipv4().unwrap().into_iter().map(|packet| packet.ttl);
            v4.chain(packets.ipv6().unwrap().into_iter().map(|packet| packet.ttl)).collect()
        };
        assert_eq!((hops(&inside), hops(&wire)), (vec![63; 5], vec![63; 5]), "one hop less");
        assert_eq!(conversations.echoes[1].peers()[0].ip(), family.client.parse::<IpAddr>().unwrap());
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_packet_without_hops_to_spare_is_answered_by_the_host() {
    for family in &FAMILIES {
        let lab = fast();
        let conversations = Conversations::begin(&lab, family);
        for (netns, number) in [(&lab.containers()[0], 0), (lab.client(), 1)] {
            let (socket, target) = &conversations.sockets[number];
            let answers = Capture::start(netns, "eth0", family.time_exceeded).unwrap();
            let heard = conversations.heard();
            set_hops(socket, 1);
            assert!(is_unanswered(socket, *target));
            assert_eq!(conversations.heard(), heard);
            assert_eq!(answers.stop().unwrap().lines().unwrap().len(), 1);
            set_hops(socket, 64);
            // What was heard of the error is the socket's.
            while socket.take_error().unwrap().is_some() {}
            assert!(echoes(socket, *target));
        }
    }
}

/// The path MTU that the client has learnt of the host, if any.
fn learnt(lab: &Lab, family: &Addresses) -> Option<u16> {
    let route = lab.client().run(&["ip", "route", "get", family.host]).unwrap().stdout;
    route.split_whitespace().skip_while(|word| *word != "mtu").nth(1)?.parse().ok()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_client_learns_that_a_member_carries_less() {
    for family in &FAMILIES {
        let lab = fast();
        let conversations = Conversations::begin(&lab, family);
        let links = lab.host().run(&["ip", "-o", "link", "show", "master", "docker0"]).unwrap().stdout;
        let member = links.split([' ', '@', ':']).nth(2).unwrap();
        lab.host().run(&["ip", "link", "set", member, "mtu", "1300"]).unwrap();
        let (client, target) = &conversations.sockets[1];
        let end = Instant::now() + PATIENCE;
        while learnt(&lab, family) != Some(1300) {
            assert!(Instant::now() < end, "{:?}", learnt(&lab, family));
            // What is heard of the error is an error of the next call.
            client.send_to(&[7; 1400], *target).ok();
            thread::sleep(Duration::from_millis(20));
        }
        while client.take_error().unwrap().is_some() {}
        let before = counted(&lab)[0];
        assert!(echoes(client, *target));
        assert!(counted(&lab)[0] > before, "what fits goes on as before");
    }
}

fn set_hops(socket: &UdpSocket, hops: i32) {
    use nix::sys::socket::{setsockopt, sockopt};
    if socket.local_addr().unwrap().is_ipv4() {
        setsockopt(socket, sockopt::Ipv4Ttl, &hops).unwrap();
    } else {
        setsockopt(socket, sockopt::Ipv6Ttl, &hops).unwrap();
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_transfer_each_way_arrives_with_right_checksums() {
    const SIZE: u64 = 100_000_000;
    let lab = fast();
    let _server = IperfServer::start(&lab.containers()[0], 5201).unwrap();
    said(&lab, &["map", "5000:172.17.0.2:5201"]);
    let sample = Capture::start(lab.client(), "eth0", "tcp and ip[5] = 0x55").unwrap();
    for options in [&["--bytes", "100000000"][..], &["--bytes", "100000000", "--reverse"]] {
        let target = "192.168.137.104".parse().unwrap();
        let iperf = Iperf { target, port: 5000, options, timeout: Duration::from_mins(5) };
        let transfer = iperf.run(lab.client()).unwrap();
        assert!(transfer.received >= SIZE - on_the_way(&lab), "{transfer:?}");
    }
    assert_eq!(sample.stop().unwrap().bad_checksums().unwrap(), Vec::<String>::new());
    let [ingress, egress, _] = counted(&lab);
    assert!(ingress > 1_000 && egress > 1_000, "{ingress} {egress}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_container_behind_another_member_is_reached_at_once_and_fast_again_later() {
    let lab = fast();
    let family = &FAMILIES[0];
    let conversations = Conversations::begin(&lab, family);
    let container = &lab.containers()[0];
    // Its end goes with it.
    container.run(&["ip", "link", "delete", "eth0"]).unwrap();
    for command in ["link add again0 type veth peer name eth0 netns NETNS", "link set again0 master docker0 up"] {
        let command = command.replace("NETNS", container.name());
        let words: Vec<_> = ["ip"].into_iter().chain(command.split(' ')).collect();
        lab.host().run(&words).unwrap();
    }
    for command in ["address add 172.17.0.2/16 dev eth0", "link set eth0 up", "route add default via 172.17.0.1"] {
        let words: Vec<_> = ["ip"].into_iter().chain(command.split(' ')).collect();
        container.run(&words).unwrap();
    }
    // The host still knows its old Ethernet address.
    lab.host().run(&["ip", "neighbour", "flush", "dev", "docker0"]).unwrap();
    let (client, target) = &conversations.sockets[1];
    let before = counted(&lab)[0];
    assert!(echoes(client, *target), "through the stack");
    assert_eq!(counted(&lab)[0], before);
    said(&lab, &["map", "8081:172.17.0.3:81"]);
    assert_eq!(members(&lab), 2);
    assert!(echoes(client, *target));
    assert!(counted(&lab)[0] > before, "{}", said(&lab, &["stats"]));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn members_have_a_program_while_there_is_a_fast_path_and_new_ones_are_followed() {
    let lab = lab(&Topology::dual_stack());
    said(&lab, &["attach", "ens33", "--fast-path", "off", "--hook", "tc"]);
    assert_eq!(members(&lab), 0);
    said(&lab, &["attach", "ens33", "--fast-path", "on", "--hook", "tc"]);
    assert_eq!(members(&lab), 2);
    let mut follower = lab.spawn_netfwd(&["run"]).unwrap();
    follower.wait_for_line("follows ens33", PATIENCE).unwrap();
    let word = ["ip", "link", "add", "new0", "type", "veth", "peer", "name", "eth7", "netns", lab.client().name()];
    lab.host().run(&word).unwrap();
    lab.host().run(&["ip", "link", "set", "new0", "master", "docker0", "up"]).unwrap();
    let end = Instant::now() + PATIENCE;
    while members(&lab) != 3 {
        assert!(Instant::now() < end, "{}", said(&lab, &["status"]));
        thread::sleep(Duration::from_millis(20));
    }
    said(&lab, &["attach", "ens33", "--fast-path", "off", "--hook", "tc"]);
    assert_eq!(members(&lab), 0);
    said(&lab, &["attach", "ens33", "--fast-path", "on", "--hook", "tc"]);
    said(&lab, &["detach", "--all"]);
    assert_eq!(members(&lab), 0);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_member_that_cannot_have_the_program_costs_nobody_else_anything() {
    let lab = lab(&Topology::dual_stack());
    let _echo = UdpEcho::start_at(lab.client(), at("0.0.0.0", 7)).unwrap();
    let links = lab.host().run(&["ip", "-o", "link", "show", "master", "docker0"]).unwrap().stdout;
    let name = links.split([' ', '@', ':']).nth(2).unwrap();
    lab.host().run(&["tc", "qdisc", "add", "dev", name, "ingress"]).unwrap();
    let on = ["attach", "ens33", "--fast-path", "on", "--hook", "tc"];
    for arguments in [&on[..], &on, &["map", "8080:172.17.0.2:80"]] {
        let warning = lab.netfwd(arguments).unwrap().stderr;
        assert!(
            warning.starts_with(&format!("netfwd: warning: what is behind {name} has no fast path: ")),
            "{warning}"
        );
        assert!(warning.contains(&format!("remove it with `tc qdisc del dev {name} ingress`")), "{warning}");
        assert_eq!(warning.lines().count(), 1, "{warning}");
    }
    assert_eq!(members(&lab), 1);
    for container in lab.containers() {
        assert!(echoes(&udp_at(container, at("0.0.0.0", 0)), at("192.168.137.1", 7)));
    }
    lab.host().run(&["tc", "qdisc", "del", "dev", name, "ingress"]).unwrap();
    assert_eq!(lab.netfwd(&on).unwrap().stderr, "");
    assert_eq!(members(&lab), 2);
}
