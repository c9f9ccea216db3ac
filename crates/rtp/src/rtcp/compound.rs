//! Compound packets (RFC 3550 section 6.1), full and of reduced size (RFC 5506): packets one after the other in a
//! datagram.

use taut_sansio::codec::Reader;

use super::header::Header;
use super::{Packet, ParseError};

/// Walks the packets of a datagram.
///
/// A packet that is broken within its own length is an `Err`, and the walk goes on behind it. After an error in a
/// header the next packet cannot be found, and the walk ends.
pub fn compound(datagram: &[u8]) -> Compound<'_> {
    Compound { reader: Reader::new(datagram) }
}

/// The packets of a datagram. See [`compound`].
#[derive(Debug, Clone)]
pub struct Compound<'a> {
    reader: Reader<'a>,
}

impl Iterator for Compound<'_> {
    type Item = Result<Packet, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        match Header::parse(&mut self.reader) {
            Ok((header, body)) => Some(Packet::from_body(header, body)),
            Err(error) => {
                if error != ParseError::Padding {
                    self.reader = Reader::new(&[]);
                }
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::*;
    use crate::{SequenceNumber, Ssrc};

    fn every_kind() -> Vec<Packet> {
        let reports = vec![ReportBlock { ssrc: Ssrc::new(2), ..ReportBlock::default() }];
        let missing = [1u16, 2, 40].map(SequenceNumber::new);
        vec![
            Packet::SenderReport(SenderReport { reports: reports.clone(), ..SenderReport::default() }),
            Packet::ReceiverReport(ReceiverReport { reports, ..ReceiverReport::default() }),
            Packet::SourceDescription(SourceDescription::cname(Ssrc::new(1), "cname")),
            Packet::Nack(Nack::new(Ssrc::new(1), Ssrc::new(2), missing)),
            Packet::PictureLossIndication(PictureLossIndication::default()),
            Packet::FullIntraRequest(FullIntraRequest {
                entries: vec![FirEntry { ssrc: Ssrc::new(3), sequence: 1 }],
                ..FullIntraRequest::default()
            }),
            Packet::Application(Application {
                subtype: 1,
                ssrc: Ssrc::new(1),
                name: *b"name",
                data: Bytes::from_static(b"data"),
            }),
            Packet::Unknown(Unknown { packet_type: 207, count: 0, body: Bytes::from_static(&[0; 4]) }),
            Packet::Goodbye(Goodbye { ssrcs: vec![Ssrc::new(1)], reason: Bytes::from_static(b"bye") }),
        ]
    }

    fn written(packets: &[Packet]) -> Vec<u8> {
        let mut out = Vec::new();
        packets.iter().for_each(|packet| packet.write(&mut out));
        out
    }

    #[test]
    fn all_packets_come_back_in_order() {
        let packets = every_kind();
        let octets = written(&packets);
        assert_eq!(octets.len(), packets.iter().map(Packet::encoded_len).sum::<usize>());
        assert_eq!(compound(&octets).collect::<Result<Vec<_>, _>>().unwrap(), packets);
        assert_eq!(compound(&[]).count(), 0);
    }

    #[test]
    fn a_broken_packet_does_not_hide_the_next() {
        let mut octets = vec![0x81, 201, 0, 1, 0, 0, 0, 1]; // one report block announced, none there
        octets.extend_from_slice(&[0xa0, 201, 0, 1, 0, 0, 0, 3]); // a padding count that is no multiple of four
        PictureLossIndication::default().write(&mut octets);
        let packets: Vec<_> = compound(&octets).collect();
        assert_eq!(packets[..2], [Err(ParseError::Short), Err(ParseError::Padding)]);
        assert!(matches!(packets[2], Ok(Packet::PictureLossIndication(_))));
        assert_eq!(packets.len(), 3);
    }

    #[test]
    fn a_broken_header_ends_the_walk_with_one_error() {
        let mut octets = written(&every_kind()[4..5]);
        octets.extend_from_slice(&[0x81, 201, 0xff, 0xff, 0, 0, 0, 0]);
        let packets: Vec<_> = compound(&octets).collect();
        assert_eq!(packets.len(), 2);
        assert_eq!(packets[1], Err(ParseError::Length));
    }

    #[test]
    fn no_prefix_and_no_changed_octet_panics_or_grows() {
        let good = written(&every_kind());
        let visit = |octets: &[u8]| {
            let mut count = 0;
            for packet in compound(octets) {
                count += 1;
                if let Ok(packet) = packet {
                    let mut out = Vec::new();
                    packet.write(&mut out);
                    assert_eq!(out.len(), packet.encoded_len());
                    assert!(out.len() <= octets.len() + 4, "what is kept is no more than what came");
                }
            }
            assert!(count <= octets.len() / 4 + 1);
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
