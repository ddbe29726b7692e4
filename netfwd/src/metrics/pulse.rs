//! How the agent is: what its looks have come to, and whether there are any.

use std::sync::{Mutex, PoisonError};

use super::{
    catalogue::{DOCKER_CONNECTED, DOCKER_CONTAINERS, HEALTHY, LAST_CHANGE, LAST_LOOK, LOOKS, REFUSED},
    page::{Page, Value},
};
use crate::{
    agent::{Look, News},
    cli,
    clock::Moment,
};

const SECOND: u64 = 1_000_000_000;
/// The agent looks every 5 seconds, and may have to wait for another process that changes something.
const PATIENCE: u64 = 30 * SECOND;

/// What the agent does, for those who watch it. It is written by the agent and read by others.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<State>);

/// Whether all is well, or what is not.
pub type Health = Result<(), String>;

#[derive(Clone, Debug, Default)]
struct State {
    good: u64,
    failed: u64,
    /// The last look, and what was wrong then.
    last: Option<(Moment, Option<String>)>,
    last_good: Option<Moment>,
    changed: Option<Moment>,
    is_attached: bool,
    refused: u64,
    docker: Option<Docker>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Docker {
    is_connected: bool,
    containers: u64,
}

impl Pulse {
    /// Of an agent that has done nothing yet, and is to follow Docker or not.
    #[must_use]
    pub fn new(docker: bool) -> Self {
        Self(Mutex::new(State { docker: docker.then(Docker::default), ..State::default() }))
    }

    /// Takes up what the agent tells.
    pub fn note(&self, news: &News, now: Moment) {
        self.change(|state| match news {
            News::Look(look) => state.look(look.as_ref().as_ref().map_err(cli::one_line), now),
            News::Docker { containers } => {
                state.docker = Some(Docker { is_connected: true, containers: *containers as u64 });
            }
            News::NoDocker(_) => state.docker.get_or_insert_default().is_connected = false,
            News::Config(Ok(false)) => state.docker = None,
            News::Config(_) => {}
        });
    }

    /// Takes up that there was something to tell.
    pub fn changed(&self, now: Moment) {
        self.change(|state| state.changed = Some(now));
    }

    /// Whether netfwd is attached, and the last look found everything in order not long ago.
    pub fn health(&self, now: Moment) -> Health {
        self.state().health(now)
    }

    pub(super) fn tell(&self, page: &mut Page, now: Moment) {
        let state = self.state();
        let time = |moment: Option<Moment>| Value::Time(moment.map_or(0.0, |moment| moment.wall));
        page.count(LOOKS, ["good"], state.good);
        page.count(LOOKS, ["failed"], state.failed);
        page.add(LAST_LOOK, [], time(state.last_good));
        page.add(LAST_CHANGE, [], time(state.changed));
        page.count(HEALTHY, [], state.health(now).is_ok().into());
        page.count(REFUSED, [], state.refused);
        if let Some(Docker { is_connected, containers }) = state.docker {
            page.count(DOCKER_CONNECTED, [], is_connected.into());
            page.count(DOCKER_CONTAINERS, [], containers);
        }
    }

    // A panic between two writes leaves nothing that would be worse than the values before it.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn state(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl State {
    fn look(&mut self, look: Result<&Look, String>, now: Moment) {
        let trouble = match look {
            Ok(look) => {
                self.is_attached = look.round.as_ref().is_some_and(|round| !round.uplinks.is_empty());
                self.refused = look.brought().map_or(0, |brought| brought.refused.len() as u64);
                trouble(look)
            }
            Err(error) => Some(error),
        };
        match trouble {
            None => (self.good, self.last_good) = (self.good.wrapping_add(1), Some(now)),
            Some(_) => self.failed = self.failed.wrapping_add(1),
        }
        self.last = Some((now, trouble));
    }

    fn health(&self, now: Moment) -> Health {
        let Some((last, trouble)) = &self.last else {
            return Err("netfwd run has not looked at the host yet".to_owned());
        };
        let silent = now.monotonic.saturating_sub(last.monotonic);
        match trouble {
            _ if silent > PATIENCE => Err(format!("netfwd run has not looked at the host for {} s", silent / SECOND)),
            Some(trouble) => Err(trouble.clone()),
            None if !self.is_attached => {
                Err("netfwd is not attached to any uplink: run `netfwd attach IFACE`".to_owned())
            }
            None => Ok(()),
        }
    }
}

/// What a look could not do, but for mappings that stand in each other's way: these are their owners' concern.
fn trouble(look: &Look) -> Option<String> {
    let attach = look.attached.iter().find_map(|(name, outcome)| {
        Some(format!("cannot attach to {name}: {}", cli::one_line(outcome.as_ref().err()?)))
    });
    let map = || Some(format!("cannot map: {}", cli::one_line(look.mappings.as_ref()?.as_ref().err()?)));
    let follow = || {
        look.round.iter().flat_map(|round| &round.uplinks).find_map(|uplink| {
            let error = uplink.done.as_ref().err()?;
            Some(format!("cannot follow {}: {}", uplink.request.interface.name, cli::one_line(error)))
        })
    };
    attach.or_else(map).or_else(follow)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn at(second: u64) -> Moment {
        Moment { monotonic: second * SECOND, wall: 0.0 }
    }

    fn look(pulse: &Pulse, look: anyhow::Result<Look>, second: u64) {
        pulse.note(&News::Look(Box::new(look)), at(second));
    }

    fn why(pulse: &Pulse, second: u64) -> String {
        pulse.health(at(second)).unwrap_err()
    }

    #[test]
    fn an_agent_that_does_not_look_or_cannot_is_not_healthy() {
        let pulse = Pulse::new(false);
        assert_eq!(why(&pulse, 1), "netfwd run has not looked at the host yet");
        look(&pulse, Ok(Look::default()), 1);
        assert_eq!(why(&pulse, 2), "netfwd is not attached to any uplink: run `netfwd attach IFACE`");
        look(&pulse, Err(anyhow!("no memory").context("cannot look")), 3);
        assert_eq!(why(&pulse, 4), "cannot look: no memory");
        pulse.change(|state| state.is_attached = true);
        let refused = Look { mappings: Some(Err(anyhow!("the map is full"))), ..Look::default() };
        look(&pulse, Ok(refused), 5);
        assert_eq!(why(&pulse, 6), "cannot map: the map is full");
    }

    #[test]
    fn an_agent_that_has_looked_not_long_ago_is_healthy() {
        let pulse = Pulse::new(false);
        pulse.change(|state| (state.is_attached, state.last) = (true, Some((at(10), None))));
        assert_eq!(pulse.health(at(40)), Ok(()));
        assert_eq!(why(&pulse, 41), "netfwd run has not looked at the host for 31 s");
    }

    #[test]
    fn docker_is_told_of_if_it_is_followed() {
        let connected = |pulse: &Pulse| {
            let mut page = Page::default();
            pulse.tell(&mut page, at(0));
            let text = page.text().unwrap();
            text.lines().find_map(|line| line.strip_prefix("netfwd_docker_connected ").map(str::to_owned))
        };
        assert_eq!(connected(&Pulse::new(false)), None);
        let pulse = Pulse::new(true);
        assert_eq!(connected(&pulse).unwrap(), "0");
        pulse.note(&News::Docker { containers: 3 }, at(1));
        assert_eq!(connected(&pulse).unwrap(), "1");
        pulse.note(&News::NoDocker("it is gone".to_owned()), at(2));
        assert_eq!(connected(&pulse).unwrap(), "0");
        pulse.note(&News::Config(Ok(true)), at(3));
        assert_eq!(connected(&pulse).unwrap(), "0");
        pulse.note(&News::Config(Ok(false)), at(4));
        assert_eq!(connected(&pulse), None, "it is not wanted any more");
    }
}
