//! What is wanted, from all who want something: pure data, so that it can be compared with what is.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::Options;
use crate::{
    datapath::mappings::Wanted,
    docker,
    mapping::{Label, Origin},
};

/// What is wanted of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Desired {
    /// The uplinks.
    pub(super) uplinks: Vec<String>,
    /// Whether everybody has been asked: before, uplinks stay as they are.
    pub(super) is_known: bool,
    /// Whose mappings are known: others stay as they are.
    pub(super) origins: Vec<Origin>,
    /// Their mappings.
    pub(super) mappings: Vec<Wanted>,
    /// Docker's networks; `None` if they are not known.
    pub(super) networks: Option<Networks>,
}

/// Docker's networks, as uplinks need them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Networks {
    /// The subnets that are masqueraded.
    pub(super) masqueraded: BTreeSet<IpNet>,
    /// Subnets from which nothing is forwarded, nor to them.
    pub(super) internal: BTreeSet<IpNet>,
}

impl Desired {
    /// What the command line wants; of Docker nothing is known yet.
    pub(super) fn new(options: &Options) -> Self {
        Self { uplinks: options.uplinks.clone(), is_known: !options.docker, ..Self::default() }
    }

    /// Takes up what Docker's containers publish now, and its networks.
    pub(super) fn set_docker(&mut self, state: &docker::State) {
        self.is_known = true;
        self.origins = vec![Origin::Docker];
        self.mappings.clear();
        for container in state.containers.values() {
            let label = Label { origin: Origin::Docker, name: container.name.clone() };
            let wanted = |mapping: &_| Wanted { mapping: *mapping, label: label.clone() };
            self.mappings.extend(container.mappings.iter().map(wanted));
        }
        let internal = state.networks.values().filter(|network| network.is_internal);
        self.networks = Some(Networks {
            masqueraded: state.networks.values().flat_map(|network| network.masqueraded.iter().copied()).collect(),
            internal: internal.flat_map(|network| network.subnets.iter().copied()).collect(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        docker::{Container, Network, State},
        mapping::tests::mapping,
    };

    fn network(bridge: &str, subnet: &str, is_internal: bool, is_masqueraded: bool) -> (String, Network) {
        let subnets: Vec<_> = vec![subnet.parse().unwrap()];
        let masqueraded = if is_masqueraded { subnets.clone() } else { Vec::new() };
        let network = Network { name: bridge.to_owned(), bridge: bridge.to_owned(), subnets, masqueraded, is_internal };
        (bridge.to_owned(), network)
    }

    #[test]
    fn docker_says_what_is_mapped_masqueraded_and_kept_apart() {
        let web = Container { name: "web".to_owned(), mappings: vec![mapping("8080:172.17.0.2:80")] };
        let networks = [
            network("docker0", "172.17.0.0/16", false, true),
            network("br-inside", "172.18.0.0/16", true, false),
            network("br-routed", "172.19.0.0/16", false, false),
        ];
        let state = State { containers: [("1".to_owned(), web)].into(), networks: networks.into() };
        let mut desired = Desired::default();
        desired.set_docker(&State::default());
        desired.set_docker(&state);
        let label = Label { origin: Origin::Docker, name: "web".to_owned() };
        assert_eq!(desired.mappings, [Wanted { mapping: mapping("8080:172.17.0.2:80"), label }]);
        assert_eq!(desired.origins, [Origin::Docker]);
        let networks = desired.networks.unwrap();
        assert_eq!(networks.masqueraded, ["172.17.0.0/16".parse().unwrap()].into());
        assert_eq!(networks.internal, ["172.18.0.0/16".parse().unwrap()].into());
    }
}
