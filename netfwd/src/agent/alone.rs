//! One agent alone brings about what is wanted: two with different wishes would undo each other's work for ever.

use std::{
    io::ErrorKind,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixListener},
        },
    },
};

use anyhow::{Context as _, Error, Result, anyhow};

use crate::datapath::pin::PinDir;

/// Keeps other agents away from a pin directory until it is dropped, however the process ends.
///
/// It is a socket with an abstract name (unix(7)): each network namespace has such names of its own, as it has pins.
pub(super) struct Alone {
    _socket: UnixListener,
}

impl Alone {
    /// Fails if there is another one.
    pub(super) fn claim(pin_dir: &PinDir) -> Result<Self> {
        let directory = pin_dir.path();
        let name = [b"netfwd run ", directory.as_os_str().as_bytes()].concat();
        let address = SocketAddr::from_abstract_name(name)
            .with_context(|| format!("cannot claim {}: its path is too long", directory.display()))?;
        let socket = UnixListener::bind_addr(&address).map_err(|error| {
            if error.kind() == ErrorKind::AddrInUse {
                anyhow!("another `netfwd run` works on {}: stop that one first", directory.display())
            } else {
                Error::from(error).context(format!("cannot claim {}", directory.display()))
            }
        })?;
        Ok(Self { _socket: socket })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_for_each_directory() {
        let [here, there] =
            ["here", "there"].map(|name| PinDir::new(format!("/nowhere/{}/{name}", std::process::id())));
        let first = Alone::claim(&here).unwrap();
        let error = Alone::claim(&here).err().unwrap().to_string();
        assert!(error.starts_with("another `netfwd run` works on /nowhere/"), "{error}");
        assert!(Alone::claim(&there).is_ok());
        drop(first);
        assert!(Alone::claim(&here).is_ok());
    }
}
