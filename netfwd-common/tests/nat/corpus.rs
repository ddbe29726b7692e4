//! Every input that the fuzzer starts from or has ever failed on, replayed without a fuzzer.

use std::{env, fs, panic, path::PathBuf};

use crate::{harness, seeds};

/// Set, it writes the seeds before it compares them.
pub(crate) const BLESS: &str = "NETFWD_BLESS";

#[test]
fn every_input_of_the_pipeline_keeps_the_laws() {
    replay("pipeline", harness::pipeline);
}

/// `NETFWD_BLESS=1` writes the seeds, after one was added or the input's format changed.
#[test]
fn the_corpus_holds_every_seed() {
    for (name, seed) in seeds::pipeline() {
        let path = corpus("pipeline").join(name);
        if env::var_os(BLESS).is_some() {
            fs::write(&path, &seed).unwrap();
        }
        let stored = fs::read(&path).unwrap_or_default();
        assert_eq!(stored, seed, "{} is not the seed; {BLESS}=1 writes it", path.display());
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
