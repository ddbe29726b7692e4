//! One agent alone brings about what is wanted: two with different wishes would undo each other's work for ever.

use std::{
    fs::{self, File},
    path::{self, Path},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};

use crate::{datapath::pin::PinDir, host::namespace};

/// Keeps other agents away from a pin directory until it is dropped, however the process ends.
///
/// The pin directory comes and goes, and every command locks it. So this is a lock (fcntl(2), "Open file description
/// locks") on the directory that it is in, at a place of its own for each network namespace, as that has its own pins.
/// Who may not read the BPF file system cannot have it.
pub(super) struct Alone {
    _directory: File,
}

impl Alone {
    /// Fails if there is another one.
    pub(super) fn claim(pin_dir: &PinDir) -> Result<Self> {
        if !pin_dir.is_on_bpffs() {
            // What is mounted later would hide the directory that is locked.
            drop(pin_dir.prepare()?);
        }
        Self::lock(pin_dir.path())
    }

    fn lock(pins: &Path) -> Result<Self> {
        let failed = || format!("cannot claim {}", pins.display());
        let absolute = path::absolute(pins).with_context(failed)?;
        let real = absolute.canonicalize().unwrap_or(absolute);
        let (parent, name) = real.parent().zip(real.file_name()).with_context(failed)?;
        fs::create_dir_all(parent).with_context(failed)?;
        let directory = File::open(parent).with_context(failed)?;
        // A directory cannot be opened for writing, as an exclusive lock takes. Shared ones do: who sees another one
        // gives way, and of two at once, one at least sees the other's.
        let own = lock(libc::F_RDLCK, place(name.as_encoded_bytes(), namespace::cookie()?));
        fcntl(&directory, FcntlArg::F_OFD_SETLK(&own)).with_context(failed)?;
        let mut other = lock(libc::F_WRLCK, own.l_start);
        fcntl(&directory, FcntlArg::F_OFD_GETLK(&mut other)).with_context(failed)?;
        if i32::from(other.l_type) != libc::F_UNLCK {
            bail!("another `netfwd run` works on {}: stop that one first", pins.display());
        }
        Ok(Self { _directory: directory })
    }
}

const fn lock(kind: i32, place: i64) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: place, l_len: 1, l_pid: 0 }
}

/// The byte that stands for a name in a network namespace: FNV-1a, such that it and the one behind it have no sign.
fn place(name: &[u8], cookie: u64) -> i64 {
    let hash = name
        .iter()
        .chain(&cookie.to_ne_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (hash >> 2).cast_signed()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn there_is_one_for_each_directory_by_whatever_name_and_whether_it_exists() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        symlink(root.path(), path("link")).unwrap();
        symlink(path("here"), path("alias")).unwrap();
        let is_free = |name: &str| Alone::lock(&path(name)).is_ok();
        let first = Alone::lock(&path("here")).unwrap();
        for name in ["here", "here/", "./here", "link/here"] {
            assert!(!is_free(name), "{name}");
        }
        fs::create_dir(path("here")).unwrap();
        for name in ["here", "here/", "here/.", "link/here/", "alias", "alias/", "link/alias"] {
            assert!(!is_free(name), "{name}");
        }
        assert!(is_free("there") && is_free("new/here"));
        let error = Alone::lock(&path("here")).err().unwrap().to_string();
        assert!(
            error.starts_with("another `netfwd run` works on /") && error.ends_with("stop that one first"),
            "{error}"
        );
        drop(first);
        assert!(is_free("here"));
    }

    #[test]
    fn commands_lock_the_directory_meanwhile() {
        let root = tempfile::tempdir().unwrap();
        let pins = PinDir::new(root.path());
        let _agent = Alone::lock(root.path()).unwrap();
        assert!(pins.try_lock().unwrap().is_some());
        assert!(Alone::lock(&root.path().join("inside")).is_ok(), "another directory");
    }
}
