//! Reading the wire: a cursor that makes out-of-bounds access impossible.
//!
//! All arithmetic on lengths is in here; a parser above it contains no index expression. Writing needs no twin:
//! messages append big-endian bytes to a `Vec<u8>`, with [`put_length_u16`] for lengths known afterwards.

/// There were fewer octets than the format asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the input ended too early")]
pub struct Short;

/// There were octets left after the last field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("octets were left over after the last field")]
pub struct Leftover;

/// A cursor over borrowed octets. Every read either succeeds whole or returns [`Short`] and moves nothing.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `input`.
    #[inline]
    pub fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// How many octets are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// True once nothing is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` octets.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Short> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or(Short)?;
        self.rest = tail;
        Ok(head)
    }

    /// The next `N` octets as an array.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(Short)?;
        self.rest = tail;
        Ok(*head)
    }

    /// One octet.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Short> {
        self.array::<1>().map(|[octet]| octet)
    }

    /// A 16-bit number in network order.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_be_bytes)
    }

    /// A 24-bit number in network order.
    #[inline]
    pub fn u24(&mut self) -> Result<u32, Short> {
        self.array::<3>().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// A 32-bit number in network order.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_be_bytes)
    }

    /// A 64-bit number in network order.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_be_bytes)
    }

    /// A cursor over the next `n` octets, which this one skips.
    #[inline]
    pub fn sub(&mut self, n: usize) -> Result<Reader<'a>, Short> {
        self.take(n).map(Reader::new)
    }

    /// The next octet, without moving.
    #[inline]
    pub fn peek_u8(&self) -> Result<u8, Short> {
        self.rest.first().copied().ok_or(Short)
    }

    /// Skips `n` octets.
    #[inline]
    pub fn skip(&mut self, n: usize) -> Result<(), Short> {
        self.take(n).map(|_| ())
    }

    /// Everything that is left; the cursor is empty afterwards.
    #[inline]
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Asserts that nothing is left.
    #[inline]
    pub fn finish(self) -> Result<(), Leftover> {
        if self.rest.is_empty() { Ok(()) } else { Err(Leftover) }
    }
}

/// Appends octets with a 16-bit length in front, which `write` need not know beforehand.
///
/// Returns `false`, with `out` as it was, when `write` appended more than 65,535 octets.
#[must_use]
pub fn put_length_u16(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    let body = out.len();
    write(out);
    match u16::try_from(out.len().saturating_sub(body)) {
        Ok(length) => {
            if let Some(place) = out.get_mut(start..body) {
                place.copy_from_slice(&length.to_be_bytes());
            }
            true
        }
        Err(_) => {
            out.truncate(start);
            false
        }
    }
}

/// Asserts for a wire value that `write` gives exactly `encoded_len` octets and that they parse back to the same
/// value. The type has `parse(&mut Reader) -> Result<Self, _>`, `encoded_len(&self)` and `write(&self, &mut Vec<u8>)`.
#[macro_export]
macro_rules! assert_wire {
    ($type:ty, $value:expr) => {{
        let value: $type = $value;
        let mut out = ::std::vec::Vec::new();
        value.write(&mut out);
        assert_eq!(out.len(), value.encoded_len(), "encoded_len of {value:?}");
        let mut reader = $crate::codec::Reader::new(&out);
        let back = <$type>::parse(&mut reader).expect("what was written parses");
        assert!(reader.is_empty(), "octets left over of {value:?}");
        assert_eq!(back, value);
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_order_and_stops_at_the_end() {
        let mut reader = Reader::new(&[1, 0, 2, 0, 0, 3, 0, 0, 0, 4, 9, 9]);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(2));
        assert_eq!(reader.u24(), Ok(3));
        assert_eq!(reader.peek_u8(), Ok(0));
        assert_eq!(reader.u32(), Ok(4));
        assert_eq!(reader.u32(), Err(Short));
        assert_eq!(reader.remaining(), 2, "a failed read moves nothing");
        assert_eq!(reader.clone().finish(), Err(Leftover));
        assert_eq!(reader.rest(), &[9, 9]);
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn sub_bounds_the_inner_reader() {
        let mut reader = Reader::new(&[1, 2, 3]);
        let mut inner = reader.sub(2).unwrap();
        assert_eq!(inner.take(3), Err(Short));
        assert_eq!(inner.take(2), Ok(&[1u8, 2][..]));
        assert_eq!(reader.remaining(), 1);
        assert_eq!(reader.skip(2), Err(Short));
        assert!(reader.sub(usize::MAX).is_err());
    }

    #[test]
    fn lengths_are_patched_or_the_output_is_untouched() {
        let mut out = vec![7];
        assert!(put_length_u16(&mut out, |o| o.extend_from_slice(b"abc")));
        assert_eq!(out, [7, 0, 3, b'a', b'b', b'c']);
        assert!(!put_length_u16(&mut out, |o| o.resize(o.len() + 65_536, 0)));
        assert_eq!(out.len(), 6);
    }
}
