//! A client and a server that mean each other well: allocation, relaying, refresh, loss and return, the end.

mod common;

use std::time::{Duration, Instant};

use common::{Lab, PEER, address, client_config, make_server, server_config};
use taut_sansio::net::Transport;
use taut_stun::attribute::AddressFamily;
use taut_turn::{ClientConfig, CloseReason, Credentials, Event, Families, LossReason};

const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

#[test]
fn data_goes_both_ways_first_in_indications_then_on_a_channel() {
    for transport in ALL {
        let mut lab = Lab::allocated(transport);
        let (peer, relay) = (address(PEER), lab.relayed(0));
        lab.ends[0].client.permit(lab.now, peer.ip());
        lab.settle();
        let indication = lab.ends[0].client.overhead(peer);
        for length in 0..9 {
            assert!(lab.send(0, peer, &vec![length; usize::from(length)]));
            lab.peer_sends(peer, relay, &vec![100 + length; usize::from(length)]);
        }
        lab.ends[0].client.bind(lab.now, peer);
        lab.settle();
        assert!(lab.ends[0].client.overhead(peer) <= 7 && indication >= 36, "there is a channel");
        for length in 9..18 {
            assert!(lab.send(0, peer, &vec![length; usize::from(length)]));
            lab.peer_sends(peer, relay, &vec![100 + length; usize::from(length)]);
        }
        for length in 0..18u8 {
            let (from, data) = &lab.inboxes[&peer][usize::from(length)];
            assert_eq!((from, &data[..]), (&relay, &vec![length; usize::from(length)][..]), "{transport:?}");
            let received = &lab.ends[0].received[usize::from(length)];
            assert_eq!((received.peer, received.relayed), (peer, relay));
            assert_eq!(received.data, vec![100 + length; usize::from(length)]);
        }
        assert_eq!(lab.ends[0].client.stats().relayed_in, 18);
        assert_eq!(lab.ends[0].client.stats().relayed_out, 18);
        let stats = lab.server().stats();
        assert_eq!((stats.to_peers, stats.to_clients), (18, 18));
        assert_eq!((stats.to_peers_bytes, stats.to_clients_bytes), (153, 153));
    }
}

/// The server still has the channel, and would refuse the peer another number (RFC 8656 section 12.2).
#[test]
fn a_peer_that_is_wanted_again_gets_its_channel_back() {
    let mut lab = Lab::allocated(Transport::Udp);
    let peer = address(PEER);
    for _ in 0..3 {
        lab.ends[0].client.bind(lab.now, address("192.0.2.99:9"));
        lab.ends[0].client.bind(lab.now, peer);
        lab.settle();
        assert!(lab.ends[0].client.overhead(peer) <= 7, "there is a channel");
        assert!(lab.send(0, peer, b"x"));
        lab.ends[0].client.forget(address("192.0.2.99:9").ip());
        lab.ends[0].client.forget(peer.ip());
    }
    assert_eq!(lab.inboxes[&peer].len(), 3);
    assert_eq!(lab.server().stats().refused, 0);
}

#[test]
fn an_allocation_permissions_and_channels_outlive_their_lifetimes() {
    for transport in ALL {
        // Nonces that run out force new ones on nearly every request.
        let mut lab = Lab::new(server_config().with_nonce_lifetime(Duration::from_secs(30)));
        lab.add(transport, client_config());
        lab.run(Duration::from_secs(1));
        let (peer, relay) = (address(PEER), lab.relayed(0));
        lab.ends[0].client.bind(lab.now, peer);
        lab.run(Duration::from_secs(3 * 3_600));
        assert_eq!(lab.relayed(0), relay);
        assert!(lab.ends[0].client.overhead(peer) <= 7, "the channel is there");
        assert!(lab.send(0, peer, b"out"));
        lab.peer_sends(peer, relay, b"in");
        assert_eq!(lab.inboxes[&peer].len(), 1);
        assert_eq!(lab.ends[0].received.len(), 1);
        assert_eq!(lab.server().stats().allocated, 1);
        let told: Vec<_> = lab.ends[0].events.iter().filter(|e| !matches!(e, Event::Connect(_))).collect();
        assert!(matches!(told[..], [Event::Allocated { .. }]), "{told:?}");
    }
}

#[test]
fn both_ways_of_naming_oneself_work() {
    let mut lab = Lab::new(server_config());
    let expires = lab.unix() + Duration::from_secs(60);
    let wrong = ClientConfig::default().with_credentials(Credentials::new("ann", "wrong"));
    let limited = |secret, expires| {
        ClientConfig::default().with_credentials(Credentials::time_limited(secret, "bob", expires))
    };
    for (config, good) in [
        (client_config(), true),
        (limited("north", expires), true),
        (wrong, false),
        (limited("south", expires), false),
        (limited("north", lab.unix()), false),
    ] {
        let index = lab.add(Transport::Udp, config);
        lab.run(Duration::from_millis(100));
        let end = &lab.ends[index];
        assert_eq!(!end.client.relayed().is_empty(), good);
        if !good {
            let refused = matches!(&end.events[..], [Event::Closed(CloseReason::Refused { code: 401, .. })]);
            assert!(refused, "{:?}", end.events);
        }
    }
    // An allocation stays its user's after the name has run out.
    lab.run(Duration::from_secs(1_200));
    assert!(!lab.ends[1].client.relayed().is_empty());
}

#[test]
fn families_are_what_was_asked_for() {
    for (families, v4, v6) in [
        (Families::Both, true, true),
        (Families::Only(AddressFamily::V4), true, false),
        (Families::Only(AddressFamily::V6), false, true),
    ] {
        let mut lab = Lab::new(server_config());
        lab.add(Transport::Udp, client_config().with_families(families));
        lab.run(Duration::from_secs(1));
        let relayed = lab.ends[0].client.relayed();
        assert_eq!((relayed.iter().any(|r| r.is_ipv4()), relayed.iter().any(|r| r.is_ipv6())), (v4, v6));
        for (peer, there) in [(address(PEER), v4), (address("[2001:db8:1::7]:5000"), v6)] {
            lab.ends[0].client.bind(lab.now, peer);
            lab.run(Duration::from_secs(1));
            assert_eq!(lab.send(0, peer, b"x"), there);
            assert_eq!(lab.inboxes.contains_key(&peer), there);
            if there {
                let relay = lab.inboxes[&peer][0].0;
                lab.peer_sends(peer, relay, b"y");
                assert_eq!(lab.ends[0].received.last().unwrap().relayed, relay);
            }
        }
    }
}

#[test]
fn a_server_without_one_family_gives_the_other() {
    for (relay, v4) in [(common::RELAY_V4, true), (common::RELAY_V6, false)] {
        let mut config = server_config();
        config.relays.retain(|address| address.bind.to_string() == relay);
        let mut lab = Lab::new(config);
        lab.add(Transport::Udp, client_config());
        lab.run(Duration::from_secs(1));
        let relayed = lab.ends[0].client.relayed();
        assert!(relayed.len() == 1 && relayed[0].is_ipv4() == v4, "{relayed:?}");
    }
    let mut config = server_config();
    config.relays.truncate(1);
    let mut lab = Lab::new(config);
    lab.add(Transport::Udp, client_config().with_families(Families::Only(AddressFamily::V6)));
    lab.run(Duration::from_secs(1));
    assert!(matches!(lab.ends[0].events[..], [Event::Closed(CloseReason::Refused { code: 440, .. })]));
}

fn first(lab: &Lab, wanted: impl Fn(&Event) -> bool) -> Option<&Event> {
    lab.ends[0].events.iter().find(|event| wanted(event))
}

fn until(lab: &mut Lab, limit: Duration, done: impl Fn(&Lab) -> bool) -> Duration {
    let start: Instant = lab.now;
    while !done(lab) {
        assert!(lab.now - start < limit, "not within {limit:?}");
        lab.run(Duration::from_millis(50));
    }
    lab.now - start
}

#[test]
fn a_dead_server_is_noticed_and_found_again() {
    for transport in ALL {
        for dead_for in [13, 60, 300] {
            let mut lab = Lab::bound(transport);
            lab.run(Duration::from_secs(31));
            lab.server = None;
            lab.bound.clear();
            let silent = |lab: &Lab| first(lab, |e| matches!(e, Event::Lost(LossReason::Silent))).is_some();
            let noticed = until(&mut lab, Duration::from_secs(12), silent);
            assert!(lab.ends[0].client.relayed().is_empty());
            assert!(!lab.send(0, address(PEER), b"x"), "nowhere to send it");
            lab.run(Duration::from_secs(dead_for) - noticed);
            lab.ends[0].events.clear();
            let unix = lab.unix();
            lab.server = Some(make_server(server_config(), lab.now, unix, 77));
            until(&mut lab, Duration::from_secs(3), |lab| {
                first(lab, |e| matches!(e, Event::Allocated { .. })).is_some()
            });
            lab.run(Duration::from_millis(100));
            assert!(lab.send(0, address(PEER), b"again"));
            assert_eq!(lab.inboxes[&address(PEER)].len(), 1, "permission and channel are back");
        }
    }
}

#[test]
fn a_server_that_was_restarted_in_between_is_noticed_too() {
    let mut lab = Lab::bound(Transport::Udp);
    let unix = lab.unix();
    lab.server = Some(make_server(server_config(), lab.now, unix, 78));
    until(&mut lab, Duration::from_secs(8), |lab| {
        first(lab, |e| matches!(e, Event::Lost(LossReason::Forgotten))).is_some()
    });
    lab.run(Duration::from_millis(100));
    assert!(lab.send(0, address(PEER), b"again"));
    assert_eq!(lab.inboxes[&address(PEER)].len(), 1);
}

#[test]
fn a_server_that_does_not_return_is_given_up() {
    for transport in ALL {
        let mut lab = Lab::new(server_config());
        lab.add(transport, client_config().with_recovery(Duration::from_secs(100)));
        lab.run(Duration::from_secs(2));
        lab.server = None;
        lab.run(Duration::from_secs(120));
        assert_eq!(lab.ends[0].events.last(), Some(&Event::Closed(CloseReason::TimedOut)));
        assert_eq!(lab.ends[0].client.poll_timeout(), None);
    }
}

#[test]
fn a_server_that_never_was_there_is_a_failure_within_ten_seconds() {
    for (transport, reason) in
        [(Transport::Udp, CloseReason::TimedOut), (Transport::Tcp, CloseReason::Unreachable)]
    {
        let mut lab = Lab::new(server_config());
        lab.server = None;
        lab.add(transport, client_config());
        lab.run(Duration::from_secs(10));
        assert_eq!(reason.code(), 701);
        assert_eq!(lab.ends[0].events.last(), Some(&Event::Closed(reason)));
    }
}

#[test]
fn closing_gives_the_allocation_back() {
    for transport in ALL {
        let mut lab = Lab::bound(transport);
        assert_eq!((lab.server().allocations(), lab.bound.len()), (1, 2));
        lab.ends[0].client.close(lab.now);
        lab.settle();
        assert_eq!(lab.server().allocations(), 0);
        assert!(lab.bound.is_empty(), "the sockets are free");
        assert_eq!(lab.ends[0].events.last(), Some(&Event::Closed(CloseReason::Local)));
        assert_eq!(lab.ends[0].client.poll_timeout(), None);
    }
    let mut lab = Lab::allocated(Transport::Udp);
    lab.server = None;
    lab.ends[0].client.close(lab.now);
    lab.run(Duration::from_secs(2));
    assert_eq!(lab.ends[0].events.last(), Some(&Event::Closed(CloseReason::Local)), "nobody to tell");
}

#[test]
fn a_fifth_of_all_datagrams_may_be_lost_each_way() {
    let mut lab = Lab::new(server_config());
    lab.lost = 200;
    for _ in 0..50 {
        lab.add(Transport::Udp, client_config());
    }
    lab.run(Duration::from_secs(9));
    let there = lab.ends.iter().filter(|end| !end.client.relayed().is_empty()).count();
    for end in &mut lab.ends {
        end.client.bind(lab.now, address(PEER));
    }
    lab.run(Duration::from_secs(60));
    let bound = lab.ends.iter().filter(|end| end.client.overhead(address(PEER)) == 4).count();
    // All six of one of two requests are lost for one client in 200.
    assert!(there >= 49 && bound >= 49, "{there} have an allocation, {bound} a channel");
    let lost = |end: &common::End| end.events.iter().any(|event| matches!(event, Event::Lost(_)));
    assert!(!lab.ends.iter().any(lost), "nobody takes the server for dead");
}

#[test]
fn two_clients_of_one_server_reach_each_other() {
    let mut lab = Lab::allocated(Transport::Udp);
    lab.add(Transport::Tcp, client_config());
    lab.run(Duration::from_secs(1));
    let (a, b) = (lab.relayed(0), lab.relayed(1));
    lab.ends[0].client.bind(lab.now, b);
    lab.ends[1].client.permit(lab.now, a.ip());
    lab.settle();
    assert!(lab.send(0, b, b"to b") && lab.send(1, a, b"to a"));
    assert_eq!((lab.ends[1].received[0].peer, &lab.ends[1].received[0].data[..]), (a, &b"to b"[..]));
    assert_eq!((lab.ends[0].received[0].peer, &lab.ends[0].received[0].data[..]), (b, &b"to a"[..]));
}

#[test]
fn a_stream_that_breaks_takes_its_allocation_with_it_and_the_next_one_has_another() {
    let mut lab = Lab::bound(Transport::Tls);
    let path = lab.ends[0].client.path().unwrap();
    let back = taut_sansio::net::Path { local: path.remote, remote: path.local, ..path };
    let now = lab.now;
    lab.server().handle_disconnected(now, back);
    lab.ends[0].client.handle_disconnected(now);
    assert_eq!(lab.server().allocations(), 0);
    lab.run(Duration::from_secs(2));
    assert!(first(&lab, |e| matches!(e, Event::Lost(LossReason::Disconnected))).is_some());
    assert_eq!(lab.server().allocations(), 1);
    assert!(lab.send(0, address(PEER), b"x"));
    assert_eq!(lab.inboxes[&address(PEER)].len(), 1);
}
