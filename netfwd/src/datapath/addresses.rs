//! The host's own addresses, as the kernel part knows them, and the end of everything that has one that is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
};

use anyhow::{Result, bail};
use netfwd_common::abi::{Connection, Side, V4, V6};

use super::{
    connections::Connections,
    maps::{Maps, Select},
};
use crate::{
    clock,
    family::Family,
    host::{
        interfaces::{self, Interfaces},
        namespace,
    },
};

/// What became of the host's addresses since the kernel part was told of them last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Those that are gone, and how many flows ended with each.
    pub gone: BTreeMap<IpAddr, usize>,
    /// Those that are new.
    pub new: BTreeSet<IpAddr>,
}

/// Makes the kernel part know the host's own addresses, but for those that mean nothing without an interface. Whatever
/// has an address that is gone ends first: flows, and the outside ports of containers.
pub fn refresh(maps: &mut Maps, interfaces: &Interfaces) -> Result<Changed> {
    refuse_elsewhere(maps)?;
    let (before, after) = (maps.host_addresses()?, own(interfaces));
    let mut changed = Changed::default();
    changed.new.extend((&after - &before).into_iter().map(ip));
    changed.gone.extend((&before - &after).into_iter().map(|address| (ip(address), 0)));
    end::<V4>(maps, &mut changed.gone)?;
    end::<V6>(maps, &mut changed.gone)?;
    maps.set_host_addresses(after)?;
    Ok(changed)
}

/// Another namespace's interfaces and addresses have nothing to do with these maps.
fn refuse_elsewhere(maps: &Maps) -> Result<()> {
    if maps.settings()?.netns != namespace::cookie()? {
        bail!("what is pinned belongs to another network namespace: use `nsenter --net=/run/netns/NAME netfwd …`");
    }
    Ok(())
}

/// As they are in maps: IPv4 ones are mapped.
fn own(interfaces: &Interfaces) -> BTreeSet<V6> {
    let addresses = interfaces.0.iter().flat_map(|interface| &interface.addresses);
    let addresses = addresses.map(|address| address.net).filter(|net| !interfaces::is_link_local(*net));
    let mapped = addresses.map(|net| match net.addr() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    });
    mapped.collect()
}

fn ip(address: V6) -> IpAddr {
    IpAddr::from(Ipv6Addr::from(address)).to_canonical()
}

fn end<A: Select>(maps: &Maps, gone: &mut BTreeMap<IpAddr, usize>) -> Result<()> {
    let is_of_family = |address: &IpAddr| A::from_ip(*address).is_some();
    if !gone.keys().any(is_of_family) {
        return Ok(());
    }
    let connections = Connections::<A>::open(maps)?;
    for flow in connections.records(maps, clock::now()?)? {
        let mut addresses = of_host(&flow.connection).into_iter();
        let Some(address) = addresses.find(|address| gone.contains_key(&address.ip())) else { continue };
        if connections.condemn(&flow) && Side::is_of_packets(flow.connection.original.side) {
            *gone.entry(address.ip()).or_default() += 1;
        }
    }
    Ok(())
}

/// The host's addresses in a record's tuples.
fn of_host<A: Family>(connection: &Connection<A>) -> [A; 2] {
    let Connection { original, reply, .. } = connection;
    match () {
        () if original.is_on(Side::Bridge) => [original.destination.address, reply.destination.address],
        () if original.is_on(Side::Outside) || original.is_on(Side::Account) => [original.destination.address; 2],
        () if original.is_on(Side::Permission) => [original.source.address; 2],
        () => [reply.destination.address; 2],
    }
}

#[cfg(test)]
mod tests {
    use netfwd_common::abi::{Endpoint, Protocol, Tuple};

    use super::*;
    use crate::{
        datapath::connections::Flow,
        host::interfaces::{Address, Interface},
    };

    const INSIDE: V4 = [172, 17, 0, 2];
    const HOST: V4 = [192, 0, 2, 1];
    const OTHER_HOST: V4 = [192, 0, 2, 2];
    const PEER: V4 = [198, 51, 100, 1];

    fn tuple(side: Side, source: V4, destination: V4) -> Tuple<V4> {
        Tuple::new(Protocol::UDP, side, Endpoint::new(source, 1), Endpoint::new(destination, 2))
    }

    #[test]
    fn the_hosts_address_is_where_each_side_has_it() {
        let nobody = [0; 4];
        let cases = [
            (tuple(Side::Inside, INSIDE, PEER), tuple(Side::Outside, PEER, HOST), [HOST; 2]),
            (tuple(Side::Outside, PEER, HOST), tuple(Side::Inside, INSIDE, PEER), [HOST; 2]),
            (tuple(Side::Bridge, INSIDE, HOST), tuple(Side::Bridge, INSIDE, OTHER_HOST), [HOST, OTHER_HOST]),
            (tuple(Side::Binding, INSIDE, HOST), tuple(Side::Binding, nobody, HOST), [HOST; 2]),
            (tuple(Side::Permission, HOST, PEER), tuple(Side::Permission, PEER, HOST), [HOST; 2]),
            (tuple(Side::Account, INSIDE, HOST), tuple(Side::Account, HOST, INSIDE), [HOST; 2]),
        ];
        for (original, reply, expected) in cases {
            let mut connection = Flow::<V4>::empty().connection;
            (connection.original, connection.reply) = (original, reply);
            assert_eq!(of_host(&connection), expected, "{original:?}");
        }
    }

    #[test]
    fn addresses_of_both_families_are_known_and_those_of_a_link_are_not() {
        let address = |text: &str| Address { net: text.parse().unwrap(), is_lasting: true, is_lent: false };
        let addresses = ["192.0.2.1/24", "2001:db8::1/64", "fe80::1/64"].iter().map(|text| address(text)).collect();
        let known = own(&Interfaces(vec![Interface { addresses, ..Interface::default() }]));
        let expected: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(known.into_iter().map(ip).collect::<BTreeSet<_>>(), expected.into());
    }
}
