//! An engine, and the questions to it. Each has an answer in time, or an error that says what to do.

use std::{collections::HashMap, env, sync::Arc, time::Duration};

use anyhow::{Error as Explained, Result, ensure};
use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error,
    models::{EventMessage, LocalNodeState, Network},
    query_parameters::EventsOptions,
};
use futures_util::{Stream, StreamExt as _};
use tokio::{sync::Semaphore, time::timeout};

use super::{Id, event, explain::explain, published::Inspected};

/// Where to look for an engine, as the docker command line does.
const ADDRESS: &str = "DOCKER_HOST";
/// Where an engine is unless told otherwise.
const DEFAULT: &str = "unix:///var/run/docker.sock";
const SCHEMES: [&str; 3] = ["unix://", "tcp://", "http://"];
/// An engine takes milliseconds, and seconds where the disk is slow.
const PATIENCE: Duration = Duration::from_secs(10);
/// Questions at the same time: each has a connection of its own.
const AT_ONCE: usize = 8;

/// Where an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    address: String,
    patience: Duration,
}

impl Engine {
    /// The one that the environment's `DOCKER_HOST` names, else the one of this host.
    pub fn of_environment() -> Result<Self> {
        let address = env::var(ADDRESS).unwrap_or_default();
        Self::at(if address.is_empty() { DEFAULT } else { &address })
    }

    /// The one at an address such as `unix:///var/run/docker.sock` or `tcp://127.0.0.1:2375`.
    pub fn at(address: &str) -> Result<Self> {
        ensure!(
            SCHEMES.iter().any(|scheme| address.starts_with(scheme)),
            "{ADDRESS} is {address:?}: netfwd reaches a Docker Engine by unix:// or by tcp:// without TLS; \
             leave it out for {DEFAULT}"
        );
        Ok(Self { address: address.to_owned(), patience: PATIENCE })
    }

    /// The same, with another time for its answers.
    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Asks the engine for the version of the API that both know.
    pub(super) async fn connect(&self) -> Result<Client> {
        let asked = self.timed("its version", async {
            // A whole number of seconds, and for the head of an answer alone.
            let patience = self.patience.as_secs().saturating_add(1);
            let docker = match self.address.strip_prefix("unix://") {
                Some(path) => Docker::connect_with_unix(path, patience, API_DEFAULT_VERSION),
                None => Docker::connect_with_http(&self.address, patience, API_DEFAULT_VERSION),
            };
            docker?.negotiate_version().await
        });
        Ok(Client { docker: asked.await?, engine: self.clone(), turns: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// Asks the engine about itself.
    pub async fn describe(&self) -> Result<Description> {
        self.connect().await?.describe().await
    }

    async fn timed<T>(&self, what: &str, answer: impl Future<Output = Result<T, Error>>) -> Result<T> {
        self.in_time(answer).await.map_err(|error| self.explain(what, &error))
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout(self.patience, answer).await.unwrap_or(Err(Error::RequestTimeoutError))
    }

    fn explain(&self, what: &str, error: &Error) -> Explained {
        explain(&self.address, what, self.patience, error)
    }
}

/// What an engine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its version, such as `20.10.24+dfsg1`.
    pub version: String,
    /// Whether containers live on while it restarts.
    pub restores_live: bool,
    /// Whether it is a node of a swarm.
    pub is_in_swarm: bool,
}

/// An engine that has answered.
#[derive(Clone, Debug)]
pub(super) struct Client {
    docker: Docker,
    engine: Engine,
    turns: Arc<Semaphore>,
}

impl Client {
    /// The ids of the containers that run.
    pub(super) async fn running(&self) -> Result<Vec<Id>> {
        let containers = self.ask("which containers run", self.docker.list_containers(None)).await?;
        Ok(containers.into_iter().filter_map(|container| container.id).collect())
    }

    async fn describe(&self) -> Result<Description> {
        let info = self.ask("what it is", self.docker.info()).await?;
        let swarm = info.swarm.and_then(|swarm| swarm.local_node_state);
        Ok(Description {
            version: info.server_version.unwrap_or_default(),
            restores_live: info.live_restore_enabled.unwrap_or_default(),
            is_in_swarm: swarm == Some(LocalNodeState::ACTIVE),
        })
    }

    /// All networks.
    pub(super) async fn networks(&self) -> Result<Vec<Network>> {
        self.ask("its networks", self.docker.list_networks(None)).await
    }

    /// A container; `None` if it does not run. The inner error says nothing of others, nor that it does not run.
    pub(super) async fn container(&self, id: &str) -> Result<Result<Option<Inspected>>> {
        let _turn = self.turns.acquire().await?;
        let error = match self.engine.in_time(self.docker.inspect_container(id, None)).await {
            Ok(response) => return Ok(Ok(Inspected::of(response))),
            // Moby has no other status for one that is gone. One that is about to go is inspected as any other.
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(Ok(None)),
            Err(error) => error,
        };
        let explained = self.engine.explain(&format!("container {id}"), &error);
        let is_of_this_one = matches!(error, Error::DockerResponseServerError { .. } | Error::RequestTimeoutError);
        if is_of_this_one { Ok(Err(explained)) } else { Err(explained) }
    }

    /// What happens from now on, to the end of the connection.
    pub(super) fn events(&self) -> impl Stream<Item = Result<EventMessage>> + use<> {
        let kinds = event::KINDS.map(str::to_owned).to_vec();
        let filters = HashMap::from([("type".to_owned(), kinds)]);
        let engine = self.engine.clone();
        let events = self.docker.events(Some(EventsOptions { filters: Some(filters), ..EventsOptions::default() }));
        events.map(move |event| event.map_err(|error| engine.explain("its events", &error)))
    }

    /// Where the engine is.
    pub(super) fn address(&self) -> &str {
        &self.engine.address
    }

    async fn ask<T>(&self, what: &str, answer: impl Future<Output = Result<T, Error>>) -> Result<T> {
        let _turn = self.turns.acquire().await?;
        self.engine.timed(what, answer).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_netfwd_cannot_reach_is_refused_at_once() {
        assert!(Engine::at("unix:///run/docker.sock").is_ok() && Engine::at("tcp://127.0.0.1:2375").is_ok());
        for address in ["ssh://root@host", "https://host:2376", "/var/run/docker.sock", "npipe:////./pipe/docker"] {
            let error = Engine::at(address).unwrap_err().to_string();
            assert!(
                error.contains(address) && error.contains("leave it out for unix:///var/run/docker.sock"),
                "{error}"
            );
        }
    }
}
