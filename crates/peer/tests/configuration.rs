//! What of the configuration may be changed during a connection, and when it holds (W3C `setConfiguration`).
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Call, binary, config};
use taut_netsim::{Link, NodeId};
use taut_peer::{
    ChannelId, ChannelInit, Config, ErrorKind, Event, IceGatheringState, IceServer, IceTransportPolicy,
};

const SECOND: Duration = Duration::from_secs(1);

fn link() -> Link {
    Link::default().latency(Duration::from_millis(10))
}

fn with_server(config: Config) -> Config {
    config.with_ice_server(IceServer::parse("stun:10.0.0.9").unwrap())
}

fn connected() -> (Call, ChannelId) {
    let mut call = Call::with_configs(1, link(), config(), config());
    let (now, a) = (call.now(), call.a);
    let channel = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    assert!(call.run_until(SECOND, |world, a, _| world.node(a).saw(&Event::ChannelOpen(channel))));
    (call, channel)
}

fn set(call: &mut Call, id: NodeId, config: Config) -> Result<(), ErrorKind> {
    let now = call.now();
    call.peer(id).set_configuration(now, config).map_err(|error| error.kind)
}

/// The ufrag that the next offer has.
fn offered(call: &mut Call, id: NodeId) -> String {
    let now = call.now();
    let sdp = call.peer(id).create_offer(now, Default::default()).unwrap().sdp;
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap().to_owned()
}

fn ufrag(call: &mut Call, id: NodeId) -> String {
    call.peer(id).local_ice_parameters().ufrag.clone()
}

#[test]
fn what_may_not_be_changed_is_refused_and_nothing_has_changed() {
    let (mut call, _) = connected();
    let a = call.a;
    let before = call.peer(a).configuration().clone();
    let nameless = IceServer::parse("turn:10.0.0.9").unwrap();
    for (other, error) in [
        (before.clone().with_mtu(1_300), ErrorKind::InvalidModification),
        (before.clone().with_hide_addresses(true), ErrorKind::InvalidModification),
        (with_server(before.clone()).with_ice_lite(true), ErrorKind::InvalidModification),
        (before.clone().with_ice_candidate_pool_size(1), ErrorKind::InvalidModification),
        (before.clone().with_ice_server(nameless), ErrorKind::InvalidAccess),
        (before.clone().with_max_message_size(0), ErrorKind::Range),
    ] {
        assert_eq!(set(&mut call, a, other), Err(error));
        assert_eq!(*call.peer(a).configuration(), before);
        assert_eq!(offered(&mut call, a), ufrag(&mut call, a));
    }
    let other = with_server(before.clone()).with_ice_transport_policy(IceTransportPolicy::Relay);
    assert_eq!(set(&mut call, a, other.clone()), Ok(()));
    assert_eq!(*call.peer(a).configuration(), other);
    let now = call.now();
    call.peer(a).close(now);
    assert_eq!(set(&mut call, a, before), Err(ErrorKind::InvalidState));
    assert_eq!(*call.peer(a).configuration(), other);
}

#[test]
fn the_next_offer_restarts_and_nothing_asks_for_it() {
    let (mut call, channel) = connected();
    let (a, b) = (call.a, call.b);
    let asked = |call: &mut Call| {
        call.side(a).events.iter().filter(|event| matches!(event, Event::NegotiationNeeded)).count()
    };
    let (before, wanted) = (ufrag(&mut call, a), asked(&mut call));
    let same = call.peer(a).configuration().clone();
    assert_eq!(set(&mut call, a, same.clone()), Ok(()));
    assert_eq!(offered(&mut call, a), before, "nothing is another");
    assert_eq!(set(&mut call, a, with_server(same)), Ok(()));
    call.run_for(SECOND);
    assert_eq!((ufrag(&mut call, a), asked(&mut call)), (before.clone(), wanted));
    let next = offered(&mut call, a);
    assert_ne!(next, before);
    call.negotiate(a);
    assert_eq!(ufrag(&mut call, a), next);
    assert_eq!(offered(&mut call, a), next, "once");
    call.run_for(5 * SECOND);
    let now = call.now();
    call.peer(a).send(now, channel, binary(vec![1].into())).unwrap();
    assert!(call.run_until(SECOND, |world, _, b| world.node(b).message_count() == 1));
    // Also in an exchange that the other side begins and that restarts for its own reasons.
    let config = with_server(call.peer(a).configuration().clone());
    assert_eq!(set(&mut call, a, config), Ok(()));
    call.peer(b).restart_ice(now);
    call.negotiate(b);
    assert_ne!(ufrag(&mut call, a), next);
    let after = ufrag(&mut call, a);
    assert_eq!(offered(&mut call, a), after, "it has been done");
}

#[test]
fn a_pool_is_gathered_anew_or_begun() {
    for before in [0, 1] {
        let configured = config().with_ice_candidate_pool_size(before);
        let mut call = Call::with_configs(1, link(), configured.clone(), config());
        let (now, a) = (call.now(), call.a);
        call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
        call.run_for(SECOND);
        let first = ufrag(&mut call, a);
        let local = |call: &mut Call| call.peer(a).ice_report().local.len();
        assert_eq!(local(&mut call) > 0, before > 0);
        let name = IceServer::parse("stun:stun.example").unwrap();
        let other = configured.with_ice_server(name).with_ice_candidate_pool_size(1);
        assert_eq!(set(&mut call, a, other), Ok(()));
        call.run_for(Duration::ZERO);
        let asked = |event: &Event| matches!(event, Event::Resolve { host, .. } if host == "stun.example");
        assert!(call.side(a).events.iter().any(asked), "the new server is asked at once");
        assert_ne!(local(&mut call), 0);
        assert_eq!(call.peer(a).ice_gathering_state(), IceGatheringState::New, "nobody is to know");
        assert_eq!(ufrag(&mut call, a) != first, before > 0);
        call.negotiate(a);
        let ours = ufrag(&mut call, a);
        let told = call.side(a).events.iter().filter_map(|event| match event {
            Event::IceCandidate(Some(candidate)) => candidate.username_fragment.clone(),
            _ => None,
        });
        let told: Vec<String> = told.collect();
        assert!(!told.is_empty() && told.iter().all(|ufrag| *ufrag == ours), "{told:?}");
        assert!(call.connect(5 * SECOND));
    }
}
