//! RE-CONFIG and its parameters (RFC 6525 sections 3.1 and 4).

use taut_sansio::codec::Reader;

use super::{ParseError, Tsn, Walker, chunk_head, kind, put_tlv};

/// Parameter types of RFC 6525 section 4.
mod reconfig_kind {
    pub(super) const OUTGOING_RESET: u16 = 13;
    pub(super) const INCOMING_RESET: u16 = 14;
    pub(super) const TSN_RESET: u16 = 15;
    pub(super) const RESPONSE: u16 = 16;
    pub(super) const ADD_OUTGOING: u16 = 17;
    pub(super) const ADD_INCOMING: u16 = 18;
}

/// Octets of an outgoing reset request without its streams, headers of chunk and parameter included.
pub(crate) const OUTGOING_RESET_LEN: usize = 20;

/// Octets of a request for more streams, headers of chunk and parameter included.
pub(crate) const ADD_LEN: usize = 16;

/// Octets of a response, headers of chunk and parameter included.
pub(crate) const RESPONSE_LEN: usize = 16;

/// The answer to a request (RFC 6525 section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReconfigResult {
    NothingToDo,
    Performed,
    Denied,
    WrongStream,
    InProgressElsewhere,
    BadSequence,
    InProgress,
}

impl ReconfigResult {
    fn to_wire(self) -> u32 {
        match self {
            Self::NothingToDo => 0,
            Self::Performed => 1,
            Self::Denied => 2,
            Self::WrongStream => 3,
            Self::InProgressElsewhere => 4,
            Self::BadSequence => 5,
            Self::InProgress => 6,
        }
    }

    fn from_wire(value: u32) -> Self {
        match value {
            0 => Self::NothingToDo,
            1 => Self::Performed,
            3 => Self::WrongStream,
            4 => Self::InProgressElsewhere,
            5 => Self::BadSequence,
            6 => Self::InProgress,
            _ => Self::Denied,
        }
    }
}

/// A list of stream ids as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamList<'a>(&'a [u8]);

impl<'a> StreamList<'a> {
    fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        if octets.len().is_multiple_of(2) { Ok(Self(octets)) } else { Err(ParseError::Count) }
    }

    /// An empty list means every stream.
    pub(crate) fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + 'a {
        self.0.as_chunks::<2>().0.iter().map(|id| u16::from_be_bytes(*id))
    }
}

/// One parameter of a RE-CONFIG chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reconfig<'a> {
    OutgoingReset {
        sequence: u32,
        response: u32,
        last_tsn: Tsn,
        streams: StreamList<'a>,
    },
    IncomingReset {
        sequence: u32,
        streams: StreamList<'a>,
    },
    /// The sender wants to send on more streams.
    AddOutgoing {
        sequence: u32,
        count: u16,
    },
    /// The sender wants us to send on more streams.
    AddIncoming {
        sequence: u32,
        count: u16,
    },
    /// The reset of the whole association, which RFC 6525 section 4.3 leaves to the application, and nobody wants.
    TsnReset {
        sequence: u32,
    },
    Response {
        sequence: u32,
        result: ReconfigResult,
    },
}

impl<'a> Reconfig<'a> {
    /// Reads every parameter of the chunk; unknown ones are skipped (RFC 6525 section 5.2.1).
    pub(crate) fn parse_all(value: &'a [u8]) -> impl Iterator<Item = Result<Self, ParseError>> + 'a {
        Walker::new(value).filter_map(|item| match item {
            Err(error) => Some(Err(error.into())),
            Ok(item) => Self::parse(item.head, item.value).transpose(),
        })
    }

    fn parse(kind: u16, value: &'a [u8]) -> Result<Option<Self>, ParseError> {
        let mut reader = Reader::new(value);
        Ok(Some(match kind {
            reconfig_kind::OUTGOING_RESET => Self::OutgoingReset {
                sequence: reader.u32()?,
                response: reader.u32()?,
                last_tsn: Tsn::new(reader.u32()?),
                streams: StreamList::parse(reader.rest())?,
            },
            reconfig_kind::INCOMING_RESET => {
                Self::IncomingReset { sequence: reader.u32()?, streams: StreamList::parse(reader.rest())? }
            }
            reconfig_kind::TSN_RESET => Self::TsnReset { sequence: reader.u32()? },
            reconfig_kind::ADD_OUTGOING => {
                Self::AddOutgoing { sequence: reader.u32()?, count: reader.u16()? }
            }
            reconfig_kind::ADD_INCOMING => {
                Self::AddIncoming { sequence: reader.u32()?, count: reader.u16()? }
            }
            reconfig_kind::RESPONSE => {
                Self::Response { sequence: reader.u32()?, result: ReconfigResult::from_wire(reader.u32()?) }
            }
            _ => return Ok(None),
        }))
    }
}

/// Appends a RE-CONFIG chunk with an outgoing reset request.
pub(crate) fn write_outgoing_reset(
    out: &mut Vec<u8>,
    sequence: u32,
    response: u32,
    last_tsn: Tsn,
    streams: &[u16],
) {
    put_tlv(out, chunk_head(kind::RE_CONFIG, 0), |out| {
        put_tlv(out, reconfig_kind::OUTGOING_RESET, |out| {
            out.extend_from_slice(&sequence.to_be_bytes());
            out.extend_from_slice(&response.to_be_bytes());
            out.extend_from_slice(&last_tsn.get().to_be_bytes());
            for stream in streams {
                out.extend_from_slice(&stream.to_be_bytes());
            }
        });
    });
}

/// Appends a RE-CONFIG chunk with an incoming reset request.
pub(crate) fn write_incoming_reset(out: &mut Vec<u8>, sequence: u32, streams: &[u16]) {
    put_tlv(out, chunk_head(kind::RE_CONFIG, 0), |out| {
        put_tlv(out, reconfig_kind::INCOMING_RESET, |out| {
            out.extend_from_slice(&sequence.to_be_bytes());
            for stream in streams {
                out.extend_from_slice(&stream.to_be_bytes());
            }
        });
    });
}

/// Which streams are added, as seen by who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    Outgoing,
    Incoming,
}

/// Appends a RE-CONFIG chunk with a request for more streams.
pub(crate) fn write_add(out: &mut Vec<u8>, sequence: u32, added: Added, count: u16) {
    let kind = match added {
        Added::Outgoing => reconfig_kind::ADD_OUTGOING,
        Added::Incoming => reconfig_kind::ADD_INCOMING,
    };
    put_tlv(out, chunk_head(kind::RE_CONFIG, 0), |out| {
        put_tlv(out, kind, |out| {
            out.extend_from_slice(&sequence.to_be_bytes());
            out.extend_from_slice(&count.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
        });
    });
}

/// Appends a RE-CONFIG chunk with a response.
pub(crate) fn write_response(out: &mut Vec<u8>, sequence: u32, result: ReconfigResult) {
    put_tlv(out, chunk_head(kind::RE_CONFIG, 0), |out| {
        put_tlv(out, reconfig_kind::RESPONSE, |out| {
            out.extend_from_slice(&sequence.to_be_bytes());
            out.extend_from_slice(&result.to_wire().to_be_bytes());
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_parses_back() {
        let mut out = Vec::new();
        write_outgoing_reset(&mut out, 1, 2, Tsn::new(3), &[4, 5, 6]);
        assert_eq!(out.len(), OUTGOING_RESET_LEN + 6 + 2);
        let [Ok(Reconfig::OutgoingReset { sequence: 1, response: 2, last_tsn, streams })] =
            Reconfig::parse_all(&out[4..]).collect::<Vec<_>>()[..]
        else {
            panic!("one request");
        };
        assert_eq!(last_tsn, Tsn::new(3));
        assert_eq!(streams.iter().collect::<Vec<_>>(), [4, 5, 6]);
        let mut out = Vec::new();
        write_incoming_reset(&mut out, 8, &[9]);
        let [Ok(Reconfig::IncomingReset { sequence: 8, streams })] =
            Reconfig::parse_all(&out[4..]).collect::<Vec<_>>()[..]
        else {
            panic!("one request");
        };
        assert_eq!(streams.iter().collect::<Vec<_>>(), [9]);
        for (added, parsed) in [
            (Added::Outgoing, Reconfig::AddOutgoing { sequence: 5, count: 6 }),
            (Added::Incoming, Reconfig::AddIncoming { sequence: 5, count: 6 }),
        ] {
            let mut out = Vec::new();
            write_add(&mut out, 5, added, 6);
            assert_eq!(out.len(), ADD_LEN);
            assert_eq!(Reconfig::parse_all(&out[4..]).collect::<Vec<_>>(), [Ok(parsed)]);
        }
        for value in 0..8 {
            let result = ReconfigResult::from_wire(value);
            let mut out = Vec::new();
            write_response(&mut out, 7, result);
            assert_eq!(out.len(), RESPONSE_LEN);
            let parsed: Vec<_> = Reconfig::parse_all(&out[4..]).collect();
            assert_eq!(parsed, [Ok(Reconfig::Response { sequence: 7, result })]);
        }
    }

    #[test]
    fn odd_stream_lists_and_cut_requests_are_refused() {
        assert_eq!(Reconfig::parse(14, &[0, 0, 0, 1, 9]), Err(ParseError::Count));
        assert_eq!(Reconfig::parse(13, &[0, 0, 0, 1, 0, 0, 0, 1, 0]), Err(ParseError::Short));
        assert_eq!(Reconfig::parse(99, &[]), Ok(None));
    }
}
