//! What is sent needs the consent of both sides; and what a side does when it, or its clock, comes to an end.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use common::{Call, PORT, What, assert_alive, binary, body, client_hello, pair, true_peer, video_frame};
use taut_netsim::{Link, NodeId};
use taut_peer::{ChannelInit, CloseReason, ConnectionState, ErrorKind, Event, Kind, TrackInfo};
use taut_sansio::net::{Path, Received};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn no_media_leaves_before_both_descriptions_are_set() {
    let mut call = Call::new(31, Link::default().latency(10 * MS));
    let (now, a, b) = (call.now(), call.a, call.b);
    let video = call.peer(a).add_track(now, TrackInfo::new("v", Kind::Video), vec![]).unwrap();
    let id = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    call.peer(a).set_local_description(now, None).unwrap();
    let offer = call.peer(a).local_description().unwrap();
    call.peer(b).set_remote_description(now, offer).unwrap();
    call.peer(a).send(now, id, binary(body(0, 100))).unwrap();
    for _ in 0..50 {
        let now = call.now();
        assert_eq!(
            call.peer(a).send_frame(now, video, video_frame(0)).unwrap_err().kind,
            ErrorKind::InvalidState
        );
        call.run_for(100 * MS);
    }
    for side in [a, b] {
        assert!(
            call.side(side).sent.iter().all(|sent| sent.what == What::Stun),
            "before the callee answered"
        );
    }
    let now = call.now();
    call.peer(b).set_local_description(now, None).unwrap();
    let answer = call.peer(b).local_description().unwrap();
    call.peer(a).set_remote_description(now, answer).unwrap();
    assert!(call.connect(5 * SECOND));
    // The callee has added no track: connected as it is, it sends nothing.
    let theirs = call.peer(b).transceivers().next().unwrap().id();
    let now = call.now();
    assert_eq!(
        call.peer(b).send_frame(now, theirs, video_frame(0)).unwrap_err().kind,
        ErrorKind::InvalidState
    );
    call.run_for(SECOND);
    assert_eq!(call.side(b).count(What::Rtp), 0);
}

#[test]
fn data_channels_that_nobody_agreed_on_carry_nothing() {
    let mut call = Call::new(32, Link::default().latency(10 * MS));
    let (now, a, b) = (call.now(), call.a, call.b);
    call.peer(a).add_track(now, TrackInfo::new("v", Kind::Video), vec![]).unwrap();
    let id = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    // The offer's data section is hidden from b, and a is told that b took it.
    let hide = |sdp: String| sdp.replace("webrtc-datachannel", "nothing-known");
    let pretend = |sdp: String| {
        let (media, _) = sdp.split_once("m=application").expect("a rejected section");
        let line = |name: &str| {
            let line = media.lines().rev().find(|line| line.starts_with(name)).expect("of the first section");
            format!("{line}\r\n")
        };
        let shared: String = ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:"].map(line).concat();
        let media = media.replace("a=group:BUNDLE 0", "a=group:BUNDLE 0 1");
        format!(
            "{media}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n{shared}a=mid:1\r\na=sctp-port:5000\r\n"
        )
    };
    call.negotiate_changed(a, hide, pretend);
    assert!(call.connect(5 * SECOND));
    let now = call.now();
    call.peer(a).send(now, id, binary(body(0, 100))).unwrap();
    call.run_for(10 * SECOND);
    let dropped = call.peer(b).transport_stats().dropped_unrouted;
    assert!(dropped > 0, "the association is not even begun");
    assert!(call.side(b).incoming().is_empty() && call.side(b).message_count() == 0);
    assert!(!call.side(a).saw(&Event::ChannelOpen(id)));
    assert_eq!(call.peer(b).connection_state(), ConnectionState::Connected);
}

// ---- clocks and ends

#[test]
fn a_clock_that_jumps_is_survived() {
    let (mut call, id) = pair(33);
    let (now, b) = (call.now(), call.b);
    // Back: an older time counts as the newest one seen.
    let old = now.checked_sub(SECOND / 2).unwrap();
    call.peer(b).handle_timeout(old);
    let local = SocketAddr::from(([10, 0, 0, 2], PORT));
    let meta = Received { at: old, path: Path::udp(local, true_peer()), ecn: None };
    call.peer(b).handle_datagram(meta, BytesMut::from(&client_hello()[..]));
    assert!(call.peer(b).poll_timeout().is_none_or(|due| due >= old));
    assert_alive(&mut call, id);
    // A little ahead: the timers come early, nothing more.
    let now = call.now();
    call.peer(b).handle_timeout(now + 2 * SECOND);
    call.run_for(3 * SECOND);
    assert_alive(&mut call, id);
    // A day ahead: consent has run out, and the states say so; no timer stays in the past.
    let later = call.now() + 86_400 * SECOND;
    for _ in 0..1_000 {
        call.peer(b).handle_timeout(later);
        let mut out = Vec::new();
        while call.peer(b).poll_transmit(later, 1, &mut out).is_some() {}
        while call.peer(b).poll_event().is_some() {}
        if call.peer(b).poll_timeout().is_none_or(|due| due > later) {
            break;
        }
    }
    assert!(call.peer(b).poll_timeout().is_none_or(|due| due > later), "a timer stays in the past");
    assert_ne!(call.peer(b).connection_state(), ConnectionState::Connected);
}

fn closed(call: &mut Call, side: NodeId) -> usize {
    call.side(side).events.iter().filter(|event| matches!(event, Event::Closed(_))).count()
}

#[test]
fn both_sides_may_close_at_once() {
    let (mut call, _) = pair(34);
    let (now, a, b) = (call.now(), call.a, call.b);
    call.peer(a).close(now);
    call.peer(b).close(now);
    call.run_for(SECOND);
    for side in [a, b] {
        assert!(call.peer(side).is_closed());
        assert_eq!(closed(&mut call, side), 1);
        assert_eq!(call.side(side).events.last(), Some(&Event::Closed(CloseReason::Local)));
        assert_eq!(call.peer(side).poll_timeout(), None);
    }
}

#[test]
fn closing_in_every_phase_ends_at_once() {
    let mut phases = std::collections::BTreeSet::new();
    for step in 0..60u32 {
        for side_closes in [true, false] {
            let mut call = Call::new(35, Link::default().latency(10 * MS));
            let (now, a, b) = (call.now(), call.a, call.b);
            let closing = if side_closes { a } else { b };
            call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
            call.peer(a).add_track(now, TrackInfo::new("v", Kind::Video), vec![]).unwrap();
            if step == 1 {
                call.peer(a).set_local_description(now, None).unwrap();
            }
            if step > 1 {
                call.negotiate(a);
                call.run_for((step - 2) * 3 * MS);
            }
            let (now, peer) = (call.now(), call.peer(closing));
            let dtls = peer.stats(now).transport().map(|transport| transport.dtls_state);
            phases.insert(format!("{:?} {dtls:?}", peer.ice_connection_state()));
            peer.close(now);
            call.run_for(100 * MS);
            assert!(call.peer(closing).is_closed(), "step {step}");
            assert_eq!(closed(&mut call, closing), 1, "step {step}");
            assert_eq!(call.peer(closing).poll_timeout(), None, "step {step}");
            let now = call.now();
            assert_eq!(call.peer(closing).poll_transmit(now, 1, &mut Vec::new()), None);
            // The other side learns it by the goodbye, or as its checks fail or consent runs out.
            if step > 1 {
                let other = if side_closes { b } else { a };
                let done = call.run_until(90 * SECOND, |w, _, _| {
                    let state = w.node(other).peer.connection_state();
                    matches!(state, ConnectionState::Closed | ConnectionState::Failed)
                });
                assert!(done, "step {step}: {:?}", call.peer(other).connection_state());
            }
        }
    }
    assert!(phases.len() >= 4, "the phases that were met: {phases:?}");
}
