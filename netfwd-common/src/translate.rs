//! The address families whose packets can be translated.

use crate::{
    abi::Tuple,
    answer::Answer,
    packet::Packet,
    parse::{Headers, Parse},
    quote, rewrite,
};

/// An address family whose packets can be translated: what [`rewrite`] and [`quote`] do for an address of any width,
/// for those who know the address as one type.
pub trait Translate: Answer {
    /// [`rewrite::apply`].
    fn rewrite<P: Packet + ?Sized>(packet: &mut P, headers: &Headers<Self>, to: &Tuple<Self>) -> Option<()>;

    /// [`rewrite::addresses`].
    fn rewrite_addresses<P: Packet + ?Sized>(
        packet: &mut P,
        headers: &Headers<Self>,
        source: Self,
        destination: Self,
    ) -> Option<()>;

    /// [`quote::apply`].
    fn rewrite_quote<P: Packet + ?Sized>(
        packet: &mut P,
        outer: &Headers<Self>,
        inner: &Headers<Self>,
        to: &Tuple<Self>,
    ) -> Option<()>;
}

impl<const N: usize> Translate for [u8; N]
where
    [u8; N]: Parse + Answer,
{
    #[inline]
    fn rewrite<P: Packet + ?Sized>(packet: &mut P, headers: &Headers<Self>, to: &Tuple<Self>) -> Option<()> {
        rewrite::apply(packet, headers, to)
    }

    #[inline]
    fn rewrite_addresses<P: Packet + ?Sized>(
        packet: &mut P,
        headers: &Headers<Self>,
        source: Self,
        destination: Self,
    ) -> Option<()> {
        rewrite::addresses(packet, headers, source, destination)
    }

    #[inline]
    fn rewrite_quote<P: Packet + ?Sized>(
        packet: &mut P,
        outer: &Headers<Self>,
        inner: &Headers<Self>,
        to: &Tuple<Self>,
    ) -> Option<()> {
        quote::apply(packet, outer, inner, to)
    }
}
