//! Mapped ports that sockets have, or may get.

use super::{Conflict, Facts};
use crate::check::{Finding, count};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<_> = facts.conflicts.iter().map(conflict).collect();
    let ports = &facts.ports;
    let open = ports.open.to_string();
    if !open.is_empty() {
        findings.push(
            Finding::warning("ports", format!("the kernel may give mapped ports to sockets: {open}"))
                .because("a socket that gets one is not reached from outside")
                .todo(format!("sysctl -w net.ipv4.ip_local_reserved_ports={}", ports.to_reserve)),
        );
    }
    if findings.is_empty() && facts.is_attached() {
        findings
            .push(Finding::ok("ports", format!("{}, no socket has one of their ports", count(ports.count, "mapping"))));
    }
    findings
}

fn conflict(conflict: &Conflict) -> Finding {
    let Conflict { mapping, port, holder } = conflict;
    let holder =
        holder.as_ref().map_or_else(|| "a process that cannot be seen from here".to_owned(), ToString::to_string);
    Finding::warning(
        "ports",
        format!("{holder} serves {port}/{}, which is mapped to {}", mapping.host.protocol, mapping.target()),
    )
    .because("clients get the container, not the process")
    .todo(format!("stop the process, or: netfwd unmap {}", mapping.host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::host::{complaints, well},
        host::sockets::Holder,
        mapping::{Ports, tests::mapping},
    };

    #[test]
    fn a_process_on_a_mapped_port_is_named() {
        let mut facts = well();
        let holder = Some(Holder { name: "nginx".to_owned(), pid: 7 });
        facts.conflicts = vec![Conflict { mapping: mapping("8080-8089:172.17.0.2:80-89"), port: 8081, holder }];
        let findings = judge(&facts);
        assert_eq!(findings[0].what, "nginx (pid 7) serves 8081/tcp, which is mapped to 172.17.0.2:80-89");
        assert_eq!(findings[0].todo.as_deref(), Some("stop the process, or: netfwd unmap 8080-8089/tcp"));
    }

    #[test]
    fn ports_that_the_kernel_may_give_away_are_to_be_reserved() {
        let mut facts = well();
        assert!(complaints(judge, &facts).is_empty());
        facts.ports.open.insert(Ports::new(40000, 40001).unwrap());
        facts.ports.to_reserve.insert(Ports::new(40000, 40005).unwrap());
        let todo = "sysctl -w net.ipv4.ip_local_reserved_ports=40000-40005".to_owned();
        assert_eq!(complaints(judge, &facts), [(crate::check::Level::Warning, "ports", todo)]);
    }
}
