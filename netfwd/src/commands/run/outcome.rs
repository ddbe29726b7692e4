//! What following the host came to, in sentences: what is new since the last time.

use std::{collections::BTreeSet, mem, net::IpAddr};

use anyhow::Error;
use ipnet::IpNet;

use super::line::Line;
use crate::{
    agent::Look,
    cli,
    commands::attach::outcome as attach,
    datapath::{
        addresses::Changed,
        mappings::{Brought, Refused, Wanted},
        uplinks::{Followed, Networks, Report, Request, Round},
    },
    family::Family,
    host::interfaces::Interfaces,
    mapping::Label,
    report::mappings::changed,
};

const WAITS: &str = "waits for `netfwd attach IFACE`";

/// What there is to say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// What changed.
    pub(super) lines: Vec<Line>,
    /// What suffers from it.
    pub(super) warnings: Vec<Line>,
    /// What could not be done.
    pub(super) failures: Vec<Line>,
}

/// Knows what was told last.
#[derive(Default)]
pub(super) struct Teller {
    /// The attached uplinks; `None` before the first look.
    uplinks: Option<Vec<u32>>,
    /// Where those that are gone still have their names.
    interfaces: Interfaces,
    conflicts: BTreeSet<IpNet>,
    failures: Lasting,
    wishes: Lasting,
    docker: Lasting,
}

/// Failures that last are told once.
#[derive(Default)]
struct Lasting(Vec<Line>);

impl Lasting {
    fn news(&mut self, failures: Vec<Line>) -> Vec<Line> {
        let new = failures.iter().filter(|failure| !self.0.contains(failure)).cloned().collect();
        self.0 = failures;
        new
    }
}

impl Teller {
    /// Tells of a look, or that nothing is attached.
    pub(super) fn round(&mut self, round: Option<&Round>) -> Told {
        let mut told = Told::default();
        let Some(round) = round else {
            told.lines.extend(self.following(Vec::new(), &Interfaces::default()).map(Line::from));
            self.failures.0.clear();
            return told;
        };
        told.lines.extend(self.forgotten(round).map(Line::from));
        told.lines.extend(gone_lines(&round.addresses).map(Line::from));
        let is_first = self.uplinks.is_none();
        let uplinks = round.uplinks.iter().map(|uplink| uplink.request.interface.index).collect();
        told.lines.extend(self.following(uplinks, &round.interfaces).map(Line::from));
        for uplink in &round.uplinks {
            if let Ok(Some(report)) = &uplink.done {
                told.attached(&uplink.request, report, &round.interfaces);
            }
            let lines = Masquerades::of(uplink).lines(&round.addresses, is_first, &round.interfaces);
            told.lines.extend(about(&uplink.request, lines));
        }
        told.warnings.extend(self.conflicts(&round.uplinks).into_iter().map(Line::from));
        let slow = round.slow.iter().map(cli::one_line).map(Line::from);
        let failures = round.uplinks.iter().filter_map(failure).chain(slow);
        told.failures = self.failures.news(failures.collect());
        self.interfaces.clone_from(&round.interfaces);
        told
    }

    /// Tells of a look.
    pub(super) fn look(&mut self, look: &Look) -> Told {
        let mut before = Told::default();
        let interfaces = look.round.as_ref().map_or(&self.interfaces, |round| &round.interfaces);
        for (_, outcome) in &look.attached {
            if let Ok((resolved, report)) = outcome {
                let request = &resolved.request;
                before.attached(request, report, interfaces);
                let name = &request.interface.name;
                let notes = resolved.notes.iter().map(|note| format!("{name} {note}"));
                before.lines.extend(about(request, notes.collect()));
            }
        }
        if let Some((names, Ok(()))) = &look.detached {
            before
                .lines
                .push(format!("detached from {}, which the configuration has no more", names.join(", ")).into());
        }
        before.lines.extend(look.set_timeouts.then(|| "set the timeouts as the configuration says".to_owned().into()));
        if let Some(brought) = look.brought() {
            before.lines.extend(mapping_lines(brought));
        }
        let mut told = self.round(look.round.as_ref());
        told.lines.splice(..0, before.lines);
        told.warnings.splice(..0, before.warnings);
        told.failures.extend(self.wishes.news(wishes(look)));
        told
    }

    /// Tells that Docker can be asked again.
    pub(super) fn docker(&mut self) -> Told {
        let was_lost = !mem::take(&mut self.docker).0.is_empty();
        let line = || Line::from("Docker answers again".to_owned());
        Told { lines: was_lost.then(line).into_iter().collect(), ..Told::default() }
    }

    /// Tells that Docker cannot be asked.
    pub(super) fn no_docker(&mut self, reason: String) -> Told {
        Told { failures: self.docker.news(vec![reason.into()]), ..Told::default() }
    }

    /// Tells of a look that failed.
    pub(super) fn failure(&mut self, failure: String) -> Told {
        Told { failures: self.failures.news(vec![failure.into()]), ..Told::default() }
    }

    fn following(&mut self, uplinks: Vec<u32>, interfaces: &Interfaces) -> Option<String> {
        let before = self.uplinks.replace(uplinks.clone());
        if before.as_ref() == Some(&uplinks) {
            return None;
        }
        let names: Vec<_> = uplinks.into_iter().map(|ifindex| interfaces.name_of(ifindex)).collect();
        Some(match (names.is_empty(), before) {
            (false, _) => format!("follows {}", names.join(", ")),
            (true, None) => format!("nothing is attached: {WAITS}"),
            (true, Some(_)) => format!("nothing is attached any more: {WAITS}"),
        })
    }

    fn forgotten<'a>(&'a self, round: &'a Round) -> impl Iterator<Item = String> {
        let name = |ifindex: &u32| self.interfaces.with_index(*ifindex).map(|interface| interface.name.clone());
        round.forgotten.iter().map(move |ifindex| {
            let name = name(ifindex).unwrap_or_else(|| round.interfaces.name_of(*ifindex));
            format!("forgot the uplink {name}, which is gone: attach it again when it is back")
        })
    }

    fn conflicts(&mut self, uplinks: &[Followed]) -> Vec<String> {
        let conflicts: BTreeSet<_> = uplinks.iter().flat_map(|uplink| uplink.conflicts.iter().copied()).collect();
        let new = &conflicts - &self.conflicts;
        self.conflicts = conflicts;
        let text = |network| format!("{network} contains the address to masquerade it with: it is left as it was");
        new.iter().map(text).collect()
    }
}

/// Tells that the configuration was read anew, or why it is not in force.
pub(super) fn config(failure: Option<&Error>) -> Told {
    let Some(error) = failure else {
        return Told { lines: vec!["took up the configuration".to_owned().into()], ..Told::default() };
    };
    let failure = format!("the configuration goes on as it was: {}", cli::one_line(error));
    Told { failures: vec![failure.into()], ..Told::default() }
}

impl Told {
    fn attached(&mut self, request: &Request, report: &Report, interfaces: &Interfaces) {
        self.lines.extend(about(request, attach::changes(request, report, interfaces)));
        self.warnings.extend(about(request, attach::warnings(report, interfaces)));
    }
}

fn about(request: &Request, texts: Vec<String>) -> impl Iterator<Item = Line> {
    texts.into_iter().map(|text| Line::of_uplink(&request.interface.name, text))
}

fn failure(uplink: &Followed) -> Option<Line> {
    let (error, name) = (uplink.done.as_ref().err()?, &uplink.request.interface.name);
    Some(Line::of_uplink(name, format!("cannot follow {name}: {}", cli::one_line(error))))
}

/// What became of mappings that others than the user want.
fn mapping_lines(brought: &Brought) -> impl Iterator<Item = Line> {
    let changed = brought.changes.iter().filter(|(change, _)| !change.is_nothing());
    let changed = changed.map(|(change, label)| {
        Line::of_mapping(change.mapping(), label, format!("{} ({label})", changed::sentence(change)))
    });
    let removed = brought.removed.iter().map(|mapping| {
        let text = format!("unmapped {} from {}", mapping.host, mapping.target());
        Line::of_mapping(mapping, &Label::default(), text)
    });
    changed.chain(removed)
}

/// What is wanted and cannot be.
fn wishes(look: &Look) -> Vec<Line> {
    let uplinks = look.attached.iter().filter_map(|(name, outcome)| Some((name, outcome.as_ref().err()?)));
    let uplinks = uplinks
        .map(|(name, error)| Line::of_uplink(name, format!("cannot attach to {name}: {}", cli::one_line(error))));
    let failed = look.mappings.iter().filter_map(|brought| brought.as_ref().err());
    let failed = failed.map(|error| format!("cannot map: {}", cli::one_line(error)).into());
    let mappings = look.brought().into_iter().flat_map(|brought| &brought.refused).map(refusal).chain(failed);
    let staying = look.detached.iter().filter_map(|(names, outcome)| Some((names, outcome.as_ref().err()?)));
    let staying = staying
        .map(|(names, error)| format!("cannot detach from {}: {}", names.join(", "), cli::one_line(error)).into());
    uplinks.chain(staying).chain(mappings).chain(look.waiting.iter().map(cli::one_line).map(Line::from)).collect()
}

fn refusal(refused: &Refused) -> Line {
    let Refused { wanted: Wanted { mapping, label }, why } = refused;
    Line::of_mapping(mapping, label, format!("cannot map {mapping} ({label}): {why}"))
}

fn gone_lines(addresses: &Changed) -> impl Iterator<Item = String> {
    let with_flows = addresses.gone.iter().filter(|(_, flows)| **flows > 0);
    with_flows.map(|(address, flows)| {
        let flows = if *flows == 1 { "1 flow".to_owned() } else { format!("{flows} flows") };
        format!("ended {flows} of {address}, which is no address of this host any more")
    })
}

/// The subnets of an uplink that go on being masqueraded as they were, as far as netfwd is concerned.
struct Masquerades<'a> {
    uplink: &'a Followed,
    kept: Vec<(IpNet, IpAddr)>,
}

impl<'a> Masquerades<'a> {
    fn of(uplink: &'a Followed) -> Self {
        let wanted = &uplink.request.wanted;
        let mut kept = [networks(&wanted.v4), networks(&wanted.v6)].concat();
        match &uplink.done {
            Ok(Some(report)) => kept.retain(|(network, _)| !report.concerns(*network)),
            Ok(None) => (),
            Err(_) => kept.clear(),
        }
        Self { uplink, kept }
    }

    /// A line for each whose address is gone, or back.
    fn lines(&self, addresses: &Changed, is_first: bool, interfaces: &Interfaces) -> Vec<String> {
        let is_gone = |address: &IpAddr| {
            addresses.gone.contains_key(address) || is_first && interfaces.with_address(*address).is_none()
        };
        let line = |(network, address): &(IpNet, IpAddr)| match () {
            () if is_gone(address) => Some(format!("drops new flows of {network} until {}", self.remedy(*address))),
            () if addresses.new.contains(address) => Some(format!("masquerades {network} as {address} again")),
            () => None,
        };
        self.kept.iter().filter_map(line).collect()
    }

    fn remedy(&self, address: IpAddr) -> String {
        let request = &self.uplink.request;
        if request.wanted.choices.addresses.contains(&address) {
            return format!("{address}, which was chosen with --address, is an address of this host again");
        }
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        format!("{} has an {family} address", request.interface.name)
    }
}

fn networks<A: Family>(networks: &Networks<A>) -> Vec<(IpNet, IpAddr)> {
    networks.subnets.iter().map(|(network, address)| ((*network).into(), address.ip())).collect()
}

#[cfg(test)]
mod tests;
