//! Every command in every wrong place: a precise error, and nothing changes.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use common::{Call, PORT, audio_frame, binary, body, video_frame};
use taut_netsim::Link;
use taut_peer::rtp;
use taut_peer::{
    ChannelInit, Codec, ConnectionState, Direction, Error, ErrorKind, Event, IceCandidate, Kind, Mode,
    OfferOptions, Peer, SendError, SessionDescription, SignalingState, TrackInfo, TransceiverId,
    TransceiverInit,
};
use taut_sansio::net::{Path, Received};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn lan() -> Link {
    Link::default().latency(10 * MS)
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.expect_err("refused").kind
}

/// All that an application can see of the negotiation.
fn view(peer: &Peer) -> (SignalingState, String, String, Vec<taut_peer::Transceiver>) {
    let text = |description: Option<SessionDescription>| description.map(|d| d.sdp).unwrap_or_default();
    (
        peer.signaling_state(),
        text(peer.local_description()),
        text(peer.remote_description()),
        peer.transceivers().cloned().collect(),
    )
}

/// Connected, with a video track of a and a data channel.
fn connected() -> (Call, TransceiverId, taut_peer::ChannelId) {
    let mut call = Call::new(40, lan());
    let (now, a) = (call.now(), call.a);
    let channel = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    let video = call.peer(a).add_track(now, TrackInfo::new("v", Kind::Video), vec![]).unwrap();
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    call.run_for(SECOND);
    (call, video, channel)
}

/// A transceiver that no peer of these tests has.
fn unknown() -> TransceiverId {
    let mut call = Call::new(41, lan());
    let (now, a) = (call.now(), call.a);
    let add =
        |call: &mut Call| call.peer(a).add_transceiver(now, Kind::Audio, TransceiverInit::default()).unwrap();
    for _ in 0..20 {
        add(&mut call);
    }
    add(&mut call)
}

#[test]
fn unknown_transceivers_are_refused() {
    let (mut call, _, _) = connected();
    let (now, a, id) = (call.now(), call.a, unknown());
    let before = view(call.peer(a));
    let peer = call.peer(a);
    assert_eq!(kind(peer.remove_track(now, id)), ErrorKind::InvalidAccess);
    assert_eq!(kind(peer.set_direction(now, id, Direction::SendOnly)), ErrorKind::InvalidAccess);
    assert_eq!(kind(peer.stop_transceiver(now, id)), ErrorKind::InvalidAccess);
    assert_eq!(kind(peer.replace_track(now, id, None)), ErrorKind::InvalidAccess);
    assert_eq!(kind(peer.set_codec_preferences(now, id, vec![])), ErrorKind::InvalidAccess);
    assert_eq!(kind(peer.send_frame(now, id, video_frame(0))), ErrorKind::InvalidAccess);
    assert_eq!(kind(peer.send_rtp(now, id, rtp::Packet::default())), ErrorKind::InvalidAccess);
    peer.set_receive_mode(id, Mode::Packets);
    peer.request_keyframe(now, id);
    assert!(peer.poll_frame(id).is_none() && peer.poll_rtp(id).is_none());
    assert!(peer.transceiver(id).is_none());
    assert!(peer.poll_event().is_none() && !peer.is_closed());
    assert_eq!(view(call.peer(a)), before);
}

#[test]
fn arguments_that_cannot_be_are_refused() {
    let (mut call, video, _) = connected();
    let (now, a) = (call.now(), call.a);
    let before = view(call.peer(a));
    let peer = call.peer(a);
    let track = |id: &str, kind| TrackInfo::new(id, kind);
    assert_eq!(kind(peer.add_track(now, track("v", Kind::Video), vec![])), ErrorKind::InvalidAccess);
    assert_eq!(kind(peer.add_track(now, track("a b", Kind::Audio), vec![])), ErrorKind::Type);
    assert_eq!(kind(peer.add_track(now, track("w", Kind::Video), vec!["\r\n".into()])), ErrorKind::Type);
    assert_eq!(kind(peer.replace_track(now, video, Some(track("x", Kind::Audio)))), ErrorKind::Type);
    assert_eq!(kind(peer.set_direction(now, video, Direction::Stopped)), ErrorKind::Type);
    let opus = vec![Codec::Opus];
    assert_eq!(kind(peer.set_codec_preferences(now, video, opus.clone())), ErrorKind::InvalidModification);
    let init = TransceiverInit::default().with_codecs(opus);
    assert_eq!(kind(peer.add_transceiver(now, Kind::Video, init)), ErrorKind::InvalidModification);
    let init = TransceiverInit::default().with_direction(Direction::Stopped);
    assert_eq!(kind(peer.add_transceiver(now, Kind::Video, init)), ErrorKind::Type);
    let init = TransceiverInit::default().with_track(track("x", Kind::Audio));
    assert_eq!(kind(peer.add_transceiver(now, Kind::Video, init)), ErrorKind::Type);
    assert_eq!(kind(peer.send_frame(now, video, audio_frame(0))), ErrorKind::NotSupported);
    let label = "x".repeat(70_000);
    assert_eq!(kind(peer.create_data_channel(now, ChannelInit::new(label))), ErrorKind::Type);
    assert_eq!(view(call.peer(a)), before);
}

#[test]
fn descriptions_in_the_wrong_state_are_refused() {
    let mut call = Call::new(42, lan());
    let (now, a, b) = (call.now(), call.a, call.b);
    let peer = call.peer(a);
    assert_eq!(kind(peer.create_answer(now)), ErrorKind::InvalidState);
    assert_eq!(
        kind(peer.set_local_description(now, Some(SessionDescription::answer("")))),
        ErrorKind::InvalidState
    );
    assert_eq!(
        kind(peer.set_remote_description(now, SessionDescription::answer("v=0"))),
        ErrorKind::InvalidState
    );
    assert_eq!(
        kind(peer.set_remote_description(now, SessionDescription::rollback())),
        ErrorKind::InvalidState
    );
    assert_eq!(kind(peer.set_remote_description(now, SessionDescription::offer("v=1"))), ErrorKind::Syntax);
    assert_eq!(peer.can_trickle_ice_candidates(), None);
    assert_eq!(view(peer), view(call.peer(b)), "as if nothing had been called");
    assert!(call.peer(a).poll_event().is_none());
}

#[test]
fn candidates_are_refused_in_the_order_of_w3c() {
    let mut call = Call::new(43, lan());
    let (now, a, b) = (call.now(), call.a, call.b);
    let garbage = |mid: Option<&str>| Some(IceCandidate::new("garbage", mid.map(str::to_owned), None));
    let peer = call.peer(b);
    assert_eq!(kind(peer.add_ice_candidate(now, garbage(None))), ErrorKind::Type);
    assert_eq!(kind(peer.add_ice_candidate(now, garbage(Some("0")))), ErrorKind::InvalidState);
    assert_eq!(kind(peer.add_ice_candidate(now, None)), ErrorKind::InvalidState);
    call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    call.peer(a).set_local_description(now, None).unwrap();
    let offer = call.peer(a).local_description().unwrap();
    let peer = call.peer(b);
    peer.set_remote_description(now, offer).unwrap();
    let before = view(peer);
    assert_eq!(kind(peer.add_ice_candidate(now, garbage(Some("9")))), ErrorKind::Operation);
    assert_eq!(kind(peer.add_ice_candidate(now, garbage(Some("0")))), ErrorKind::Operation);
    assert_eq!(view(peer), before);
    let good = "candidate:1 1 udp 2130706431 10.0.0.9 9 typ host";
    peer.add_ice_candidate(now, Some(IceCandidate::new(good, Some("0".into()), None))).unwrap();
    peer.add_ice_candidate(
        now,
        Some(IceCandidate::new(format!("a={good} generation 0"), Some("0".into()), None)),
    )
    .unwrap();
}

#[test]
fn channels_that_are_not_there_are_refused() {
    let (mut call, _, channel) = connected();
    let (now, a, b) = (call.now(), call.a, call.b);
    let mut last = channel;
    for _ in 0..5 {
        last = call.peer(a).create_data_channel(now, ChannelInit::new("more")).unwrap();
    }
    let peer = call.peer(b);
    assert_eq!(peer.send(now, last, binary(body(0, 9))), Err(SendError::Closed));
    assert!(peer.poll_message(last).is_none() && peer.channel(last).is_none());
    peer.close_channel(now, last);
    peer.set_buffered_amount_low_threshold(last, 9);
    assert!(peer.poll_event().is_none());
    call.peer(a).close_channel(now, channel);
    call.peer(a).close_channel(now, channel);
    assert_eq!(call.peer(a).send(now, channel, binary(body(0, 9))), Err(SendError::Closed));
    assert!(call.run_until(5 * SECOND, |w, a, _| w.node(a).saw(&Event::ChannelClosed(channel))));
    call.run_for(SECOND);
    let closed = call.side(a).events.iter().filter(|event| **event == Event::ChannelClosed(channel)).count();
    assert_eq!(closed, 1);
}

#[test]
fn a_closed_connection_refuses_every_command() {
    let (mut call, video, channel) = connected();
    let (now, a) = (call.now(), call.a);
    call.peer(a).close(now);
    call.peer(a).close(now);
    for gone in [false, true] {
        if gone {
            call.run_for(SECOND);
            assert!(call.peer(a).is_closed());
        }
        let (now, peer) = (call.now(), call.peer(a));
        let state = ErrorKind::InvalidState;
        assert_eq!(kind(peer.create_offer(now, OfferOptions::default())), state);
        assert_eq!(kind(peer.create_answer(now)), state);
        assert_eq!(kind(peer.set_local_description(now, None)), state);
        assert_eq!(kind(peer.set_remote_description(now, SessionDescription::offer("v=0"))), state);
        assert_eq!(kind(peer.add_ice_candidate(now, None)), state);
        assert_eq!(kind(peer.add_track(now, TrackInfo::new("w", Kind::Video), vec![])), state);
        assert_eq!(kind(peer.remove_track(now, video)), state);
        assert_eq!(kind(peer.add_transceiver(now, Kind::Audio, TransceiverInit::default())), state);
        assert_eq!(kind(peer.set_direction(now, video, Direction::Inactive)), state);
        assert_eq!(kind(peer.stop_transceiver(now, video)), state);
        assert_eq!(kind(peer.set_codec_preferences(now, video, vec![])), state);
        assert_eq!(kind(peer.replace_track(now, video, None)), state);
        assert_eq!(kind(peer.send_frame(now, video, video_frame(0))), state);
        assert_eq!(kind(peer.send_rtp(now, video, rtp::Packet::default())), state);
        assert_eq!(kind(peer.create_data_channel(now, ChannelInit::new("y"))), state);
        assert_eq!(peer.send(now, channel, binary(body(0, 9))), Err(SendError::Closed));
        assert_eq!(peer.connection_state(), ConnectionState::Closed);
        assert_eq!(peer.signaling_state(), SignalingState::Closed);
        assert_eq!(peer.poll_timeout(), None);
    }
    // Nothing comes after the end, whatever is called.
    let events = call.side(a).events.clone();
    assert!(matches!(events.last(), Some(Event::Closed(_))), "{:?}", events.last());
    let now = call.now();
    let address = SocketAddr::from(([10, 0, 0, 1], PORT));
    let path = Path::udp(address, SocketAddr::from(([10, 0, 0, 2], PORT)));
    let peer = call.peer(a);
    peer.add_local_address(now, SocketAddr::from(([10, 0, 0, 3], PORT)));
    peer.remove_local_address(now, address);
    peer.handle_writable(path, false);
    peer.set_receive_mode(video, Mode::Packets);
    peer.request_keyframe(now, video);
    peer.close_channel(now, channel);
    peer.handle_datagram(Received { at: now, path, ecn: None }, BytesMut::from(&[22, 1, 2][..]));
    peer.handle_timeout(now + SECOND);
    peer.close(now);
    assert_eq!(peer.poll_event(), None);
    assert_eq!(peer.poll_transmit(now, 9, &mut Vec::new()), None);
    assert_eq!(peer.poll_timeout(), None);
    let _ = peer.stats(now);
}

#[test]
fn codec_preferences_hold_from_the_next_description_on() {
    let mut call = Call::new(44, lan());
    let (now, a) = (call.now(), call.a);
    let id = call.peer(a).add_transceiver(now, Kind::Video, TransceiverInit::default()).unwrap();
    call.peer(a).set_codec_preferences(now, id, vec![Codec::Vp8, Codec::Vp8]).unwrap();
    let offer = call.peer(a).create_offer(now, OfferOptions::default()).unwrap().sdp;
    assert!(offer.contains("m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n"), "each codec once: {offer}");
    call.peer(a).set_codec_preferences(now, id, vec![]).unwrap();
    call.negotiate(a);
    let codecs: Vec<_> =
        call.peer(a).transceiver(id).unwrap().send_codecs().iter().map(|codec| codec.codec).collect();
    assert_eq!(codecs, [Codec::Vp8]);
}

fn needed(call: &mut Call, id: taut_netsim::NodeId) -> usize {
    call.run_for(MS);
    call.side(id).events.iter().filter(|event| **event == Event::NegotiationNeeded).count()
}

#[test]
fn negotiation_needed_comes_once_and_again_after_an_exchange_that_left_something_undone() {
    let mut call = Call::new(45, lan());
    let (now, a, b) = (call.now(), call.a, call.b);
    assert_eq!(needed(&mut call, a), 0);
    call.peer(a).add_track(now, TrackInfo::new("1", Kind::Video), vec![]).unwrap();
    call.peer(a).add_track(now, TrackInfo::new("2", Kind::Audio), vec![]).unwrap();
    call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    assert_eq!(needed(&mut call, a), 1, "once for all");
    let offer = call.peer(a).create_offer(now, OfferOptions::default()).unwrap();
    call.peer(a).set_local_description(now, Some(offer.clone())).unwrap();
    call.peer(b).set_remote_description(now, offer).unwrap();
    call.peer(a).add_track(now, TrackInfo::new("3", Kind::Video), vec![]).unwrap();
    assert_eq!(needed(&mut call, a), 1, "not before the exchange has ended");
    call.peer(b).set_local_description(now, None).unwrap();
    let answer = call.peer(b).local_description().unwrap();
    call.peer(a).set_remote_description(now, answer).unwrap();
    assert_eq!(needed(&mut call, a), 2, "the third track was not in the offer");
    call.negotiate(a);
    assert_eq!(needed(&mut call, a), 2, "nothing is left undone");
    // What is taken back before it is offered is not needed; W3C tells it all the same.
    let now = call.now();
    let id = call.peer(a).transceivers().next().unwrap().id();
    call.peer(a).set_direction(now, id, Direction::RecvOnly).unwrap();
    assert_eq!(needed(&mut call, a), 3);
    call.peer(a).set_direction(now, id, Direction::SendRecv).unwrap();
    call.peer(a).set_direction(now, id, Direction::RecvOnly).unwrap();
    assert_eq!(needed(&mut call, a), 4);
    assert_eq!(needed(&mut call, b), 0);
    // A rollback ends an exchange too.
    let now = call.now();
    call.peer(a).set_local_description(now, None).unwrap();
    call.peer(a).set_local_description(now, Some(SessionDescription::rollback())).unwrap();
    assert_eq!(needed(&mut call, a), 5);
}

#[test]
fn media_leaves_only_for_a_track_in_an_agreed_direction() {
    let (mut call, video, _) = connected();
    let (a, b) = (call.a, call.b);
    let send = |call: &mut Call, side, id| {
        let now = call.now();
        call.peer(side).send_frame(now, id, video_frame(0)).map_err(|error| error.kind)
    };
    let remote = call.peer(b).transceivers().next().unwrap().id();
    assert_eq!(send(&mut call, a, video), Ok(()));
    assert_eq!(send(&mut call, b, remote), Err(ErrorKind::InvalidState), "it only receives");
    let now = call.now();
    // Without a track at once, with another one at once again, without negotiation.
    call.peer(a).replace_track(now, video, None).unwrap();
    assert_eq!(send(&mut call, a, video), Err(ErrorKind::InvalidState));
    call.peer(a).replace_track(now, video, Some(TrackInfo::new("other", Kind::Video))).unwrap();
    assert_eq!(send(&mut call, a, video), Ok(()));
    // A direction takes effect with the next exchange.
    call.peer(a).set_direction(now, video, Direction::Inactive).unwrap();
    assert_eq!(send(&mut call, a, video), Ok(()));
    call.negotiate(a);
    assert_eq!(send(&mut call, a, video), Err(ErrorKind::InvalidState));
    let now = call.now();
    call.peer(a).set_direction(now, video, Direction::SendRecv).unwrap();
    assert_eq!(send(&mut call, a, video), Err(ErrorKind::InvalidState));
    call.negotiate(a);
    assert_eq!(send(&mut call, a, video), Ok(()));
    let now = call.now();
    call.peer(a).remove_track(now, video).unwrap();
    assert_eq!(send(&mut call, a, video), Err(ErrorKind::InvalidState));
}

#[test]
fn a_stopped_transceiver_neither_sends_nor_receives() {
    let (mut call, video, _) = connected();
    let (now, a, b) = (call.now(), call.a, call.b);
    call.peer(a).send_frame(now, video, video_frame(0)).unwrap();
    call.run_for(SECOND);
    let remote = call.peer(b).transceivers().next().unwrap().id();
    assert_eq!(call.side(b).frames[&remote].len(), 1);
    let now = call.now();
    call.peer(a).stop_transceiver(now, video).unwrap();
    assert_eq!(kind(call.peer(a).send_frame(now, video, video_frame(1))), ErrorKind::InvalidState);
    assert_eq!(kind(call.peer(a).replace_track(now, video, None)), ErrorKind::InvalidState);
    assert_eq!(kind(call.peer(a).set_direction(now, video, Direction::SendOnly)), ErrorKind::InvalidState);
    assert_eq!(call.peer(a).transceiver(video).unwrap().direction(), Direction::Stopped);
    call.peer(a).stop_transceiver(now, video).unwrap();
    call.run_for(MS);
    assert!(call.side(a).saw(&Event::TrackEnded(video)));
    call.negotiate(a);
    call.run_for(SECOND);
    assert!(call.side(b).saw(&Event::TrackEnded(remote)), "the other side is told by the description");
    assert!(call.peer(a).transceiver(video).is_none() && call.peer(b).transceiver(remote).is_none());
    let ended = call.side(a).events.iter().filter(|event| **event == Event::TrackEnded(video)).count();
    assert_eq!(ended, 1);
}

#[test]
fn refused_data_ends_its_channels() {
    let mut call = Call::new(46, lan());
    let (now, a, b) = (call.now(), call.a, call.b);
    let channel = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    call.peer(a).add_track(now, TrackInfo::new("v", Kind::Video), vec![]).unwrap();
    call.peer(a).set_local_description(now, None).unwrap();
    let offer = call.peer(a).local_description().unwrap();
    // The other side has never heard of data channels.
    let strange = offer.sdp.replace("webrtc-datachannel", "something-else");
    call.peer(b).set_remote_description(now, SessionDescription::offer(strange)).unwrap();
    call.peer(b).set_local_description(now, None).unwrap();
    let answer = call.peer(b).local_description().unwrap();
    let answer = SessionDescription::answer(answer.sdp.replace("something-else", "webrtc-datachannel"));
    call.peer(a).set_remote_description(now, answer).unwrap();
    assert!(call.connect(5 * SECOND));
    assert!(call.side(a).saw(&Event::ChannelClosed(channel)));
    let now = call.now();
    assert_eq!(call.peer(a).send(now, channel, binary(body(0, 9))), Err(SendError::Closed));
    assert_eq!(kind(call.peer(a).create_data_channel(now, ChannelInit::new("y"))), ErrorKind::InvalidState);
    assert!(call.side(b).incoming().is_empty());
}

#[test]
fn the_machine_can_be_sent_between_threads() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<Peer>();
    check::<Event>();
    check::<Error>();
    check::<taut_peer::Config>();
    check::<taut_peer::StatsReport>();
}

/// A driver tells of paths that are full; of so many that it does not matter any more whether one is skipped.
#[test]
fn paths_that_are_blocked_are_bounded() {
    for (others, goes) in [(127, false), (128, true), (10_000, true)] {
        let (mut call, channel) = common::pair(14);
        let (now, a) = (call.now(), call.a);
        let local = SocketAddr::from(([10, 0, 0, 1], PORT));
        for number in 0..others {
            call.peer(a).handle_writable(Path::udp(local, common::stranger(number)), false);
        }
        let path = Path::udp(local, SocketAddr::from(([10, 0, 0, 2], PORT)));
        call.peer(a).handle_writable(path, false);
        call.peer(a).send(now, channel, binary(body(0, 9))).unwrap();
        assert_eq!(!common::take(&mut call, a).is_empty(), goes, "{others}");
    }
}
