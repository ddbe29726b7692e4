//! What there is to do, given what the machine has.

use super::distro::{Distro, Family};
use super::programs::{self, Program};
use super::state::State;
use super::unpacked::Bundle;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Packages(Vec<&'static str>),
    CoreSources,
    BpfLinker,
    /// What is not installed.
    Unpack(Bundle),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// What is missing and cannot be brought by this process, and how to bring it.
    pub(super) obstacle: Option<String>,
}

impl Plan {
    pub(super) fn new(state: &State) -> Self {
        let mut plan = Self::default();
        if !state.missing.is_empty() {
            plan.add_packages(state);
        }
        if state.core_sources.is_none() {
            plan.steps.push(Step::CoreSources);
        }
        if !state.has_bpf_linker() {
            plan.steps.push(Step::BpfLinker);
        }
        // Elsewhere what needs them is left out.
        if state.distro.family == Family::Debian {
            plan.steps.extend(state.absent.iter().copied().map(Step::Unpack));
        }
        plan
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.obstacle.is_none()
    }

    fn add_packages(&mut self, state: &State) {
        if state.root && state.distro.family == Family::Debian {
            self.steps.push(Step::Packages(programs::packages(&state.missing, Family::Debian)));
        } else {
            self.obstacle = Some(obstacle(&state.distro, &state.missing));
        }
    }
}

fn obstacle(distro: &Distro, missing: &[&Program]) -> String {
    let (found, by_hand): (Vec<&Program>, Vec<&Program>) =
        missing.iter().copied().partition(|program| program.package(distro.family).is_some());
    let advice = [install(distro.family, &found), build(&by_hand)];
    let advice: Vec<_> = advice.into_iter().flatten().collect();
    format!("{} lacks {}; {}", distro.name, names(missing), advice.join("; "))
}

fn install(family: Family, found: &[&Program]) -> Option<String> {
    if found.is_empty() {
        return None;
    }
    let packages = programs::packages(found, family).join(" ");
    Some(match family {
        Family::Debian => format!("run as root: apt-get install --no-install-recommends {packages}"),
        Family::Fedora => format!("run as root: dnf install {packages}"),
        Family::Arch => format!("run as root: pacman -S {packages}"),
        Family::Suse => format!("run as root: zypper install {packages}"),
        Family::Alpine => format!("run as root: apk add {packages}"),
        Family::Other => format!("install what Debian calls {packages}"),
    })
}

/// What is to be done about programs of which no package is known: they must be found by their names.
fn build(by_hand: &[&Program]) -> Option<String> {
    if by_hand.is_empty() {
        return None;
    }
    let debian = programs::packages(by_hand, Family::Debian).join(" ");
    Some(format!("install {} by hand, as programs of these names: in Debian they are {debian}", names(by_hand)))
}

fn names(programs: &[&Program]) -> String {
    programs.iter().map(|program| program.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::super::state::BPF_LINKER;
    use super::*;

    const TCPDUMP: Program = Program::plain("tcpdump", "tcpdump");
    const NC: Program = Program::plain("nc", "netcat-openbsd");

    fn complete(family: Family, root: bool) -> State {
        State {
            distro: Distro { family, name: "This system".to_owned() },
            root,
            missing: Vec::new(),
            toolchain: "1.95.0".to_owned(),
            rustup: true,
            core_sources: Some("/sources".into()),
            bpf_linker: Some(BPF_LINKER),
            absent: Vec::new(),
        }
    }

    #[test]
    fn a_complete_machine_needs_nothing() {
        for family in [Family::Debian, Family::Other] {
            assert!(Plan::new(&complete(family, false)).is_empty());
        }
    }

    #[test]
    fn debians_root_installs_packages_before_the_rest() {
        let mut state = complete(Family::Debian, true);
        state.missing = vec![&TCPDUMP, &NC];
        state.core_sources = None;
        state.bpf_linker = None;
        let packages = Step::Packages(vec!["netcat-openbsd", "tcpdump"]);
        let steps = vec![packages, Step::CoreSources, Step::BpfLinker];
        assert_eq!(Plan::new(&state), Plan { steps, obstacle: None });
    }

    #[test]
    fn an_older_linker_is_replaced_and_a_newer_one_kept() {
        let mut state = complete(Family::Debian, false);
        state.bpf_linker = "0.9.15".parse().ok();
        assert_eq!(Plan::new(&state).steps, [Step::BpfLinker]);
        state.bpf_linker = "0.13.0".parse().ok();
        assert!(Plan::new(&state).is_empty());
    }

    #[test]
    fn an_engine_and_a_prometheus_are_brought_where_debian_s_packages_fit() {
        let mut state = complete(Family::Debian, false);
        state.absent = Bundle::of(Scope::Tests).to_vec();
        assert_eq!(Plan::new(&state).steps, [Step::Unpack(Bundle::Engine), Step::Unpack(Bundle::Prometheus)]);
        state.distro.family = Family::Arch;
        assert!(Plan::new(&state).is_empty());
    }

    #[test]
    fn another_distribution_is_told_what_is_missing_and_how_to_get_it() {
        let mut state = complete(Family::Arch, true);
        state.missing = vec![&TCPDUMP, &NC];
        let plan = Plan::new(&state);
        assert_eq!(plan.steps, []);
        let expected = "This system lacks tcpdump, nc; run as root: pacman -S netcat-openbsd tcpdump";
        assert_eq!(plan.obstacle.as_deref(), Some(expected));
    }

    #[test]
    fn what_a_distribution_does_not_have_is_to_be_installed_by_hand() {
        const STUN: Program = Program::of_debian("stun", "stun-client");
        let mut state = complete(Family::Fedora, true);
        state.missing = vec![&TCPDUMP, &STUN];
        let by_hand = "install stun by hand, as programs of these names: in Debian they are stun-client";
        let expected = format!("This system lacks tcpdump, stun; run as root: dnf install tcpdump; {by_hand}");
        assert_eq!(Plan::new(&state).obstacle, Some(expected));
        state.missing = vec![&STUN];
        assert_eq!(Plan::new(&state).obstacle, Some(format!("This system lacks stun; {by_hand}")));
    }

    #[test]
    fn without_root_the_toolchain_is_still_set_up() {
        let mut state = complete(Family::Debian, false);
        state.missing = vec![&TCPDUMP];
        state.bpf_linker = None;
        let plan = Plan::new(&state);
        assert_eq!(plan.steps, [Step::BpfLinker]);
        assert!(plan.obstacle.unwrap().ends_with("apt-get install --no-install-recommends tcpdump"));
    }
}
