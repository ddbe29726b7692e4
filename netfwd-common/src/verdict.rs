//! How a packet ends.

use crate::abi::Reason;

/// What becomes of a packet. The hooks turn it into the kernel's action codes in one place, and count its reason.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was rewritten and goes on.
    Translated,
    /// It goes on as it is.
    Pass(Reason),
    /// It goes no further.
    Drop(Reason),
}

impl Verdict {
    /// The reason to count.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Translated => Reason::Translated,
            Self::Pass(reason) | Self::Drop(reason) => reason,
        }
    }
}
