//! An initramfs: an uncompressed cpio archive in the newc format.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cpio::newc;

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

enum Entry {
    Directory,
    /// A file of the host, executable in the guest.
    Program(PathBuf),
    Text(Vec<u8>),
    Link(String),
}

/// What goes where; a later entry at the same path replaces the earlier one.
#[derive(Default)]
pub(super) struct Initramfs(BTreeMap<PathBuf, Entry>);

impl Initramfs {
    pub(super) fn directory(&mut self, path: &str) {
        self.add(path, Entry::Directory);
    }

    pub(super) fn program(&mut self, path: &str, host: &Path) {
        self.add(path, Entry::Program(host.to_owned()));
    }

    pub(super) fn text(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.add(path, Entry::Text(content.into()));
    }

    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.add(path, Entry::Link(target.to_owned()));
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.0.contains_key(Path::new(path.trim_start_matches('/')))
    }

    fn add(&mut self, path: &str, entry: Entry) {
        let path = Path::new(path.trim_start_matches('/'));
        for parent in path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
            self.0.entry(parent.to_owned()).or_insert(Entry::Directory);
        }
        self.0.insert(path.to_owned(), entry);
    }

    pub(super) fn write(&self, mut to: impl Write) -> Result<()> {
        for (inode, (path, entry)) in (1..).zip(&self.0) {
            let (mode, content) = entry.read().with_context(|| format!("for {} of the guest", path.display()))?;
            write_entry(&mut to, inode, path, mode, &content)?;
        }
        newc::trailer(&mut to)?;
        Ok(to.flush()?)
    }
}

impl Entry {
    fn read(&self) -> Result<(u32, Vec<u8>)> {
        Ok(match self {
            Self::Directory => (DIRECTORY, Vec::new()),
            Self::Program(host) => {
                (PROGRAM, fs::read(host).with_context(|| format!("cannot read {}", host.display()))?)
            }
            Self::Text(content) => (FILE, content.clone()),
            Self::Link(target) => (LINK, target.clone().into_bytes()),
        })
    }
}

fn write_entry(to: impl Write, inode: u32, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let size = u32::try_from(content.len()).map_err(io::Error::other)?;
    let entry = newc::Builder::new(&path.to_string_lossy()).ino(inode).nlink(1).mode(mode);
    let mut writer = entry.write(to, size);
    writer.write_all(content)?;
    writer.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_and_modes(archive: &[u8]) -> Vec<(String, u32)> {
        let mut rest = archive;
        let mut found = Vec::new();
        loop {
            let reader = newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                return found;
            }
            found.push((reader.entry().name().to_owned(), reader.entry().mode()));
            rest = reader.finish().unwrap();
        }
    }

    #[test]
    fn directories_come_before_what_is_in_them() {
        let mut initramfs = Initramfs::default();
        initramfs.text("/etc/hosts", "127.0.0.1 localhost\n");
        initramfs.link("/var/run", "/run");
        let mut archive = Vec::new();
        initramfs.write(&mut archive).unwrap();
        let expected = [("etc", DIRECTORY), ("etc/hosts", FILE), ("var", DIRECTORY), ("var/run", LINK)];
        assert_eq!(names_and_modes(&archive), expected.map(|(name, mode)| (name.to_owned(), mode)));
    }

    #[test]
    fn a_file_of_the_host_that_is_gone_is_named() {
        let mut initramfs = Initramfs::default();
        initramfs.program("/bin/tool", Path::new("/no/such/tool"));
        let error = initramfs.write(io::sink()).unwrap_err();
        assert_eq!(error.to_string(), "for bin/tool of the guest");
    }
}
