//! Where everything is pinned: `DIR/maps/NAME`, `DIR/programs/NAME`, `DIR/links/IFINDEX-DIRECTION`,
//! `DIR/links/IFINDEX-xdp-MODE`, `DIR/links/NAME`.

mod lock;
mod mount;

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use aya::{
    programs::links::{LinkError, PinnedLink},
    sys::SyscallError,
};

use super::{hook::Direction, maps::OpenError, xdp};
use crate::host::namespace;

pub use lock::Lock;

/// Where pins are, unless the user chooses.
pub const DEFAULT: &str = "/sys/fs/bpf/netfwd";

/// The pin directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinDir(PathBuf);

impl PinDir {
    /// The pin directory at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The directory of the maps.
    #[must_use]
    pub fn maps(&self) -> PathBuf {
        self.0.join("maps")
    }

    /// Where a map is pinned.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// Where a program is pinned.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }

    /// Where an uplink's TCX link is pinned.
    #[must_use]
    pub fn link(&self, ifindex: u32, direction: Direction) -> PathBuf {
        self.links().join(format!("{ifindex}-{}", direction.as_str()))
    }

    /// Where an uplink's XDP link is pinned.
    #[must_use]
    pub fn xdp_link(&self, ifindex: u32, mode: xdp::Mode) -> PathBuf {
        self.links().join(format!("{ifindex}-xdp-{}", mode.as_str()))
    }

    /// Where the link of a program of host access is pinned.
    #[must_use]
    pub fn host_link(&self, name: &str) -> PathBuf {
        self.links().join(name)
    }

    /// A directory that exists if netfwd made the clsact queueing discipline of an uplink.
    #[must_use]
    pub fn clsact_mark(&self, ifindex: u32) -> PathBuf {
        self.links().join(format!("{ifindex}-clsact"))
    }

    /// Makes sure that it exists and that pins can be made in it, and locks it.
    pub fn prepare(&self) -> Result<Lock> {
        if let Some(why) = self.why_hidden() {
            bail!(why);
        }
        mount::ensure(&self.0)?;
        loop {
            for directory in self.directories() {
                fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
            }
            // Another process may have removed what was made before it was locked.
            if let Some(lock) = Lock::take(&self.0)?.filter(|_| self.links().is_dir()) {
                return Ok(lock);
            }
        }
    }

    /// Whether a BPF file system is mounted where it is or will be.
    #[must_use]
    pub fn is_on_bpffs(&self) -> bool {
        mount::is_bpffs(&self.0)
    }

    /// Whether nothing is pinned.
    pub fn is_empty(&self) -> Result<bool> {
        for directory in self.directories() {
            let what = || format!("cannot list {}", directory.display());
            if fs::read_dir(&directory).with_context(what)?.next().is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes all pins.
    pub fn clear(&self) -> Result<()> {
        for directory in self.directories() {
            remove_tree(&directory)?;
            fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        Ok(())
    }

    /// Locks it against changes by other processes, until the lock is dropped. `None` if it does not exist.
    pub fn try_lock(&self) -> Result<Option<Lock>> {
        Lock::take(&self.0)
    }

    /// Locks it against changes by other processes, until the lock is dropped. It must exist.
    pub fn lock(&self) -> Result<Lock> {
        self.try_lock()?.ok_or_else(|| OpenError::not_attached(self).into())
    }

    /// Removes all pins and the directory itself.
    pub fn remove(&self) -> Result<()> {
        for directory in self.directories() {
            remove_tree(&directory)?;
        }
        mount::undo(&self.0)?;
        // Whoever made it for a process without root's rights keeps it.
        match fs::remove_dir(&self.0) {
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::PermissionDenied) => Ok(()),
            result => gone(result).with_context(|| format!("cannot remove {}", self.0.display())),
        }
    }

    /// Why pins made elsewhere cannot be seen here, and those made here cannot be seen elsewhere, if so.
    #[must_use]
    pub fn why_hidden(&self) -> Option<String> {
        (!mount::is_bpffs(&self.0) && namespace::has_own_mounts()).then(|| {
            format!(
                "no BPF file system is mounted for {} in this mount namespace, and pins that are made here are gone \
                 when it ends (`ip netns exec` makes one for each command): use `nsenter --net=/run/netns/NAME netfwd …`",
                self.0.display()
            )
        })
    }

    /// In the order of their removal: what is attached goes first.
    fn directories(&self) -> [PathBuf; 3] {
        [self.links(), self.programs(), self.maps()]
    }

    fn programs(&self) -> PathBuf {
        self.0.join("programs")
    }

    fn links(&self) -> PathBuf {
        self.0.join("links")
    }
}

/// The link that is pinned at `path`, if there is one.
pub(super) fn open_link(path: &Path) -> Result<Option<PinnedLink>> {
    match PinnedLink::from_pin(path) {
        Ok(link) => Ok(Some(link)),
        Err(LinkError::SyscallError(SyscallError { io_error, .. })) if io_error.kind() == ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot open the pinned link {}", path.display())),
    }
}

/// Removes a pin; one that is gone already is no error.
pub fn unpin(path: &Path) -> Result<()> {
    gone(fs::remove_file(path)).with_context(|| format!("cannot remove the pin {}", path.display()))
}

fn remove_tree(directory: &Path) -> Result<()> {
    gone(fs::remove_dir_all(directory)).with_context(|| format!("cannot remove {}", directory.display()))
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_place_below_the_directory() {
        let pin_dir = PinDir::new("/sys/fs/bpf/other");
        assert_eq!(pin_dir.map("SETTINGS"), Path::new("/sys/fs/bpf/other/maps/SETTINGS"));
        assert_eq!(pin_dir.program("netfwd_egress"), Path::new("/sys/fs/bpf/other/programs/netfwd_egress"));
        assert_eq!(pin_dir.link(5, Direction::Egress), Path::new("/sys/fs/bpf/other/links/5-egress"));
    }

    #[test]
    fn removing_a_pin_that_is_gone_is_no_error() {
        unpin(Path::new("/nowhere/at/all")).unwrap();
        remove_tree(Path::new("/nowhere/at/all")).unwrap();
    }
}
