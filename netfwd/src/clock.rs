//! The clock of the kernel part, and that of the world.

use anyhow::{Context as _, Result};
use nix::{
    sys::time::TimeValLike,
    time::{ClockId, clock_gettime},
};

/// A point in time by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub monotonic: u64,
    /// Seconds since 1970.
    pub wall: f64,
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn now() -> Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).context("cannot read the monotonic clock")?;
    u64::try_from(TimeValLike::num_nanoseconds(&time)).context("the monotonic clock is before its beginning")
}

/// Nanoseconds since 1970.
pub fn wall() -> Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_REALTIME).context("cannot read the clock")?;
    u64::try_from(TimeValLike::num_nanoseconds(&time)).context("the clock is before 1970")
}

/// The time by both clocks.
pub fn moment() -> Result<Moment> {
    let milliseconds = wall()? / 1_000_000;
    #[expect(clippy::cast_precision_loss, reason = "exact for the next 285,000 years")]
    let wall = milliseconds as f64 / 1000.0;
    Ok(Moment { monotonic: now()?, wall })
}

/// When `CLOCK_MONOTONIC` was 0, in nanoseconds since 1970, as the clock of the world is set now.
pub fn beginning() -> Result<u64> {
    Ok(wall()?.saturating_sub(now()?))
}
