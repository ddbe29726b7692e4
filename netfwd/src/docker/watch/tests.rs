//! A watch and engines that misbehave: what answers is a socket of the test.

use std::{collections::BTreeMap, future::Future, path::PathBuf, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    runtime::Builder,
    sync::Mutex,
    time::{sleep, timeout},
};

use super::*;
use crate::docker::State;

const SOON: Duration = Duration::from_secs(10);
/// How long an engine may take for an answer here.
const PATIENCE: Duration = Duration::from_millis(300);

/// What an engine does after it was asked for a path.
#[derive(Clone, Copy)]
enum Manner {
    /// Answers with this, and closes the connection.
    Says(&'static str),
    /// Answers with this, and leaves the connection open.
    Begins(&'static str),
    /// Answers with this in a body that is said to be longer, and closes the connection.
    BreaksOff(&'static str),
    /// Answers with this status.
    Refuses(&'static str),
    Hangs,
}

/// What an engine does, by the end of the path. What it does not know it hangs up on.
type Manners = BTreeMap<&'static str, Manner>;

const VERSION: (&str, Manner) = ("/version", Manner::Says(r#"{"ApiVersion": "1.41"}"#));
const NETWORKS: (&str, Manner) = ("/networks", Manner::Says(r#"[{"Id": "1", "Name": "bridge", "Driver": "bridge"}]"#));
const CONTAINERS: (&str, Manner) = ("/containers/json", Manner::Says(r#"[{"Id": "c1"}]"#));
const CONTAINER: (&str, Manner) = ("/containers/c1/json", Manner::Says(C1));
const EVENTS: (&str, Manner) = ("/events", Manner::Begins(""));
const C1: &str = r#"{"Name": "/c1", "State": {"Running": true}, "NetworkSettings": {
    "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]},
    "Networks": {"bridge": {"NetworkID": "1", "Gateway": "172.17.0.1", "IPAddress": "172.17.0.2"}}}}"#;

struct Fake {
    directory: TempDir,
    manners: Arc<Mutex<Manners>>,
    /// How many connections there were to each path.
    asked: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Fake {
    fn new(manners: impl IntoIterator<Item = (&'static str, Manner)>) -> Self {
        let manners = Arc::new(Mutex::new(manners.into_iter().collect()));
        Self { directory: TempDir::new().unwrap(), manners, asked: Arc::default() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    fn engine(&self) -> Engine {
        Engine::at(&format!("unix://{}", self.path().display())).unwrap().with_patience(PATIENCE)
    }

    fn start(&self) {
        let listener = UnixListener::bind(self.path()).unwrap();
        let (manners, asked) = (Arc::clone(&self.manners), Arc::clone(&self.asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&manners), Arc::clone(&asked)));
            }
        });
    }

    async fn becomes(&self, (path, manner): (&'static str, Manner)) {
        self.manners.lock().await.insert(path, manner);
    }
}

async fn serve(mut stream: UnixStream, manners: Arc<Mutex<Manners>>, asked: Arc<Mutex<BTreeMap<String, u32>>>) {
    let mut request = vec![0; 4096];
    let length = stream.read(&mut request).await.unwrap();
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = request.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
    *asked.lock().await.entry(path.clone()).or_default() += 1;
    let manner = manners.lock().await.iter().find(|(end, _)| path.ends_with(*end)).map(|(_, manner)| *manner);
    let Some(manner) = manner else { return };
    let (body, length) = match manner {
        Manner::Says(body) => (body, format!("Content-Length: {}\r\n", body.len())),
        Manner::BreaksOff(body) => (body, format!("Content-Length: {}\r\n", body.len() + 1)),
        Manner::Begins(body) => (body, String::new()),
        Manner::Refuses(_) => ("{}", "Content-Length: 2\r\n".to_owned()),
        Manner::Hangs => return future::pending().await,
    };
    let status = if let Manner::Refuses(status) = manner { status } else { "200 OK" };
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{length}\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    if matches!(manner, Manner::Begins(_)) {
        future::pending::<()>().await;
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(SOON, test).await.expect("nothing came") });
}

/// A watch of an engine with all manners right, except for one.
fn all_but(manner: (&'static str, Manner)) -> (Fake, Watch) {
    let fake = Fake::new([VERSION, NETWORKS, CONTAINERS, CONTAINER, EVENTS, manner]);
    fake.start();
    let watch = Watch::start(fake.engine());
    (fake, watch)
}

async fn changed(watch: &mut Watch) -> State {
    match watch.next().await {
        Update::Changed(state) => state,
        Update::Lost(reason) => panic!("lost: {reason}"),
    }
}

async fn lost(watch: &mut Watch) -> String {
    match watch.next().await {
        Update::Lost(reason) => reason,
        Update::Changed(state) => panic!("changed: {state:?}"),
    }
}

fn mappings(state: &State) -> Vec<String> {
    let mappings = state.containers.values().flat_map(|container| &container.mappings);
    mappings.map(ToString::to_string).collect()
}

#[test]
fn a_listing_is_told_whole_and_once() {
    run(async {
        let (_fake, mut watch) = all_but(VERSION);
        let state = changed(&mut watch).await;
        assert_eq!(mappings(&state), ["8080:172.17.0.2:80/tcp"]);
        assert_eq!(state.networks.len(), 1);
        // The look after a second finds nothing new.
        assert!(timeout(Duration::from_millis(1500), watch.next()).await.is_err());
    });
}

#[test]
fn an_engine_that_comes_late_is_found() {
    run(async {
        let fake = Fake::new([VERSION, NETWORKS, CONTAINERS, CONTAINER, EVENTS]);
        let mut watch = Watch::start(fake.engine());
        let reason = lost(&mut watch).await;
        assert!(reason.starts_with("there is no Docker Engine at unix://"), "{reason}");
        assert!(reason.contains("systemctl start docker") && reason.contains("DOCKER_HOST"), "{reason}");
        fake.start();
        changed(&mut watch).await;
    });
}

#[test]
fn a_socket_that_nobody_listens_on_is_told_apart() {
    run(async {
        let fake = Fake::new([]);
        drop(std::os::unix::net::UnixListener::bind(fake.path()).unwrap());
        let reason = lost(&mut Watch::start(fake.engine())).await;
        assert!(reason.starts_with("nobody listens at unix://"), "{reason}");
    });
}

#[test]
fn an_engine_that_hangs_is_lost_whatever_it_was_asked_but_one_container() {
    run(async {
        for path in [VERSION, NETWORKS, CONTAINERS].map(|(path, _)| path) {
            let reason = lost(&mut all_but((path, Manner::Hangs)).1).await;
            assert!(reason.contains("has not answered within 300ms") && reason.contains("docker ps"), "{reason}");
        }
    });
}

#[test]
fn an_engine_that_begins_an_answer_and_hangs_is_lost() {
    run(async {
        for path in [VERSION, NETWORKS, CONTAINERS].map(|(path, _)| path) {
            let reason = lost(&mut all_but((path, Manner::Begins("[{\"Id\": "))).1).await;
            assert!(reason.contains("has not answered within 300ms"), "{path}: {reason}");
        }
    });
}

#[test]
fn a_container_that_cannot_be_asked_about_keeps_no_other_ones_ports_from_being_told() {
    const C2: &str = "/containers/c2/json";
    run(async {
        for manner in [Manner::Hangs, Manner::Begins("{"), Manner::Refuses("500 Internal Server Error")] {
            let (fake, mut watch) = all_but(("/containers/json", Manner::Says(r#"[{"Id": "c1"}, {"Id": "c2"}]"#)));
            fake.becomes((C2, manner)).await;
            let state = changed(&mut watch).await;
            assert_eq!(state.containers.keys().collect::<Vec<_>>(), ["c1"]);
            assert_eq!(mappings(&state), ["8080:172.17.0.2:80/tcp"]);
            // The look after a second.
            fake.becomes((C2, CONTAINER.1)).await;
            assert_eq!(changed(&mut watch).await.containers.keys().collect::<Vec<_>>(), ["c1", "c2"]);
        }
    });
}

#[test]
fn a_known_container_keeps_its_mappings_while_it_cannot_be_asked_about() {
    run(async {
        let mut watches = Vec::new();
        let refusals = ["500 Internal Server Error", "503 Service Unavailable", "403 Forbidden", "409 Conflict"];
        for manner in refusals.map(Manner::Refuses).into_iter().chain([Manner::Hangs]) {
            let (fake, mut watch) = all_but(VERSION);
            changed(&mut watch).await;
            fake.becomes((CONTAINER.0, manner)).await;
            watches.push((fake, watch));
        }
        // The look after a second changes nothing.
        sleep(Duration::from_millis(1500)).await;
        for (fake, mut watch) in watches {
            assert!(timeout(Duration::ZERO, watch.next()).await.is_err());
            let asked = fake.asked.lock().await;
            assert_eq!(asked.iter().find(|(path, _)| path.ends_with(CONTAINER.0)).map(|it| *it.1), Some(2));
        }
    });
}

#[test]
fn a_container_that_is_not_found_any_more_is_gone() {
    run(async {
        let (fake, mut watch) = all_but(VERSION);
        changed(&mut watch).await;
        fake.becomes((CONTAINER.0, Manner::Refuses("404 Not Found"))).await;
        assert!(changed(&mut watch).await.containers.is_empty());
    });
}

#[test]
fn an_engine_that_breaks_off_is_lost() {
    run(async {
        for path in [VERSION, NETWORKS, CONTAINERS, CONTAINER].map(|(path, _)| path) {
            let reason = lost(&mut all_but((path, Manner::BreaksOff("[{\"Id\": "))).1).await;
            assert!(reason.contains("broke, asked for") && reason.contains("is it stopping?"), "{path}: {reason}");
        }
    });
}

#[test]
fn what_is_no_engine_is_told_so() {
    run(async {
        for manner in [("/networks", Manner::Says("[7]")), ("/version", Manner::Says("<html>"))] {
            let reason = lost(&mut all_but(manner).1).await;
            assert!(reason.contains("is no Docker Engine that netfwd understands"), "{reason}");
        }
    });
}

#[test]
fn half_a_line_of_an_event_does_no_harm_until_the_stream_ends() {
    const HALF: &str = r#"{"Type":"container","Action":"start","Actor":{"ID":"#;
    run(async {
        let (_hangs, mut watch) = all_but(("/events", Manner::Begins(HALF)));
        changed(&mut watch).await;
        assert!(timeout(PATIENCE * 2, watch.next()).await.is_err());
        let (_ends, mut watch) = all_but(("/events", Manner::Says(HALF)));
        let reason = lost(&mut watch).await;
        assert!(reason.contains("asked for its events"), "{reason}");
        let (_ends, mut watch) = all_but(("/events", Manner::Says("")));
        assert!(lost(&mut watch).await.contains("has closed the connection: it stops or restarts"));
    });
}

#[test]
fn an_event_of_the_stream_is_acted_on_and_rubbish_loses_the_engine() {
    const DIED: &str = "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"c2\"}}\n\
                        {\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":\"c2\"}}\n";
    const C2: &str = r#"{"Name": "/c2", "State": {"Running": true}, "NetworkSettings": {}}"#;
    run(async {
        let (fake, mut watch) = all_but(("/events", Manner::Begins(DIED)));
        fake.becomes(("/containers/c2/json", Manner::Says(C2))).await;
        let state = changed(&mut watch).await;
        assert_eq!(state.containers.values().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["c1", "c2"]);
        let reason = lost(&mut all_but(("/events", Manner::Begins("rubbish\n"))).1).await;
        assert!(reason.contains("understands: asked for its events"), "{reason}");
    });
}

#[test]
fn an_engine_that_stays_lost_is_told_once_and_asked_ever_less_often() {
    run(async {
        let (fake, mut watch) = all_but(("/networks", Manner::Says("[7]")));
        lost(&mut watch).await;
        assert!(timeout(Duration::from_millis(1600), watch.next()).await.is_err());
        // After 0, 100, 300, 700 and 1500 ms.
        let tries = fake.asked.lock().await.iter().filter(|(path, _)| path.ends_with("/version")).map(|it| *it.1).sum();
        assert!((3..=5_u32).contains(&tries), "{tries}");
        fake.becomes(NETWORKS).await;
        changed(&mut watch).await;
    });
}

#[test]
fn after_a_loss_the_same_state_is_told_again() {
    run(async {
        let (fake, mut watch) = all_but(VERSION);
        let before = changed(&mut watch).await;
        // The look after a second hangs.
        fake.becomes(("/networks", Manner::Hangs)).await;
        lost(&mut watch).await;
        fake.becomes(NETWORKS).await;
        assert_eq!(changed(&mut watch).await, before);
    });
}

#[test]
fn after_a_loss_a_container_that_cannot_be_asked_about_is_known_if_it_is_still_listed() {
    run(async {
        for (listed, is_known) in [(CONTAINERS, true), (("/containers/json", Manner::Says("[]")), false)] {
            let (fake, mut watch) = all_but(VERSION);
            let before = changed(&mut watch).await;
            // The look after a second hangs.
            fake.becomes(("/networks", Manner::Hangs)).await;
            lost(&mut watch).await;
            fake.becomes((CONTAINER.0, Manner::Hangs)).await;
            fake.becomes(listed).await;
            fake.becomes(NETWORKS).await;
            let state = changed(&mut watch).await;
            assert_eq!(state == before, is_known, "{state:?}");
            assert_eq!(state.containers.is_empty(), !is_known, "{state:?}");
        }
    });
}
