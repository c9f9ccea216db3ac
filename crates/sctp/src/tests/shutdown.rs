use super::*;

fn closed(side: &Side) -> Option<CloseReason> {
    side.events.iter().find_map(|e| if let Event::Closed(reason) = e { Some(*reason) } else { None })
}

#[test]
fn shutdown_delivers_everything_first() {
    for both in [false, true] {
        for seed in 0..30 {
            let net = Net { loss: 0.1, jitter: 20 * MS, ..Net::default() };
            let mut pair = Pair::connected(seed, net, config());
            for _ in 0..20 {
                pair.write(End::A, 1, vec![1; 4_000], reliable());
                pair.write(End::B, 1, vec![2; 4_000], reliable());
            }
            pair.a.sctp.shutdown(pair.now);
            if both {
                pair.b.sctp.shutdown(pair.now);
            }
            assert!(pair.run_until(300_000 * MS, |p| closed(&p.a).is_some() && closed(&p.b).is_some()));
            assert_eq!(closed(&pair.a), Some(CloseReason::Shutdown), "seed {seed}");
            assert_eq!((pair.b.messages.len(), pair.a.messages.len()), (20, 20), "seed {seed}");
            assert_eq!(pair.a.sctp.state(), State::Closed);
            assert!(pair.a.sctp.poll_timeout().is_none(), "nothing is left to wait for");
        }
    }
}

#[test]
fn shutdown_in_every_state_ends() {
    for steps in 0..12 {
        let mut pair = Pair::new(steps, Net::default(), config());
        if steps > 0 {
            pair.a.sctp.connect(pair.now);
        }
        for _ in 0..steps {
            pair.step();
        }
        pair.a.sctp.shutdown(pair.now);
        pair.a.sctp.shutdown(pair.now);
        assert!(pair.run_until(300_000 * MS, |p| closed(&p.a).is_some()), "after {steps} steps");
        let now = pair.now;
        let refused = pair.a.sctp.write(now, StreamId(1), Bytes::from_static(b"x"), &reliable());
        assert_eq!(refused, Err(WriteError::Closed));
    }
}

#[test]
fn a_shutdown_that_is_not_answered_ends() {
    let mut pair = Pair::connected(1, Net::default(), config());
    pair.run_for(1_000 * MS);
    pair.net.loss = 1.0;
    pair.a.sctp.shutdown(pair.now);
    assert!(pair.run_until(1_000_000 * MS, |p| closed(&p.a).is_some()));
    assert_eq!(closed(&pair.a), Some(CloseReason::ShutdownTimeout));
}

#[test]
fn the_last_packet_of_a_shutdown_may_be_lost() {
    let mut pair = Pair::connected(2, Net::default(), config());
    pair.a.sctp.shutdown(pair.now);
    while closed(&pair.a).is_none() {
        pair.poll(End::A);
        pair.step();
        pair.poll(End::A);
    }
    // SHUTDOWN COMPLETE is lost; the repeated SHUTDOWN ACK is answered all the same.
    pair.wire.clear();
    assert!(pair.run_until(60_000 * MS, |p| closed(&p.b).is_some()));
    assert_eq!(closed(&pair.b), Some(CloseReason::Shutdown));
}

#[test]
fn a_shutdown_acknowledges_what_came_before_it() {
    use crate::packet::{Header, chunk_head, finish, kind, put_tlv};
    let mut pair = Pair::connected(5, Net::default(), config());
    pair.run_for(1_000 * MS);
    pair.write(End::A, 1, vec![1; 3_000], reliable());
    pair.poll(End::A);
    let (newest, now) = (pair.a.sctp.tx.newest(), pair.now);
    let mut shutdown = |cumulative: crate::packet::Tsn| {
        let mut out = Vec::new();
        Header { source: 5000, destination: 5000, tag: pair.a.sctp.local_tag }.write(&mut out);
        put_tlv(&mut out, chunk_head(kind::SHUTDOWN, 0), |out| {
            out.extend_from_slice(&cumulative.get().to_be_bytes());
        });
        finish(&mut out, 0);
        pair.a.sctp.handle_packet(now, out.into());
        (pair.a.sctp.state(), pair.a.sctp.tx.is_drained(), pair.a.sctp.stats().bad_sacks)
    };
    assert_eq!(shutdown(newest + 1), (State::Established, false, 1));
    assert_eq!(shutdown(newest), (State::ShuttingDown, true, 1));
}

#[test]
fn abort_is_told_with_its_cause() {
    let mut pair = Pair::connected(3, Net::default(), config());
    pair.write(End::A, 1, vec![1; 100_000], reliable());
    pair.a.sctp.abort(pair.now);
    pair.run_for(1_000 * MS);
    assert_eq!(closed(&pair.a), Some(CloseReason::LocalAbort));
    assert_eq!(closed(&pair.b), Some(CloseReason::RemoteAbort { code: 12 }));
    assert_eq!(pair.a.events.last(), Some(&Event::Closed(CloseReason::LocalAbort)));
}

#[test]
fn data_for_an_association_that_is_gone_is_answered_with_abort() {
    let mut pair = Pair::connected(4, Net::default(), config());
    pair.a.sctp.abort(pair.now);
    pair.poll(End::A);
    pair.wire.clear();
    pair.write(End::B, 1, b"hello?".to_vec(), reliable());
    pair.run_for(1_000 * MS);
    assert_eq!(closed(&pair.b), Some(CloseReason::RemoteAbort { code: 0 }));
}

#[test]
fn data_that_still_comes_is_no_unanswered_shutdown() {
    let net = Net { latency: 50 * MS, ..Net::default() };
    let mut pair = Pair::connected(1, net, config().with_rto_max(2_000 * MS));
    pair.run_for(1_000 * MS);
    for _ in 0..100 {
        pair.write(End::B, 1, vec![2; 10_000], reliable());
    }
    pair.a.sctp.shutdown(pair.now);
    assert!(pair.run_until(10_000 * MS, |p| p.a.messages.len() > 30));
    assert!(pair.a.messages.len() < 90, "some is still to come");
    pair.net.loss = 1.0;
    pair.run_for(5_000 * MS);
    assert_eq!(closed(&pair.a), None, "it is asked again, as often as the configuration says");
    pair.net.loss = 0.0;
    assert!(pair.run_until(60_000 * MS, |p| closed(&p.a).is_some() && closed(&p.b).is_some()));
    assert_eq!((closed(&pair.a), pair.a.messages.len()), (Some(CloseReason::Shutdown), 100));
}

#[test]
fn a_message_that_is_not_ended_does_not_hold_up_the_shutdown_of_the_other_side() {
    for config in [config(), interleaved()] {
        for sent in [0, 100, 5_000] {
            let mut pair = Pair::connected(1, Net::default(), config.clone());
            let (now, stream) = (pair.now, StreamId(1));
            pair.a.sctp.begin_message(now, stream, &reliable()).unwrap();
            pair.a.sctp.append_message(now, stream, vec![1; sent].into()).unwrap();
            pair.run_for(1_000 * MS);
            pair.b.sctp.shutdown(pair.now);
            let over = pair.run_until(10_000 * MS, |p| closed(&p.a).is_some() && closed(&p.b).is_some());
            assert!(over, "{sent}: {:?} {:?}", pair.a.sctp.state(), pair.b.sctp.state());
            assert_eq!(closed(&pair.b), Some(CloseReason::Shutdown));
            assert!(pair.b.messages.is_empty() && pair.b.partial.is_empty(), "nothing half is handed up");
        }
    }
}
