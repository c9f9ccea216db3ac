//! The generic NACK (RFC 4585 section 6.2.1).
//!
//! ```text
//! |V=2|P|  FMT=1  |     PT=205    |             length            |
//! |                     SSRC of packet sender                     |
//! |                      SSRC of media source                     |
//! |           packet ID           | bitmask of the 16 that follow |
//! ```

use taut_sansio::codec::Reader;

use super::ParseError;
use super::header::{self, Header};
use crate::{SequenceNumber, Ssrc};

/// The feedback format.
pub(super) const FORMAT: u8 = 1;

/// One packet that is missing, and a mask of the sixteen after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NackPair {
    /// A missing packet.
    pub first: SequenceNumber,
    /// Bit `i` (from the least significant) is set if packet `first + i + 1` is missing too.
    pub mask: u16,
}

impl NackPair {
    /// The missing packets, 1 to 17.
    pub fn missing(self) -> impl Iterator<Item = SequenceNumber> {
        let more = (0..16u16).filter(move |bit| self.mask & (1 << bit) != 0);
        std::iter::once(self.first).chain(more.map(move |bit| self.first + bit + 1))
    }
}

/// Packets of one source that did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nack {
    /// The source that asks.
    pub sender: Ssrc,
    /// The source whose packets are missing.
    pub media: Ssrc,
    /// The missing packets. As many are written as fit the length field.
    pub pairs: Vec<NackPair>,
}

impl Nack {
    /// The octets between the header and the pairs.
    const INFO_LEN: usize = 8;
    /// The octets of a pair.
    const PAIR_LEN: usize = 4;

    /// A NACK for these packets, which come in ascending order; any other order makes more pairs than needed.
    pub fn new(sender: Ssrc, media: Ssrc, missing: impl IntoIterator<Item = SequenceNumber>) -> Self {
        let mut pairs: Vec<NackPair> = Vec::new();
        for sequence in missing {
            match pairs.last_mut() {
                Some(pair) if sequence == pair.first => {}
                Some(pair) if (1..=16).contains(&sequence.distance_from(pair.first)) => {
                    pair.mask |= 1 << (sequence.distance_from(pair.first) - 1);
                }
                _ => pairs.push(NackPair { first: sequence, mask: 0 }),
            }
        }
        Self { sender, media, pairs }
    }

    /// All missing packets. A hostile packet can name up to 17 for each four octets: take a bounded number.
    pub fn missing(&self) -> impl Iterator<Item = SequenceNumber> {
        self.pairs.iter().flat_map(|pair| pair.missing())
    }

    pub(super) fn from_body(mut body: Reader<'_>) -> Result<Self, ParseError> {
        let (sender, media) = (Ssrc::new(body.u32()?), Ssrc::new(body.u32()?));
        let mut pairs = Vec::with_capacity(body.remaining() / Self::PAIR_LEN);
        while !body.is_empty() {
            pairs.push(NackPair { first: SequenceNumber::new(body.u16()?), mask: body.u16()? });
        }
        Ok(Self { sender, media, pairs })
    }

    /// Parses one packet with its header.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let (_, body) = Header::expect(reader, header::RTPFB, Some(FORMAT))?;
        Self::from_body(body)
    }

    fn written(&self) -> &[NackPair] {
        self.pairs.get(..(header::MAX_BODY - Self::INFO_LEN) / Self::PAIR_LEN).unwrap_or(&self.pairs)
    }

    /// How many octets [`write`](Self::write) appends.
    pub fn encoded_len(&self) -> usize {
        header::LEN + Self::INFO_LEN + self.written().len() * Self::PAIR_LEN
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        header::write(header::RTPFB, FORMAT, self.encoded_len(), out);
        out.extend_from_slice(&self.sender.get().to_be_bytes());
        out.extend_from_slice(&self.media.get().to_be_bytes());
        for pair in self.written() {
            out.extend_from_slice(&pair.first.get().to_be_bytes());
            out.extend_from_slice(&pair.mask.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use taut_sansio::assert_wire;

    use super::*;

    #[test]
    fn ascending_numbers_share_pairs_across_the_wrap() {
        let missing = [65_530u16, 65_531, 65_535, 0, 10, 11, 300].map(SequenceNumber::new);
        let nack = Nack::new(Ssrc::new(1), Ssrc::new(2), missing);
        assert_eq!(nack.pairs.len(), 3);
        assert_eq!(nack.missing().collect::<Vec<_>>(), missing);
        assert_wire!(Nack, nack);
        assert_wire!(Nack, Nack::default());
        let all = (0..=u16::MAX).map(SequenceNumber::new);
        let nack = Nack::new(Ssrc::new(1), Ssrc::new(2), all);
        assert_eq!(nack.missing().count(), 65_536);
        assert_wire!(Nack, nack);
    }

    #[test]
    fn repeated_numbers_are_asked_once() {
        let nack = Nack::new(Ssrc::new(1), Ssrc::new(2), [5u16, 5, 6, 6].map(SequenceNumber::new));
        assert_eq!(nack.missing().map(SequenceNumber::get).collect::<Vec<_>>(), [5, 6]);
    }

    #[test]
    fn too_many_pairs_are_cut() {
        let pair = NackPair { first: SequenceNumber::new(1), mask: 0 };
        let nack = Nack { pairs: vec![pair; 70_000], ..Nack::default() };
        let mut out = Vec::new();
        nack.write(&mut out);
        assert_eq!(out.len(), nack.encoded_len());
        assert_eq!(Nack::parse(&mut Reader::new(&out)).unwrap().pairs.len(), 65_533);
    }
}
