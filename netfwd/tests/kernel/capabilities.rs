//! netfwd without root: a user who has three capabilities and nothing else.

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use lab::{Lab, Output, Process, TcpEcho, Topology};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use crate::{
    sockets::assert_tcp,
    support::{self, lab},
};

const ALL: [&str; 3] = ["bpf", "net_admin", "perfmon"];
/// An attach takes a while where the processor is emulated: the kernel verifies the programs.
const SLOW: Duration = Duration::from_mins(3);
const NOBODY: u32 = 65534;
const CLIENT: [u8; 4] = [192, 168, 137, 1];
const HOST: [u8; 4] = [192, 168, 137, 104];
const CONTAINER: [u8; 4] = [172, 17, 0, 2];

/// The user, with a program, a pin directory and a state directory.
struct User {
    directory: TempDir,
}

impl User {
    fn new() -> Self {
        let user = Self { directory: tempfile::tempdir().unwrap() };
        let root = user.directory.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(support::path(), user.program()).unwrap();
        for name in ["bpf", "state"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        mount(Some("bpf"), &user.files(), Some("bpf"), MsFlags::empty(), Some("mode=0755")).unwrap();
        fs::create_dir(user.pins()).unwrap();
        for path in [user.pins(), root.join("state")] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        user
    }

    fn program(&self) -> PathBuf {
        self.directory.path().join("netfwd")
    }

    fn files(&self) -> PathBuf {
        self.directory.path().join("bpf")
    }

    fn pins(&self) -> PathBuf {
        self.files().join("netfwd")
    }

    /// Starts netfwd for the user, with these capabilities.
    fn spawn(&self, lab: &Lab, capabilities: &[&str], arguments: &[&str]) -> Process {
        let set = ["-all"].iter().chain(capabilities).copied().collect::<Vec<_>>().join(",+");
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (program, pins, state) =
            (text(&self.program()), text(&self.pins()), text(&self.directory.path().join("state")));
        let user = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
        let sets = ["--bounding-set", &set, "--inh-caps", &set, "--ambient-caps", &set];
        let netfwd = [program.as_str(), "--pin-dir", &pins, "--state-dir", &state];
        lab.host().spawn(&[&["setpriv"][..], &user, &sets, &netfwd, arguments].concat()).unwrap()
    }

    fn output(&self, lab: &Lab, capabilities: &[&str], arguments: &[&str]) -> Output {
        self.spawn(lab, capabilities, arguments).wait(SLOW).unwrap()
    }

    /// What netfwd says when it succeeds.
    fn said(&self, lab: &Lab, arguments: &[&str]) -> String {
        let output = self.output(lab, &ALL, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", output.stderr);
        assert_eq!(output.stderr, "", "{arguments:?}");
        output.stdout
    }

    fn has_pins(&self) -> bool {
        fs::read_dir(self.pins()).unwrap().next().is_some()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        umount2(&self.files(), MntFlags::MNT_DETACH).ok();
    }
}

fn serves(lab: &Lab, port: u16) {
    assert_tcp(lab.client(), (HOST.into(), port));
    assert_tcp(lab.host(), ([127, 0, 0, 1].into(), port));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn three_capabilities_are_enough_for_every_verb() {
    let (lab, user) = (lab(&Topology::default()), User::new());
    let container = TcpEcho::start(&lab.containers()[0], (CONTAINER, 80).into()).unwrap();
    let outside = TcpEcho::start(lab.client(), (CLIENT, 90).into()).unwrap();
    for hook in ["auto", "tc"] {
        let told = user.said(&lab, &["attach", "ens33", "--hook", hook]);
        assert!(told.contains("attached to ens33 (ifindex "), "{told}");
        user.said(&lab, &["map", "8080:172.17.0.2:80", "--persist"]);
        serves(&lab, 8080);
        assert_tcp(&lab.containers()[0], (CLIENT.into(), 90));
        assert!(user.said(&lab, &["list"]).contains("*:8080"));
        assert!(user.said(&lab, &["flows"]).contains("192.168.137.104:8080"));
        assert!(user.said(&lab, &["stats"]).contains("ens33"));
        let status = user.said(&lab, &["status"]);
        assert!(status.contains("fast") && status.contains("host access on"), "{status}");
        user.said(&lab, &["timeouts", "udp=180"]);
        user.said(&lab, &["flows", "delete", "--all"]);
        assert_eq!(
            user.said(&lab, &["attach", "ens33", "--hook", hook]),
            "already attached to ens33, nothing changed\n"
        );
        user.said(&lab, &["detach", "ens33"]);
        assert!(!user.has_pins(), "{hook}");
    }
    let mut agent = user.spawn(&lab, &ALL, &["run", "--uplink", "ens33"]);
    agent.wait_for_line("mapped 8080/tcp", SLOW).unwrap();
    serves(&lab, 8080);
    user.said(&lab, &["unmap", "8080"]);
    assert_eq!(agent.stderr().unwrap(), "");
    drop(agent);
    user.said(&lab, &["detach", "--all"]);
    assert!(!user.has_pins());
    assert!(outside.peers().iter().all(|peer| peer.ip() == IpAddr::from(HOST)), "{:?}", outside.peers());
    assert!(container.peers().iter().any(|peer| peer.ip() == IpAddr::from(CLIENT)), "{:?}", container.peers());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn each_of_the_three_that_is_missing_is_named() {
    let (lab, user) = (lab(&Topology::default()), User::new());
    for missing in ALL {
        let others: Vec<_> = ALL.into_iter().filter(|name| *name != missing).collect();
        let output = user.output(&lab, &others, &["attach", "ens33"]);
        let expected = format!(
            "netfwd: cannot attach to ens33: missing CAP_{}: run it as root, for example with sudo, or give it these \
             capabilities\n",
            missing.to_uppercase()
        );
        assert_eq!((output.status.code(), output.stderr), (Some(1), expected));
        assert!(!user.has_pins());
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_takes_more_is_left_out_and_told() {
    let (lab, user) = (lab(&Topology::default()), User::new());
    let _container = TcpEcho::start(&lab.containers()[0], (CONTAINER, 80).into()).unwrap();
    let output = user.output(&lab, &ALL, &["attach", "ens33", "--fast-path", "on", "--xdp", "generic"]);
    assert!(output.status.success(), "{}", output.stderr);
    let expected = "XDP sends nothing to what is behind veth1: cannot enter its other end's network namespace, which \
                    takes CAP_SYS_ADMIN: attach once as root";
    assert!(output.stderr.contains(expected), "{}", output.stderr);
    let mapped = user.output(&lab, &ALL, &["map", "8080:172.17.0.2:80"]);
    assert!(mapped.status.success(), "{}", mapped.stderr);
    serves(&lab, 8080);
    let status = user.said(&lab, &["status"]);
    assert!(status.contains("fast, without XDP: no GRO at its other end; attach again as root"), "{status}");
}
