//! The resident process. It keeps nothing that the kernel part needs: that works when this process is gone.

use std::{future::Future, io, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    runtime::Builder,
    select,
    signal::unix::{Signal, SignalKind, signal},
    task,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    datapath::{
        pin::PinDir,
        uplinks::{self, Round},
    },
    host::events::Events,
};

/// Changes often come as several messages: an address goes, and another one comes.
const QUIET: Duration = Duration::from_millis(50);
/// Where messages never cease, there is a look all the same.
const PATIENCE: Duration = Duration::from_millis(500);
/// No message tells of an attach by another process.
const REGULARLY: Duration = Duration::from_secs(5);
/// How long a change that has begun may take when the process is to end.
const GRACE: Duration = Duration::from_secs(5);

/// Follows the host until it is told to end by SIGTERM or SIGINT. `told` gets what each look has come to.
pub fn run(pin_dir: &PinDir, told: impl FnMut(Result<Option<Round>>) -> Result<()>) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let result = runtime.block_on(until_told(pin_dir, told));
    runtime.shutdown_timeout(GRACE);
    result
}

async fn until_told(pin_dir: &PinDir, told: impl FnMut(Result<Option<Round>>) -> Result<()>) -> Result<()> {
    let failed = "cannot wait for signals";
    let mut terminate = signal(SignalKind::terminate()).context(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).context(failed)?;
    select! {
        result = follow(pin_dir, told) => result,
        () = came(&mut terminate) => Ok(()),
        () = came(&mut interrupt) => Ok(()),
    }
}

async fn came(signal: &mut Signal) {
    signal.recv().await;
}

async fn follow(pin_dir: &PinDir, mut told: impl FnMut(Result<Option<Round>>) -> Result<()>) -> Result<()> {
    // Before the first look: so nothing that happens after it goes unheard.
    let events = Events::listen()?;
    loop {
        told(look(pin_dir).await)?;
        wait(|| events.next()).await?;
    }
}

/// On another thread: it waits for other processes that hold the lock.
async fn look(pin_dir: &PinDir) -> Result<Option<Round>> {
    let pin_dir = pin_dir.clone();
    task::spawn_blocking(move || uplinks::follow(&pin_dir)).await.map_err(io::Error::other)?
}

/// Waits until it is time for another look.
async fn wait<E: Future<Output = Result<()>>>(next: impl Fn() -> E) -> Result<()> {
    let Ok(heard) = timeout(REGULARLY, next()).await else { return Ok(()) };
    heard?;
    let latest = Instant::now() + PATIENCE;
    while Instant::now() < latest
        && let Ok(heard) = timeout_at(latest.min(Instant::now() + QUIET), next()).await
    {
        heard?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How long a wait takes when `count` messages come, `pause` after each other.
    fn waited(count: u32, pause: Duration) -> Duration {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (begun, left) = (Instant::now(), Cell::new(count));
            let next = || async {
                let Some(less) = left.get().checked_sub(1) else { return std::future::pending().await };
                tokio::time::sleep(pause).await;
                left.set(less);
                Ok(())
            };
            wait(next).await.unwrap();
            begun.elapsed()
        })
    }

    #[test]
    fn a_look_comes_when_messages_cease_and_sometimes_without_any() {
        assert_eq!(waited(0, QUIET), REGULARLY);
        assert_eq!(waited(1, Duration::from_millis(10)), Duration::from_millis(10) + QUIET);
        assert_eq!(waited(5, Duration::from_millis(10)), Duration::from_millis(50) + QUIET);
        assert_eq!(waited(2, QUIET * 2), QUIET * 3, "the second belongs to the next look");
    }

    #[test]
    fn messages_that_never_cease_do_not_put_a_look_off() {
        let pause = Duration::from_millis(10);
        assert_eq!(waited(u32::MAX, pause), pause + PATIENCE);
    }
}
