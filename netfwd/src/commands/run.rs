//! `netfwd run`.

mod line;
mod outcome;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Result, bail};

use crate::{
    agent::{self, News, Options},
    cli, clock,
    commands::detach,
    config,
    context::Context,
    datapath::uplinks::Host,
    log,
    metrics::{self, Pulse, Server, Source},
};
use line::Line;
use outcome::Teller;

/// Bring about what is wanted, and follow the host, until it is told to end
///
/// Stays in the foreground. Attaches the uplinks that are asked for, and maps what the configuration says, what Docker
/// publishes, and what `netfwd map --persist` has kept. Does what an attach of each attached uplink would do, whenever an
/// address or a bridge of this host has changed: new flows get the uplink's new address, flows of an address that is gone
/// end, the subnets of new bridges are masqueraded too. An address that is still there is kept, also when the uplink gets a
/// better one. Prints a line for each change. Uplinks may be attached before and after it is started.
///
/// The translation does not depend on it: when it ends, the kernel goes on with what it knew last. SIGTERM and SIGINT
/// end it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Bring this configuration about, and follow it
    ///
    /// It is read anew when it has been written, and at SIGHUP. One that is wrong changes nothing then; at the start it is
    /// an error. Mappings by hand go before those of the file, and those before what Docker publishes.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Attach to this uplink, and again when it is back after it was removed
    #[arg(long = "uplink", value_name = "IFACE")]
    uplinks: Vec<String>,

    /// Forward the ports that Docker's containers publish, and masquerade Docker's networks
    ///
    /// Without `--uplink` the uplinks are the interfaces of the default routes. The engine is that of `DOCKER_HOST`, or at
    /// /var/run/docker.sock.
    #[arg(long)]
    docker: bool,

    /// At the end detach from everything, which ends all flows; unless given, the kernel goes on without the process
    #[arg(long)]
    detach_on_exit: bool,

    /// Serve metrics for Prometheus at /metrics and the health at /healthz; at 127.0.0.1:19753 unless given
    ///
    /// Whoever reaches the address can read the names of containers and how much they send.
    #[arg(long, value_name = "ADDR:PORT", num_args = 0..=1, default_missing_value = metrics::DEFAULT, value_parser = metrics::address)]
    metrics: Option<SocketAddr>,

    /// Mappings that have metrics of their own; all further ones are summed up as mapping="other"
    #[arg(long, value_name = "COUNT", default_value_t = metrics::MAX_MAPPINGS)]
    metrics_max_mappings: usize,

    #[command(flatten)]
    log: log::Options,
}

impl Args {
    /// Where to serve metrics: another address in the configuration takes effect at the next start.
    fn metrics(&self) -> Result<Option<metrics::Options>> {
        let configured = self.config.as_deref().map(config::read).transpose()?.and_then(|config| config.metrics.listen);
        let listen = self.metrics.or(configured.map(|listen| listen.0));
        Ok(listen.map(|listen| metrics::Options { listen, max_mappings: self.metrics_max_mappings }))
    }
}

/// Runs.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    if let Some(why) = context.pin_dir.why_hidden() {
        bail!(why);
    }
    let mut teller = Teller::default();
    log::start(&args.log)?;
    let options = Options { config: args.config.clone(), uplinks: args.uplinks.clone(), docker: args.docker };
    let pulse = Arc::new(Pulse::new(options.docker));
    let mut metrics = Metrics::start(args, context, &pulse)?;
    agent::run(&context.pin_dir, &context.store, &options, |news| {
        let now = clock::moment()?;
        pulse.note(&news, now);
        metrics.retry();
        let told = match news {
            News::Look(look) => match *look {
                Ok(look) => teller.look(&look),
                Err(error) => teller.failure(cli::one_line(&error)),
            },
            News::Docker { .. } => teller.docker(),
            News::NoDocker(reason) => teller.no_docker(reason),
            News::Config(read) => outcome::config(read.as_ref().err()),
        };
        if !told.lines.is_empty() {
            pulse.changed(now);
        }
        told.failures.iter().for_each(Line::complain);
        told.warnings.iter().for_each(Line::warn);
        told.lines.iter().for_each(Line::inform);
        Ok(())
    })?;
    if args.detach_on_exit { detach::detach_all(context, &Host::look()?) } else { Ok(()) }
}

/// The metrics' server, which the configuration's address and port may have to wait for.
enum Metrics {
    Unwanted,
    Waiting(SocketAddr, Source),
    /// Until this is dropped.
    Serving {
        _server: Server,
    },
}

impl Metrics {
    /// Serves what is asked for. On the command line an address that cannot be is an error, as somebody is there to see it.
    fn start(args: &Args, context: &Context, pulse: &Arc<Pulse>) -> Result<Self> {
        let Some(metrics::Options { listen, max_mappings }) = args.metrics()? else { return Ok(Self::Unwanted) };
        let source = Source { pin_dir: context.pin_dir.clone(), pulse: Arc::clone(pulse), max_mappings };
        match serve(listen, source.clone()) {
            Ok(server) => Ok(Self::Serving { _server: server }),
            Err(error) if args.metrics.is_some() => Err(error),
            Err(error) => {
                Line::from(cli::one_line(&error)).complain();
                Ok(Self::Waiting(listen, source))
            }
        }
    }

    /// Tries again.
    fn retry(&mut self) {
        let Self::Waiting(listen, source) = self else { return };
        if let Ok(server) = serve(*listen, source.clone()) {
            *self = Self::Serving { _server: server };
        }
    }
}

fn serve(listen: SocketAddr, source: Source) -> Result<Server> {
    let server = metrics::serve(metrics::listen(listen)?, source)?;
    Line::from(format!("serves metrics at http://{}/metrics", server.address())).inform();
    Ok(server)
}
