//! What needs no tables: checksums, parsing and rewriting.

use std::hint::black_box;

use criterion::Criterion;
use netfwd_common::{
    abi::{Endpoint, Protocol, Side, Tuple},
    checksum, crc32c,
    parse::Headers,
};

use crate::{
    frame::{ACK, Content, Frame, LINK, UDP, error_about},
    stage::{Cast, headers_of},
};

/// Checksums, computed and corrected.
pub(crate) fn checksums(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum");
    for length in [20, 576] {
        let data = vec![0xa5; length];
        group.bench_function(format!("full, {length} bytes"), |it| it.iter(|| checksum::full(black_box(&data))));
    }
    let corrected = |old: &[u8], new: &[u8]| checksum::update(black_box([0xdd, 0x2f]), black_box(old), black_box(new));
    group.bench_function("corrected, 4 bytes", |it| it.iter(|| corrected(&[10, 0, 0, 2], &[192, 0, 2, 1])));
    group.bench_function("corrected, 16 bytes", |it| it.iter(|| corrected(&[0xfd; 16], &[0x20; 16])));
    let ports = [0xc3, 0x50, 0, 80];
    group.bench_function("CRC32c corrected, 1440 bytes before its end", |it| {
        it.iter(|| crc32c::updated(black_box([1, 2, 3, 4]), black_box(ports), black_box([0xee, 0x49, 0, 80]), 1440));
    });
    group.finish();
}

/// Parsing and rewriting.
pub(crate) fn headers<A: Cast>(criterion: &mut Criterion) {
    let [source, destination, new_source, new_destination] = A::ENDS;
    let frame = |content| Frame::new(content, source, destination).bytes();
    let error = error_about(&frame(UDP), A::PEERS[0], A::HOSTS[0]);
    let mut group = criterion.benchmark_group(format!("parse/{}", A::NAME));
    for (name, frame) in [("TCP", frame(ACK)), ("UDP", frame(UDP)), ("ICMP error", error)] {
        let (at, mut headers) = (u32::try_from(LINK).expect("small"), Headers::<A>::EMPTY);
        group.bench_function(name, |it| {
            it.iter(|| A::parse(black_box(&frame[..]), at, &mut headers));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group(format!("rewrite/{}", A::NAME));
    for (name, content) in [("TCP", ACK), ("UDP", UDP), ("SCTP", Content::Sctp(1))] {
        let mut frame = frame(content);
        let (there, back) = (tuple(content, new_source, new_destination), tuple(content, source, destination));
        let old = headers_of::<A>(&frame);
        let mut rewritten = frame.clone();
        A::rewrite(&mut rewritten[..], &old, &there).expect("it has ports");
        let new = headers_of::<A>(&rewritten);
        group.bench_function(format!("{name}, there and back"), |it| {
            it.iter(|| {
                A::rewrite(black_box(&mut frame[..]), &old, &there)?;
                A::rewrite(black_box(&mut frame[..]), &new, &back)
            });
        });
    }
    group.finish();
}

fn tuple<A: Cast>(content: Content, source: Endpoint<A>, destination: Endpoint<A>) -> Tuple<A> {
    Tuple::new(Protocol::from_number(content.protocol::<A>()), Side::Outside, source, destination)
}
