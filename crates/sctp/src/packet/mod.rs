//! The wire: common header, checksum, and a file per chunk, parameter and cause family (RFC 9260 section 3).

pub(crate) mod cause;
pub(crate) mod data;
pub(crate) mod forward_tsn;
pub(crate) mod init;
pub(crate) mod parameter;
pub(crate) mod reconfig;
pub(crate) mod sack;
pub(crate) mod tlv;

use crc_fast::{CrcAlgorithm, Digest};
pub(crate) use tlv::{TlvError, Walker, chunk_head, put_tlv};

/// Octets of the common header (RFC 9260 section 3.1).
pub(crate) const HEADER_LEN: usize = 12;

/// Chunk types (RFC 9260 section 3.2 table 1; 64 and 194: RFC 8260 sections 2.1 and 2.3.1; 130: RFC 6525 section
/// 3.1; 132: RFC 4820 section 3; 192: RFC 3758 section 3.2).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const INIT: u8 = 1;
    pub(crate) const INIT_ACK: u8 = 2;
    pub(crate) const SACK: u8 = 3;
    pub(crate) const HEARTBEAT: u8 = 4;
    pub(crate) const HEARTBEAT_ACK: u8 = 5;
    pub(crate) const ABORT: u8 = 6;
    pub(crate) const SHUTDOWN: u8 = 7;
    pub(crate) const SHUTDOWN_ACK: u8 = 8;
    pub(crate) const ERROR: u8 = 9;
    pub(crate) const COOKIE_ECHO: u8 = 10;
    pub(crate) const COOKIE_ACK: u8 = 11;
    pub(crate) const SHUTDOWN_COMPLETE: u8 = 14;
    pub(crate) const I_DATA: u8 = 64;
    pub(crate) const RE_CONFIG: u8 = 130;
    pub(crate) const PAD: u8 = 132;
    pub(crate) const FORWARD_TSN: u8 = 192;
    pub(crate) const I_FORWARD_TSN: u8 = 194;
}

/// The T bit of ABORT and SHUTDOWN COMPLETE: the tag is a reflected one (RFC 9260 section 3.3.7).
pub(crate) const FLAG_T: u8 = 0x01;

taut_sansio::serial_number! {
    /// A transmission sequence number (RFC 9260 section 1.6).
    pub(crate) struct Tsn(u32);
}

taut_sansio::serial_number! {
    /// A stream sequence number (RFC 9260 section 1.6).
    pub(crate) struct Ssn(u16);
}

taut_sansio::serial_number! {
    /// A message identifier (RFC 8260 section 1.3).
    pub(crate) struct Mid(u32);
}

/// Why a packet or a chunk did not parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    #[error("the packet is shorter than its header")]
    Header,
    #[error("the checksum is wrong")]
    Checksum,
    #[error("a chunk is too short for its fixed fields")]
    Short,
    #[error("a mandatory value is zero or missing")]
    Missing,
    #[error("an item inside a chunk is malformed")]
    Item(#[from] TlvError),
    #[error("the counts of a chunk do not match its length")]
    Count,
}

impl From<taut_sansio::codec::Short> for ParseError {
    fn from(_: taut_sansio::codec::Short) -> Self {
        Self::Short
    }
}

/// The common header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) tag: u32,
}

/// Whether a packet may have zero for its checksum (RFC 9653).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// CRC32c, as RFC 9260 has it.
    Crc32c,
    /// None: something below finds errors.
    Zero,
}

impl Header {
    /// Checks the checksum and reads the header; the chunks follow. With [`Checksum::Zero`] a checksum of zero is
    /// taken too, but not with the chunks that come before their sender can know that it may.
    pub(crate) fn parse(packet: &[u8], accept: Checksum) -> Result<(Self, &[u8]), ParseError> {
        let (head, chunks) = packet.split_first_chunk::<HEADER_LEN>().ok_or(ParseError::Header)?;
        let &[a, b, c, d, e, f, g, h, ref claimed @ ..] = head;
        let claimed = u32::from_le_bytes(*claimed);
        let may_be_zero =
            accept == Checksum::Zero && !matches!(chunks.first(), Some(&(kind::INIT | kind::COOKIE_ECHO)));
        if !(claimed == 0 && may_be_zero) && claimed != checksum(&[a, b, c, d, e, f, g, h], chunks) {
            return Err(ParseError::Checksum);
        }
        let header = Self {
            source: u16::from_be_bytes([a, b]),
            destination: u16::from_be_bytes([c, d]),
            tag: u32::from_be_bytes([e, f, g, h]),
        };
        Ok((header, chunks))
    }

    /// Appends the header, with the checksum left zero for [`finish`].
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let [a, b] = self.source.to_be_bytes();
        let [c, d] = self.destination.to_be_bytes();
        let [e, f, g, h] = self.tag.to_be_bytes();
        out.extend_from_slice(&[a, b, c, d, e, f, g, h, 0, 0, 0, 0]);
    }
}

/// CRC32c over a packet whose checksum field is taken as zero. `head` is what stands before that field.
fn checksum(head: &[u8; 8], rest: &[u8]) -> u32 {
    let mut front = [0; HEADER_LEN];
    if let Some(place) = front.first_chunk_mut() {
        *place = *head;
    }
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&front);
    digest.update(rest);
    digest.finalize() as u32
}

/// Puts the checksum into the packet that starts at `start`. SCTP sends CRC32c least significant octet first
/// (RFC 9260 appendix A).
pub(crate) fn finish(out: &mut [u8], start: usize) {
    let Some(packet) = out.get_mut(start..) else { return };
    let sum = crc_fast::crc32_iscsi(packet);
    if let Some(place) = packet.get_mut(8..HEADER_LEN) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
}

/// What the two high bits of an unknown type ask for (RFC 9260 sections 3.2 and 3.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// Go on with what follows.
    pub(crate) skip: bool,
    /// Tell the sender.
    pub(crate) report: bool,
}

impl Unknown {
    /// For an 8-bit chunk type.
    pub(crate) fn chunk(kind: u8) -> Self {
        Self { skip: kind & 0x80 != 0, report: kind & 0x40 != 0 }
    }

    /// For a 16-bit parameter type.
    pub(crate) fn parameter(kind: u16) -> Self {
        Self::chunk(kind.to_be_bytes()[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_agrees_with_rfc_7143() {
        let text = include_str!("../../tests/data/rfc7143-crc32c.json");
        let file: serde_json::Value = serde_json::from_str(text).unwrap();
        for vector in file["vectors"].as_array().unwrap() {
            let hex = vector["input"].as_str().unwrap();
            let input: Vec<u8> =
                (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
            let want = u32::from_str_radix(vector["crc32c_u32"].as_str().unwrap(), 16).unwrap();
            assert_eq!(crc_fast::crc32_iscsi(&input), want, "{}", vector["id"]);
        }
    }

    #[test]
    fn a_finished_packet_parses_and_any_bit_breaks_it() {
        let header = Header { source: 5000, destination: 5001, tag: 0x0102_0304 };
        let mut out = vec![9; 3];
        header.write(&mut out);
        out.extend_from_slice(&[11, 0, 0, 4]);
        finish(&mut out, 3);
        let packet = &out[3..];
        let parse = |packet: &[u8]| {
            Header::parse(packet, Checksum::Crc32c).map(|(header, chunks)| (header, chunks.len()))
        };
        assert_eq!(parse(packet), Ok((header, 4)));
        for bit in 0..packet.len() * 8 {
            let mut bad = packet.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&bad), Err(ParseError::Checksum));
        }
        assert_eq!(parse(&packet[..11]), Err(ParseError::Header));
    }

    #[test]
    fn zero_is_a_checksum_where_it_was_agreed_and_not_in_the_handshake() {
        for (kind, accept, good) in [
            (kind::DATA, Checksum::Zero, true),
            (kind::DATA, Checksum::Crc32c, false),
            (kind::INIT, Checksum::Zero, false),
            (kind::COOKIE_ECHO, Checksum::Zero, false),
        ] {
            let mut packet = Vec::new();
            Header { source: 1, destination: 2, tag: 3 }.write(&mut packet);
            packet.extend_from_slice(&[kind, 0, 0, 4]);
            assert_eq!(Header::parse(&packet, accept).is_ok(), good, "{kind}");
            packet[9] = 1;
            assert_eq!(Header::parse(&packet, accept), Err(ParseError::Checksum), "neither zero nor right");
        }
    }
}
