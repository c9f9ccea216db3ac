use super::*;
use crate::packet::data::{DataFlags, DataHeader, Format};
use crate::packet::forward_tsn::{self, Lane};
use crate::packet::{chunk_head, kind, put_tlv};

/// The kinds of user data that came over the wire from one end.
fn kinds(pair: &Pair, from: End) -> Vec<u8> {
    let of = |packet: &Bytes| {
        crate::packet::Walker::new(&packet[12..]).flatten().map(|c| c.kind()).collect::<Vec<_>>()
    };
    let all = pair.record.iter().filter(|(end, _)| *end == from).flat_map(|(_, packet)| of(packet));
    all.filter(|&kind| matches!(kind, kind::DATA | kind::I_DATA)).collect()
}

/// How many packets with data leave A between the writing of a small message behind a large one and its departure.
fn packets_before_a_small_message(config: Config, large: usize) -> usize {
    let mut pair = Pair::connected(1, Net { latency: MS, ..Net::default() }, config);
    pair.write(End::A, 1, vec![1; large], reliable());
    // The large transfer is under way.
    pair.run_for(5 * MS);
    assert!(pair.b.messages.is_empty());
    pair.record.clear();
    pair.write(End::A, 2, vec![0xab; 100], reliable());
    assert!(pair.run_until(120_000 * MS, |p| p.b.messages.iter().any(|m| m.0 == StreamId(2))));
    let small = |packet: &Bytes| packet.windows(100).any(|octets| octets == [0xab; 100]);
    let sent = pair.record.iter().filter(|(end, packet)| *end == End::A && packet.len() > 900);
    sent.take_while(|(_, packet)| !small(packet)).count()
}

#[test]
fn a_large_message_delays_a_small_one_on_another_stream_by_few_packets() {
    for scheduler in [Scheduler::RoundRobin, Scheduler::WeightedFair, Scheduler::Priority] {
        let config = interleaved().with_scheduler(scheduler).with_send_buffer(128 << 20);
        let waited = packets_before_a_small_message(config, 100_000_000);
        assert!(waited <= 2, "{scheduler:?}: {waited} packets");
    }
    let waited = packets_before_a_small_message(config().with_send_buffer(128 << 20), 2_000_000);
    assert!(waited > 300, "DATA cannot be mixed: {waited}");
}

#[test]
fn between_messages_a_small_one_goes_next_without_i_data_too() {
    for config in [config(), interleaved()] {
        let mut pair = Pair::connected(1, Net::default(), config);
        for _ in 0..400 {
            pair.write(End::A, 1, vec![1; 10_000], reliable());
        }
        pair.run_for(100 * MS);
        let before = pair.b.messages.len();
        pair.write(End::A, 2, vec![2; 100], reliable());
        assert!(pair.run_until(10_000 * MS, |p| p.b.messages.iter().any(|m| m.0 == StreamId(2))));
        let waited = pair.b.messages.len() - before;
        assert!(waited < 100, "{waited} messages of the other stream went first");
    }
}

#[test]
fn octets_are_shared_as_the_priorities_say() {
    for (scheduler, least, most) in [
        (Scheduler::WeightedFair, 3.4, 4.6),
        (Scheduler::RoundRobin, 0.8, 1.2),
        (Scheduler::Priority, 50.0, 1e9),
    ] {
        let config = interleaved().with_scheduler(scheduler).with_mtu(1_200);
        let mut pair = Pair::connected(1, Net::default(), config);
        pair.a.sctp.set_priority(StreamId(1), 1024);
        pair.a.sctp.set_priority(StreamId(2), 256);
        for _ in 0..300 {
            pair.write(End::A, 1, vec![1; 4_000], reliable());
            pair.write(End::A, 2, vec![2; 4_000], reliable());
        }
        assert!(pair.run_until(60_000 * MS, |p| p.b.messages.len() >= 150));
        let octets = |stream| pair.b.messages.iter().filter(|m| m.0 == StreamId(stream)).count() as f64;
        let ratio = octets(1) / octets(2).max(1.0);
        assert!((least..=most).contains(&ratio), "{scheduler:?}: {ratio}");
    }
}

#[test]
fn it_is_used_if_both_sides_want_it() {
    for (a, b, want) in [
        (interleaved(), interleaved(), kind::I_DATA),
        (interleaved(), config(), kind::DATA),
        (config(), interleaved(), kind::DATA),
    ] {
        let mut rng = Rng::from_u64(1);
        let (a, b) = (Association::new(a, rng.child()), Association::new(b, rng.child()));
        let mut pair = Pair::of(a, b, rng, Net::default());
        pair.connect();
        for end in [End::A, End::B] {
            pair.write(end, 1, vec![1; 5_000], reliable());
        }
        assert!(pair.run_until(5_000 * MS, |p| p.a.messages.len() + p.b.messages.len() == 2));
        for end in [End::A, End::B] {
            assert!(kinds(&pair, end).iter().all(|&kind| kind == want));
        }
    }
}

#[test]
fn many_streams_of_large_messages_get_through_a_small_window() {
    for seed in 0..20u64 {
        let net = Net { loss: (seed % 4) as f64 * 0.05, jitter: 20 * MS, ..Net::default() };
        let mut pair = Pair::connected(seed, net, interleaved().with_receive_window(40_000));
        for stream in 0..40u16 {
            let options = if stream % 2 == 0 { reliable() } else { unordered() };
            pair.write(End::A, stream, vec![stream as u8; 8_000 + 500 * usize::from(stream)], options);
            pair.write(End::A, stream, vec![stream as u8; 30_000], options);
        }
        assert!(
            pair.run_until(600_000 * MS, |p| p.b.messages.len() == 80),
            "seed {seed}: {} {:?}",
            pair.b.messages.len(),
            pair.b.events
        );
        for (stream, _, message) in &pair.b.messages {
            assert!(message.iter().all(|&octet| u16::from(octet) == stream.0), "mixed");
        }
        pair.run_for(2_000 * MS);
        assert_eq!(pair.b.sctp.stats().unread, 0, "seed {seed}");
    }
}

fn fragment(tsn: Tsn, number: u32, fsn: u32, flags: u8) -> DataHeader {
    DataHeader {
        flags: DataFlags::from_wire(flags),
        tsn,
        stream: 1,
        number,
        ppid: 51 * u32::from(fsn == 0),
        fsn,
    }
}

#[test]
fn the_other_kind_of_chunk_ends_the_association() {
    let lane = Lane { stream: 1, unordered: false };
    for (config, wrong) in [(interleaved(), Format::Data), (config(), Format::Interleaved)] {
        for forward in [false, true] {
            let mut pair = Pair::connected(1, Net::default(), config.clone());
            let next = pair.b.sctp.rx.cumulative() + 1;
            give(&mut pair, End::B, |out| match forward {
                true => forward_tsn::write(wrong, out, next, [(lane, 1)].into_iter()),
                false => fragment(next, 0, 0, 3).write(wrong, b"x", out),
            });
            pair.poll(End::B);
            assert_eq!(pair.b.events.last(), Some(&Event::Closed(CloseReason::ProtocolViolation)));
            assert!(pair.b.messages.is_empty());
        }
    }
}

#[test]
fn fragments_that_cannot_be_are_dropped_and_cost_no_window() {
    let mut pair = Pair::connected(1, Net::default(), interleaved());
    let mut tsn = pair.b.sctp.rx.cumulative();
    let mut send = |pair: &mut Pair, number, fsn, flags, payload: &[u8]| {
        tsn = tsn + 1;
        give(pair, End::B, |out| fragment(tsn, number, fsn, flags).write(Format::Interleaved, payload, out));
        pair.poll(End::B);
    };
    send(&mut pair, 0, 0, 2, b"a");
    send(&mut pair, 0, 2, 0, b"c");
    let before = pair.b.sctp.stats().unread;
    // Again; a beginning with another number; an end before what is there; the highest number.
    for (fsn, flags) in [(0, 2), (0, 0), (2, 0), (1, 1), (0, 3), (u32::MAX, 1)] {
        send(&mut pair, 0, fsn, flags, b"bad");
    }
    assert_eq!(pair.b.sctp.stats().unread, before);
    send(&mut pair, 0, 3, 1, b"d");
    send(&mut pair, 0, 4, 0, b"beyond the end");
    send(&mut pair, 0, 5, 1, b"another end");
    send(&mut pair, 0, 1, 0, b"b");
    assert_eq!(pair.b.messages, [(StreamId(1), 51, b"abcd".to_vec())]);
    // An old message is not begun again.
    send(&mut pair, 0, 0, 2, b"old");
    assert_eq!((pair.b.messages.len(), pair.b.sctp.stats().unread), (1, 0));
}

#[test]
fn what_was_skipped_is_not_begun_again_by_what_was_on_its_way() {
    for unordered in [false, true] {
        let mut pair = Pair::connected(1, Net::default(), interleaved());
        let base = pair.b.sctp.rx.cumulative();
        let bit = if unordered { 4 } else { 0 };
        give(&mut pair, End::B, |out| {
            fragment(base + 2, 0, 1, bit).write(Format::Interleaved, b"middle", out)
        });
        assert!(pair.b.sctp.stats().unread > 0);
        let lane = Lane { stream: 1, unordered };
        give(&mut pair, End::B, |out| {
            forward_tsn::write(Format::Interleaved, out, base + 2, [(lane, 0)].into_iter())
        });
        let held = pair.b.sctp.stats().unread;
        give(&mut pair, End::B, |out| fragment(base + 3, 0, 2, bit).write(Format::Interleaved, b"late", out));
        assert_eq!(pair.b.sctp.stats().unread, held);
        give(&mut pair, End::B, |out| {
            fragment(base + 4, 1, 0, bit | 3).write(Format::Interleaved, b"next", out)
        });
        pair.poll(End::B);
        assert_eq!(pair.b.messages, [(StreamId(1), 51, b"next".to_vec())]);
    }
}

#[test]
fn a_window_full_of_beginnings_ends_the_association() {
    let mut pair = Pair::connected(1, Net::default(), interleaved().with_receive_window(100_000));
    let mut tsn = pair.b.sctp.rx.cumulative();
    for stream in 0..1_000 {
        tsn = tsn + 1;
        let header = DataHeader { stream, ..fragment(tsn, 0, 0, 2) };
        give(&mut pair, End::B, |out| header.write(Format::Interleaved, &[0; 1_000], out));
        pair.poll(End::B);
        assert!(pair.b.sctp.stats().unread < 100_000 + (128 << 10));
    }
    assert_eq!(pair.b.events.last(), Some(&Event::Closed(CloseReason::ProtocolViolation)));
}

#[test]
fn without_i_forward_tsn_nothing_is_given_up() {
    // The other side says I-DATA and FORWARD TSN, and not I-FORWARD-TSN.
    let mut pair = Pair::new(1, Net::default(), interleaved());
    let mut init = vec![0, 0, 0, 7, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1];
    put_tlv(&mut init, 0xc000, |_| {});
    put_tlv(&mut init, 0x8008, |out| out.extend([kind::I_DATA, kind::FORWARD_TSN]));
    let init = packet_with_tag(0, |out| put_tlv(out, chunk_head(kind::INIT, 0), |out| out.extend(&init)));
    pair.b.sctp.handle_packet(pair.now, init);
    let mut out = Vec::new();
    pair.b.sctp.poll_transmit(pair.now, 1200, &mut out).unwrap();
    let cookie = crate::packet::init::Init::parse(&out[16..]).unwrap().parameters.cookie.unwrap();
    let tag = u32::from_be_bytes(out[16..20].try_into().unwrap());
    let echo = |out: &mut Vec<u8>| put_tlv(out, chunk_head(kind::COOKIE_ECHO, 0), |out| out.extend(&cookie));
    pair.b.sctp.handle_packet(pair.now, packet_with_tag(tag, echo));
    assert!(pair.b.sctp.agreed.interleaving && !pair.b.sctp.agreed.forwards());
}

#[test]
fn messages_in_parts_are_written_and_read_as_they_grow() {
    for config in [config(), interleaved()] {
        let net = Net { loss: 0.02, jitter: 5 * MS, ..Net::default() };
        let mut pair =
            Pair::connected(5, net, config.with_receive_window(64 << 10).with_send_buffer(64 << 10));
        let stream = StreamId(3);
        pair.b.in_parts.push(stream);
        pair.b.sctp.read_in_parts(stream, true);
        pair.a.sctp.begin_message(pair.now, stream, &reliable()).unwrap();
        assert_eq!(
            pair.a.sctp.write(pair.now, stream, Bytes::from_static(b"x"), &reliable()),
            Err(WriteError::Unfinished)
        );
        assert_eq!(pair.a.sctp.end_message(pair.now, stream), Err(WriteError::Empty));
        let (mut written, mut most) = (0, 0);
        while written < 1_000_000 {
            let part = Bytes::from(vec![7; 9_001]);
            match pair.a.sctp.append_message(pair.now, stream, part) {
                Ok(()) => written += 9_001,
                Err(error) => assert_eq!(error, WriteError::Full),
            }
            pair.run_for(5 * MS);
            most = most.max(pair.b.sctp.stats().unread);
        }
        assert!(
            pair.b.partial[&(stream, false)].len() > 500_000,
            "most of it was read before it was written"
        );
        pair.a.sctp.end_message(pair.now, stream).unwrap();
        assert_eq!(pair.a.sctp.end_message(pair.now, stream), Err(WriteError::NotBegun));
        assert!(pair.run_until(60_000 * MS, |p| p.b.messages.len() == 1));
        assert_eq!(pair.b.messages[0].2, vec![7; written]);
        assert!(most <= 200_000, "{most}");
    }
}

#[test]
fn a_message_in_parts_that_is_given_up_is_never_seen_whole() {
    for seed in 0..20 {
        let mut pair = Pair::connected(seed, Net { loss: 0.1, ..Net::default() }, config_of(seed));
        let (now, stream) = (pair.now, StreamId(3));
        pair.a.sctp.begin_message(now, stream, &reliable()).unwrap();
        pair.a.sctp.append_message(now, stream, Bytes::from(vec![7; 20_000])).unwrap();
        pair.run_for(seed as u32 * 10 * MS);
        pair.a.sctp.cancel_message(pair.now, stream).unwrap();
        pair.write(End::A, 3, b"next".to_vec(), reliable());
        assert!(
            pair.run_until(60_000 * MS, |p| !p.b.messages.is_empty() && p.a.sctp.tx.is_drained()),
            "{seed}"
        );
        assert_eq!(pair.b.messages, [(stream, 53, b"next".to_vec())]);
        assert!(pair.b.partial.is_empty());
    }
}

#[test]
fn giving_up_what_the_other_side_cannot_be_told_of_aborts() {
    let mut pair = Pair::connected(1, Net::default(), config());
    pair.a.sctp.agreed.forward_tsn = false;
    let agreed = pair.a.sctp.agreed;
    pair.a.sctp.tx.start(1 << 20, agreed);
    pair.a.sctp.begin_message(pair.now, StreamId(1), &reliable()).unwrap();
    pair.a.sctp.append_message(pair.now, StreamId(1), Bytes::from(vec![7; 20_000])).unwrap();
    pair.run_for(100 * MS);
    pair.a.sctp.cancel_message(pair.now, StreamId(1)).unwrap();
    pair.poll(End::A);
    assert_eq!(pair.a.events.last(), Some(&Event::Closed(CloseReason::LocalAbort)));
}

#[test]
fn a_shutdown_does_not_wait_for_a_writer() {
    for config in [config(), interleaved()] {
        let mut pair = Pair::connected(1, Net::default(), config);
        pair.write(End::A, 2, b"before".to_vec(), reliable());
        pair.a.sctp.begin_message(pair.now, StreamId(1), &reliable()).unwrap();
        pair.a.sctp.append_message(pair.now, StreamId(1), Bytes::from(vec![7; 20_000])).unwrap();
        pair.run_for(100 * MS);
        pair.a.sctp.shutdown(pair.now);
        let over = Event::Closed(CloseReason::Shutdown);
        assert!(pair.run_until(10_000 * MS, |p| p.a.events.contains(&over) && p.b.events.contains(&over)));
        assert_eq!(pair.b.messages.len(), 1);
    }
}

#[test]
fn packets_go_without_a_checksum_if_both_sides_agree() {
    let zero = || interleaved().with_zero_checksum(true);
    for (a, b, agreed) in
        [(zero(), zero(), true), (zero(), interleaved(), false), (interleaved(), zero(), false)]
    {
        let mut rng = Rng::from_u64(1);
        let (a, b) = (Association::new(a, rng.child()), Association::new(b, rng.child()));
        let mut pair = Pair::of(a, b, rng, Net::default());
        pair.connect();
        pair.write(End::A, 1, vec![1; 5_000], reliable());
        pair.write(End::B, 1, vec![1; 5_000], reliable());
        assert!(pair.run_until(5_000 * MS, |p| p.a.messages.len() + p.b.messages.len() == 2));
        let bare = |packet: &Bytes| packet[8..12] == [0; 4];
        for (_, packet) in &pair.record {
            let handshake = matches!(packet[12], kind::INIT | kind::INIT_ACK | kind::COOKIE_ECHO);
            assert!(!(handshake && bare(packet)), "the handshake always has one");
        }
        let data = pair.record.iter().filter(|(_, packet)| packet.len() > 1_000);
        assert!(data.clone().count() > 4 && data.clone().all(|(_, packet)| bare(packet) == agreed));
        assert_eq!((pair.a.sctp.stats().malformed_packets, pair.b.sctp.stats().malformed_packets), (0, 0));
    }
}

#[test]
fn what_the_reader_wants_holds_from_before_the_handshake() {
    let mut pair = Pair::new(1, Net::default(), interleaved());
    let stream = StreamId(1);
    pair.b.sctp.read_in_parts(stream, true);
    pair.b.in_parts.push(stream);
    pair.b.sctp.pause_stream(StreamId(2));
    pair.connect();
    let now = pair.now;
    pair.a.sctp.begin_message(now, stream, &reliable()).unwrap();
    pair.a.sctp.append_message(now, stream, vec![1; 10_000].into()).unwrap();
    pair.write(End::A, 2, vec![2; 100], reliable());
    pair.run_for(1_000 * MS);
    assert!(pair.b.partial.contains_key(&(stream, false)), "it is handed up as it comes");
    assert!(pair.b.messages.is_empty(), "the other stream is paused");
    pair.b.sctp.resume_stream(StreamId(2));
    pair.run_for(1_000 * MS);
    assert_eq!(pair.b.messages.len(), 1);
}
