//! Mapped ports are kept from the host's own sockets: a connection of the host from such a port would lose its answers
//! to the container. So they are added to `ip_local_reserved_ports`; what others have there stays.

use anyhow::Result;

use super::entries::Entries;
use crate::{
    datapath::maps::Maps,
    host::ports::{self, PortSet},
};

/// What is reserved, and by whom.
pub(super) struct Reservations {
    present: PortSet,
    /// By others than netfwd.
    pub(super) foreign: PortSet,
}

impl Reservations {
    pub(super) fn new(present: PortSet, entries: &Entries) -> Self {
        let mut foreign = present.clone();
        foreign.remove_all(&entries.reserved());
        Self { present, foreign }
    }

    /// Reserves these and no others of netfwd's.
    pub(super) fn set(&self, own: &PortSet) -> Result<()> {
        let mut wanted = self.foreign.clone();
        wanted.insert_all(own);
        if wanted == self.present { Ok(()) } else { ports::set_reserved(&wanted) }
    }

    /// Reserves what was reserved before.
    pub(super) fn restore(&self) -> Result<()> {
        ports::set_reserved(&self.present)
    }
}

/// Gives all ports back that mappings have taken from the host's own sockets; the mappings stay.
pub fn release_all(maps: &Maps) -> Result<()> {
    Reservations::new(ports::reserved()?, &Entries::read(maps)?).set(&PortSet::default())
}
