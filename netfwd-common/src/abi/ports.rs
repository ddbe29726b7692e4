/// Ports one after the other; none is all zero. Told by their number and not by the last one, no question about them
/// needs a branch, of which the verifier would follow both ways.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortRange {
    /// The first port (network order).
    first: [u8; 2],
    /// How many there are (network order).
    count: [u8; 2],
}

impl PortRange {
    /// No ports.
    pub(crate) const NONE: Self = Self { first: [0; 2], count: [0; 2] };

    /// The ports `first..=last` (host order), without port 0, which is none.
    #[must_use]
    pub const fn new(first: u16, last: u16) -> Self {
        let first = if first == 0 { 1 } else { first };
        if last < first {
            return Self::NONE;
        }
        let count = last.wrapping_sub(first).wrapping_add(1);
        Self { first: first.to_be_bytes(), count: count.to_be_bytes() }
    }

    /// The first and the last port (host order), if there are any.
    #[must_use]
    pub const fn bounds(self) -> Option<(u16, u16)> {
        let (first, count) = (u16::from_be_bytes(self.first), u16::from_be_bytes(self.count));
        match count.checked_sub(1) {
            Some(more) => Some((first, first.wrapping_add(more))),
            None => None,
        }
    }

    /// How many ports there are.
    #[must_use]
    pub const fn span(self) -> u32 {
        let [high, low] = self.count;
        u32::from_be_bytes([0, 0, high, low])
    }

    /// Whether a port (network order) is among them.
    #[must_use]
    pub const fn contains(self, port: [u8; 2]) -> bool {
        u16::from_be_bytes(port).wrapping_sub(u16::from_be_bytes(self.first)) < u16::from_be_bytes(self.count)
    }
}

/// Which outside port an inside endpoint gets: its own if it is among these and free, else one of these.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortChoice {
    /// Up to four ranges that do not overlap; the first ones are used.
    pub ranges: [PortRange; 4],
    /// [`PortChoice::KEEP_CLASS`] and [`PortChoice::KEEP_PARITY`].
    pub flags: u8,
    pub(crate) pad: [u8; 3],
}

impl PortChoice {
    /// A source port below 1024 gets one below 1024, whatever the ranges are (RFC 4787 REQ-3a).
    pub const KEEP_CLASS: u8 = 1;
    /// An even source port gets an even port, an odd one an odd one (RFC 4787 REQ-4).
    pub const KEEP_PARITY: u8 = 2;

    /// No ports.
    pub(crate) const NONE: Self = Self::new([PortRange::NONE; 4], 0);

    /// One of these ranges.
    #[must_use]
    pub const fn new(ranges: [PortRange; 4], flags: u8) -> Self {
        Self { ranges, flags, pad: [0; 3] }
    }

    /// Makes it one range.
    pub(crate) fn set_one(&mut self, range: PortRange, flags: u8) {
        let [first, others @ ..] = &mut self.ranges;
        *first = range;
        for other in others {
            *other = PortRange::NONE;
        }
        (self.flags, self.pad) = (flags, [0; 3]);
    }

    /// One range.
    pub(crate) const fn of(range: PortRange, flags: u8) -> Self {
        Self::new([range, PortRange::NONE, PortRange::NONE, PortRange::NONE], flags)
    }

    /// How many ports there are.
    pub(crate) fn span(&self) -> u32 {
        self.ranges.iter().fold(0, |sum, range| sum.wrapping_add(range.span()))
    }

    /// Whether a port (network order) is among them.
    pub(crate) fn contains(&self, port: [u8; 2]) -> bool {
        self.ranges.iter().any(|range| range.contains(port))
    }

    /// Writes the port (network order) with a number, counted from 0 through all ranges; `false` if there are not so
    /// many.
    pub(crate) fn write_nth(&self, number: u32, port: &mut [u8; 2]) -> bool {
        let mut left = number;
        for range in &self.ranges {
            if left < range.span() {
                let [_, _, high, low] = left.to_be_bytes();
                let first = u16::from_be_bytes(range.first);
                *port = first.wrapping_add(u16::from_be_bytes([high, low])).to_be_bytes();
                return true;
            }
            left = left.wrapping_sub(range.span());
        }
        false
    }

    /// Whether a sender's port is to get one of the privileged ports.
    pub(crate) const fn keeps_class(&self, own: [u8; 2]) -> bool {
        let port = u16::from_be_bytes(own);
        self.flags & Self::KEEP_CLASS != 0 && port != 0 && port < 1024
    }

    /// Makes a port one that is even or odd as `own` is, where that is asked for: itself or its neighbour. `false` if
    /// that is not among these.
    pub(crate) fn match_parity(&self, own: [u8; 2], port: &mut [u8; 2]) -> bool {
        let ([high, low], [_, own_low]) = (*port, own);
        if self.flags & Self::KEEP_PARITY == 0 || (low ^ own_low) & 1 == 0 {
            return true;
        }
        *port = [high, low ^ 1];
        self.contains(*port)
    }
}

impl Default for PortChoice {
    /// 1024 to 65535, and below 1024 for what comes from there.
    fn default() -> Self {
        Self::of(PortRange::new(1024, u16::MAX), Self::KEEP_CLASS)
    }
}
