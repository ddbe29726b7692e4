//! The command line, as far as it needs neither root nor a kernel with BPF: help, wrong usage and exit codes.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Output},
};

const VERBS: &[&str] = &[
    "attach", "detach", "map", "unmap", "list", "flows", "top", "stats", "status", "timeouts", "run", "explain",
    "trace", "apply", "export", "check",
];
/// Set, it writes the help texts instead of comparing them.
const BLESS: &str = "NETFWD_BLESS";

fn netfwd(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netfwd"));
    command.args(arguments).env_remove("NETFWD_PIN_DIR").env_remove("COLUMNS").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn misused(line: &str) -> String {
    let arguments: Vec<_> = line.split_whitespace().collect();
    let output = netfwd(&arguments);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""), "{line}");
    text(&output.stderr)
}

#[test]
fn wrong_usage_has_exit_code_2_and_says_what_is_wrong() {
    for (line, part) in [
        ("attach", "<IFACE>"),
        ("attach eth0 --subnet 172.17.0.0", "the prefix length is missing, as in 172.17.0.0/16"),
        ("attach eth0 --subnet fd00:1::1", "the prefix length is missing, as in fd00:1::1/64"),
        ("attach eth0 --subnet docker0", "not a subnet such as 172.17.0.0/16 or fd00:1::/64"),
        ("attach eth0 --subnet fe80::/64", "link-local addresses never leave their link"),
        ("attach eth0 --address eth0", "not an address such as 192.0.2.1 or 2001:db8::1"),
        ("attach eth0 --no-masquerade 10.0.0.0", "the prefix length is missing, as in 10.0.0.0/16"),
        ("attach eth0 --ports 0-100", "`0` is no port: ports are 1 to 65535"),
        ("attach eth0 --ports 1-65536", "`65536` is no port: ports are 1 to 65535"),
        ("attach eth0 --ports 200-100", "the first port, 200, is above the last one, 100"),
        ("attach eth0 --ports 1024-", "`` is no port: ports are 1 to 65535"),
        ("attach eth0 --ports 1-9,9-20", "the ranges 1-9 and 9-20 overlap"),
        ("attach eth0 --ports 1-1,2-2,3-3,4-4,5-5", "5 ranges, of which there may be 4"),
        ("attach eth0 --filtering port", "[possible values: endpoint, address, address-and-port]"),
        ("attach eth0 --max-ports-per-source 0", "0 is not in 1..="),
        ("attach eth0 --clamp-mss 535", "neither `mtu` nor a segment's size in bytes from 536 to 65495"),
        ("attach eth0 --clamp-mss 65496", "neither `mtu` nor a segment's size in bytes from 536 to 65495"),
        ("attach eth0 --max-flows6 0", "0 is not in 1..=16777216"),
        ("attach eth0 --hook xdp", "[possible values: auto, tcx, tc]"),
        ("attach eth0 --max-flows 0", "0 is not in 1..=16777216"),
        ("detach", "--all"),
        ("detach eth0 --all", "cannot be used with"),
        ("map", "<MAPPING>"),
        ("flows --proto gre", "neither tcp, udp, icmp, icmpv6 or sctp nor a number from 0 to 255"),
        (
            "flows --src [fd00::1",
            "such as 192.0.2.1, 172.17.0.0/16, 172.17.0.2:80, :8000-8099, fd00:1::/64 or [fd00:1::2]:80",
        ),
        ("flows --sport 90-80", "give PORT or PORT-PORT, such as 80 or 8000-8099"),
        ("flows --watch --interval 0", "give seconds from 0.1 to 3600, such as 1 or 0.5"),
        ("flows --interval 1", "--watch"),
        ("flows --watch --count", "cannot be used with"),
        ("top --interval x", "give seconds from 0.1 to 3600, such as 1 or 0.5"),
        ("flows --dst 192.0.2.1:65536", "give ADDRESS[/LENGTH][:PORT[-PORT]] or :PORT[-PORT]"),
        ("flows --state open", "[possible values: "),
        ("flows --bindings --state replied", "cannot be used with"),
        ("flows delete", "--all"),
        ("trace --mapping 80/icmp", "give PORT or PORT/PROTOCOL, such as 8080 or 53/udp"),
        ("trace --addr docker0", "not an address or network such as 172.17.0.2 or fd00:1::/64"),
        ("timeouts udp", "not NAME=SECONDS, such as udp=180"),
        ("timeouts upd=60", "there is no timeout `upd`; the nearest is udp; there are tcp-opening, "),
        ("timeouts udp=0", "a timeout has 1 to 2592000 whole seconds (30 days)"),
        ("timeouts udp=2592001", "a timeout has 1 to 2592000 whole seconds (30 days)"),
        ("timeouts udp=60s", "a timeout has 1 to 2592000 whole seconds (30 days)"),
        ("start", "unrecognized subcommand 'start'"),
    ] {
        let message = misused(line);
        assert!(message.contains(part), "{line}: {message}");
    }
}

#[test]
fn a_malformed_mapping_is_wrong_usage() {
    for mapping in [
        "8080",
        "0:172.17.0.2:80",
        "65536:172.17.0.2:80",
        "80:172.17.0.2:80/icmp",
        "80:fd00::2:80",
        "90-80:172.17.0.2:80-90",
        "[2001:db8::1]:80:172.17.0.2:80",
    ] {
        assert!(misused(&format!("map {mapping}")).contains(mapping), "{mapping}");
    }
}

#[test]
fn a_wrong_configuration_is_shown_with_its_place_before_anything_else_is_looked_at() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "[[uplink]]\ninterface = \"eth0\"\nfastpath = true\n").unwrap();
    let path = file.path().to_str().unwrap();
    let message = misused(&format!("apply {path} --dry-run"));
    let lines: Vec<_> = message.lines().collect();
    let expected =
        format!("netfwd: cannot apply {path}: {path}:3:1: unknown key `fastpath` (is `fast-path` meant?); there are ");
    assert!(lines[0].starts_with(&expected), "{message}");
    assert_eq!(lines[1..], ["  |", "3 | fastpath = true", "  | ^^^^^^^^"]);
}

#[test]
fn without_a_verb_the_help_is_shown_as_wrong_usage() {
    assert!(misused("").contains("Usage: netfwd [OPTIONS] <COMMAND>"));
}

#[test]
fn help_and_version_succeed() {
    let version = netfwd(&["--version"]);
    assert!(version.status.success());
    assert_eq!(text(&version.stdout), format!("netfwd {}\n", env!("CARGO_PKG_VERSION")));
    let help = netfwd(&["--help"]);
    assert!(help.status.success());
    assert!(text(&help.stdout).contains("Exit codes: 0 done, 1 failed, 2 wrong usage, 3 this host cannot run netfwd"));
}

#[test]
fn messages_to_a_file_have_no_colours() {
    for arguments in [&["--help"][..], &["attach"]] {
        let output = netfwd(arguments);
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b));
    }
}

#[test]
fn the_help_texts_are_those_of_the_documentation() {
    let directory: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "docs", "cli"].iter().collect();
    let pages = VERBS.iter().map(|&verb| (verb, vec![verb, "--help"]));
    let others = [("netfwd", vec!["--help"]), ("docker-check", vec!["docker", "check", "--help"])];
    for (name, arguments) in pages.chain(others) {
        let (path, shown) = (directory.join(format!("{name}.txt")), text(&netfwd(&arguments).stdout));
        if env::var_os(BLESS).is_some() {
            fs::write(&path, &shown).unwrap();
        }
        let documented = fs::read_to_string(&path).unwrap();
        assert!(documented == shown, "{} differs: {BLESS}=1 cargo test --test cli writes it anew", path.display());
    }
}
