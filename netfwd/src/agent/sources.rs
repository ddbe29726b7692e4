//! Who says what is wanted, besides the command line: the configuration file and Docker.

use std::future;

use anyhow::Result;
use sd_notify::NotifyState;
use tokio::select;

use super::{News, Options, desired::Desired, file::File, notify, signals::Hangup};
use crate::{
    config::Config,
    docker::{Engine, Update, Watch},
};

/// They, as they are followed.
pub(super) struct Sources {
    options: Options,
    file: Option<File>,
    hangup: Hangup,
    engine: Option<Engine>,
    docker: Option<Watch>,
}

impl Sources {
    /// Begins to follow them; a file that is wrong is an error. Returns what is wanted as far as it is known.
    pub(super) fn follow(options: &Options) -> Result<(Self, Desired)> {
        let hangup = Hangup::listen()?;
        let file = options.config.as_deref().map(File::watch).transpose()?;
        let config = file.as_ref().map(File::read).transpose()?;
        let engine = engine(options, config.as_ref())?;
        let docker = engine.clone().map(Watch::start);
        let desired = Desired::new(&options.uplinks, config, engine.is_some());
        Ok((Self { options: options.clone(), file, hangup, engine, docker }, desired))
    }

    /// Waits until one of them says something, and takes it up. Nothing is lost when the wait is given up.
    pub(super) async fn next(&mut self, desired: &mut Desired) -> Option<News> {
        select! {
            update = next(&mut self.docker) => Some(take_up(update, desired)),
            changed = changed(&mut self.file) => match changed {
                Ok(()) => self.reload(desired),
                Err(error) => Some(News::Config(Err(error))),
            },
            () = self.hangup.next() => self.reload(desired),
        }
    }

    /// Reads the file anew. One that is wrong changes nothing.
    fn reload(&mut self, desired: &mut Desired) -> Option<News> {
        // The next look ends it.
        let begun = NotifyState::monotonic_usec_now().map(|now| vec![NotifyState::Reloading, now]);
        notify(&begun.unwrap_or_default());
        let read = self.file.as_ref()?.read();
        Some(News::Config(read.and_then(|config| {
            let engine = engine(&self.options, Some(&config))?;
            if engine != self.engine {
                self.docker = engine.clone().map(Watch::start);
                desired.ask_docker(engine.is_some());
                self.engine = engine;
            }
            desired.set_config(config);
            Ok(self.engine.is_some())
        })))
    }
}

/// The engine to follow, if Docker is wanted.
fn engine(options: &Options, config: Option<&Config>) -> Result<Option<Engine>> {
    let docker = config.map(|config| config.docker.clone()).unwrap_or_default();
    match docker.socket {
        _ if !options.docker && !docker.enabled => Ok(None),
        Some(socket) => Engine::at(&socket.0).map(Some),
        None => Engine::of_environment().map(Some),
    }
}

fn take_up(update: Update, desired: &mut Desired) -> News {
    match update {
        Update::Changed(state) => {
            desired.set_docker(&state);
            let publishing = state.containers.values().filter(|container| !container.mappings.is_empty());
            News::Docker { containers: publishing.count() }
        }
        Update::Lost(reason) => {
            desired.lose_docker();
            News::NoDocker(reason)
        }
    }
}

async fn next(docker: &mut Option<Watch>) -> Update {
    match docker {
        Some(docker) => docker.next().await,
        None => future::pending().await,
    }
}

async fn changed(file: &mut Option<File>) -> Result<()> {
    match file {
        Some(file) => file.changed().await,
        None => future::pending().await,
    }
}
