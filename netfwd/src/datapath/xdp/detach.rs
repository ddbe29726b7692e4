//! Detaching a pinned link at once. Its last reference may go a while after its pin, and until then no other program can
//! be attached (`bpf_link_put` in kernel/bpf/syscall.c puts it off).

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

use nix::{errno::Errno, libc};

const OBJ_GET: u32 = 7;
/// From kernel 5.9 on.
const LINK_DETACH: u32 = 34;

/// What these commands take of `union bpf_attr`; the kernel fills up with zeros.
#[repr(C)]
struct ObjGet {
    path: u64,
    descriptor: u32,
    flags: u32,
}

#[repr(C)]
struct LinkDetach {
    descriptor: i32,
}

/// Detaches what a pinned link has attached; nothing if there is no such pin. The pin stays.
pub(super) fn at_once(pin: &Path) -> io::Result<()> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    // SAFETY: the path is valid for the call.
    let opened =
        unsafe { bpf(OBJ_GET, &ObjGet { path: path.as_ptr().expose_provenance() as u64, descriptor: 0, flags: 0 }) };
    let descriptor = match opened {
        Ok(descriptor) => descriptor,
        Err(Errno::ENOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // SAFETY: the kernel has just made it for this call alone.
    let link = unsafe { File::from_raw_fd(descriptor) };
    // SAFETY: the command refers to nothing.
    unsafe { bpf(LINK_DETACH, &LinkDetach { descriptor: link.as_raw_fd() }) }?;
    Ok(())
}

/// # Safety
///
/// The attributes are those of the command, and what they refer to is valid for the call.
unsafe fn bpf<T>(command: u32, attributes: &T) -> nix::Result<i32> {
    // SAFETY: the caller vouches for them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_ref(attributes), size_of::<T>()) };
    Errno::result(result).map(|result| i32::try_from(result).unwrap_or(-1))
}
