//! The fuzz targets' bodies. They are the ones that `netfwd-common/tests/corpus.rs` replays on stable Rust, so what
//! is found here becomes a test by adding its input to `corpus/`.

#[path = "../../netfwd-common/tests/support/harness.rs"]
mod harness;
#[path = "../../netfwd-common/tests/support/journal.rs"]
mod journal;
#[path = "../../netfwd-common/tests/support/laws.rs"]
mod laws;
#[path = "../../netfwd-common/tests/support/world.rs"]
mod world;

/// Whatever the parser says about the bytes is in the bytes.
pub fn parse(bytes: &[u8]) {
    harness::parse(bytes);
}

/// A world and what happens in it keep every law.
pub fn pipeline(input: &[u8]) {
    harness::pipeline(input);
}
