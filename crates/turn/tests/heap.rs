//! Relaying allocates nothing: neither ChannelData nor indications, in neither direction.
//!
//! Alone in its file, because the allocator counts for the whole process.

mod common;

use bytes::BytesMut;
use common::{PEER, Raw, address, server_config};
use peak_alloc::PeakAlloc;
use taut_sansio::net::{Path, Received};
use taut_stun::attribute::{ChannelNumber, Data, RequestedTransport, XorPeerAddress, XorRelayedAddress};
use taut_stun::{Builder, Class, Message, Method, TransactionId};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

#[test]
fn relaying_allocates_nothing() {
    let mut raw = Raw::new(server_config().with_bandwidth_per_user(1 << 40));
    raw.get_challenged();
    let answer = raw.request(Method::ALLOCATE, |b| b.push(&RequestedTransport::UDP)).unwrap();
    let XorRelayedAddress(relay) = Message::parse(&answer).unwrap().get().unwrap().unwrap();
    let other = XorPeerAddress(address("198.51.100.7:6000"));
    let peer = XorPeerAddress(address(PEER));
    raw.request(Method::CHANNEL_BIND, |b| b.push(&ChannelNumber(0x4000)).push(&peer)).unwrap();
    let mut channel_data = vec![0x40, 0, 0x04, 0xb0];
    channel_data.resize(1_204, 7);
    let mut indication = Vec::new();
    let builder = Builder::new(&mut indication, Class::Indication, Method::SEND, TransactionId([7; 12]));
    builder.push(&other).push(&Data(&[7; 1_200])).finish().unwrap();
    let from_peer = |peer: XorPeerAddress| Path::udp(relay, peer.0);
    let cases = [
        (raw.path(), channel_data),
        (raw.path(), indication),
        (from_peer(peer), vec![7; 1_200]),
        (from_peer(other), vec![7; 1_200]),
    ];
    let mut out = Vec::with_capacity(2_000);
    for round in 0..100 {
        for (path, datagram) in &cases {
            let datagram = BytesMut::from(&datagram[..]);
            out.clear();
            ALLOCATOR.reset_peak_usage();
            let before = ALLOCATOR.current_usage();
            raw.server.handle_datagram(Received { at: raw.now, path: *path, ecn: None }, datagram);
            let sent = raw.server.poll_transmit(raw.now, 1, &mut out).is_some();
            let allocated = ALLOCATOR.peak_usage() - before;
            assert!(sent, "{path:?}");
            assert_eq!(allocated, 0, "round {round}, {path:?}");
        }
    }
}
