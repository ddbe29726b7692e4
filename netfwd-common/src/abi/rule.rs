use super::{Endpoint, PortChoice};

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
    /// [`Mapping::RESERVED`] or nothing.
    pub flags: u8,
    pub(crate) pad: u8,
    /// Its reference.
    pub rule: Rule,
}

impl<A> Mapping<A> {
    /// Its ports were added to those that the host's own sockets are not given (`ip_local_reserved_ports`), and go
    /// from there with it. The kernel part does not look at this.
    pub const RESERVED: u8 = 1;

    /// A mapping of the host ports `first_port..=last_port` (host order).
    pub const fn new(rule: Rule, first_port: u16, last_port: u16, target: Endpoint<A>) -> Self {
        Self {
            target,
            first_port: first_port.to_be_bytes(),
            last_port: last_port.to_be_bytes(),
            flags: 0,
            pad: 0,
            rule,
        }
    }

    /// Where one of its host ports (network order) leads.
    pub fn target_of(&self, host_port: [u8; 2]) -> Endpoint<A>
    where
        A: Copy,
    {
        let offset = u16::from_be_bytes(host_port).wrapping_sub(u16::from_be_bytes(self.first_port));
        Endpoint::new(self.target.address, u16::from_be_bytes(self.target.port).wrapping_add(offset))
    }
}

/// Source NAT of a subnet to `address`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masquerade<A> {
    /// The address on the wire.
    pub address: A,
    /// Its ports.
    pub ports: PortChoice,
    /// Its reference.
    pub rule: Rule,
}
