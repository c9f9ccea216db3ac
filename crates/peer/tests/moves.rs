//! Whole connections whose host gets and loses addresses while data flows.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::{Call, binary, body, config};
use taut_netsim::{Link, NodeId};
use taut_peer::{
    ChannelId, ChannelInit, ConnectionState, Event, IceConnectionState, IceGatheringState, IceServer,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

const PORT: u16 = 6_000;

fn address(ip: &str) -> (IpAddr, SocketAddr) {
    let ip: IpAddr = ip.parse().unwrap();
    (ip, SocketAddr::new(ip, PORT))
}

fn up(call: &mut Call, id: NodeId, ip: &str) {
    let (ip, local) = address(ip);
    call.world.add_address(id, ip);
    let now = call.now();
    call.peer(id).add_local_address(now, local);
}

/// The driver closes the socket when the system says that the address is gone.
fn down(call: &mut Call, id: NodeId, local: SocketAddr) {
    call.world.remove_address(id, local.ip());
    let now = call.now();
    call.peer(id).remove_local_address(now, local);
}

fn first(call: &mut Call, id: NodeId) -> SocketAddr {
    let candidates = call.peer(id).local_candidates();
    let words: Vec<&str> = candidates[0].candidate.split(' ').collect();
    SocketAddr::new(words[4].parse().unwrap(), words[5].parse().unwrap())
}

fn call(seed: u64) -> (Call, ChannelId) {
    let mut call = Call::with_configs(seed, Link::default().latency(MS * 10), config(), config());
    let (now, a) = (call.now(), call.a);
    let id = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    call.negotiate(a);
    assert!(call.connect(SECOND * 5));
    call.run_for(SECOND);
    (call, id)
}

/// Sends fifty messages a second for a while.
fn send(call: &mut Call, id: ChannelId, sent: &mut usize, time: Duration) {
    let a = call.a;
    for _ in 0..time.as_millis() / 20 {
        let now = call.now();
        call.peer(a).send(now, id, binary(body(*sent, 1_000))).unwrap();
        *sent += 1;
        call.run_for(MS * 20);
    }
}

fn assert_all_came(call: &mut Call, sent: usize, limit: Duration) {
    assert!(call.run_until(limit, |world, _, b| world.node(b).message_count() == sent), "seed");
    let b = call.b;
    let messages = call.side(b).messages.values().next().expect("a channel").clone();
    for (number, message) in messages.iter().enumerate() {
        assert_eq!(message.data, body(number, 1_000));
    }
}

#[test]
fn a_transfer_survives_a_move_of_either_side_without_a_restart() {
    for seed in 0..20u64 {
        // The new address may come before or after the old one goes, and may be told or not.
        let (gap, told, b_moves) = (seed % 2 == 1, seed % 4 < 2, seed % 8 < 4);
        let (mut call, id) = call(seed);
        let mover = if b_moves { call.b } else { call.a };
        let old = first(&mut call, mover);
        let mut sent = 0;
        send(&mut call, id, &mut sent, SECOND);
        call.trickle = told;
        if gap {
            down(&mut call, mover, old);
            assert_eq!(call.peer(mover).ice_connection_state(), IceConnectionState::Disconnected);
            send(&mut call, id, &mut sent, SECOND * 2);
            up(&mut call, mover, "10.9.0.1");
        } else {
            up(&mut call, mover, "10.9.0.1");
            send(&mut call, id, &mut sent, SECOND);
            down(&mut call, mover, old);
        }
        send(&mut call, id, &mut sent, SECOND * 2);
        assert_all_came(&mut call, sent, SECOND * 20);
        for side in [call.a, call.b] {
            assert_eq!(call.peer(side).connection_state(), ConnectionState::Connected);
            assert!(!call.side(side).saw(&Event::ConnectionStateChange(ConnectionState::Failed)));
        }
        assert_eq!(first(&mut call, mover).ip().to_string(), "10.9.0.1", "the old candidate is gone");
    }
}

#[test]
fn when_both_move_at_once_the_new_candidates_or_a_restart_bring_them_together() {
    for seed in 0..10u64 {
        let told = seed % 2 == 0;
        let (mut call, id) = call(seed);
        let (a, b) = (call.a, call.b);
        let mut sent = 0;
        send(&mut call, id, &mut sent, SECOND);
        call.trickle = told;
        for (side, new) in [(a, "10.9.0.1"), (b, "10.9.0.2")] {
            let old = first(&mut call, side);
            down(&mut call, side, old);
            up(&mut call, side, new);
        }
        send(&mut call, id, &mut sent, SECOND * 5);
        if !told {
            assert!(call.side(b).message_count() < sent, "seed {seed}: neither knows where the other is");
            call.trickle = true;
            let now = call.now();
            call.peer(a).restart_ice(now);
            call.negotiate(a);
        }
        assert_all_came(&mut call, sent, SECOND * 30);
        assert!(call.connect(SECOND));
    }
}

#[test]
fn a_candidate_may_come_after_the_end_of_candidates() {
    let (mut call, _) = call(1);
    let a = call.a;
    assert_eq!(call.peer(a).ice_gathering_state(), IceGatheringState::Complete);
    assert!(call.side(a).saw(&Event::IceCandidate(None)));
    call.side(a).events.clear();
    up(&mut call, a, "10.9.0.1");
    call.run_for(MS * 100);
    let events = std::mem::take(&mut call.side(a).events);
    let candidate = events.iter().find_map(|event| match event {
        Event::IceCandidate(Some(candidate)) => Some(candidate.candidate.clone()),
        _ => None,
    });
    assert!(candidate.is_some_and(|text| text.contains(" 10.9.0.1 ")));
    // There is no server to ask, so nothing is waited for.
    assert!(!events.contains(&Event::IceCandidate(None)));
    assert!(call.peer(a).local_description().unwrap().sdp.contains(" 10.9.0.1 "));
}

#[test]
fn with_a_server_to_ask_gathering_begins_again_and_ends_again() {
    let server = || config().with_ice_server(IceServer::parse("stun:10.7.0.1").unwrap());
    let mut call = Call::with_configs(1, Link::default().latency(MS * 10), server(), config());
    let (now, a) = (call.now(), call.a);
    call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    call.negotiate(a);
    // Nobody answers: gathering ends with the patience for the server.
    assert!(call.run_until(SECOND * 60, |world, a, _| world.node(a).saw(&Event::IceCandidate(None))));
    call.side(a).events.clear();
    up(&mut call, a, "10.9.0.1");
    call.run_for(MS * 100);
    assert_eq!(call.peer(a).ice_gathering_state(), IceGatheringState::Gathering);
    assert!(call.side(a).saw(&Event::IceGatheringStateChange(IceGatheringState::Gathering)));
    assert!(call.run_until(SECOND * 60, |world, a, _| world.node(a).saw(&Event::IceCandidate(None))));
    assert_eq!(call.peer(a).ice_gathering_state(), IceGatheringState::Complete);
}
