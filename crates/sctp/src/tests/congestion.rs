//! When data goes, and what is done when it only seemed lost.

use super::*;

fn with(algorithm: CongestionAlgorithm) -> Config {
    config().with_congestion(algorithm)
}

const ALL: [CongestionAlgorithm; 3] =
    [CongestionAlgorithm::NewReno, CongestionAlgorithm::Cubic, CongestionAlgorithm::Bbr];

#[test]
fn a_window_is_spread_over_the_round_trip() {
    for algorithm in ALL {
        let mut pair = Pair::connected(1, Net { latency: 50 * MS, ..Net::default() }, with(algorithm));
        for _ in 0..300 {
            pair.write(End::A, 1, vec![1; 16 << 10], reliable());
        }
        let (mut most, mut largest) = (0, 0);
        while pair.b.messages.len() < 300 {
            assert!(pair.step());
            let before = pair.record.len();
            pair.poll(End::A);
            let stats = pair.a.sctp.stats();
            if stats.rtt.is_some() {
                most = most.max(pair.record.len() - before);
                largest = largest.max(stats.in_flight / 1_200);
            }
        }
        assert!(largest > 200 && most < largest / 4, "{algorithm:?}: {most} at once of {largest}");
    }
}

#[test]
fn what_was_said_in_few_words_does_not_slow_what_comes_after() {
    for (algorithm, words) in ALL.into_iter().flat_map(|algorithm| [(algorithm, 1), (algorithm, 200)]) {
        for latency in [MS / 2, 3 * MS, 20 * MS, 150 * MS] {
            let mut pair = Pair::connected(1, Net { latency, ..Net::default() }, with(algorithm));
            for word in 0..words {
                pair.write(End::A, 1, vec![1; 17], reliable());
                pair.run_for(300 * MS);
                assert_eq!(pair.b.messages.len(), word + 1);
            }
            for (turn, size) in (0..).zip([1, 7_920, 15_839, 23_758, 60_000]) {
                // The path gets shorter: what was measured first was the time that a busy machine took.
                pair.net.latency = latency / (8 + turn);
                let (start, known) = (pair.now, pair.a.sctp.stats().rtt.unwrap_or_default());
                pair.write(End::A, 1, vec![1; size], reliable());
                let all = words + 1 + turn as usize;
                assert!(pair.run_until(60_000 * MS, |p| p.b.messages.len() == all));
                // A burst of ten packets and the rest of the window within what a round trip was thought to take, and what
                // is more in three of what it takes.
                let (took, most) = (pair.now - start, known + pair.net.latency * 6 + 2 * MS);
                assert!(took <= most, "{algorithm:?}, {latency:?}, {words} words: {size} octets in {took:?}");
                pair.run_for(latency);
            }
        }
    }
}

#[test]
fn a_cap_on_the_rate_holds_whatever_the_window_is() {
    for algorithm in ALL {
        let mut pair = Pair::connected(1, Net::default(), with(algorithm));
        let now = pair.now;
        pair.a.sctp.set_rate_cap(now, Some(100_000));
        for _ in 0..50 {
            pair.write(End::A, 1, vec![1; 10_000], reliable());
        }
        let start = pair.now;
        assert!(pair.run_until(60_000 * MS, |p| p.b.messages.len() == 50));
        let took = (pair.now - start).as_secs_f64();
        assert!((4.7..6.0).contains(&took), "{algorithm:?}: 500 KB at 100 KB/s in {took} s");
        assert!(pair.a.sctp.send_rate().unwrap() <= 100_000);
        let now = pair.now;
        pair.a.sctp.set_rate_cap(now, None);
        for _ in 0..50 {
            pair.write(End::A, 1, vec![1; 10_000], reliable());
        }
        assert!(pair.run_until(1_000 * MS, |p| p.b.messages.len() == 100), "{algorithm:?}: it is lifted");
    }
}

#[test]
fn what_is_only_overtaken_is_found_out_and_costs_no_window() {
    // Packets come in any order within two round trips of the shortest.
    let net = Net { latency: 10 * MS, jitter: 40 * MS, ..Net::default() };
    let mut pair = Pair::connected(1, net, with(CongestionAlgorithm::Cubic));
    for _ in 0..500 {
        pair.write(End::A, 1, vec![1; 16 << 10], reliable());
    }
    let start = pair.now;
    assert!(pair.run_until(60_000 * MS, |p| p.b.messages.len() == 500));
    let stats = pair.a.sctp.stats();
    assert!(stats.spurious_losses >= 1, "{stats:?}");
    assert!(stats.retransmissions < 600, "more patience is had: {stats:?}");
    let took = pair.now - start;
    assert!(took < 3_000 * MS, "8 MB without a loss, in {took:?}: {stats:?}");
}

#[test]
fn a_timeout_that_went_off_too_early_is_undone() {
    for algorithm in ALL {
        let mut pair = Pair::connected(1, Net { latency: 50 * MS, ..Net::default() }, with(algorithm));
        for _ in 0..300 {
            pair.write(End::A, 1, vec![1; 16 << 10], reliable());
        }
        pair.run_for(400 * MS);
        assert!(pair.a.sctp.stats().in_flight > 50_000);
        let (window, before) = (pair.a.sctp.stats().congestion_window, pair.a.sctp.stats().retransmissions);
        // The path stands still for 700 ms.
        pair.wire = std::mem::take(&mut pair.wire)
            .into_iter()
            .map(|((at, number), packet)| ((at + 700 * MS, number), packet))
            .collect();
        pair.net.latency = 750 * MS;
        pair.run_for(600 * MS);
        assert_eq!(pair.a.sctp.stats().timeouts, 1, "{algorithm:?}");
        pair.net.latency = 50 * MS;
        assert!(pair.run_until(60_000 * MS, |p| p.b.messages.len() == 300));
        let stats = pair.a.sctp.stats();
        assert_eq!(stats.spurious_timeouts, 1, "{algorithm:?}");
        assert!(stats.congestion_window >= window * 9 / 10, "{algorithm:?}: {window} and {stats:?}");
        assert!(stats.retransmissions - before < 20, "what was on its way is not sent again: {stats:?}");
    }
}
