//! Options and counters that nothing else shows: each makes the difference that it is for.

use super::*;
use crate::association::Phase;
use crate::packet::reconfig::{self, ReconfigResult};
use crate::packet::{Walker, chunk_head, kind, put_tlv};

/// How many packets of this end begin with a chunk of this kind.
fn sent(pair: &Pair, from: End, kind: u8) -> usize {
    let first = |packet: &Bytes| Walker::new(&packet[12..]).flatten().next().map(|chunk| chunk.kind());
    pair.record.iter().filter(|(end, packet)| *end == from && first(packet) == Some(kind)).count()
}

#[test]
fn ports_are_those_of_the_configuration() {
    let ports = |local, remote| config().with_local_port(local).with_remote_port(remote);
    let pair = |a: Config, b: Config| {
        let (a, b) = (association(a, 1, 1), association(b, 2, 1));
        Pair::of(a, b, Rng::from_u64(3), Net::default())
    };
    let mut good = pair(ports(5_001, 5_002), ports(5_002, 5_001));
    good.connect();
    let (_, first) = &good.record[0];
    let header = [5_001u16.to_be_bytes(), 5_002u16.to_be_bytes()].concat();
    assert_eq!(first[..4], header);
    for wrong in [ports(5_002, 5_003), ports(5_003, 5_001)] {
        let mut bad = pair(ports(5_001, 5_002), wrong);
        bad.a.sctp.connect(bad.now);
        bad.run_for(5_000 * MS);
        assert!(bad.b.sctp.stats().malformed_packets > 0 && bad.b.events.is_empty());
    }
}

#[test]
fn the_handshake_is_repeated_as_it_is_told_to() {
    let config = config().with_rto_initial(500 * MS).with_rto_max(2_000 * MS).with_max_init_retransmits(5);
    let mut pair = Pair::new(1, Net { loss: 1.0, ..Net::default() }, config);
    let begin = pair.now;
    pair.a.sctp.connect(pair.now);
    let over = |pair: &Pair| !pair.a.events.is_empty();
    assert!(pair.run_until(60_000 * MS, over));
    assert_eq!(pair.a.events, [Event::Closed(CloseReason::HandshakeTimeout)]);
    assert_eq!(sent(&pair, End::A, kind::INIT), 6);
    // Doubled from 500 ms to no more than 2 s.
    assert_eq!(pair.now - begin, (500 + 1_000 + 2_000 * 4) * MS);
}

#[test]
fn the_timeout_stays_between_its_bounds() {
    let config = config().with_rto_min(700 * MS).with_rto_max(3_000 * MS);
    let mut pair = Pair::connected(1, Net::default(), config);
    for _ in 0..5 {
        pair.write(End::A, 1, vec![0; 100], reliable());
        pair.run_for(300 * MS);
    }
    assert_eq!(pair.a.sctp.stats().rto, 700 * MS);
    pair.net.loss = 1.0;
    pair.write(End::A, 1, vec![0; 100], reliable());
    pair.run_for(30_000 * MS);
    assert_eq!(pair.a.sctp.stats().rto, 3_000 * MS);
}

#[test]
fn a_cookie_is_good_for_its_life() {
    for (life, bad) in [(2_000 * MS, true), (20_000 * MS, false)] {
        let mut pair =
            Pair::new(1, Net { latency: 1_500 * MS, ..Net::default() }, config().with_cookie_life(life));
        pair.a.sctp.connect(pair.now);
        // INIT, INIT ACK, COOKIE ECHO: the cookie comes back 3 s after it was made.
        pair.run_for(4_600 * MS);
        assert_eq!(pair.b.sctp.stats().bad_cookies > 0, bad, "{life:?}");
        assert_eq!(pair.b.events.contains(&Event::Connected), !bad, "{life:?}");
    }
}

#[test]
fn an_acknowledgement_is_held_back_no_longer_than_is_set() {
    for delay in [20 * MS, 150 * MS] {
        let mut pair = Pair::connected(1, Net::default(), config().with_sack_delay(delay));
        for _ in 0..2 {
            pair.write(End::A, 1, vec![0; 100], reliable());
            pair.run_for(1_000 * MS);
        }
        // One packet alone, after those that are acknowledged at once.
        pair.write(End::A, 1, vec![0; 100], reliable());
        let acknowledged = sent(&pair, End::B, kind::SACK);
        let came = pair.now + pair.net.latency;
        assert!(pair.run_until(1_000 * MS, |pair| sent(pair, End::B, kind::SACK) > acknowledged));
        assert_eq!(pair.now - came, delay);
    }
}

#[test]
fn chunks_that_are_dropped_are_counted_by_what_is_wrong() {
    let mut pair = Pair::connected(1, Net::default(), config());
    pair.run_for(200 * MS);
    let mut counted = |kind: u8, value: &[u8]| {
        let before = pair.b.sctp.stats();
        give(&mut pair, End::B, |out| put_tlv(out, chunk_head(kind, 0), |out| out.extend_from_slice(value)));
        let after = pair.b.sctp.stats();
        assert!(matches!(pair.b.sctp.phase, Phase::Established), "{kind}");
        [
            after.malformed_chunks - before.malformed_chunks,
            after.unknown_chunks - before.unknown_chunks,
            after.unexpected_chunks - before.unexpected_chunks,
        ]
    };
    for kind in [kind::SACK, kind::SHUTDOWN, kind::FORWARD_TSN, kind::DATA] {
        assert_eq!(counted(kind, &[1]), [1, 0, 0], "{kind}");
    }
    assert_eq!(counted(0xbf, b"what"), [0, 1, 0]);
    assert_eq!(counted(kind::SHUTDOWN_ACK, &[]), [0, 0, 1]);
}

#[test]
fn a_reset_that_the_other_side_does_not_do_is_told() {
    let failed = Event::OutgoingResetFailed(StreamId(3));
    // It cannot, since it began anew.
    let mut pair = Pair::connected(1, Net::default(), config());
    pair.write(End::A, 3, vec![0; 100], reliable());
    pair.a.sctp.reset_streams(pair.now, &[StreamId(3)]).unwrap();
    pair.a.sctp.agreed.reconfig = false;
    pair.run_for(1_000 * MS);
    assert!(pair.a.events.contains(&failed), "{:?}", pair.a.events);
    // It does not want to.
    let mut pair = Pair::connected(2, Net::default(), config());
    pair.net.loss = 1.0;
    pair.b.sctp.reset_streams(pair.now, &[StreamId(3)]).unwrap();
    pair.poll(End::B);
    let first = pair.b.sctp.local_tsn.get();
    give(&mut pair, End::B, |out| reconfig::write_response(out, first, ReconfigResult::Denied));
    pair.poll(End::B);
    assert!(pair.b.events.contains(&failed), "{:?}", pair.b.events);
}

#[test]
fn what_goes_and_comes_is_counted() {
    let mut pair = Pair::connected(1, Net::default(), config());
    pair.write(End::A, 1, vec![0; 10_000], reliable());
    pair.run_for(2_000 * MS);
    let packets: Vec<&Bytes> =
        pair.record.iter().filter(|(end, _)| *end == End::A).map(|(_, packet)| packet).collect();
    let data =
        |packet: &&Bytes| Walker::new(&packet[12..]).flatten().filter(|c| c.kind() == kind::DATA).count();
    let (a, b) = (pair.a.sctp.stats(), pair.b.sctp.stats());
    assert_eq!(a.packets_sent, packets.len() as u64);
    assert_eq!(a.bytes_sent, packets.iter().map(|packet| packet.len() as u64).sum::<u64>());
    assert_eq!(a.data_sent, packets.iter().map(data).sum::<usize>() as u64);
    assert_eq!(a.data_sent, b.data_received);
    // All but the INITs, which come before there is a tag, are counted there.
    assert!((1..=2).contains(&(a.packets_sent - b.packets_received)), "{a:?} {b:?}");
    assert!(a.bytes_sent > b.bytes_received && b.bytes_received > 10_000);
}

#[test]
fn the_state_of_the_moment_is_told() {
    let net = Net { latency: 50 * MS, ..Net::default() };
    let mut pair = Pair::connected(1, net, config().with_mtu(800));
    pair.record.clear();
    pair.write(End::A, 1, vec![0; 300_000], reliable());
    pair.poll(End::A);
    let busy = pair.a.sctp.stats();
    assert!(busy.in_flight > 3_000 && busy.queued > 200_000, "{busy:?}");
    assert!(busy.remote_window > 500_000, "{busy:?}");
    pair.run_for(5_000 * MS);
    let idle = pair.a.sctp.stats();
    assert_eq!((idle.in_flight, idle.queued), (0, 0));
    assert!(idle.send_rate.is_some_and(|rate| rate > 10_000), "{idle:?}");
    let largest = pair.record.iter().map(|(_, packet)| packet.len()).max();
    assert!(largest.is_some_and(|octets| octets > 780 && octets <= 800), "{largest:?}");
}
