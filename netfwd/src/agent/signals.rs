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
