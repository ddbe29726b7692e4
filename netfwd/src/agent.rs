//! The resident process. It keeps nothing that the kernel part needs: that works when this process is gone.

mod alone;
mod desired;
mod file;
mod look;
mod signals;
mod sources;

use std::{future::Future, io, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use sd_notify::NotifyState;
use tokio::{
    runtime::Builder,
    select, task,
    time::{Instant, timeout, timeout_at},
};

use crate::{datapath::pin::PinDir, host::events::Events, persist::Store};
use alone::Alone;
use desired::Desired;
use look::Looker;
use signals::Signals;
use sources::Sources;

pub use look::Look;

/// Changes often come as several messages: an address goes, and another one comes.
const QUIET: Duration = Duration::from_millis(50);
/// Where messages never cease, there is a look all the same.
const PATIENCE: Duration = Duration::from_millis(500);
/// No message tells of an attach by another process.
const REGULARLY: Duration = Duration::from_secs(5);
/// How long a change that has begun may take when the process is to end.
const GRACE: Duration = Duration::from_secs(5);

/// What the agent is to do besides following the host.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration file to bring about and to follow.
    pub config: Option<PathBuf>,
    /// Uplinks to attach.
    pub uplinks: Vec<String>,
    /// Whether to publish what Docker's containers publish.
    pub docker: bool,
}

/// What there is to tell.
#[derive(Debug)]
pub enum News {
    /// What a look has come to.
    Look(Box<Result<Look>>),
    /// Docker was asked.
    Docker {
        /// Containers that publish ports.
        containers: usize,
    },
    /// Docker cannot be asked, and why: what is known of it stays.
    NoDocker(String),
    /// The configuration file was read anew, and whether Docker is wanted now; or it is wrong: then what it said before goes
    /// on.
    Config(Result<bool>),
}

/// Works until it is told to end by SIGTERM or SIGINT. `told` gets all news.
pub fn run(pin_dir: &PinDir, store: &Store, options: &Options, told: impl FnMut(News) -> Result<()>) -> Result<()> {
    let _alone = Alone::claim(pin_dir)?;
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let result = runtime.block_on(until_told(Looker::new(pin_dir, store), options, told));
    runtime.shutdown_timeout(GRACE);
    result
}

async fn until_told(looker: Looker, options: &Options, told: impl FnMut(News) -> Result<()>) -> Result<()> {
    let mut signals = Signals::listen()?;
    let result = select! {
        result = follow(looker, options, told) => result,
        () = signals.end() => Ok(()),
    };
    notify(&[NotifyState::Stopping]);
    result
}

async fn follow(mut looker: Looker, options: &Options, mut told: impl FnMut(News) -> Result<()>) -> Result<()> {
    // Before the first look: so nothing that happens after it goes unheard.
    let events = Events::listen()?;
    let (mut sources, mut desired) = Sources::follow(options)?;
    loop {
        let (back, look) = look(looker, desired.clone()).await?;
        looker = back;
        told(News::Look(Box::new(look)))?;
        notify(&[NotifyState::Watchdog]);
        if desired.is_complete() {
            notify(&[NotifyState::Ready]);
        }
        select! {
            // What is published is wanted at once.
            news = sources.next(&mut desired) => news.map_or(Ok(()), &mut told)?,
            heard = wait(|| events.next()) => heard?,
        }
    }
}

/// On another thread: it waits for other processes that hold the lock.
async fn look(mut looker: Looker, desired: Desired) -> Result<(Looker, Result<Look>)> {
    let task = task::spawn_blocking(move || {
        let look = looker.look(&desired);
        (looker, look)
    });
    Ok(task.await.map_err(io::Error::other)?)
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

/// Tells the service manager, if there is one (`sd_notify(3)`).
fn notify(states: &[NotifyState<'_>]) {
    // Nobody depends on it but the manager, who will see that nothing came.
    sd_notify::notify(states).ok();
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
