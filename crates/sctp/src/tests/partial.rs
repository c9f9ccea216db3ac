use super::*;

fn limited(reliability: Reliability, ordering: Ordering) -> WriteOptions {
    WriteOptions { reliability, ordering, ..reliable() }
}

#[test]
fn what_is_given_up_is_never_torn_late_or_twice() {
    for seed in 0..96u64 {
        let net = Net {
            latency: 20 * MS,
            jitter: 10 * MS,
            loss: 0.1 + (seed % 3) as f64 * 0.1,
            duplicate: 0.05,
            ..Net::default()
        };
        let mut pair = Pair::connected(seed, net, config_of(seed));
        let ordering = if seed % 2 == 0 { Ordering::Ordered } else { Ordering::Unordered };
        let reliability = match seed % 4 {
            0 | 1 => Reliability::MaxRetransmits((seed % 3) as u16),
            _ => Reliability::MaxLifetime(100 * MS),
        };
        for i in 0..60u32 {
            let mut message = vec![i as u8; [10, 1_500, 6_000][i as usize % 3]];
            message[..4].copy_from_slice(&i.to_be_bytes());
            pair.write(End::A, 1, message, limited(reliability, ordering));
            pair.write(End::A, 2, vec![9; 100], reliable());
            pair.run_for(15 * MS);
        }
        pair.net.loss = 0.0;
        assert!(
            pair.run_until(60_000 * MS, |p| {
                p.b.messages.iter().filter(|m| m.0 == StreamId(2)).count() == 60 && p.a.sctp.tx.is_drained()
            }),
            "seed {seed}: the reliable stream is not held up for ever"
        );
        let numbers: Vec<u32> = pair
            .b
            .messages
            .iter()
            .filter(|m| m.0 == StreamId(1))
            .map(|(_, _, message)| {
                let i = u32::from_be_bytes(message[..4].try_into().unwrap());
                assert_eq!(message.len(), [10, 1_500, 6_000][i as usize % 3], "seed {seed}");
                assert!(message[4..].iter().all(|&octet| octet == i as u8), "seed {seed}: torn");
                i
            })
            .collect();
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), numbers.len(), "seed {seed}: twice");
        if ordering == Ordering::Ordered {
            assert_eq!(sorted, numbers, "seed {seed}: out of order");
        }
        // The stream is alive afterwards.
        pair.run_for(1_000 * MS);
        let before = pair.b.messages.len();
        pair.write(End::A, 1, vec![7; 50], limited(reliability, ordering));
        assert!(
            pair.run_until(10_000 * MS, |p| p.b.messages.len() == before + 1),
            "seed {seed} {:#?} {:?}",
            pair.a.sctp.stats(),
            pair.b.sctp.rx
        );
        assert_eq!(pair.a.sctp.state(), State::Established);
    }
}

#[test]
fn zero_retransmits_gives_up_at_the_first_loss() {
    let mut pair = Pair::connected(1, Net::default(), config());
    let options = limited(Reliability::MaxRetransmits(0), Ordering::Ordered);
    pair.write(End::A, 1, vec![1; 100], options);
    pair.poll(End::A);
    pair.wire.clear();
    pair.write(End::A, 1, vec![2; 100], options);
    assert!(pair.run_until(10_000 * MS, |p| p.b.messages.len() == 1 && p.a.sctp.tx.is_drained()));
    assert_eq!(pair.b.messages[0].2, vec![2; 100]);
    assert_eq!(pair.a.sctp.stats().retransmissions, 0);
    assert_eq!(pair.a.sctp.stats().abandoned_messages, 1);
}

#[test]
fn more_streams_are_skipped_than_one_chunk_can_name() {
    for config in [config(), interleaved()] {
        skip_many(config);
    }
}

fn skip_many(config: Config) {
    let mut pair = Pair::connected(3, Net::default(), config);
    pair.run_for(1_000 * MS);
    let options = limited(Reliability::MaxRetransmits(0), Ordering::Ordered);
    for stream in 0..1_000 {
        pair.write(End::A, stream, vec![1; 1], options);
    }
    pair.poll(End::A);
    pair.wire.clear();
    pair.run_for(10_000 * MS);
    assert!(pair.run_until(60_000 * MS, |p| p.a.sctp.tx.is_drained()));
    let given_up = pair.a.sctp.stats().abandoned_messages;
    assert!(given_up > 290, "more than a packet of {given_up}");
    // Every stream goes on behind what was given up.
    pair.b.messages.clear();
    for stream in 0..1_000 {
        pair.write(End::A, stream, vec![2; 1], reliable());
    }
    assert!(pair.run_until(10_000 * MS, |p| p.b.messages.len() == 1_000), "{}", pair.b.messages.len());
}

#[test]
fn a_message_half_sent_is_closed_for_the_receiver() {
    for config in [config(), interleaved()] {
        half_sent(config);
    }
}

fn half_sent(config: Config) {
    let mut pair = Pair::connected(2, Net { latency: 50 * MS, ..Net::default() }, config);
    // Far more than the window: most of it has no TSN when its start is lost.
    pair.write(End::A, 1, vec![1; 400_000], limited(Reliability::MaxRetransmits(0), Ordering::Ordered));
    pair.write(End::A, 1, b"next".to_vec(), reliable());
    pair.poll(End::A);
    let sent: Vec<_> = pair.wire.iter().filter(|(_, (to, p))| *to == End::B && p.len() > 1_000).collect();
    let key = *sent[1].0;
    pair.wire.remove(&key);
    assert!(pair.run_until(30_000 * MS, |p| !p.b.messages.is_empty() && p.a.sctp.tx.is_drained()));
    assert_eq!(pair.b.messages.len(), 1);
    assert_eq!(pair.b.messages[0].2, b"next");
    assert_eq!(pair.a.sctp.buffered_amount(StreamId(1)), 0);
}
