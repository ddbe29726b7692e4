//! What host access may ask of the maps, in programs without a packet.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{HashMap, LruHashMap, lpm_trie::Key},
    macros::btf_map,
};
use netfwd_common::{
    abi::{Endpoint, Mapping, MappingKey, Protocol, Rule, SocketPeer, V4, V6},
    socket,
};

use super::{GENERATIONS, MAPPINGS_V4, MAPPINGS_V6, SETTINGS};

/// The host's own addresses at most.
const MAX_ADDRESSES: usize = 16_384;
/// Peers of the host's sockets at most: those that nobody has asked about for the longest time are forgotten.
const MAX_PEERS: usize = 65_536;

#[btf_map]
static HOST_ADDRESSES: HashMap<V6, u8, MAX_ADDRESSES, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();
#[btf_map]
static HOST_PEERS: LruHashMap<SocketPeer, Endpoint<V6>, MAX_PEERS> = LruHashMap::new();

/// The maps, for host access.
pub(crate) struct HostAccess;

impl HostAccess {
    /// Whether this is the cookie of the network namespace that netfwd works in.
    #[inline]
    pub(crate) fn is_at_home(netns: u64) -> bool {
        SETTINGS.get(0).is_some_and(|settings| settings.netns == netns)
    }
}

impl socket::Mappings<V4> for HostAccess {
    #[inline]
    fn mapping(&self, protocol: Protocol, host: Endpoint<V4>) -> Option<&Mapping<V4>> {
        let key = MappingKey::new(protocol, host.address, host.port);
        MAPPINGS_V4.get(&Key::new(MappingKey::<V4>::BITS, key))
    }
}

impl socket::Mappings<V6> for HostAccess {
    #[inline]
    fn mapping(&self, protocol: Protocol, host: Endpoint<V6>) -> Option<&Mapping<V6>> {
        let key = MappingKey::new(protocol, host.address, host.port);
        MAPPINGS_V6.get(&Key::new(MappingKey::<V6>::BITS, key))
    }
}

impl socket::Tables for HostAccess {
    #[inline]
    fn is_host_address(&self, address: V6) -> bool {
        // SAFETY: only whether there is one matters.
        unsafe { HOST_ADDRESSES.get(address) }.is_some()
    }

    #[inline]
    fn is_in_force(&self, rule: Rule) -> bool {
        rule.generation != 0 && GENERATIONS.get(rule.id) == Some(&rule.generation)
    }

    #[inline]
    fn remember(&self, peer: SocketPeer, asked: Endpoint<V6>) {
        // If it fails, the process sees the container's endpoint: better than no connection.
        let _: Result<(), i32> = HOST_PEERS.insert(peer, asked, 0);
    }

    #[inline]
    fn asked(&self, peer: SocketPeer) -> Option<Endpoint<V6>> {
        // SAFETY: copied at once; no program changes it in place.
        unsafe { HOST_PEERS.get(peer) }.copied()
    }
}
