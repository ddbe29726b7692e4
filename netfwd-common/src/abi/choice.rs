use super::V6;

/// An option of an uplink's attach that the other maps do not tell, but only what came of it: the key of a map that is
/// a set. User space chooses anew by them when the host's addresses change; the kernel part does not look at them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Choice {
    /// The uplink's interface index.
    pub uplink: u32,
    /// Which option: [`Choice::ADDRESS`], [`Choice::SUBNET`], [`Choice::BRIDGE`], [`Choice::XDP`],
    /// [`Choice::INTERNAL`], [`Choice::ORIGIN`], [`Choice::APART`], or one of those that begin with `FOUND`.
    pub option: u8,
    /// Of an address or subnet the version of IP, 4 or 6.
    pub version: u8,
    /// Of an address or subnet the length of its prefix.
    pub length: u8,
    pad: u8,
    /// The address, in its first bytes; the bridge's name; or a number. Zeros follow.
    pub value: V6,
}

impl Choice {
    /// The address to masquerade with.
    pub const ADDRESS: u8 = 0;
    /// A subnet to masquerade.
    pub const SUBNET: u8 = 1;
    /// A bridge whose subnets to masquerade.
    pub const BRIDGE: u8 = 2;
    /// How its XDP program is attached.
    pub const XDP: u8 = 3;
    /// A network that is isolated and not masqueraded.
    pub const INTERNAL: u8 = 4;
    /// Who attached it.
    pub const ORIGIN: u8 = 5;
    /// A network that is isolated, whether or not it is masqueraded.
    pub const APART: u8 = 6;
    /// As [`Choice::SUBNET`], but found by the agent, and said by no user.
    pub const FOUND_SUBNET: u8 = 7;
    /// As [`Choice::INTERNAL`], but found.
    pub const FOUND_INTERNAL: u8 = 8;
    /// As [`Choice::APART`], but found.
    pub const FOUND_APART: u8 = 9;

    /// A choice of an address or subnet.
    #[must_use]
    pub const fn network(uplink: u32, option: u8, version: u8, length: u8, value: V6) -> Self {
        Self { uplink, option, version, length, pad: 0, value }
    }

    /// A choice of a bridge.
    #[must_use]
    pub const fn bridge(uplink: u32, name: V6) -> Self {
        Self { uplink, option: Self::BRIDGE, version: 0, length: 0, pad: 0, value: name }
    }

    /// A choice of a mode of XDP, by user space's number for it.
    #[must_use]
    pub const fn xdp(uplink: u32, mode: u8) -> Self {
        Self::number(uplink, Self::XDP, mode)
    }

    /// Who attached it, by user space's number for that.
    #[must_use]
    pub const fn origin(uplink: u32, origin: u8) -> Self {
        Self::number(uplink, Self::ORIGIN, origin)
    }

    const fn number(uplink: u32, option: u8, number: u8) -> Self {
        let value = [number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        Self { uplink, option, version: 0, length: 0, pad: 0, value }
    }
}
