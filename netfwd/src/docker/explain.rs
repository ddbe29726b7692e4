//! What has gone wrong between netfwd and an engine, and what to do about it.

use std::{error::Error as StdError, io, iter, time::Duration};

use anyhow::{Error as Explained, anyhow};
use bollard::errors::Error;

/// An error about the engine at an address that was asked for something.
pub(super) fn explain(address: &str, what: &str, patience: Duration, error: &Error) -> Explained {
    let engine = format!("the Docker Engine at {address}");
    match (error, refusal(error)) {
        (Error::SocketNotFoundError(_), _) | (_, Some(io::ErrorKind::NotFound)) => anyhow!(
            "there is no Docker Engine at {address}: start it (`systemctl start docker`), or set DOCKER_HOST to \
             where it is"
        ),
        (_, Some(io::ErrorKind::PermissionDenied)) => {
            anyhow!("may not ask {engine}: run netfwd as root, or as a member of the socket's group (docker)")
        }
        (_, Some(io::ErrorKind::ConnectionRefused)) => {
            anyhow!("nobody listens at {address}: start the Docker Engine (`systemctl start docker`)")
        }
        (Error::RequestTimeoutError, _) => anyhow!(
            "{engine} has not answered within {patience:?}, asked for {what}: see whether `docker ps` answers, and \
             what `journalctl -u docker` says"
        ),
        (Error::DockerResponseServerError { status_code, message }, _) => {
            anyhow!("{engine} refuses to tell {what} ({status_code}): {}", message.trim())
        }
        (Error::JsonDataError { .. } | Error::JsonSerdeError { .. } | Error::APIVersionParseError {}, _) => anyhow!(
            "what answers at {address} is no Docker Engine that netfwd understands: asked for {what}, it says \
             something else ({error})"
        ),
        _ => anyhow!("the connection to {engine} broke, asked for {what}: {}; is it stopping?", chain(error)),
    }
}

/// An error about an engine that has ended the stream of its events.
pub(super) fn closed(address: &str) -> Explained {
    anyhow!("the Docker Engine at {address} has closed the connection: it stops or restarts")
}

/// What the kernel had against the connection.
fn refusal(error: &Error) -> Option<io::ErrorKind> {
    causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

/// The error with its causes, each said once.
fn chain(error: &Error) -> String {
    let mut said = String::new();
    for cause in causes(error).map(ToString::to_string) {
        if !said.ends_with(&cause) {
            said = if said.is_empty() { cause } else { format!("{said}: {cause}") };
        }
    }
    said
}

fn causes(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let first: &(dyn StdError + 'static) = error;
    iter::successors(Some(first), |&cause| cause.source())
}
