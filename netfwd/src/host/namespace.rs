//! Which mount namespace this process lives in, as far as it decides whether what it pins can be seen by others.

use std::{fs, iter, path::PathBuf};

/// Whether the process or one that started it made a mount namespace, as `ip netns exec` and `unshare --mount` do:
/// a file system that is mounted in it is gone when it ends.
#[must_use]
pub fn has_own_mounts() -> bool {
    let Some(own) = mounts("self") else {
        return false;
    };
    // The first process's namespace may be hidden from this one; then its ancestors' have to do.
    iter::successors(parent("self"), |pid| parent(pid)).filter_map(|pid| mounts(&pid)).any(|other| other != own)
}

fn mounts(pid: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

fn parent(pid: &str) -> Option<String> {
    parent_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The process's name, in parentheses, may itself contain spaces and parentheses.
fn parent_in(stat: &str) -> Option<String> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(1).filter(|parent| *parent != "0").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent_in("42 (a) b (c)) S 7 42 42 0 -1"), Some("7".to_owned()));
        assert_eq!(parent_in("1 (init) S 0 1 1 0 -1"), None);
        assert_eq!(parent_in(""), None);
    }
}
