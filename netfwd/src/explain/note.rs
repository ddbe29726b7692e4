//! What a journey has asked its tables, in the order of the questions.

use netfwd_common::abi::{Endpoint, Mapping, Masquerade, Protocol, Tuple};

/// A question of a journey, with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note<A> {
    /// Whether a connection has a tuple.
    Find {
        /// The tuple.
        tuple: Tuple<A>,
        /// Whether something in the tables has it.
        is_there: bool,
    },
    /// The mapping of an endpoint, or of its port on any address.
    Mapping {
        /// The protocol.
        protocol: Protocol,
        /// The endpoint.
        host: Endpoint<A>,
        /// Its mapping, if its rule is in force.
        found: Option<Mapping<A>>,
    },
    /// How a source is masqueraded.
    Masquerade {
        /// The uplink.
        uplink: u32,
        /// The source.
        source: A,
        /// How, if the rule is in force.
        found: Option<Masquerade<A>>,
    },
    /// Whether a destination is left out of that.
    Exclusion {
        /// The destination.
        destination: A,
        /// Whether a rule in force excludes it.
        is_excluded: bool,
    },
    /// Whether an address is in an isolated network.
    Isolated {
        /// The address.
        destination: A,
        /// Whether it is.
        is_isolated: bool,
    },
    /// Whether a socket of the host has an endpoint.
    Socket {
        /// The endpoint.
        local: Endpoint<A>,
        /// Whether one has.
        is_there: bool,
    },
    /// Whether an address is the host's own.
    Local {
        /// The address.
        address: A,
        /// Whether it is.
        is_local: bool,
    },
    /// The way to an address.
    Route {
        /// The address.
        destination: A,
        /// The interface that leads there.
        interface: Option<u32>,
    },
    /// Where a container is.
    Target {
        /// The container's address.
        address: A,
        /// The bridge's member that leads there.
        member: u32,
    },
    /// A tuple to be taken.
    Reserve {
        /// The tuple.
        tuple: Tuple<A>,
        /// Whether it was free.
        was_free: bool,
    },
}
