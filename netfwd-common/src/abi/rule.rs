use super::Endpoint;

/// A reference to a mapping or masquerade in one of its lives.
///
/// `GENERATIONS[id]` holds the generation in force. Everything that refers to another one is void at once: the
/// rule's entries and its connections. So adding or removing a rule, however many entries it has, takes effect with
/// one write.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The index of the rule.
    pub id: u32,
    /// Which of its lives; 0 is never in force.
    pub generation: u32,
}

/// Destination NAT for host ports `first_port..=last_port`: port `first_port + n` goes to the target's port `+ n`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping<A> {
    /// Where `first_port` goes.
    pub target: Endpoint<A>,
    /// The first host port.
    pub first_port: [u8; 2],
    /// The last host port.
    pub last_port: [u8; 2],
    pub(crate) pad: [u8; 2],
    /// Its reference.
    pub rule: Rule,
}

impl<A> Mapping<A> {
    /// A mapping of the host ports `first_port..=last_port` (host order).
    pub const fn new(rule: Rule, first_port: u16, last_port: u16, target: Endpoint<A>) -> Self {
        Self { target, first_port: first_port.to_be_bytes(), last_port: last_port.to_be_bytes(), pad: [0; 2], rule }
    }
}

/// Source NAT of a subnet to `address`, with ports of `first_port..=last_port`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masquerade<A> {
    /// The address on the wire.
    pub address: A,
    /// The first port to choose from when the source port is taken.
    pub first_port: [u8; 2],
    /// The last one.
    pub last_port: [u8; 2],
    /// Its reference.
    pub rule: Rule,
}
