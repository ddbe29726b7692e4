use super::Reason;

/// Bytes that a trace keeps of each side of a packet.
pub const TRACED_BYTES: usize = 256;

/// Places where packets are traced: [`Side`](super::Side)'s three, a bridge's members, and before the stack.
pub const TRACED_HOOKS: u32 = 5;

/// What is traced, and until when. One hook's packet is traced if all of it applies, to the packet before or after.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Nanoseconds of `CLOCK_MONOTONIC` from which on nothing is traced; 0 if nothing is.
    pub until: u64,
    /// The hook's interface; 0 for any.
    pub ifindex: u32,
    /// [`Reason::number`] and 1; 0 for any.
    pub reason: u32,
    /// An address of the packet, in as many bits as are set in [`mask`](Self::mask); IPv4 is mapped (`::ffff:0:0/96`).
    pub address: [u8; 16],
    /// The bits that count.
    pub mask: [u8; 16],
    /// A port of the packet, in network order; 0 for any.
    pub port: [u8; 2],
    /// The protocol's number; 0 for any.
    pub protocol: u8,
    /// 0.
    pub pad: [u8; 5],
}

impl Watch {
    /// Nothing is traced.
    pub const OFF: Self = Self {
        until: 0,
        ifindex: 0,
        reason: 0,
        address: [0; 16],
        mask: [0; 16],
        port: [0; 2],
        protocol: 0,
        pad: [0; 5],
    };

    /// [`Watch::reason`] for packets that end for a reason.
    #[must_use]
    pub const fn reason(reason: Reason) -> u32 {
        reason.number().saturating_add(1)
    }
}

/// A packet at a hook, before and after.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// Events of this hook and CPU that found no room, ever.
    pub lost: u64,
    /// The hook's interface.
    pub ifindex: u32,
    /// [`Reason::number`].
    pub reason: u32,
    /// 1 if it is sent on past the stack, else 0.
    pub is_redirected: u32,
    /// Bytes before its IP header.
    pub link_header: u32,
    /// Bytes of the whole frame before and after; 0 before the packet is looked at.
    pub lengths: [u32; 2],
    /// Of these, bytes that are kept.
    pub kept: [u32; 2],
    /// [`Side::number`](super::Side::number), or [`Traced::MEMBER`] or [`Traced::XDP`].
    pub hook: u32,
    /// 0.
    pub pad: u32,
    /// The first bytes before and after. Behind what is kept they are another packet's.
    pub bytes: [[u8; TRACED_BYTES]; 2],
}

impl Traced {
    /// The hook of a bridge's member.
    pub const MEMBER: u32 = 3;
    /// The hook before the stack.
    pub const XDP: u32 = 4;
}
