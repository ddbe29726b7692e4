//! One connection to an engine: from the first listing, event by event, until it breaks.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future, mem,
    pin::pin,
    time::Duration,
};

use anyhow::{Error, Result};
use futures_util::StreamExt as _;
use tokio::{
    select,
    sync::mpsc::Sender,
    task::{self, AbortHandle, JoinError, JoinSet},
    time::{Instant, sleep, sleep_until},
};

use super::{
    Id, Network, State, Update,
    engine::{Client, Engine},
    event::Event,
    explain::closed,
    networks,
    published::Inspected,
};

/// Events about one container come in bursts: the question waits for the last one.
const BURST: Duration = Duration::from_millis(2);
/// Answers about several containers are told together.
const GATHERING: Duration = Duration::from_millis(5);
/// The first look after the listing is soon: an event may have come between the listing and the first one heard.
const SOON: Duration = Duration::from_secs(1);
/// No event is missed. If one is, it matters no longer than this.
const REGULARLY: Duration = Duration::from_mins(1);

/// What may be asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Networks,
    Running,
    Container(Id),
}

enum Answer {
    Networks(BTreeMap<Id, Network>),
    Running(Vec<Id>),
    Container(Result<Option<Inspected>>),
}

type Told = (Subject, Result<Answer>);

/// What is known of an engine, and what it is being asked.
pub(super) struct Session<'a> {
    updates: &'a Sender<Update>,
    client: Client,
    networks: BTreeMap<Id, Network>,
    containers: BTreeMap<Id, Inspected>,
    /// What was known of containers before. Until all is told, it holds for those that run and cannot be asked about.
    before: BTreeMap<Id, Inspected>,
    /// The containers that cannot be asked about. Of each it is said once.
    silent: BTreeSet<Id>,
    /// The questions, each on a task of its own: an engine answers none about a container that is being started.
    questions: JoinSet<Told>,
    /// The latest question about each subject. Answers to earlier ones are out of date.
    open: BTreeMap<Subject, AbortHandle>,
    /// When to tell what has been learned.
    due: Option<Instant>,
    /// What is to be told as soon as there is room.
    untold: Option<State>,
    told: Option<State>,
}

/// Follows an engine until it is lost, and says why it is. Something has been told if the second is true. What is known
/// of its containers is kept for the next time.
pub(super) async fn follow(
    engine: &Engine,
    updates: &Sender<Update>,
    known: &mut BTreeMap<Id, Inspected>,
) -> (Error, bool) {
    let client = match engine.connect().await {
        Ok(client) => client,
        Err(error) => return (error, false),
    };
    let mut session = Session::new(client, updates, mem::take(known));
    let Err(error) = session.run().await;
    known.append(&mut session.before);
    known.append(&mut session.containers);
    (error, session.told.is_some())
}

impl<'a> Session<'a> {
    fn new(client: Client, updates: &'a Sender<Update>, before: BTreeMap<Id, Inspected>) -> Self {
        Self {
            updates,
            client,
            networks: BTreeMap::new(),
            containers: BTreeMap::new(),
            before,
            silent: BTreeSet::new(),
            questions: JoinSet::new(),
            open: BTreeMap::new(),
            due: None,
            untold: None,
            told: None,
        }
    }

    async fn run(&mut self) -> Result<Infallible> {
        let mut events = pin!(self.client.events());
        let mut next_look = Instant::now() + SOON;
        self.look();
        loop {
            let updates = self.updates;
            select! {
                event = events.next() => match event {
                    Some(event) => self.hear(Event::of(event?)),
                    None => return Err(closed(self.client.address())),
                },
                Some(answer) = self.questions.join_next_with_id() => self.learn(answer)?,
                () = at(self.due) => self.conclude(),
                Ok(room) = updates.reserve(), if self.untold.is_some() => {
                    if let Some(state) = self.untold.take() {
                        self.told = Some(state.clone());
                        room.send(Update::Changed(state));
                    }
                }
                () = sleep_until(next_look) => {
                    self.look();
                    next_look = Instant::now() + REGULARLY;
                }
            }
        }
    }

    fn look(&mut self) {
        self.ask(Subject::Networks);
        self.ask(Subject::Running);
    }

    fn hear(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Started(id)) => self.ask(Subject::Container(id)),
            Some(Event::Ended(id)) => {
                // An answer that is on its way may be from before.
                self.withdraw(&Subject::Container(id.clone()));
                self.forget(&id);
                self.tell_soon();
            }
            // One that has not started yet will tell so.
            Some(Event::Rewired(id)) if self.knows(&id) => self.ask(Subject::Container(id)),
            Some(Event::Networks) => self.ask(Subject::Networks),
            Some(Event::Rewired(_)) | None => (),
        }
    }

    fn knows(&self, id: &Id) -> bool {
        self.containers.contains_key(id) || self.open.contains_key(&Subject::Container(id.clone()))
    }

    fn ask(&mut self, subject: Subject) {
        self.withdraw(&subject);
        let question = question(self.client.clone(), subject.clone());
        let task = self.questions.spawn(question);
        self.open.insert(subject, task);
    }

    fn withdraw(&mut self, subject: &Subject) {
        if let Some(task) = self.open.remove(subject) {
            task.abort();
        }
    }

    fn learn(&mut self, answered: Result<(task::Id, Told), JoinError>) -> Result<()> {
        let (task, (subject, answer)) = match answered {
            Ok(answered) => answered,
            Err(error) if error.is_cancelled() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if self.open.get(&subject).map(AbortHandle::id) != Some(task) {
            return Ok(());
        }
        self.open.remove(&subject);
        match (subject, answer?) {
            (_, Answer::Networks(networks)) => self.networks = networks,
            (_, Answer::Running(running)) => self.ask_about(running),
            (Subject::Container(id), Answer::Container(inspected)) => self.learn_of(id, inspected),
            (Subject::Networks | Subject::Running, Answer::Container(_)) => (),
        }
        self.tell_soon();
        Ok(())
    }

    fn learn_of(&mut self, id: Id, inspected: Result<Option<Inspected>>) {
        match inspected {
            Ok(inspected) => {
                self.forget(&id);
                self.containers.extend(inspected.map(|inspected| (id, inspected)));
            }
            // It is asked about again at the next look.
            Err(error) => {
                if let Some(before) = self.before.remove(&id) {
                    self.containers.entry(id.clone()).or_insert(before);
                }
                if self.silent.insert(id) {
                    tracing::warn!("the ports of a container may be out of date: {error:#}");
                }
            }
        }
    }

    fn forget(&mut self, id: &Id) {
        self.containers.remove(id);
        self.before.remove(id);
        self.silent.remove(id);
    }

    /// Those that run, and those that did.
    fn ask_about(&mut self, running: Vec<Id>) {
        let known = self.containers.keys().cloned();
        let all: BTreeSet<_> = running.into_iter().chain(known).collect();
        for id in all {
            self.ask(Subject::Container(id));
        }
    }

    /// At first everything must be known: what were missing would be taken away from who has it.
    fn tell_soon(&mut self) {
        let is_complete = self.told.is_some() || self.untold.is_some() || self.open.is_empty();
        if is_complete {
            self.due.get_or_insert_with(|| Instant::now() + GATHERING);
        }
    }

    fn conclude(&mut self) {
        self.due = None;
        self.before.clear();
        let container = |(id, inspected): (&Id, &Inspected)| (id.clone(), inspected.container(&self.networks));
        let state =
            State { containers: self.containers.iter().map(container).collect(), networks: self.networks.clone() };
        self.untold = (self.told.as_ref() != Some(&state)).then_some(state);
    }
}

async fn question(client: Client, subject: Subject) -> Told {
    sleep(BURST).await;
    let answer = match &subject {
        Subject::Networks => client.networks().await.map(|all| Answer::Networks(networks::bridges(all))),
        Subject::Running => client.running().await.map(Answer::Running),
        Subject::Container(id) => client.container(id).await.map(Answer::Container),
    };
    (subject, answer)
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => future::pending().await,
    }
}
