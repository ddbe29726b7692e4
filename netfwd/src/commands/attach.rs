//! `netfwd attach`.

pub(super) mod outcome;

use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;

use crate::{
    context::Context,
    datapath::{
        host_access::Outcome,
        ports::Range,
        uplinks::{self, Host, InUse},
    },
    mapping::Origin,
    uplink::{self, FilteringChoice, Found, HookChoice, Options, XdpChoice, parse},
};

const NO_HIERARCHY: &str = "no cgroup2 file system is mounted here, so this host's own processes do not reach mapped \
                            ports: mount one (`mount -t cgroup2 none /sys/fs/cgroup`) and attach again, or use \
                            `--no-host-access`";

/// Attach to an uplink and masquerade the bridges' subnets
///
/// What leaves the host through IFACE from a masqueraded subnet gets the host's address, and answers find their way
/// back. Mapped ports (`netfwd map`) are served on IFACE and, for containers that use the host's address, on the
/// bridges. The command ends; the translation goes on in the kernel.
///
/// Attaching again with the same arguments changes nothing; with other arguments it applies the difference, and only
/// flows of subnets that are removed or get another address end. For several uplinks, attach each.
///
/// Example: `netfwd attach eth0 --bridge docker0`
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Args {
    /// The interface to the outside, the uplink
    #[arg(value_name = "IFACE")]
    pub(super) interface: String,

    /// Masquerade the subnets of this bridge [default: those of all bridges]
    #[arg(long = "bridge", value_name = "NAME")]
    bridges: Vec<String>,

    /// Masquerade this subnet
    #[arg(long = "subnet", value_name = "CIDR", value_parser = parse::subnet)]
    subnets: Vec<IpNet>,

    /// Masquerade with this address of the host, one a family [default: the uplink's primary address]
    #[arg(long = "address", value_name = "IP", value_parser = parse::address)]
    addresses: Vec<IpAddr>,

    /// Do not masquerade what goes to these destinations
    #[arg(long, value_name = "CIDR", value_parser = parse::destinations)]
    no_masquerade: Vec<IpNet>,

    /// Keep the masqueraded subnets apart: from each other, and from who knows their addresses outside
    ///
    /// What arrives for a container's own address is dropped, at attached uplinks and bridges. Mapped ports, answers, and
    /// what comes from a `--no-masquerade` network go on.
    #[arg(long)]
    isolate: bool,

    /// Keep this network apart, too, and forward nothing from the bridge that has it; it is not masqueraded
    #[arg(long, value_name = "CIDR", value_parser = parse::subnet)]
    internal: Vec<IpNet>,

    /// Choose from these ports only, up to four ranges [default: 1024-65535, or below for what comes from below]
    #[arg(long, value_name = "LOW-HIGH[,..]", value_parser = parse::ports)]
    ports: Option<Ranges>,

    /// Give an even source port an even port, and an odd one an odd one
    #[arg(long)]
    parity: bool,

    /// Who may send to an outside port that a container has by its own doing
    #[arg(long, value_enum, default_value_t = FilteringChoice::AddressAndPort)]
    filtering: FilteringChoice,

    /// Outside ports that one container address may have at once [default: any number]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    max_ports_per_source: Option<u32>,

    #[arg(
        long,
        value_name = "mtu|BYTES",
        value_parser = parse::clamp,
        help = "Announce no larger TCP segments over IPv4 than the uplink's MTU allows, or than BYTES; over IPv6 20 less"
    )]
    clamp_mss: Option<parse::Clamp>,

    /// Let a TCP segment in the middle of an unknown connection open it, as after a restart
    #[arg(long)]
    pick_up: bool,

    /// Send what belongs to known flows past this host's stack, and so past its FORWARD rules
    #[arg(long, value_enum, value_name = "on|off", default_value_t = FastPath::On)]
    #[arg(env = "NETFWD_FAST_PATH", hide_env_values = true)]
    fast_path: FastPath,

    /// Send UDP of known flows on before this host's stack sees it
    ///
    /// It takes the fast path, and GRO on the containers' ends of their veth pairs, which attach turns on. TCP goes on
    /// as without.
    #[arg(long, value_enum, default_value_t = XdpChoice::Off)]
    xdp: XdpChoice,

    /// Do not serve mapped ports to this host's own processes
    ///
    /// They reach mapped ports at 127.0.0.1, `::1` and the host's addresses, by programs on the root of the cgroup2
    /// hierarchy. Attaching again without this option adds them; the last attach decides for all uplinks.
    #[arg(long)]
    no_host_access: bool,

    /// How to attach
    #[arg(long, value_enum, default_value_t = HookChoice::Auto)]
    hook: HookChoice,

    /// IPv4 records at most (connections and bindings), when the first uplink is attached [default: 262144]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=i64::from(parse::MAX_FLOWS)))]
    max_flows: Option<u32>,

    /// IPv6 records at most, when the first uplink is attached [default: a quarter of the IPv4 ones]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=i64::from(parse::MAX_FLOWS)))]
    max_flows6: Option<u32>,
}

/// Whether packets go past the host's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FastPath {
    On,
    Off,
}

// A name of its own: clap would take a `Vec` for an option that is given several times.
type Ranges = Vec<Range>;

impl From<&Args> for Options {
    fn from(args: &Args) -> Self {
        Self {
            interface: args.interface.clone(),
            bridges: args.bridges.clone(),
            subnets: args.subnets.clone(),
            addresses: args.addresses.clone(),
            no_masquerade: args.no_masquerade.clone(),
            isolate: args.isolate,
            internal: args.internal.clone(),
            found: Found::default(),
            ports: args.ports.clone().unwrap_or_default(),
            parity: args.parity,
            filtering: args.filtering.into(),
            max_ports_per_source: args.max_ports_per_source,
            clamp_mss: args.clamp_mss,
            pick_up: args.pick_up,
            fast_path: args.fast_path == FastPath::On,
            xdp: args.xdp.into(),
            hook: args.hook.into(),
            host_access: !args.no_host_access,
            max_flows: [args.max_flows, args.max_flows6],
            origin: Origin::Hand,
        }
    }
}

/// Attaches.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    let (host, options) = (Host::look()?, Options::from(args));
    let in_use = InUse::of(&context.pin_dir, &host.interfaces, &options.interface)?;
    let resolved = uplink::resolve(&options, &host.interfaces, in_use)?;
    let report = uplinks::attach(&context.pin_dir, &host, &resolved.request)?;
    for line in outcome::lines(&resolved.request, &report, &host.interfaces) {
        context.say(&line)?;
    }
    for warning in outcome::warnings(&report, &host.interfaces) {
        context.warn(&warning);
    }
    if let Some(warning) = outcome::unfinished_checksums(&resolved.request.interface.name, &report.xdp) {
        context.warn(&warning);
    }
    if report.host_access == Outcome::NoHierarchy {
        context.warn(NO_HIERARCHY);
    }
    context.say_more(&format!("maps and programs are pinned in {}", context.pin_dir.path().display()))?;
    for line in outcome::kept(&resolved.request.wanted, &report).into_iter().chain(resolved.notes) {
        context.say_more(&line)?;
    }
    Ok(())
}
