//! APP, the application-defined packet (RFC 3550 section 6.7).
//!
//! ```text
//! |V=2|P| subtype |   PT=APP=204  |             length            |
//! |                           SSRC/CSRC                           |
//! |                          name (ASCII)                         |
//! |                   application-dependent data                … |
//! ```

use bytes::Bytes;
use taut_sansio::codec::Reader;

use super::ParseError;
use super::header::{self, Header};
use crate::Ssrc;

/// A packet whose meaning an application gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Five bits that the application gives a meaning.
    pub subtype: u8,
    /// The source that sends.
    pub ssrc: Ssrc,
    /// The name of the application's packets.
    pub name: [u8; 4],
    /// The data: whole words; zero-filled to one, and cut to the length field, when written.
    pub data: Bytes,
}

impl Application {
    /// The octets between the header and the data.
    const INFO_LEN: usize = 8;

    pub(super) fn from_body(subtype: u8, mut body: Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            subtype,
            ssrc: Ssrc::new(body.u32()?),
            name: body.array()?,
            data: Bytes::copy_from_slice(body.rest()),
        })
    }

    /// Parses one packet with its header.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let (header, body) = Header::expect(reader, header::APP, None)?;
        Self::from_body(header.count, body)
    }

    fn written(&self) -> &[u8] {
        self.data.get(..header::MAX_BODY - Self::INFO_LEN).unwrap_or(&self.data)
    }

    /// How many octets [`write`](Self::write) appends.
    pub fn encoded_len(&self) -> usize {
        header::LEN + Self::INFO_LEN + self.written().len().next_multiple_of(4)
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        header::write(header::APP, self.subtype, self.encoded_len(), out);
        out.extend_from_slice(&self.ssrc.get().to_be_bytes());
        out.extend_from_slice(&self.name);
        out.extend_from_slice(self.written());
        header::fill(self.written().len(), out);
    }
}

#[cfg(test)]
mod tests {
    use taut_sansio::assert_wire;

    use super::*;

    #[test]
    fn it_round_trips() {
        let packet = Application { subtype: 31, ssrc: Ssrc::new(5), name: *b"taut", data: Bytes::new() };
        assert_wire!(Application, packet.clone());
        assert_wire!(Application, Application { data: Bytes::from_static(b"12345678"), ..packet.clone() });
        let mut out = Vec::new();
        Application { data: Bytes::from_static(b"12345"), ..packet }.write(&mut out);
        assert_eq!(Application::parse(&mut Reader::new(&out)).unwrap().data, &b"12345\0\0\0"[..]);
    }
}
