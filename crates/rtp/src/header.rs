//! The RTP header (RFC 3550 section 5.1): a checked view for reading, and [`Header`] for writing at its final place.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |           synchronization source (SSRC) identifier            |
//! |            contributing source (CSRC) identifiers             |
//! |      defined by profile       |           length              |
//! |                        header extension                       |
//! ```

use crate::extension::{self, Elements, Profile};

/// The octets of the fixed header.
pub(crate) const FIXED_LEN: usize = 12;

taut_sansio::serial_number! {
    /// An RTP sequence number (RFC 3550 section 5.1).
    pub struct SequenceNumber(u16);
}

/// An RTP payload type, seven bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PayloadType(u8);

impl PayloadType {
    /// The payload type of the low seven bits of `value`.
    pub const fn new(value: u8) -> Self {
        Self(value & 0x7f)
    }

    /// The value, 0..=127.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl std::fmt::Display for PayloadType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A synchronization source identifier (RFC 3550 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ssrc(u32);

impl Ssrc {
    /// The source with this identifier.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The identifier.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl std::fmt::Display for Ssrc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Why octets are not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Shorter than the fixed header of 12 octets.
    #[error("shorter than an RTP header")]
    Short,
    /// The version is not 2.
    #[error("the RTP version is not 2")]
    Version,
    /// The CSRC list goes beyond the packet.
    #[error("the CSRC list goes beyond the packet")]
    Csrc,
    /// The header extension goes beyond the packet.
    #[error("the header extension goes beyond the packet")]
    Extension,
    /// The padding count is zero or goes beyond the payload.
    #[error("the padding count is zero or beyond the payload")]
    Padding,
}

/// A view of an RTP header whose lengths were checked. Nothing after the header was looked at, so it also serves for
/// an SRTP packet.
#[derive(Debug, Clone, Copy)]
pub struct HeaderView<'a> {
    fixed: &'a [u8; FIXED_LEN],
    csrc: &'a [u8],
    extension: Option<(Profile, &'a [u8])>,
    body: &'a [u8],
}

impl<'a> HeaderView<'a> {
    /// Checks the header at the start of `packet`.
    #[inline]
    pub fn parse(packet: &'a [u8]) -> Result<Self, ParseError> {
        let (fixed, rest) = packet.split_first_chunk::<FIXED_LEN>().ok_or(ParseError::Short)?;
        let [first, ..] = *fixed;
        if first >> 6 != 2 {
            return Err(ParseError::Version);
        }
        let csrc_len = usize::from(first & 0x0f) * 4;
        let (csrc, rest) = rest.split_at_checked(csrc_len).ok_or(ParseError::Csrc)?;
        if first & 0x10 == 0 {
            return Ok(Self { fixed, csrc, extension: None, body: rest });
        }
        let ([p0, p1, l0, l1], rest) = rest.split_first_chunk::<4>().ok_or(ParseError::Extension)?;
        let words = usize::from(u16::from_be_bytes([*l0, *l1]));
        let (data, body) = rest.split_at_checked(words * 4).ok_or(ParseError::Extension)?;
        let profile = Profile::new(u16::from_be_bytes([*p0, *p1]));
        Ok(Self { fixed, csrc, extension: Some((profile, data)), body })
    }

    /// The marker bit.
    pub fn marker(&self) -> bool {
        let [_, second, ..] = *self.fixed;
        second & 0x80 != 0
    }

    /// The payload type.
    pub fn payload_type(&self) -> PayloadType {
        let [_, second, ..] = *self.fixed;
        PayloadType::new(second)
    }

    /// The sequence number.
    pub fn sequence(&self) -> SequenceNumber {
        let [_, _, a, b, ..] = *self.fixed;
        SequenceNumber::new(u16::from_be_bytes([a, b]))
    }

    /// The timestamp, in units of the payload's clock.
    pub fn timestamp(&self) -> u32 {
        let [_, _, _, _, a, b, c, d, ..] = *self.fixed;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The synchronization source.
    pub fn ssrc(&self) -> Ssrc {
        let [.., a, b, c, d] = *self.fixed;
        Ssrc::new(u32::from_be_bytes([a, b, c, d]))
    }

    /// The contributing sources, at most 15.
    pub fn csrc(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.csrc.as_chunks::<4>().0.iter().map(|octets| u32::from_be_bytes(*octets))
    }

    /// What the profile field of the header extension says; `None` without an extension.
    pub fn extension_profile(&self) -> Option<Profile> {
        self.extension.map(|(profile, _)| profile)
    }

    /// The octets of the header extension after its own four octets; empty without one.
    pub fn extension_data(&self) -> &'a [u8] {
        self.extension.map_or(&[], |(_, data)| data)
    }

    /// The elements of the header extension, if it is one of RFC 8285; broken elements end the list.
    pub fn extensions(&self) -> Elements<'a> {
        match self.extension {
            Some((profile, data)) => extension::elements(profile, data),
            None => Elements::default(),
        }
    }

    /// The octets of the whole header, with CSRC list and extension.
    pub fn header_len(&self) -> usize {
        FIXED_LEN + self.csrc.len() + self.extension.map_or(0, |(_, data)| data.len() + 4)
    }

    /// True if the P bit is set: the packet ends in padding.
    pub fn has_padding(&self) -> bool {
        let [first, ..] = *self.fixed;
        first & 0x20 != 0
    }

    /// Everything after the header: payload and padding, or ciphertext and tag.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The payload and the number of padding octets after it, which counts the octet that holds the number.
    /// Only for a packet in the clear.
    pub fn payload(&self) -> Result<(&'a [u8], u8), ParseError> {
        if !self.has_padding() {
            return Ok((self.body, 0));
        }
        let count = self.body.last().copied().filter(|count| *count != 0).ok_or(ParseError::Padding)?;
        let end = self.body.len().checked_sub(usize::from(count)).ok_or(ParseError::Padding)?;
        let payload = self.body.get(..end).ok_or(ParseError::Padding)?;
        Ok((payload, count))
    }
}

/// The fields of a header to write, for senders that put header and payload straight into the outgoing buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The marker bit.
    pub marker: bool,
    /// The payload type.
    pub payload_type: PayloadType,
    /// The sequence number.
    pub sequence: SequenceNumber,
    /// The timestamp, in units of the payload's clock.
    pub timestamp: u32,
    /// The synchronization source.
    pub ssrc: Ssrc,
}

impl Header {
    /// Appends the header with these extension elements (identifier and value), without CSRC and padding. One-byte
    /// elements are written where all fit, two-byte ones otherwise.
    ///
    /// An error leaves `out` as it was.
    pub fn write(&self, elements: &[(u8, &[u8])], out: &mut Vec<u8>) -> Result<(), extension::ElementError> {
        let start = out.len();
        self.write_fixed(Flags { padding: false, extension: !elements.is_empty(), csrc: 0 }, out);
        if elements.is_empty() {
            return Ok(());
        }
        extension::write_block(elements.iter().copied(), out).inspect_err(|_| out.truncate(start))
    }

    /// Appends the twelve octets of the fixed header.
    pub(crate) fn write_fixed(&self, flags: Flags, out: &mut Vec<u8>) {
        let first =
            0x80 | (u8::from(flags.padding) << 5) | (u8::from(flags.extension) << 4) | (flags.csrc & 0x0f);
        let second = (u8::from(self.marker) << 7) | self.payload_type.get();
        let [s0, s1] = self.sequence.get().to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [c0, c1, c2, c3] = self.ssrc.get().to_be_bytes();
        out.extend_from_slice(&[first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]);
    }
}

/// What the first octet of a header says beside the version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flags {
    pub(crate) padding: bool,
    pub(crate) extension: bool,
    pub(crate) csrc: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 2, padding, extension, two CSRC; one-byte extension with id 1 of two octets; payload of three
    /// octets and four of padding.
    const FULL: &[u8] = &[
        0xb2, 0xe0, 0x12, 0x34, 0xde, 0xca, 0xfb, 0xad, 0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe,
        0xde, 0, 1, 0x11, 7, 8, 0, 1, 2, 3, 0, 0, 0, 4,
    ];

    #[test]
    fn every_field_is_read() {
        let view = HeaderView::parse(FULL).unwrap();
        assert!(view.marker());
        assert_eq!(view.payload_type().get(), 96);
        assert_eq!(view.sequence().get(), 0x1234);
        assert_eq!(view.timestamp(), 0xdeca_fbad);
        assert_eq!(view.ssrc().get(), 0xcafe_babe);
        assert_eq!(view.csrc().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(view.header_len(), 28);
        assert_eq!(view.extensions().collect::<Vec<_>>(), [(1, &[7u8, 8][..])]);
        assert_eq!(view.payload(), Ok((&[1u8, 2, 3][..], 4)));
        assert_eq!(view.body().len(), 7);
    }

    #[test]
    fn every_short_prefix_of_the_header_is_refused() {
        for end in 0..28 {
            assert!(HeaderView::parse(&FULL[..end]).is_err(), "{end}");
        }
        for end in 28..FULL.len() {
            let view = HeaderView::parse(&FULL[..end]).unwrap();
            let _ = view.payload();
        }
    }

    #[test]
    fn padding_is_one_to_the_payload() {
        let mut packet = vec![0xa0, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(HeaderView::parse(&packet).unwrap().payload(), Err(ParseError::Padding));
        for (count, good) in [(0, false), (1, true), (2, true), (3, true), (4, false), (255, false)] {
            packet.truncate(12);
            packet.extend_from_slice(&[0, 0, count]);
            assert_eq!(HeaderView::parse(&packet).unwrap().payload().is_ok(), good, "{count}");
        }
    }

    #[test]
    fn versions_other_than_two_are_refused() {
        for version in [0u8, 1, 3] {
            let mut packet = FULL.to_vec();
            packet[0] = (packet[0] & 0x3f) | (version << 6);
            assert_eq!(HeaderView::parse(&packet).unwrap_err(), ParseError::Version);
        }
    }

    #[test]
    fn a_written_header_reads_back() {
        let header = Header {
            marker: true,
            payload_type: PayloadType::new(111),
            sequence: SequenceNumber::new(65_535),
            timestamp: u32::MAX,
            ssrc: Ssrc::new(7),
        };
        let mut out = vec![9];
        header.write(&[(3, b"abc"), (14, &[1])], &mut out).unwrap();
        let view = HeaderView::parse(&out[1..]).unwrap();
        assert!(view.marker() && !view.has_padding());
        assert_eq!(view.sequence(), header.sequence);
        assert_eq!(view.timestamp(), u32::MAX);
        assert_eq!(view.extension_profile(), Some(Profile::OneByte));
        assert_eq!(view.extensions().collect::<Vec<_>>(), [(3, &b"abc"[..]), (14, &[1][..])]);
        assert!(view.body().is_empty());

        out.truncate(1);
        assert!(header.write(&[(0, b"abc")], &mut out).is_err());
        assert_eq!(out, [9], "an error leaves the output as it was");
        header.write(&[], &mut out).unwrap();
        assert_eq!(HeaderView::parse(&out[1..]).unwrap().extension_profile(), None);
    }
}
