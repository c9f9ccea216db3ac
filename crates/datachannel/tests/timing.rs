//! Each of the times of [`Timing`] matters.

mod common;

use std::time::Duration;

use common::*;
use taut_datachannel::*;
use taut_netsim::{Link, Loss};

const SECOND: Duration = Duration::from_secs(1);

fn connected(timing: Timing) -> (Net, ChannelId) {
    let mut net = Net::with(1, clean(), Config::default().with_timing(timing));
    net.start();
    assert!(net.until(|a, b| a.saw(Event::Connected) && b.saw(Event::Connected)));
    let channel = net.open_a(ChannelInit::new("data"));
    net.send_a(channel, "hello");
    assert!(net.until(|_, b| b.received() == 1));
    net.world.run_for(SECOND);
    (net, channel)
}

fn cut(net: &mut Net) {
    let (a, b) = (net.a, net.b);
    for (from, to) in [(a, b), (b, a)] {
        net.world.set_link(from, to, Link::default().loss(Loss::Random(1.0)));
    }
}

#[test]
fn the_retransmission_timeout_keeps_to_its_bounds() {
    let timing = Timing::default().with_rto(3 * SECOND, 700 * MS, 5 * SECOND);
    let mut net = Net::with(1, clean(), Config::default().with_timing(timing));
    assert_eq!(net.a().session.stats().association.rto, 3 * SECOND);
    let (mut net_up, channel) = connected(timing);
    assert_eq!(net_up.a().session.stats().association.rto, 700 * MS);
    cut(&mut net_up);
    net_up.send_a(channel, "lost");
    net_up.world.run_for(30 * SECOND);
    assert_eq!(net_up.a().session.stats().association.rto, 5 * SECOND);
}

#[test]
fn the_association_ends_after_so_many_timeouts() {
    let lives = |count| {
        let timing = Timing::default().with_max_retransmits(count);
        let (mut net, channel) = connected(timing);
        cut(&mut net);
        net.send_a(channel, "lost");
        net.world.run_for(20 * SECOND);
        net.a().session.is_connected()
    };
    assert!(lives(10) && !lives(2));
}

#[test]
fn heartbeats_come_as_often_as_they_are_wanted() {
    let sent = |interval| {
        let (mut net, _) = connected(Timing::default().with_heartbeat_interval(interval));
        let before = net.a().session.stats().association.packets_sent;
        net.world.run_for(100 * SECOND);
        net.a().session.stats().association.packets_sent - before
    };
    let (often, seldom) = (sent(SECOND), sent(50 * SECOND));
    assert!(often > 100 && seldom < 10, "{often} {seldom}");
}

#[test]
fn an_acknowledgement_waits_as_long_as_it_may() {
    let in_flight_after = |delay, wait| {
        let (mut net, channel) = connected(Timing::default().with_sack_delay(delay));
        net.send_a(channel, "one");
        net.world.run_for(wait);
        net.a().session.stats().association.in_flight
    };
    assert_eq!(in_flight_after(5 * MS, 60 * MS), 0);
    assert!(in_flight_after(200 * MS, 60 * MS) > 0);
}
