//! One way: a generator at one end, a counter at the other.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, PerCpuArray};
use aya::programs::{SchedClassifier, TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use lab::Netns;

use super::OBJECT;
use super::abi::{EXPECTED, Expected, OTHER, Stream};
use super::stream::FRAME;
use crate::cpu;
use crate::site::{INSIDE, index};

/// Packets to warm up with, so that processors and caches are.
const WARM_UP: u32 = 32_768;
/// Frames that the kernel makes at once: as many as an interface takes in at once (NAPI's weight).
pub(super) const BATCH: u32 = 64;
/// What is still on its way when the generator has stopped arrives within this.
const SETTLING: Duration = Duration::from_millis(20);

/// From the interface of one namespace to that of another.
pub(super) struct Path {
    ebpf: Ebpf,
    interface: u32,
}

/// What came of a number of packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Arrived {
    /// Those with the expected addresses.
    pub(crate) expected: u64,
    /// Other UDP packets.
    pub(crate) other: u64,
    /// From the first to the last.
    pub(crate) time: Duration,
}

impl Arrived {
    /// Packets per second, if they are what was expected.
    pub(super) fn rate(self) -> Result<f64> {
        let Self { expected, other, time } = self;
        ensure!(expected > 0, "no packet arrives ({other} with other addresses than expected)");
        ensure!(other * 100 < expected, "{other} of {} packets arrive untranslated", expected + other);
        Ok(expected as f64 / time.as_secs_f64())
    }
}

impl Path {
    /// Attaches the counter at the receiver.
    pub(super) fn new(sender: &Netns, receiver: &Netns) -> Result<Self> {
        let mut ebpf = EbpfLoader::new().load(OBJECT).context("cannot load the benchmark's programs")?;
        let counter: &mut SchedClassifier =
            ebpf.program_mut("count").context("there is no program count")?.try_into()?;
        counter.load()?;
        let attach = || counter.attach(INSIDE, aya::programs::TcAttachType::Ingress);
        receiver.enter(attach)?.context("cannot attach the counter: it takes TCX, so Linux 6.6")?;
        let generator: &mut Xdp = ebpf.program_mut("generate").context("there is no program generate")?.try_into()?;
        generator.load()?;
        Ok(Self { ebpf, interface: index(sender, INSIDE)? })
    }

    /// Says what to send and what is to arrive.
    pub(super) fn configure(&mut self, stream: &Stream, expected: Expected) -> Result<()> {
        let mut streams: Array<_, Stream> =
            self.ebpf.map_mut("STREAM").context("there is no map STREAM")?.try_into()?;
        streams.set(0, stream, 0)?;
        let mut wanted: Array<_, Expected> =
            self.ebpf.map_mut("WANTED").context("there is no map WANTED")?.try_into()?;
        wanted.set(0, expected, 0)?;
        Ok(())
    }

    /// Sends `packets`, a few at once so that none is lost for want of room.
    pub(super) fn send(&self, sender: &Netns, packets: u32, batch: u32) -> Result<Arrived> {
        self.measure(sender, || {
            self.burst(packets, batch)?;
            Ok(())
        })
    }

    /// Sends for as long as `window`.
    pub(super) fn flood(&self, sender: &Netns, window: Duration) -> Result<Arrived> {
        sender.enter(|| {
            cpu::pin(cpu::first_end()?)?;
            cpu::take_precedence()?;
            let packets = self.packets_in(window)?;
            let ((expected, other), start) = (self.arrivals()?, Instant::now());
            self.burst(packets, BATCH)?;
            let (time, now) = (start.elapsed(), self.arrivals()?);
            Ok(Arrived { expected: now.0 - expected, other: now.1 - other, time })
        })?
    }

    fn measure(&self, sender: &Netns, work: impl FnOnce() -> Result<()> + Send) -> Result<Arrived> {
        let (expected, other) = self.arrivals()?;
        let work = || {
            cpu::pin(cpu::first_end()?)?;
            cpu::take_precedence()?;
            let start = Instant::now();
            work()?;
            anyhow::Ok(start.elapsed())
        };
        let time = sender.enter(work)??;
        thread::sleep(SETTLING);
        let now = self.arrivals()?;
        Ok(Arrived { expected: now.0 - expected, other: now.1 - other, time })
    }

    /// About so many packets are sent in a window of time.
    ///
    /// They are then sent by one call: each waits for RCU at its end, as long as it takes to send ten thousand packets.
    fn packets_in(&self, window: Duration) -> Result<u32> {
        let time = |packets| {
            let start = Instant::now();
            self.burst(packets, BATCH).map(|()| start.elapsed())
        };
        let (some, twice) = (time(WARM_UP)?, time(2 * WARM_UP)?);
        // What the calls themselves take is in both.
        let time = twice.saturating_sub(some).max(Duration::from_millis(1));
        Ok((f64::from(WARM_UP) * window.as_secs_f64() / time.as_secs_f64()) as u32)
    }

    /// Runs the generator. It takes the interface's number as one of the caller's namespace.
    fn burst(&self, packets: u32, batch: u32) -> Result<()> {
        let generator: &Xdp = self.ebpf.program("generate").context("there is no program generate")?.try_into()?;
        let (frame, context) = ([0; FRAME], context(self.interface));
        let attrs = TestRunAttrs::new().xdp_live_frames(batch);
        let options =
            TestRunOptions { data_in: Some(&frame), ctx_in: Some(&context), repeat: packets, attrs, ..<_>::default() };
        generator.test_run(options).context("cannot send frames (BPF_PROG_TEST_RUN)")?;
        Ok(())
    }

    fn arrivals(&self) -> Result<(u64, u64)> {
        let counters: PerCpuArray<_, u64> =
            self.ebpf.map("ARRIVALS").context("there is no map ARRIVALS")?.try_into()?;
        let sum = |slot| -> Result<u64> { Ok(counters.get(&slot, 0)?.iter().sum()) };
        Ok((sum(EXPECTED)?, sum(OTHER)?))
    }
}

/// An `xdp_md`: the frame's ends, its metadata, and the interface.
fn context(interface: u32) -> [u8; 24] {
    let mut context = [0; 24];
    context[4..8].copy_from_slice(&(FRAME as u32).to_ne_bytes());
    context[12..16].copy_from_slice(&interface.to_ne_bytes());
    context
}
