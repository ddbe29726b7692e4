//! The thread that reads the maps, so that keys are answered meanwhile.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    sample::{Id, Sample},
    sampler::Sampler,
};

/// What the thread is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// End a connection.
    End(Id),
    /// Look as often as that.
    Interval(Duration),
}

/// What the thread tells.
pub(super) enum News {
    /// What it saw.
    Sample(Box<Sample>),
    /// Whether a connection was ended that was to be; otherwise it had ended by itself.
    Ended(bool),
    /// Why it sees nothing more.
    Failed(anyhow::Error),
}

/// Starts the thread. It ends when either channel does.
pub(super) fn start(sampler: Sampler, interval: Duration) -> (Sender<Order>, Receiver<News>) {
    let (orders, ordered) = channel();
    // While a terminal takes nothing, nothing more is read.
    let (news, told) = sync_channel(1);
    thread::spawn(move || {
        if let Err(error) = watch(sampler, interval, &ordered, &news) {
            // Without a receiver there is nobody to tell.
            news.send(News::Failed(error)).ok();
        }
    });
    (orders, told)
}

fn watch(
    mut sampler: Sampler,
    mut interval: Duration,
    ordered: &Receiver<Order>,
    news: &SyncSender<News>,
) -> Result<()> {
    loop {
        let next = Instant::now() + interval;
        if news.send(News::Sample(Box::new(sampler.sample()?))).is_err() {
            return Ok(());
        }
        match ordered.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Order::Interval(new)) => interval = new,
            Ok(Order::End(id)) => {
                let ended = News::Ended(sampler.end(id)?);
                if news.send(ended).is_err() {
                    return Ok(());
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
