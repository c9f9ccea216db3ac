//! Path MTU discovery of data channels (RFC 8899) over whole calls: what is found, what is sent, and what changes it.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Call, What, binary, body, config};
use taut_netsim::Link;
use taut_peer::{ChannelId, ChannelInit, Config};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Octets of IPv4 and UDP.
const HEADERS: usize = 28;

fn lan(mtu: usize) -> Link {
    Link::default().latency(10 * MS).mtu(mtu)
}

fn connect(link: Link, config: Config) -> (Call, ChannelId) {
    let mut call = Call::with_configs(1, link, config.clone(), config);
    let (now, a) = (call.now(), call.a);
    let channel = call.peer(a).create_data_channel(now, ChannelInit::new("data")).unwrap();
    call.negotiate(a);
    assert!(call.connect(10 * SECOND));
    (call, channel)
}

/// Sends some messages, lets some time pass, and checks that all came.
fn transfer(call: &mut Call, channel: ChannelId, time: Duration) {
    let (a, b) = (call.a, call.b);
    let before = call.side(b).message_count();
    for number in 0..20 {
        let now = call.now();
        call.peer(a).send(now, channel, binary(body(number, 60_000))).unwrap();
        call.run_for(20 * MS);
    }
    call.run_for(time);
    assert_eq!(call.side(b).message_count(), before + 20);
}

/// The largest datagram of DTLS that was no probe, and how many probes there were.
fn sent(call: &mut Call) -> (usize, usize) {
    let a = call.a;
    let sent = std::mem::take(&mut call.side(a).sent);
    let data = sent.iter().filter(|sent| sent.what == What::Dtls && !sent.mtu_probe);
    (data.map(|sent| sent.len).max().unwrap_or(0), sent.iter().filter(|sent| sent.mtu_probe).count())
}

#[test]
fn nothing_is_looked_for_unless_it_is_configured() {
    let (mut call, channel) = connect(lan(9_000), config());
    transfer(&mut call, channel, 5 * SECOND);
    let (largest, probes) = sent(&mut call);
    assert!(largest <= 1_200 && probes == 0);
}

fn mtu(call: &mut Call) -> usize {
    let (now, a) = (call.now(), call.a);
    call.peer(a).stats(now).transport().unwrap().sctp_mtu
}

#[test]
fn packets_grow_to_what_the_path_carries_and_no_further_than_configured() {
    for (link, max, used) in [
        (9_000, 8_948, 8_948),
        (4_000, 8_948, 3_500),
        (9_000, 5_000, 5_000),
        (9_000, 1_200, 1_200),
        (9_000, 0, 1_200),
    ] {
        let (mut call, channel) = connect(lan(link), config().with_data_max_mtu(max));
        transfer(&mut call, channel, 60 * SECOND);
        let (_, probes) = sent(&mut call);
        assert_eq!(probes > 0, max > 1_200);
        transfer(&mut call, channel, SECOND);
        let (largest, probes) = sent(&mut call);
        // A piece of less than 384 octets is not cut.
        assert!(largest <= used.max(link.min(max)) && largest + 450 > used, "{largest} with {max} of {link}");
        assert_eq!(probes, 0, "the search is over");
        assert!(mtu(&mut call) + 42 >= largest, "no packet is larger than what is told, with DTLS");
    }
}

#[test]
fn what_is_added_below_is_taken_off_what_is_looked_for() {
    for (address, headers) in
        [(["10.0.0.1", "10.0.0.2"], HEADERS), (["2001:db8::1", "2001:db8::2"], HEADERS + 20)]
    {
        for link in [1_280, 1_500, 9_000] {
            let sides = address.map(|address| (address, config().with_data_max_mtu(9_000)));
            let mut call = Call::with_addresses(1, lan(link), sides);
            let (now, a) = (call.now(), call.a);
            let channel = call.peer(a).create_data_channel(now, ChannelInit::new("data")).unwrap();
            call.negotiate(a);
            assert!(call.connect(10 * SECOND));
            transfer(&mut call, channel, 60 * SECOND);
            // Probes are multiples of four octets before DTLS.
            let fills = |len: usize| (link - 3..=link).contains(&(len + headers));
            let probes = call.side(a).sent.iter().filter(|sent| sent.mtu_probe && fills(sent.len));
            assert!(probes.count() > 0 || link == 1_280, "a probe fills a link of {link}");
            let overhead = link - headers - mtu(&mut call);
            assert!((22..42).contains(&overhead), "{overhead} octets of DTLS on {link}");
        }
    }
}

#[test]
fn a_call_goes_on_when_its_path_becomes_smaller() {
    let (mut call, channel) = connect(lan(9_000), config().with_data_max_mtu(8_948));
    transfer(&mut call, channel, 5 * SECOND);
    assert!(mtu(&mut call) > 8_000);
    let (a, b) = (call.a, call.b);
    call.world.set_link(a, b, lan(1_400));
    call.world.set_link(b, a, lan(1_400));
    transfer(&mut call, channel, 5 * SECOND);
    transfer(&mut call, channel, 60 * SECOND);
    let found = mtu(&mut call) + HEADERS;
    assert!((1_350..1_400).contains(&found), "{found}");
}
