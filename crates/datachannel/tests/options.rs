//! Options and figures that nothing else shows.

mod common;

use common::*;
use taut_datachannel::*;
use taut_netsim::Link;

/// The sizes of what A makes of a message of 10,000 octets.
fn sizes(config: Config) -> Vec<usize> {
    let mut net = Net::with(1, clean(), config);
    net.start();
    assert!(net.until(|a, b| a.saw(Event::Connected) && b.saw(Event::Connected)));
    let id = net.open_a(ChannelInit::new("x"));
    net.send_a(id, vec![7u8; 10_000]);
    let now = net.world.now();
    let session = &mut net.a().session;
    let mut out = Vec::new();
    std::iter::from_fn(|| session.poll_transmit(now, 1_500, &mut out)).collect()
}

#[test]
fn packets_are_as_large_as_the_mtu_says() {
    for mtu in [700, 1_100, 1_400] {
        let largest = sizes(Config::default().with_mtu(mtu)).into_iter().max().unwrap();
        assert!((mtu - 20..=mtu).contains(&largest), "{mtu}: {largest}");
    }
}

#[test]
fn the_port_is_the_one_that_is_set() {
    let mut net = Net::with(2, clean(), Config::default().with_port(5_001));
    let now = net.world.now();
    let remote = RemoteParameters { max_message_size: 262_144, port: 5_001 };
    net.a().session.start(now, Role::Client, remote);
    let mut first = Vec::new();
    net.a().session.poll_transmit(now, 1_200, &mut first).unwrap();
    assert_eq!(first[..4], [5_001u16.to_be_bytes(), 5_001u16.to_be_bytes()].concat());
    net.b().session.start(now, Role::Server, remote);
    assert!(net.until(|a, b| a.saw(Event::Connected) && b.saw(Event::Connected)));
}

#[test]
fn the_round_trip_and_the_window_are_those_of_the_association() {
    let window = |congestion| {
        let mut net =
            Net::with(3, Link::default().latency(50 * MS), Config::default().with_congestion(congestion));
        net.start();
        assert!(net.until(|a, b| a.saw(Event::Connected) && b.saw(Event::Connected)));
        let id = net.open_a(ChannelInit::new("x"));
        (0..20).for_each(|_| net.send_a(id, vec![7u8; 60_000]));
        assert!(net.until(|_, b| b.received() == 20));
        let stats = net.a().session.stats();
        let rtt = stats.rtt.expect("it was measured");
        assert!(rtt >= 100 * MS && rtt < 200 * MS, "{rtt:?}");
        assert_eq!(
            (stats.rtt, stats.congestion_window),
            (stats.association.rtt, stats.association.congestion_window)
        );
        stats.congestion_window
    };
    let windows =
        [CongestionAlgorithm::NewReno, CongestionAlgorithm::Cubic, CongestionAlgorithm::Bbr].map(window);
    assert!(windows[0] > 10_000 && windows[2] != windows[0] && windows[2] != windows[1], "{windows:?}");
}
