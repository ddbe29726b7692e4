//! Which namespaces this process lives in: the mount namespace decides whether what it pins can be seen by others, the
//! network namespace is where netfwd works.

use std::{fs, iter, net::UdpSocket, path::PathBuf};

use anyhow::{Context as _, Result};
use nix::{
    libc,
    sys::socket::{GetSockOpt as _, sockopt::GetStruct},
};

/// The cookie of a socket's network namespace (`SO_NETNS_COOKIE`, kernel 5.14).
#[derive(Clone, Copy)]
struct NetnsCookie;

nix::getsockopt_impl!(NetnsCookie, libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, u64, GetStruct<u64>);

/// The cookie of this process's network namespace.
pub fn cookie() -> Result<u64> {
    let what = "cannot ask for the network namespace's cookie";
    let socket = UdpSocket::bind("0.0.0.0:0").context(what)?;
    NetnsCookie.get(&socket).context(what)
}

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
