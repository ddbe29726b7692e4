//! The clock of the kernel part.

use anyhow::{Context as _, Result};
use nix::{
    sys::time::TimeValLike,
    time::{ClockId, clock_gettime},
};

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn now() -> Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).context("cannot read the monotonic clock")?;
    u64::try_from(TimeValLike::num_nanoseconds(&time)).context("the monotonic clock is before its beginning")
}
