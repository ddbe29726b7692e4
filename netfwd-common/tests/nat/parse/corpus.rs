//! Damaged and arbitrary packets, and those that the fuzzer starts from or has ever failed on.

use std::{env, fs, panic, path::PathBuf};

use netfwd_common::abi::{V4, V6};
use proptest::{collection::vec, prelude::*};

use super::{changed, extension_headers::extended, fragment, frame, frame_of, frame_with};
use crate::{
    corpus::BLESS,
    packets::{Content, Ip, LINK, framed},
};

/// Every input that the fuzzer starts from or has ever failed on, replayed without a fuzzer.
#[test]
fn every_input_of_the_corpus_keeps_the_laws() {
    for entry in fs::read_dir(corpus()).expect("the corpus is part of the repository") {
        let path = entry.expect("a readable corpus").path();
        let input = fs::read(&path).expect("a readable input");
        assert!(panic::catch_unwind(|| crate::parser::check(&input)).is_ok(), "{} breaks a law", path.display());
    }
}

/// `NETFWD_BLESS=1` writes the seeds, after one was added.
#[test]
fn the_corpus_holds_every_seed() {
    for (name, seed) in seeds() {
        let path = corpus().join(name);
        if env::var_os(BLESS).is_some() {
            fs::write(&path, &seed).unwrap();
        }
        let stored = fs::read(&path).unwrap_or_default();
        assert_eq!(stored, seed, "{} is not the seed; {BLESS}=1 writes it", path.display());
    }
}

proptest! {
    #![proptest_config(crate::packets::config())]

    #[test]
    fn damaged_packets_keep_the_laws(
        seed: prop::sample::Index,
        wrong in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let seeds = seeds();
        let mut bytes = seeds[seed.index(seeds.len())].1.clone();
        for (at, byte) in wrong {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        crate::parser::check(&bytes);
    }

    #[test]
    fn arbitrary_bytes_keep_the_laws(version in prop::sample::select(&[0x45_u8, 0x46, 0x4f, 0x60]), mut bytes in vec(any::<u8>(), 1..120)) {
        bytes[0] = version;
        crate::parser::check(&bytes);
        crate::parser::check(&framed::<V4>(&bytes));
        crate::parser::check(&framed::<V6>(&bytes));
    }
}

/// One input for each thing that the parser knows, by name.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = [seeds_of::<V4>("v4"), seeds_of::<V6>("v6")].concat();
    let mut add = |name: &str, bytes| seeds.push((name.to_owned(), bytes));
    add("v4-no-link-header", frame::<V4>(Content::Udp)[LINK..].to_vec());
    add("v4-short-header", changed(&frame::<V4>(Content::Udp), 14, [0x44]));
    add("v4-long-total-length", changed(&frame::<V4>(Content::Udp), 16, [0xff]));
    add("v6-extensions", extended(&[0, 60, 43, 60], Content::Udp));
    add("v6-too-many-extensions", extended(&[60; 9], Content::Udp));
    add("v6-long-extension", changed(&extended(&[60], Content::Udp), LINK + 41, [0xff]));
    add("vlan", changed(&frame::<V4>(Content::Udp), 12, [0x81]));
    seeds
}

fn seeds_of<A: Ip>(family: &str) -> Vec<(String, Vec<u8>)> {
    let quote = |content| {
        let ip = crate::packets::ip::<A>(content, [A::ENDS[1], A::ENDS[0]], 0, b"netfwd!");
        framed::<A>(&crate::packets::ip(Content::TimeExceeded, [A::ENDS[2], A::ENDS[1]], 0, &ip))
    };
    let syn = || {
        let mut segment = Content::Tcp(2, 1).bytes(A::ENDS[0], A::ENDS[1], &[]);
        segment[20..24].copy_from_slice(&[2, 4, 5, 0xb4]);
        frame_of::<A>(6, &segment)
    };
    [
        ("tcp", frame_with::<A>(Content::Tcp(0x10, 10), 10)),
        ("syn", syn()),
        ("udp", frame::<A>(Content::Udp)),
        ("udp-without-checksum", frame::<A>(Content::BareUdp)),
        ("sctp", frame::<A>(Content::Sctp(1))),
        ("gre", frame::<A>(Content::Gre)),
        ("ah", frame_of::<A>(51, &[0; 24])),
        ("echo-request", frame::<A>(Content::EchoRequest)),
        ("echo-reply", frame::<A>(Content::EchoReply)),
        ("first-fragment", fragment::<A>(Content::Udp, 0, true)),
        ("later-fragment", fragment::<A>(Content::Udp, 1, false)),
        ("long-fragment", fragment::<A>(Content::Udp, 8191, false)),
        ("quoted-udp", quote(Content::Udp)),
        ("quoted-tcp", quote(Content::Tcp(0x10, 0))),
        ("quoted-sctp", quote(Content::Sctp(0))),
        ("quoted-echo", quote(Content::EchoRequest)),
        ("quoted-error", quote(Content::TimeExceeded)),
        ("truncated", frame_of::<A>(6, &[0; 19])),
    ]
    .map(|(name, bytes)| (format!("{family}-{name}"), bytes))
    .to_vec()
}

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/parse")
}
