//! Mappings that are kept across reboots: a file with a mapping on each line, as `netfwd map` takes them.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow};
use tempfile::NamedTempFile;

use crate::mapping::{HostPorts, Mapping, Request};

/// Where kept state is, unless the user chooses.
pub const DEFAULT: &str = "/var/lib/netfwd";

const FILE: &str = "mappings";
const HEAD: &str =
    "# Mappings that `netfwd map --persist` has made, and that `netfwd run` makes again after a reboot.\n";

/// The file in its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store(PathBuf);

/// A new content that is on the disk already, but not in force.
#[derive(Debug)]
pub struct Prepared {
    file: NamedTempFile,
    path: PathBuf,
}

/// Kept mappings, none of which overlap.
pub type Kept = BTreeMap<HostPorts, Mapping>;

impl Store {
    /// The store in a directory.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self(directory.join(FILE))
    }

    /// What is kept; nothing if there is no file.
    pub fn read(&self) -> Result<Kept> {
        let text = match fs::read_to_string(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.with_context(|| format!("cannot read {}", self.0.display()))?,
        };
        let mut kept = Kept::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let place = || format!("{}:{number}: correct the line, or remove it", self.0.display());
                kept.extend(mappings(line).with_context(place)?.map(|mapping| (mapping.host, mapping)));
            }
        }
        Ok(kept)
    }

    /// Writes a new content beside the present one. So a disk that is full is noticed before anything has changed.
    pub fn prepare(&self, kept: &Kept) -> Result<Prepared> {
        let failed = || cannot_write(&self.0);
        let directory = self.0.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory).with_context(failed)?;
        let mut file = NamedTempFile::new_in(directory).with_context(failed)?;
        let lines = kept.values().map(|mapping| format!("{mapping}\n"));
        let text: String = [HEAD.to_owned()].into_iter().chain(lines).collect();
        file.write_all(text.as_bytes()).with_context(failed)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).with_context(failed)?;
        file.as_file().sync_all().with_context(failed)?;
        Ok(Prepared { file, path: self.0.clone() })
    }
}

impl Prepared {
    /// Puts it in force.
    pub fn commit(self) -> Result<()> {
        let failed = cannot_write(&self.path);
        self.file.persist(self.path).map_err(|error| anyhow!(error.error)).context(failed).map(drop)
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}, which keeps mappings across reboots", path.display())
}

fn mappings(line: &str) -> Result<impl Iterator<Item = Mapping> + use<>> {
    let request: Request = line.parse()?;
    request.fixed().context("the host's ports are missing")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::tests::mapping;

    #[test]
    fn mappings_are_read_as_they_were_written_and_comments_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(&directory.path().join("new"));
        assert_eq!(store.read().unwrap(), Kept::new());
        let all = ["80-90:172.17.0.2:8080-8090/udp", "[2001:db8::1]:80:[fd00::2]:80"].map(mapping);
        let kept: Kept = all.map(|mapping| (mapping.host, mapping)).into();
        store.prepare(&kept).unwrap().commit().unwrap();
        assert_eq!(store.read().unwrap(), kept);
        fs::write(&store.0, "# nothing\n\n 80:172.17.0.2:80/tcp+udp # two\n").unwrap();
        assert_eq!(store.read().unwrap().len(), 2);
    }

    #[test]
    fn what_is_not_put_in_force_leaves_the_file_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        drop(store.prepare(&Kept::new()).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_line_that_is_no_mapping_is_an_error_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        for (line, reason) in [("80:172.17.0.2", "mappings:2"), ("172.17.0.2:80", "the host's ports are missing")] {
            fs::write(&store.0, format!("# one\n{line}\n")).unwrap();
            let error = format!("{:#}", store.read().unwrap_err());
            assert!(error.contains("mappings:2: correct the line, or remove it") && error.contains(reason), "{error}");
        }
    }
}
