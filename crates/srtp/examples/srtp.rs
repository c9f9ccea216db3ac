//! Protects an RTP packet and takes the protection off again. What was tampered with on the way, and what comes twice, is
//! refused.
//!
//! ```console
//! $ cargo run -p taut-srtp --example srtp
//! ```

use std::error::Error;

use bytes::{Bytes, BytesMut};
use taut_rtp::{Packet, PayloadType, SequenceNumber, Ssrc};
use taut_srtp::{Inbound, Outbound, Profile, UnprotectError};

fn main() -> Result<(), Box<dyn Error>> {
    // DTLS gives keys to both sides (RFC 5764 section 4.2). Each side has its own, so that there are two sessions of a
    // sender and a receiver; this is one of them.
    let profile = Profile::AeadAes128Gcm;
    let (key, salt) = (vec![0x2a; profile.key_len()], vec![0x17; profile.salt_len()]);
    let mut sender = Outbound::new(profile, &key, &salt)?;
    let mut receiver = Inbound::new(profile, &key, &salt)?;

    let packet = Packet {
        payload_type: PayloadType::new(111),
        sequence: SequenceNumber::new(1_000),
        timestamp: 48_000,
        ssrc: Ssrc::new(0x1234_5678),
        payload: Bytes::from_static(b"twenty milliseconds of sound"),
        ..Packet::default()
    };

    // Packets are protected in place, at the end of a buffer that may hold others before.
    let mut datagram = Vec::new();
    packet.write(&mut datagram);
    let plain = datagram.clone();
    sender.protect_rtp(&mut datagram, 0)?;
    println!("{}: {} octets became {}", profile.name(), plain.len(), datagram.len());
    assert_eq!(datagram.len(), plain.len() + profile.rtp_overhead());
    // The header stays readable, for the demultiplexer and for forwarders; the payload does not.
    assert_eq!(datagram[..12], plain[..12]);
    assert!(!datagram.windows(4).any(|four| four == b"soun"));

    // One flipped bit anywhere: the tag does not hold. That changes nothing in the receiver.
    for position in [1, 20, datagram.len() - 1] {
        let mut tampered = BytesMut::from(&datagram[..]);
        tampered[position] ^= 0x80;
        let error = receiver.unprotect_rtp(&mut tampered);
        println!("a bit of octet {position} flipped: {error:?}");
        assert_eq!(error, Err(UnprotectError::Tag));
    }

    // The packet itself is good, once.
    let mut received = BytesMut::from(&datagram[..]);
    receiver.unprotect_rtp(&mut received)?;
    assert_eq!(received, plain);
    let received = Packet::parse(received.freeze())?;
    println!("received {:?}", received.payload);
    assert_eq!(received, packet);

    let replayed = receiver.unprotect_rtp(&mut BytesMut::from(&datagram[..]));
    println!("the same once more: {replayed:?}");
    assert_eq!(replayed, Err(UnprotectError::Replayed));
    Ok(())
}
