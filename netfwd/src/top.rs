//! `netfwd top`: what goes through the NAT just now, in a terminal.
//!
//! A thread reads the maps (`sampler`); what is read is plain data (`sample`). The `model` makes rates, order and
//! selection of it and of keys, without knowing of any terminal, and `draw` puts it on one (`screen`).

mod draw;
mod model;
mod rows;
mod sample;
mod sampler;
mod screen;
mod table;
mod watcher;

#[cfg(test)]
mod tests;

pub use screen::{once, run};
