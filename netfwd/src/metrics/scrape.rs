//! Reads the maps, and makes a page of what they hold.

mod mappings;
mod subnets;

use anyhow::Result;
use netfwd_common::abi::{ABI_VERSION, names};

use super::{
    Source,
    catalogue::{
        ATTACHED, ATTACHED_SINCE, BUILD_INFO, BYTES, DROPS, FLOWS, FLOWS_CREATED, FLOWS_ENDED, FLOWS_LIMIT,
        INTERFACE_INFO, MAP_MEMORY, PACKETS, SHARED_RECORDS,
    },
    page::{Page, Value},
};
use crate::{
    clock::Moment,
    datapath::{maps::Maps, pin::PinDir},
    report::{
        Interface, Traffic,
        census::{Census, Counted},
        stats::{Direction, Flows, Stats},
        status,
    },
};

/// All metrics.
pub(super) fn page(source: &Source, now: Moment) -> Result<Page> {
    let mut page = Page::default();
    page.count(BUILD_INFO, [env!("CARGO_PKG_VERSION"), &ABI_VERSION.to_string()], 1);
    source.pulse.tell(&mut page, now);
    let maps = Maps::open_if_attached(&source.pin_dir)?;
    page.count(ATTACHED, [], maps.is_some().into());
    if let Some(maps) = maps {
        datapath(&mut page, source, &maps, now)?;
    }
    Ok(page)
}

fn datapath(page: &mut Page, source: &Source, maps: &Maps, now: Moment) -> Result<()> {
    page.add(ATTACHED_SINCE, [], attached_since(maps.settings()?.attached, now));
    let census = Census::take(maps)?;
    stats(page, &Stats::with(maps, &census)?);
    family(page, "ipv4", &census.ipv4);
    family(page, "ipv6", &census.ipv6);
    mappings::tell(page, maps, &census, source.max_mappings)?;
    subnets::tell(page, maps, &census)?;
    memory(page, &source.pin_dir)
}

/// The maps know when it was by the kernel's clock alone.
fn attached_since(attached: u64, now: Moment) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "whole seconds")]
    let seconds = (now.monotonic.saturating_sub(attached) / 1_000_000_000) as f64;
    Value::Time((now.wall - seconds).round())
}

fn stats(page: &mut Page, stats: &Stats) {
    for uplink in &stats.uplinks {
        let name = name(&uplink.interface);
        page.count(INTERFACE_INFO, [&name, "uplink"], 1);
        direction(page, &name, "ingress", &uplink.ingress);
        direction(page, &name, "egress", &uplink.egress);
    }
    for bridge in &stats.bridges {
        let name = name(&bridge.interface);
        page.count(INTERFACE_INFO, [&name, "bridge"], 1);
        direction(page, &name, "ingress", &bridge.ingress);
    }
    let Flows { created, expired, ended, evicted, .. } = stats.flows;
    page.count(FLOWS_CREATED, [], created);
    for (reason, count) in [("expired", expired), ("ended", ended), ("evicted", evicted)] {
        page.count(FLOWS_ENDED, [reason], count);
    }
}

fn name(interface: &Interface) -> String {
    interface.name.clone().unwrap_or_else(|| format!("#{}", interface.index))
}

fn direction(page: &mut Page, interface: &str, name: &str, direction: &Direction) {
    let Direction { translated, fast_path, xdp, passed, dropped, .. } = direction;
    // Each of these contains the next.
    let ways = [
        ("translated", "stack", translated.minus(*fast_path)),
        ("translated", "fast", fast_path.minus(*xdp)),
        ("translated", "xdp", *xdp),
        ("passed", "stack", passed.all),
        ("dropped", "none", dropped.all),
    ];
    for (outcome, path, Traffic { packets, bytes }) in ways {
        page.count(PACKETS, [interface, name, outcome, path], packets);
        page.count(BYTES, [interface, name, outcome, path], bytes);
    }
    for (reason, Traffic { packets, .. }) in &dropped.reasons {
        page.count(DROPS, [interface, name, reason], *packets);
    }
}

fn family(page: &mut Page, family: &str, counted: &Counted) {
    for (state, count) in &counted.phases {
        page.count(FLOWS, [family, state], *count as u64);
    }
    page.count(SHARED_RECORDS, [family], counted.shared as u64);
    page.count(FLOWS_LIMIT, [family], counted.maximum.into());
}

fn memory(page: &mut Page, pin_dir: &PinDir) -> Result<()> {
    for map in names::MAPS {
        page.count(MAP_MEMORY, [map], status::memory_of(pin_dir, map)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_all_outcomes_and_paths_together_are_all_packets() {
        let traffic = |packets| Traffic { packets, bytes: packets * 10 };
        let outcome = |packets| crate::report::stats::Outcome { all: traffic(packets), ..Default::default() };
        let counted = Direction {
            all: traffic(29),
            translated: traffic(10),
            fast_path: traffic(4),
            xdp: traffic(1),
            passed: outcome(16),
            dropped: outcome(3),
        };
        let mut page = Page::default();
        direction(&mut page, "eth0", "ingress", &counted);
        let text = page.text().unwrap();
        let values = |metric: &str| -> Vec<u64> {
            let lines = text.lines().filter(|line| line.starts_with(metric));
            lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
        };
        assert_eq!(values("netfwd_packets_total"), [6, 3, 1, 16, 3]);
        assert_eq!(values("netfwd_bytes_total"), [60, 30, 10, 160, 30]);
    }

    #[test]
    fn when_netfwd_was_attached_does_not_depend_on_when_it_is_asked() {
        let asked = |monotonic, wall| attached_since(5_000_000_000, Moment { monotonic, wall });
        assert_eq!(asked(5_400_000_000, 1000.4), Value::Time(1000.0));
        assert_eq!(asked(65_100_000_000, 1060.1), Value::Time(1000.0));
    }
}
