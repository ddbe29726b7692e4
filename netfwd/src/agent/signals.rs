//! The signals that the agent obeys.

use anyhow::{Context as _, Result};
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
};

/// Those that end it.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they do not end the process by themselves.
    pub(super) fn listen() -> Result<Self> {
        let failed = "cannot wait for signals";
        let terminate = signal(SignalKind::terminate()).context(failed)?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt()).context(failed)? })
    }

    /// Waits until one comes.
    pub(super) async fn end(&mut self) {
        select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The one by which it is told to read its configuration anew.
pub(super) struct Hangup(Signal);

impl Hangup {
    /// From now on it does not end the process by itself.
    pub(super) fn listen() -> Result<Self> {
        signal(SignalKind::hangup()).context("cannot wait for signals").map(Self)
    }

    /// Waits until it comes. Nothing is lost when the wait is given up.
    pub(super) async fn next(&mut self) {
        self.0.recv().await;
    }
}
