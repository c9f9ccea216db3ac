//! Benchmarks, a file per layer in `benches/`: `cargo bench -p taut-benches`. Here is what they and the binary `compare` work
//! on.

use bytes::Bytes;
use taut_rtp::{Extensions, Packet, PayloadType, SequenceNumber, Ssrc};
use taut_stun::{Algorithm, Builder, Class, Key, Method, TransactionId, attribute};

/// The offer of Chromium, with audio, video and data.
pub const OFFER: &str = include_str!("../../crates/sdp/tests/data/captured/chromium-156-offer-av-data.sdp");

/// The password of [`stun_request`].
pub const PASSWORD: &str = "a password of twenty-four";

/// An RTP packet with nothing extra in its header.
pub fn rtp_packet(sequence: u16, payload: usize) -> Vec<u8> {
    rtp(sequence, Extensions::default(), payload)
}

/// An RTP packet with three header extensions in one-byte form: audio level, absolute send time and transport-wide number.
pub fn rtp_packet_with_extensions() -> Vec<u8> {
    let elements = [(1, &[0x85][..]), (2, &[1, 2, 3][..]), (3, &[4, 5][..])];
    rtp(1, Extensions::from_elements(elements).expect("extensions"), 1_100)
}

fn rtp(sequence: u16, extensions: Extensions, payload: usize) -> Vec<u8> {
    let packet = Packet {
        marker: false,
        payload_type: PayloadType::new(96),
        sequence: SequenceNumber::new(sequence),
        timestamp: 2,
        ssrc: Ssrc::new(3),
        csrc: Vec::new(),
        extensions,
        padding: 0,
        payload: Bytes::from(vec![7; payload]),
    };
    let mut out = Vec::with_capacity(payload + 64);
    packet.write(&mut out);
    out
}

/// A connectivity check: USERNAME, PRIORITY, ICE-CONTROLLING, MESSAGE-INTEGRITY and FINGERPRINT.
pub fn stun_request() -> Vec<u8> {
    let mut request = Vec::new();
    Builder::new(&mut request, Class::Request, Method::BINDING, TransactionId([7; 12]))
        .push(&attribute::Username::new("abcd1234:efgh5678"))
        .push(&attribute::Priority(1))
        .push(&attribute::IceControlling(2))
        .integrity(&Key::short_term(PASSWORD), Algorithm::Sha1)
        .fingerprint()
        .finish()
        .expect("a request");
    request
}
