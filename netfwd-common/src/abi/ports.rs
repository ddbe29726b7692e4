/// Ports `first..=last` (network order). A range of port 0 is none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortRange {
    /// The first port.
    pub first: [u8; 2],
    /// The last one.
    pub last: [u8; 2],
}

impl PortRange {
    /// The ports `first..=last` (host order).
    #[must_use]
    pub const fn new(first: u16, last: u16) -> Self {
        Self { first: first.to_be_bytes(), last: last.to_be_bytes() }
    }

    /// How many ports there are.
    #[must_use]
    pub const fn span(self) -> u32 {
        let (first, last) = (u16::from_be_bytes(self.first), u16::from_be_bytes(self.last));
        let [high, low] = last.wrapping_sub(first).to_be_bytes();
        if first == 0 || last < first { 0 } else { u32::from_be_bytes([0, 0, high, low]).saturating_add(1) }
    }

    /// Whether a port (network order) is among them.
    #[must_use]
    pub const fn contains(self, port: [u8; 2]) -> bool {
        let [first, last, port] =
            [u16::from_be_bytes(self.first), u16::from_be_bytes(self.last), u16::from_be_bytes(port)];
        first != 0 && first <= port && port <= last
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
    pub(crate) const NONE: Self = Self::new([PortRange { first: [0; 2], last: [0; 2] }; 4], 0);

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
            *other = PortRange { first: [0; 2], last: [0; 2] };
        }
        (self.flags, self.pad) = (flags, [0; 3]);
    }

    /// One range.
    pub(crate) const fn of(range: PortRange, flags: u8) -> Self {
        let none = PortRange { first: [0; 2], last: [0; 2] };
        Self::new([range, none, none, none], flags)
    }

    /// How many ports there are.
    pub(crate) fn span(&self) -> u32 {
        self.ranges.iter().fold(0, |sum, range| sum.saturating_add(range.span()))
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
