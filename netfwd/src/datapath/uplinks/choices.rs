//! What attach was told to masquerade, and as what. The rest it derives from the host's interfaces, which change; so
//! this is kept beside what came of it.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use netfwd_common::abi::{Choice, V6};

use crate::{
    datapath::xdp,
    family::Family,
    host::interfaces::{Interface, Interfaces},
    mapping::Origin,
};

/// What attach was told to masquerade, and as what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// The addresses to masquerade with, at most one a family; without one it is the uplink's.
    pub addresses: BTreeSet<IpAddr>,
    /// Subnets to masquerade.
    pub subnets: BTreeSet<IpNet>,
    /// Bridges whose subnets to masquerade; without any, and without subnets, those of all bridges.
    pub bridges: BTreeSet<String>,
    /// How the XDP program is attached.
    pub xdp: xdp::Choice,
    /// Networks that are isolated and not masqueraded: nothing is forwarded from the bridges that have them.
    pub internal: BTreeSet<IpNet>,
    /// More networks that are isolated, whether or not they are masqueraded.
    pub apart: BTreeSet<IpNet>,
    /// Networks of which no user said anything.
    pub found: Found,
    /// Who attached it.
    pub origin: Origin,
}

/// Networks that were found. What cannot be done for one is left out, as no user has asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Subnets that are masqueraded.
    pub masqueraded: BTreeSet<IpNet>,
    /// Subnets from which nothing is forwarded, nor to them.
    pub internal: BTreeSet<IpNet>,
    /// Subnets that are kept apart, whether or not they are masqueraded.
    pub apart: BTreeSet<IpNet>,
}

impl Found {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.masqueraded.is_empty() && self.internal.is_empty() && self.apart.is_empty()
    }
}

impl Choices {
    /// The address of a family that was chosen.
    #[must_use]
    pub fn address<A: Family>(&self) -> Option<A> {
        self.addresses.iter().find_map(|address| A::from_ip(*address))
    }

    /// The internal networks, by a user or found.
    pub fn all_internal(&self) -> impl Iterator<Item = &IpNet> {
        self.internal.iter().chain(&self.found.internal)
    }

    /// The other networks that are isolated, by a user or found.
    pub fn all_apart(&self) -> impl Iterator<Item = &IpNet> {
        self.apart.iter().chain(&self.found.apart)
    }

    /// The subnets of a family that are meant, on the interfaces as they are.
    pub fn networks<A: Family>(&self, uplink: &Interface, interfaces: &Interfaces) -> BTreeSet<A::Net> {
        let subnets: Vec<_> = self.subnets.iter().chain(&self.found.masqueraded).collect();
        let takes_all = subnets.is_empty() && self.bridges.is_empty();
        let mut networks: BTreeSet<_> = subnets.into_iter().filter_map(|subnet| A::from_net(*subnet)).collect();
        let is_meant =
            |bridge: &&Interface| self.bridges.contains(&bridge.name) || takes_all && bridge.index != uplink.index;
        networks.extend(interfaces.bridges().filter(is_meant).flat_map(Interface::networks::<A>));
        networks.retain(|network| !self.all_internal().any(|internal| internal.contains(&(*network).into())));
        networks
    }

    /// As the map has them.
    pub(super) fn keys(&self, uplink: u32) -> BTreeSet<Choice> {
        let addresses = self.addresses.iter().map(|address| network(uplink, Choice::ADDRESS, (*address).into()));
        let bridges = self.bridges.iter().map(|name| Choice::bridge(uplink, padded(name.as_bytes())));
        let xdp = (self.xdp != xdp::Choice::Off).then(|| Choice::xdp(uplink, self.xdp.number()));
        let origin = (self.origin != Origin::Hand).then(|| Choice::origin(uplink, self.origin.number()));
        let networks = [
            (Choice::SUBNET, &self.subnets),
            (Choice::INTERNAL, &self.internal),
            (Choice::APART, &self.apart),
            (Choice::FOUND_SUBNET, &self.found.masqueraded),
            (Choice::FOUND_INTERNAL, &self.found.internal),
            (Choice::FOUND_APART, &self.found.apart),
        ];
        let networks =
            networks.into_iter().flat_map(|(option, nets)| nets.iter().map(move |net| network(uplink, option, *net)));
        addresses.chain(networks).chain(bridges).chain(xdp).chain(origin).collect()
    }

    /// Those of an uplink, of what the map has.
    #[must_use]
    pub fn of(uplink: u32, keys: &BTreeSet<Choice>) -> Self {
        let mut choices = Self::default();
        for key in keys.iter().filter(|key| key.uplink == uplink) {
            match key.option {
                Choice::ADDRESS => choices.addresses.extend(net(key).map(|net| net.addr())),
                Choice::SUBNET => choices.subnets.extend(net(key)),
                Choice::BRIDGE => choices.bridges.extend([name(&key.value)]),
                Choice::XDP => choices.xdp = mode(&key.value),
                Choice::INTERNAL => choices.internal.extend(net(key)),
                Choice::APART => choices.apart.extend(net(key)),
                Choice::FOUND_SUBNET => choices.found.masqueraded.extend(net(key)),
                Choice::FOUND_INTERNAL => choices.found.internal.extend(net(key)),
                Choice::FOUND_APART => choices.found.apart.extend(net(key)),
                Choice::ORIGIN => choices.origin = Origin::from_number(key.value[0]),
                _ => (),
            }
        }
        choices
    }
}

fn mode(value: &V6) -> xdp::Choice {
    let [number, ..] = *value;
    xdp::Choice::ALL.into_iter().find(|choice| choice.number() == number).unwrap_or_default()
}

fn network(uplink: u32, option: u8, net: IpNet) -> Choice {
    let (version, value) = match net.addr() {
        IpAddr::V4(address) => (4, padded(&address.octets())),
        IpAddr::V6(address) => (6, address.octets()),
    };
    Choice::network(uplink, option, version, net.prefix_len(), value)
}

fn net(key: &Choice) -> Option<IpNet> {
    let [a, b, c, d, ..] = key.value;
    let address: IpAddr = if key.version == 4 { [a, b, c, d].into() } else { key.value.into() };
    IpNet::new(address, key.length).ok()
}

/// The kernel's names of interfaces are shorter than 16 bytes.
fn padded(bytes: &[u8]) -> V6 {
    let mut value = [0; 16];
    value.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    value
}

fn name(value: &V6) -> String {
    let bytes: Vec<_> = value.iter().copied().take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_as_they_were_written_and_no_others_are() {
        let choices = Choices {
            addresses: ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap()).into(),
            subnets: ["172.17.0.0/16", "fd00:1::/64"].map(|text| text.parse().unwrap()).into(),
            bridges: ["docker0", "br-0123456789ab"].map(str::to_owned).into(),
            xdp: xdp::Choice::Native,
            internal: ["172.30.0.0/16".parse().unwrap()].into(),
            apart: ["172.31.0.0/16".parse().unwrap()].into(),
            found: Found {
                masqueraded: ["172.18.0.0/16".parse().unwrap()].into(),
                internal: ["172.19.0.0/16".parse().unwrap()].into(),
                apart: ["172.20.0.0/16", "fd00:2::/64"].map(|text| text.parse().unwrap()).into(),
            },
            origin: Origin::Config,
        };
        let mut keys = choices.keys(7);
        assert_eq!(keys.len(), 14);
        keys.extend(Choices { bridges: ["br1".to_owned()].into(), ..Choices::default() }.keys(8));
        assert_eq!(Choices::of(7, &keys), choices);
        assert_eq!(Choices::of(9, &keys), Choices::default());
    }
}
