//! What cannot be done: the message, the exit code, and that nothing half-done stays.

use std::{fs, path::Path, process::Output};

use aya::maps::{Array, Map, MapData};
use lab::{Bridge, Lab, Topology};
use netfwd_common::abi::Settings;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    sys::personality::{self, Persona},
};

use crate::support::{lab, netfwd, refused, said, turn_on_ipv6};

const UPLINK: &str = "ens33";

/// A refusal that leaves nothing.
fn leaves_nothing(lab: &Lab, arguments: &[&str], code: i32) -> String {
    let message = refused(lab, arguments, code);
    assert!(!lab.pin_dir().exists(), "{arguments:?}");
    let qdiscs = lab.host().run(&["tc", "qdisc", "show", "dev", UPLINK]).unwrap().stdout;
    assert!(!qdiscs.contains("clsact"), "{arguments:?}");
    let forwarding = lab.host().enter(|| fs::read_to_string("/proc/sys/net/ipv4/ip_forward")).unwrap().unwrap();
    assert_eq!(forwarding.trim(), "0", "{arguments:?}");
    message
}

/// Runs netfwd on the lab's host in a thread that `prepare` has changed; threads keep it from the tests.
fn run_after(lab: &Lab, prepare: impl FnOnce() + Send, arguments: &[&str]) -> Output {
    lab.host()
        .enter(|| {
            prepare();
            netfwd().args(arguments).env("NETFWD_PIN_DIR", lab.pin_dir()).output().unwrap()
        })
        .unwrap()
}

fn message(output: &Output, code: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_interface_that_cannot_be_an_uplink_is_refused() {
    let lab = lab(&Topology::default());
    let unknown = leaves_nothing(&lab, &["attach", "eth9"], 1);
    assert!(unknown.starts_with("netfwd: cannot attach to eth9: there is no interface eth9; there are "), "{unknown}");
    assert!(unknown.contains(UPLINK) && unknown.contains("docker0"), "{unknown}");
    assert!(refused(&lab, &["detach", "eth9"], 1).contains("there is no interface eth9; there are "));
    assert!(leaves_nothing(&lab, &["attach", "lo"], 1).contains("lo is the loopback interface"));
    assert!(leaves_nothing(&lab, &["attach", "veth1"], 1).contains("member of docker0, so attach to docker0"));
    lab.host().run(&["ip", "address", "flush", "dev", UPLINK]).unwrap();
    let message = leaves_nothing(&lab, &["attach", UPLINK], 1);
    assert!(message.contains("ens33 has no IPv4 address: add one with `ip address add"), "{message}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn subnets_and_addresses_that_do_not_fit_are_refused() {
    let lab = lab(&Topology::default());
    turn_on_ipv6(&lab);
    for (arguments, part) in [
        (["--bridge", "br-none"], "there is no interface br-none; there are "),
        (["--bridge", UPLINK], "ens33 is not a bridge; there is docker0"),
        (["--address", "192.0.2.1"], "192.0.2.1 is no address of this host; ens33 has 192.168.137.104"),
        (["--subnet", "192.168.0.0/16"], "the host's own traffic would be masqueraded"),
        (["--address", "2001:db8::9"], "2001:db8::9 is no address of this host; ens33 has "),
        (["--subnet", "fd00:1::/64"], "ens33 has no global IPv6 address: add one with `ip address add"),
    ] {
        let message = leaves_nothing(&lab, &[&["attach", UPLINK], &arguments[..]].concat(), 1);
        assert!(message.contains(part), "{message}");
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn two_addresses_of_one_family_are_wrong_usage() {
    let lab = lab(&Topology::default());
    lab.host().run(&["ip", "address", "add", "192.168.137.105/24", "dev", UPLINK]).unwrap();
    let line = ["attach", UPLINK, "--address", "192.168.137.104", "--address", "192.168.137.105"];
    let message = leaves_nothing(&lab, &line, 2);
    assert!(message.contains("192.168.137.104 and 192.168.137.105 are two IPv4 addresses: give one"), "{message}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_ipv6_subnet_on_an_uplink_where_ipv6_is_disabled_is_refused() {
    let lab = lab(&Topology::default());
    turn_on_ipv6(&lab);
    lab.host().sysctl("net/ipv6/conf/ens33/disable_ipv6", "1").unwrap();
    let message = leaves_nothing(&lab, &["attach", UPLINK, "--subnet", "fd00:1::/64"], 1);
    let expected = "IPv6 is disabled on ens33 (net.ipv6.conf.ens33.disable_ipv6 is 1): run `sysctl -w ";
    assert!(message.contains(expected), "{message}");
    // As long as it was not asked for, it is left out.
    lab.host().run(&["ip", "address", "add", "fd00:1::1/64", "dev", "docker0"]).unwrap();
    let told = said(&lab, &["attach", UPLINK, "--verbose"]);
    assert!(told.contains("does not masquerade fd00:1::/64: IPv6 is disabled on ens33"), "{told}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_host_without_bridges_is_told_what_to_do() {
    let lab = lab(&Topology { bridges: Vec::<Bridge>::new(), ..Topology::default() });
    let message = leaves_nothing(&lab, &["attach", UPLINK], 1);
    assert!(message.contains("no bridge with an address: start Docker first, or give the subnet"), "{message}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_failure_half_way_undoes_what_was_done() {
    let lab = lab(&Topology::default());
    lab.host().run(&["tc", "qdisc", "add", "dev", UPLINK, "ingress"]).unwrap();
    let message = leaves_nothing(&lab, &["attach", UPLINK, "--hook", "tc"], 1);
    assert!(message.contains("remove it with `tc qdisc del dev ens33 ingress`"), "{message}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_failed_change_keeps_what_was_attached() {
    let topology = Topology::default();
    let lab = lab(&topology);
    said(&lab, &["attach", UPLINK]);
    for option in ["--max-flows", "--max-flows6"] {
        assert!(refused(&lab, &["attach", UPLINK, option, "5"], 1).contains("run `netfwd detach --all` first"));
    }
    lab.host().run(&["ip", "link", "add", "eth1", "type", "bridge"]).unwrap();
    lab.host().run(&["ip", "address", "add", "10.7.0.1/24", "dev", "eth1"]).unwrap();
    lab.host().run(&["tc", "qdisc", "add", "dev", "eth1", "ingress"]).unwrap();
    let message = refused(&lab, &["attach", "eth1", "--hook", "tc"], 1);
    assert!(message.contains("tc qdisc del dev eth1 ingress"), "{message}");
    let status = said(&lab, &["status"]);
    assert!(status.contains(UPLINK) && !status.split_whitespace().any(|word| word == "eth1"), "{status}");
    assert_eq!(said(&lab, &["attach", UPLINK, "--bridge", "docker0"]), "already attached to ens33, nothing changed\n");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_failure_on_a_bridge_undoes_what_was_done_on_the_uplink() {
    let lab = lab(&Topology::default());
    lab.host().run(&["tc", "qdisc", "add", "dev", "docker0", "ingress"]).unwrap();
    let message = leaves_nothing(&lab, &["attach", UPLINK, "--hook", "tc"], 1);
    assert!(message.contains("cannot attach netfwd_bridge to docker0 with clsact"), "{message}");
    assert!(message.contains("remove it with `tc qdisc del dev docker0 ingress`"), "{message}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn timeouts_are_set_all_or_none() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", UPLINK]);
    let before = said(&lab, &["timeouts"]);
    for (arguments, part) in [
        (["udp=60", "tpc-closing=60"], "there is no timeout `tpc-closing`; the nearest is tcp-closing; there are "),
        (["udp=60", "icmp=0"], "a timeout has 1 to 2592000 whole seconds (30 days)"),
        (["udp=60", "udp=61"], "netfwd: cannot set the timeouts: udp is given twice"),
    ] {
        let output = lab.netfwd_output(&[&["timeouts"], &arguments[..]].concat()).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(output.stderr.contains(part), "{}", output.stderr);
        assert_eq!(said(&lab, &["timeouts"]), before);
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_old_kernel_is_not_supported() {
    let lab = lab(&Topology::default());
    let old = || {
        personality::set(personality::get().unwrap() | Persona::UNAME26).unwrap();
    };
    let message = message(&run_after(&lab, old, &["attach", UPLINK]), 3);
    assert!(message.contains("kernel 2.6.") && message.contains("boot kernel 6.1 or later"), "{message}");
    assert!(!lab.pin_dir().exists());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_kernel_without_btf_is_not_supported() {
    let lab = lab(&Topology::default());
    let hide = || {
        own_mounts();
        mount(None::<&str>, "/sys/kernel/btf", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    };
    let message = message(&run_after(&lab, hide, &["attach", UPLINK]), 3);
    assert!(message.contains("/sys/kernel/btf/vmlinux is missing"), "{message}");
    assert!(!lab.pin_dir().exists());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_kernel_without_tcx_is_told_to_use_clsact() {
    let lab = lab(&Topology::default());
    let output = lab.netfwd_output(&["attach", UPLINK, "--hook", "tcx"]).unwrap();
    if output.status.code() == Some(0) {
        assert!(output.stdout.contains("with TCX"), "{}", output.stdout);
        return;
    }
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stderr.contains("has no TCX, which came with 6.6: use `--hook tc`"), "{}", output.stderr);
    assert!(!lab.pin_dir().exists());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn pins_in_another_mount_namespace_are_explained() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", UPLINK]);
    // As `ip netns exec` does.
    let hide = || {
        own_mounts();
        umount2("/sys/fs/bpf", MntFlags::MNT_DETACH).unwrap();
    };
    for verb in [&["list"][..], &["attach", UPLINK], &["map", "80:172.17.0.2:80"]] {
        let message = message(&run_after(&lab, hide, verb), 1);
        assert!(message.contains("use `nsenter --net="), "{message}");
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn pins_of_another_version_are_refused_and_can_be_detached() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", UPLINK]);
    set_abi_version(&lab.pin_dir().join("maps/SETTINGS"), 99);
    for verb in [&["list"][..], &["attach", UPLINK], &["detach", UPLINK], &["map", "80:172.17.0.2:80"]] {
        let message = refused(&lab, verb, 1);
        assert!(message.contains("of another version of netfwd (layout 99, this one needs "), "{message}");
        assert!(message.contains("run `netfwd detach --all`, then attach again"), "{message}");
    }
    said(&lab, &["detach", "--all"]);
    assert!(!lab.pin_dir().exists());
    assert!(said(&lab, &["attach", UPLINK]).contains("masquerades"));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_a_killed_attach_left_is_made_anew() {
    for hook in ["auto", "tc"] {
        let lab = lab(&Topology::default());
        said(&lab, &["attach", UPLINK, "--hook", hook, "--max-flows", "1000"]);
        set_abi_version(&lab.pin_dir().join("maps/SETTINGS"), 0);
        assert!(refused(&lab, &["list"], 1).contains("netfwd is not attached"));
        said(&lab, &["attach", UPLINK, "--hook", hook, "--max-flows", "2000"]);
        assert!(said(&lab, &["status"]).contains("2000"));
        said(&lab, &["detach", UPLINK]);
        assert!(!lab.pin_dir().exists());
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn every_verb_says_that_nothing_is_attached() {
    let lab = lab(&Topology::default());
    for verb in [
        &["map", "80:172.17.0.2:80"][..],
        &["unmap", "80"],
        &["list"],
        &["flows"],
        &["stats"],
        &["status"],
        &["timeouts"],
    ] {
        let message = leaves_nothing(&lab, verb, 1);
        assert!(message.contains("netfwd is not attached (no maps in "), "{message}");
        assert!(message.ends_with("): run `netfwd attach IFACE` first\n"), "{message}");
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_mapping_whose_ports_cannot_be_reserved_is_not_added() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", UPLINK]);
    said(&lab, &["map", "80-90:172.17.0.2:80-90"]);
    let freeze = || {
        own_mounts();
        let none = None::<&str>;
        mount(Some("/proc/sys"), "/proc/sys", none, MsFlags::MS_BIND, none).unwrap();
        let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, "/proc/sys", none, read_only, none).unwrap();
    };
    let before = said(&lab, &["list"]);
    for arguments in [
        &["map", "8080:172.17.0.2:80"][..],
        &["map", "--replace", "80-99:172.17.0.2:80-99"],
        &["map", "--replace", "85-99:172.17.0.3:85-99"],
        &["unmap", "80-90"],
    ] {
        let message = message(&run_after(&lab, freeze, arguments), 1);
        assert!(message.contains("(net.ipv4.ip_local_reserved_ports): Read-only file system"), "{message}");
        assert_eq!(said(&lab, &["list"]), before, "{arguments:?}");
    }
}

fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
}

fn set_abi_version(path: &Path, abi_version: u32) {
    let map = Map::from_map_data(MapData::from_pin(path).unwrap()).unwrap();
    let mut settings: Array<_, Settings> = map.try_into().unwrap();
    let mut changed = settings.get(&0, 0).unwrap();
    changed.abi_version = abi_version;
    settings.set(0, changed, 0).unwrap();
}
