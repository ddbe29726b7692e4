//! The NAT without a kernel: packets, tables in memory, and laws.
//!
//! What the tests share is in `support/`; the fuzzer (`fuzz/`) and the tests of the loaded programs
//! (`netfwd/tests/kernel/programs`) use it as well.

/// Runs tests of the module `generic` beside it for both families.
#[cfg(test)]
macro_rules! for_both_families {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn ipv4() {
                super::generic::$name::<netfwd_common::abi::V4>();
            }

            #[test]
            fn ipv6() {
                super::generic::$name::<netfwd_common::abi::V6>();
            }
        }
    )*};
}

#[cfg(test)]
#[path = "../support/frame.rs"]
mod frame;
#[cfg(test)]
#[path = "../support/harness.rs"]
mod harness;
#[cfg(test)]
#[path = "../support/journal.rs"]
mod journal;
#[cfg(test)]
#[path = "../support/laws.rs"]
mod laws;
#[cfg(test)]
#[path = "../support/packets.rs"]
mod packets;
#[cfg(test)]
#[path = "../support/parser.rs"]
mod parser;
#[cfg(test)]
#[path = "../support/seeds.rs"]
mod seeds;
#[cfg(test)]
#[path = "../support/shared_tables.rs"]
mod shared_tables;
#[cfg(test)]
#[path = "../support/strategies.rs"]
mod strategies;
#[cfg(test)]
#[path = "../support/witness.rs"]
mod witness;
#[cfg(test)]
#[path = "../support/world.rs"]
mod world;

#[cfg(test)]
mod bindings;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod fast;
#[cfg(test)]
mod fragments;
#[cfg(test)]
mod hairpin;
#[cfg(test)]
mod host;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod parse;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod protocols;
#[cfg(test)]
mod rewrite;
#[cfg(test)]
mod segments;
