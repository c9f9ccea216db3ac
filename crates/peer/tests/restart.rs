//! ICE restarts of whole connections (RFC 8445 section 9, W3C `restartIce`): media and data go on, failures are left behind.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Call, What, binary, body, pair};
use taut_netsim::{Link, Loss, NodeId};
use taut_peer::{
    ChannelId, Codec, ConnectionState, Event, Frame, IceConnectionState, OfferOptions, SessionDescription,
    SignalingState, TransceiverId,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// The seeds of a test of many networks; `TAUT_SEEDS` says how many, if not `default`.
fn seeds(default: u64) -> std::ops::Range<u64> {
    0..std::env::var("TAUT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn ufrag(call: &mut Call, id: NodeId) -> String {
    let sdp = call.peer(id).local_description().expect("a description").sdp;
    let line = sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).expect("a ufrag");
    line.to_owned()
}

/// Asks for a restart and does the exchange that is needed then.
fn restart(call: &mut Call, from: NodeId) {
    let now = call.now();
    call.peer(from).restart_ice(now);
    call.run_for(Duration::ZERO);
    assert!(call.side(from).events.contains(&Event::NegotiationNeeded));
    call.negotiate(from);
}

fn handshakes(call: &mut Call) -> [usize; 2] {
    // Records of the handshake have the content type 22; all DTLS of a finished handshake here is data.
    [call.a, call.b].map(|id| call.side(id).count(What::Dtls))
}

/// Sends messages and frames for a while, and what of them comes counts.
struct Load {
    channel: ChannelId,
    video: TransceiverId,
    messages: usize,
    frames: usize,
}

impl Load {
    fn new(call: &mut Call, channel: ChannelId) -> Self {
        let a = call.a;
        let video = call.peer(a).transceivers().next().expect("a transceiver").id();
        Self { channel, video, messages: 0, frames: 0 }
    }

    /// For a third of a second: ten frames and twenty messages.
    fn step(&mut self, call: &mut Call) {
        let a = call.a;
        for _ in 0..10 {
            let now = call.now();
            call.peer(a).send_frame(now, self.video, key_frame(self.frames)).expect("a frame is sent");
            self.frames += 1;
            for _ in 0..2 {
                let message = binary(body(self.messages, 500));
                call.peer(a).send(now, self.channel, message).expect("there is room");
                self.messages += 1;
            }
            call.run_for(33 * MS);
        }
    }

    /// Every message came, once and in order.
    fn assert_complete(&self, call: &mut Call) {
        let wanted = self.messages;
        let b = call.b;
        let done = call.run_until(60 * SECOND, |world, _, b| world.node(b).message_count() >= wanted);
        assert!(done, "{} of {wanted} messages", call.side(b).message_count());
        let got: Vec<_> =
            call.side(b).messages.values().flatten().map(|message| message.data.clone()).collect();
        let sent: Vec<_> = (0..wanted).map(|number| body(number, 500)).collect();
        assert!(got == sent, "each once and in order");
    }
}

/// A frame that needs no other: none waits for one that is lost.
fn key_frame(number: usize) -> Frame {
    let mut data = body(number, 3_000).to_vec();
    data[0] = 0x10;
    Frame::new(Codec::Vp8, data, Duration::from_millis(33 * number as u64))
}

fn received_frames(call: &mut Call) -> usize {
    let b = call.b;
    call.side(b).frames.values().map(Vec::len).sum()
}

#[test]
fn a_restart_under_load_with_loss_loses_no_message_and_media_goes_on() {
    for seed in seeds(100) {
        let (mut call, channel) = pair(seed);
        let mut load = Load::new(&mut call, channel);
        call.world.set_default_link(Link::default().latency(20 * MS).jitter(5 * MS).loss(Loss::Random(0.05)));
        load.step(&mut call);
        let from = if seed % 2 == 0 { call.a } else { call.b };
        let (a, b) = (call.a, call.b);
        let before = [a, b].map(|id| ufrag(&mut call, id));
        restart(&mut call, from);
        let frames = received_frames(&mut call);
        for _ in 0..3 {
            load.step(&mut call);
        }
        let after = [a, b].map(|id| ufrag(&mut call, id));
        assert!(before[0] != after[0] && before[1] != after[1], "seed {seed}");
        let came = received_frames(&mut call) - frames;
        assert!(came >= 20, "seed {seed}: media goes on, {came} frames came");
        load.assert_complete(&mut call);
        call.run_for(5 * SECOND);
        for id in [a, b] {
            let wrong = call.side(id).events.iter().any(|event| {
                matches!(
                    event,
                    Event::ConnectionStateChange(ConnectionState::Failed | ConnectionState::Disconnected)
                )
            });
            assert!(!wrong, "seed {seed}");
            assert_eq!(call.peer(id).connection_state(), ConnectionState::Connected, "seed {seed}");
            let now = call.now();
            let stats = call.peer(id).stats(now);
            let transport = stats.transport().expect("an entry");
            assert_eq!(transport.ice_local_username_fragment, ufrag(&mut call, id));
            let pair = stats.selected_pair().expect("a pair");
            assert!(
                pair.local_candidate_id.ends_with(&ufrag(&mut call, id)),
                "seed {seed}: of the new generation"
            );
        }
    }
}

#[test]
fn restarts_through_outages_lose_no_message() {
    for seed in seeds(20) {
        let (mut call, channel) = pair(seed);
        let mut load = Load::new(&mut call, channel);
        let mut draw = taut_sansio::rng::Rng::from_u64(seed ^ 0x10ad);
        let link = Link::default()
            .latency(draw.below(60) * MS)
            .jitter(10 * MS)
            .loss(Loss::Random(draw.unit() * 0.1))
            .reorder(0.05, 20 * MS)
            .duplicate(0.05);
        for _ in 0..3 {
            call.world.set_default_link(link.clone());
            load.step(&mut call);
            call.world.set_default_link(link.clone().loss(Loss::Random(1.0)));
            // In the first second, before anything is noticed, or after it.
            call.run_for(draw.below(12_000) * MS);
            let from = if draw.below(2) == 0 { call.a } else { call.b };
            restart(&mut call, from);
            call.run_for(draw.below(8_000) * MS);
            call.world.set_default_link(link.clone());
            assert!(call.connect(30 * SECOND), "seed {seed}");
        }
        load.step(&mut call);
        load.assert_complete(&mut call);
        let frames = received_frames(&mut call);
        load.step(&mut call);
        assert!(received_frames(&mut call) > frames, "seed {seed}: media goes on");
    }
}

#[test]
fn both_sides_restart_at_once_and_one_gives_way() {
    for seed in seeds(100) {
        let (mut call, channel) = pair(seed);
        let mut load = Load::new(&mut call, channel);
        let (now, a, b) = (call.now(), call.a, call.b);
        let before = [a, b].map(|id| ufrag(&mut call, id));
        // The descriptions have the candidates, and those of the offer that is taken back are of no use.
        call.trickle = false;
        for id in [a, b] {
            call.peer(id).restart_ice(now);
            call.peer(id).set_local_description(now, None).expect("an offer");
        }
        call.run_for(30 * MS);
        // a is polite: it takes its own offer back.
        let now = call.now();
        let offer = call.peer(b).local_description().expect("an offer");
        call.peer(a).set_remote_description(now, offer).expect("its own is rolled back");
        assert_eq!(ufrag(&mut call, a), before[0], "for now");
        call.peer(a).set_local_description(now, None).expect("an answer");
        let answer = call.peer(a).local_description().expect("an answer");
        call.run_for((seed % 60) as u32 * MS);
        let now = call.now();
        call.peer(b).set_remote_description(now, answer).expect("an answer");
        load.step(&mut call);
        load.assert_complete(&mut call);
        let after = [a, b].map(|id| ufrag(&mut call, id));
        assert!(before[0] != after[0] && before[1] != after[1], "seed {seed}");
        for id in [a, b] {
            assert_eq!(call.peer(id).connection_state(), ConnectionState::Connected);
            assert_eq!(call.peer(id).signaling_state(), SignalingState::Stable);
        }
        assert!(received_frames(&mut call) >= 8, "seed {seed}");
    }
}

#[test]
fn a_connection_that_failed_comes_back_without_a_handshake() {
    for seed in 0..10 {
        let (mut call, channel) = pair(seed);
        let mut load = Load::new(&mut call, channel);
        load.step(&mut call);
        load.assert_complete(&mut call);
        let (a, b) = (call.a, call.b);
        let link = Link::default().latency(10 * MS);
        call.world.set_default_link(link.clone().loss(Loss::Random(1.0)));
        let failed = |state| state == ConnectionState::Failed;
        assert!(call.run_until(60 * SECOND, |w, a, b| {
            failed(w.node(a).peer.connection_state()) && failed(w.node(b).peer.connection_state())
        }));
        call.world.set_default_link(link);
        call.run_for(SECOND);
        for id in [a, b] {
            call.side(id).events.clear();
        }
        let from = if seed % 2 == 0 { a } else { b };
        let before = handshakes(&mut call);
        restart(&mut call, from);
        assert!(call.connect(2 * SECOND), "seed {seed}");
        for id in [a, b] {
            let states: Vec<_> = call
                .side(id)
                .events
                .iter()
                .filter_map(
                    |e| if let Event::IceConnectionStateChange(state) = e { Some(*state) } else { None },
                )
                .collect();
            assert_eq!(states[..1], [IceConnectionState::Checking], "seed {seed}");
            assert!(matches!(
                states.last(),
                Some(IceConnectionState::Connected | IceConnectionState::Completed)
            ));
        }
        // What travels under DTLS now is data alone: a handshake would take more.
        let after = handshakes(&mut call);
        assert!(after.iter().zip(before).all(|(after, before)| after - before < 12), "{before:?} {after:?}");
        load.step(&mut call);
        load.assert_complete(&mut call);
        assert!(received_frames(&mut call) > 10, "seed {seed}");
    }
}

#[test]
fn a_message_sent_while_there_is_no_way_arrives_after_the_restart() {
    let (mut call, channel) = pair(7);
    let mut load = Load::new(&mut call, channel);
    let link = Link::default().latency(10 * MS);
    call.world.set_default_link(link.clone().loss(Loss::Random(1.0)));
    call.run_for(10 * SECOND);
    let a = call.a;
    assert_eq!(call.peer(a).connection_state(), ConnectionState::Disconnected);
    load.step(&mut call);
    call.world.set_default_link(link);
    restart(&mut call, a);
    assert!(call.connect(2 * SECOND));
    load.assert_complete(&mut call);
}

#[test]
fn a_rolled_back_restart_changes_nothing() {
    let (mut call, channel) = pair(8);
    let (now, a, b) = (call.now(), call.a, call.b);
    let before = ufrag(&mut call, a);
    let offer = call.peer(a).create_offer(now, OfferOptions::default().with_ice_restart(true)).unwrap();
    assert!(!offer.sdp.contains(&before));
    call.peer(a).set_local_description(now, Some(offer.clone())).unwrap();
    assert_ne!(ufrag(&mut call, a), before);
    call.peer(b).set_remote_description(now, offer).unwrap();
    call.run_for(SECOND);
    for id in [a, b] {
        let now = call.now();
        call.peer(id).set_local_description(now, Some(SessionDescription::rollback())).unwrap();
    }
    assert_eq!(ufrag(&mut call, a), before);
    let current = call.peer(a).current_local_description().unwrap().sdp;
    assert!(current.contains("typ host") && current.contains(&before), "with its candidates");
    call.run_for(60 * SECOND);
    let mut load = Load::new(&mut call, channel);
    load.step(&mut call);
    load.assert_complete(&mut call);
    for id in [a, b] {
        assert_eq!(call.peer(id).connection_state(), ConnectionState::Connected);
    }
    // And the next exchange, which is no restart, keeps the old ones.
    call.negotiate(b);
    assert_eq!(ufrag(&mut call, a), before);
}

#[test]
fn candidates_of_a_restart_are_told_with_its_ufrag_and_end_again() {
    let (mut call, _) = pair(9);
    let a = call.a;
    call.side(a).events.clear();
    restart(&mut call, a);
    call.run_for(SECOND);
    let ours = ufrag(&mut call, a);
    let candidates: Vec<_> = call
        .side(a)
        .events
        .iter()
        .filter_map(
            |event| if let Event::IceCandidate(candidate) = event { Some(candidate.clone()) } else { None },
        )
        .collect();
    let [Some(udp), Some(tcp), None] = &candidates[..] else {
        panic!("one, its twin over TCP, and the end: {candidates:?}")
    };
    assert_eq!((&udp.username_fragment, &tcp.username_fragment), (&Some(ours.clone()), &Some(ours)));
}
