//! A packet that goes out: header fields and slices of the payload, written once at its final place.

use std::time::Instant;

use bytes::Bytes;
use taut_rtp::payload::vp8;
use taut_rtp::{Extensions, Header, Packet, PayloadType, SequenceNumber, Ssrc};

/// What follows the header.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// Octets as they are.
    Whole(Bytes),
    /// A part of a VP8 frame.
    Vp8(vp8::Descriptor, Bytes),
}

impl Body {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Whole(data) => data.len(),
            Self::Vp8(descriptor, data) => descriptor.encoded_len() + data.len(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Whole(data) => out.extend_from_slice(data),
            Self::Vp8(descriptor, data) => {
                descriptor.write(out);
                out.extend_from_slice(data);
            }
        }
    }
}

/// A packet that waits, or that was sent and may be asked for again.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The extended sequence number.
    pub(crate) index: u64,
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) timestamp: u32,
    pub(crate) csrc: Vec<u32>,
    /// Header extensions beside the MID.
    pub(crate) extensions: Extensions,
    pub(crate) body: Body,
    /// When it was queued.
    pub(crate) at: Instant,
}

/// Under which numbers a packet goes out, the first time or again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) payload_type: u8,
    /// The sequence number that goes in front of the payload of a retransmission (RFC 4588 section 4).
    pub(crate) original: Option<u16>,
    pub(crate) mid: Option<(u8, &'a str)>,
}

/// How many octets were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) header: usize,
    pub(crate) payload: usize,
}

impl Outgoing {
    pub(crate) fn sequence(&self) -> u16 {
        (self.index & 0xffff) as u16
    }

    /// Appends the packet if it has at most `room` octets.
    pub(crate) fn write(&self, identity: Identity<'_>, room: usize, out: &mut Vec<u8>) -> Option<Written> {
        let start = out.len();
        self.write_header(identity, out);
        if let Some(original) = identity.original {
            out.extend_from_slice(&original.to_be_bytes());
        }
        let header = out.len().saturating_sub(start);
        let payload = self.body.len();
        if header.saturating_add(payload) > room {
            out.truncate(start);
            return None;
        }
        self.body.write(out);
        Some(Written { header, payload })
    }

    fn write_header(&self, identity: Identity<'_>, out: &mut Vec<u8>) {
        let header = Header {
            marker: self.marker,
            payload_type: PayloadType::new(identity.payload_type),
            sequence: SequenceNumber::new(identity.sequence),
            timestamp: self.timestamp,
            ssrc: Ssrc::new(identity.ssrc),
        };
        let mid = identity.mid.map(|(id, mid)| (id, mid.as_bytes()));
        if self.csrc.is_empty() && self.extensions.is_empty() {
            // A MID that cannot be written is left out.
            if header.write(mid.as_slice(), out).is_err() {
                let _ = header.write(&[], out);
            }
            return;
        }
        let elements = self.extensions.iter().chain(mid);
        let extensions = Extensions::from_elements(elements).unwrap_or_else(|_| self.extensions.clone());
        let packet = Packet {
            marker: header.marker,
            payload_type: header.payload_type,
            sequence: header.sequence,
            timestamp: header.timestamp,
            ssrc: header.ssrc,
            csrc: self.csrc.clone(),
            extensions,
            padding: 0,
            payload: Bytes::new(),
        };
        packet.write(out);
    }
}

/// The octets that a MID adds to a header: the block's four, and the element filled to a word.
pub(crate) fn mid_len(mid: &Option<(u8, String)>) -> usize {
    match mid {
        Some((_, mid)) => 4 + (mid.len() + 2).next_multiple_of(4),
        None => 0,
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    fn packet() -> Outgoing {
        Outgoing {
            index: 65_536 * 3 + 7,
            marker: true,
            payload_type: 96,
            timestamp: 9,
            csrc: vec![],
            extensions: Extensions::new(),
            body: Body::Whole(Bytes::from_static(b"abc")),
            at: Instant::now(),
        }
    }

    const IDENTITY: Identity<'_> =
        Identity { ssrc: 5, sequence: 7, payload_type: 96, original: None, mid: Some((3, "v0")) };

    #[test]
    fn the_mid_is_added_to_what_was_there() {
        for extensions in [Extensions::new(), Extensions::from_elements([(1, &b"x"[..])]).unwrap()] {
            for csrc in [vec![], vec![1, 2]] {
                let outgoing = Outgoing { extensions: extensions.clone(), csrc: csrc.clone(), ..packet() };
                let mut out = vec![1, 2, 3];
                let written = outgoing.write(IDENTITY, 1_200, &mut out).unwrap();
                assert_eq!(out.len(), 3 + written.header + written.payload);
                let parsed = Packet::parse(Bytes::from(out).slice(3..)).unwrap();
                assert_eq!(parsed.extensions.get(3), Some(&b"v0"[..]));
                assert_eq!(parsed.extensions.get(1), extensions.get(1));
                assert_eq!((parsed.csrc, &parsed.payload[..]), (csrc, &b"abc"[..]));
            }
        }
    }

    #[test]
    fn a_retransmission_has_the_original_number_in_front() {
        let identity = Identity { ssrc: 6, sequence: 1, payload_type: 97, original: Some(7), mid: None };
        let mut out = vec![];
        let written = packet().write(identity, 1_200, &mut out).unwrap();
        assert_eq!(written, Written { header: 14, payload: 3 });
        assert_eq!(out[12..], [0, 7, b'a', b'b', b'c']);
    }

    #[test]
    fn what_does_not_fit_leaves_no_trace() {
        let mut out = vec![9];
        assert_eq!(packet().write(IDENTITY, 22, &mut out), None);
        assert_eq!(out, [9]);
        assert!(packet().write(IDENTITY, 23, &mut out).is_some());
        assert_eq!(out.len() - 1, 12 + mid_len(&Some((3, "v0".into()))) + 3);
    }

    #[test]
    fn a_mid_that_cannot_be_written_is_left_out() {
        let mut out = vec![];
        packet().write(Identity { mid: Some((0, "x")), ..IDENTITY }, 100, &mut out).unwrap();
        assert_eq!(out.len(), 15);
    }
}
