use super::*;
use crate::assoc::cookie::COOKIE_LEN;
use crate::association::Phase;
use crate::packet::{Header, Walker, chunk_head, finish, kind, put_tlv};

fn kinds(packet: &[u8]) -> Vec<u8> {
    Walker::new(&packet[12..]).map(|tlv| tlv.unwrap().kind()).collect()
}

#[test]
fn one_side_connects() {
    let mut pair = Pair::new(1, Net::default(), config());
    pair.a.sctp.connect(pair.now);
    assert!(pair.run_until(1_000 * MS, |p| p.b.events.contains(&Event::Connected)));
    assert!(pair.run_until(1_000 * MS, |p| p.a.events.contains(&Event::Connected)));
    let seen: Vec<_> = pair.record.iter().take(4).map(|(_, packet)| kinds(packet)).collect();
    assert_eq!(seen, [[kind::INIT], [kind::INIT_ACK], [kind::COOKIE_ECHO], [kind::COOKIE_ACK]]);
    assert!(pair.a.sctp.agreed.reconfig && pair.b.sctp.agreed.forward_tsn);
}

#[test]
fn both_sides_connect_at_once_and_data_goes_with_the_cookie() {
    let mut pair = Pair::new(2, Net::default(), config());
    pair.write(End::A, 1, b"early".to_vec(), reliable());
    pair.connect();
    assert!(pair.run_until(1_000 * MS, |p| !p.b.messages.is_empty()));
    let echo =
        pair.record.iter().find(|(end, p)| *end == End::A && kinds(p)[0] == kind::COOKIE_ECHO).unwrap();
    assert_eq!(kinds(&echo.1), [kind::COOKIE_ECHO, kind::DATA]);
    assert_eq!(pair.a.sctp.remote.tag, pair.b.sctp.local_tag);
    assert_eq!(pair.b.sctp.remote.tag, pair.a.sctp.local_tag);
}

#[test]
fn two_hundred_seeds_of_loss_duplication_and_reordering() {
    for seed in 0..200 {
        let net = Net { loss: (seed % 8) as f64 * 0.05, duplicate: 0.2, jitter: 40 * MS, ..Net::default() };
        let mut pair = Pair::new(seed, net, config());
        // One, the other, or both, at the same time or not.
        if seed % 3 != 0 {
            pair.a.sctp.connect(pair.now);
        }
        pair.run_for((seed % 7) as u32 * 5 * MS);
        if seed % 3 != 1 {
            pair.b.sctp.connect(pair.now);
        }
        let up = pair.run_until(120_000 * MS, |p| {
            p.a.events.contains(&Event::Connected) && p.b.events.contains(&Event::Connected)
        });
        assert!(up, "seed {seed}: {:?} {:?}", pair.a.sctp.phase, pair.b.sctp.phase);
        pair.write(End::A, 3, vec![7; 5000], reliable());
        pair.write(End::B, 4, vec![8; 5000], reliable());
        let through = pair.run_until(120_000 * MS, |p| p.b.messages.len() == 1 && p.a.messages.len() == 1);
        assert!(through, "seed {seed}");
        assert_eq!(pair.a.events, [Event::Connected], "seed {seed}");
        assert_eq!(pair.b.events, [Event::Connected], "seed {seed}");
    }
}

#[test]
fn nobody_answers() {
    let mut pair = Pair::new(3, Net { loss: 1.0, ..Net::default() }, config());
    pair.a.sctp.connect(pair.now);
    pair.run_for(600_000 * MS);
    assert_eq!(pair.a.events, [Event::Closed(CloseReason::HandshakeTimeout)]);
    assert_eq!(pair.record.len(), 17, "one INIT and 16 more");
}

/// Plays the handshake up to A's COOKIE ECHO, which is kept back.
fn up_to_cookie(seed: u64) -> (Pair, Bytes) {
    let mut pair = Pair::new(seed, Net::default(), config());
    pair.a.sctp.connect(pair.now);
    while !matches!(pair.a.sctp.phase, Phase::CookieEchoed { .. }) {
        assert!(pair.step());
    }
    pair.poll(End::A);
    let (_, (_, echo)) = pair.wire.pop_first().unwrap();
    (pair, echo)
}

#[test]
fn a_cookie_with_any_octet_changed_is_refused() {
    let (mut pair, echo) = up_to_cookie(4);
    let now = pair.now;
    for at in 16..16 + COOKIE_LEN {
        for bit in [1, 0x80] {
            let mut bad = echo.to_vec();
            bad[at] ^= bit;
            bad[8..12].fill(0);
            finish(&mut bad, 0);
            pair.b.sctp.handle_packet(now, bad.into());
            assert!(matches!(pair.b.sctp.phase, Phase::Idle), "octet {at}");
            assert!(pair.b.sctp.poll_transmit(now, 1200, &mut Vec::new()).is_none());
        }
    }
    let refused = pair.b.sctp.stats().bad_cookies;
    assert_eq!(refused as usize, 2 * COOKIE_LEN);
    pair.b.sctp.handle_packet(now, echo);
    assert!(matches!(pair.b.sctp.phase, Phase::Established));
}

#[test]
fn a_stale_cookie_is_told_and_the_handshake_starts_over() {
    let (mut pair, echo) = up_to_cookie(5);
    pair.b.sctp.handle_packet(pair.now + 61_000 * MS, echo);
    assert!(matches!(pair.b.sctp.phase, Phase::Idle));
    let mut out = Vec::new();
    pair.b.sctp.poll_transmit(pair.now, 1200, &mut out).unwrap();
    assert_eq!(kinds(&out), [kind::ERROR]);
    pair.a.sctp.handle_packet(pair.now, out.into());
    assert!(matches!(pair.a.sctp.phase, Phase::CookieWait));
    assert!(pair.run_until(10_000 * MS, |p| p.a.events.contains(&Event::Connected)));
}

#[test]
fn a_peer_that_starts_anew_is_noticed() {
    let mut pair = Pair::connected(6, Net::default(), config());
    pair.write(End::A, 1, b"before".to_vec(), reliable());
    pair.run_for(1_000 * MS);
    pair.b.sctp = Association::new(config(), Rng::from_u64(99));
    pair.b.sctp.connect(pair.now);
    assert!(pair.run_until(10_000 * MS, |p| p.a.events.contains(&Event::Restarted)));
    pair.b.messages.clear();
    pair.run_for(1_000 * MS);
    pair.write(End::A, 1, b"after".to_vec(), reliable());
    pair.write(End::B, 1, b"too".to_vec(), reliable());
    assert!(pair.run_until(5_000 * MS, |p| p.b.messages.len() == 1 && p.a.messages.len() == 1));
    assert_eq!(pair.a.messages[0].2, b"too");
}

#[test]
fn an_old_cookie_does_not_restart() {
    let (mut pair, echo) = up_to_cookie(7);
    pair.send(End::A, echo.clone());
    pair.run_for(1_000 * MS);
    pair.write(End::B, 1, b"x".to_vec(), reliable());
    pair.run_for(1_000 * MS);
    // The same cookie again, also beyond its life, is only answered.
    for wait in [0, 100_000] {
        pair.b.sctp.handle_packet(pair.now + wait * MS, echo.clone());
        let mut out = Vec::new();
        pair.b.sctp.poll_transmit(pair.now, 1200, &mut out).unwrap();
        assert!(kinds(&out).contains(&kind::COOKIE_ACK));
    }
    assert_eq!(pair.b.events, [Event::Connected]);
}

#[test]
fn tags_and_ports_are_checked() {
    let mut pair = Pair::connected(8, Net::default(), config());
    let now = pair.now;
    let make = |tag: u32, source: u16, kind: u8, flags: u8| {
        let mut out = Vec::new();
        Header { source, destination: 5000, tag }.write(&mut out);
        put_tlv(&mut out, chunk_head(kind, flags), |o| o.extend_from_slice(&[0; 12]));
        finish(&mut out, 0);
        Bytes::from(out)
    };
    let (ours, theirs) = (pair.b.sctp.local_tag, pair.b.sctp.remote.tag);
    let before = pair.b.sctp.stats();
    let mut bad = 0;
    for kind in 0..=255u8 {
        for flags in [0, 1] {
            for tag in [0, ours ^ 1, theirs] {
                let reflected = matches!(kind, kind::ABORT | kind::SHUTDOWN_COMPLETE) && flags == 1;
                // Handled by their own rules: INIT is sent with tag 0, cookies and SHUTDOWN ACK carry their proof.
                let own_rule = match kind {
                    kind::INIT => tag == 0,
                    kind::COOKIE_ECHO | kind::SHUTDOWN_ACK => tag != 0,
                    _ => reflected && tag == theirs,
                };
                if own_rule {
                    continue;
                }
                pair.b.sctp.handle_packet(now, make(tag, 5000, kind, flags));
                bad += 1;
            }
        }
    }
    let after = pair.b.sctp.stats();
    assert_eq!(after.bad_tags - before.bad_tags, bad);
    assert_eq!(after.packets_received, before.packets_received);
    pair.b.sctp.handle_packet(now, make(ours, 5001, kind::ABORT, 0));
    assert_eq!(pair.b.sctp.stats().malformed_packets, 1);
    assert!(matches!(pair.b.sctp.phase, Phase::Established));
    pair.b.sctp.handle_packet(now, make(theirs, 5000, kind::ABORT, 1));
    assert!(matches!(pair.b.sctp.phase, Phase::Closed), "a reflected tag is good for ABORT");
}

#[test]
fn unknown_chunks_follow_their_high_bits() {
    for (kind, goes_on, reports) in
        [(0x3f, false, false), (0x7f, false, true), (0xbf, true, false), (0xff, true, true)]
    {
        let mut pair = Pair::connected(9, Net::default(), config());
        pair.run_for(200 * MS);
        give(&mut pair, End::B, |out| {
            put_tlv(out, chunk_head(kind, 0), |o| o.extend_from_slice(b"what"));
            put_tlv(out, chunk_head(kind::HEARTBEAT, 0), |o| {
                put_tlv(o, 1, |o| o.extend_from_slice(b"info"));
            });
        });
        let mut answer = Vec::new();
        let sent = pair.b.sctp.poll_transmit(pair.now, 1200, &mut answer);
        let kinds = sent.map(|_| kinds(&answer)).unwrap_or_default();
        assert_eq!(kinds.contains(&kind::HEARTBEAT_ACK), goes_on, "{kind:x}");
        assert_eq!(kinds.contains(&kind::ERROR), reports, "{kind:x}");
    }
}

#[test]
fn cookies_that_are_always_stale_end_the_handshake() {
    let net = Net { latency: 1_500 * MS, ..Net::default() };
    let config =
        config().with_rto_initial(4_000 * MS).with_cookie_life(2_000 * MS).with_max_init_retransmits(3);
    let mut pair = Pair::new(1, net, config);
    pair.a.sctp.connect(pair.now);
    assert!(pair.run_until(600_000 * MS, |pair| !pair.a.events.is_empty()), "it goes on for ever");
    assert_eq!(pair.a.events, [Event::Closed(CloseReason::HandshakeTimeout)]);
    assert_eq!(pair.b.sctp.stats().bad_cookies, 4);
}
