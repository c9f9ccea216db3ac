//! RTP and RTCP: packets, header extensions and payload formats. Pure: no time, no state of a stream.
//!
//! - [`HeaderView`] is a checked view of an RTP header for the hot path, [`Packet`] an owned packet whose payload
//!   is a slice of the datagram (RFC 3550 section 5).
//! - [`extension`] has the header extensions of RFC 8285: the block, and codecs for the values that WebRTC uses.
//! - [`rtcp`] has the control packets (RFC 3550 section 6, RFC 4585, RFC 5104), a file each, and compound packets,
//!   full or of reduced size (RFC 5506).
//! - [`payload`] has the payload formats: VP8 (RFC 7741) and Opus (RFC 7587).
//!
//! Nothing here can panic on any input, and a count in a packet never allocates more than its octets justify.
//! Parsers do not log: bad input is an error that the machine above counts.

pub mod extension;
mod header;
mod packet;
pub mod payload;
pub mod rtcp;

pub use extension::Extensions;
pub use header::{Header, HeaderView, ParseError, PayloadType, SequenceNumber, Ssrc};
pub use packet::Packet;

/// True if a datagram that is RTP or RTCP is RTCP (RFC 5761 section 4): the second octet is in 192..=223, which as
/// RTP would be payload types 64..=95 with the marker set.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtcp_is_told_from_rtp_by_the_second_octet() {
        assert!(is_rtcp(&[0x80, 200, 0, 1]));
        assert!(is_rtcp(&[0x81, 192]));
        assert!(is_rtcp(&[0x81, 223]));
        assert!(!is_rtcp(&[0x80, 96]));
        assert!(!is_rtcp(&[0x80, 0x80 | 96]));
        assert!(!is_rtcp(&[0x80, 191]));
        assert!(!is_rtcp(&[0x00, 200]));
        assert!(!is_rtcp(&[0x80]));
        assert!(!is_rtcp(&[]));
    }

    #[test]
    fn types_are_send_sync_debug() {
        fn check<T: Send + Sync + std::fmt::Debug>() {}
        check::<Packet>();
        check::<HeaderView<'_>>();
        check::<Extensions>();
        check::<rtcp::Packet>();
        check::<payload::vp8::Packetizer>();
        check::<payload::vp8::Depacketizer>();
    }
}
