use super::*;

#[test]
fn reset_flushes_what_was_written_and_both_sides_hear_of_it() {
    for seed in 0..50 {
        let net = Net { loss: (seed % 5) as f64 * 0.05, jitter: 20 * MS, ..Net::default() };
        let mut pair = Pair::connected(seed, net, config_of(seed));
        for round in 0..3u8 {
            for _ in 0..10 {
                pair.write(End::A, 7, vec![round; 3_000], reliable());
            }
            let now = pair.now;
            pair.a.sctp.reset_streams(now, &[StreamId(7)]).unwrap();
            let refused = pair.a.sctp.write(now, StreamId(7), Bytes::from_static(b"x"), &reliable());
            assert_eq!(refused, Err(WriteError::Resetting));
            let (a, b) = (Event::OutgoingReset(StreamId(7)), Event::IncomingReset(StreamId(7)));
            assert!(
                pair.run_until(120_000 * MS, |p| p.a.events.contains(&a) && p.b.events.contains(&b)),
                "seed {seed} round {round} {:?} {:?}",
                pair.a.events,
                pair.b.events
            );
            assert_eq!(pair.b.messages.len(), 10 * (usize::from(round) + 1), "all data is there before");
            assert!(pair.b.messages.iter().rev().take(10).all(|m| m.2 == vec![round; 3_000]));
            pair.a.events.clear();
            pair.b.events.clear();
        }
    }
}

#[test]
fn many_streams_in_both_directions() {
    let mut pair = Pair::connected(1, Net { loss: 0.1, ..Net::default() }, config());
    let streams: Vec<StreamId> = (0..2_000).map(StreamId).collect();
    for stream in &streams {
        pair.write(End::A, stream.0, vec![1; 10], reliable());
        pair.write(End::B, stream.0, vec![2; 10], reliable());
    }
    let now = pair.now;
    pair.a.sctp.reset_streams(now, &streams).unwrap();
    pair.b.sctp.reset_streams(now, &streams).unwrap();
    let done = |side: &Side| side.events.iter().filter(|e| matches!(e, Event::OutgoingReset(_))).count();
    assert!(pair.run_until(300_000 * MS, |p| done(&p.a) == 2_000 && done(&p.b) == 2_000));
    assert_eq!((pair.a.messages.len(), pair.b.messages.len()), (2_000, 2_000));
    let heard = pair.a.events.iter().filter(|e| matches!(e, Event::IncomingReset(_))).count();
    assert_eq!(heard, 2_000);
}

#[test]
fn requests_out_of_sequence_change_nothing() {
    use crate::packet::{Header, finish, reconfig};
    let mut pair = Pair::connected(2, Net::default(), config());
    pair.write(End::A, 3, b"x".to_vec(), reliable());
    pair.run_for(500 * MS);
    let first = pair.a.sctp.local_tsn;
    let request = |pair: &mut Pair, sequence: u32| {
        let mut out = Vec::new();
        Header { source: 5000, destination: 5000, tag: pair.b.sctp.local_tag }.write(&mut out);
        reconfig::write_outgoing_reset(&mut out, sequence, 0, first, &[3]);
        finish(&mut out, 0);
        pair.b.sctp.handle_packet(pair.now, out.into());
        pair.b.sctp.poll_event()
    };
    for wrong in
        [first.get().wrapping_add(1), first.get().wrapping_sub(2), 0x8000_0000u32.wrapping_add(first.get())]
    {
        assert_eq!(request(&mut pair, wrong), None);
    }
    assert_eq!(request(&mut pair, first.get()), Some(Event::IncomingReset(StreamId(3))));
    assert_eq!(request(&mut pair, first.get()), None, "a repeated request is answered and not done again");
}

/// A packet for B with a good tag and checksum, and B's events.
fn request(pair: &mut Pair, write: impl FnOnce(&mut Vec<u8>)) -> Vec<Event> {
    use crate::packet::{Header, finish};
    let mut out = Vec::new();
    Header { source: 5000, destination: 5000, tag: pair.b.sctp.local_tag }.write(&mut out);
    write(&mut out);
    finish(&mut out, 0);
    pair.b.sctp.handle_packet(pair.now, out.into());
    std::iter::from_fn(|| pair.b.sctp.poll_event()).collect()
}

#[test]
fn the_other_side_resets_what_it_is_asked_to() {
    for seed in 0..10 {
        let mut pair = Pair::connected(seed, Net { loss: 0.1, ..Net::default() }, config_of(seed));
        for stream in [3, 4, 5] {
            pair.write(End::B, stream, vec![1; 3_000], reliable());
        }
        let (asked, now) = ([StreamId(3), StreamId(4), StreamId(9)], pair.now);
        pair.a.sctp.reset_incoming_streams(now, &asked).unwrap();
        let heard = |p: &Pair, id| p.a.events.contains(&Event::IncomingReset(StreamId(id)));
        assert!(pair.run_until(60_000 * MS, |p| heard(p, 3) && heard(p, 4)));
        assert!(pair.run_until(60_000 * MS, |p| p.a.messages.len() == 3), "what was written came first");
        assert!(!heard(&pair, 5) && !heard(&pair, 9), "nothing was written on 9");
        let reset = |p: &Pair, id| p.b.events.contains(&Event::OutgoingReset(StreamId(id)));
        assert!(pair.run_until(60_000 * MS, |p| reset(p, 3) && reset(p, 4)));
        // Asked again there is nothing to do, and nothing hangs.
        let now = pair.now;
        pair.a.sctp.reset_incoming_streams(now, &asked).unwrap();
        pair.write(End::B, 3, b"new".to_vec(), reliable());
        assert!(pair.run_until(60_000 * MS, |p| p.a.messages.len() == 4 && !p.a.sctp.reconfig.is_waiting()));
    }
}

#[test]
fn streams_are_added_from_either_side() {
    for seed in 0..10 {
        let config = config_of(seed).with_streams(4).with_max_streams(20);
        let mut pair = Pair::connected(seed, Net { loss: 0.1, ..Net::default() }, config);
        let now = pair.now;
        assert_eq!((pair.a.sctp.outgoing_streams(), pair.a.sctp.incoming_streams()), (4, 4));
        let beyond = pair.a.sctp.write(now, StreamId(4), Bytes::from_static(b"x"), &reliable());
        assert_eq!(beyond, Err(WriteError::NoSuchStream));
        pair.a.sctp.add_streams(now, 6, 3).unwrap();
        assert!(pair.run_until(60_000 * MS, |p| {
            (p.a.sctp.outgoing_streams(), p.a.sctp.incoming_streams()) == (10, 7)
                && (p.b.sctp.outgoing_streams(), p.b.sctp.incoming_streams()) == (7, 10)
        }));
        for side in [&pair.a, &pair.b] {
            assert!(side.events.contains(&Event::StreamsAdded));
        }
        pair.write(End::A, 9, b"x".to_vec(), reliable());
        pair.write(End::B, 6, b"x".to_vec(), reliable());
        assert!(pair.run_until(60_000 * MS, |p| p.a.messages.len() + p.b.messages.len() == 2));
        // Beyond what the other side allows, and beyond what can be.
        let now = pair.now;
        assert_eq!(pair.a.sctp.add_streams(now, 65_530, 0), Err(AddStreamsError::TooMany));
        assert_eq!(pair.a.sctp.add_streams(now, 0, 14), Err(AddStreamsError::TooMany));
        pair.a.sctp.add_streams(now, 11, 0).unwrap();
        assert!(pair.run_until(60_000 * MS, |p| p.a.events.contains(&Event::AddStreamsFailed)));
        assert_eq!((pair.a.sctp.outgoing_streams(), pair.b.sctp.incoming_streams()), (10, 10));
    }
}

#[test]
fn requests_that_cannot_be_are_denied_and_change_nothing() {
    use crate::packet::reconfig::{Added, write_add};
    let mut pair = Pair::connected(1, Net::default(), config().with_streams(4).with_max_streams(5));
    let first = pair.a.sctp.local_tsn.get();
    for (i, added) in
        [Added::Outgoing, Added::Incoming, Added::Outgoing, Added::Incoming].into_iter().enumerate()
    {
        let count = if i < 2 { 2 } else { u16::MAX };
        let events = request(&mut pair, |out| write_add(out, first.wrapping_add(i as u32), added, count));
        assert_eq!(events, []);
    }
    // Out of sequence: not even one that would be good.
    let wrong = first.wrapping_add(77);
    assert_eq!(request(&mut pair, |out| write_add(out, wrong, Added::Outgoing, 1)), []);
    assert_eq!((pair.b.sctp.outgoing_streams(), pair.b.sctp.incoming_streams()), (4, 4));
    let good = first.wrapping_add(4);
    assert_eq!(request(&mut pair, |out| write_add(out, good, Added::Outgoing, 1)), [Event::StreamsAdded]);
    assert_eq!(request(&mut pair, |out| write_add(out, good, Added::Outgoing, 1)), [], "it came twice");
    assert_eq!(pair.b.sctp.incoming_streams(), 5);
}

#[test]
fn a_reset_waits_for_the_data_before_it_and_nothing_of_it_reaches_the_new_life() {
    for config in [config(), interleaved()] {
        let mut pair = Pair::connected(1, Net::default(), config);
        // The first packet of the old life comes last.
        pair.write(End::A, 3, vec![1; 3_000], reliable());
        pair.poll(End::A);
        let key = *pair.wire.iter().find(|(_, (_, packet))| packet.len() > 900).unwrap().0;
        let first = pair.wire.remove(&key).unwrap();
        let now = pair.now;
        pair.a.sctp.reset_streams(now, &[StreamId(3)]).unwrap();
        pair.run_for(6 * MS);
        assert!(pair.b.sctp.stats().data_received > 0);
        assert!(pair.b.events.iter().all(|event| *event != Event::IncomingReset(StreamId(3))));
        pair.wire.insert((pair.now, 0), first);
        let reset = Event::OutgoingReset(StreamId(3));
        assert!(pair.run_until(10_000 * MS, |p| p.a.events.contains(&reset)));
        assert_eq!(pair.b.messages.len(), 1);
        pair.write(End::A, 3, vec![2; 3_000], reliable());
        assert!(pair.run_until(10_000 * MS, |p| p.b.messages.len() == 2));
        assert_eq!(pair.b.messages[1].2, vec![2; 3_000]);
    }
}

#[test]
fn nothing_follows_the_end() {
    let mut pair = Pair::connected(1, Net::default(), config());
    pair.write(End::A, 3, vec![0; 100], reliable());
    pair.run_for(1_000 * MS);
    pair.a.sctp.reset_streams(pair.now, &[StreamId(3)]).unwrap();
    let mut out = Vec::new();
    pair.a.sctp.poll_transmit(pair.now, ROOM, &mut out).unwrap();
    pair.b.events.clear();
    pair.b.sctp.handle_packet(pair.now, out.into());
    pair.b.sctp.abort(pair.now);
    pair.poll(End::B);
    let closed = Event::Closed(CloseReason::LocalAbort);
    assert_eq!(pair.b.events, [Event::IncomingReset(StreamId(3)), closed]);
}
