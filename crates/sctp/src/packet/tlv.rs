//! The one walker over type-length-value items: chunks, parameters and error causes (RFC 9260 sections 3.2,
//! 3.2.1 and 3.3.10). There is no second one, so that two readers can never disagree where an item ends.

use taut_sansio::codec::Reader;

/// Octets of type and length in front of every value.
pub(crate) const TLV_HEADER: usize = 4;

/// How an item was malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlvError {
    /// The header is cut off.
    #[error("the header of an item is cut off")]
    Short,
    /// The length does not even cover the header.
    #[error("the length of an item is below four")]
    Length,
    /// The length goes past the end.
    #[error("an item goes past the end")]
    Truncated,
}

/// One item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tlv<'a> {
    /// The first two octets: a 16-bit type, or a chunk's type and flags.
    pub(crate) head: u16,
    /// What follows the header, without padding.
    pub(crate) value: &'a [u8],
    /// Header and value, without padding: what is quoted in a report of something unrecognized.
    pub(crate) whole: &'a [u8],
}

impl Tlv<'_> {
    /// A chunk's type.
    pub(crate) fn kind(&self) -> u8 {
        self.head.to_be_bytes()[0]
    }

    /// A chunk's flags.
    pub(crate) fn flags(&self) -> u8 {
        self.head.to_be_bytes()[1]
    }
}

/// Goes through items; after an error it ends.
#[derive(Debug, Clone)]
pub(crate) struct Walker<'a> {
    reader: Reader<'a>,
}

impl<'a> Walker<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { reader: Reader::new(input) }
    }

    /// Nothing follows.
    pub(crate) fn is_empty(&self) -> bool {
        self.reader.is_empty()
    }

    fn step(&mut self) -> Result<Tlv<'a>, TlvError> {
        let mut header = self.reader.clone();
        let head = header.u16().map_err(|_| TlvError::Short)?;
        let length = usize::from(header.u16().map_err(|_| TlvError::Short)?);
        if length < TLV_HEADER {
            return Err(TlvError::Length);
        }
        let whole = self.reader.take(length).map_err(|_| TlvError::Truncated)?;
        // The padding of the last item may be missing (RFC 9260 section 3.2: a receiver should tolerate it).
        let padding = padding_of(length).min(self.reader.remaining());
        self.reader.skip(padding).map_err(|_| TlvError::Truncated)?;
        let value = whole.get(TLV_HEADER..).ok_or(TlvError::Length)?;
        Ok(Tlv { head, value, whole })
    }
}

impl<'a> Iterator for Walker<'a> {
    type Item = Result<Tlv<'a>, TlvError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let item = self.step();
        if item.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(item)
    }
}

/// Zero octets that bring `length` to a multiple of four.
pub(crate) const fn padding_of(length: usize) -> usize {
    (4 - length % 4) % 4
}

/// `length` with its padding.
pub(crate) const fn padded(length: usize) -> usize {
    length + padding_of(length)
}

/// Appends one item: header, what `body` appends, padding. The length is patched afterwards; a body over 65,531
/// octets is cut off there, which no caller comes near.
pub(crate) fn put_tlv(out: &mut Vec<u8>, head: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&head.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    body(out);
    let length = out.len().saturating_sub(start).min(usize::from(u16::MAX));
    out.truncate(start + length);
    if let Some(place) = out.get_mut(start + 2..start + 4) {
        place.copy_from_slice(&(length as u16).to_be_bytes());
    }
    out.resize(start + padded(length), 0);
}

/// The head of a chunk.
pub(crate) const fn chunk_head(kind: u8, flags: u8) -> u16 {
    u16::from_be_bytes([kind, flags])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_items_with_padding_and_without_the_last_padding() {
        let mut out = Vec::new();
        put_tlv(&mut out, 0x0102, |o| o.extend_from_slice(b"abcde"));
        put_tlv(&mut out, 0x0304, |_| {});
        put_tlv(&mut out, 0x0506, |o| o.push(7));
        out.truncate(out.len() - 3);
        let items: Vec<_> = Walker::new(&out).map(Result::unwrap).collect();
        assert_eq!(items.iter().map(|t| t.head).collect::<Vec<_>>(), [0x0102, 0x0304, 0x0506]);
        assert_eq!(items[0].value, b"abcde");
        assert_eq!((items[0].kind(), items[0].flags()), (1, 2));
        assert_eq!(items[1].whole, [3, 4, 0, 4]);
        assert_eq!(items[2].value, [7]);
    }

    #[test]
    fn bad_lengths_end_the_walk() {
        for length in 0..4u8 {
            let input = [1, 0, 0, length];
            let mut walker = Walker::new(&input);
            assert_eq!(walker.next().unwrap().unwrap_err(), TlvError::Length);
            assert!(walker.next().is_none());
        }
        assert_eq!(Walker::new(&[1, 0, 0, 5]).next().unwrap().unwrap_err(), TlvError::Truncated);
        assert_eq!(Walker::new(&[1, 0, 0]).next().unwrap().unwrap_err(), TlvError::Short);
    }
}
