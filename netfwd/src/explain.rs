//! What would happen to a packet: the core's own code on the kernel part's maps, without a packet and without a change.

mod frame;
mod host;
mod note;
mod question;
mod view;
mod walk;

use anyhow::Result;

use crate::{
    context::Context,
    datapath::{mappings::Labels, maps::Maps},
    report::explain::Explanation,
};
use netfwd_common::abi::{V4, V6};

pub use frame::Frame;
pub use host::Host;
pub use note::Note;
pub use question::{Question, QuestionError};
pub use walk::{Connection, End, Known, Visit, Walk};

/// Says what would happen to a packet that comes in by an interface: by the one that leads to its sender unless given.
pub fn explain(context: &Context, question: &Question, at: Option<&str>) -> Result<Explanation> {
    let (maps, host) = (Maps::open(&context.pin_dir)?, Host::new()?);
    let labels = Labels::read(&maps)?;
    Ok(if question.source.is_ipv4() {
        Explanation::new::<V4>(&walk::follow(context, &maps, &host, question, at)?, question, &labels)
    } else {
        Explanation::new::<V6>(&walk::follow(context, &maps, &host, question, at)?, question, &labels)
    })
}
