//! What the machine can do at all: an XDP program that sends frames from one interface to the other, and no more.

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::Array;
use aya::programs::{Xdp, XdpMode};
use lab::Netns;

use super::{Ports, Protocol, Subject};
use crate::site::{INSIDE, MEMBER, Site, UPLINK, index};
use crate::traffic::OBJECT;
use crate::traffic::abi::Target;

/// XDP redirection without look-ups and without NAT.
pub(crate) struct Forward;

impl Forward {
    pub(crate) const NAME: &str = "XDP redirect, no NAT";
}

impl Subject for Forward {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn translates(&self) -> bool {
        false
    }

    fn carries_tcp(&self) -> bool {
        false
    }

    fn set_up(&self, site: &mut Site) -> Result<()> {
        let inbound = attach(site.host(), UPLINK, MEMBER, site.container())?;
        let outbound = attach(site.host(), MEMBER, UPLINK, site.client())?;
        site.programs.extend([inbound, outbound]);
        Ok(())
    }

    fn publish(&self, _site: &mut Site, _protocol: Protocol, _ports: Ports) -> Result<()> {
        Ok(())
    }

    fn withdraw(&self, _site: &mut Site, _protocol: Protocol, _ports: Ports) -> Result<()> {
        Ok(())
    }

    fn forget_flows(&self, _site: &mut Site) -> Result<()> {
        Ok(())
    }
}

/// Sends what arrives on `from` out of `to`, at whose other end is `receiver`.
fn attach(host: &Netns, from: &str, to: &str, receiver: &Netns) -> Result<Ebpf> {
    let mut ebpf = Ebpf::load(OBJECT).context("cannot load the benchmark's programs")?;
    let mut hardware_addresses = [0; 12];
    let (destination, source) = hardware_addresses.split_at_mut(6);
    destination.copy_from_slice(&receiver.hardware_address(INSIDE)?);
    source.copy_from_slice(&host.hardware_address(to)?);
    let target = Target { interface: index(host, to)?, hardware_addresses };
    Array::try_from(ebpf.map_mut("TARGET").context("there is no map TARGET")?)?.set(0, target, 0)?;
    let program: &mut Xdp = ebpf.program_mut("forward").context("there is no program forward")?.try_into()?;
    program.load()?;
    host.enter(|| program.attach(from, XdpMode::Driver))?.with_context(|| format!("cannot attach to {from}"))?;
    Ok(ebpf)
}
