//! Which processor runs what.

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The most favourable niceness.
const HIGHEST: i32 = -20;
/// What a process runs at once, in nanoseconds: who asks for less than others may interrupt them (Linux 6.12).
const SLICE: u64 = 100_000;

/// The processor of the generator and of clients: the last one, since interrupts tend to go to the first.
pub(crate) fn first_end() -> Result<usize> {
    allowed()?.pop().context("this process may run on no processor")
}

/// The processor of servers: another one, if there are two.
pub(crate) fn second_end() -> Result<usize> {
    allowed()?.first().copied().context("this process may run on no processor")
}

/// Keeps the calling thread on a processor.
pub(crate) fn pin(processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cannot stay on processor {processor}"))
}

/// Lets this process and all that it starts go first, and interrupt others as soon as there is something to do.
///
/// All subjects gain alike, and none is measured while something else runs in its place.
pub(crate) fn go_first() -> Result<()> {
    // SAFETY: zeros are a valid value of every member, and mean what is usual.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    attributes.size = size_of::<libc::sched_attr>() as u32;
    (attributes.sched_nice, attributes.sched_runtime) = (HIGHEST, SLICE);
    // SAFETY: the call reads the attributes, and concerns the calling thread and what it will start.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    nix::errno::Errno::result(result).context("cannot go before other processes (sched_setattr)")?;
    Ok(())
}

/// Lets nothing but the kernel's own work interrupt the calling thread, which must not run for long.
///
/// What the thread's packets need runs on its processor in between. Other processes would take turns with it.
pub(crate) fn take_precedence() -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the call reads the parameters, and concerns the calling thread alone.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    nix::errno::Errno::result(result).context("cannot take precedence over other processes (SCHED_FIFO)")?;
    Ok(())
}

fn allowed() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("cannot ask where this process may run")?;
    Ok((0..CpuSet::count()).filter(|processor| set.is_set(*processor).unwrap_or(false)).collect())
}
