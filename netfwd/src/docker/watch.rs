//! Follows an engine for ever, whatever becomes of it.

use std::{collections::BTreeMap, future, time::Duration};

use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{Update, engine::Engine, session};

/// An engine that stays lost is looked for after this time, then after twice as long, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A connection that held for so long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// Follows an engine, on a task of its own that ends with it.
///
/// Whoever is slow to ask for updates misses states in between, never the last one.
#[derive(Debug)]
pub struct Watch {
    updates: Receiver<Update>,
    _task: JoinSet<()>,
}

impl Watch {
    /// Begins to follow an engine. It takes a tokio runtime.
    #[must_use]
    pub fn start(engine: Engine) -> Self {
        let (sender, updates) = mpsc::channel(1);
        let mut task = JoinSet::new();
        task.spawn(follow(engine, sender));
        Self { updates, _task: task }
    }

    /// Waits for news. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> Update {
        match self.updates.recv().await {
            Some(update) => update,
            None => future::pending().await,
        }
    }
}

async fn follow(engine: Engine, updates: Sender<Update>) {
    let mut pause = FIRST_PAUSE;
    let mut complaint = None;
    let mut known = BTreeMap::new();
    loop {
        let begun = Instant::now();
        let (error, has_told) = session::follow(&engine, &updates, &mut known).await;
        let reason = format!("{error:#}");
        if has_told || complaint.as_ref() != Some(&reason) {
            complaint = Some(reason.clone());
            if updates.send(Update::Lost(reason)).await.is_err() {
                return;
            }
        }
        if has_told && begun.elapsed() >= GOOD {
            pause = FIRST_PAUSE;
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause.saturating_mul(2));
    }
}

#[cfg(test)]
mod tests;
