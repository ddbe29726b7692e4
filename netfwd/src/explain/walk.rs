//! The way of a packet through the host: from hook to hook, as the kernel part's programs and the stack would send it.

use std::{
    hash::Hash,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, Result, bail};
use netfwd_common::{
    abi::{Endpoint, Member, Protocol, Reason, Role, Rule, Side, V4, V6, names},
    fast::{self, Express},
    memory::InMemory,
    parse::{Family, Headers},
    pipeline::{self, Hook},
    scratch::Scratch,
    tables::Tables as _,
    translate::Translate,
    verdict::Verdict,
};

use super::{
    frame::{Frame, NOBODY},
    host::Host,
    note::Note,
    question::Question,
    view::View,
};
use crate::{
    clock,
    context::Context,
    datapath::{
        maps::{Maps, Select},
        xdp,
    },
};

/// More hooks than any packet meets.
const HOOKS: usize = 8;

/// A packet's way.
#[derive(Debug)]
pub struct Walk<A> {
    /// The hooks that it meets, in order.
    pub visits: Vec<Visit<A>>,
    /// Where it ends.
    pub end: End,
    /// The packet as it leaves.
    pub packet: Frame,
}

/// What a program does with the packet.
#[derive(Debug)]
pub struct Visit<A> {
    /// The program.
    pub hook: &'static str,
    /// The interface's index.
    pub interface: u32,
    /// How packets look there.
    pub side: Side,
    /// What it has asked.
    pub notes: Vec<Note<A>>,
    /// The packet before.
    pub before: Frame,
    /// The packet after it.
    pub after: Frame,
    /// The connection that translated it.
    pub connection: Option<Connection<A>>,
    /// What becomes of it.
    pub verdict: Verdict,
    /// The reason that is counted.
    pub reason: Reason,
}

/// A connection, as the packet was met by it.
#[derive(Debug)]
pub struct Connection<A> {
    /// The record.
    pub record: netfwd_common::abi::Connection<A>,
    /// Whether the packet would open it.
    pub is_new: bool,
}

/// Where a packet ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It goes no further.
    Dropped(Reason),
    /// It goes no further, and its sender is told by ICMP.
    Refused(Reason),
    /// Past the stack, into the container behind a member.
    Container(u32),
    /// Past the stack, out of an uplink, or to a neighbour on a bridge.
    Neighbour(u32),
    /// Through the stack, out of an interface.
    Forwarded(u32),
    /// Through the stack, to the host itself.
    Host,
    /// The stack has no way for it.
    NoRoute,
    /// A process of the host that connects there is connected to a container instead.
    Instead(SocketAddr, Rule),
}

/// Where a packet is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Uplink(u32),
    Member(u32),
    Bridge(u32),
    /// The stack has it from an interface, or from the host itself.
    Stack(Option<u32>),
    /// It leaves by an interface.
    Leaving(u32),
}

/// Families in which everything is known.
pub trait Known: Select + Translate + Express + InMemory + Hash {}

impl Known for V4 {}
impl Known for V6 {}

/// Where packets are, and what is known there.
struct Walker<'m, A: Select> {
    context: &'m Context,
    maps: &'m Maps,
    host: &'m Host,
    view: View<'m, A>,
    now: u64,
    frame: Frame,
    ends: [A; 2],
    visits: Vec<Visit<A>>,
}

/// Follows a packet from where it comes in, which is found by its source unless it is given.
pub(super) fn follow<A: Known>(
    context: &Context,
    maps: &Maps,
    host: &Host,
    question: &Question,
    at: Option<&str>,
) -> Result<Walk<A>> {
    let address = |ip: IpAddr| A::from_ip(ip).context("an address of another family");
    let ends = [address(question.source.ip())?, address(question.destination.ip())?];
    let view = View::new(maps, host)?;
    let place = entry(maps, host, &view, question, at)?;
    let (first, link_header) = first_interface(maps, host, place, question)?;
    let gateway = view.target(&ends[0]).map_or(NOBODY, |sender| sender.ends()[1]);
    let bytes = question.frame((link_header != 0).then_some([NOBODY, gateway]))?;
    let frame = Frame { bytes, link_header };
    view.move_to(first);
    let mut walker = Walker { context, maps, host, view, now: clock::now()?, frame, ends, visits: Vec::new() };
    walker.view.take_notes()?;
    let end = walker.walk(place)?;
    let is_own = matches!((end, place), (End::Host, Place::Stack(None)));
    let end = if is_own { walker.instead(question)? } else { end };
    Ok(Walk { visits: walker.visits, end, packet: walker.frame })
}

/// The interface that the packet is first seen on, and bytes before its IP header there.
fn first_interface(maps: &Maps, host: &Host, place: Place, question: &Question) -> Result<(u32, u32)> {
    let index = match place {
        Place::Uplink(index) | Place::Member(index) | Place::Bridge(index) | Place::Leaving(index) => index,
        Place::Stack(_) => host.way_to(question.destination.ip())?.unwrap_or(0),
    };
    let known = maps.interfaces()?.into_iter().find(|(known, _)| *known == index);
    Ok((index, known.map_or(14, |(_, interface)| interface.link_header)))
}

fn entry<A: Select + Hash>(
    maps: &Maps,
    host: &Host,
    view: &View<'_, A>,
    question: &Question,
    at: Option<&str>,
) -> Result<Place> {
    let source = question.source.ip();
    let index = match at {
        Some(name) => host.interfaces.named(name)?.index,
        None if host.has(source) => return Ok(Place::Stack(None)),
        None => match host.way_to(source)? {
            Some(index) => index,
            None => bail!("the host has no route to {source}: say with --in by which interface the packet comes"),
        },
    };
    let behind = A::from_ip(source).and_then(|source| view.target(&source)).map(|target| target.member);
    match role(maps, index)? {
        Some(Role::Uplink) => Ok(Place::Uplink(index)),
        Some(Role::Member) => Ok(Place::Member(index)),
        Some(Role::Bridge) => Ok(behind.filter(|_| at.is_none()).map_or(Place::Bridge(index), Place::Member)),
        None => bail!(
            "a packet from {source} comes in by {}, which netfwd is not attached to: `--in` says another interface",
            host.interfaces.name_of(index)
        ),
    }
}

fn role(maps: &Maps, index: u32) -> Result<Option<Role>> {
    if maps.members()?.contains_key(&index) {
        return Ok(Some(Role::Member));
    }
    let known = maps.interfaces()?.into_iter().find(|(known, _)| *known == index);
    let is = |role: Role| known.is_some_and(|(_, interface)| interface.role == role.number());
    Ok([Role::Uplink, Role::Bridge].into_iter().find(|role| is(*role)))
}

impl<A: Known> Walker<'_, A> {
    fn walk(&mut self, mut place: Place) -> Result<End> {
        for _ in 0..HOOKS {
            let next = match place {
                Place::Uplink(index) => self.arrive(index)?,
                Place::Member(index) => self.leave_member(index)?,
                Place::Bridge(index) => self.cross_bridge(index)?,
                Place::Leaving(index) => self.leave(index)?,
                Place::Stack(from) => self.route(from)?,
            };
            match next {
                Ok(next) => place = next,
                Err(end) => return Ok(end),
            }
        }
        bail!("the packet comes back to the same hooks again and again")
    }

    fn arrive(&mut self, index: u32) -> Result<Result<Place, End>> {
        let before = self.frame.clone();
        let sent = fast::arrive::<A, _, _>(&mut self.frame.bytes, &self.view, index, self.now).map(|sent| sent.verdict);
        if let Some(verdict) = sent {
            let is_xdp = self.takes_frames(index, &before.bytes, verdict)?;
            let (hook, reason) = if is_xdp { (names::XDP, Reason::Xdp) } else { (names::INGRESS, verdict.reason()) };
            self.visit(hook, index, Side::Outside, before, verdict, reason)?;
            return Ok(after(verdict, Place::Stack(Some(index))));
        }
        let verdict = self.journey(names::INGRESS, index, Side::Outside)?;
        Ok(after(verdict, Place::Stack(Some(index))))
    }

    /// Whether the program before the stack takes a packet that the fast path has sent to a container.
    fn takes_frames(&self, index: u32, before: &Vec<u8>, verdict: Verdict) -> Result<bool> {
        let Verdict::ToContainer(member) = verdict else { return Ok(false) };
        let takes = self.view.member(member).is_some_and(Member::takes_frames);
        let uplink = self.host.interfaces.with_index(index);
        let attached = uplink.map(|uplink| xdp::attached(&self.context.pin_dir, uplink)).transpose()?.flatten();
        Ok(takes && attached.is_some() && fast::datagram(before) != Family::Other)
    }

    fn leave_member(&mut self, index: u32) -> Result<Result<Place, End>> {
        let before = self.frame.clone();
        let sent = fast::leave::<A, _, _>(&mut self.frame.bytes, &self.view, index, self.now).map(|sent| sent.verdict);
        if let Some(verdict) = sent {
            self.visit(names::MEMBER, index, Side::Inside, before, verdict, verdict.reason())?;
            return Ok(after(verdict, Place::Stack(Some(index))));
        }
        self.view.take_notes()?;
        let bridge = self.view.member(index).map_or(index, |member| member.bridge);
        Ok(Ok(Place::Bridge(bridge)))
    }

    fn cross_bridge(&mut self, index: u32) -> Result<Result<Place, End>> {
        self.view.move_to(index);
        let verdict = self.journey(names::BRIDGE, index, Side::Bridge)?;
        let next = after(verdict, Place::Stack(Some(index)));
        if let Err(End::Neighbour(to)) = next
            && role(self.maps, to)? == Some(Role::Uplink)
        {
            return Ok(Ok(Place::Leaving(to)));
        }
        Ok(next)
    }

    fn leave(&mut self, index: u32) -> Result<Result<Place, End>> {
        let verdict = self.journey(names::EGRESS, index, Side::Inside)?;
        Ok(match after(verdict, Place::Stack(None)) {
            Ok(_) => Err(End::Forwarded(index)),
            end => end,
        })
    }

    /// What the stack does with what was passed or translated.
    fn route(&mut self, from: Option<u32>) -> Result<Result<Place, End>> {
        let destination = self.destination().ip();
        if self.host.has(destination) || self.host.is_local(destination)? {
            return Ok(Err(End::Host));
        }
        let way = match from {
            Some(from) => self.host.route(from, self.ends[0].ip(), destination)?,
            None => self.host.way_to(destination)?,
        };
        Ok(match way {
            None => Err(End::NoRoute),
            Some(to) if role(self.maps, to)? == Some(Role::Uplink) => Ok(Place::Leaving(to)),
            Some(to) => Err(End::Forwarded(to)),
        })
    }

    fn destination(&self) -> A {
        let mut headers = Headers::<A>::EMPTY;
        match A::parse(&self.frame.bytes[..], self.frame.link_header, &mut headers) {
            Ok(()) => headers.destination,
            Err(_) => self.ends[1],
        }
    }

    /// The container that a process of the host would be connected to, as the core's `socket` decides it.
    fn instead(&mut self, question: &Question) -> Result<End> {
        let has_access = matches!(question.protocol, Protocol::TCP | Protocol::UDP);
        let port = question.destination.port().to_be_bytes();
        for address in [self.ends[1], A::UNSPECIFIED] {
            let mapping = self.view.mapping(question.protocol, Endpoint { address, port }).copied();
            if let Some(mapping) = mapping.filter(|mapping| has_access && self.view.is_in_force(mapping.rule)) {
                let target = mapping.target_of(port);
                self.view.take_notes()?;
                return Ok(End::Instead(socket(target), mapping.rule));
            }
        }
        self.view.take_notes()?;
        Ok(End::Host)
    }

    fn journey(&mut self, hook: &'static str, index: u32, side: Side) -> Result<Verdict> {
        let interface = self.view.interface(index).copied();
        let Some(interface) = interface else {
            bail!("netfwd is not attached to {}", self.host.interfaces.name_of(index));
        };
        self.frame.carry(interface.link_header);
        let (before, mut scratch) = (self.frame.clone(), Scratch::new());
        let verdict = self.run(&Hook { ifindex: index, side, interface: &interface, now: self.now }, &mut scratch);
        self.visit(hook, index, side, before, verdict, verdict.reason())?;
        Ok(verdict)
    }

    fn run(&mut self, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> Verdict {
        let (frame, view) = (&mut self.frame.bytes, &self.view);
        match hook.side {
            Side::Outside => pipeline::ingress(frame, view, hook, scratch),
            Side::Bridge => pipeline::bridge(frame, view, hook, scratch),
            Side::Inside | Side::Binding | Side::Permission | Side::Account => {
                pipeline::egress(frame, view, hook, scratch)
            }
        }
    }

    fn visit(
        &mut self,
        hook: &'static str,
        interface: u32,
        side: Side,
        before: Frame,
        verdict: Verdict,
        reason: Reason,
    ) -> Result<()> {
        let notes = self.view.take_notes()?;
        let connection = notes.iter().find_map(|note| self.connection(note, &notes));
        let after = self.frame.clone();
        self.visits.push(Visit { hook, interface, side, notes, before, after, connection, verdict, reason });
        Ok(())
    }

    /// The connection that a question was answered with, of those of packets.
    fn connection(&self, note: &Note<A>, notes: &[Note<A>]) -> Option<Connection<A>> {
        let Note::Find { tuple, .. } = note else { return None };
        if !Side::is_of_packets(tuple.side) {
            return None;
        }
        let record = self.view.connection_of(tuple)?;
        let is_new = notes.iter().any(|note| matches!(note, Note::Reserve { tuple, .. } if *tuple == record.original));
        Some(Connection { record, is_new })
    }
}

/// Where a packet is after a verdict, or its end.
fn after(verdict: Verdict, next: Place) -> Result<Place, End> {
    match verdict {
        Verdict::Translated | Verdict::Pass(_) => Ok(next),
        Verdict::Drop(reason) => Err(End::Dropped(reason)),
        Verdict::Answered(reason, _) => Err(End::Refused(reason)),
        Verdict::ToContainer(member) => Err(End::Container(member)),
        Verdict::ToNeighbour(index) | Verdict::Redirected(index) => Err(End::Neighbour(index)),
    }
}

fn socket<A: Select>(endpoint: Endpoint<A>) -> SocketAddr {
    SocketAddr::new(endpoint.address.ip(), u16::from_be_bytes(endpoint.port))
}
