//! FORWARD TSN (RFC 3758 section 3.2) and I-FORWARD-TSN (RFC 8260 section 2.3.1).

use taut_sansio::codec::Reader;

use super::data::Format;
use super::{ParseError, Tsn, chunk_head, kind, put_tlv};

/// Octets of the chunk without stream entries, header included.
pub(crate) const FORWARD_HEADER: usize = 8;

/// The most octets of one stream entry.
pub(crate) const FORWARD_ITEM_MAX: usize = 8;

/// The messages of one kind on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lane {
    pub(crate) stream: u16,
    pub(crate) unordered: bool,
}

/// A checked view over a received FORWARD TSN or I-FORWARD-TSN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForwardTsnView<'a> {
    pub(crate) cumulative: Tsn,
    format: Format,
    streams: &'a [u8],
}

/// Octets of one stream entry.
pub(crate) const fn item_len(format: Format) -> usize {
    match format {
        Format::Data => 4,
        Format::Interleaved => FORWARD_ITEM_MAX,
    }
}

impl<'a> ForwardTsnView<'a> {
    pub(crate) fn parse(format: Format, value: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(value);
        let cumulative = Tsn::new(reader.u32()?);
        let streams = reader.rest();
        if streams.len() % item_len(format) != 0 {
            return Err(ParseError::Count);
        }
        Ok(Self { cumulative, format, streams })
    }

    /// The highest skipped number of each stream: of its ordered messages, and in I-FORWARD-TSN of its unordered
    /// ones. The number of a message is the stream sequence number, or the message identifier.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (Lane, u32)> + 'a {
        let mut reader = Reader::new(self.streams);
        let format = self.format;
        std::iter::from_fn(move || {
            let stream = reader.u16().ok()?;
            let second = reader.u16().ok()?;
            match format {
                Format::Data => Some((Lane { stream, unordered: false }, u32::from(second))),
                Format::Interleaved => {
                    Some((Lane { stream, unordered: second & 1 != 0 }, reader.u32().ok()?))
                }
            }
        })
    }
}

/// Appends a FORWARD TSN, or an I-FORWARD-TSN.
pub(crate) fn write(
    format: Format,
    out: &mut Vec<u8>,
    cumulative: Tsn,
    lanes: impl Iterator<Item = (Lane, u32)>,
) {
    let kind = match format {
        Format::Data => kind::FORWARD_TSN,
        Format::Interleaved => kind::I_FORWARD_TSN,
    };
    put_tlv(out, chunk_head(kind, 0), |out| {
        out.extend_from_slice(&cumulative.get().to_be_bytes());
        for (lane, number) in lanes {
            out.extend_from_slice(&lane.stream.to_be_bytes());
            match format {
                Format::Data => out.extend_from_slice(&(number as u16).to_be_bytes()),
                Format::Interleaved => {
                    out.extend_from_slice(&u16::from(lane.unordered).to_be_bytes());
                    out.extend_from_slice(&number.to_be_bytes());
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_parses_back() {
        let ordered = |stream| Lane { stream, unordered: false };
        let unordered = Lane { stream: 3, unordered: true };
        for (format, lanes) in [
            (Format::Data, [(ordered(1), 2), (ordered(3), 65_535)]),
            (Format::Interleaved, [(ordered(1), 2), (unordered, u32::MAX)]),
        ] {
            let mut out = Vec::new();
            write(format, &mut out, Tsn::new(9), lanes.into_iter());
            assert_eq!(out.len(), FORWARD_HEADER + 2 * item_len(format));
            let view = ForwardTsnView::parse(format, &out[4..]).unwrap();
            assert_eq!(view.cumulative, Tsn::new(9));
            assert_eq!(view.lanes().collect::<Vec<_>>(), lanes);
            assert_eq!(ForwardTsnView::parse(format, &out[4..11]), Err(ParseError::Count));
            assert_eq!(ForwardTsnView::parse(format, &out[4..6]), Err(ParseError::Short));
        }
    }
}
