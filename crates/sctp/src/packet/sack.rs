//! SACK (RFC 9260 section 3.3.4).

use taut_sansio::codec::Reader;

use super::{ParseError, Tsn, chunk_head, kind, put_tlv};

/// Octets of a SACK without gap blocks and duplicates, header included.
pub(crate) const SACK_HEADER: usize = 16;

/// Octets of one gap block or duplicate.
pub(crate) const SACK_ITEM: usize = 4;

/// A checked view over a received SACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SackView<'a> {
    pub(crate) cumulative: Tsn,
    pub(crate) window: u32,
    gaps: &'a [u8],
    duplicates: &'a [u8],
}

impl<'a> SackView<'a> {
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(value);
        let cumulative = Tsn::new(reader.u32()?);
        let window = reader.u32()?;
        let gaps = usize::from(reader.u16()?);
        let duplicates = usize::from(reader.u16()?);
        let gaps = reader.take(gaps * SACK_ITEM).map_err(|_| ParseError::Count)?;
        let duplicates = reader.take(duplicates * SACK_ITEM).map_err(|_| ParseError::Count)?;
        Ok(Self { cumulative, window, gaps, duplicates })
    }

    /// What a SHUTDOWN acknowledges (RFC 9260 section 3.3.8).
    pub(crate) fn without_gaps(cumulative: Tsn, window: u32) -> Self {
        Self { cumulative, window, gaps: &[], duplicates: &[] }
    }

    /// Gap blocks as offsets from the cumulative TSN, first and last inclusive.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (u16, u16)> + 'a {
        self.gaps
            .as_chunks::<SACK_ITEM>()
            .0
            .iter()
            .map(|&[a, b, c, d]| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    /// What came more than once.
    pub(crate) fn duplicates(&self) -> impl Iterator<Item = Tsn> + 'a {
        self.duplicates.as_chunks::<SACK_ITEM>().0.iter().map(|&tsn| Tsn::new(u32::from_be_bytes(tsn)))
    }
}

/// Appends a SACK.
pub(crate) fn write(
    out: &mut Vec<u8>,
    cumulative: Tsn,
    window: u32,
    gaps: impl ExactSizeIterator<Item = (u16, u16)>,
    duplicates: impl ExactSizeIterator<Item = Tsn>,
) {
    put_tlv(out, chunk_head(kind::SACK, 0), |out| {
        out.extend_from_slice(&cumulative.get().to_be_bytes());
        out.extend_from_slice(&window.to_be_bytes());
        out.extend_from_slice(&(gaps.len() as u16).to_be_bytes());
        out.extend_from_slice(&(duplicates.len() as u16).to_be_bytes());
        for (first, last) in gaps {
            out.extend_from_slice(&first.to_be_bytes());
            out.extend_from_slice(&last.to_be_bytes());
        }
        for tsn in duplicates {
            out.extend_from_slice(&tsn.get().to_be_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_parses_back() {
        let mut out = Vec::new();
        let gaps = [(2u16, 3u16), (5, 9)];
        write(&mut out, Tsn::new(7), 1000, gaps.into_iter(), [Tsn::new(4)].into_iter());
        assert_eq!(out.len(), SACK_HEADER + 3 * SACK_ITEM);
        let view = SackView::parse(&out[4..]).unwrap();
        assert_eq!((view.cumulative, view.window), (Tsn::new(7), 1000));
        assert_eq!(view.gaps().collect::<Vec<_>>(), gaps);
        for length in 4..out.len() {
            assert!(SackView::parse(&out[4..length]).is_err());
        }
    }

    #[test]
    fn counts_beyond_the_chunk_are_refused() {
        let mut value = vec![0; 12];
        value[8] = 0xff;
        assert_eq!(SackView::parse(&value), Err(ParseError::Count));
        value[8] = 0;
        value[10] = 0xff;
        assert_eq!(SackView::parse(&value), Err(ParseError::Count));
    }
}
