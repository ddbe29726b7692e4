//! What user space and the kernel part share through maps: `repr(C)` types without padding, and their names.
//!
//! Addresses and ports are byte arrays in network order from the wire to the map to user space; nothing is ever
//! byte-swapped in place. Times are nanoseconds of `CLOCK_MONOTONIC`.

mod address;
mod choice;
mod connection;
mod counter;
mod datagram;
mod hop;
mod interface;
mod label;
mod lookup;
mod member;
pub mod names;
mod ports;
mod reason;
mod rule;
mod settings;
mod socket;
mod trace;
mod tuple;

pub use address::{Address, V4, V6};
pub use choice::Choice;
pub use connection::{Connection, Direction, LiveConnection, LiveRecord, Record, Slot};
pub use counter::{Counter, FlowEvent, RuleCounter};
pub use datagram::{Datagram, DatagramKey, Fate, MAX_HELD};
pub use hop::{Gateway, Hop, MAX_HOPS};
pub use interface::{Filtering, Interface, MAX_INTERFACES, Role};
pub use label::Label;
pub use lookup::{MappingKey, SubnetKey};
pub use member::{MAX_TARGETS, Member, Target};
pub use ports::{PortChoice, PortRange};
pub use reason::{COUNTERS_PER_HOOK, Reason, counter_index};
pub use rule::{Mapping, Masquerade, Rule};
pub use settings::{Settings, Timeouts};
pub use socket::SocketPeer;
pub use trace::{TRACED_BYTES, TRACED_HOOKS, Traced, Watch};
pub use tuple::{Endpoint, Protocol, Side, Tuple, Words};

/// The layout of everything in this module. It changes whenever a type, a map or a meaning changes, and is part of
/// the pinned state: user space refuses maps of another version instead of misreading them.
pub const ABI_VERSION: u32 = 5;

/// Marks map types as plain old data for aya, next to the proof that they have no padding.
///
/// Each line gives the size in bytes that the kernel and user space agree on: the sum of the fields' sizes. What is
/// generic over the address's width has one for each of the two.
macro_rules! plain_old_data {
    ($($name:ident: $size:literal),* $(,)?; $($generic:ident: $v4:literal, $v6:literal);* $(;)?) => {
        $(
            const _: () = assert!(size_of::<$name>() == $size);
            #[cfg(feature = "user")]
            #[expect(unsafe_code, reason = "aya asks for this mark; nothing else here is unsafe")]
            // SAFETY: repr(C), integers and byte arrays only, and no padding: its size is the sum of its fields'.
            unsafe impl aya::Pod for $name {}
        )*
        $(
            const _: () = assert!(size_of::<$generic<V4>>() == $v4 && size_of::<$generic<V6>>() == $v6);
            #[cfg(feature = "user")]
            #[expect(unsafe_code, reason = "aya asks for this mark; nothing else here is unsafe")]
            // SAFETY: as above, for both of the types that are addresses.
            unsafe impl<A: Address> aya::Pod for $generic<A> {}
        )*
    };
}

plain_old_data! {
    Choice: 24,
    Counter: 16,
    Datagram: 56,
    Interface: 48,
    Label: 80,
    Member: 12,
    PortChoice: 20,
    Rule: 8,
    RuleCounter: 40,
    Settings: 136,
    Slot: 8,
    SocketPeer: 32,
    Traced: 568,
    Watch: 56;
    Connection: 112, 160;
    DatagramKey: 16, 40;
    MappingKey: 8, 20;
    Mapping: 20, 32;
    Masquerade: 32, 44;
    SubnetKey: 8, 20;
    Target: 20, 32;
    Tuple: 16, 40;
}

const _: () = assert!(size_of::<LiveConnection<V4>>() == size_of::<Connection<V4>>());
const _: () = assert!(size_of::<LiveConnection<V6>>() == size_of::<Connection<V6>>());
const _: () = assert!(size_of::<LiveRecord<V4>>() == 128 && size_of::<LiveRecord<V6>>() == 160);
const _: () = assert!(core::mem::offset_of!(Connection<V4>, last_seen) == 64);
