//! The kernel part, as user space sees it: pinned maps, programs and their hooks.

pub mod addresses;
pub mod attach;
pub mod connections;
pub mod hook;
pub mod host_access;
pub mod load;
pub mod mappings;
pub mod maps;
pub mod members;
pub mod pin;
pub mod ports;
pub mod rules;
mod tc;
mod tcx;
pub mod timeouts;
pub mod trace;
pub mod uplinks;
pub mod xdp;
