//! What user space and the kernel part share through maps: `repr(C)` types without padding, and their names.
//!
//! Addresses and ports are byte arrays in network order from the wire to the map to user space; nothing is ever
//! byte-swapped in place. Times are nanoseconds of `CLOCK_MONOTONIC`.

mod address;
mod connection;
mod counter;
mod lookup;
pub mod names;
mod reason;
mod rule;
mod settings;
mod tuple;
mod uplink;

pub use address::{Address, V4, V6};
pub use connection::{Connection, Direction, LiveConnection, Slot};
pub use counter::{Counter, FlowEvent, RuleCounter};
pub use lookup::{MappingKey, SubnetKey};
pub use reason::{COUNTERS_PER_HOOK, Reason, counter_index};
pub use rule::{Mapping, Masquerade, Rule};
pub use settings::{Settings, Timeouts};
pub use tuple::{Endpoint, Protocol, Side, Tuple};
pub use uplink::{MAX_UPLINKS, Uplink};

/// The layout of everything in this module. It changes whenever a type, a map or a meaning changes, and is part of
/// the pinned state: user space refuses maps of another version instead of misreading them.
pub const ABI_VERSION: u32 = 1;

/// Marks map types as plain old data for aya, next to the proof that they have no padding.
///
/// Each line gives the size in bytes that the kernel and user space agree on: the sum of the fields' sizes.
macro_rules! plain_old_data {
    ($($type:ty: $size:literal),* $(,)?) => {
        $(
            const _: () = assert!(size_of::<$type>() == $size);
            #[cfg(feature = "user")]
            #[expect(unsafe_code, reason = "aya asks for this mark; nothing else here is unsafe")]
            // SAFETY: repr(C), integers and byte arrays only, and no padding: its size is the sum of its fields'.
            unsafe impl aya::Pod for $type {}
        )*
    };
}

plain_old_data! {
    Connection<V4>: 104,
    Connection<V6>: 152,
    Counter: 16,
    MappingKey<V4>: 8,
    MappingKey<V6>: 20,
    Mapping<V4>: 20,
    Mapping<V6>: 32,
    Masquerade<V4>: 16,
    Masquerade<V6>: 28,
    RuleCounter: 40,
    Settings: 56,
    Slot: 8,
    SubnetKey<V4>: 8,
    SubnetKey<V6>: 20,
    Tuple<V4>: 16,
    Tuple<V6>: 40,
    Uplink: 20,
}

const _: () = assert!(size_of::<LiveConnection<V4>>() == size_of::<Connection<V4>>());
const _: () = assert!(size_of::<LiveConnection<V6>>() == size_of::<Connection<V6>>());
