//! ChannelData (RFC 8656 section 12.4): four octets before the payload, and the numbers of channels (section 12).

use taut_sansio::codec::{Reader, Short};

/// The length of the header.
pub(crate) const HEADER_LEN: usize = 4;

/// The number of a channel: 0x4000 to 0x7fff, as RFC 5766 has it and clients choose it. Those from 0x5000 on collide with
/// nothing on the path to a TURN server; our own client stays below, as RFC 8656 wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The first number.
    pub const FIRST: Self = Self(0x4000);
    /// The last number that is chosen.
    pub const LAST: Self = Self(0x4fff);
    /// The last number that is taken.
    const LAST_TAKEN: Self = Self(0x7fff);

    /// The channel with this number, if it is one.
    pub fn new(number: u16) -> Option<Self> {
        (Self::FIRST.0..=Self::LAST_TAKEN.0).contains(&number).then_some(Self(number))
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }

    /// The next number; the first one comes after the last.
    pub fn next(self) -> Self {
        if self < Self::LAST { Self(self.0.saturating_add(1)) } else { Self::FIRST }
    }
}

/// Why octets are not ChannelData.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Shorter than the header, or than the length in it.
    #[error("shorter than its header says")]
    TooShort,
    /// The first two octets are not the number of a channel.
    #[error("not the number of a channel")]
    BadNumber,
}

impl From<Short> for ParseError {
    fn from(_: Short) -> Self {
        Self::TooShort
    }
}

/// True if `datagram`, on a path between a client and its server, claims to be ChannelData: its first two bits are 01 (RFC
/// 8656 section 12.4). Where other protocols share the path, those from 80 on are theirs (RFC 7983 section 7).
pub fn is_channel_data(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0x40..=0x7f))
}

/// A checked view over one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelData<'a> {
    number: ChannelNumber,
    payload: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Checks the header of a whole datagram. What follows the payload is padding, and ignored.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(datagram);
        let number = ChannelNumber::new(reader.u16()?).ok_or(ParseError::BadNumber)?;
        let length = reader.u16()?;
        Ok(Self { number, payload: reader.take(usize::from(length))? })
    }

    /// The number of the channel.
    pub fn number(&self) -> ChannelNumber {
        self.number
    }

    /// What is relayed.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Writes the header of a message, whose payload has `length` octets, into the four octets that were kept free for it.
pub(crate) fn patch_header(place: &mut [u8], number: ChannelNumber, length: u16) {
    let ([a, b], [c, d]) = (number.get().to_be_bytes(), length.to_be_bytes());
    place.iter_mut().zip([a, b, c, d]).for_each(|(place, octet)| *place = octet);
}

/// How many octets of padding follow `length` octets in a stream, where every message ends on a multiple of four
/// (section 12.5).
pub(crate) fn padding(length: usize) -> usize {
    length.next_multiple_of(4).saturating_sub(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_checked() {
        let parse = |octets| ChannelData::parse(octets);
        let good = parse(&[0x40, 1, 0, 2, 7, 8]).unwrap();
        assert_eq!((good.number().get(), good.payload()), (0x4001, &[7u8, 8][..]));
        assert_eq!(parse(&[0x40, 1, 0, 2, 7, 8, 0, 0]), Ok(good), "padding is not payload");
        assert_eq!(parse(&[0x40, 1, 0, 3, 7, 8]), Err(ParseError::TooShort));
        assert_eq!(parse(&[0x40, 1, 0]), Err(ParseError::TooShort));
        assert_eq!(parse(&[0x7f, 0xff, 0, 0]).map(|view| view.number().get()), Ok(0x7fff));
        assert_eq!(parse(&[0x80, 0, 0, 0]), Err(ParseError::BadNumber));
        assert_eq!(parse(&[0x3f, 0xff, 0, 0]), Err(ParseError::BadNumber));
    }

    #[test]
    fn the_number_after_the_last_is_the_first() {
        assert_eq!(ChannelNumber::FIRST.next().get(), 0x4001);
        assert_eq!(ChannelNumber::LAST.next(), ChannelNumber::FIRST);
    }

    #[test]
    fn the_header_is_what_parses() {
        let mut datagram = vec![0; 4];
        datagram.extend_from_slice(b"abc");
        patch_header(&mut datagram[..4], ChannelNumber::LAST, 3);
        let view = ChannelData::parse(&datagram).unwrap();
        assert_eq!((view.number(), view.payload()), (ChannelNumber::LAST, &b"abc"[..]));
        assert_eq!([0, 1, 2, 3, 4, 5].map(padding), [0, 3, 2, 1, 0, 3]);
    }
}
