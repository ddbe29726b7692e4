/// Whose a mapping is, and its name. User space tells by it what it may remove again; the kernel part does not look at
/// it. A mapping without one was made by hand.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// The generation of the rule that it belongs to: of another one it says nothing.
    pub generation: u32,
    /// User space's number for where the mapping comes from.
    pub origin: u8,
    /// Bytes of the name.
    pub length: u8,
    /// The name, in UTF-8. Zeros follow.
    pub name: [u8; Label::MAX_NAME],
}

impl Label {
    /// Bytes of a name at most.
    pub const MAX_NAME: usize = 74;
}
