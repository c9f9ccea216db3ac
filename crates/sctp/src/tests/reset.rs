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
