//! A packet whose fragments can be held back, as the kernel part does it: copies of their bytes in a ring.

use std::{
    cell::{Cell, RefCell},
    mem,
};

use crate::{
    abi::MAX_HELD,
    packet::{Covers, Packet},
};

/// What is held back, and what was let go.
#[derive(Debug, Default)]
pub struct Held {
    places: RefCell<Vec<Option<Copy>>>,
    next_ticket: Cell<u32>,
    released: RefCell<Vec<Vec<u8>>>,
}

/// A ticket, and the bytes that were kept for it.
type Copy = (u32, Vec<u8>);

impl Held {
    /// Room for `places` frames; the oldest one makes room for the next.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self { places: RefCell::new(vec![None; places]), ..Self::default() }
    }

    /// A frame that can be held back here.
    #[must_use]
    pub fn frame<'h>(&'h self, bytes: &[u8]) -> Frame<'h> {
        Frame { bytes: bytes.to_vec(), held: self }
    }

    /// Takes what was let go since this was last called. In the kernel each goes through the hook at once.
    #[must_use]
    pub fn take_released(&self) -> Vec<Vec<u8>> {
        mem::take(&mut self.released.borrow_mut())
    }

    /// How many frames are held back.
    #[must_use]
    pub fn count(&self) -> usize {
        self.places.borrow().iter().flatten().count()
    }

    fn place(&self, ticket: u32) -> Option<usize> {
        usize::try_from(ticket).ok()?.checked_rem(self.places.borrow().len())
    }

    fn keep(&self, bytes: &[u8]) -> Option<u32> {
        let ticket = self.next_ticket.get();
        let place = self.place(ticket)?;
        *self.places.borrow_mut().get_mut(place)? = Some((ticket, bytes.to_vec()));
        self.next_ticket.set(ticket.wrapping_add(1));
        Some(ticket)
    }

    fn let_go(&self, ticket: u32) -> Option<()> {
        let place = self.place(ticket)?;
        let mut places = self.places.borrow_mut();
        let kept = places.get_mut(place)?;
        if kept.as_ref().is_none_or(|(holder, _)| *holder != ticket) {
            return None;
        }
        let (_, bytes) = kept.take()?;
        self.released.borrow_mut().push(bytes);
        Some(())
    }
}

/// A packet with an Ethernet header.
#[derive(Debug)]
pub struct Frame<'h> {
    /// Its bytes.
    pub bytes: Vec<u8>,
    held: &'h Held,
}

impl Packet for Frame<'_> {
    fn length(&self) -> u32 {
        self.bytes.length()
    }

    fn is_vlan_tagged(&self) -> bool {
        self.bytes.is_vlan_tagged()
    }

    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.bytes.load(offset)
    }

    fn store<const N: usize>(&mut self, offset: u32, bytes: [u8; N]) -> Option<()> {
        self.bytes.store(offset, bytes)
    }

    fn store_uncovered<const N: usize>(&mut self, offset: u32, bytes: [u8; N]) -> Option<()> {
        self.bytes.store_uncovered(offset, bytes)
    }

    fn update_checksum<const N: usize>(
        &mut self,
        offset: u32,
        covers: Covers,
        old: [u8; N],
        new: [u8; N],
    ) -> Option<()> {
        self.bytes.update_checksum(offset, covers, old, new)
    }

    fn resize(&mut self, length: u32) -> Option<()> {
        Packet::resize(&mut self.bytes, length)
    }

    fn remove_behind_link_header(&mut self, length: u32) -> Option<()> {
        self.bytes.remove_behind_link_header(length)
    }

    fn fits(&self, ifindex: u32) -> bool {
        self.bytes.fits(ifindex)
    }

    fn hold_back(&self) -> Option<u32> {
        self.held.keep(&self.bytes)
    }

    fn release_held(&mut self, tickets: &[u32; MAX_HELD], count: u32, _: bool) -> Option<()> {
        let count = usize::try_from(count).ok()?;
        for ticket in tickets.iter().take(count) {
            let _: Option<()> = self.held.let_go(*ticket);
        }
        Some(())
    }
}
