//! The generator, for `BPF_PROG_TEST_RUN` with live frames: each run sends one packet.

use aya_ebpf::{bindings::xdp_action, btf_maps::Array, macros::btf_map, macros::xdp, programs::XdpContext};

use crate::{
    abi::{HEADERS, Stream, WORDS},
    checksum::{finish, words},
};

const IP_CHECKSUM: usize = 24;
const ADDRESSES: [usize; 2] = [26, 30];
const PORTS: [usize; 2] = [34, 36];
const UDP_CHECKSUM: usize = 40;

#[btf_map]
static STREAM: Array<Stream, 1> = Array::new();

#[xdp]
#[expect(clippy::needless_pass_by_value, reason = "the macro's signature")]
fn generate(context: XdpContext) -> u32 {
    let Some(stream) = STREAM.get_ptr_mut(0) else {
        return xdp_action::XDP_ABORTED;
    };
    let frame = context.data();
    if frame + HEADERS > context.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: one CPU runs this program, and user space writes between runs alone.
    let stream = unsafe { &mut *stream };
    let flow = stream.next;
    stream.next = if flow + 1 < stream.flows { flow + 1 } else { 0 };
    write(stream, flow, frame);
    xdp_action::XDP_TX
}

/// Writes a packet of `flow`, whole: the page may have carried another packet, changed on its way.
#[inline]
fn write(stream: &Stream, flow: u32, frame: usize) {
    let ports = stream.ports_per_address.max(1);
    let (address, port) = (flow / ports, flow % ports);
    for (index, word) in stream.template[..WORDS - 1].iter().enumerate() {
        // SAFETY: the caller has compared the frame's end; a frame begins at a multiple of 8.
        unsafe { *((frame + 8 * index) as *mut u64) = *word };
    }
    let (mut ip_sum, mut udp_sum) = (stream.ip_sum, stream.udp_sum);
    for end in 0..2 {
        let address = stream.addresses[end] + address * stream.vary_address[end];
        let port = stream.ports[end] + port * stream.vary_port[end];
        ip_sum += words(address);
        udp_sum += words(address) + port;
        store(frame + ADDRESSES[end], (address >> 16) as u16);
        store(frame + ADDRESSES[end] + 2, address as u16);
        store(frame + PORTS[end], port as u16);
    }
    store(frame + IP_CHECKSUM, finish(ip_sum));
    let checksum = finish(udp_sum);
    // 0 would mean that there is none (RFC 768).
    store(frame + UDP_CHECKSUM, if checksum == 0 { u16::MAX } else { checksum });
}

#[inline]
fn store(at: usize, number: u16) {
    // SAFETY: the caller has compared the frame's end; all fields begin at multiples of 2.
    unsafe { *(at as *mut u16) = number.to_be() };
}
