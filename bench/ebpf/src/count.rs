//! The counter: takes UDP packets over IPv4 off the interface that they arrive on.

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    btf_maps::{Array, PerCpuArray},
    macros::{btf_map, classifier},
    programs::TcContext,
};

use crate::abi::{EXPECTED, Expected, HEADERS, OTHER};

const ETHER_TYPE: usize = 12;
const IPV4: u16 = 0x0800;
const PROTOCOL: usize = 23;
const UDP: u8 = 17;
const SOURCE: usize = 26;
const DESTINATION: usize = 30;

#[btf_map]
static WANTED: Array<Expected, 1> = Array::new();
#[btf_map]
static ARRIVALS: PerCpuArray<u64, 2> = PerCpuArray::new();

#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro's signature")]
fn count(context: TcContext) -> i32 {
    let frame = context.data();
    if frame + HEADERS > context.data_end() {
        return TC_ACT_UNSPEC;
    }
    if load::<u16>(frame + ETHER_TYPE) != IPV4.to_be() || load::<u8>(frame + PROTOCOL) != UDP {
        return TC_ACT_UNSPEC;
    }
    let Some(wanted) = WANTED.get(0) else {
        return TC_ACT_UNSPEC;
    };
    let source = wanted.source == 0 || wanted.source == address(frame + SOURCE);
    let destination = wanted.destination == 0 || wanted.destination == address(frame + DESTINATION);
    if let Some(counter) = ARRIVALS.get_ptr_mut(if source && destination { EXPECTED } else { OTHER }) {
        // SAFETY: the counter is this CPU's own.
        unsafe { *counter += 1 };
    }
    TC_ACT_SHOT
}

#[inline]
fn address(at: usize) -> u32 {
    u32::from(load::<u16>(at)) | u32::from(load::<u16>(at + 2)) << 16
}

#[inline]
fn load<T: Copy>(at: usize) -> T {
    // SAFETY: the caller has compared the frame's end.
    unsafe { *(at as *const T) }
}
