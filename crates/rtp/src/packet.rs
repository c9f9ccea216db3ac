//! An owned RTP packet (RFC 3550 section 5.1). Its payload and extensions are slices of the datagram it came in.

use bytes::Bytes;

use crate::extension::Extensions;
use crate::header::{FIXED_LEN, Flags, Header, HeaderView, ParseError, PayloadType, SequenceNumber, Ssrc};

/// How many contributing sources a header can name: the count has four bits.
const MAX_CSRC: usize = 15;

/// An RTP packet in the clear.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packet {
    /// The marker bit: for video the last packet of a frame, for audio the first after silence (RFC 3551).
    pub marker: bool,
    /// The payload type.
    pub payload_type: PayloadType,
    /// The sequence number.
    pub sequence: SequenceNumber,
    /// The timestamp, in units of the payload's clock.
    pub timestamp: u32,
    /// The synchronization source.
    pub ssrc: Ssrc,
    /// The contributing sources. Only the first 15 are written.
    pub csrc: Vec<u32>,
    /// The header extension.
    pub extensions: Extensions,
    /// How many octets of padding follow the payload, counting the one that holds the count; 0 for none.
    pub padding: u8,
    /// The payload, without padding.
    pub payload: Bytes,
}

impl Packet {
    /// Parses a packet without copying payload or extensions.
    pub fn parse(datagram: Bytes) -> Result<Self, ParseError> {
        let view = HeaderView::parse(&datagram)?;
        let (payload, padding) = view.payload()?;
        let extensions = match view.extension_profile() {
            Some(profile) => Extensions::from_parts(profile, datagram.slice_ref(view.extension_data())),
            None => Extensions::new(),
        };
        Ok(Self {
            marker: view.marker(),
            payload_type: view.payload_type(),
            sequence: view.sequence(),
            timestamp: view.timestamp(),
            ssrc: view.ssrc(),
            csrc: view.csrc().collect(),
            extensions,
            padding,
            payload: datagram.slice_ref(payload),
        })
    }

    /// The fixed fields of the header.
    pub fn header(&self) -> Header {
        Header {
            marker: self.marker,
            payload_type: self.payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        }
    }

    /// How many octets [`write`](Self::write) appends.
    pub fn encoded_len(&self) -> usize {
        FIXED_LEN
            + self.csrc.len().min(MAX_CSRC) * 4
            + self.extensions.encoded_len()
            + self.payload.len()
            + usize::from(self.padding)
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_len());
        let csrc = self.csrc.get(..MAX_CSRC).unwrap_or(&self.csrc);
        let flags = Flags {
            padding: self.padding > 0,
            extension: self.extensions.profile().is_some(),
            csrc: csrc.len() as u8, // at most MAX_CSRC
        };
        self.header().write_fixed(flags, out);
        for source in csrc {
            out.extend_from_slice(&source.to_be_bytes());
        }
        self.extensions.write(out);
        out.extend_from_slice(&self.payload);
        if let Some(zeros) = self.padding.checked_sub(1) {
            out.resize(out.len() + usize::from(zeros), 0);
            out.push(self.padding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Packet {
        Packet {
            marker: true,
            payload_type: PayloadType::new(96),
            sequence: SequenceNumber::new(0xfffe),
            timestamp: 0xdeca_fbad,
            ssrc: Ssrc::new(0xcafe_babe),
            csrc: vec![1, 2, 3],
            extensions: Extensions::from_elements([(1, &b"mid"[..]), (5, &[0x80])]).unwrap(),
            padding: 5,
            payload: Bytes::from_static(b"payload"),
        }
    }

    fn round_trip(packet: &Packet) {
        let mut out = Vec::new();
        packet.write(&mut out);
        assert_eq!(out.len(), packet.encoded_len());
        assert_eq!(&Packet::parse(Bytes::from(out)).unwrap(), packet);
    }

    #[test]
    fn what_is_written_parses_back() {
        round_trip(&full());
        round_trip(&Packet::default());
        round_trip(&Packet { padding: 255, payload: Bytes::new(), ..full() });
        round_trip(&Packet { padding: 1, csrc: (0..15).collect(), ..full() });
        let long = Extensions::from_elements([(200, &[7u8; 40][..])]).unwrap();
        round_trip(&Packet { extensions: long, padding: 0, ..full() });
    }

    #[test]
    fn payload_and_extensions_are_slices_of_the_datagram() {
        let mut out = Vec::new();
        full().write(&mut out);
        let datagram = Bytes::from(out);
        let range = datagram.as_ptr_range();
        let packet = Packet::parse(datagram).unwrap();
        assert!(range.contains(&packet.payload.as_ptr()));
        assert!(range.contains(&packet.extensions.data().as_ptr()));
    }

    #[test]
    fn a_sixteenth_source_is_not_written() {
        let packet = Packet { csrc: (0..20).collect(), ..full() };
        let mut out = Vec::new();
        packet.write(&mut out);
        assert_eq!(out.len(), packet.encoded_len());
        let back = Packet::parse(Bytes::from(out)).unwrap();
        assert_eq!(back.csrc, (0..15).collect::<Vec<_>>());
        assert_eq!(back.payload, packet.payload);
    }

    #[test]
    fn no_prefix_and_no_changed_octet_panics() {
        let mut good = Vec::new();
        full().write(&mut good);
        let mut rewritten = Vec::new();
        let mut visit = |octets: &[u8]| {
            if let Ok(packet) = Packet::parse(Bytes::copy_from_slice(octets)) {
                packet.extensions.iter().for_each(|(id, value)| assert!(id > 0 && value.len() < 256));
                rewritten.clear();
                packet.write(&mut rewritten);
                assert_eq!(rewritten.len(), octets.len());
                assert_eq!(Packet::parse(Bytes::copy_from_slice(&rewritten)).unwrap(), packet);
            }
        };
        for end in 0..=good.len() {
            visit(&good[..end]);
        }
        for place in 0..good.len() {
            for value in 0..=255 {
                let mut changed = good.clone();
                changed[place] = value;
                visit(&changed);
            }
        }
    }
}
