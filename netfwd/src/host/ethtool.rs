//! What only ethtool's system call tells and sets (`linux/ethtool.h`).

use std::{io, net::UdpSocket, os::fd::AsRawFd as _, ptr};

use nix::libc;

const GET_DRIVER_INFO: u32 = 0x3;
const GET_GRO: u32 = 0x2b;
const SET_GRO: u32 = 0x2c;
/// Before the bus's name in `struct ethtool_drvinfo`: the command and three texts of 32 bytes.
const BUS_AT: usize = 100;

nix::ioctl_readwrite_bad!(
    /// The system call.
    ethtool, libc::SIOCETHTOOL, libc::ifreq);

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ethtool_drvinfo`.
#[repr(C, align(4))]
struct DriverInfo([u8; 196]);

/// Whether an interface of this network namespace belongs to a device on a bus: hardware, or what a virtual machine has
/// in its place.
pub fn is_device(name: &str) -> io::Result<bool> {
    let mut info = DriverInfo([0; 196]);
    info.0[..4].copy_from_slice(&GET_DRIVER_INFO.to_ne_bytes());
    match call(name, &mut info) {
        Ok(()) => Ok(info.0[BUS_AT] != 0),
        // It has neither a driver's name nor a bus.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes sure that generic receive offload is on at an interface of this network namespace.
pub fn turn_on_gro(name: &str) -> io::Result<()> {
    let mut gro = Value { command: GET_GRO, data: 0 };
    call(name, &mut gro)?;
    if gro.data == 0 { call(name, &mut Value { command: SET_GRO, data: 1 }) } else { Ok(()) }
}

fn call<T>(name: &str, data: &mut T) -> io::Result<()> {
    let mut ifr_name = [0; libc::IFNAMSIZ];
    for (to, from) in ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from.cast_signed();
    }
    let ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_data: ptr::from_mut(data).cast() };
    let mut request = libc::ifreq { ifr_name, ifr_ifru };
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: the request names the interface and data of the layout that the command in it asks for.
    unsafe { ethtool(socket.as_raw_fd(), &raw mut request) }?;
    Ok(())
}
