//! FIR, the full intra request (RFC 5104 section 4.3.1).
//!
//! ```text
//! |V=2|P|  FMT=4  |     PT=206    |             length            |
//! |                     SSRC of packet sender                     |
//! |                  SSRC of media source (0)                     |
//! |                              SSRC                             |
//! | Seq. number   |    Reserved                                   |
//! ```

use taut_sansio::codec::Reader;

use super::ParseError;
use super::header::{self, Header};
use crate::Ssrc;

/// The feedback format.
pub(super) const FORMAT: u8 = 4;

/// A request to one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirEntry {
    /// The source that is to send a keyframe.
    pub ssrc: Ssrc,
    /// Counts the commands; a repeated one keeps its number and is to be done once.
    pub sequence: u8,
}

/// A command to send keyframes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FullIntraRequest {
    /// The source that asks.
    pub sender: Ssrc,
    /// 0 as the RFC says; kept as some senders put the media source here.
    pub media: Ssrc,
    /// Whom it asks. As many are written as fit the length field.
    pub entries: Vec<FirEntry>,
}

impl FullIntraRequest {
    /// The octets between the header and the entries.
    const INFO_LEN: usize = 8;
    /// The octets of an entry.
    const ENTRY_LEN: usize = 8;

    pub(super) fn from_body(mut body: Reader<'_>) -> Result<Self, ParseError> {
        let (sender, media) = (Ssrc::new(body.u32()?), Ssrc::new(body.u32()?));
        let mut entries = Vec::with_capacity(body.remaining() / Self::ENTRY_LEN);
        while !body.is_empty() {
            let ssrc = Ssrc::new(body.u32()?);
            let sequence = body.u8()?;
            body.skip(3)?;
            entries.push(FirEntry { ssrc, sequence });
        }
        Ok(Self { sender, media, entries })
    }

    /// Parses one packet with its header.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let (_, body) = Header::expect(reader, header::PSFB, Some(FORMAT))?;
        Self::from_body(body)
    }

    fn written(&self) -> &[FirEntry] {
        self.entries.get(..(header::MAX_BODY - Self::INFO_LEN) / Self::ENTRY_LEN).unwrap_or(&self.entries)
    }

    /// How many octets [`write`](Self::write) appends.
    pub fn encoded_len(&self) -> usize {
        header::LEN + Self::INFO_LEN + self.written().len() * Self::ENTRY_LEN
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        header::write(header::PSFB, FORMAT, self.encoded_len(), out);
        out.extend_from_slice(&self.sender.get().to_be_bytes());
        out.extend_from_slice(&self.media.get().to_be_bytes());
        for entry in self.written() {
            out.extend_from_slice(&entry.ssrc.get().to_be_bytes());
            out.extend_from_slice(&[entry.sequence, 0, 0, 0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use taut_sansio::assert_wire;

    use super::*;

    #[test]
    fn it_round_trips() {
        assert_wire!(FullIntraRequest, FullIntraRequest::default());
        let entry = FirEntry { ssrc: Ssrc::new(7), sequence: 255 };
        assert_wire!(
            FullIntraRequest,
            FullIntraRequest { sender: Ssrc::new(1), media: Ssrc::new(0), entries: vec![entry; 3] }
        );
    }

    #[test]
    fn half_an_entry_is_an_error() {
        let packet = [0x84, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
        assert_eq!(FullIntraRequest::parse(&mut Reader::new(&packet)), Err(ParseError::Short));
    }
}
