//! `docker run` with many ports, published by Docker itself and by netfwd's agent.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{DockerEngine, Lab, Process, Topology};
use nix::sched::{CloneFlags, setns};

use super::ports::processes;
use crate::record::{Better, Case};
use crate::session::{Session, tell};
use crate::subject::Netfwd;

/// The workload's heading.
pub(crate) const TITLE: &str = "Docker";
/// The cases that have goals.
pub(crate) const RUN: &str = "docker run with 200 ports";
pub(crate) const ANSWER: &str = "until all 200 answer then";
const PORTS: std::ops::Range<u16> = 8000..8200;
const CONTAINER: &str = "many";
const ENGINE: &str = "Docker";
/// Docker's defaults: a rule and a process for each port.
const DEFAULTS: &str = "{}";
/// How long a port may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a connection may take from the client's end to the server's.
const HANDSHAKE: Duration = Duration::from_millis(5);

/// A Docker host. The agent and the engine go before their network namespaces.
struct Site {
    name: &'static str,
    _agent: Option<Process>,
    engine: DockerEngine,
    lab: Lab,
    address: Ipv4Addr,
}

/// Runs a container on both hosts in turn.
pub(super) fn run(session: &mut Session) -> Result<()> {
    let Session { netfwd, record, rounds, .. } = session;
    if let Some(obstacle) = DockerEngine::obstacle() {
        record.leave_out(format!("{TITLE}: {obstacle}"));
        return Ok(());
    }
    let sites = [Site::of_docker()?, Site::of_netfwd(netfwd)?];
    let case = |name: &str, unit| Case { workload: TITLE, name: name.to_owned(), unit, better: Better::Less };
    let cases = [
        case(RUN, "ms"),
        case(ANSWER, "ms"),
        case("processes of the host", "processes"),
        case("their memory", "kB resident"),
        case("docker rm --force", "ms"),
    ];
    for _ in 0..*rounds {
        for site in &sites {
            for (case, value) in cases.iter().zip(site.measure()?) {
                record.add(case, site.name, value);
            }
        }
    }
    for case in &cases {
        crate::say::say(format_args!("  {}", case.name));
        tell(record, case);
    }
    Ok(())
}

impl Site {
    fn of_docker() -> Result<Self> {
        let (lab, address) = lab()?;
        let engine = DockerEngine::start_with(lab.host(), DEFAULTS)?;
        Ok(Self { name: ENGINE, _agent: None, engine, lab, address })
    }

    fn of_netfwd(netfwd: &Path) -> Result<Self> {
        let (lab, address) = lab()?;
        let lab = lab.with_netfwd(netfwd);
        let engine = DockerEngine::start(lab.host())?;
        let arguments = ["run", "--docker", "--uplink", crate::site::UPLINK];
        let mut agent = lab.spawn_netfwd_with(&arguments, &[("DOCKER_HOST", &engine.address())])?;
        agent.wait_for_line("follows", PATIENCE)?;
        Ok(Self { name: Netfwd::NAME, _agent: Some(agent), engine, lab, address })
    }

    /// Milliseconds until `docker run` returns, and from then until all ports answer; processes and their memory in kB;
    /// milliseconds until the container is removed.
    fn measure(&self) -> Result<[f64; 5]> {
        let ports = format!("{0}-{1}:{0}-{1}", PORTS.start, PORTS.end - 1);
        let start = Instant::now();
        self.engine.docker(&["run", "--detach", "--name", CONTAINER, "--publish", &ports, "web", "sleep", "1000"])?;
        let run = start.elapsed();
        let returned = Instant::now();
        let listeners = self.listen()?;
        self.lab.client().enter(|| listeners.iter().try_for_each(|listener| self.reach(listener)))??;
        let answer = returned.elapsed();
        let [processes, memory] = processes(self.lab.host())?;
        let start = Instant::now();
        self.engine.docker(&["rm", "--force", CONTAINER])?;
        let [run, answer, removed] = [run, answer, start.elapsed()].map(|time| time.as_secs_f64() * 1e3);
        Ok([run, answer, processes, memory, removed])
    }

    /// Listens on all ports in the container, at once: what a server takes to start is nobody's concern here.
    fn listen(&self) -> Result<Vec<TcpListener>> {
        let pid = self.engine.docker(&["inspect", "--format", "{{.State.Pid}}", CONTAINER])?;
        let netns = File::open(format!("/proc/{pid}/ns/net")).context("cannot open the container's namespace")?;
        let listen = move || {
            setns(netns, CloneFlags::CLONE_NEWNET)?;
            PORTS.map(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).collect::<io::Result<Vec<_>>>()
        };
        let listeners = thread::spawn(listen).join().ok().context("a thread panicked")?;
        let listeners = listeners.context("cannot listen in the container")?;
        for listener in &listeners {
            listener.set_nonblocking(true)?;
        }
        Ok(listeners)
    }

    /// Connects to the host's port until it is this listener that gets the connection.
    fn reach(&self, listener: &TcpListener) -> Result<()> {
        let port = listener.local_addr()?.port();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let connected = TcpStream::connect_timeout(&SocketAddr::from((self.address, port)), PATIENCE);
            if connected.is_ok() && accepts(listener)? {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "port {port} does not answer with {}: {connected:?}", self.name);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn lab() -> Result<(Lab, Ipv4Addr)> {
    let topology = Topology { bridges: Vec::new(), ..Topology::default() };
    Ok((Lab::new(&topology)?, topology.uplinks[0].address.addr()))
}

fn accepts(listener: &TcpListener) -> Result<bool> {
    let deadline = Instant::now() + HANDSHAKE;
    loop {
        match listener.accept() {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => bail!("cannot accept a connection: {error}"),
            Err(_) if Instant::now() > deadline => return Ok(false),
            Err(_) => thread::yield_now(),
        }
    }
}
