//! The messages of the Data Channel Establishment Protocol (RFC 8832 section 5).

use std::time::Duration;

use taut_sansio::codec::Reader;
use taut_sctp::{Ordering, Reliability};

/// Payload protocol identifiers (RFC 8831 section 8).
pub(crate) mod ppid {
    pub(crate) const DCEP: u32 = 50;
    pub(crate) const STRING: u32 = 51;
    pub(crate) const BINARY: u32 = 53;
    pub(crate) const STRING_EMPTY: u32 = 56;
    pub(crate) const BINARY_EMPTY: u32 = 57;
}

/// Message types.
const ACK: u8 = 0x02;
const OPEN: u8 = 0x03;

/// The bit of a channel type that says "unordered".
const UNORDERED: u8 = 0x80;

/// The largest DCEP message: an OPEN with the longest label and protocol.
pub(crate) const DCEP_MAX: usize = 12 + 2 * u16::MAX as usize;

/// A DCEP message is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    #[error("the message is too short")]
    Short,
    #[error("octets are left over")]
    Leftover,
    #[error("the message type is not known")]
    MessageType,
    #[error("the channel type is not known")]
    ChannelType,
    #[error("label or protocol are not UTF-8")]
    Text,
}

impl From<taut_sansio::codec::Short> for ParseError {
    fn from(_: taut_sansio::codec::Short) -> Self {
        Self::Short
    }
}

/// DATA_CHANNEL_OPEN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) ordering: Ordering,
    pub(crate) reliability: Reliability,
    /// RFC 8831 section 6.4.
    pub(crate) priority: u16,
    pub(crate) label: String,
    pub(crate) protocol: String,
}

/// A DCEP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dcep {
    Open(Open),
    Ack,
}

impl Dcep {
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let message = match reader.u8()? {
            OPEN => Self::Open(Open::parse(reader)?),
            ACK => Self::Ack,
            _ => return Err(ParseError::MessageType),
        };
        if reader.is_empty() { Ok(message) } else { Err(ParseError::Leftover) }
    }

    pub(crate) fn encoded_len(&self) -> usize {
        match self {
            Self::Open(open) => 12 + open.label.len() + open.protocol.len(),
            Self::Ack => 1,
        }
    }

    /// Appends the message; label and protocol have at most 65,535 octets each, which `open` checked.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Open(open) => open.write(out),
            Self::Ack => out.push(ACK),
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_len());
        self.write(&mut out);
        out
    }
}

impl Open {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let kind = reader.u8()?;
        let priority = reader.u16()?;
        let parameter = reader.u32()?;
        let ordering = if kind & UNORDERED == 0 { Ordering::Ordered } else { Ordering::Unordered };
        let reliability = match kind & !UNORDERED {
            0 => Reliability::Reliable,
            1 => Reliability::MaxRetransmits(parameter.min(u32::from(u16::MAX)) as u16),
            2 => Reliability::MaxLifetime(Duration::from_millis(u64::from(parameter))),
            _ => return Err(ParseError::ChannelType),
        };
        let label = usize::from(reader.u16()?);
        let protocol = usize::from(reader.u16()?);
        let mut text = |length| -> Result<String, ParseError> {
            String::from_utf8(reader.take(length)?.to_vec()).map_err(|_| ParseError::Text)
        };
        Ok(Self { ordering, reliability, priority, label: text(label)?, protocol: text(protocol)? })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (kind, parameter) = match self.reliability {
            Reliability::MaxRetransmits(count) => (1, u32::from(count)),
            Reliability::MaxLifetime(life) => (2, life.as_millis().min(u128::from(u32::MAX)) as u32),
            _ => (0, 0),
        };
        let order = if self.ordering == Ordering::Unordered { UNORDERED } else { 0 };
        out.extend_from_slice(&[OPEN, kind | order]);
        out.extend_from_slice(&self.priority.to_be_bytes());
        out.extend_from_slice(&parameter.to_be_bytes());
        out.extend_from_slice(&(self.label.len() as u16).to_be_bytes());
        out.extend_from_slice(&(self.protocol.len() as u16).to_be_bytes());
        out.extend_from_slice(self.label.as_bytes());
        out.extend_from_slice(self.protocol.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_parses_back() {
        taut_sansio::assert_wire!(Dcep, Dcep::Ack);
        for ordering in [Ordering::Ordered, Ordering::Unordered] {
            for reliability in [
                Reliability::Reliable,
                Reliability::MaxRetransmits(7),
                Reliability::MaxLifetime(Duration::from_millis(1500)),
            ] {
                for text in ["", "chat", "naïve"] {
                    let (label, protocol) = (text.to_owned(), "p".repeat(text.len()));
                    taut_sansio::assert_wire!(
                        Dcep,
                        Dcep::Open(Open { ordering, reliability, priority: 512, label, protocol })
                    );
                }
            }
        }
        let long = "x".repeat(65_535);
        let open = Open {
            ordering: Ordering::Ordered,
            reliability: Reliability::Reliable,
            priority: 65_535,
            label: long.clone(),
            protocol: long,
        };
        assert_eq!(Dcep::Open(open.clone()).encoded_len(), DCEP_MAX);
        taut_sansio::assert_wire!(Dcep, Dcep::Open(open));
    }

    #[test]
    fn the_layout_is_that_of_the_rfc() {
        let open = Open {
            ordering: Ordering::Unordered,
            reliability: Reliability::MaxRetransmits(3),
            priority: 256,
            label: "ab".into(),
            protocol: "c".into(),
        };
        let expected = [3, 0x81, 1, 0, 0, 0, 0, 3, 0, 2, 0, 1, b'a', b'b', b'c'];
        assert_eq!(Dcep::Open(open).to_vec(), expected);
    }

    #[test]
    fn prefixes_leftovers_and_reserved_values_are_refused() {
        let good = Dcep::Open(Open {
            ordering: Ordering::Ordered,
            reliability: Reliability::Reliable,
            priority: 65_535,
            label: "label".into(),
            protocol: "proto".into(),
        })
        .to_vec();
        let parse = |octets: &[u8]| Dcep::parse(&mut Reader::new(octets));
        for length in 0..good.len() {
            assert_eq!(parse(&good[..length]), Err(ParseError::Short), "{length}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(parse(&longer), Err(ParseError::Leftover));
        for kind in [0x03, 0x7f, 0x83, 0xff] {
            let mut bad = good.clone();
            bad[1] = kind;
            assert_eq!(parse(&bad), Err(ParseError::ChannelType));
        }
        for kind in [0, 1, 4, 255] {
            assert_eq!(parse(&[kind]), Err(ParseError::MessageType));
        }
        let mut bad = good;
        bad[12] = 0xff;
        assert_eq!(parse(&bad), Err(ParseError::Text));
    }
}
