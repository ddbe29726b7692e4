//! The fuzz targets' bodies. They are the ones that `corpus.rs` and `parse/corpus.rs` in `netfwd-common/tests/nat`
//! replay on stable Rust, so what is found here becomes a test by adding its input to `corpus/`.

#[path = "../../netfwd-common/tests/support/harness.rs"]
mod harness;
#[path = "../../netfwd-common/tests/support/journal.rs"]
mod journal;
#[path = "../../netfwd-common/tests/support/laws.rs"]
mod laws;
#[path = "../../netfwd-common/tests/support/parser.rs"]
mod parser;
#[expect(dead_code, reason = "the NAT's own tests use the rest")]
#[path = "../../netfwd-common/tests/support/world.rs"]
mod world;

/// Whatever the parser says about the bytes is in the bytes, and what is rewritten keeps its sum.
pub fn parse(bytes: &[u8]) {
    parser::check(bytes);
}

/// A world and what happens in it keep every law.
pub fn pipeline(input: &[u8]) {
    harness::pipeline(input);
}
