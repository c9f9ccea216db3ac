//! How losses are repaired: what is found without the timer, and how long it takes where much is lost.

use super::*;

fn on(latency: u32, loss: f64) -> Net {
    Net { latency: latency * MS, loss, ..Net::default() }
}

/// How long it takes to deliver `octets` in messages of 16 KiB, with the statistics of the sender.
fn transfer(seed: u64, net: Net, octets: usize) -> (Duration, Stats) {
    transfer_with(config(), seed, net, octets)
}

fn transfer_with(config: Config, seed: u64, net: Net, octets: usize) -> (Duration, Stats) {
    let mut pair = Pair::connected(seed, net, config);
    let count = octets.div_ceil(16 << 10);
    for _ in 0..count {
        pair.write(End::A, 1, vec![1; 16 << 10], reliable());
    }
    let start = pair.now;
    assert!(pair.run_until(600_000 * MS, |p| p.b.messages.len() == count), "seed {seed}");
    (pair.now - start, pair.a.sctp.stats())
}

#[test]
fn much_loss_slows_down_and_does_not_stop() {
    // Latency, loss, and the most seconds for 400 KB: some twice of what was seen.
    for (latency, loss, most) in [(140, 0.2, 75), (140, 0.02, 20), (25, 0.2, 40), (25, 0.01, 2), (5, 0.3, 50)]
    {
        for seed in 0..10 {
            let (took, stats) = transfer(seed, on(latency, loss), 400_000);
            assert!(took < most * 1_000 * MS, "seed {seed} {latency} ms {loss}: {took:?} {stats:?}");
            assert!(
                stats.rtt.unwrap() < 3 * latency * MS + 60 * MS,
                "lost answers are not measured: {stats:?}"
            );
        }
    }
}

/// A connection that has measured its path and is idle.
fn idle(latency: u32) -> Pair {
    idle_with(config(), latency)
}

fn idle_with(config: Config, latency: u32) -> Pair {
    let mut pair = Pair::connected(1, on(latency, 0.0), config);
    for _ in 0..5 {
        pair.write(End::A, 1, vec![1; 3_000], reliable());
        pair.run_for(1_000 * MS);
    }
    pair
}

/// The packets with data to B that are on the wire.
fn data_on_the_wire(pair: &Pair) -> Vec<(Instant, u64)> {
    let has_data = |packet: &Bytes| packet[12] == crate::packet::kind::DATA;
    pair.wire
        .iter()
        .filter(|(_, (to, packet))| *to == End::B && has_data(packet))
        .map(|(&key, _)| key)
        .collect()
}

#[test]
fn a_lost_end_of_a_flight_is_repaired_by_a_probe() {
    for lost in 1..=3 {
        let cubic = config().with_congestion(CongestionAlgorithm::Cubic);
        let mut pair = idle_with(cubic, 25);
        let window = pair.a.sctp.stats().congestion_window;
        pair.write(End::A, 2, vec![2; 1_100 * 6], reliable());
        pair.poll(End::A);
        for key in data_on_the_wire(&pair).iter().rev().take(lost) {
            pair.wire.remove(key);
        }
        let (start, before) = (pair.now, pair.b.messages.len());
        assert!(pair.run_until(10_000 * MS, |p| p.b.messages.len() > before));
        let stats = pair.a.sctp.stats();
        let took = pair.now - start;
        assert!(took < 400 * MS, "{took:?}: before the least timeout");
        assert_eq!((stats.probes, stats.timeouts), (1, 0), "{lost} lost");
        pair.run_for(1_000 * MS);
        let after = pair.a.sctp.stats().congestion_window;
        assert!(after < window && after > window / 2, "the loss is answered once: {window} to {after}");
    }
}

#[test]
fn one_probe_goes_until_there_is_an_answer() {
    let mut pair = idle(25);
    pair.net.loss = 1.0;
    pair.write(End::A, 2, vec![2; 5_000], reliable());
    pair.run_for(2_000 * MS);
    let stats = pair.a.sctp.stats();
    assert_eq!(stats.probes, 1);
    assert!(stats.timeouts >= 2, "and then the timer, with its back-off: {stats:?}");
    // A message that may not be sent twice is not sent twice to probe.
    let mut pair = idle(25);
    let once = WriteOptions { reliability: Reliability::MaxRetransmits(0), ..reliable() };
    pair.write(End::A, 2, vec![2; 100], once);
    pair.poll(End::A);
    pair.wire.clear();
    pair.run_for(2_000 * MS);
    let stats = pair.a.sctp.stats();
    assert_eq!((stats.probes, stats.retransmissions, stats.abandoned_messages), (0, 0, 1));
}

#[test]
fn a_loss_in_a_short_flight_is_found_by_time() {
    let mut pair = idle(25);
    pair.write(End::A, 2, vec![2; 1_100 * 2], reliable());
    pair.poll(End::A);
    let first = data_on_the_wire(&pair)[0];
    pair.wire.remove(&first);
    let (start, before) = (pair.now, pair.b.messages.len());
    assert!(pair.run_until(10_000 * MS, |p| p.b.messages.len() > before));
    let stats = pair.a.sctp.stats();
    assert_eq!((stats.timeouts, stats.probes, stats.fast_retransmits), (0, 0, 1));
    // A round trip and a quarter until it is found, half of one until it is there.
    assert!(pair.now - start < 95 * MS, "{:?}", pair.now - start);
}

#[test]
fn the_timer_waits_for_the_answer_to_a_repair() {
    // Even, and long: the timeout is little more than a round trip.
    let mut pair = idle(300);
    for _ in 0..40 {
        pair.write(End::A, 1, vec![1; 3_000], reliable());
        pair.run_for(1_000 * MS);
    }
    pair.write(End::A, 2, vec![2; 1_100 * 80], reliable());
    pair.poll(End::A);
    let third = data_on_the_wire(&pair)[2];
    let (_, packet) = pair.wire.remove(&third).unwrap();
    let tsn = &packet[16..20];
    let before = pair.b.messages.len();
    // It is lost once more when it is sent again.
    while pair.a.sctp.stats().retransmissions == 0 {
        assert!(pair.step());
        pair.poll(End::A);
    }
    pair.wire.retain(|_, (_, again)| !again.windows(4).any(|octets| octets == tsn));
    assert!(pair.run_until(10_000 * MS, |p| p.b.messages.len() > before && p.a.sctp.tx.is_drained()));
    let stats = pair.a.sctp.stats();
    assert!(stats.rto < 1_000 * MS, "{stats:?}");
    assert_eq!((stats.timeouts, stats.retransmissions), (0, 2));
    // A single message, whose acknowledgement is held back, is no reason for the timer.
    for _ in 0..10 {
        pair.write(End::A, 2, vec![2; 100], reliable());
        pair.run_for(5_000 * MS);
    }
    assert_eq!((pair.a.sctp.stats().timeouts, pair.a.sctp.stats().retransmissions), (0, 2));
}

#[test]
fn what_comes_late_by_less_than_a_quarter_is_not_taken_for_lost() {
    let mut pair = idle(50);
    for _ in 0..50 {
        pair.net.latency = 50 * MS;
        pair.write(End::A, 2, vec![2; 1_000], reliable());
        pair.poll(End::A);
        pair.net.latency = 40 * MS;
        pair.write(End::A, 2, vec![2; 1_000], reliable());
        pair.run_for(300 * MS);
    }
    assert_eq!(pair.a.sctp.stats().retransmissions, 0);
}

#[test]
fn two_associations_with_the_same_loss_get_about_the_same() {
    // What probing gains at little loss must be little: it is for the ends of flights.
    let cubic = config().with_congestion(CongestionAlgorithm::Cubic);
    let rate = |seed| transfer_with(cubic.clone(), seed, on(25, 0.02), 2_000_000).0.as_secs_f64();
    let times: Vec<f64> = (0..5).map(rate).collect();
    // The law of Mathis and others: a window of about 1.22 / sqrt(loss) packets, here 8.6 packets each 50 ms, with
    // CUBIC no more than twice that.
    let packets = 2_000_000.0 / 1_160.0;
    let least = packets / (2.0 * 8.6) * 0.05;
    assert!(times.iter().all(|&time| time > least), "{times:?} {least}");
}

#[test]
fn a_receiver_that_drops_what_it_acknowledged_gets_it_again() {
    use crate::packet::{Header, finish, sack};
    let mut pair = idle(25);
    pair.write(End::A, 2, vec![2; 1_100 * 4], reliable());
    pair.poll(End::A);
    pair.wire.clear();
    let (now, cumulative) = (pair.now, pair.b.sctp.rx.cumulative());
    let count = pair.a.sctp.tx.newest().distance_from(cumulative) as u16;
    // B tells of everything but the first, and then never again.
    let mut out = Vec::new();
    Header { source: 5000, destination: 5000, tag: pair.a.sctp.local_tag }.write(&mut out);
    sack::write(&mut out, cumulative, 1 << 20, [(2, count)].into_iter(), [].into_iter());
    finish(&mut out, 0);
    pair.a.sctp.handle_packet(now, out.into());
    let before = pair.b.messages.len();
    assert!(pair.run_until(60_000 * MS, |p| p.b.messages.len() > before), "{:?}", pair.a.sctp.stats());
    pair.run_for(1_000 * MS);
    assert!(pair.a.sctp.tx.is_drained());
    assert_eq!(pair.a.sctp.stats().in_flight, 0);
}
