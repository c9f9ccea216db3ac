//! Events and counters that nothing else shows: each comes when it should.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use common::{Call, PORT, binary, body, video_frame};
use taut_netsim::{Link, NodeId};
use taut_peer::stats::Stats;
use taut_peer::{ChannelInit, Event, IceConnectionState, IceGatheringState, Kind, SignalingState, TrackInfo};
use taut_sansio::net::{Path, Received};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn connected() -> (Call, taut_peer::ChannelId) {
    let mut call = Call::new(60, Link::default().latency(10 * MS));
    let (now, a) = (call.now(), call.a);
    let channel = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    call.run_for(SECOND);
    (call, channel)
}

fn told<T>(call: &mut Call, id: NodeId, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
    call.side(id).events.iter().filter_map(pick).collect()
}

#[test]
fn states_are_told_as_they_change() {
    let (mut call, _) = connected();
    let signaling = |event: &Event| match event {
        Event::SignalingStateChange(state) => Some(*state),
        _ => None,
    };
    let gathering = |event: &Event| match event {
        Event::IceGatheringStateChange(state) => Some(*state),
        _ => None,
    };
    let (a, b) = (call.a, call.b);
    assert_eq!(told(&mut call, a, signaling), [SignalingState::HaveLocalOffer, SignalingState::Stable]);
    assert_eq!(told(&mut call, b, signaling), [SignalingState::HaveRemoteOffer, SignalingState::Stable]);
    for id in [a, b] {
        let states = told(&mut call, id, gathering);
        assert_eq!(states, [IceGatheringState::Gathering, IceGatheringState::Complete]);
    }
}

#[test]
fn the_selected_pair_is_told_counted_and_named() {
    let (mut call, _) = connected();
    for id in [call.a, call.b] {
        assert_eq!(
            told(&mut call, id, |event| (*event == Event::SelectedCandidatePairChange).then_some(())).len(),
            1
        );
        assert_eq!(call.peer(id).transport_stats().selected_pair_changes, 1);
        let now = call.now();
        let report = call.peer(id).stats(now);
        let transport = report.transport().unwrap();
        assert_eq!(transport.selected_candidate_pair_changes, 1);
        let pair = transport.selected_candidate_pair_id.as_ref().unwrap();
        assert!(matches!(report.get(pair), Some(Stats::CandidatePair(pair)) if pair.nominated), "{pair}");
    }
}

#[test]
fn a_channel_tells_when_little_is_buffered_and_when_the_other_side_closes_it() {
    let (mut call, channel) = connected();
    let (a, b) = (call.a, call.b);
    let low = Event::ChannelBufferedAmountLow(channel);
    call.peer(a).set_buffered_amount_low_threshold(channel, 10_000);
    let now = call.now();
    call.peer(a).send(now, channel, binary(body(1, 9_000))).unwrap();
    call.run_for(SECOND);
    assert!(!call.side(a).saw(&low), "it was never above");
    let now = call.now();
    call.peer(a).send(now, channel, binary(body(2, 200_000))).unwrap();
    call.run_for(SECOND);
    assert!(call.side(a).saw(&low));

    let theirs = call.side(b).incoming()[0];
    let now = call.now();
    call.peer(a).close_channel(now, channel);
    call.run_for(SECOND);
    let place = |call: &mut Call, event: Event| call.side(b).events.iter().position(|other| *other == event);
    let closing = place(&mut call, Event::ChannelClosing(theirs)).expect("it is told");
    assert!(closing < place(&mut call, Event::ChannelClosed(theirs)).unwrap());
}

#[test]
fn the_ufrag_of_before_a_restart_is_given_back() {
    let (mut call, _) = connected();
    let ufrag = |call: &mut Call, id: NodeId| {
        let sdp = call.peer(id).local_description().unwrap().sdp;
        sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap().to_owned()
    };
    let (a, b) = (call.a, call.b);
    let before = [ufrag(&mut call, a), ufrag(&mut call, b)];
    let now = call.now();
    call.peer(a).restart_ice(now);
    call.negotiate(a);
    call.run_for(10 * SECOND);
    for (id, ufrag) in [a, b].into_iter().zip(before) {
        assert!(call.side(id).saw(&Event::UfragRetired(ufrag)), "{:?}", call.side(id).events);
    }
}

#[test]
fn media_before_there_are_keys_is_counted() {
    let mut call = Call::new(61, Link::default().latency(10 * MS));
    let (now, a, b) = (call.now(), call.a, call.b);
    call.peer(a).add_track(now, TrackInfo::new("v", Kind::Video), vec![]).unwrap();
    call.negotiate(a);
    let checked = |state| matches!(state, IceConnectionState::Connected | IceConnectionState::Completed);
    assert!(call.run_until(5 * SECOND, |world, _, b| checked(world.node(b).peer.ice_connection_state())));
    let at = call.now();
    let [local, remote] = ["10.0.0.2", "10.0.0.1"].map(|ip| SocketAddr::new(ip.parse().unwrap(), PORT));
    let meta = Received { at, path: Path::udp(local, remote), ecn: None };
    for (payload_type, count) in [(96, 1), (200, 2)] {
        let datagram = [&[0x80, payload_type, 0, 1][..], &[0; 40]].concat();
        call.peer(b).handle_datagram(meta, BytesMut::from(&datagram[..]));
        assert_eq!(call.peer(b).transport_stats().dropped_no_keys, count);
    }
}

#[test]
fn streams_name_what_the_other_side_says_of_them() {
    let mut call = Call::new(62, Link::default().latency(10 * MS));
    let (now, a, b) = (call.now(), call.a, call.b);
    let video = call.peer(a).add_track(now, TrackInfo::new("v", Kind::Video), vec![]).unwrap();
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    for number in 0..300 {
        let now = call.now();
        call.peer(a).send_frame(now, video, video_frame(number)).unwrap();
        call.run_for(33 * MS);
    }
    let now = call.now();
    let report = call.peer(a).stats(now);
    let outbound = report.outbound_rtp().next().unwrap();
    let remote = report.get(outbound.remote_id.as_ref().unwrap());
    assert!(matches!(remote, Some(Stats::RemoteInboundRtp(remote)) if remote.ssrc == outbound.stream.ssrc));
    let report = call.peer(b).stats(now);
    let inbound = report.inbound_rtp().next().unwrap();
    let remote = report.get(inbound.remote_id.as_ref().unwrap());
    assert!(matches!(remote, Some(Stats::RemoteOutboundRtp(remote)) if remote.ssrc == inbound.stream.ssrc));
}
