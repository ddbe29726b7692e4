//! The terminal: takes keys, and shows the model.

use std::{
    env,
    io::{self, IsTerminal as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, TryRecvError},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use ratatui::{
    DefaultTerminal, Terminal,
    backend::TestBackend,
    buffer::Buffer,
    crossterm::{event, terminal},
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{
    draw::{Theme, draw},
    model::{Model, Request},
    sampler::Sampler,
    watcher::{self, News, Order},
};
use crate::datapath::pin::PinDir;

/// How long a sample, or a signal, waits for its turn at most.
const POLL: Duration = Duration::from_millis(100);
/// Columns and lines of a frame for nobody's terminal.
const SIZE: (u16, u16) = (140, 40);
/// The environment says that there are to be no colours: <https://no-color.org>.
const NO_COLOR: &str = "NO_COLOR";

/// Shows what goes on, until a key or a signal ends it.
pub fn run(pin_dir: &PinDir, interval: Duration) -> Result<()> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        bail!("this is no terminal: run it in one (`ssh -t HOST netfwd top`), or let it print one frame with --once");
    }
    let sampler = Sampler::open(pin_dir)?;
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&ended)).context("cannot wait for signals")?;
    }
    let theme = Theme { colours: env::var_os(NO_COLOR).is_none_or(|value| value.is_empty()) };
    // A panic restores the terminal too, before it is told.
    let mut terminal = ratatui::try_init().context("cannot set up the terminal")?;
    let shown = show(&mut terminal, sampler, interval, theme, &ended);
    let restored = ratatui::try_restore().context("cannot restore the terminal: `reset` does");
    shown.and(restored)
}

fn show(
    terminal: &mut DefaultTerminal,
    sampler: Sampler,
    interval: Duration,
    theme: Theme,
    ended: &AtomicBool,
) -> Result<()> {
    let (orders, news) = watcher::start(sampler, interval);
    let mut model = Model::new(interval);
    while !ended.load(Ordering::Relaxed) {
        take(&news, &mut model)?;
        terminal.draw(|frame| draw(frame, &mut model, theme)).context("cannot write to the terminal")?;
        let request = wait(&news, &mut model, ended)?;
        if obey(&mut model, &orders, request)? {
            break;
        }
    }
    Ok(())
}

/// Waits until there is something to be drawn: a key's request, if it has one.
fn wait(news: &Receiver<News>, model: &mut Model, ended: &AtomicBool) -> Result<Option<Request>> {
    let failed = "cannot read from the terminal";
    while !ended.load(Ordering::Relaxed) {
        match event::poll(POLL) {
            Ok(true) => {
                let event = event::read().context(failed)?;
                // What is no key is a new size, which the next frame has.
                return Ok(event.as_key_event().and_then(|key| model.press(key)));
            }
            Ok(false) if take(news, model)? => return Ok(None),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context(failed),
        }
    }
    Ok(None)
}

/// Takes what the thread has seen meanwhile; whether there was anything.
fn take(news: &Receiver<News>, model: &mut Model) -> Result<bool> {
    let mut is_any = false;
    loop {
        match news.try_recv() {
            Ok(News::Sample(sample)) => model.look(*sample),
            Ok(News::Ended(true)) => model.note = Some("ended 1 flow".to_owned()),
            Ok(News::Ended(false)) => model.note = Some("the flow had ended already".to_owned()),
            Ok(News::Failed(error)) => return Err(error),
            Err(TryRecvError::Empty) => return Ok(is_any),
            Err(TryRecvError::Disconnected) => return Err(anyhow!("the thread that reads the maps has ended")),
        }
        is_any = true;
    }
}

/// Does what the model asks for; whether that is to end.
fn obey(model: &mut Model, orders: &Sender<Order>, request: Option<Request>) -> Result<bool> {
    let order = match request {
        None => return Ok(false),
        Some(Request::Quit) => return Ok(true),
        Some(Request::End(id)) => Order::End(id),
        Some(Request::Interval(interval)) => {
            model.note = Some(format!("every {}s", interval.as_secs_f64()));
            Order::Interval(interval)
        }
    };
    orders.send(order).context("the thread that reads the maps has ended")?;
    Ok(false)
}

/// One frame as text, of what goes on in one interval.
pub fn once(pin_dir: &PinDir, interval: Duration) -> Result<String> {
    let mut sampler = Sampler::open(pin_dir)?;
    let mut model = Model::new(interval);
    model.look(sampler.sample()?);
    thread::sleep(interval);
    model.look(sampler.sample()?);
    let (columns, lines) = size();
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).context("cannot make a frame")?;
    terminal.draw(|frame| draw(frame, &mut model, Theme { colours: false })).context("cannot draw a frame")?;
    Ok(text(terminal.backend().buffer()))
}

/// The terminal's size, unless `COLUMNS` and `LINES` say otherwise.
fn size() -> (u16, u16) {
    let given = |name| env::var(name).ok()?.parse().ok().filter(|size| (20..=500).contains(size));
    let (columns, lines) = if io::stdout().is_terminal() { terminal::size().unwrap_or(SIZE) } else { SIZE };
    (given("COLUMNS").unwrap_or(columns), given("LINES").unwrap_or(lines))
}

/// What is in a buffer, without styles.
pub(super) fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let line = |cells: &[ratatui::buffer::Cell]| {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned()
    };
    buffer.content.chunks(width).map(line).collect::<Vec<_>>().join("\n")
}
