//! Experiment (b): the client fetches a page from a web server in a container.

use std::fs;
use std::net::IpAddr;

use anyhow::Result;
use lab::{Capture, Checksums, curl};

use super::stage::{Stage, prompt, quote};
use crate::task;

const PAGE: &str = "Hello from the web server in c1.\n";
/// The tables that the old iptables has made, in the namespace of the reading thread.
const LEGACY_TABLES: &str = "/proc/thread-self/net/ip_tables_names";

pub(super) fn show(stage: &mut Stage) -> Result<()> {
    task::headline("In: the client fetches a page from c1");
    stage.serve(PAGE)?;
    let uplink = stage.uplink().name.clone();
    let capture = Capture::start(stage.host(), &uplink, "tcp")?;
    let url = stage.url();
    prompt("client", &format!("curl {url}"));
    let page = curl(stage.client(), &url, &[])?;
    quote(&page);
    stage.check(format_args!("{url} is the page of the server in c1"), page == PAGE);
    let checksums = capture.stop()?.checksums()?;
    stage.check(format_args!("every checksum captured on {uplink} is right"), right(&checksums));

    task::say("  The web server's log:");
    for line in stage.server()?.log()? {
        task::say(format_args!("    {line}"));
    }
    let (askers, client) = (stage.server()?.askers()?, stage.client_address());
    stage.check(format_args!("it shows the client's own address, {client}"), askers == [IpAddr::from(client)]);
    show_that_nothing_else_forwards(stage)
}

fn right(checksums: &Checksums) -> bool {
    checksums.bad.is_empty() && checksums.complete + checksums.partial > 0
}

fn show_that_nothing_else_forwards(stage: &mut Stage) -> Result<()> {
    prompt("host", "nft list ruleset");
    let rules = stage.host().run(&["nft", "list", "ruleset"])?.stdout;
    quote(if rules.is_empty() { "(nothing)" } else { &rules });
    let legacy = stage.host().enter(|| fs::read_to_string(LEGACY_TABLES).unwrap_or_default())?;
    stage.check("the host has no nftables or iptables rule", rules.is_empty() && legacy.is_empty());
    let processes = stage.host().pids()?;
    stage.check("no process runs in the host: no docker-proxy, and no netfwd either", processes.is_empty());
    Ok(())
}
