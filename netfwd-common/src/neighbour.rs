//! What containers announce of themselves, by ARP (RFC 826) and Neighbor Discovery (RFC 4861): from that the fast path
//! knows where they are. It believes no more than the host's own neighbour table does.

use crate::{
    abi::{Address, Target, V4, V6},
    packet::Packet,
    scratch::Scratch,
    tables::Tables,
};

// Offsets from the frame's first byte.
const SENDER_AT: u32 = 6;
const ETHERTYPE_AT: u32 = 12;
const ARP_SENDER_AT: u32 = 22;
const ARP_SENDERS_ADDRESS_AT: u32 = 28;
const NEXT_HEADER_AT: u32 = 20;
const IPV6_SOURCE_AT: u32 = 22;
const ICMPV6_AT: u32 = 54;
const ICMPV6_TARGET_AT: u32 = 62;

/// The `EtherType` of ARP, and how ARP between Ethernet hosts begins: with the types and lengths of its addresses.
const ARP: [u8; 8] = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4];
/// `ICMPv6` that no router has forwarded (RFC 4861 section 7.1).
const ICMPV6_OF_THE_LINK: [u8; 2] = [58, 255];
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// A family in which neighbours announce themselves.
pub trait Announce: Address {
    /// Writes the address that a packet announces as its sender's; `None` if it announces none.
    fn write_announced<P: Packet + ?Sized>(packet: &P, address: &mut Self) -> Option<()>;
}

impl Announce for V4 {
    #[inline]
    fn write_announced<P: Packet + ?Sized>(packet: &P, address: &mut Self) -> Option<()> {
        let (frames, own) = (packet.load::<6>(SENDER_AT)?, packet.load::<6>(ARP_SENDER_AT)?);
        if packet.load::<8>(ETHERTYPE_AT)? != ARP || frames != own {
            return None;
        }
        packet.load_into(ARP_SENDERS_ADDRESS_AT, address)
    }
}

impl Announce for V6 {
    #[inline]
    fn write_announced<P: Packet + ?Sized>(packet: &P, address: &mut Self) -> Option<()> {
        let [kind] = packet.load(ICMPV6_AT)?;
        if packet.load::<2>(NEXT_HEADER_AT)? != ICMPV6_OF_THE_LINK {
            return None;
        }
        match kind {
            SOLICITATION => packet.load_into(IPV6_SOURCE_AT, address),
            ADVERTISEMENT => packet.load_into(ICMPV6_TARGET_AT, address),
            _ => None,
        }
    }
}

/// Notes where a container is, if a packet on a bridge's member announces it and its address leads to that bridge.
#[inline(never)]
pub fn learn<A, P, T>(packet: &P, tables: &T, ifindex: u32, scratch: &mut Scratch<A>)
where
    A: Announce,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let address = &mut scratch.target.address;
    if packet.is_vlan_tagged() || A::write_announced(packet, address).is_none() {
        return;
    }
    let (Some(member), Some(sender)) = (tables.member(ifindex), packet.load(SENDER_AT)) else {
        return;
    };
    let target = Target::new(*address, ifindex, sender, member.gateway);
    let is_known = |known: &Target<A>| known.member == ifindex && known.link == target.link;
    if tables.target(address).is_some_and(is_known) {
        return;
    }
    // Where it would come from does not matter; of a constant, the BPF linker would make a map.
    if tables.route(*address, *address).is_some_and(|bridge| bridge == member.bridge) {
        tables.set_target(&target);
    }
}

/// Forgets where a container is, if a packet on its bridge announces its address for somebody else: behind a member that
/// is not known.
#[inline(never)]
pub fn forget<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>)
where
    A: Announce,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let address = &mut scratch.target.address;
    if packet.is_vlan_tagged() || A::write_announced(packet, address).is_none() {
        return;
    }
    let (Some(known), Some(sender)) = (tables.target(address), packet.load(SENDER_AT)) else {
        return;
    };
    let [container, _] = known.ends();
    if container != sender {
        tables.remove_target(address);
    }
}
