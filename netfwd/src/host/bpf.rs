//! Commands of bpf(2) that are given directly.
//!
//! aya looks up by its id what is attached, and the kernel wants `CAP_SYS_ADMIN` for that (`bpf_prog_get_fd_by_id` in
//! kernel/bpf/syscall.c). The ids alone it tells with `CAP_NET_ADMIN`.

use std::{
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    ptr,
};

use aya::programs::loaded_programs;
use nix::{errno::Errno, libc};

use crate::datapath::hook::Direction;

const OBJ_GET: u32 = 7;
const PROG_QUERY: u32 = 16;
/// From kernel 5.9 on.
const LINK_DETACH: u32 = 34;

/// `BPF_TCX_INGRESS` and `BPF_TCX_EGRESS` of `linux/bpf.h`.
const TCX: [u32; 2] = [46, 47];
/// `BPF_MPROG_MAX` of `linux/bpf_mprog.h`: as many programs as a hook can have.
const MOST: usize = 64;

/// What these commands take of `union bpf_attr`; the kernel fills up with zeros.
#[repr(C)]
struct ObjGet {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// To its last field: the kernel writes into some of them.
#[repr(C)]
#[derive(Default)]
struct ProgQuery {
    ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    pad: u32,
    program_flags: u64,
    link_ids: u64,
    link_flags: u64,
    revision: u64,
}

#[repr(C)]
struct LinkDetach {
    descriptor: i32,
}

/// The ids of the programs that TCX has attached to an interface, in the order in which they run. `None` on a kernel
/// without TCX (6.6).
pub fn tcx_programs(ifindex: u32, direction: Direction) -> io::Result<Option<Vec<u32>>> {
    let [ingress, egress] = TCX;
    let attach_type = if direction == Direction::Ingress { ingress } else { egress };
    let mut ids = [0_u32; MOST];
    let place = ids.as_mut_ptr().expose_provenance() as u64;
    let mut query = ProgQuery { ifindex, attach_type, ids: place, count: MOST as u32, ..ProgQuery::default() };
    // SAFETY: the array is valid for the call, and the command is told how long it is.
    match unsafe { bpf(PROG_QUERY, &mut query) } {
        Ok(_) => Ok(Some(ids.into_iter().take(query.count as usize).collect())),
        Err(Errno::EINVAL) => Ok(None),
        // Nothing has ever been attached there.
        Err(Errno::ENOENT) => Ok(Some(Vec::new())),
        Err(error) => Err(error.into()),
    }
}

/// The name of a program. `None` if it is gone, or this process may not look it up: that takes `CAP_SYS_ADMIN`.
#[must_use]
pub fn program_name(id: u32) -> Option<String> {
    let program = loaded_programs().map_while(Result::ok).find(|program| program.id() == id)?;
    program.name_as_str().map(str::to_owned)
}

/// Detaches what a pinned link has attached; nothing if there is no such pin. The pin stays.
///
/// The link's last reference may go a while after its pin, and until then no other program can be attached
/// (`bpf_link_put` in kernel/bpf/syscall.c puts it off).
pub fn detach_link(pin: &Path) -> io::Result<()> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let mut get = ObjGet { path: path.as_ptr().expose_provenance() as u64, descriptor: 0, flags: 0 };
    // SAFETY: the path is valid for the call.
    let descriptor = match unsafe { bpf(OBJ_GET, &mut get) } {
        Ok(descriptor) => descriptor,
        Err(Errno::ENOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // SAFETY: the kernel has just made it for this call alone.
    let link = unsafe { File::from_raw_fd(descriptor) };
    // SAFETY: the command refers to nothing.
    unsafe { bpf(LINK_DETACH, &mut LinkDetach { descriptor: link.as_raw_fd() }) }?;
    Ok(())
}

/// # Safety
///
/// The attributes are those of the command, and what they refer to is valid for the call.
unsafe fn bpf<T>(command: u32, attributes: &mut T) -> nix::Result<i32> {
    // SAFETY: the caller vouches for them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_mut(attributes), size_of::<T>()) };
    Errno::result(result).map(|result| i32::try_from(result).unwrap_or(-1))
}
