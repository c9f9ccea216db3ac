//! PLI, the picture loss indication (RFC 4585 section 6.3.1).
//!
//! ```text
//! |V=2|P|  FMT=1  |     PT=206    |            length=2           |
//! |                     SSRC of packet sender                     |
//! |                      SSRC of media source                     |
//! ```

use taut_sansio::codec::Reader;

use super::ParseError;
use super::header::{self, Header};
use crate::Ssrc;

/// The feedback format.
pub(super) const FORMAT: u8 = 1;

/// A decoder lost a picture and wants a keyframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PictureLossIndication {
    /// The source that asks.
    pub sender: Ssrc,
    /// The source that is to send a keyframe.
    pub media: Ssrc,
}

impl PictureLossIndication {
    pub(super) fn from_body(mut body: Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self { sender: Ssrc::new(body.u32()?), media: Ssrc::new(body.u32()?) })
    }

    /// Parses one packet with its header.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let (_, body) = Header::expect(reader, header::PSFB, Some(FORMAT))?;
        Self::from_body(body)
    }

    /// How many octets [`write`](Self::write) appends.
    pub fn encoded_len(&self) -> usize {
        header::LEN + 8
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        header::write(header::PSFB, FORMAT, self.encoded_len(), out);
        out.extend_from_slice(&self.sender.get().to_be_bytes());
        out.extend_from_slice(&self.media.get().to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use taut_sansio::assert_wire;

    use super::*;

    #[test]
    fn it_round_trips() {
        let packet = PictureLossIndication { sender: Ssrc::new(1), media: Ssrc::new(u32::MAX) };
        assert_wire!(PictureLossIndication, packet);
        let mut out = Vec::new();
        packet.write(&mut out);
        assert_eq!(out, [0x81, 206, 0, 2, 0, 0, 0, 1, 255, 255, 255, 255]);
    }
}
