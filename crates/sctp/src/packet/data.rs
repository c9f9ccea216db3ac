//! The DATA chunk (RFC 9260 section 3.3.1) and the I-DATA chunk (RFC 8260 section 2.1).
//!
//! ```text
//! DATA                                                              I-DATA
//! |   Type = 0    |  Res  |I|U|B|E|            Length             | |   Type = 64 ...
//! |                              TSN                              | |              TSN              |
//! |           Stream id           |   Stream sequence number      | |   Stream id   |   Reserved    |
//! |                 Payload protocol identifier                   | |      Message identifier       |
//!                                                                   | PPID, or fragment number of a later one |
//! ```

use taut_sansio::codec::Reader;

use super::tlv::padding_of;
use super::{ParseError, Ssn, Tsn, kind};

/// Octets in front of the user data of a DATA chunk.
pub(crate) const DATA_HEADER: usize = 16;

/// Octets in front of the user data of an I-DATA chunk.
pub(crate) const I_DATA_HEADER: usize = 20;

/// Which chunk carries user data. An association uses one of the two and never both (RFC 8260 section 2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    /// DATA: the fragments of a message have consecutive TSNs.
    #[default]
    Data,
    /// I-DATA: the fragments of messages of different streams may be mixed.
    Interleaved,
}

impl Format {
    /// Octets in front of the user data.
    pub(crate) const fn header_len(self) -> usize {
        match self {
            Self::Data => DATA_HEADER,
            Self::Interleaved => I_DATA_HEADER,
        }
    }

    const fn kind(self) -> u8 {
        match self {
            Self::Data => kind::DATA,
            Self::Interleaved => kind::I_DATA,
        }
    }
}

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

/// Everything of a chunk but the user data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DataHeader {
    pub(crate) flags: DataFlags,
    pub(crate) tsn: Tsn,
    pub(crate) stream: u16,
    /// The message identifier of I-DATA, the stream sequence number of DATA.
    pub(crate) number: u32,
    /// Told by the first fragment only in I-DATA, zero in the others.
    pub(crate) ppid: u32,
    /// The number of the fragment in its message; told by I-DATA only, zero in DATA.
    pub(crate) fsn: u32,
}

impl DataHeader {
    /// The stream sequence number of a DATA chunk.
    pub(crate) fn ssn(&self) -> Ssn {
        Ssn::new(self.number as u16)
    }

    /// Reads the value of a chunk; the user data is what is left in `reader`.
    #[inline]
    pub(crate) fn parse(format: Format, flags: u8, reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let flags = DataFlags::from_wire(flags);
        let tsn = Tsn::new(reader.u32()?);
        let stream = reader.u16()?;
        let ssn = reader.u16()?;
        let word = reader.u32()?;
        let (number, ppid, fsn) = match format {
            Format::Data => (u32::from(ssn), word, 0),
            Format::Interleaved if flags.is_begin() => (word, reader.u32()?, 0),
            Format::Interleaved => (word, 0, reader.u32()?),
        };
        Ok(Self { flags, tsn, stream, number, ppid, fsn })
    }

    /// Appends the chunk with its user data and padding; `payload` is below 65,510 octets by the MTU.
    pub(crate) fn write(&self, format: Format, payload: &[u8], out: &mut Vec<u8>) {
        let length = (format.header_len() + payload.len()) as u16;
        let [la, lb] = length.to_be_bytes();
        let [ta, tb, tc, td] = self.tsn.get().to_be_bytes();
        let [sa, sb] = self.stream.to_be_bytes();
        let [na, nb, nc, nd] = self.number.to_be_bytes();
        let [pa, pb, pc, pd] = self.ppid.to_be_bytes();
        let (kind, flags) = (format.kind(), self.flags.0);
        match format {
            Format::Data => {
                out.extend_from_slice(&[kind, flags, la, lb, ta, tb, tc, td, sa, sb, nc, nd, pa, pb, pc, pd])
            }
            Format::Interleaved => {
                let word = if self.flags.is_begin() { self.ppid } else { self.fsn };
                let [wa, wb, wc, wd] = word.to_be_bytes();
                out.extend_from_slice(&[
                    kind, flags, la, lb, ta, tb, tc, td, sa, sb, 0, 0, na, nb, nc, nd, wa, wb, wc, wd,
                ]);
            }
        }
        out.extend_from_slice(payload);
        let padding = padding_of(payload.len());
        if padding > 0 {
            out.resize(out.len() + padding, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Walker;
    use super::*;

    fn round_trip(format: Format, header: DataHeader, length: usize) {
        let payload = vec![5; length];
        let mut out = Vec::new();
        header.write(format, &payload, &mut out);
        assert_eq!(out.len(), (format.header_len() + length).next_multiple_of(4));
        let tlv = Walker::new(&out).next().unwrap().unwrap();
        assert_eq!(tlv.kind(), format.kind());
        let mut reader = Reader::new(tlv.value);
        assert_eq!(DataHeader::parse(format, tlv.flags(), &mut reader).unwrap(), header);
        assert_eq!(reader.rest(), payload);
        for short in 0..format.header_len() - 4 {
            let mut reader = Reader::new(&tlv.value[..short]);
            assert!(DataHeader::parse(format, tlv.flags(), &mut reader).is_err());
        }
    }

    #[test]
    fn what_is_written_parses_back() {
        let first = DataHeader {
            flags: DataFlags::BEGIN.with(DataFlags::UNORDERED),
            tsn: Tsn::new(0x0102_0304),
            stream: 77,
            number: 9,
            ppid: 53,
            fsn: 0,
        };
        let later =
            DataHeader { flags: DataFlags::END, number: 0x0909_0909, ppid: 0, fsn: 0x8007_0000, ..first };
        for length in [1usize, 2, 3, 4, 1100] {
            round_trip(Format::Data, first, length);
            round_trip(Format::Interleaved, first, length);
            round_trip(Format::Interleaved, later, length);
        }
    }
}
