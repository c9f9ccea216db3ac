//! FORWARD TSN (RFC 3758 section 3.2).

use taut_sansio::codec::Reader;

use super::{ParseError, Ssn, Tsn, chunk_head, kind, put_tlv};

/// Octets of the chunk without stream entries, header included.
pub(crate) const FORWARD_HEADER: usize = 8;

/// Octets of one stream entry.
pub(crate) const FORWARD_ITEM: usize = 4;

/// A checked view over a received FORWARD TSN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForwardTsnView<'a> {
    pub(crate) cumulative: Tsn,
    streams: &'a [u8],
}

impl<'a> ForwardTsnView<'a> {
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(value);
        let cumulative = Tsn::new(reader.u32()?);
        let streams = reader.rest();
        if streams.len() % FORWARD_ITEM != 0 {
            return Err(ParseError::Count);
        }
        Ok(Self { cumulative, streams })
    }

    /// The highest skipped sequence number of each ordered stream.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (u16, Ssn)> + 'a {
        self.streams
            .as_chunks::<FORWARD_ITEM>()
            .0
            .iter()
            .map(|&[a, b, c, d]| (u16::from_be_bytes([a, b]), Ssn::new(u16::from_be_bytes([c, d]))))
    }
}

/// Appends a FORWARD TSN.
pub(crate) fn write(out: &mut Vec<u8>, cumulative: Tsn, streams: impl Iterator<Item = (u16, Ssn)>) {
    put_tlv(out, chunk_head(kind::FORWARD_TSN, 0), |out| {
        out.extend_from_slice(&cumulative.get().to_be_bytes());
        for (stream, ssn) in streams {
            out.extend_from_slice(&stream.to_be_bytes());
            out.extend_from_slice(&ssn.get().to_be_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_parses_back() {
        let mut out = Vec::new();
        let streams = [(1, Ssn::new(2)), (3, Ssn::new(4))];
        write(&mut out, Tsn::new(9), streams.into_iter());
        assert_eq!(out.len(), FORWARD_HEADER + 2 * FORWARD_ITEM);
        let view = ForwardTsnView::parse(&out[4..]).unwrap();
        assert_eq!(view.cumulative, Tsn::new(9));
        assert_eq!(view.streams().collect::<Vec<_>>(), streams);
        assert_eq!(ForwardTsnView::parse(&out[4..9]), Err(ParseError::Count));
        assert_eq!(ForwardTsnView::parse(&out[4..6]), Err(ParseError::Short));
    }
}
