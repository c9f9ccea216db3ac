//! Forged datagrams against a live pair: the connection stays up, nothing is delivered, the drop is counted.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::{Call, PORT, body};
use taut_netsim::{Link, NodeId};
use taut_peer::{ChannelInit, ConnectionState, Event, Kind, Message, MessageKind, TrackInfo, TransportStats};
use taut_sansio::net::{Path, Received};
use taut_sansio::rng::Rng;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A connected pair with a data channel and a video track.
fn pair(seed: u64) -> (Call, taut_peer::ChannelId) {
    let mut call = Call::new(seed, Link::default().latency(10 * MS));
    let (now, a) = (call.now(), call.a);
    let id = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    call.peer(a).add_track(now, TrackInfo::new("v", Kind::Video), vec![]).unwrap();
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    call.run_for(SECOND);
    (call, id)
}

/// Puts a datagram in front of a side, as if it came from `from`.
fn inject(call: &mut Call, to: NodeId, from: SocketAddr, datagram: &[u8]) {
    let local = SocketAddr::new(if to == call.a { [10, 0, 0, 1] } else { [10, 0, 0, 2] }.into(), PORT);
    let meta = Received { at: call.now(), path: Path::udp(local, from), ecn: None };
    call.peer(to).handle_datagram(meta, BytesMut::from(datagram));
}

fn true_peer() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], PORT))
}

fn stranger(number: u32) -> SocketAddr {
    SocketAddr::from(([172, 16, (number >> 8) as u8, number as u8], 9))
}

fn assert_alive(call: &mut Call, id: taut_peer::ChannelId) {
    let (now, a) = (call.now(), call.a);
    let before = call.world.node(call.b).message_count();
    call.peer(a).send(now, id, Message { kind: MessageKind::Binary, data: body(before, 3_000) }).unwrap();
    assert!(call.run_until(5 * SECOND, |w, _, b| w.node(b).message_count() == before + 1));
    for side in [call.a, call.b] {
        assert_eq!(call.peer(side).connection_state(), ConnectionState::Connected);
    }
    let b = call.b;
    assert!(call.side(b).frames.is_empty(), "nothing forged became a frame");
}

fn stats(call: &mut Call) -> TransportStats {
    let b = call.b;
    call.peer(b).transport_stats()
}

/// The start of a ClientHello that offers the null cipher, in one record of epoch 0.
fn client_hello() -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([7; 32]);
    body.extend([0, 0, 0, 2, 0, 0, 1, 0]);
    let mut message = vec![1, 0, 0, body.len() as u8, 0, 0, 0, 0, 0, 0, 0, body.len() as u8];
    message.extend(body);
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, message.len() as u8];
    record.extend(message);
    record
}

#[test]
fn strangers_reach_neither_dtls_nor_srtp() {
    let (mut call, id) = pair(1);
    let b = call.b;
    let before = stats(&mut call);
    for number in 0..1_000 {
        inject(&mut call, b, stranger(number), &client_hello());
        inject(&mut call, b, stranger(number), &[0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3]);
        inject(&mut call, b, stranger(number), &[0x80, 200, 0, 1, 0, 0, 0, 1]);
    }
    assert_eq!(stats(&mut call).dropped_gate, before.dropped_gate + 3_000);
    assert_alive(&mut call, id);
}

#[test]
fn client_hellos_from_everywhere_do_not_stop_the_handshake() {
    for seed in 0..20 {
        let mut call = Call::new(seed, Link::default().latency(10 * MS));
        let (now, a, b) = (call.now(), call.a, call.b);
        let id = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
        call.negotiate(a);
        for number in 0..200 {
            for side in [a, b] {
                inject(&mut call, side, stranger(number), &client_hello());
            }
            call.run_for(MS);
        }
        assert!(call.connect(5 * SECOND), "seed {seed}");
        assert_alive(&mut call, id);
    }
}

#[test]
fn forged_media_of_the_true_address_is_counted_and_gone() {
    let (mut call, id) = pair(3);
    let b = call.b;
    let before = stats(&mut call);
    let mut rng = Rng::from_u64(3);
    for number in 0..10_000u32 {
        let mut packet = vec![0x80, 96];
        packet.extend(number.to_be_bytes());
        packet.extend(rng.array::<40>());
        inject(&mut call, b, true_peer(), &packet);
        packet[1] = 200;
        inject(&mut call, b, true_peer(), &packet);
    }
    let after = stats(&mut call);
    assert_eq!(after.dropped_srtp, before.dropped_srtp + 20_000);
    assert_eq!(after.dropped_unrouted, before.dropped_unrouted);
    assert_alive(&mut call, id);
}

#[test]
fn every_first_octet_and_every_length_is_survived() {
    let (mut call, id) = pair(4);
    let (a, b) = (call.a, call.b);
    let mut rng = Rng::from_u64(4);
    for first in 0..=255u8 {
        for len in 0..64 {
            let mut datagram = vec![0; len];
            rng.fill(&mut datagram);
            if let Some(octet) = datagram.first_mut() {
                *octet = first;
            }
            inject(&mut call, b, true_peer(), &datagram);
            inject(&mut call, a, SocketAddr::from(([10, 0, 0, 2], PORT)), &datagram);
            inject(&mut call, b, stranger(u32::from(first)), &datagram);
        }
    }
    assert_alive(&mut call, id);
    let unknown = stats(&mut call).dropped_unknown;
    // 4..=19, 64..=127 and 192..=255, and the empty datagrams, from two addresses each.
    assert_eq!(unknown, 2 * (144 * 63 + 256));
}

#[test]
fn forged_dtls_of_the_true_address_changes_nothing() {
    let (mut call, id) = pair(5);
    let b = call.b;
    // A fatal alert in plaintext, a HelloRequest, a record shorter than nonce and tag, records of future epochs.
    inject(&mut call, b, true_peer(), &[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40]);
    inject(
        &mut call,
        b,
        true_peer(),
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 12, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    );
    inject(&mut call, b, true_peer(), &[23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 1]);
    for epoch in 2..102u8 {
        let mut record = vec![23, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 9, 0, 40];
        record.extend([1; 40]);
        inject(&mut call, b, true_peer(), &record);
    }
    inject(&mut call, b, true_peer(), &client_hello());
    assert_alive(&mut call, id);
}

#[test]
fn stun_without_integrity_has_no_effect() {
    let (mut call, id) = pair(6);
    let b = call.b;
    let routes = |call: &mut Call| {
        call.side(b)
            .events
            .iter()
            .filter(|e| matches!(e, Event::RouteAdded(_) | Event::RouteRemoved(_)))
            .count()
    };
    let before = routes(&mut call);
    for number in 0..1_000 {
        // A binding request with a USERNAME that is not ours and no integrity.
        let mut request = vec![0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42];
        request.extend([number as u8; 12]);
        request.extend([0, 6, 0, 4, b'a', b':', b'b', b'c']);
        inject(&mut call, b, stranger(number), &request);
        inject(&mut call, b, true_peer(), &request);
    }
    call.run_for(SECOND);
    assert_eq!(routes(&mut call), before);
    assert_alive(&mut call, id);
}

#[test]
fn every_prefix_and_every_changed_octet_of_true_packets_is_survived() {
    let (mut call, id) = pair(7);
    let (now, a, b) = (call.now(), call.a, call.b);
    let data = Bytes::from(vec![5; 300]);
    call.peer(a).send(now, id, Message { kind: MessageKind::Binary, data }).unwrap();
    let mut out = Vec::new();
    let mut packets = Vec::new();
    while let Some(transmit) = call.peer(a).poll_transmit(now, 1, &mut out) {
        packets.push(std::mem::take(&mut out));
        assert_eq!(transmit.len, packets.last().unwrap().len());
    }
    assert!(!packets.is_empty());
    for packet in &packets {
        for len in 0..packet.len() {
            inject(&mut call, b, true_peer(), &packet[..len]);
        }
        for place in 0..packet.len() {
            let mut changed = packet.clone();
            changed[place] ^= 0x41;
            inject(&mut call, b, true_peer(), &changed);
        }
    }
    call.run_for(MS);
    assert_eq!(call.side(b).message_count(), 0, "nothing changed was taken for the message");
    // The true packets arrive late, and what follows too.
    for packet in &packets {
        inject(&mut call, b, true_peer(), packet);
    }
    assert!(call.run_until(5 * SECOND, |w, _, b| w.node(b).message_count() == 1));
    assert_alive(&mut call, id);
}
