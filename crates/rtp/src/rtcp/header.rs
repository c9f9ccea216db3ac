//! The common RTCP header (RFC 3550 section 6.4.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! |V=2|P|  count  |  packet type  |   length in words, less one   |
//! ```

use taut_sansio::codec::Reader;

use super::ParseError;

/// Sender report.
pub(super) const SR: u8 = 200;
/// Receiver report.
pub(super) const RR: u8 = 201;
/// Source description.
pub(super) const SDES: u8 = 202;
/// Goodbye.
pub(super) const BYE: u8 = 203;
/// Application-defined.
pub(super) const APP: u8 = 204;
/// Transport-layer feedback (RFC 4585 section 6.1).
pub(super) const RTPFB: u8 = 205;
/// Payload-specific feedback (RFC 4585 section 6.1).
pub(super) const PSFB: u8 = 206;

/// The octets of the header.
pub(super) const LEN: usize = 4;
/// The most items that the five bits of a count can name.
pub(super) const MAX_COUNT: usize = 31;
/// The most octets after the header: the length field counts 65,535 words.
pub(super) const MAX_BODY: usize = 65_535 * 4;

/// A parsed header; lengths and padding are already dealt with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) packet_type: u8,
    /// Report count, source count, subtype or feedback format: five bits.
    pub(super) count: u8,
}

impl Header {
    /// Reads a header and the body it announces, without padding. Fails with [`ParseError::Version`],
    /// [`ParseError::Short`] or [`ParseError::Length`] when the next packet cannot be found either.
    pub(super) fn parse<'a>(reader: &mut Reader<'a>) -> Result<(Self, Reader<'a>), ParseError> {
        let first = reader.u8()?;
        if first >> 6 != 2 {
            return Err(ParseError::Version);
        }
        let packet_type = reader.u8()?;
        let length = usize::from(reader.u16()?) * 4;
        let body = reader.take(length).map_err(|_| ParseError::Length)?;
        let body = if first & 0x20 == 0 { body } else { strip_padding(body).ok_or(ParseError::Padding)? };
        Ok((Self { packet_type, count: first & 0x1f }, Reader::new(body)))
    }

    /// Reads a header of this packet type (and this feedback format, where `format` is given).
    pub(super) fn expect<'a>(
        reader: &mut Reader<'a>,
        packet_type: u8,
        format: Option<u8>,
    ) -> Result<(Self, Reader<'a>), ParseError> {
        let (header, body) = Self::parse(reader)?;
        if header.packet_type != packet_type || format.is_some_and(|format| format != header.count) {
            return Err(ParseError::Kind);
        }
        Ok((header, body))
    }
}

fn strip_padding(body: &[u8]) -> Option<&[u8]> {
    let count = usize::from(*body.last()?);
    if count == 0 || !count.is_multiple_of(4) {
        return None;
    }
    body.get(..body.len().checked_sub(count)?)
}

/// Appends the header of a packet of `encoded_len` octets, which is a multiple of four and at most
/// `LEN + MAX_BODY`.
pub(super) fn write(packet_type: u8, count: u8, encoded_len: usize, out: &mut Vec<u8>) {
    debug_assert!(encoded_len.is_multiple_of(4) && (LEN..=LEN + MAX_BODY).contains(&encoded_len));
    let [high, low] = ((encoded_len / 4).saturating_sub(1) as u16).to_be_bytes();
    out.extend_from_slice(&[0x80 | (count & 0x1f), packet_type, high, low]);
}

/// Appends zeros after `written` octets up to a whole word.
pub(super) fn fill(written: usize, out: &mut Vec<u8>) {
    let zeros = written.next_multiple_of(4).saturating_sub(written);
    out.resize(out.len() + zeros, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_stripped_or_refused() {
        let packet =
            |octets: &[u8]| Header::parse(&mut Reader::new(octets)).map(|(_, body)| body.remaining());
        assert_eq!(packet(&[0xa0, 201, 0, 2, 1, 2, 3, 4, 0, 0, 0, 4]), Ok(4));
        assert_eq!(packet(&[0xa0, 201, 0, 2, 0, 0, 0, 0, 0, 0, 0, 8]), Ok(0));
        for count in [0, 1, 3, 5, 12, 255] {
            assert_eq!(packet(&[0xa0, 201, 0, 2, 0, 0, 0, 0, 0, 0, 0, count]), Err(ParseError::Padding));
        }
        assert_eq!(packet(&[0xa0, 201, 0, 0]), Err(ParseError::Padding));
    }

    #[test]
    fn framing_errors_are_told_apart() {
        let error = |octets: &[u8]| Header::parse(&mut Reader::new(octets)).map(|_| ()).unwrap_err();
        assert_eq!(error(&[0x80, 201, 0]), ParseError::Short);
        assert_eq!(error(&[0x40, 201, 0, 0]), ParseError::Version);
        assert_eq!(error(&[0x80, 201, 0, 1, 0, 0, 0]), ParseError::Length);
        let mut reader = Reader::new(&[0x81, 206, 0, 0]);
        assert!(matches!(Header::expect(&mut reader, PSFB, Some(2)), Err(ParseError::Kind)));
    }
}
