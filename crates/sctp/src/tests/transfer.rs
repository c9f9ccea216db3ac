use super::*;

/// A message that says which one it is.
fn numbered(stream: u16, number: u32, length: usize) -> Vec<u8> {
    let mut message = vec![(number % 251) as u8; length.max(8)];
    message[..2].copy_from_slice(&stream.to_be_bytes());
    message[4..8].copy_from_slice(&number.to_be_bytes());
    message
}

fn number(message: &[u8]) -> u32 {
    u32::from_be_bytes(message[4..8].try_into().unwrap())
}

fn check(messages: &[(StreamId, u32, Vec<u8>)], stream: u16, count: u32, in_order: bool) {
    let mut numbers: Vec<u32> = messages.iter().filter(|m| m.0.0 == stream).map(|m| number(&m.2)).collect();
    for (_, _, message) in messages.iter().filter(|m| m.0.0 == stream) {
        let fill = (number(message) % 251) as u8;
        assert!(message[8..].iter().all(|&octet| octet == fill), "a message is torn");
    }
    if !in_order {
        numbers.sort_unstable();
    }
    assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "stream {stream}");
}

#[test]
fn two_hundred_seeds_every_reliable_message_once_and_in_order() {
    for seed in 0..200u64 {
        let net = Net {
            latency: 10 * MS,
            jitter: (seed % 5) as u32 * 10 * MS,
            loss: (seed % 11) as f64 * 0.02,
            duplicate: (seed % 3) as f64 * 0.05,
            ..Net::default()
        };
        // TSNs wrap on the way.
        let mut rng = Rng::from_u64(seed);
        let a = association(config_of(seed), seed * 2, u32::MAX - rng.below(60));
        let b = association(config_of(seed), seed * 2 + 1, u32::MAX - rng.below(60));
        let mut pair = Pair::of(a, b, rng, net);
        pair.connect();
        let count = 30;
        for i in 0..count {
            let length = [8, 100, 1_100, 3_000, 9_000][(i as usize + seed as usize) % 5];
            pair.write(End::A, 1, numbered(1, i, length), reliable());
            pair.write(End::A, 2, numbered(2, i, length / 2), unordered());
            pair.write(End::B, 1, numbered(1, i, 500), reliable());
        }
        let through = pair.run_until(300_000 * MS, |p| p.b.messages.len() >= 60 && p.a.messages.len() >= 30);
        assert!(through, "seed {seed}: {} {}", pair.b.messages.len(), pair.a.messages.len());
        check(&pair.b.messages, 1, count, true);
        check(&pair.b.messages, 2, count, false);
        check(&pair.a.messages, 1, count, true);
        pair.a.sctp.shutdown(pair.now);
        let closed = pair.run_until(300_000 * MS, |p| {
            let over = Event::Closed(CloseReason::Shutdown);
            p.a.events.contains(&over) && p.b.events.iter().any(|e| matches!(e, Event::Closed(_)))
        });
        assert!(closed, "seed {seed}: {:?} {:?}", pair.a.events, pair.b.events);
        assert_eq!((pair.b.messages.len(), pair.a.messages.len()), (60, 30), "seed {seed}");
    }
}

#[test]
fn sequence_numbers_and_message_identifiers_wrap() {
    for (config, first) in [(config(), 65_500), (interleaved(), u32::MAX - 35)] {
        let net = Net { loss: 0.05, jitter: 20 * MS, ..Net::default() };
        let mut pair = Pair::connected(1, net, config);
        pair.a.sctp.tx.queue.start_number(5, first);
        pair.b.sctp.rx.expect_number(5, first);
        for i in 0..100 {
            pair.write(End::A, 5, numbered(5, i, 50), reliable());
            pair.write(End::A, 5, numbered(6, i, 2_500), unordered());
        }
        assert!(pair.run_until(60_000 * MS, |p| p.b.messages.len() == 200));
        let (ordered, free): (Vec<_>, Vec<_>) =
            pair.b.messages.iter().cloned().partition(|m| m.2.len() == 50);
        check(&ordered, 5, 100, true);
        check(&free, 5, 100, false);
    }
}

#[test]
fn a_slow_reader_is_not_overrun_and_goes_on() {
    for config in [config(), interleaved()] {
        slow_reader(config.with_receive_window(64 << 10));
    }
}

fn slow_reader(small: Config) {
    let mut pair = Pair::connected(2, Net::default(), small);
    pair.b.reads = false;
    for i in 0..100 {
        pair.write(End::A, 1, numbered(1, i, 16 << 10), reliable());
    }
    pair.run_for(30_000 * MS);
    let held = pair.b.sctp.stats().unread;
    assert!((32 << 10..=64 << 10).contains(&held), "{held}");
    assert_eq!(pair.a.sctp.state(), State::Established, "a closed window is not a dead peer");
    pair.run_for(600_000 * MS);
    assert_eq!(pair.a.sctp.state(), State::Established);
    pair.b.reads = true;
    let start = pair.now;
    assert!(pair.run_until(60_000 * MS, |p| p.b.messages.len() == 100));
    check(&pair.b.messages, 1, 100, true);
    let took = pair.now - start;
    assert!(took < 5_000 * MS, "reopening the window is told at once: {took:?}");
}

#[test]
fn what_a_closed_window_refused_goes_as_soon_as_it_opens() {
    for config in [config(), interleaved()] {
        for pause in [1, 10, 60] {
            let mut pair = Pair::connected(2, Net::default(), config.clone().with_receive_window(1 << 20));
            pair.b.reads = false;
            for i in 0..40 {
                pair.write(End::A, 1, numbered(1, i, 64 << 10), reliable());
            }
            pair.run_for(pause * 1_000 * MS);
            assert!(pair.b.sctp.stats().unread > 512 << 10, "the window is closed");
            pair.b.reads = true;
            let start = pair.now;
            assert!(pair.run_until(60_000 * MS, |p| p.b.messages.len() == 40));
            let took = pair.now - start;
            assert!(took < 400 * MS, "after a pause of {pause} s: {took:?}");
        }
    }
}

#[test]
fn a_message_larger_than_the_window_arrives() {
    for config in [config(), interleaved()] {
        let net = Net { loss: 0.02, ..Net::default() };
        let mut pair = Pair::connected(3, net, config.with_receive_window(8_000));
        pair.write(End::A, 1, numbered(1, 0, 300_000), reliable());
        assert!(pair.run_until(600_000 * MS, |p| p.b.messages.len() == 1));
        assert_eq!(pair.b.messages[0].2.len(), 300_000);
    }
}

#[test]
fn a_lost_packet_is_repaired_without_the_timer() {
    for lost in 0..3 {
        let mut pair = Pair::connected(4, Net { latency: 20 * MS, ..Net::default() }, config());
        for i in 0..20 {
            pair.write(End::A, 1, numbered(1, i, 1_100), reliable());
        }
        pair.poll(End::A);
        // The same chunk is lost as often as `lost` says, its retransmissions too.
        let key = *pair.wire.keys().nth(2).unwrap();
        let (_, victim) = pair.wire.remove(&key).unwrap();
        let tsn = victim[16..20].to_vec();
        let mut more = lost;
        let start = pair.now;
        for i in 20..60 {
            pair.write(End::A, 1, numbered(1, i, 1_100), reliable());
        }
        while pair.b.messages.len() < 60 {
            assert!(pair.step());
            pair.poll(End::A);
            let again: Vec<_> = pair
                .wire
                .iter()
                .filter(|(_, (to, p))| *to == End::B && p.windows(4).any(|w| w == tsn))
                .map(|(&key, _)| key)
                .collect();
            for key in again {
                if more > 0 {
                    more -= 1;
                    pair.wire.remove(&key);
                }
            }
            assert!(pair.now - start < 2_000 * MS);
        }
        assert_eq!(pair.a.sctp.stats().timeouts, 0, "lost {lost} more times");
        assert_eq!(pair.a.sctp.stats().fast_retransmits, 1 + lost);
    }
}

#[test]
fn timeouts_back_off_to_the_maximum_and_end_it() {
    let mut pair = Pair::connected(5, Net::default(), config());
    pair.run_for(1_000 * MS);
    pair.net.loss = 1.0;
    pair.write(End::A, 1, vec![1; 100], reliable());
    pair.record.clear();
    let start = pair.now;
    assert!(
        pair.run_until(1_000_000 * MS, |p| p.a.events.contains(&Event::Closed(CloseReason::Unreachable)))
    );
    let sent = pair.record.iter().filter(|(end, _)| *end == End::A).count();
    assert!((15..=30).contains(&sent), "{sent}");
    assert!(pair.now - start < 250_000 * MS);
}

#[test]
fn an_outage_ends_and_everything_comes_through() {
    for seconds in [1, 5, 25] {
        let mut pair = Pair::connected(6, Net::default(), config());
        pair.net.loss = 1.0;
        for i in 0..50 {
            pair.write(End::A, 1, numbered(1, i, 2_000), reliable());
        }
        pair.run_for(seconds * 1_000 * MS);
        pair.net.loss = 0.0;
        assert!(pair.run_until(60_000 * MS, |p| p.b.messages.len() == 50), "{seconds} s");
    }
}

#[test]
fn the_window_grows_to_fill_a_long_path() {
    let mut pair = Pair::connected(7, Net { latency: 20 * MS, ..Net::default() }, config());
    for i in 0..512 {
        pair.write(End::A, 1, numbered(1, i, 16 << 10), reliable());
    }
    let start = pair.now;
    assert!(pair.run_until(60_000 * MS, |p| p.b.messages.len() == 512));
    let took = (pair.now - start).as_secs_f64();
    let rate = 8.0 / took;
    assert!(rate > 15.0, "8 MiB at {rate:.1} MiB/s");
}

#[test]
fn heartbeats_keep_an_idle_association_and_find_a_dead_one() {
    let mut pair = Pair::connected(
        8,
        Net::default(),
        config().with_heartbeat_interval(1_000 * MS).with_max_retransmits(4),
    );
    pair.run_for(60_000 * MS);
    assert_eq!(pair.a.sctp.state(), State::Established);
    let rtt = pair.a.sctp.stats().rtt.unwrap();
    assert!((10 * MS..12 * MS).contains(&rtt), "{rtt:?}");
    pair.net.loss = 1.0;
    pair.run_for(120_000 * MS);
    assert!(pair.a.events.contains(&Event::Closed(CloseReason::Unreachable)));
}

#[test]
fn the_send_buffer_is_bounded_and_buffered_amount_is_exact() {
    let mut pair = Pair::new(9, Net::default(), config().with_send_buffer(10_000));
    let now = pair.now;
    let stream = StreamId(1);
    pair.a.sctp.write(now, stream, Bytes::from(vec![0; 9_000]), &reliable()).unwrap();
    let uncounted = WriteOptions { accounting: Accounting::Uncounted, ..reliable() };
    pair.a.sctp.write(now, stream, Bytes::from(vec![0; 100]), &uncounted).unwrap();
    assert_eq!(pair.a.sctp.buffered_amount(stream), 9_000);
    let refused = pair.a.sctp.write(now, stream, Bytes::from(vec![0; 1_000]), &reliable());
    assert_eq!(refused, Err(WriteError::Full));
    assert_eq!(pair.a.sctp.write(now, stream, Bytes::new(), &reliable()), Err(WriteError::Empty));
    let control = WriteOptions { accounting: Accounting::Control, ..reliable() };
    pair.a.sctp.write(now, stream, Bytes::from(vec![0; 1_000]), &control).unwrap();
    assert_eq!(pair.a.sctp.buffered_amount(stream), 9_000);
    pair.connect();
    pair.run_for(1_000 * MS);
    assert_eq!(pair.a.sctp.buffered_amount(stream), 0);
    assert_eq!(pair.a.sctp.poll_buffered_amount_change(), Some(stream));
    assert_eq!(pair.a.sctp.poll_buffered_amount_change(), None);
}

#[test]
fn a_room_below_what_was_sent_holds_data_back_and_no_more() {
    let mut pair = Pair::connected(11, Net::default(), config());
    pair.write(End::A, 1, numbered(1, 0, 3_000), reliable());
    pair.poll(End::A);
    pair.wire.clear();
    // As large as the MTU lets it be.
    let needed = 1_188;
    // The path shrinks before it is repaired: the timer goes off, and there is no room.
    let start = pair.now;
    let mut out = Vec::new();
    while pair.now - start < 20_000 * MS {
        pair.now = pair.a.sctp.poll_timeout().unwrap().max(pair.now + MS);
        let now = pair.now;
        pair.a.sctp.handle_timeout(now);
        while let Some(length) = pair.a.sctp.poll_transmit(now, needed - 4, &mut out) {
            assert!(length < 200, "no data: {length}");
        }
        assert_eq!(pair.a.sctp.state(), State::Established);
    }
    out.clear();
    let now = pair.now;
    assert_eq!(pair.a.sctp.poll_transmit(now, needed, &mut out), Some(needed));
    pair.send(End::A, out.into());
    assert!(pair.run_until(10_000 * MS, |p| p.b.messages.len() == 1));
}

#[test]
fn small_rooms_are_kept_to() {
    let mut pair = Pair::connected(10, Net::default(), config());
    for i in 0..20 {
        pair.write(End::A, 1, numbered(1, i, 3_000), reliable());
    }
    for room in (0..1_400).step_by(7) {
        let mut out = vec![9; 5];
        if let Some(length) = pair.a.sctp.poll_transmit(pair.now, room, &mut out) {
            assert!(length <= room);
            assert_eq!(out.len(), 5 + length);
            pair.send(End::A, Bytes::from(out.split_off(5)));
        } else {
            assert_eq!(out.len(), 5);
        }
        pair.run_for(20 * MS);
    }
    assert!(pair.run_until(10_000 * MS, |p| p.b.messages.len() == 20));
    check(&pair.b.messages, 1, 20, true);
}
