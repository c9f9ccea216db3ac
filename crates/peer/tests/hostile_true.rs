//! Hostile datagrams that come, or seem to come, from the true address of the other side, with every DTLS engine: the
//! connection stays up, nothing is delivered, the drop is counted. The table is in `hostile.rs`.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{
    Call, What, assert_alive, binary, body, client_hello, configs, inject, pair_of, stats, take, true_peer,
    video_frame,
};
use taut_netsim::Link;
use taut_peer::{ChannelId, ChannelInit, Config, ConnectionState, IceConnectionState};
use taut_sansio::rng::Rng;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A record of DTLS as an attacker writes it.
fn record(content_type: u8, epoch: u16, sequence: u64, body: &[u8]) -> Vec<u8> {
    let mut out = vec![content_type, 0xfe, 0xfd];
    out.extend((u64::from(epoch) << 48 | sequence).to_be_bytes());
    out.extend((body.len() as u16).to_be_bytes());
    out.extend(body);
    out
}

/// A fragment of a handshake message.
fn fragment(kind: u8, message_seq: u16, length: u8, offset: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = message_seq.to_be_bytes();
    [&[kind, 0, 0, length, high, low, 0, 0, offset, 0, 0, body.len() as u8], body].concat()
}

/// Records none of which any state calls for. After the handshake each is one drop.
fn forged_records() -> Vec<Vec<u8>> {
    let mut all = vec![client_hello()];
    for alert in [[2, 40], [2, 80], [1, 0], [1, 90], [1, 100]] {
        all.push(record(21, 0, 9, &alert));
        all.push(record(21, 1, 9, &alert));
    }
    for message_seq in 0..4 {
        all.push(record(22, 0, 9, &fragment(0, message_seq, 0, 0, &[])));
    }
    all.push(record(23, 0, 9, b"in the clear"));
    // Shorter than nonce and tag, and not shorter.
    all.extend((0..64).map(|length| record(23, 1, 9, &vec![1; length])));
    // With the highest number there is, which must not move the window.
    all.push(record(23, 1, (1 << 48) - 1, &[1; 60]));
    all.push([&[0x2f, 0xff, 0xff, 0, 60], &[1; 60][..]].concat());
    // Epochs to come.
    all.extend((2..102).map(|epoch| record(23, epoch, 9, &[1; 1_000])));
    // Pieces of a certificate that nobody asked for.
    all.extend((0..=200).map(|offset| record(22, 0, 9, &fragment(11, 9, 255, offset, &[1; 8]))));
    all
}

#[test]
fn forged_records_of_the_true_address_are_counted_and_change_nothing() {
    for config in configs() {
        let (mut call, id) = pair_of(5, config);
        let b = call.b;
        for forged in forged_records() {
            let before = stats(&mut call);
            inject(&mut call, b, true_peer(), &forged);
            let mut expected = before;
            expected.packets_received += 1;
            expected.bytes_received += forged.len() as u64;
            expected.dropped_dtls += 1;
            assert_eq!(stats(&mut call), expected, "{forged:?}");
        }
        assert_alive(&mut call, id);
    }
}

#[test]
fn forged_records_in_the_handshake_do_not_stop_it() {
    for config in configs() {
        for seed in 0..5 {
            let link = Link::default().latency(10 * MS);
            let mut call = Call::with_configs(seed, link, config.clone(), config.clone());
            let (now, a, b) = (call.now(), call.a, call.b);
            let id = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
            call.negotiate(a);
            // Each time a little further into the handshake.
            let validated = call.run_until(5 * SECOND, |w, a, b| {
                [a, b].iter().all(|&side| {
                    let state = w.node(side).peer.ice_connection_state();
                    matches!(state, IceConnectionState::Connected | IceConnectionState::Completed)
                })
            });
            assert!(validated);
            call.run_for(seed as u32 * 10 * MS);
            let in_handshake = call.peer(b).connection_state() != ConnectionState::Connected;
            assert_eq!(in_handshake, seed < 2, "seed {seed}");
            for forged in forged_records() {
                inject(&mut call, b, true_peer(), &forged);
                inject(&mut call, a, ([10, 0, 0, 2], common::PORT).into(), &forged);
            }
            // Three round trips are left at most; a handshake that is begun anew takes longer.
            assert!(call.connect(60 * MS), "seed {seed}");
            assert_alive(&mut call, id);
        }
    }
}

#[test]
fn a_hundred_thousand_forged_packets_change_no_state() {
    const EACH: u64 = 25_000;
    for config in configs() {
        let (mut call, id) = pair_of(3, config);
        let b = call.b;
        let (before, events) = (stats(&mut call), call.side(b).events.len());
        let mut rng = Rng::from_u64(3);
        for number in 0..EACH {
            let random = rng.array::<44>();
            let mut srtp = [&[0x80, 96], &random[..]].concat();
            inject(&mut call, b, true_peer(), &srtp);
            srtp[1] = 200;
            inject(&mut call, b, true_peer(), &srtp);
            inject(&mut call, b, true_peer(), &record(23, 1, number, &random));
            let stun = [&[0, 1, 0, 24, 0x21, 0x12, 0xa4, 0x42], &random[..12], &[0, 8, 0, 20], &random[..20]]
                .concat();
            inject(&mut call, b, true_peer(), &stun);
        }
        let mut expected = before;
        expected.dropped_srtp += 2 * EACH;
        expected.dropped_dtls += EACH;
        expected.packets_received += EACH;
        expected.bytes_received += EACH * (13 + 44);
        assert_eq!(stats(&mut call), expected);
        assert_alive(&mut call, id);
        // The message of that check has come, and nothing else.
        let told = &call.side(b).events[events..];
        assert!(told.len() <= 2, "{told:?}");
    }
}

/// A call with media and data, and all that a has sent to b in it.
fn taped(seed: u64, config: &Config) -> (Call, ChannelId, Vec<Vec<u8>>) {
    let link = Link::default().latency(10 * MS);
    let mut call = Call::with_configs(seed, link, config.clone(), config.clone());
    let (now, a) = (call.now(), call.a);
    call.side(a).tape = Some(Vec::new());
    let id = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    let track = taut_peer::TrackInfo::new("v", taut_peer::Kind::Video);
    let video = call.peer(a).add_track(now, track, vec![]).unwrap();
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    for number in 0..80 {
        let now = call.now();
        call.peer(a).send_frame(now, video, video_frame(number)).unwrap();
        call.peer(a).send(now, id, binary(body(number, 500))).unwrap();
        call.run_for(100 * MS);
    }
    call.run_for(SECOND);
    let tape = call.side(a).tape.take().unwrap();
    (call, id, tape)
}

/// Sends a message after all that, and sees it come.
fn assert_up(call: &mut Call, id: ChannelId) {
    let (now, a, b) = (call.now(), call.a, call.b);
    let before = call.side(b).message_count();
    call.peer(a).send(now, id, binary(body(before, 3_000))).unwrap();
    assert!(call.run_until(5 * SECOND, |w, _, b| w.node(b).message_count() == before + 1));
    assert_eq!(call.peer(b).connection_state(), ConnectionState::Connected);
}

/// What has come to the application of b.
fn received(call: &mut Call) -> (usize, usize, usize) {
    call.run_for(500 * MS);
    let b = call.b;
    let side = call.side(b);
    (side.message_count(), side.frames.values().map(Vec::len).sum(), side.events.len())
}

#[test]
fn replayed_packets_are_counted_and_deliver_nothing() {
    for config in configs() {
        let (mut call, id, tape) = taped(7, &config);
        let b = call.b;
        let (count, before) = (received(&mut call), stats(&mut call));
        for packet in &tape {
            inject(&mut call, b, true_peer(), packet);
        }
        let sent = |what| tape.iter().filter(|packet| What::of(packet) == what).count() as u64;
        let after = stats(&mut call);
        assert!(sent(What::Rtp) > 200 && sent(What::Rtcp) > 2 && sent(What::Stun) > 2);
        assert_eq!(after.dropped_srtp - before.dropped_srtp, sent(What::Rtp) + sent(What::Rtcp));
        // Several records may be in a datagram of the handshake.
        assert!(after.dropped_dtls - before.dropped_dtls >= sent(What::Dtls), "{after:?}");
        assert_eq!(after.dropped_unrouted, before.dropped_unrouted);
        assert_eq!(received(&mut call), count);
        assert_up(&mut call, id);
    }
}

#[test]
fn every_prefix_of_every_kind_of_packet_is_dropped() {
    for config in configs() {
        let (mut call, id, tape) = taped(8, &config);
        let b = call.b;
        let count = received(&mut call);
        // The kind of a packet is in its first two octets; of each kind some, the shortest and the longest among them.
        let mut kinds = std::collections::BTreeMap::<_, Vec<&Vec<u8>>>::new();
        for packet in &tape {
            kinds.entry((What::of(packet) as u8, packet[0], packet[1] & 0x7f)).or_default().push(packet);
        }
        assert!(kinds.len() >= 6, "{:?}", kinds.keys());
        for packets in kinds.values_mut() {
            packets.sort_by_key(|packet| packet.len());
            for packet in [packets[0], packets[packets.len() - 1]] {
                let what = What::of(packet);
                let before = stats(&mut call);
                for length in 1..packet.len() {
                    inject(&mut call, b, true_peer(), &packet[..length]);
                }
                let (after, prefixes) = (stats(&mut call), packet.len() as u64 - 1);
                let srtp = if matches!(what, What::Rtp | What::Rtcp) { prefixes } else { 0 };
                assert_eq!(after.dropped_srtp - before.dropped_srtp, srtp, "{what:?}");
                let dtls = after.dropped_dtls - before.dropped_dtls;
                assert!(if what == What::Dtls { dtls >= prefixes } else { dtls == 0 }, "{what:?} {dtls}");
            }
        }
        assert_eq!(received(&mut call), count);
        assert_up(&mut call, id);
    }
}

#[test]
fn every_changed_bit_of_srtp_and_srtcp_is_refused() {
    for config in configs() {
        let (mut call, id, tape) = taped(9, &config);
        let (now, a, b) = (call.now(), call.a, call.b);
        let count = received(&mut call);
        let video = call.peer(a).transceivers().next().unwrap().id();
        call.peer(a).send_frame(now + 500 * MS, video, video_frame(0)).unwrap();
        // A frame that b has not got yet, and a report of before.
        let frame = take(&mut call, a);
        let fresh = frame.iter().find(|packet| What::of(packet) == What::Rtp).unwrap();
        let report = tape.iter().rfind(|packet| What::of(packet) == What::Rtcp).unwrap();
        for packet in [fresh, report] {
            let before = stats(&mut call);
            // The two bits that tell the protocol would make something else of it.
            for bit in 2..packet.len() * 8 {
                let mut changed = packet.clone();
                changed[bit / 8] ^= 0x80 >> (bit % 8);
                inject(&mut call, b, true_peer(), &changed);
            }
            let mut expected = before;
            expected.dropped_srtp += packet.len() as u64 * 8 - 2;
            assert_eq!(stats(&mut call), expected);
        }
        assert_eq!(received(&mut call), count);
        // Nothing of it has moved the window or the rollover counter: the frame itself is good.
        for packet in &frame {
            inject(&mut call, b, true_peer(), packet);
        }
        assert_eq!(received(&mut call).1, count.1 + 1);
        assert_up(&mut call, id);
    }
}

#[test]
fn every_prefix_and_every_changed_octet_of_true_records_is_survived() {
    for config in configs() {
        let (mut call, id) = pair_of(7, config.clone());
        let (now, a, b) = (call.now(), call.a, call.b);
        let data = Bytes::from(vec![5; 300]);
        call.peer(a).send(now, id, binary(data)).unwrap();
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
}
