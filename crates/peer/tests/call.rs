//! Whole calls between two peers in a simulated network.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Call, audio_frame, binary, body, video_frame};
use taut_netsim::{Link, Loss};
use taut_peer::{
    ChannelInit, ChannelState, ConnectionState, Direction, Event, IceConnectionState, Kind, Message,
    MessageKind, OfferOptions, SignalingState, TrackInfo, TransceiverId,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn lan() -> Link {
    Link::default().latency(10 * MS)
}

fn text(text: &str) -> Message {
    Message { kind: MessageKind::Text, data: Bytes::copy_from_slice(text.as_bytes()) }
}

fn channel(call: &mut Call, label: &str) -> taut_peer::ChannelId {
    let (now, a) = (call.now(), call.a);
    call.peer(a).create_data_channel(now, ChannelInit::new(label)).unwrap()
}

#[test]
fn a_data_channel_opens_carries_messages_both_ways_and_closes() {
    let mut call = Call::new(1, lan());
    let (a, b) = (call.a, call.b);
    let id = channel(&mut call, "chat");
    let now = call.now();
    call.peer(a).send(now, id, text("sent before anything was negotiated")).unwrap();
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    assert!(call.run_until(5 * SECOND, |w, _, b| w.node(b).message_count() == 1));
    let remote = call.side(b).incoming()[0];
    {
        let channel = call.peer(b).channel(remote).unwrap();
        assert_eq!(channel.label(), "chat");
        assert!(channel.ordered());
    }
    let now = call.now();
    call.peer(b).send(now, remote, text("")).unwrap();
    call.peer(b).send(now, remote, binary(body(7, 200_000))).unwrap();
    assert!(call.run_until(5 * SECOND, |w, a, _| w.node(a).message_count() == 2));
    assert_eq!(call.side(a).messages[&id][0], text(""));
    assert_eq!(call.side(a).messages[&id][1], binary(body(7, 200_000)));

    let now = call.now();
    call.peer(a).close_channel(now, id);
    assert!(call.run_until(5 * SECOND, |w, a, b| {
        w.node(a).saw(&Event::ChannelClosed(id)) && w.node(b).saw(&Event::ChannelClosed(remote))
    }));
    let state = call.peer(b).channel(remote).map(|channel| channel.state());
    assert!(matches!(state, None | Some(ChannelState::Closed)));
}

#[test]
fn closing_is_seen_by_both_sides_and_ends_everything() {
    let mut call = Call::new(2, lan());
    let (a, b) = (call.a, call.b);
    channel(&mut call, "x");
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    let now = call.now();
    call.peer(a).close(now);
    assert!(call.run_until(5 * SECOND, |w, a, b| w.node(a).peer.is_closed() && w.node(b).peer.is_closed()));
    for id in [a, b] {
        assert_eq!(call.peer(id).connection_state(), ConnectionState::Closed);
        assert_eq!(call.peer(id).poll_timeout(), None);
        assert_eq!(call.peer(id).signaling_state(), SignalingState::Closed);
        assert!(matches!(call.side(id).events.last(), Some(Event::Closed(_))));
    }
    let now = call.now();
    assert!(call.peer(a).create_offer(now, OfferOptions::default()).is_err());
}

fn add_tracks(call: &mut Call) -> (TransceiverId, TransceiverId) {
    let (now, a) = (call.now(), call.a);
    let streams = || vec!["stream".to_owned()];
    let video = call.peer(a).add_track(now, TrackInfo::new("video-track", Kind::Video), streams()).unwrap();
    let audio = call.peer(a).add_track(now, TrackInfo::new("audio-track", Kind::Audio), streams()).unwrap();
    (video, audio)
}

fn send_media(call: &mut Call, video: TransceiverId, audio: TransceiverId, frames: usize) {
    let a = call.a;
    for number in 0..frames {
        let now = call.now();
        call.peer(a).send_frame(now, video, video_frame(number)).unwrap();
        call.peer(a).send_frame(now, audio, audio_frame(number)).unwrap();
        call.run_for(20 * MS);
    }
}

#[test]
fn frames_of_audio_and_video_arrive_whole_and_in_order() {
    let mut call = Call::new(3, lan());
    let (a, b) = (call.a, call.b);
    let (video, audio) = add_tracks(&mut call);
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    let tracks: Vec<(TransceiverId, String, Vec<String>)> = call
        .side(b)
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Track { transceiver, track_id, streams } => {
                Some((*transceiver, track_id.clone(), streams.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(tracks.len(), 2);
    assert_eq!((tracks[0].1.as_str(), tracks[1].1.as_str()), ("video-track", "audio-track"));
    assert!(tracks.iter().all(|(_, _, streams)| streams == &["stream"]));
    send_media(&mut call, video, audio, 60);
    call.run_for(SECOND);
    let received = &call.side(b).frames;
    let (video, audio) = (&received[&tracks[0].0], &received[&tracks[1].0]);
    assert_eq!((video.len(), audio.len()), (60, 60));
    for (number, frame) in video.iter().enumerate() {
        assert_eq!(frame.data, video_frame(number).data, "frame {number}");
        assert_eq!(frame.keyframe, number.is_multiple_of(30));
        assert!(frame.contiguous);
    }
    for (number, frame) in audio.iter().enumerate() {
        assert_eq!(frame.data, audio_frame(number).data);
    }
}

#[test]
fn lost_video_is_repaired_by_retransmission() {
    let link = Link::default().latency(20 * MS).loss(Loss::Random(0.05));
    let mut call = Call::new(4, link);
    let (a, b) = (call.a, call.b);
    let (video, audio) = add_tracks(&mut call);
    call.negotiate(a);
    assert!(call.connect(10 * SECOND));
    send_media(&mut call, video, audio, 100);
    call.run_for(2 * SECOND);
    let remote = call.peer(b).transceivers().next().unwrap().id();
    let frames = &call.side(b).frames[&remote];
    let complete = frames.iter().filter(|frame| frame.contiguous).count();
    assert!(frames.len() >= 98 && complete >= 95, "{} frames, {complete} without a gap", frames.len());
}

#[test]
fn either_side_renegotiates_while_data_flows() {
    let mut call = Call::new(5, lan());
    let (a, b) = (call.a, call.b);
    let id = channel(&mut call, "x");
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    let now = call.now();
    let theirs =
        call.peer(b).add_track(now, TrackInfo::new("from-b", Kind::Video), vec!["s".into()]).unwrap();
    call.run_for(MS);
    assert!(call.side(b).saw(&Event::NegotiationNeeded));
    call.negotiate(b);
    call.run_for(100 * MS);
    assert!(
        call.side(a)
            .events
            .iter()
            .any(|e| matches!(e, Event::Track { track_id, .. } if track_id == "from-b"))
    );
    let now = call.now();
    call.peer(b).send_frame(now, theirs, video_frame(0)).unwrap();
    call.peer(a).send(now, id, text("still here")).unwrap();
    assert!(
        call.run_until(5 * SECOND, |w, a, b| !w.node(a).frames.is_empty() && w.node(b).message_count() == 1)
    );

    // The first side answers by sending on the same transceiver, and removes it again.
    let now = call.now();
    let ours = call.peer(a).add_track(now, TrackInfo::new("from-a", Kind::Video), vec![]).unwrap();
    assert_eq!(call.peer(a).transceivers().count(), 1, "the free transceiver is used");
    call.negotiate(a);
    assert_eq!(call.peer(a).transceiver(ours).unwrap().current_direction(), Some(Direction::SendRecv));
    let now = call.now();
    call.peer(a).send_frame(now, ours, video_frame(0)).unwrap();
    assert!(call.run_until(5 * SECOND, |w, _, b| !w.node(b).frames.is_empty()));
    let now = call.now();
    call.peer(a).remove_track(now, ours).unwrap();
    call.negotiate(a);
    call.run_for(MS);
    assert!(call.side(b).saw(&Event::TrackMuted(theirs)));
    assert!(call.peer(a).transceiver(ours).unwrap().current_direction() == Some(Direction::RecvOnly));
}

#[test]
fn glare_is_resolved_by_rollback() {
    let mut call = Call::new(6, lan());
    let (a, b) = (call.a, call.b);
    channel(&mut call, "x");
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    let now = call.now();
    call.peer(a).add_track(now, TrackInfo::new("a", Kind::Video), vec![]).unwrap();
    call.peer(b).add_track(now, TrackInfo::new("b", Kind::Audio), vec![]).unwrap();
    call.peer(a).set_local_description(now, None).unwrap();
    call.peer(b).set_local_description(now, None).unwrap();
    let offer_of_a = call.peer(a).local_description().unwrap();
    // b is polite: the offer of a rolls its own back.
    call.peer(b).set_remote_description(now, offer_of_a).unwrap();
    assert_eq!(call.peer(b).signaling_state(), SignalingState::HaveRemoteOffer);
    call.peer(b).set_local_description(now, None).unwrap();
    let answer = call.peer(b).local_description().unwrap();
    call.peer(a).set_remote_description(now, answer).unwrap();
    call.run_for(MS);
    assert!(call.side(b).saw(&Event::NegotiationNeeded), "what b wanted is still wanted");
    call.negotiate(b);
    assert_eq!(call.peer(a).transceivers().count(), 2);
    assert_eq!(call.peer(b).transceivers().count(), 2);
}

#[test]
fn an_outage_is_reported_and_after_thirty_seconds_final() {
    let mut call = Call::new(7, lan());
    let (a, b) = (call.a, call.b);
    channel(&mut call, "x");
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    call.run_for(3 * SECOND);
    call.world.set_default_link(lan().loss(Loss::Random(1.0)));
    call.world.set_link(a, b, lan().loss(Loss::Random(1.0)));
    call.world.set_link(b, a, lan().loss(Loss::Random(1.0)));
    let began = call.now();
    assert!(call.run_until(15 * SECOND, |w, a, _| {
        w.node(a).peer.connection_state() == ConnectionState::Disconnected
    }));
    assert!(call.run_until(35 * SECOND, |w, a, b| {
        [a, b].iter().all(|&id| w.node(id).peer.ice_connection_state() == IceConnectionState::Failed)
    }));
    let took = call.now() - began;
    assert!(took >= 24 * SECOND && took <= 36 * SECOND, "{took:?}");
    assert_eq!(call.peer(a).connection_state(), ConnectionState::Failed);
}

#[test]
fn an_outage_of_ten_seconds_loses_no_message() {
    let mut call = Call::new(8, lan());
    let (a, b) = (call.a, call.b);
    let id = channel(&mut call, "x");
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    call.world.set_link(a, b, lan().loss(Loss::Random(1.0)));
    call.world.set_link(b, a, lan().loss(Loss::Random(1.0)));
    for number in 0..50 {
        let now = call.now();
        call.peer(a).send(now, id, binary(body(number, 5_000))).unwrap();
        call.run_for(200 * MS);
    }
    call.world.set_link(a, b, lan());
    call.world.set_link(b, a, lan());
    assert!(call.run_until(60 * SECOND, |w, _, b| w.node(b).message_count() == 50));
    assert_eq!(call.peer(a).connection_state(), ConnectionState::Connected);
}

/// Enough for losses to hit every phase of the association, few enough for 200 seeds in a debug build.
const MESSAGES: usize = 24;

/// One whole life on a bad network: connect, reliable messages both ways, close.
fn life(seed: u64) {
    let loss = (seed % 21) as f64 / 100.0;
    let link = Link::default()
        .latency(Duration::from_millis(1 + seed * 7 % 150))
        .jitter(Duration::from_millis(seed % 20))
        .loss(Loss::Random(loss))
        .reorder((seed % 5) as f64 / 50.0, 30 * MS)
        .duplicate((seed % 7) as f64 / 100.0);
    let mut call = Call::new(seed, link);
    let (a, b) = (call.a, call.b);
    let id = channel(&mut call, "reliable");
    call.negotiate(a);
    assert!(call.connect(30 * SECOND), "seed {seed}: not connected at {loss} loss");
    for number in 0..MESSAGES {
        let now = call.now();
        call.peer(a).send(now, id, binary(body(number, 1 + (number * 997) % 10_000))).unwrap();
    }
    let arrived = call.run_until(600 * SECOND, |w, _, b| w.node(b).message_count() == MESSAGES);
    assert!(arrived, "seed {seed}: {} of {MESSAGES} messages", call.side(b).message_count());
    let remote = call.side(b).incoming()[0];
    for number in 0..MESSAGES {
        let expected = binary(body(number, 1 + (number * 997) % 10_000));
        assert_eq!(call.side(b).messages[&remote][number], expected, "seed {seed}: message {number}");
    }
    let now = call.now();
    call.peer(a).close_channel(now, id);
    let closed = call.run_until(300 * SECOND, |w, a, b| {
        w.node(a).saw(&Event::ChannelClosed(id)) && w.node(b).saw(&Event::ChannelClosed(remote))
    });
    assert!(closed, "seed {seed}: the channel does not close");
    let now = call.now();
    call.peer(a).close(now);
    call.peer(b).close(now);
    let ended =
        call.run_until(5 * SECOND, |w, a, b| w.node(a).peer.is_closed() && w.node(b).peer.is_closed());
    assert!(ended, "seed {seed}: the connection does not close");
}

#[test]
fn two_hundred_bad_networks() {
    for seed in 0..200 {
        life(seed);
    }
}

#[test]
fn a_forwarded_packet_keeps_the_size_that_its_sender_chose() {
    let mut call = Call::new(9, lan());
    let (a, b) = (call.a, call.b);
    let (video, _) = add_tracks(&mut call);
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    let remote = call.peer(b).transceivers().next().unwrap().id();
    call.peer(b).set_receive_mode(remote, taut_peer::Mode::Packets);
    let mut payload = vec![7; 1_250];
    payload[0] = 0x10;
    let packet = taut_peer::rtp::Packet {
        marker: true,
        payload_type: taut_peer::rtp::PayloadType::new(96),
        sequence: taut_peer::rtp::SequenceNumber::new(1),
        timestamp: 2,
        ssrc: taut_peer::rtp::Ssrc::new(3),
        csrc: Vec::new(),
        extensions: taut_peer::rtp::Extensions::default(),
        padding: 0,
        payload: Bytes::from(payload.clone()),
    };
    let now = call.now();
    call.peer(a).send_rtp(now, video, packet).unwrap();
    call.run_for(100 * MS);
    assert_eq!(call.peer(b).poll_rtp(remote).map(|packet| packet.payload), Some(Bytes::from(payload)));
}

/// What a side has to send at once: the sizes of the datagrams of each batch.
fn batches(call: &mut Call, id: taut_netsim::NodeId) -> Vec<Vec<usize>> {
    let now = call.now();
    let mut batches = Vec::new();
    let mut out = Vec::new();
    while let Some(transmit) = call.peer(id).poll_transmit(now, 64, &mut out) {
        let size = transmit.segment_size.unwrap_or(transmit.len);
        batches.push(out.chunks(size).map(<[u8]>::len).collect());
        out.clear();
    }
    batches
}

#[test]
fn messages_of_one_size_leave_in_one_batch_and_none_is_cut_for_it() {
    let mut call = Call::new(61, Link::default());
    let a = call.a;
    let id = channel(&mut call, "bulk");
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    call.run_for(SECOND);
    let now = call.now();
    for _ in 0..8 {
        call.peer(a).send(now, id, binary(body(1, 1_000))).unwrap();
    }
    let sent = batches(&mut call, a);
    let full = sent.iter().find(|batch| batch.len() > 1).expect("a batch");
    assert_eq!(full.len(), 8, "{sent:?}");
    assert!(full.iter().all(|len| *len == full[0] && *len < 1_100), "{sent:?}");

    call.run_for(SECOND);
    let now = call.now();
    call.peer(a).send(now, id, binary(body(2, 1_000))).unwrap();
    call.peer(a).send(now, id, binary(body(3, 5_000))).unwrap();
    let sent = batches(&mut call, a);
    let data: Vec<_> = sent.iter().filter(|batch| batch.iter().any(|len| *len > 1_000)).collect();
    assert_eq!(data[0].len(), 1, "what follows would have been cut: {sent:?}");
    assert!(data[1][0] > 1_150, "{sent:?}");
}
