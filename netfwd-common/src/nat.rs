//! The choice of a new connection's reply tuple: that is what NAT is.
//!
//! A BPF program and all that it calls share 512 bytes of stack. What is needed once is never inlined, so that its
//! bytes are free again when it returns.

pub mod binding;
pub mod fragment;
pub mod hairpin;
pub mod mapping;
pub mod masquerade;
pub mod ports;
pub mod related;
