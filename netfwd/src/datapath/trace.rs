//! Tracing, as the kernel part does it: switched on for a while, again and again, and read from a ring.

use std::{
    os::fd::AsFd as _,
    ptr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use netfwd_common::abi::{TRACED_HOOKS, Traced, Watch, names};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{maps::typed, pin::PinDir};
use crate::clock;

/// For how long tracing is switched on: so long it goes on when whoever traces is killed.
const LEASE: Duration = Duration::from_secs(3);
/// How often that is prolonged.
const RENEWAL: Duration = Duration::from_secs(1);

/// Traces packets while it lives.
pub struct Tracer {
    watch: Array<MapData, Watch>,
    sheets: PerCpuArray<MapData, Traced>,
    events: RingBuf<MapData>,
    wanted: Watch,
    renewed: Instant,
    missed: Duration,
    lost_before: u64,
}

impl Tracer {
    /// Switches tracing on.
    pub fn start(pin_dir: &PinDir, wanted: Watch) -> Result<Self> {
        if !pin_dir.map(names::TRACE_WATCH).exists() {
            bail!("the programs are of a version that cannot trace: attach again to put this one in their place");
        }
        let mut tracer = Self {
            watch: typed(pin_dir, names::TRACE_WATCH)?,
            sheets: typed(pin_dir, names::TRACE_SHEETS)?,
            events: typed(pin_dir, names::TRACE_EVENTS)?,
            wanted,
            renewed: Instant::now(),
            missed: Duration::ZERO,
            lost_before: 0,
        };
        if tracer.until()? > clock::now()? {
            bail!("another `netfwd trace` is running, or was killed just now: there can be one");
        }
        // What an earlier one has left.
        while tracer.events.next().is_some() {}
        tracer.lost_before = tracer.lost_ever()?;
        tracer.switch_on()?;
        Ok(tracer)
    }

    /// The next packet; `None` if there is none within `patience`. Must be called more often than every two seconds: if it
    /// is not, tracing ends meanwhile, and [`Self::missed`] tells for how long.
    pub fn next(&mut self, patience: Duration) -> Result<Option<Traced>> {
        if self.renewed.elapsed() >= RENEWAL {
            if !self.is_own()? {
                bail!("another `netfwd trace` has begun while this one was held up: there can be one");
            }
            self.missed += self.renewed.elapsed().saturating_sub(LEASE);
            self.switch_on()?;
        }
        if let Some(traced) = self.take() {
            return Ok(Some(traced));
        }
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.events.as_fd(), PollFlags::POLLIN)], timeout) {
            // A signal is for the caller.
            Ok(_) | Err(Errno::EINTR) => Ok(self.take()),
            Err(error) => Err(error).context("cannot wait for the kernel part's events"),
        }
    }

    /// Packets that found no room in the ring since it began.
    pub fn lost(&self) -> Result<u64> {
        Ok(self.lost_ever()?.saturating_sub(self.lost_before))
    }

    /// For how long nothing was traced since it began, because nobody asked for the next packet.
    #[must_use]
    pub const fn missed(&self) -> Duration {
        self.missed
    }

    fn switch_on(&mut self) -> Result<()> {
        let lease = u64::try_from(LEASE.as_nanos()).unwrap_or_default();
        self.wanted.until = clock::now()?.saturating_add(lease);
        self.renewed = Instant::now();
        self.watch.set(0, self.wanted, 0).context("cannot write the map TRACE_WATCH")
    }

    /// Switches tracing off, if another one has not begun. What the kernel part has kept until now can still be taken.
    pub fn switch_off(&mut self) -> Result<()> {
        if !self.is_own()? {
            return Ok(());
        }
        self.watch.set(0, Watch::OFF, 0).context("cannot write the map TRACE_WATCH")
    }

    /// Whether it is what this one has switched on, or off.
    fn is_own(&self) -> Result<bool> {
        Ok([0, self.wanted.until].contains(&self.until()?))
    }

    fn until(&self) -> Result<u64> {
        Ok(self.watch.get(&0, 0).context("cannot read the map TRACE_WATCH")?.until)
    }

    /// A packet that is there already.
    pub fn take(&mut self) -> Option<Traced> {
        let item = self.events.next()?;
        if item.len() < size_of::<Traced>() {
            return None;
        }
        // SAFETY: as many bytes were read, and any bytes are such a value: it is plain old data.
        Some(unsafe { ptr::read_unaligned(item.as_ptr().cast::<Traced>()) })
    }

    fn lost_ever(&self) -> Result<u64> {
        let mut lost = 0;
        for hook in 0..TRACED_HOOKS {
            let sheets = self.sheets.get(&hook, 0).context("cannot read the map TRACE_SHEETS")?;
            lost += sheets.iter().map(|sheet| sheet.lost).sum::<u64>();
        }
        Ok(lost)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // It ends by itself otherwise.
        self.switch_off().ok();
    }
}
