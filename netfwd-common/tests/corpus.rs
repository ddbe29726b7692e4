//! Every input that the fuzzer starts from or has ever failed on, replayed without a fuzzer.

#[cfg(test)]
#[path = "support/frame.rs"]
mod frame;
#[cfg(test)]
#[path = "support/harness.rs"]
mod harness;
#[cfg(test)]
#[path = "support/journal.rs"]
mod journal;
#[cfg(test)]
#[path = "support/laws.rs"]
mod laws;
#[cfg(test)]
#[path = "support/seeds.rs"]
mod seeds;
#[cfg(test)]
#[path = "support/world.rs"]
mod world;

use std::{env, fs, panic, path::PathBuf};

#[test]
fn every_input_of_the_parser_keeps_the_laws() {
    replay("parse", harness::parse);
}

#[test]
fn every_input_of_the_pipeline_keeps_the_laws() {
    replay("pipeline", harness::pipeline);
}

/// `BLESS=1` writes the seeds, after one was added or the input's format changed.
#[test]
fn the_corpus_holds_every_seed() {
    for (target, seeds) in [("parse", seeds::parse()), ("pipeline", seeds::pipeline())] {
        for (name, seed) in seeds {
            let path = corpus(target).join(name);
            if env::var_os("BLESS").is_some() {
                fs::write(&path, &seed).unwrap();
            }
            assert_eq!(
                fs::read(&path).unwrap_or_default(),
                seed,
                "{} is not the seed; BLESS=1 writes it",
                path.display()
            );
        }
    }
}

fn replay(target: &str, harness: fn(&[u8])) {
    for entry in fs::read_dir(corpus(target)).expect("the corpus is part of the repository") {
        let path = entry.expect("a readable corpus").path();
        let input = fs::read(&path).expect("a readable input");
        assert!(panic::catch_unwind(|| harness(&input)).is_ok(), "{} breaks a law", path.display());
    }
}

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}
