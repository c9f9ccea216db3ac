//! SDES, the source description (RFC 3550 section 6.5).
//!
//! ```text
//! |V=2|P|    SC   |  PT=SDES=202  |             length            |
//! |                          SSRC/CSRC_1                          |
//! |   kind        |    length     | text …       | 0 to a word    |
//! ```

use bytes::Bytes;
use taut_sansio::codec::Reader;

use super::ParseError;
use super::header::{self, Header};
use crate::Ssrc;

/// What an item describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SdesKind(u8);

impl SdesKind {
    /// The canonical name, the same for all sources of one participant.
    pub const CNAME: Self = Self(1);
    /// The name of the user.
    pub const NAME: Self = Self(2);
    /// The tool that sends.
    pub const TOOL: Self = Self(6);
    /// The media identification (RFC 9143 section 15.2).
    pub const MID: Self = Self(15);

    /// The kind with this number; 0 ends a chunk and is no kind.
    pub const fn new(value: u8) -> Option<Self> {
        if value == 0 { None } else { Some(Self(value)) }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// One item of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdesItem {
    /// What it describes.
    pub kind: SdesKind,
    /// The text, UTF-8 as the RFC says, but not checked. Only the first 255 octets are written.
    pub value: Bytes,
}

impl SdesItem {
    fn written(&self) -> &[u8] {
        self.value.get(..255).unwrap_or(&self.value)
    }
}

/// What is told of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdesChunk {
    /// The source described.
    pub ssrc: Ssrc,
    /// The items.
    pub items: Vec<SdesItem>,
}

impl SdesChunk {
    /// The canonical name, if there is one that is UTF-8.
    pub fn cname(&self) -> Option<&str> {
        let item = self.items.iter().find(|item| item.kind == SdesKind::CNAME)?;
        std::str::from_utf8(&item.value).ok()
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let ssrc = Ssrc::new(reader.u32()?);
        let before = reader.remaining();
        let mut items = Vec::new();
        while let Some(kind) = SdesKind::new(reader.u8()?) {
            let length = usize::from(reader.u8()?);
            items.push(SdesItem { kind, value: Bytes::copy_from_slice(reader.take(length)?) });
        }
        let used = before.saturating_sub(reader.remaining());
        reader.skip(used.next_multiple_of(4).saturating_sub(used))?;
        Ok(Self { ssrc, items })
    }

    fn encoded_len(&self) -> usize {
        let items: usize = self.items.iter().map(|item| 2 + item.written().len()).sum();
        4 + (items + 1).next_multiple_of(4)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.ssrc.get().to_be_bytes());
        for item in &self.items {
            // At most 255 octets are written.
            out.extend_from_slice(&[item.kind.get(), item.written().len() as u8]);
            out.extend_from_slice(item.written());
        }
        out.resize(start + self.encoded_len(), 0);
    }
}

/// What is told of up to 31 sources.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceDescription {
    /// A chunk per source. As many of the first 31 are written as fit the length field.
    pub chunks: Vec<SdesChunk>,
}

impl SourceDescription {
    /// The canonical name of one source, which goes with every compound packet.
    pub fn cname(ssrc: Ssrc, name: &str) -> Self {
        let item = SdesItem { kind: SdesKind::CNAME, value: Bytes::copy_from_slice(name.as_bytes()) };
        Self { chunks: vec![SdesChunk { ssrc, items: vec![item] }] }
    }

    pub(super) fn from_body(count: u8, mut body: Reader<'_>) -> Result<Self, ParseError> {
        let chunks = (0..count).map(|_| SdesChunk::parse(&mut body)).collect::<Result<_, _>>()?;
        Ok(Self { chunks })
    }

    /// Parses one packet with its header.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let (header, body) = Header::expect(reader, header::SDES, None)?;
        Self::from_body(header.count, body)
    }

    /// The chunks that are written, and their octets.
    fn written(&self) -> (impl Iterator<Item = &SdesChunk>, u8, usize) {
        let mut octets = 0usize;
        let mut count = 0u8;
        for chunk in self.chunks.iter().take(header::MAX_COUNT) {
            let next = octets + chunk.encoded_len();
            if next > header::MAX_BODY {
                break;
            }
            octets = next;
            count += 1; // at most MAX_COUNT
        }
        (self.chunks.iter().take(usize::from(count)), count, octets)
    }

    /// How many octets [`write`](Self::write) appends.
    pub fn encoded_len(&self) -> usize {
        header::LEN + self.written().2
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (chunks, count, octets) = self.written();
        header::write(header::SDES, count, header::LEN + octets, out);
        chunks.for_each(|chunk| chunk.write(out));
    }
}

#[cfg(test)]
mod tests {
    use taut_sansio::assert_wire;

    use super::*;

    #[test]
    fn texts_of_every_length_round_trip() {
        for length in 0..=255 {
            let description = SourceDescription::cname(Ssrc::new(7), &"x".repeat(length));
            assert_wire!(SourceDescription, description.clone());
            assert_eq!(description.chunks[0].cname().map(str::len), Some(length));
        }
        assert_wire!(SourceDescription, SourceDescription::default());
        let chunk = SdesChunk {
            ssrc: Ssrc::new(1),
            items: vec![
                SdesItem { kind: SdesKind::TOOL, value: Bytes::from_static(b"taut") },
                SdesItem { kind: SdesKind::MID, value: Bytes::from_static(&[0xff]) },
            ],
        };
        assert_eq!(chunk.cname(), None);
        assert_wire!(SourceDescription, SourceDescription { chunks: vec![chunk; 31] });
    }

    #[test]
    fn more_than_fits_is_cut() {
        let item = SdesItem { kind: SdesKind::NAME, value: Bytes::from(vec![b'x'; 400]) };
        let chunk = SdesChunk { ssrc: Ssrc::new(1), items: vec![item; 300] };
        let description = SourceDescription { chunks: vec![chunk; 40] };
        let mut out = Vec::new();
        description.write(&mut out);
        assert_eq!(out.len(), description.encoded_len());
        assert!(SourceDescription::parse(&mut Reader::new(&out)).unwrap().chunks.len() < 31);
    }

    #[test]
    fn a_chunk_that_does_not_end_is_an_error() {
        let packet = [0x81, 202, 0, 2, 0, 0, 0, 1, 1, 2, b'a', b'b'];
        assert_eq!(SourceDescription::parse(&mut Reader::new(&packet)), Err(ParseError::Short));
        let count = [0x9f, 202, 0, 1, 0, 0, 0, 1];
        assert_eq!(SourceDescription::parse(&mut Reader::new(&count)), Err(ParseError::Short));
    }
}
