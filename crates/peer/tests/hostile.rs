//! Hostile datagrams from other addresses against a live pair, with every DTLS engine: the connection stays up, nothing is
//! delivered, the drop is counted.
//!
//! Where the kinds of attacks that ended other stacks are tried:
//!
//! | kind | test |
//! |---|---|
//! | **before authentication** | |
//! | ClientHello race | `first_flights_from_a_thousand_addresses_do_not_stop_the_handshake`, `strangers_reach_neither_dtls_nor_srtp` |
//! | media from an address that is not validated | `true_packets_from_another_address_are_dropped_and_draw_nothing_there` |
//! | error counters that hang up | `hostile_true`: `a_hundred_thousand_forged_packets_change_no_state` |
//! | length underflow | `hostile_true`: `every_prefix_of_every_kind_of_packet_is_dropped`, `every_changed_bit_of_srtp_and_srtcp_is_refused`, `every_prefix_and_every_changed_octet_of_true_records_is_survived` |
//! | reflection, amplification | `strangers_get_back_no_more_than_they_send`, `before_a_path_is_validated_nothing_but_checks_goes_out` |
//! | another address in a true check | `an_address_that_only_checks_and_never_answers_gets_no_data` |
//! | multiplexing | `every_first_octet_and_every_length_is_counted` |
//! | STUN without integrity | `stun_without_integrity_has_no_effect` |
//! | **descriptions** | |
//! | profiles without protection, twelve spellings | `signaling`: `other_profiles_are_answered_with_port_0` |
//! | fingerprints | `fingerprints` |
//! | certificate without its key | `taut-dtls`: `a_certificate_without_its_key_connects_nobody` |
//! | media before the callee answers | `consent`: `no_media_leaves_before_both_descriptions_are_set` |
//! | **DTLS** | |
//! | short and bad records, alerts, HelloRequest, data of epoch 0, future epochs, fragments, 2^48-1 | `hostile_true`: `forged_records_of_the_true_address_are_counted_and_change_nothing`; `taut-dtls`: `tests/hostile.rs`, before, in and after the handshake |
//! | unbounded buffering | `taut-dtls`: `tests/heap.rs` |
//! | replay | `hostile_true`: `replayed_packets_are_counted_and_deliver_nothing` |
//! | reuse of a nonce | `taut-dtls`: `no_two_records_have_the_same_nonce` |
//! | lost flights | `taut-dtls`: `tests/world.rs` |
//! | **SRTP** | `hostile_true`; order of checks, rollover and SSRCs: `taut-srtp` |
//! | **SCTP and data channels** | what only the peer can send: `taut-sctp`, `taut-datachannel` (`tests/hostile.rs`, `tests/heap.rs`) |
//! | **the process** | a machine that sleeps: `clock_pause`; a process that goes away: `consent`, and `leaks` of `taut` |
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{
    Call, What, assert_alive, binary, body, client_hello, configs, inject, pair_of, stats, stranger, take,
    true_peer, video_frame,
};
use taut_netsim::{Link, NodeId};
use taut_peer::{ChannelInit, ConnectionState, Event, Kind, TrackInfo};
use taut_sansio::rng::Rng;
use taut_stun::attribute::{IceControlling, Priority, UseCandidate, Username};
use taut_stun::{Algorithm, Builder, Class, Key, Method, TransactionId};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn strangers_reach_neither_dtls_nor_srtp() {
    for config in configs() {
        let (mut call, id) = pair_of(1, config.clone());
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
}

/// What is not from the other side: a ClientHello with the null cipher, one of a good client, and garbage.
fn first_flights(call: &mut Call) -> Vec<Vec<u8>> {
    let mut good = Call::new(99, Link::default());
    let (now, a) = (good.now(), good.a);
    good.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    good.side(a).tape = Some(Vec::new());
    let b = good.b;
    good.side(b).tape = Some(Vec::new());
    good.negotiate(a);
    assert!(good.connect(5 * SECOND));
    let tapes = [a, b].map(|side| good.side(side).tape.take().unwrap());
    let hello = tapes.into_iter().flatten().find(|datagram| What::of(datagram) == What::Dtls).unwrap();
    let mut garbage = call.world.rng().array::<200>().to_vec();
    garbage[0] = 22;
    vec![client_hello(), hello, garbage]
}

#[test]
fn first_flights_from_a_thousand_addresses_do_not_stop_the_handshake() {
    for config in configs() {
        for seed in 0..5 {
            let link = Link::default().latency(10 * MS);
            let mut call = Call::with_configs(seed, link, config.clone(), config.clone());
            let (now, a, b) = (call.now(), call.a, call.b);
            let flights = first_flights(&mut call);
            let id = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
            call.peer(a).add_track(now, TrackInfo::new("v", Kind::Video), vec![]).unwrap();
            // Before, during and after the handshake.
            let spray = |call: &mut Call, numbers: std::ops::Range<u32>| {
                for number in numbers.clone() {
                    for flight in &flights {
                        inject(call, a, stranger(number), flight);
                        inject(call, b, stranger(number), flight);
                    }
                }
                numbers.len() as u64 * 3
            };
            let mut sprayed = spray(&mut call, 0..1_000);
            call.negotiate(a);
            for number in 0..100 {
                sprayed += spray(&mut call, 10 * number..10 * number + 10);
                call.run_for(MS);
            }
            assert!(call.connect(5 * SECOND), "seed {seed}");
            sprayed += spray(&mut call, 0..1_000);
            assert_alive(&mut call, id);
            for side in [a, b] {
                assert_eq!(call.peer(side).transport_stats().dropped_gate, sprayed);
            }
        }
    }
}

#[test]
fn every_first_octet_and_every_length_is_counted() {
    for config in configs() {
        let (mut call, id) = pair_of(4, config.clone());
        let b = call.b;
        let mut rng = Rng::from_u64(4);
        for first in 0..=255u8 {
            for len in 0..64u64 {
                let mut datagram = vec![0; len as usize];
                rng.fill(&mut datagram);
                if let Some(octet) = datagram.first_mut() {
                    *octet = first;
                }
                let before = stats(&mut call);
                inject(&mut call, b, true_peer(), &datagram);
                inject(&mut call, b, stranger(u32::from(first)), &datagram);
                let mut expected = before;
                let after = stats(&mut call);
                match first {
                    _ if len == 0 => expected.dropped_unknown += 2,
                    // STUN without integrity, and ChannelData of no relay: ICE drops it, and nothing comes of it.
                    0..=3 | 64..=79 => {}
                    20..=63 => {
                        expected.dropped_gate += 1;
                        expected.packets_received += 1;
                        expected.bytes_received += len;
                        // One octet of a datagram can be a whole record of its own.
                        assert!(after.dropped_dtls > before.dropped_dtls, "{datagram:?}");
                        expected.dropped_dtls = after.dropped_dtls;
                    }
                    128..=191 => {
                        expected.dropped_gate += 1;
                        expected.dropped_srtp += 1;
                    }
                    _ => expected.dropped_unknown += 2,
                }
                assert_eq!(after, expected, "{datagram:?}");
            }
        }
        let now = call.now();
        let report = call.peer(b).stats(now);
        assert_eq!(report.transport().unwrap().dropped, stats(&mut call), "the report says the same");
        assert_alive(&mut call, id);
    }
}

#[test]
fn stun_without_integrity_has_no_effect() {
    for config in configs() {
        let (mut call, id) = pair_of(6, config.clone());
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
}

fn sent_to(call: &mut Call, from: NodeId, remote: SocketAddr) -> Vec<What> {
    let sent = &call.side(from).sent;
    sent.iter().filter(|sent| sent.remote == remote).map(|sent| sent.what).collect()
}

#[test]
fn true_packets_from_another_address_are_dropped_and_draw_nothing_there() {
    for config in configs() {
        let (mut call, id) = pair_of(27, config.clone());
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
        assert!(
            call.run_until(SECOND, |w, _, b| w.node(b).message_count() == 1 && !w.node(b).frames.is_empty())
        );
        assert_eq!(selected(&mut call), path);
        assert!(sent_to(&mut call, b, stranger(1)).is_empty());
    }
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
    for config in configs() {
        let (mut call, id) = pair_of(28, config.clone());
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
}

#[test]
fn before_a_path_is_validated_nothing_but_checks_goes_out() {
    for config in configs() {
        let mut call =
            Call::with_configs(29, Link::default().latency(10 * MS), config.clone(), config.clone());
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
}

#[test]
fn strangers_get_back_no_more_than_they_send() {
    for config in configs() {
        for connected in [false, true] {
            let mut call = match connected {
                true => pair_of(30, config.clone()).0,
                false => {
                    let mut call = Call::with_configs(
                        30,
                        Link::default().latency(10 * MS),
                        config.clone(),
                        config.clone(),
                    );
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
}
