//! Configuration: what it takes to publish ports and to withdraw them.

use std::fs;
use std::time::Instant;

use anyhow::Result;
use lab::Netns;

use crate::record::{Better, Case};
use crate::report::text::number;
use crate::session::Session;
use crate::site::Site;
use crate::subject::{Ports, Protocol, Subject};

/// The workload's heading.
pub(crate) const TITLE: &str = "Publishing ports";
const COUNTS: [u16; 3] = [1, 200, 10_000];
/// More processes than this would take minutes, and the machine's memory.
const MOST_PROCESSES: u16 = 200;
const FIRST_HOST_PORT: u16 = 20_000;
const FIRST_CONTAINER_PORT: u16 = 1000;

/// The name of a case.
pub(crate) fn case(verb: &str, count: u16) -> String {
    format!("{verb} {} {}", number(count.into()), if count == 1 { "port" } else { "ports" })
}

/// Publishes and withdraws with each subject in turn.
pub(super) fn run(session: &mut Session) -> Result<()> {
    let Session { subjects, netfwd, record, rounds, quick, .. } = session;
    let subjects = subjects.iter().filter(|subject| subject.translates());
    let mut sites = Vec::new();
    for subject in subjects {
        let mut site = Site::new(netfwd)?;
        subject.set_up(&mut site)?;
        sites.push((&**subject, site));
    }
    for count in COUNTS {
        if count > if *quick { 1 } else { MOST_PROCESSES } {
            sites.retain(|(subject, _)| subject.forwards());
            record.leave_out(format!("docker-proxy: {count} processes"));
        }
        let case = |verb: &str, unit| Case { workload: TITLE, name: case(verb, count), unit, better: Better::Less };
        let cases = [
            case("publish", "ms"),
            case("withdraw", "ms"),
            case("processes for", "processes"),
            case("memory for", "kB resident"),
        ];
        for _ in 0..*rounds {
            for (subject, site) in &mut sites {
                for (case, value) in cases.iter().zip(measure(*subject, site, count)?) {
                    record.add(case, subject.name(), value);
                }
            }
        }
        for case in &cases {
            crate::say::say(format_args!("  {}", case.name));
            crate::session::tell(record, case);
        }
    }
    Ok(())
}

/// Milliseconds to publish and to withdraw; processes in between, and their memory in kB.
fn measure(subject: &dyn Subject, site: &mut Site, count: u16) -> Result<[f64; 4]> {
    let ports = Ports { host: FIRST_HOST_PORT, container: FIRST_CONTAINER_PORT, count };
    let start = Instant::now();
    subject.publish(site, Protocol::Tcp, ports)?;
    let published = start.elapsed();
    let [processes, memory] = processes(site.host())?;
    let start = Instant::now();
    subject.withdraw(site, Protocol::Tcp, ports)?;
    let milliseconds = [published, start.elapsed()].map(|time| time.as_secs_f64() * 1e3);
    Ok([milliseconds[0], milliseconds[1], processes, memory])
}

/// How many processes there are, and their resident memory in kB: what they share by each one's share.
pub(super) fn processes(host: &Netns) -> Result<[f64; 2]> {
    let pids = host.pids()?;
    let resident = |pid: &u32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    // One that has just ended has none.
    let memory: u64 = pids.iter().filter_map(resident).sum();
    Ok([pids.len() as f64, memory as f64])
}
