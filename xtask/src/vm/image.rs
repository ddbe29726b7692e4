//! Puts together the guest's file system.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use guest_init::{MANIFEST_PATH, Manifest};
use walkdir::WalkDir;

use super::initramfs::Initramfs;
use super::modules::Module;
use super::programs;
use crate::workspace;

pub(super) const SEARCH_PATH: &str = "/bin:/sbin:/usr/bin:/usr/sbin";

/// tcpdump gives up root for a user of its own where Debian built it.
const USERS: &str = "root:x:0:0:root:/root:/bin/sh\n\
                     tcpdump:x:100:100::/nonexistent:/bin/false\n\
                     nobody:x:65534:65534::/nonexistent:/bin/false\n";
const GROUPS: &str = "root:x:0:\ntcpdump:x:100:\nnogroup:x:65534:\n";
const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost\n";
const NAME_SERVICES: &str = "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: files\n";

/// Names that the programs look up; a host may lack any of them.
const TABLES: [&str; 4] = ["/etc/protocols", "/etc/services", "/etc/iproute2", "/usr/share/iproute2"];

/// Writes the file system into a file that has no name, so that nothing is left when this process ends.
pub(super) fn build(init: &Path, manifest: &Manifest, modules: &[Module], files: &[(PathBuf, String)]) -> Result<File> {
    let mut guest = Initramfs::default();
    add_system(&mut guest)?;
    programs::add_all(&mut guest)?;
    guest.program("/init", init);
    guest.text(MANIFEST_PATH, serde_json::to_vec_pretty(manifest)?);
    for module in modules {
        guest.text(&module.guest_path(), module.content.as_slice());
    }
    for (host, path) in files {
        programs::add(&mut guest, host, path)?;
    }
    let directory = workspace::target_directory()?;
    let image =
        tempfile::tempfile_in(&directory).with_context(|| format!("cannot make a file in {}", directory.display()))?;
    guest.write(BufWriter::new(&image))?;
    Ok(image)
}

fn add_system(guest: &mut Initramfs) -> Result<()> {
    for directory in ["/dev", "/proc", "/sys", "/run", "/tmp", "/root", "/sbin", "/usr/sbin"] {
        guest.directory(directory);
    }
    guest.link("/usr/bin", "/bin");
    guest.link("/var/run", "/run");
    guest.link("/etc/mtab", "/proc/self/mounts");
    guest.text("/etc/passwd", USERS);
    guest.text("/etc/group", GROUPS);
    guest.text("/etc/hosts", HOSTS);
    guest.text("/etc/nsswitch.conf", NAME_SERVICES);
    let entries = TABLES.iter().flat_map(WalkDir::new).filter_map(Result::ok);
    for path in entries.filter(|entry| entry.path().is_file()).map(walkdir::DirEntry::into_path) {
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        guest.text(&path.to_string_lossy(), content);
    }
    Ok(())
}
