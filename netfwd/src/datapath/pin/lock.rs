//! One process at a time changes what is pinned.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use anyhow::{Context as _, Result, anyhow};
use nix::fcntl::{Flock, FlockArg};

/// Keeps other processes from changing what is pinned, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// `None` if there is no such directory.
    pub(super) fn take(directory: &Path) -> Result<Option<Self>> {
        loop {
            let file = match File::open(directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                result => result.with_context(|| format!("cannot open {}", directory.display()))?,
            };
            let opened = file.metadata().with_context(|| format!("cannot examine {}", directory.display()))?;
            let file = Flock::lock(file, FlockArg::LockExclusive)
                .map_err(|(_, error)| anyhow!(error).context(format!("cannot lock {}", directory.display())))?;
            // The process that held the lock may have removed the directory, and another one made it again.
            let is_same = |now: fs::Metadata| (now.dev(), now.ino()) == (opened.dev(), opened.ino());
            if fs::metadata(directory).is_ok_and(is_same) {
                return Ok(Some(Self { _file: file }));
            }
        }
    }
}
