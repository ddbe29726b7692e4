//! How a packet ends.

use crate::abi::Reason;

/// What becomes of a packet. The hooks turn it into the kernel's action codes in one place, and count its reason.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was rewritten and goes on.
    Translated,
    /// It was rewritten and leaves by the interface with this index, whose neighbour it is for.
    Redirected(u32),
    /// It was rewritten, and goes straight to the container behind the bridge's member with this index.
    ToContainer(u32),
    /// It was rewritten, and goes straight to the next hop behind the uplink with this index.
    ToNeighbour(u32),
    /// It goes on as it is.
    Pass(Reason),
    /// It goes no further.
    Drop(Reason),
    /// It goes no further, and has become the answer that says so, which leaves by the interface with this index.
    Answered(Reason, u32),
}

impl Verdict {
    /// The reason to count.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Translated | Self::Redirected(_) => Reason::Translated,
            Self::ToContainer(_) | Self::ToNeighbour(_) => Reason::FastPath,
            Self::Pass(reason) | Self::Drop(reason) | Self::Answered(reason, _) => reason,
        }
    }
}
