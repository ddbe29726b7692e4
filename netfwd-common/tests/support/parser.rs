//! What holds for any bytes whatever: the body of the fuzz target `parse`, and where it starts.

use netfwd_common::{
    abi::{Address, Endpoint, Protocol, Reason, Side, Tuple},
    memory::MemoryTables,
    mss,
    parse::{self, Family, Fragmentation, Headers, Kind, Parse, Transport},
    quote, rewrite,
};

/// Whatever the parser says about the bytes is in the bytes, and what is rewritten keeps its sum.
pub(crate) fn check(bytes: &[u8]) {
    for link_header in [0, 14] {
        match parse::family(bytes, link_header) {
            Family::V4 => check_family::<4>(bytes, link_header),
            Family::V6 => check_family::<16>(bytes, link_header),
            Family::Other => {}
        }
    }
}

fn check_family<const N: usize>(bytes: &[u8], link_header: u32)
where
    [u8; N]: Parse,
{
    let mut headers = Headers::EMPTY;
    match <[u8; N]>::parse(bytes, link_header, &mut headers) {
        Ok(()) => {}
        Err(reason) => return assert_eq!(reason, Reason::Malformed),
    }
    check_headers::<N>(bytes, &headers, false);
    assert_eq!(headers.network_at, link_header);
    check_segment_size(bytes, &headers);
    check_rewrite(bytes, &headers);
    let mut inner = Headers::EMPTY;
    if headers.transport.kind == Kind::IcmpError && quote::parse(bytes, &headers, &mut inner).is_ok() {
        check_headers::<N>(bytes, &inner, true);
        assert_ne!(inner.transport.kind, Kind::IcmpError);
        assert!(inner.network_at == headers.transport_at + 8 && inner.end_at <= headers.end_at);
        check_quote(bytes, &headers, &inner);
    }
}

fn check_headers<const N: usize>(bytes: &[u8], headers: &Headers<[u8; N]>, is_quoted: bool)
where
    [u8; N]: Parse,
{
    let network = &bytes[index(headers.network_at)..];
    let source_at = index(<[u8; N]>::SOURCE_AT);
    assert_eq!(network[source_at..source_at + 2 * N], [headers.source, headers.destination].concat());
    assert!(index(headers.end_at) <= bytes.len());
    let Transport { kind, protocol, source_port, destination_port, flags, chunk } = headers.transport;
    let mut tuple = Tuple::new(protocol, Side::Inside, end(headers.source), end(headers.destination));
    assert_eq!(headers.write_tuple(Side::Outside, &mut tuple).map(|()| tuple), headers.tuple(Side::Outside));
    assert!(!headers.transport.opens_midstream() || headers.tuple(Side::Inside).is_ok());
    if let Kind::Untranslatable(reason) = kind {
        return assert!(reason.is_drop());
    }
    assert!(headers.transport_at <= headers.end_at);
    assert_eq!(kind == Kind::LaterFragment, headers.fragment == Fragmentation::Later && kind != Kind::Other);
    let segment = &bytes[index(headers.transport_at)..index(headers.end_at)];
    let ports = [source_port, destination_port].concat();
    match kind {
        Kind::Tcp | Kind::Udp | Kind::Sctp => assert_eq!(segment[..4], ports),
        Kind::EchoRequest => assert_eq!([&segment[4..6], &[0; 2]].concat(), ports),
        Kind::EchoReply => assert_eq!([&[0; 2], &segment[4..6]].concat(), ports),
        Kind::IcmpError | Kind::Other | Kind::LaterFragment | Kind::Untranslatable(_) => assert_eq!(ports, [0; 4]),
    }
    if !is_quoted {
        assert_eq!(flags.0, if kind == Kind::Tcp { segment[13] } else { 0 });
        assert_eq!(chunk.0, if kind == Kind::Sctp { segment[12] } else { 0xff });
    }
}

/// TCP's checksum is as right or wrong as it was.
fn check_segment_size<A: Address>(bytes: &[u8], headers: &Headers<A>) {
    let mut changed = bytes.to_vec();
    let is_lowered = mss::clamp(changed.as_mut_slice(), &MemoryTables::new(1), headers, [0, 1]);
    assert!(is_lowered == Some(changed != bytes), "what is lowered is changed");
    let segment = index(headers.transport_at).min(bytes.len())..index(headers.end_at);
    if is_lowered == Some(true) {
        assert_eq!(residue(&changed[segment.clone()]), residue(&bytes[segment]));
    }
}

/// So is that of all that is not UDP, with or without a pseudo-header.
fn check_rewrite<const N: usize>(bytes: &[u8], headers: &Headers<[u8; N]>)
where
    [u8; N]: Parse,
{
    let mut changed = bytes.to_vec();
    if rewrite::apply(changed.as_mut_slice(), headers, &other()).is_none() {
        return;
    }
    let mut after = Headers::EMPTY;
    assert_eq!(<[u8; N]>::parse(changed.as_slice(), headers.network_at, &mut after), Ok(()));
    assert_eq!((after.source, after.destination), (other().source.address, other().destination.address));
    let segment = index(headers.transport_at)..index(headers.end_at);
    let (old, new) = (residue(&bytes[segment.clone()]), residue(&changed[segment.clone()]));
    let pseudo = |headers: &Headers<[u8; N]>| residue(&headers.source) + residue(&headers.destination);
    match headers.transport.kind {
        Kind::Tcp => assert_eq!((old + pseudo(headers)) % 0xffff, (new + pseudo(&after)) % 0xffff),
        Kind::EchoRequest | Kind::EchoReply | Kind::IcmpError if N == 4 => assert_eq!(old, new),
        Kind::EchoRequest | Kind::EchoReply | Kind::IcmpError => {
            assert_eq!((old + pseudo(headers)) % 0xffff, (new + pseudo(&after)) % 0xffff);
        }
        Kind::Other | Kind::LaterFragment => assert_eq!(bytes[segment.clone()], changed[segment]),
        Kind::Udp | Kind::Sctp | Kind::Untranslatable(_) => {}
    }
}

/// The error's checksum is as right or wrong as it was, and nothing else than the error is changed.
fn check_quote<const N: usize>(bytes: &[u8], outer: &Headers<[u8; N]>, inner: &Headers<[u8; N]>)
where
    [u8; N]: Parse,
{
    let mut changed = bytes.to_vec();
    if quote::apply(changed.as_mut_slice(), outer, inner, &other()).is_none() {
        return assert_eq!(changed, bytes);
    }
    let (start, end) = (index(outer.transport_at), index(outer.end_at));
    assert_eq!((&changed[..start], &changed[end..]), (&bytes[..start], &bytes[end..]));
    assert_eq!(residue(&changed[start..end]), residue(&bytes[start..end]));
    let mut after = Headers::EMPTY;
    quote::parse(changed.as_slice(), outer, &mut after).expect("it is still a quote");
    assert_eq!((after.source, after.destination), (other().source.address, other().destination.address));
    assert_eq!((after.transport.kind, after.end_at), (inner.transport.kind, inner.end_at));
}

fn other<const N: usize>() -> Tuple<[u8; N]>
where
    [u8; N]: Parse,
{
    let (source, destination) = (Endpoint::new([0xa5; N], 0xfffe), Endpoint::new([0x17; N], 1));
    Tuple::new(Protocol::UDP, Side::Outside, source, destination)
}

fn end<A>(address: A) -> Endpoint<A> {
    Endpoint { address, port: [0; 2] }
}

/// The one's complement sum of the 16-bit words, as a number modulo 0xffff.
fn residue(bytes: &[u8]) -> u64 {
    let word = |chunk: &[u8]| u64::from(chunk[0]) << 8 | chunk.get(1).copied().map_or(0, u64::from);
    bytes.chunks(2).map(word).sum::<u64>() % 0xffff
}

fn index(offset: u32) -> usize {
    usize::try_from(offset).expect("within the bytes")
}
