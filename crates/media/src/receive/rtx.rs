//! Stage: retransmissions (RFC 4588 section 4). The payload begins with the original sequence number; with the
//! original source and payload type put back the packet is what was lost.

use bytes::Buf;
use taut_rtp::{Packet, PayloadType, SequenceNumber, Ssrc};

/// The octets of the original sequence number.
pub(crate) const HEADER_LEN: usize = 2;

/// The original sequence number of a retransmission; `None` if it carries nothing, as probes do.
pub(crate) fn original_sequence(packet: &Packet) -> Option<SequenceNumber> {
    let (number, rest) = packet.payload.split_first_chunk::<HEADER_LEN>()?;
    (!rest.is_empty()).then(|| SequenceNumber::new(u16::from_be_bytes(*number)))
}

/// The packet that was lost.
pub(crate) fn restore(mut packet: Packet, ssrc: u32, payload_type: u8) -> Option<Packet> {
    packet.sequence = original_sequence(&packet)?;
    packet.payload.advance(HEADER_LEN);
    packet.ssrc = Ssrc::new(ssrc);
    packet.payload_type = PayloadType::new(payload_type);
    Some(packet)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn the_original_comes_back() {
        let packet = Packet {
            sequence: SequenceNumber::new(9),
            payload_type: PayloadType::new(97),
            ssrc: Ssrc::new(2),
            timestamp: 77,
            marker: true,
            payload: Bytes::from_static(&[0x12, 0x34, 5, 6]),
            ..Packet::default()
        };
        let original = restore(packet.clone(), 1, 96).unwrap();
        assert_eq!(original.sequence.get(), 0x1234);
        assert_eq!((original.ssrc.get(), original.payload_type.get()), (1, 96));
        assert_eq!((original.timestamp, original.marker), (77, true));
        assert_eq!(&original.payload[..], [5, 6]);
        for short in [&[][..], &[1], &[1, 2]] {
            let packet = Packet { payload: Bytes::copy_from_slice(short), ..packet.clone() };
            assert_eq!(restore(packet, 1, 96), None);
        }
    }
}
