//! `netfwd map`.

use anyhow::Result;

use crate::{
    context::Context,
    datapath::{
        mappings::{self, Change},
        maps::Maps,
    },
    mapping::Mapping,
};

/// Forward host ports to containers
///
/// What arrives at an uplink for the host port goes to the container, and its answers come back from the host's
/// address. Either all mappings are added or none. Adding a mapping again changes nothing.
///
/// Example: `netfwd map 8080:172.17.0.2:80 53:172.17.0.3:53/udp`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to forward: `[HOST_IP:]HOST_PORT:CONTAINER_IP:PORT[/tcp|udp]`
    ///
    /// The protocol is tcp unless given. Without `HOST_IP` the mapping is for every address of the host; a mapping for
    /// one address goes before it.
    #[arg(required = true, value_name = "MAPPING")]
    mappings: Vec<Mapping>,

    /// Take host ports over from other mappings, whose flows end at once
    #[arg(long)]
    replace: bool,
}

/// Adds the mappings.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    let _lock = context.pin_dir.lock()?;
    let mut maps = Maps::open(&context.pin_dir)?;
    let changes = mappings::add(&mut maps, &args.mappings, args.replace)?;
    for change in &changes {
        context.say(&outcome(change))?;
    }
    warn_of_strangers(&maps, &args.mappings, context)
}

fn outcome(change: &Change) -> String {
    let target = |mapping: &Mapping| format!("{}:{}", mapping.container, mapping.container_ports());
    let mapping = change.mapping();
    let (host, to) = (mapping.host, target(mapping));
    match change {
        Change::Add(_) => format!("mapped {host} to {to}"),
        Change::Nothing(_) => format!("{host} is mapped to {to} already, nothing changed"),
        Change::Replace(_, replaced) => {
            let others: Vec<_> = replaced.iter().map(|other| target(&other.mapping)).collect();
            format!("mapped {host} to {to} instead of {}, whose flows have ended", others.join(" and "))
        }
    }
}

/// A mapping to an address that is in no masqueraded subnet is likely to be a mistake.
fn warn_of_strangers(maps: &Maps, mappings: &[Mapping], context: &Context) -> Result<()> {
    let subnets = maps.subnets()?;
    for mapping in mappings {
        if !subnets.iter().any(|subnet| subnet.network.contains(&mapping.container)) {
            context.warn(&format!(
                "{} of {mapping} is in no masqueraded subnet: check the address, or add its subnet with \
                 `netfwd attach IFACE --subnet CIDR`",
                mapping.container
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_tells_what_became_of_a_mapping() {
        let mapping: Mapping = "8080:172.17.0.2:80".parse().unwrap();
        assert_eq!(outcome(&Change::Add(mapping)), "mapped 8080/tcp to 172.17.0.2:80");
        let again = "8080/tcp is mapped to 172.17.0.2:80 already, nothing changed";
        assert_eq!(outcome(&Change::Nothing(mapping)), again);
    }
}
