//! BYE, the goodbye (RFC 3550 section 6.6).
//!
//! ```text
//! |V=2|P|    SC   |   PT=BYE=203  |             length            |
//! |                           SSRC/CSRC …                         |
//! |     length    |               reason for leaving            … |
//! ```

use bytes::Bytes;
use taut_sansio::codec::Reader;

use super::ParseError;
use super::header::{self, Header};
use crate::Ssrc;

/// Sources that leave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Goodbye {
    /// The sources. Only the first 31 are written.
    pub ssrcs: Vec<Ssrc>,
    /// Why, UTF-8 as the RFC says, but not checked. Only the first 255 octets are written; an empty reason is none.
    pub reason: Bytes,
}

impl Goodbye {
    pub(super) fn from_body(count: u8, mut body: Reader<'_>) -> Result<Self, ParseError> {
        let ssrcs = (0..count).map(|_| body.u32().map(Ssrc::new)).collect::<Result<_, _>>()?;
        let reason = match body.u8() {
            Ok(length) => Bytes::copy_from_slice(body.take(usize::from(length))?),
            Err(_) => Bytes::new(),
        };
        Ok(Self { ssrcs, reason })
    }

    /// Parses one packet with its header.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let (header, body) = Header::expect(reader, header::BYE, None)?;
        Self::from_body(header.count, body)
    }

    fn written(&self) -> (&[Ssrc], &[u8]) {
        let ssrcs = self.ssrcs.get(..header::MAX_COUNT).unwrap_or(&self.ssrcs);
        (ssrcs, self.reason.get(..255).unwrap_or(&self.reason))
    }

    /// How many octets [`write`](Self::write) appends.
    pub fn encoded_len(&self) -> usize {
        let (ssrcs, reason) = self.written();
        let reason_len = if reason.is_empty() { 0 } else { (1 + reason.len()).next_multiple_of(4) };
        header::LEN + ssrcs.len() * 4 + reason_len
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (ssrcs, reason) = self.written();
        // The count is at most MAX_COUNT, the reason at most 255 octets.
        header::write(header::BYE, ssrcs.len() as u8, self.encoded_len(), out);
        ssrcs.iter().for_each(|ssrc| out.extend_from_slice(&ssrc.get().to_be_bytes()));
        if !reason.is_empty() {
            out.push(reason.len() as u8);
            out.extend_from_slice(reason);
            header::fill(1 + reason.len(), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use taut_sansio::assert_wire;

    use super::*;

    #[test]
    fn it_round_trips() {
        assert_wire!(Goodbye, Goodbye::default());
        for length in 0..=255 {
            let ssrcs = (0..31).map(Ssrc::new).collect();
            assert_wire!(Goodbye, Goodbye { ssrcs, reason: Bytes::from(vec![b'r'; length]) });
        }
    }

    #[test]
    fn a_count_beyond_the_packet_is_an_error() {
        let packet = [0x82, 203, 0, 1, 0, 0, 0, 1];
        assert_eq!(Goodbye::parse(&mut Reader::new(&packet)), Err(ParseError::Short));
        let reason = [0x80, 203, 0, 1, 9, 0, 0, 1];
        assert_eq!(Goodbye::parse(&mut Reader::new(&reason)), Err(ParseError::Short));
    }
}
