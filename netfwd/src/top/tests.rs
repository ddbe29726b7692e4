//! The model with samples and keys, and what is drawn of it.

use std::{
    env, fs,
    time::{Duration, Instant},
};

use netfwd_common::{abi::Protocol, conntrack::Phase};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};

use super::{
    draw::{Theme, draw},
    model::{Mode, Model, Request},
    sample::{Flow, Id, Sample},
    screen::text,
};
use crate::report::{Address, Traffic, mappings, stats};

/// `NETFWD_BLESS=1` writes it instead of comparing it.
const FRAME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/top/tests/frame.txt");
const SECOND: u64 = 1_000_000_000;

fn traffic(packets: u64) -> Traffic {
    Traffic { packets, bytes: packets * 100 }
}

fn flow(number: u32, packets: u64) -> Flow {
    let [.., a, b, c] = number.to_be_bytes();
    let address = |bytes: [u8; 4], port| Address { address: bytes.into(), port };
    let (client, host) = (address([10, a, b, c], 40000), address([192, 0, 2, 1], 8080));
    Flow {
        id: Id { family: 0, slot: number, incarnation: 1 },
        protocol: Protocol::TCP,
        phase: Phase::Established,
        original: [client, host],
        reply: [address([172, 17, 0, 2], 80), client],
        traffic: [traffic(packets), traffic(2 * packets)],
        age: 12 * SECOND,
    }
}

/// What is seen after some seconds when packets came at these rates through the mappings 8080 and 8081.
fn sample(seconds: u64, rates: [u64; 2], flows: &[Flow]) -> Sample {
    let [one, two] = rates.map(|rate| traffic(rate * seconds));
    let entries = [("8080:172.17.0.2:80", "web", one), ("8081:172.17.0.3:80", "api", two)];
    Sample {
        at: 7 * SECOND + seconds * SECOND,
        uplinks: vec!["eth0 fast".to_owned()],
        stats: stats::tests::example(traffic(3 * seconds), 10 * seconds),
        mappings: entries.map(|(mapping, name, traffic)| mappings::tests::used(mapping, name, traffic)).to_vec(),
        flows: flows.to_vec(),
    }
}

fn model(samples: impl IntoIterator<Item = Sample>) -> Model {
    let mut model = Model::new(Duration::from_secs(1));
    samples.into_iter().for_each(|sample| model.look(sample));
    model
}

fn press(model: &mut Model, keys: &str) -> Option<Request> {
    let code = |key| match key {
        '\t' => KeyCode::Tab,
        '\n' => KeyCode::Enter,
        '\x1b' => KeyCode::Esc,
        '\x08' => KeyCode::Backspace,
        key => KeyCode::Char(key),
    };
    keys.chars().map(|key| model.press(KeyEvent::new(code(key), KeyModifiers::NONE))).last().flatten()
}

fn drawn(model: &mut Model, columns: u16, lines: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
    terminal.draw(|frame| draw(frame, model, Theme { colours: true })).unwrap();
    text(terminal.backend().buffer())
}

fn first_name(model: &mut Model) -> String {
    model.mappings.selected().unwrap().entry.name.clone().unwrap()
}

#[test]
fn rates_are_what_counters_rise_by_in_a_second() {
    let flows = [flow(1, 0), flow(2, 0)];
    let later = [flow(1, 40), flow(3, 8)];
    let model = model([sample(0, [50, 9], &flows), sample(2, [50, 9], &later)]);
    let rates: Vec<_> = model.mappings.rows().iter().map(|row| (row.r#in, row.out)).collect();
    assert_eq!(rates, [(traffic(50), traffic(50)), (traffic(9), traffic(9))]);
    // The second flow ended, and the third began from nothing.
    let rates: Vec<_> = model.flows.rows().iter().map(|row| (row.flow.id.slot, row.rates)).collect();
    assert_eq!(rates, [(1, [traffic(20), traffic(40)]), (3, [traffic(4), traffic(8)])]);
    assert_eq!((model.totals.r#in, model.totals.new_flows), (traffic(3), 10));
    assert_eq!(model.bits, [2 * 300 * 8]);
}

#[test]
fn the_first_sample_has_no_rates_and_counters_that_begin_anew_have_none_either() {
    let mut model = model([sample(9, [50, 50], &[flow(1, 9)])]);
    let rates = |model: &Model| (model.mappings.rows()[0].r#in, model.flows.rows()[0].rates, model.totals.r#in);
    let none = (Traffic::default(), [Traffic::default(); 2], Traffic::default());
    assert_eq!(rates(&model), none);
    let again = Sample { at: 99 * SECOND, ..sample(1, [1, 1], &[flow(1, 2)]) };
    model.look(again);
    assert_eq!(rates(&model), none);
}

#[test]
fn the_busiest_mapping_is_first_unless_it_is_asked_otherwise() {
    let mut model = model([sample(0, [5, 90], &[]), sample(1, [5, 90], &[])]);
    assert_eq!(first_name(&mut model), "api");
    press(&mut model, "r");
    assert_eq!(first_name(&mut model), "web");
    press(&mut model, "rssss");
    assert_eq!((first_name(&mut model), model.mappings.order().0), ("api".to_owned(), "name"));
}

#[test]
fn a_filter_is_written_and_kept_or_cleared() {
    let mut model = model([sample(0, [5, 90], &[flow(1, 0), flow(2, 0)])]);
    press(&mut model, "/web\n");
    assert_eq!((model.mappings.count(), model.flows.count(), model.mode.clone()), (1, 0, Mode::Browse));
    press(&mut model, "/\x08\x08\x0810.0.0.2");
    assert_eq!((model.mappings.count(), model.flows.count()), (0, 1));
    // Within the filter a letter is no command.
    assert_eq!(press(&mut model, "q"), None);
    press(&mut model, "\x1b");
    assert_eq!((model.mappings.count(), model.flows.count(), model.filter.as_str()), (2, 2, ""));
}

#[test]
fn ending_a_flow_takes_a_yes_and_means_the_flow_that_was_asked_about() {
    let mut model = model([sample(0, [1, 1], &[flow(1, 0), flow(2, 0)]), sample(1, [1, 1], &[flow(1, 9), flow(2, 3)])]);
    assert_eq!((press(&mut model, "x"), model.note.is_some()), (None, true));
    press(&mut model, "\tx");
    let Mode::Confirm(id, shown) = model.mode.clone() else { panic!("{:?}", model.mode) };
    assert_eq!((id.slot, shown.as_str()), (1, "tcp 10.0.0.1:40000 -> 192.0.2.1:8080"));
    // Meanwhile the other flow becomes the first.
    model.look(sample(2, [1, 1], &[flow(1, 9), flow(2, 300)]));
    assert_eq!(press(&mut model, "y"), Some(Request::End(id)));
    assert_eq!(press(&mut model, "xn"), None);
    assert_eq!((press(&mut model, "x\n"), model.mode), (None, Mode::Browse));
}

#[test]
fn a_pause_keeps_what_is_seen_and_what_follows_is_an_average() {
    let mut model = model([sample(0, [5, 5], &[]), sample(1, [5, 5], &[])]);
    press(&mut model, "p");
    model.look(sample(2, [500, 500], &[]));
    assert_eq!(model.mappings.rows()[0].r#in, traffic(5));
    press(&mut model, "p");
    model.look(sample(5, [8, 8], &[]));
    assert_eq!(model.mappings.rows()[0].r#in.packets, (40 - 5) / 4);
}

#[test]
fn the_interval_has_ends() {
    let mut model = model([]);
    assert_eq!(press(&mut model, "+"), Some(Request::Interval(Duration::from_secs(2))));
    assert_eq!(press(&mut model, "----"), Some(Request::Interval(Duration::from_millis(250))));
    assert_eq!(press(&mut model, "++++++++++"), Some(Request::Interval(Duration::from_secs(30))));
}

#[test]
fn q_and_control_c_quit() {
    let mut model = model([]);
    assert_eq!(press(&mut model, "q"), Some(Request::Quit));
    press(&mut model, "/");
    let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(model.press(key), Some(Request::Quit));
    model.mode = Mode::Help;
    assert_eq!((press(&mut model, "q"), model.mode), (None, Mode::Browse));
}

#[test]
fn a_frame_is_as_it_was() {
    let samples = [sample(0, [50, 900], &[flow(1, 0)]), sample(1, [50, 900], &[flow(1, 1500)])];
    let mut model = model(samples);
    let shown = drawn(&mut model, 120, 30) + "\n";
    if env::var_os("NETFWD_BLESS").is_some() {
        fs::write(FRAME, &shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(FRAME).unwrap());
}

#[test]
fn a_small_terminal_shows_the_chosen_pane() {
    let mut model = model([sample(0, [1, 1], &[flow(1, 0)])]);
    let shown = drawn(&mut model, 80, 20);
    assert!(shown.contains("mappings 2") && !shown.contains("STATE"), "{shown}");
    press(&mut model, "\t");
    let shown = drawn(&mut model, 80, 20);
    assert!(shown.contains("flows 1") && !shown.contains("CONTAINER"), "{shown}");
}

#[test]
fn endpoints_of_ipv4_flows_are_whole_from_eighty_columns_on() {
    let address = |bytes: [u8; 4], port| Address { address: bytes.into(), port };
    let (client, host) = (address([192, 168, 137, 101], 40000), address([192, 168, 137, 104], 50000));
    let long = |packets| Flow {
        original: [client, host],
        reply: [address([172, 17, 100, 200], 50000), client],
        ..flow(1, packets)
    };
    let mut model = model([sample(0, [1, 1], &[long(0)]), sample(1, [1, 1], &[long(1500)])]);
    let always = ["172.17.0.2:80", "192.168.137.101:40000", "192.168.137.104:50000", "150k", "drops 0/s", "q quit"];
    for (columns, more) in [(80, ""), (99, ""), (100, "12s"), (119, "12s"), (120, ">172.17.100.200:50000")] {
        let shown = drawn(&mut model, columns, 24);
        for part in always.into_iter().chain([more]) {
            assert!(shown.contains(part), "{part} in {columns} columns: {shown}");
        }
    }
}

#[test]
fn no_size_is_too_small_or_too_large() {
    let mut model = model([sample(0, [1, 1], &[flow(1, 0)]), sample(1, [1, 1], &[flow(1, 0)])]);
    for mode in [Mode::Browse, Mode::Filter, Mode::Help, Mode::Confirm(flow(1, 0).id, "flow".to_owned())] {
        model.mode = mode;
        for (columns, lines) in [(1, 1), (10, 3), (40, 9), (80, 24), (500, 200)] {
            drawn(&mut model, columns, lines);
        }
    }
}

#[test]
fn the_help_is_over_the_panes() {
    let mut model = model([sample(0, [1, 1], &[])]);
    press(&mut model, "?");
    assert!(drawn(&mut model, 100, 30).contains("end the selected flow"));
    press(&mut model, "z");
    assert!(!drawn(&mut model, 100, 30).contains("end the selected flow"));
}

/// Times are printed, not judged: `cargo test --release -p netfwd --lib top -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "it is what the test is for")]
fn a_hundred_thousand_flows_are_taken_and_drawn() {
    let flows = |packets: u64| -> Vec<_> {
        (0..100_000).map(|number| flow(number, packets * u64::from(number % 97))).collect()
    };
    let mut model = model([sample(0, [1, 1], &flows(1))]);
    let timed = |what: &str, work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        println!("{what}: {:?}", start.elapsed());
    };
    let next = sample(1, [2, 2], &flows(3));
    let mut next = Some(next);
    timed("take", &mut || model.look(next.take().unwrap()));
    timed("draw", &mut || drop(drawn(&mut model, 140, 50)));
    timed("draw again", &mut || drop(drawn(&mut model, 140, 50)));
    timed("sort by reply", &mut || assert_eq!(press(&mut model, "\tssssss"), None));
    timed("filter by one letter", &mut || assert_eq!(press(&mut model, "/9"), None));
    timed("the second letter", &mut || assert_eq!(press(&mut model, "9"), None));
    assert_eq!(model.flows.rows().len(), 100_000);
}
