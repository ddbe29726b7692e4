//! A small HTTP server on a thread of its own: whoever asks holds up nobody else, and it answers also when the agent hangs.

use std::{
    convert::Infallible,
    io::ErrorKind,
    net::{self, SocketAddr},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Error, Result, anyhow};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Bytes,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    select,
    sync::{Mutex, Semaphore, oneshot},
    task,
    time::{sleep, timeout},
};

use super::{Source, page, scrape};
use crate::{cli, clock};

/// Who is slower than that to ask and to read the answer gets none.
const PATIENCE: Duration = Duration::from_secs(10);
/// Others wait for their turn.
const CONNECTIONS: usize = 16;
/// Room for a request's headers.
const REQUEST: usize = 16 * 1024;
/// Where no connection can be accepted for want of descriptors or memory, it is tried again.
const PAUSE: Duration = Duration::from_millis(100);

const INDEX: &str = "netfwd\n\n/metrics  for Prometheus\n/healthz  whether all is well\n";

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Takes an address and port, so that nobody else can.
pub fn listen(address: SocketAddr) -> Result<net::TcpListener> {
    let port = address.port();
    net::TcpListener::bind(address).map_err(|error| {
        let is = |kind| error.kind() == kind;
        let why = match () {
            () if is(ErrorKind::AddrInUse) => anyhow!(
                "another program listens there: stop it (`ss -ltnp sport = :{port}` names it), or give another port"
            ),
            () if is(ErrorKind::AddrNotAvailable) => anyhow!("this host has no such address: give one that it has"),
            () if is(ErrorKind::PermissionDenied) => {
                anyhow!("ports below 1024 take CAP_NET_BIND_SERVICE: give another port")
            }
            () => Error::from(error),
        };
        why.context(format!("cannot serve metrics at {address}"))
    })
}

/// Serves what is asked for.
pub fn serve(listener: net::TcpListener, source: Source) -> Result<Server> {
    let failed = "cannot serve metrics";
    listener.set_nonblocking(true).context(failed)?;
    let address = listener.local_addr().context(failed)?;
    let runtime = Builder::new_current_thread().enable_all().build().context(failed)?;
    let (stop, stopped) = oneshot::channel();
    let work = move || run(&runtime, listener, source, stopped);
    let thread = thread::Builder::new().name("metrics".to_owned()).spawn(work).context(failed)?;
    Ok(Server { address, stop: Some(stop), thread: Some(thread) })
}

impl Server {
    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic of the thread was told when it happened.
        self.thread.take().map(JoinHandle::join);
    }
}

fn run(runtime: &Runtime, listener: net::TcpListener, source: Source, stopped: oneshot::Receiver<()>) {
    let site = Arc::new(Site { source, turn: Mutex::new(()) });
    runtime.block_on(async {
        match TcpListener::from_std(listener) {
            Ok(listener) => select! {
                () = accept(&listener, &site) => {}
                _ = stopped => {}
            },
            Err(error) => tracing::error!("cannot serve metrics: {error}"),
        }
    });
}

async fn accept(listener: &TcpListener, site: &Arc<Site>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // It is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let site = Arc::clone(site);
        tokio::spawn(async move {
            // Whoever asked has gone, or is too slow.
            timeout(PATIENCE, converse(stream, site)).await.ok();
            drop(slot);
        });
    }
}

async fn converse(stream: TcpStream, site: Arc<Site>) -> hyper::Result<()> {
    let service = service_fn(|request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(&request).await) }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(REQUEST).serve_connection(TokioIo::new(stream), service).await
}

/// What is at which path.
struct Site {
    source: Source,
    /// One reads the maps at a time: each needs memory for a copy of all records.
    turn: Mutex<()>,
}

impl Site {
    async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are possible\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/metrics" => self.metrics().await,
            "/healthz" => self.health(),
            "/" => text(StatusCode::OK, INDEX),
            _ => text(StatusCode::NOT_FOUND, INDEX),
        }
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let turn = self.turn.lock().await;
        let source = self.source.clone();
        let scrape = move || scrape::page(&source, clock::moment()?)?.text();
        let page = task::spawn_blocking(scrape).await.unwrap_or_else(|error| Err(error.into()));
        drop(turn);
        match page {
            Ok(page) => response(StatusCode::OK, page::CONTENT_TYPE, page),
            Err(error) => {
                let error = cli::one_line(&error);
                tracing::warn!("cannot read the metrics: {error}");
                text(StatusCode::INTERNAL_SERVER_ERROR, error + "\n")
            }
        }
    }

    fn health(&self) -> Response<Full<Bytes>> {
        let health = clock::moment().map_err(|error| cli::one_line(&error));
        match health.and_then(|now| self.source.pulse.health(now)) {
            Ok(()) => text(StatusCode::OK, "ok\n"),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
        }
    }
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", text)
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
    };

    use super::{super::Pulse, *};
    use crate::datapath::pin::PinDir;

    fn server() -> Server {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let pulse = Arc::new(Pulse::new(false));
        serve(listener, Source { pin_dir: PinDir::new("/nowhere"), pulse, max_mappings: 9 }).unwrap()
    }

    fn ask(server: &Server, request: &str) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn an_agent_that_is_not_attached_is_told_so_and_still_has_metrics() {
        let server = server();
        let health = ask(&server, "GET /healthz");
        assert!(health.starts_with("HTTP/1.1 503 "), "{health}");
        assert!(health.ends_with("\r\n\r\nnetfwd run has not looked at the host yet\n"), "{health}");
        let metrics = ask(&server, "GET /metrics");
        assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
        assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
        assert!(
            metrics.contains("\nnetfwd_attached 0\n") && metrics.contains("\nnetfwd_agent_healthy 0\n"),
            "{metrics}"
        );
    }

    #[test]
    fn what_is_not_there_or_not_possible_is_refused() {
        let server = server();
        assert!(ask(&server, "GET /").contains("/healthz"));
        assert!(ask(&server, "GET /metric").starts_with("HTTP/1.1 404 "));
        let refused = ask(&server, "POST /metrics");
        assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: GET, HEAD"), "{refused}");
    }

    #[test]
    fn who_does_not_ask_keeps_nobody_from_asking() {
        let server = server();
        let idle: Vec<_> = (1..CONNECTIONS).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        assert!(ask(&server, "GET /").contains("/metrics"));
        drop(idle);
    }

    #[test]
    fn a_port_that_is_taken_is_free_again_after_its_server() {
        let server = server();
        let error = cli::one_line(&listen(server.address()).unwrap_err());
        let (address, port) = (server.address(), server.address().port());
        let expected = format!(
            "cannot serve metrics at {address}: another program listens there: stop it (`ss -ltnp sport = :{port}` names \
             it), or give another port"
        );
        assert_eq!(error, expected);
        drop(server);
        assert!(listen(address).is_ok());
    }

    #[test]
    fn an_address_of_another_host_is_told_apart() {
        let error = cli::one_line(&listen("192.0.2.1:80".parse().unwrap()).unwrap_err());
        assert_eq!(error, "cannot serve metrics at 192.0.2.1:80: this host has no such address: give one that it has");
    }
}
