//! What the NAT may ask of its surroundings: the maps, the host's sockets and routes, and chance.

use core::{ops::ControlFlow, sync::atomic::AtomicU64};

use crate::abi::{
    Address, Connection, Datagram, DatagramKey, Direction, Endpoint, FlowEvent, Gateway, Hop, Interface,
    LiveConnection, Mapping, Masquerade, Member, Protocol, Rule, Settings, Slot, Target, Tuple,
};

/// Why a tuple was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReserveError {
    /// It is there already.
    Exists,
    /// There is no room.
    Full,
}

/// What all CPUs do to one word at once, with relaxed ordering: the tables' own locks order the rest. The BPF target has
/// the instructions, but the methods of [`AtomicU64`] do not compile for it.
pub trait Atomics {
    /// Reads a word.
    fn load(word: &AtomicU64) -> u64;

    /// Writes a word.
    fn store(word: &AtomicU64, value: u64);

    /// Adds to a word.
    fn add(word: &AtomicU64, value: u64);

    /// Sets bits.
    fn set(word: &AtomicU64, bits: u64);

    /// Clears bits.
    fn clear(word: &AtomicU64, bits: u64);

    /// Replaces `old` by `new`; false if the word was not `old`.
    fn replace(word: &AtomicU64, old: u64, new: u64) -> bool;
}

/// Values seen as the 16-bit words that they are in memory. Safe code could only take them apart and put them together
/// byte by byte, and so would the BPF target.
pub trait Layout<A, W> {
    /// The endpoint in these words: the address and the port.
    fn endpoint(words: W) -> Endpoint<A>;

    /// The words of an endpoint.
    fn words(endpoint: &Endpoint<A>) -> W;
}

/// The maps of one address family, and what else a decision needs to know.
///
/// Every method is one kernel call or less; nothing is decided behind it. All CPUs call them at once.
pub trait Tables<A>: Atomics {
    /// The settings in force.
    fn settings(&self) -> Option<&Settings>;

    /// The generation of a rule that is in force.
    fn generation(&self, rule_id: u32) -> Option<u32>;

    /// Whether a rule is in the life that is meant. Generation 0, that of an array entry never written, is none.
    fn is_in_force(&self, rule: Rule) -> bool {
        // Not compared as options: the verifier would see the value of what is none.
        match self.generation(rule.id) {
            Some(generation) => generation == rule.generation && generation != 0,
            None => false,
        }
    }

    /// The mapping for a host endpoint, or for its port on any local address if `endpoint` is unspecified.
    fn mapping(&self, protocol: Protocol, endpoint: Endpoint<A>) -> Option<&Mapping<A>>;

    /// What is configured for an interface.
    fn interface(&self, ifindex: u32) -> Option<&Interface>;

    /// The index of the interface with this [`Interface::slot`], if it has a fast path; else 0.
    fn fast_interface(&self, slot: u32) -> u32;

    /// How a source address that leaves through an uplink is masqueraded.
    fn masquerade(&self, uplink: u32, source: A) -> Option<&Masquerade<A>>;

    /// The rule that excludes a destination of what leaves through an uplink from masquerading.
    fn exclusion(&self, uplink: u32, destination: A) -> Option<&Rule>;

    /// Whether an address is in a network that is kept apart from others.
    fn is_isolated(&self, destination: A) -> bool;

    /// Where a tuple leads.
    fn find(&self, tuple: &Tuple<A>) -> Option<Slot>;

    /// Adds a tuple unless it is there: atomic among CPUs.
    fn reserve(&self, tuple: &Tuple<A>, slot: Slot) -> Result<(), ReserveError>;

    /// Removes a tuple.
    fn release(&self, tuple: &Tuple<A>);

    /// How many slots there are.
    fn max_records(&self) -> u32
    where
        A: Address,
    {
        let [v4, v6] = self.settings().map_or([0; 2], |settings| settings.max_flows);
        if A::FAMILY == 0 { v4 } else { v6 }
    }

    /// The record of a slot.
    fn connection(&self, number: u32) -> Option<&LiveConnection<A>>;

    /// Writes the record of a slot that the caller owns, and returns it.
    fn write(&self, number: u32, connection: &Connection<A>) -> Option<&LiveConnection<A>>;

    /// Takes a slot out of those that were freed.
    fn take_free_slot(&self) -> Option<u32>;

    /// Gives a slot back.
    fn give_free_slot(&self, number: u32);

    /// Slots below the result have been used at least once.
    fn high_water(&self) -> u32;

    /// Raises the high-water mark by one and returns what it was.
    fn raise_high_water(&self) -> u32;

    /// Whether a socket of the host would receive a packet with this tuple.
    fn has_host_socket(&self, incoming: &Tuple<A>) -> bool;

    /// Whether an address is one of the host's own.
    fn is_local(&self, source: A, destination: A) -> bool;

    /// The index of the interface that leads to `destination`.
    fn route(&self, source: A, destination: A) -> Option<u32>;

    /// The bridge that a member belongs to.
    fn member(&self, ifindex: u32) -> Option<&Member>;

    /// The target at a place below [`MAX_TARGETS`](crate::abi::MAX_TARGETS).
    fn target_at(&self, place: u32) -> Option<&Target<A>>;

    /// Writes the target at a place. Who reads it meanwhile may see half of it: a frame to nobody.
    fn write_target(&self, place: u32, target: &Target<A>);

    /// Where the container with an address is.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    fn target(&self, address: &A) -> Option<&Target<A>>
    where
        A: Address,
    {
        for place in Target::places(address) {
            if let Some(target) = self.target_at(place)
                && target.is_of(address)
            {
                return Some(target);
            }
        }
        None
    }

    /// Notes where a container is.
    fn set_target(&self, target: &Target<A>)
    where
        A: Address,
    {
        let place = Target::place_for(&target.address, |place| self.target_at(place).copied());
        self.write_target(place, target);
    }

    /// Forgets where the container with an address is.
    fn remove_target(&self, address: &A)
    where
        A: Address,
    {
        for place in Target::places(address) {
            if self.target_at(place).is_some_and(|target| target.is_of(address)) {
                self.write_target(place, &Target::UNUSED);
            }
        }
    }

    /// The next hop that is remembered at a place below [`MAX_HOPS`](crate::abi::MAX_HOPS).
    fn hop(&self, place: u32) -> Option<&Hop<A>>;

    /// Remembers a next hop.
    fn set_hop(&self, place: u32, hop: &Hop<A>);

    /// The next hop that the kernel's routes have behind an uplink, and how long an IP packet the route carries.
    fn gateway(&self, uplink: u32, source: A, destination: A) -> Option<(Gateway, u32)>;

    /// What is known of a datagram.
    fn datagram(&self, key: &DatagramKey<A>) -> Option<&Datagram>;

    /// Notes what is known of a datagram; false if there is something already and it is not to be replaced.
    fn set_datagram(&self, key: &DatagramKey<A>, datagram: &Datagram, is_replaced: bool) -> bool;

    /// An unpredictable number.
    fn random(&self) -> u32;

    /// Calls `step` with 0, 1, 2 … until it breaks, at most `limit` times.
    fn repeat<F: FnMut(u32) -> ControlFlow<()>>(&self, limit: u32, step: F);

    /// Counts a packet of `bytes` that a rule translated.
    fn count_packet(&self, rule: Rule, direction: Direction, bytes: u32);

    /// Counts a connection that a rule made.
    fn count_flow(&self, rule: Rule);

    /// Counts what happened to a connection.
    fn count_event(&self, event: FlowEvent);
}
