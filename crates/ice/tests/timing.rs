//! The times that a connection takes, and how often an idle one wakes.

mod common;

use std::time::Duration;

use common::{Net, PORT, ms, secs};
use taut_ice::{Config, Role};
use taut_netsim::{Link, Loss};

/// 50 ms each way: a round trip is 100 ms, and new transactions go out every 50 ms (RFC 8445 section 14.2).
const ONE_WAY: Duration = Duration::from_millis(50);
const ROUND_TRIP: Duration = Duration::from_millis(100);
const INTERVAL: Duration = Duration::from_millis(50);

/// Several addresses of both families each.
const MANY_A: &[&str] = &["192.0.2.1", "2001:db8:a::1", "192.0.2.2", "2001:db8:a::2"];
const MANY_B: &[&str] = &["198.51.100.1", "2001:db8:b::1", "198.51.100.2"];

/// Both sides know a pair at once; asserts when it is valid on both, and when it is nominated on both.
fn assert_quick(net: &mut Net, seed: u64) {
    let known = net.world.elapsed();
    assert!(net.run_until(secs(5), Net::connected), "seed {seed}");
    let valid = net.world.elapsed() - known;
    assert!(valid <= ROUND_TRIP + INTERVAL, "seed {seed}: valid after {valid:?}");
    assert!(net.run_until(secs(5), Net::nominated), "seed {seed}");
    let nominated = net.world.elapsed() - known;
    assert!(nominated <= 2 * ROUND_TRIP + INTERVAL, "seed {seed}: nominated after {nominated:?}");
    let [a, b] = [net.a(), net.b()].map(|peer| peer.agent.selected_path().expect("a pair"));
    assert_eq!((a.local, a.remote), (b.remote, b.local), "seed {seed}");
}

#[test]
fn valid_in_one_round_trip_and_nominated_in_two() {
    for seed in 0..50 {
        let link = Link::default().latency(ONE_WAY);
        let mut net = Net::new(seed, link.clone(), &["192.0.2.1"], &["192.0.2.2"]);
        net.start();
        assert_quick(&mut net, seed);
        let mut net = Net::new(seed, link, MANY_A, MANY_B);
        net.start();
        assert_quick(&mut net, seed);
    }
}

/// The side that answers knows a pair earlier than the one that offered: its checks come early there.
#[test]
fn as_quick_when_the_answer_takes_its_time() {
    for seed in 0..50 {
        let mut net = Net::new(seed, Link::default().latency(ONE_WAY), MANY_A, MANY_B);
        net.trickle = false;
        let (offerer, answerer) = (net.a, net.b);
        for id in [offerer, answerer] {
            net.with(id, |agent, now| agent.gather(now));
        }
        net.signal(answerer, Role::Controlled);
        let candidates = std::mem::take(&mut net.peer_mut(offerer).outbox);
        for candidate in candidates {
            net.with(answerer, |agent, now| agent.add_remote_candidate(now, candidate)).expect("it is taken");
        }
        net.run(ms(seed * 7));
        net.signal(offerer, Role::Controlling);
        net.exchange();
        assert_quick(&mut net, seed);
    }
}

#[test]
fn a_fifth_of_the_datagrams_may_be_lost() {
    let mut times = Vec::new();
    for seed in 0..300 {
        let link = Link::default().latency(ONE_WAY).loss(Loss::Random(0.2));
        let mut net = Net::new(seed, link, &["192.0.2.1"], &["192.0.2.2"]);
        net.start();
        assert!(net.run_until(secs(40), Net::connected), "seed {seed}");
        times.push(net.world.elapsed());
    }
    times.sort();
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("at 20 % loss: median {median:?}, p99 {p99:?}");
    assert!(p99 <= secs(3), "{p99:?}");
}

/// The wake-ups of one side in ten minutes, and how many of them consent explains.
fn wakes(net: &mut Net) -> (u64, u64) {
    net.connect(secs(5));
    net.run(secs(60));
    let before = (net.a().wakes, net.a().agent.stats().consent_requests_sent);
    net.world.run_for(secs(600));
    let after = (net.a().wakes, net.a().agent.stats().consent_requests_sent);
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn an_idle_connection_wakes_ten_times_a_minute_at_most_beyond_consent() {
    for addresses in [&["192.0.2.1"][..], MANY_A] {
        let mut net = Net::new(1, Link::default().latency(ONE_WAY), addresses, MANY_B);
        net.start();
        let (wakes, consent) = wakes(&mut net);
        println!("{wakes} wake-ups, {consent} of them for consent, in ten minutes");
        assert!(
            wakes.saturating_sub(consent) <= 100,
            "{wakes} wake-ups, {consent} for consent, in ten minutes"
        );
        assert!((100..=150).contains(&consent), "every 4 to 6 s: {consent} in ten minutes");
    }
}

#[test]
fn two_hundred_candidates_a_side_do_not_slow_the_one_that_works() {
    for seed in 0..20 {
        let link = Link::default().latency(ONE_WAY);
        let config = Config::default();
        let mut net =
            Net::with_configs(seed, link, (&["192.0.2.1"], config.clone()), (&["192.0.2.2"], config));
        for id in [net.a, net.b] {
            for n in 0..200u32 {
                // As good as a host candidate gets, but for the type.
                let text =
                    format!("{n} 1 udp {} 203.0.113.{} {PORT} typ srflx", 1_694_498_815 - n, n % 250 + 1);
                let _ = net.with(id, |agent, now| {
                    agent.add_remote_candidate(now, text.parse().expect("a candidate"))
                });
            }
        }
        net.start();
        assert_quick(&mut net, seed);
    }
}
