//! `netfwd docker check`: what of Docker's own NAT is in the way, and what of netfwd's is missing.

mod configuration;
mod gather;
mod leftovers;

use super::{Finding, Report, count, list};
use crate::{docker::Description, host::firewall::Firewall, mapping::Mapping};
use configuration::Configuration;

/// What is the case on this host.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    configuration: Configuration,
    /// Whether an engine's process is to be seen.
    runs: bool,
    /// What the engine says, or why it says nothing.
    engine: Option<Result<Description, String>>,
    /// Processes called docker-proxy.
    proxies: Vec<Proxy>,
    firewall: Firewall,
    /// What containers publish, with their names.
    published: Vec<(String, Mapping)>,
    /// What is mapped; `None` if netfwd is not attached.
    mapped: Option<Vec<Mapping>>,
}

/// A process that carries a port.
#[derive(Clone, Debug)]
struct Proxy {
    pid: i32,
    /// Such as `8080/tcp`.
    port: String,
}

pub use gather::gather;

/// What the facts come to.
#[must_use]
pub fn judge(facts: &Facts) -> Report {
    let version = facts.engine.as_ref().and_then(|engine| engine.as_ref().ok()).map(|engine| engine.version.as_str());
    let mut findings: Vec<_> = facts.engine.iter().map(|engine| self::engine(facts.runs, engine)).collect();
    findings.extend(configuration::judge(&facts.configuration, version));
    findings.extend(live_restore(facts));
    findings.push(proxies(facts));
    findings.extend(leftovers::judge(&facts.firewall));
    findings.extend(published(facts));
    findings.extend(swarm(facts));
    Report::new(findings)
}

fn engine(runs: bool, engine: &Result<Description, String>) -> Finding {
    match engine {
        Ok(engine) => Finding::ok("engine", format!("Docker {} answers", engine.version)),
        Err(why) if runs => Finding::problem("engine", why.clone())
            .because("without it netfwd does not hear what containers publish; what is mapped stays"),
        Err(why) => Finding::warning("engine", why.clone()).because("what follows was read from files alone"),
    }
}

/// What the file says counts when the engine has read it.
fn live_restore(facts: &Facts) -> Option<Finding> {
    let engine = facts.engine.as_ref()?.as_ref().ok()?;
    (facts.configuration.restores_live() && !engine.restores_live).then(|| {
        Finding::problem("live-restore", "live-restore is given, and the engine does not know it yet")
            .because("containers stop when the engine restarts, and their connections end")
            .todo("systemctl reload docker")
    })
}

fn proxies(facts: &Facts) -> Finding {
    let proxies = &facts.proxies;
    if proxies.is_empty() {
        return Finding::ok("proxies", "no docker-proxy runs");
    }
    let ports: Vec<_> = proxies.iter().map(|proxy| proxy.port.as_str()).collect();
    let what = format!("{} of docker-proxy: {}", processes(proxies.len()), list(&ports));
    if facts.configuration.has_proxies() {
        return Finding::warning("proxies", what)
            .because("netfwd serves these ports without them")
            .todo("turn userland-proxy off as above, then restart the containers: docker restart $(docker ps -q)");
    }
    let pids: Vec<_> = proxies.iter().map(|proxy| proxy.pid.to_string()).collect();
    Finding::problem("proxies", what)
        .because("they are left over: they keep ports, and hide clients' addresses from whom they carry")
        .todo(format!("kill {}", pids.join(" ")))
}

fn processes(number: usize) -> String {
    if number == 1 { "1 process".to_owned() } else { format!("{number} processes") }
}

fn published(facts: &Facts) -> Vec<Finding> {
    let published = &facts.published;
    if !matches!(facts.engine, Some(Ok(_))) {
        return Vec::new();
    }
    let Some(mapped) = &facts.mapped else {
        let what = format!("netfwd is not attached; containers publish {}", count(published.len(), "mapping"));
        return vec![
            Finding::warning("mappings", what)
                .because("nobody serves them without Docker's NAT")
                .todo("netfwd run --docker"),
        ];
    };
    let missing: Vec<_> = published.iter().filter(|(_, mapping)| !mapped.contains(mapping)).collect();
    if missing.is_empty() {
        return vec![Finding::ok("mappings", format!("{} of containers, and all are in force", published.len()))];
    }
    let finding = |(name, mapping): &&(String, Mapping)| {
        Finding::problem("mappings", format!("{name} publishes {mapping}, which is not mapped"))
            .because("nobody reaches it")
            .todo("netfwd run --docker; if that runs, its messages say why: journalctl -u netfwd")
    };
    missing.iter().map(finding).collect()
}

fn swarm(facts: &Facts) -> Option<Finding> {
    let engine = facts.engine.as_ref()?.as_ref().ok()?;
    engine.is_in_swarm.then(|| {
        Finding::warning("swarm", "the engine is a node of a swarm")
            .because(
                "netfwd does not publish ports of services (the ingress network); Docker's rules do, and they are off",
            )
            .todo("publish with `mode=host`, or leave Docker's NAT on here")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::Level, mapping::tests::mapping};

    fn well() -> Facts {
        let engine = Description { version: "28.0.1".to_owned(), restores_live: true, is_in_swarm: false };
        Facts {
            configuration: configuration::tests::off(),
            runs: true,
            engine: Some(Ok(engine)),
            published: vec![("web".to_owned(), mapping("8080:172.17.0.2:80"))],
            mapped: Some(vec![mapping("8080:172.17.0.2:80")]),
            ..Facts::default()
        }
    }

    fn complaints(facts: &Facts) -> Vec<(Level, &'static str, String)> {
        let bad = judge(facts).findings.into_iter().filter(|finding| finding.level != Level::Ok);
        bad.map(|finding| (finding.level, finding.subject, finding.todo.unwrap_or_default())).collect()
    }

    #[test]
    fn a_host_whose_docker_leaves_nat_to_netfwd_is_well() {
        assert!(complaints(&well()).is_empty(), "{:?}", judge(&well()));
    }

    #[test]
    fn an_engine_that_runs_should_answer() {
        let mut facts = well();
        facts.engine = Some(Err("may not ask".to_owned()));
        assert_eq!(complaints(&facts), [(Level::Problem, "engine", String::new())]);
        facts.runs = false;
        assert_eq!(complaints(&facts), [(Level::Warning, "engine", String::new())]);
    }

    #[test]
    fn what_the_file_says_is_to_be_in_force() {
        let mut facts = well();
        facts.engine = Some(Ok(Description::default()));
        assert_eq!(complaints(&facts), [(Level::Problem, "live-restore", "systemctl reload docker".to_owned())]);
        facts.configuration = Configuration::default();
        assert!(complaints(&facts).iter().all(|(_, subject, _)| *subject == "daemon.json"));
    }

    #[test]
    fn proxies_that_nobody_wants_are_to_be_killed() {
        let mut facts = well();
        facts.proxies = [7, 8].map(|pid| Proxy { pid, port: format!("808{pid}/tcp") }).to_vec();
        assert_eq!(complaints(&facts), [(Level::Problem, "proxies", "kill 7 8".to_owned())]);
        facts.configuration = Configuration::default();
        assert!(complaints(&facts).iter().any(|(level, subject, _)| (*level, *subject) == (Level::Warning, "proxies")));
    }

    #[test]
    fn what_is_published_should_be_mapped() {
        let mut facts = well();
        facts.mapped = Some(vec![mapping("8080:172.17.0.3:80")]);
        assert_eq!(complaints(&facts)[0].1, "mappings");
        facts.mapped = None;
        assert_eq!(complaints(&facts), [(Level::Warning, "mappings", "netfwd run --docker".to_owned())]);
    }

    #[test]
    fn a_swarm_is_told_of() {
        let mut facts = well();
        let swarm = Description { is_in_swarm: true, restores_live: true, ..Description::default() };
        facts.engine = Some(Ok(swarm));
        assert_eq!(complaints(&facts)[0].1, "swarm");
    }
}
