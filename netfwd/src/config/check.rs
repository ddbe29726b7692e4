//! What is possible by itself, and not twice.

use std::ops::Range;

use toml::Spanned;

use super::Config;

/// Something that is there twice, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Twice {
    /// What is wrong.
    pub(super) message: String,
    /// Where it is first, in bytes.
    pub(super) first: Range<usize>,
    /// Where it is again.
    pub(super) second: Range<usize>,
}

/// Fails if an uplink or a host port is there twice.
pub(super) fn check(config: &Config) -> Result<(), Twice> {
    let uplinks: Vec<_> = config.uplinks.iter().map(|uplink| &uplink.interface).collect();
    refuse_twice(&uplinks, |first, second| (first == second).then(|| format!("the uplink {second} is there twice")))?;
    let mappings: Vec<_> = config.mappings.iter().collect();
    refuse_twice(&mappings, |first, second| {
        let pairs = second.mappings().flat_map(|second| first.mappings().map(move |first| (first, second)));
        let shared = pairs.into_iter().find(|(first, second)| first.host.overlaps(&second.host));
        shared.map(|(first, second)| format!("{} is mapped already, by {first}", second.host))
    })
}

fn refuse_twice<T>(all: &[&Spanned<T>], problem: impl Fn(&T, &T) -> Option<String>) -> Result<(), Twice> {
    for (place, second) in all.iter().enumerate() {
        for first in all.iter().take(place) {
            if let Some(message) = problem(first.get_ref(), second.get_ref()) {
                return Err(Twice { message, first: first.span(), second: second.span() });
            }
        }
    }
    Ok(())
}
