use super::Address;

/// A bridge's member whose packets take the fast path.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The bridge's interface index.
    pub bridge: u32,
    /// The bridge's Ethernet address: what is sent there is to be routed.
    pub gateway: [u8; 6],
    /// [`Member::TAKES_FRAMES`].
    pub flags: u8,
    pub(crate) pad: u8,
}

impl Member {
    /// The other end of its veth pair has NAPI, and so takes frames that have no socket buffer (`veth_xdp_xmit` in
    /// drivers/net/veth.c).
    pub const TAKES_FRAMES: u8 = 1;

    /// A member of this bridge.
    #[must_use]
    pub const fn new(bridge: u32, gateway: [u8; 6]) -> Self {
        Self { bridge, gateway, flags: 0, pad: 0 }
    }

    /// Whether a frame without a socket buffer reaches what is behind it.
    #[inline]
    #[must_use]
    pub const fn takes_frames(&self) -> bool {
        self.flags & Self::TAKES_FRAMES != 0
    }
}

/// Containers whose place is known, at most, of each family.
pub const MAX_TARGETS: u32 = 4096;

/// Where a container is: how a packet for its address reaches it without the host's stack.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<A> {
    /// Its address.
    pub address: A,
    /// The member of the bridge behind which it is; 0 in an entry that is not used.
    pub member: u32,
    /// How frames to it begin: its Ethernet address, then the bridge's; as 16-bit words in memory.
    pub link: [u16; 6],
}

impl<A: Address> Target<A> {
    /// The entry of nobody.
    pub const UNUSED: Self = Self { address: A::UNSPECIFIED, member: 0, link: [0; 6] };

    /// The address is behind this member, with these Ethernet addresses of the container and of its bridge.
    #[must_use]
    pub fn new(address: A, member: u32, container: [u8; 6], gateway: [u8; 6]) -> Self {
        let mut link = [0; 6];
        let bytes = [container, gateway];
        for (word, bytes) in link.iter_mut().zip(bytes.as_flattened().as_chunks::<2>().0) {
            *word = u16::from_ne_bytes(*bytes);
        }
        Self { address, member, link }
    }

    /// The container's Ethernet address and the bridge's.
    #[must_use]
    #[expect(clippy::many_single_char_names, reason = "twelve bytes")]
    pub fn ends(&self) -> [[u8; 6]; 2] {
        let [[a, b], [c, d], [e, f], gateway @ ..] = self.link.map(u16::to_ne_bytes);
        let [[g, h], [i, j], [k, l]] = gateway;
        [[a, b, c, d, e, f], [g, h, i, j, k, l]]
    }

    /// The entries, below [`MAX_TARGETS`], in one of which an address is if its place is known. The table is an array
    /// that is searched here and not by the kernel, because a call costs more than the search.
    #[inline]
    #[must_use]
    pub fn places(address: &A) -> [u32; 4] {
        // Fibonacci hashing: the upper bits of the product depend on all of the address.
        let first = address.word().wrapping_mul(0x9e37_79b1) >> 20;
        [0, 1, 2, 3].map(|step| first.wrapping_add(step) & (MAX_TARGETS - 1))
    }

    /// Which of its [`places`](Self::places) an address is to be written to: where it is, or else the first that is
    /// not used, or else the first.
    #[inline]
    pub fn place_for(address: &A, at: impl Fn(u32) -> Option<Self>) -> u32 {
        let places @ [first, ..] = Self::places(address);
        let find = |is_it: fn(&Self, &A) -> bool| {
            places.into_iter().find(|place| at(*place).is_some_and(|target| is_it(&target, address)))
        };
        find(Self::is_of).or_else(|| find(|target, _| target.member == 0)).unwrap_or(first)
    }

    /// Whether the address is in this entry.
    #[inline]
    #[must_use]
    pub fn is_of(&self, address: &A) -> bool {
        self.member != 0 && self.address == *address
    }
}
