//! The DATA chunk (RFC 9260 section 3.3.1).
//!
//! ```text
//! |   Type = 0    |  Res  |I|U|B|E|            Length             |
//! |                              TSN                              |
//! |           Stream id           |   Stream sequence number      |
//! |                 Payload protocol identifier                   |
//! ```

use taut_sansio::codec::Reader;

use super::tlv::padding_of;
use super::{ParseError, Ssn, Tsn, kind};

/// Octets in front of the user data.
pub(crate) const DATA_HEADER: usize = 16;

/// The flags of a DATA chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DataFlags(u8);

impl DataFlags {
    pub(crate) const END: Self = Self(0x01);
    pub(crate) const BEGIN: Self = Self(0x02);
    pub(crate) const UNORDERED: Self = Self(0x04);
    pub(crate) const IMMEDIATE: Self = Self(0x08);

    pub(crate) const fn from_wire(bits: u8) -> Self {
        Self(bits & 0x0f)
    }

    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn is_begin(self) -> bool {
        self.contains(Self::BEGIN)
    }

    pub(crate) const fn is_end(self) -> bool {
        self.contains(Self::END)
    }

    pub(crate) const fn is_unordered(self) -> bool {
        self.contains(Self::UNORDERED)
    }
}

/// Everything of a DATA chunk but the user data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DataHeader {
    pub(crate) flags: DataFlags,
    pub(crate) tsn: Tsn,
    pub(crate) stream: u16,
    pub(crate) ssn: Ssn,
    pub(crate) ppid: u32,
}

impl DataHeader {
    /// Reads the value of a DATA chunk; the user data is what is left in `reader`.
    pub(crate) fn parse(flags: u8, reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            flags: DataFlags::from_wire(flags),
            tsn: Tsn::new(reader.u32()?),
            stream: reader.u16()?,
            ssn: Ssn::new(reader.u16()?),
            ppid: reader.u32()?,
        })
    }

    /// Appends the chunk with its user data and padding; `payload` is below 65,520 octets by the MTU.
    pub(crate) fn write(&self, payload: &[u8], out: &mut Vec<u8>) {
        let length = (DATA_HEADER + payload.len()) as u16;
        let mut head = [0; DATA_HEADER];
        let (a, rest) = head.split_at_mut(4);
        a.copy_from_slice(&[kind::DATA, self.flags.0, length.to_be_bytes()[0], length.to_be_bytes()[1]]);
        let (tsn, rest) = rest.split_at_mut(4);
        tsn.copy_from_slice(&self.tsn.get().to_be_bytes());
        let (stream, rest) = rest.split_at_mut(2);
        stream.copy_from_slice(&self.stream.to_be_bytes());
        let (ssn, ppid) = rest.split_at_mut(2);
        ssn.copy_from_slice(&self.ssn.get().to_be_bytes());
        ppid.copy_from_slice(&self.ppid.to_be_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(payload);
        const PADDING: [u8; 3] = [0; 3];
        out.extend(PADDING.iter().take(padding_of(payload.len())));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Walker;
    use super::*;

    #[test]
    fn what_is_written_parses_back() {
        for length in [1usize, 2, 3, 4, 1100] {
            let header = DataHeader {
                flags: DataFlags::BEGIN.with(DataFlags::UNORDERED),
                tsn: Tsn::new(0x0102_0304),
                stream: 77,
                ssn: Ssn::new(9),
                ppid: 53,
            };
            let payload = vec![5; length];
            let mut out = Vec::new();
            header.write(&payload, &mut out);
            assert_eq!(out.len() % 4, 0);
            let tlv = Walker::new(&out).next().unwrap().unwrap();
            assert_eq!(tlv.kind(), kind::DATA);
            let mut reader = Reader::new(tlv.value);
            assert_eq!(DataHeader::parse(tlv.flags(), &mut reader).unwrap(), header);
            assert_eq!(reader.rest(), payload);
        }
    }
}
