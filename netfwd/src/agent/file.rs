//! The configuration file, and when it has changed.

use std::{
    ffi::{OsStr, OsString},
    future,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Error, Result};
use futures_util::StreamExt as _;
use inotify::{EventMask, EventStream, Inotify, WatchMask};

use crate::config::{self, Config};

/// Room for one event with the longest name there is, inotify(7).
type Buffer = [u8; 512];

/// A configuration file that is followed. It is the directory that is watched: most who write a file put a new one in the
/// place of the old one.
pub(super) struct File {
    path: PathBuf,
    name: OsString,
    /// What happens in its directory, as long as that can be watched.
    events: Option<EventStream<Buffer>>,
    /// Why it cannot, until that is told.
    failure: Option<Error>,
}

impl File {
    /// From now on changes are noticed, if that is possible.
    pub(super) fn watch(path: &Path) -> Result<Self> {
        let name = path.file_name().with_context(|| format!("{} is no file", path.display()))?;
        let (events, failure) = match events(path) {
            Ok(events) => (Some(events), None),
            Err(error) => (None, Some(unnoticed(error, path))),
        };
        Ok(Self { path: path.to_owned(), name: name.to_owned(), events, failure })
    }

    /// What it says.
    pub(super) fn read(&self) -> Result<Config> {
        config::read(&self.path)
    }

    /// Waits until it has been written. Nothing is lost when the wait is given up. Fails once if that goes unnoticed;
    /// from then on it waits for ever.
    pub(super) async fn changed(&mut self) -> Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let Some(events) = &mut self.events else { return future::pending().await };
        let written = written(events, &self.name).await;
        if written.is_err() {
            self.events = None;
        }
        written.map_err(|error| unnoticed(error, &self.path))
    }
}

fn unnoticed(error: Error, path: &Path) -> Error {
    error.context(format!("changes of {} go unnoticed: send SIGHUP after each", path.display()))
}

fn events(path: &Path) -> Result<EventStream<Buffer>> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = || format!("cannot watch {}", directory.display());
    let inotify = Inotify::init().with_context(failed)?;
    // Not while a file is being written: half of it would be another configuration.
    inotify.watches().add(directory, WatchMask::CLOSE_WRITE | WatchMask::MOVED_TO).with_context(failed)?;
    inotify.into_event_stream(Buffer::from([0; size_of::<Buffer>()])).with_context(failed)
}

/// Waits until a file with this name has been written.
async fn written(events: &mut EventStream<Buffer>, name: &OsStr) -> Result<()> {
    loop {
        let event = events.next().await.context("no more events")?.context("cannot read events of files")?;
        if event.name.as_deref() == Some(name) || event.mask.contains(EventMask::Q_OVERFLOW) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use tokio::{runtime::Builder, time::timeout};

    use super::*;

    const SOON: Duration = Duration::from_secs(5);
    const MEANWHILE: Duration = Duration::from_millis(50);

    #[test]
    fn a_file_that_is_written_or_replaced_has_changed_and_others_have_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut file = File::watch(&path("netfwd.toml")).unwrap();
            fs::write(path("other"), "host-access = false").unwrap();
            assert!(timeout(MEANWHILE, file.changed()).await.is_err());
            fs::rename(path("other"), path("netfwd.toml")).unwrap();
            timeout(SOON, file.changed()).await.unwrap().unwrap();
            assert!(!file.read().unwrap().host_access);
            fs::write(path("netfwd.toml"), "").unwrap();
            timeout(SOON, file.changed()).await.unwrap().unwrap();
            assert!(file.read().unwrap().host_access);
            assert!(timeout(MEANWHILE, file.changed()).await.is_err());
        });
    }

    #[test]
    fn a_file_that_cannot_be_watched_is_read_all_the_same_and_that_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let later = directory.path().join("later");
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut file = File::watch(&later.join("netfwd.toml")).unwrap();
            fs::create_dir(&later).unwrap();
            fs::write(later.join("netfwd.toml"), "host-access = false").unwrap();
            let failure = timeout(SOON, file.changed()).await.unwrap().unwrap_err().to_string();
            assert!(failure.ends_with("later/netfwd.toml go unnoticed: send SIGHUP after each"), "{failure}");
            assert!(timeout(MEANWHILE, file.changed()).await.is_err());
            assert!(!file.read().unwrap().host_access);
        });
    }
}
