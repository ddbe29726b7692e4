use super::{PortChoice, Rule};

/// Uplinks and bridges at most: counters are laid out for this many.
pub const MAX_INTERFACES: u32 = 256;

/// What the hooks know of the interface they are attached to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Which counters are its own, below [`MAX_INTERFACES`].
    pub slot: u32,
    /// Bytes before the IP header: 14 for Ethernet, 0 for an interface without link-layer addresses.
    pub link_header: u32,
    /// On an uplink the rule of the host's own flows that had to be moved to another port; on a bridge that of
    /// hairpin flows.
    pub rule: Rule,
    /// The ports to choose from for these.
    pub ports: PortChoice,
    /// Outside ports that one inside address may have at once on an uplink (RFC 6888 REQ-4); 0 for any number.
    pub max_ports_per_source: u32,
    /// The largest TCP segment that may be announced over IPv4 and IPv6 (network order); 0 leaves it alone.
    pub max_segment: [[u8; 2]; 2],
    /// [`Filtering::number`], of an uplink: bindings filter alike whoever sends to them.
    pub filtering: u8,
    /// [`Role::number`].
    pub role: u8,
    /// [`Interface::PICK_UP`], [`Interface::FAST_PATH`], [`Interface::ISOLATE`] and [`Interface::INTERNAL`].
    pub flags: u8,
    /// 0.
    pub pad: u8,
}

impl Interface {
    /// A TCP segment in the middle of an unknown connection opens it, as `nf_conntrack_tcp_loose` does.
    pub const PICK_UP: u8 = 1;
    /// Packets go past the host's stack where they can.
    pub const FAST_PATH: u8 = 2;
    /// Of an uplink: the subnets that it masquerades are kept apart. For user space alone; the kernel part looks at
    /// [`isolated`](super::names::FamilyMaps::isolated).
    pub const ISOLATE: u8 = 4;
    /// Of a bridge: nothing is forwarded from it.
    pub const INTERNAL: u8 = 8;

    /// Whether packets go past the host's stack here. Only those with Ethernet headers can.
    #[must_use]
    pub const fn has_fast_path(&self) -> bool {
        self.flags & Self::FAST_PATH != 0 && self.link_header == 14
    }

    /// Its entry in `FAST_INTERFACES`: its index if it has a fast path, else 0.
    #[must_use]
    pub const fn fast(&self, ifindex: u32) -> u32 {
        if self.has_fast_path() { ifindex } else { 0 }
    }

    /// How it filters.
    #[must_use]
    pub const fn filtering(&self) -> Filtering {
        match self.filtering {
            1 => Filtering::Address,
            2 => Filtering::Endpoint,
            _ => Filtering::AddressAndPort,
        }
    }
}

/// What an interface is to netfwd.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It leads outside.
    Uplink = 0,
    /// It has containers.
    Bridge = 1,
    /// It leads from a bridge to a container.
    Member = 2,
}

impl Role {
    /// Its byte in an [`Interface`].
    #[must_use]
    #[expect(clippy::as_conversions, reason = "the discriminant")]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// Who may send to an outside endpoint that an inside endpoint has by its own doing (RFC 4787 section 5).
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Filtering {
    /// Whom it has sent to: that address and port.
    #[default]
    AddressAndPort = 0,
    /// Any port of an address that it has sent to.
    Address = 1,
    /// Everybody.
    Endpoint = 2,
}

impl Filtering {
    /// Its byte in an [`Interface`].
    #[must_use]
    #[expect(clippy::as_conversions, reason = "the discriminant")]
    pub const fn number(self) -> u8 {
        self as u8
    }
}
