//! Forged datagrams against a live pair: the connection stays up, nothing is delivered, the drop is counted.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use common::{
    Call, PORT, What, assert_alive, binary, body, client_hello, inject, pair, stranger, true_peer,
    video_frame,
};
use taut_netsim::{Link, NodeId};
use taut_peer::{ChannelInit, ConnectionState, Event, Message, MessageKind, TransportStats};
use taut_sansio::rng::Rng;
use taut_stun::attribute::{IceControlling, Priority, UseCandidate, Username};
use taut_stun::{Algorithm, Builder, Class, Key, Method, TransactionId};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn stats(call: &mut Call) -> TransportStats {
    let b = call.b;
    call.peer(b).transport_stats()
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

/// Makes the next datagrams of a side and keeps them from the network.
fn take(call: &mut Call, from: NodeId) -> Vec<Vec<u8>> {
    let now = call.now();
    let (mut out, mut packets) = (Vec::new(), Vec::new());
    while call.peer(from).poll_transmit(now, 1, &mut out).is_some() {
        packets.push(std::mem::take(&mut out));
    }
    packets
}

fn sent_to(call: &mut Call, from: NodeId, remote: SocketAddr) -> Vec<What> {
    let sent = &call.side(from).sent;
    sent.iter().filter(|sent| sent.remote == remote).map(|sent| sent.what).collect()
}

#[test]
fn true_packets_from_another_address_are_dropped_and_draw_nothing_there() {
    let (mut call, id) = pair(27);
    let (now, a, b) = (call.now(), call.a, call.b);
    let video = call.peer(a).transceivers().next().unwrap().id();
    call.peer(a).send_frame(now, video, video_frame(0)).unwrap();
    call.peer(a).send(now, id, binary(body(0, 3_000))).unwrap();
    let packets = take(&mut call, a);
    assert!(packets.iter().any(|packet| What::of(packet) == What::Rtp));
    assert!(packets.iter().any(|packet| What::of(packet) == What::Dtls));
    let before = stats(&mut call);
    for packet in &packets {
        inject(&mut call, b, stranger(1), packet);
    }
    let mut expected = before;
    expected.dropped_gate += packets.len() as u64;
    assert_eq!(stats(&mut call), expected);
    let selected = |call: &mut Call| {
        let now = call.now();
        call.peer(b).stats(now).selected_pair().cloned().map(|pair| pair.remote_candidate_id)
    };
    let path = selected(&mut call);
    // Nothing was used up by it: from the true address the same packets are good.
    for packet in &packets {
        inject(&mut call, b, true_peer(), packet);
    }
    assert!(call.run_until(SECOND, |w, _, b| w.node(b).message_count() == 1 && !w.node(b).frames.is_empty()));
    assert_eq!(selected(&mut call), path);
    assert!(sent_to(&mut call, b, stranger(1)).is_empty());
}

/// A check as the true peer a would send it to b, from wherever.
fn good_check(call: &mut Call, number: u8) -> Vec<u8> {
    let value = |sdp: &str, name: &str| {
        sdp.lines().find_map(|line| line.strip_prefix(name)).expect("the attribute is there").to_owned()
    };
    let (a, b) = (call.a, call.b);
    let theirs = call.peer(b).local_description().unwrap().sdp;
    let ours = call.peer(a).local_description().unwrap().sdp;
    let username = format!("{}:{}", value(&theirs, "a=ice-ufrag:"), value(&ours, "a=ice-ufrag:"));
    let mut out = Vec::new();
    Builder::new(&mut out, Class::Request, Method::BINDING, TransactionId([number; 12]))
        .push(&Username::new(&username))
        .push(&Priority(2_000_000_000))
        .push(&IceControlling(u64::MAX))
        .push(&UseCandidate)
        .integrity(&Key::short_term(&value(&theirs, "a=ice-pwd:")), Algorithm::Sha1)
        .fingerprint()
        .finish()
        .expect("it fits");
    out
}

#[test]
fn an_address_that_only_checks_and_never_answers_gets_no_data() {
    let (mut call, id) = pair(28);
    let b = call.b;
    let theirs = call.side(b).incoming()[0];
    for number in 0..60 {
        let check = good_check(&mut call, number);
        inject(&mut call, b, stranger(5), &check);
        inject(&mut call, b, stranger(5), &client_hello());
        let now = call.now();
        call.peer(b).send(now, theirs, binary(body(0, 2_000))).unwrap();
        call.run_for(500 * MS);
    }
    let sent = sent_to(&mut call, b, stranger(5));
    assert!(!sent.is_empty(), "its checks are answered");
    assert!(sent.iter().all(|what| *what == What::Stun), "{sent:?}");
    assert_alive(&mut call, id);
}

#[test]
fn before_a_path_is_validated_nothing_but_checks_goes_out() {
    let mut call = Call::new(29, Link::default().latency(10 * MS));
    let (now, a, b) = (call.now(), call.a, call.b);
    call.trickle = false;
    call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    // Without candidates neither side knows the other.
    let strip = |sdp: String| -> String {
        sdp.lines().filter(|line| !line.contains("candidate")).map(|line| format!("{line}\r\n")).collect()
    };
    call.negotiate_changed(a, strip, strip);
    for number in 0..40 {
        let check = good_check(&mut call, number);
        inject(&mut call, b, stranger(5), &check);
        for _ in 0..20 {
            inject(&mut call, b, stranger(5), &client_hello());
        }
        call.run_for(100 * MS);
    }
    let sent = sent_to(&mut call, b, stranger(5));
    assert!(!sent.is_empty() && sent.iter().all(|what| *what == What::Stun), "{sent:?}");
    // What is held for the address is bounded, the rest is dropped.
    let stats = stats(&mut call);
    assert!(stats.dropped_gate >= 40 * 20 - 16, "{stats:?}");
    assert_eq!(stats.packets_received, 0);
    assert_ne!(call.peer(b).connection_state(), ConnectionState::Connected);
}

#[test]
fn strangers_get_back_no_more_than_they_send() {
    for connected in [false, true] {
        let mut call = match connected {
            true => pair(30).0,
            false => {
                let mut call = Call::new(30, Link::default().latency(10 * MS));
                let (now, a) = (call.now(), call.a);
                call.trickle = false;
                call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
                call.negotiate(a);
                call
            }
        };
        let b = call.b;
        let mut rng = Rng::from_u64(30);
        let mut octets = 0;
        for number in 0..10_000u32 {
            let mut datagram = match number % 4 {
                // A binding request without any attribute, one with garbage, an indication, a ClientHello.
                0 => vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42],
                1 => vec![0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42],
                2 => vec![0, 0x11, 0, 0, 0x21, 0x12, 0xa4, 0x42],
                _ => client_hello(),
            };
            datagram.extend(rng.array::<12>());
            if number % 4 == 1 {
                datagram.extend([0, 6, 0, 4, b'a', b':', b'b', b'c']);
            }
            octets += datagram.len();
            inject(&mut call, b, stranger(number % 100), &datagram);
            if number.is_multiple_of(100) {
                call.run_for(MS);
            }
        }
        call.run_for(5 * SECOND);
        let back: usize =
            call.side(b).sent.iter().filter(|sent| sent.remote.port() == 9).map(|sent| sent.len).sum();
        assert!(back * 2 <= octets * 3, "{back} octets for {octets}");
    }
}
