//! Experiment (a): a container pings the client.

use anyhow::{Context as _, Result};
use lab::{Capture, Packet, Packets, ping};

use super::stage::{Stage, prompt};
use crate::task;

/// The container's interface: a bridge sees nothing of what takes the fast path.
const INSIDE: &str = "eth0";
const COUNT: u32 = 3;
const INTERVAL: f64 = 0.2;
const ICMP_ECHO: &str = "icmp[icmptype] == icmp-echo or icmp[icmptype] == icmp-echoreply";
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
/// What follows type, code, checksum and id: the sequence number and the data. No translation changes it.
const SEQUENCE_AND_DATA: usize = 6;

/// A packet that was captured twice, in one line each.
struct Sighting {
    before: (Packet, String),
    after: (Packet, String),
}

pub(super) fn show(stage: &mut Stage) -> Result<()> {
    task::headline("Out: c1 pings the client");
    let (uplink, container) = (stage.uplink().name.clone(), format!("c1's {INSIDE}"));
    let inside = Capture::start(stage.c1(), INSIDE, ICMP_ECHO)?;
    let outside = Capture::start(stage.host(), &uplink, ICMP_ECHO)?;
    let target = stage.client_address();
    prompt("c1", &format!("ping -c {COUNT} {target}"));
    let report = ping(stage.c1(), target.into(), COUNT, INTERVAL)?;
    task::say(format_args!("  {} packets transmitted, {} received", report.sent, report.received));
    let (inside, outside) = (inside.stop()?, outside.stop()?);

    let (c1, host) = (stage.c1_address(), stage.host_address());
    if let Some(request) = find(&inside, &outside, ECHO_REQUEST)? {
        task::say("  The first request, captured by tcpdump in the container and in the host:");
        present(&container, &request.before.1, &uplink, &request.after.1);
        let (before, after) = (request.before.0.source, request.after.0.source);
        stage.check(
            format_args!("its source is {c1} on {container} and {host} on {uplink}"),
            (before, after) == (c1, host),
        );
    } else {
        stage.check(format_args!("a request is seen on both {container} and {uplink}"), false);
    }
    if let Some(reply) = find(&outside, &inside, ECHO_REPLY)? {
        task::say("  Its reply:");
        present(&uplink, &reply.before.1, &container, &reply.after.1);
        let (before, after) = (reply.before.0.destination, reply.after.0.destination);
        stage.check(
            format_args!("it goes to {host} on {uplink} and to {c1} on {container}"),
            (before, after) == (host, c1),
        );
    } else {
        stage.check(format_args!("a reply is seen on both {uplink} and {container}"), false);
    }
    stage.check("every request was answered", report.complete());
    let bad = [inside.bad_checksums()?, outside.bad_checksums()?].concat();
    stage.check("every captured checksum is right", bad.is_empty());
    Ok(())
}

fn present(first: &str, seen_first: &str, second: &str, seen_second: &str) {
    let width = first.len().max(second.len());
    task::say(format_args!("    {first:<width$}  {seen_first}"));
    task::say(format_args!("    {second:<width$}  {seen_second}"));
}

/// The first packet of `kind` in `before`, and the same packet in `after`.
fn find(before: &Packets, after: &Packets, kind: u8) -> Result<Option<Sighting>> {
    let of_kind = |(packet, _): &(Packet, String)| packet.payload.first() == Some(&kind);
    let Some(before) = described(before)?.into_iter().find(of_kind) else { return Ok(None) };
    let same = |(packet, _): &(Packet, String)| identity(packet) == identity(&before.0);
    let after = described(after)?.into_iter().filter(of_kind).find(same);
    Ok(after.map(|after| Sighting { before, after }))
}

fn identity(packet: &Packet) -> Option<&[u8]> {
    packet.payload.get(SEQUENCE_AND_DATA..)
}

/// The packets with tcpdump's lines for them. The captures hold ICMP alone, so there is one line for each.
fn described(packets: &Packets) -> Result<Vec<(Packet, String)>> {
    let lines = packets.lines().context("cannot print a capture")?;
    Ok(packets.ipv4()?.into_iter().zip(lines).collect())
}
