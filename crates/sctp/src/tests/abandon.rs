//! The policies of RFC 7496 one by one: how often and how long a message is tried, whole and in parts, with DATA and
//! with I-DATA, and that nothing half is ever handed up.

use super::*;
use crate::packet::{Walker, kind};

fn limited(reliability: Reliability, ordering: Ordering) -> WriteOptions {
    WriteOptions { reliability, ordering, ..reliable() }
}

/// Both formats, and both orders.
fn each(mut test: impl FnMut(Config, Ordering)) {
    for config in [config(), interleaved()] {
        for ordering in [Ordering::Ordered, Ordering::Unordered] {
            test(config.clone(), ordering);
        }
    }
}

/// How often each TSN of a stream was sent, in order.
fn transmissions(pair: &Pair, stream: u16) -> BTreeMap<u32, u32> {
    let mut sent = BTreeMap::new();
    for (_, packet) in pair.record.iter().filter(|(from, _)| *from == End::A) {
        for item in Walker::new(&packet[12..]).flatten() {
            if matches!(item.kind(), kind::DATA | kind::I_DATA) && item.value[4..6] == stream.to_be_bytes() {
                *sent.entry(u32::from_be_bytes(item.value[..4].try_into().unwrap())).or_default() += 1;
            }
        }
    }
    sent
}

fn settled(config: Config) -> Pair {
    let mut pair = Pair::connected(1, Net { latency: 20 * MS, ..Net::default() }, config);
    pair.write(End::A, 9, vec![0; 100], reliable());
    pair.run_for(1_000 * MS);
    pair.b.messages.clear();
    pair.record.clear();
    pair
}

/// The path is whole again: a reliable message on the same stream comes, and nothing of what was given up.
fn goes_on(pair: &mut Pair) {
    pair.net.loss = 0.0;
    pair.write(End::A, 1, b"next".to_vec(), reliable());
    assert!(pair.run_until(60_000 * MS, |p| !p.b.messages.is_empty() && p.a.sctp.tx.is_drained()));
    let messages: Vec<_> = pair.b.messages.iter().map(|(_, _, octets)| octets.len()).collect();
    assert_eq!(messages, [4]);
    assert!(pair.b.partial.is_empty());
}

#[test]
fn a_message_is_sent_again_as_often_as_it_may_be_and_no_more() {
    each(|config, ordering| {
        for count in [0u16, 1, 3] {
            for length in [100, 5_000] {
                let mut pair = settled(config.clone());
                pair.net.loss = 1.0;
                pair.write(End::A, 1, vec![1; length], limited(Reliability::MaxRetransmits(count), ordering));
                pair.run_for(30_000 * MS);
                let sent = transmissions(&pair, 1);
                assert_eq!(sent.len(), if length == 100 { 1 } else { 5 });
                assert!(sent.values().all(|&times| times <= u32::from(count) + 1), "{count}: {sent:?}");
                assert_eq!(sent.values().max(), Some(&(u32::from(count) + 1)), "{count}: {sent:?}");
                assert_eq!(pair.a.sctp.stats().abandoned_messages, 1);
                goes_on(&mut pair);
            }
        }
    });
}

#[test]
fn a_message_is_tried_for_its_time_and_no_longer() {
    each(|config, ordering| {
        for length in [100, 5_000] {
            let life = 3_000 * MS;
            let mut pair = settled(config.clone());
            pair.net.loss = 1.0;
            pair.write(End::A, 1, vec![1; length], limited(Reliability::MaxLifetime(life), ordering));
            pair.run_for(life);
            let within = transmissions(&pair, 1);
            assert!(within.values().any(|&times| times > 1), "it is tried: {within:?}");
            pair.run_for(30_000 * MS);
            assert_eq!(transmissions(&pair, 1), within, "and not after its time");
            assert_eq!(pair.a.sctp.stats().abandoned_messages, 1);
            goes_on(&mut pair);
            // In time it comes, however often it was lost.
            let mut pair = settled(config.clone());
            pair.net.loss = 1.0;
            pair.write(End::A, 1, vec![1; length], limited(Reliability::MaxLifetime(10 * life), ordering));
            pair.run_for(life);
            pair.net.loss = 0.0;
            assert!(pair.run_until(10_000 * MS, |pair| pair.b.messages.len() == 1));
            assert_eq!(pair.a.sctp.stats().abandoned_messages, 0);
        }
    });
}

#[test]
fn a_message_that_waits_too_long_is_not_sent_at_all() {
    each(|config, ordering| {
        let mut pair = settled(config.with_scheduler(Scheduler::Priority));
        pair.a.sctp.set_rate_cap(pair.now, Some(10_000));
        pair.write(End::A, 2, vec![2; 60_000], reliable());
        pair.write(End::A, 1, vec![1; 30_000], limited(Reliability::MaxLifetime(10 * MS), ordering));
        pair.a.sctp.set_priority(StreamId(1), 1);
        pair.run_for(2_000 * MS);
        pair.a.sctp.set_rate_cap(pair.now, None);
        assert!(pair.run_until(30_000 * MS, |pair| pair.a.sctp.tx.is_drained()));
        assert!(transmissions(&pair, 1).is_empty());
        assert_eq!(pair.a.sctp.stats().abandoned_messages, 1);
        assert_eq!(pair.b.messages.iter().map(|(stream, ..)| stream.0).collect::<Vec<_>>(), [2]);
        pair.b.messages.clear();
        goes_on(&mut pair);
    });
}

#[test]
fn a_message_in_parts_is_given_up_whole() {
    each(|config, ordering| {
        for reliability in [Reliability::MaxRetransmits(0), Reliability::MaxLifetime(500 * MS)] {
            for in_parts in [false, true] {
                let mut pair = settled(config.clone());
                let (now, stream) = (pair.now, StreamId(1));
                if in_parts {
                    pair.b.sctp.read_in_parts(stream, true);
                    pair.b.in_parts.push(stream);
                }
                pair.a.sctp.begin_message(now, stream, &limited(reliability, ordering)).unwrap();
                pair.a.sctp.append_message(now, stream, vec![1; 20_000].into()).unwrap();
                pair.run_for(100 * MS);
                assert!(!in_parts || !pair.b.partial.is_empty(), "what is there is read");
                // The next part is lost, and with it the message, before it is ended.
                pair.net.loss = 1.0;
                pair.a.sctp.append_message(pair.now, stream, vec![1; 20_000].into()).unwrap();
                pair.run_for(3_000 * MS);
                pair.net.loss = 0.0;
                // The timer has backed off by now.
                assert!(
                    pair.run_until(30_000 * MS, |pair| pair.a.sctp.tx.is_drained()),
                    "the other side hears of it"
                );
                let now = pair.now;
                let more = pair.a.sctp.append_message(now, stream, vec![1; 20_000].into());
                assert_eq!(more, Err(WriteError::NotBegun), "the writer hears of it");
                assert_eq!(pair.a.sctp.end_message(now, stream), Err(WriteError::NotBegun));
                assert_eq!(pair.a.sctp.stats().abandoned_messages, 1);
                assert!(pair.b.partial.is_empty(), "the reader hears of it");
                goes_on(&mut pair);
            }
        }
    });
}

#[test]
fn what_is_found_to_be_too_late_while_nothing_can_be_sent_is_told_at_once() {
    each(|config, ordering| {
        let mut pair = settled(config);
        let (now, stream) = (pair.now, StreamId(1));
        let options = limited(Reliability::MaxLifetime(500 * MS), ordering);
        pair.a.sctp.begin_message(now, stream, &options).unwrap();
        pair.a.sctp.append_message(now, stream, vec![1; 5_000].into()).unwrap();
        let there = |pair: &Pair| !pair.record.is_empty() && pair.a.sctp.stats().in_flight == 0;
        assert!(pair.run_until(400 * MS, there), "a part is there");
        pair.now += 500 * MS;
        let now = pair.now;
        pair.a.sctp.append_message(now, stream, vec![1; 5_000].into()).unwrap();
        pair.record.clear();
        pair.poll(End::A);
        let first = pair.record.first().and_then(|(_, packet)| Walker::new(&packet[12..]).flatten().next());
        let kind = first.map(|chunk| chunk.kind());
        assert!(matches!(kind, Some(kind::FORWARD_TSN | kind::I_FORWARD_TSN)), "{kind:?}");
        goes_on(&mut pair);
    });
}

#[test]
fn what_may_live_no_time_is_tried_all_the_same() {
    each(|config, ordering| {
        let mut pair = settled(config);
        pair.write(End::A, 1, vec![1; 100], limited(Reliability::MaxLifetime(Duration::ZERO), ordering));
        pair.run_for(1_000 * MS);
        assert_eq!(pair.b.messages.len(), 1);
    });
}

#[test]
fn what_was_given_up_stays_counted_after_the_end() {
    let mut pair = settled(config());
    pair.write(End::A, 1, vec![1; 100], limited(Reliability::MaxLifetime(10 * MS), Ordering::Ordered));
    pair.now += 20 * MS;
    pair.poll(End::A);
    assert_eq!(pair.a.sctp.stats().abandoned_messages, 1);
    pair.a.sctp.abort(pair.now);
    assert_eq!(pair.a.sctp.stats().abandoned_messages, 1);
}
