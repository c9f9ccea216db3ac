//! Exchanges between two of ours: what is agreed, and what changes of it.

use taut_media::Codec;
use taut_sdp::Attribute;

use super::*;
use crate::transceiver::{Direction, TransceiverInit};

fn has(effects: &[Effect], wanted: impl Fn(&Effect) -> bool) -> bool {
    effects.iter().any(wanted)
}

#[test]
fn audio_video_and_data() {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    a.track("cam", Kind::Video);
    a.signaling.want_data_channel();
    assert!(a.signaling.negotiation_needed());
    b.track("mic", Kind::Audio);
    let (at_a, at_b) = exchange(&mut a, &mut b);
    assert!(!a.signaling.negotiation_needed() && !b.signaling.negotiation_needed());
    let directions: Vec<_> = a.signaling.transceivers().map(|t| t.current_direction()).collect();
    assert_eq!(directions, [Some(Direction::SendRecv), Some(Direction::SendOnly)]);
    assert!(has(
        &at_a,
        |e| matches!(e, Effect::Data(Some(data)) if data.port == 5000 && data.max_message_size == 262_144)
    ));
    assert!(has(&at_b, |e| matches!(e, Effect::Data(Some(_)))));
    let tracks = |effects: &[Effect]| effects.iter().filter(|e| matches!(e, Effect::Track { .. })).count();
    assert_eq!((tracks(&at_a), tracks(&at_b)), (1, 2));
    let role = |effects: &[Effect]| {
        effects
            .iter()
            .find_map(|e| if let Effect::Transport(t) = e { Some((t.ice_role, t.dtls_role)) } else { None })
    };
    assert_eq!(role(&at_a), Some((taut_ice::Role::Controlling, dtls::Role::Server)));
    assert_eq!(role(&at_b), Some((taut_ice::Role::Controlled, dtls::Role::Client)));
}

#[test]
fn the_version_grows_with_every_description() {
    let (mut a, _) = pair();
    a.track("mic", Kind::Audio);
    let (one, two) = (parse(&a.offer()), parse(&a.offer()));
    assert_eq!(one.origin.session_id, two.origin.session_id);
    assert_eq!(one.origin.session_version + 1, two.origin.session_version);
}

#[test]
fn either_side_renegotiates() {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    exchange(&mut a, &mut b);
    b.track("cam", Kind::Video);
    assert!(b.signaling.negotiation_needed() && !a.signaling.negotiation_needed());
    let (at_b, at_a) = exchange(&mut b, &mut a);
    assert!(!has(&at_b, |e| matches!(e, Effect::Transport(_) | Effect::Gather)));
    assert!(has(&at_a, |e| matches!(e, Effect::Track { .. })));
    // The roles in DTLS stay, whoever offers.
    let setups: Vec<_> = parse(&a.signaling.local_description(&a.local).expect("an answer"))
        .media
        .iter()
        .filter_map(|m| m.setup())
        .collect();
    assert_eq!(setups, [taut_sdp::Setup::Passive; 2]);
    exchange(&mut a, &mut b);
    assert_eq!(a.signaling.transceivers().count(), 2);
}

#[test]
fn directions_change_and_tracks_are_muted() {
    let (mut a, mut b) = pair();
    let id = a.track("mic", Kind::Audio);
    b.track("mic", Kind::Audio);
    exchange(&mut a, &mut b);
    let ssrc = a.signaling.transceiver(id).expect("there").ssrc();
    a.signaling.set_direction(id, Direction::RecvOnly).expect("set");
    assert!(a.signaling.negotiation_needed());
    let (at_a, at_b) = exchange(&mut a, &mut b);
    assert!(has(&at_a, |e| matches!(e, Effect::Send { parameters: None, .. })));
    assert!(has(&at_b, |e| matches!(e, Effect::Receive { parameters: None, .. })));
    assert!(has(&at_b, |e| matches!(e, Effect::TrackMuted(_))));
    assert!(!has(&at_a, |e| matches!(e, Effect::TrackMuted(_))));
    assert!(!a.signaling.negotiation_needed() && !b.signaling.negotiation_needed());
    a.signaling.set_direction(id, Direction::SendRecv).expect("set");
    let (at_a, at_b) = exchange(&mut a, &mut b);
    assert!(has(&at_b, |e| matches!(e, Effect::Track { .. })));
    assert!(has(&at_b, |e| matches!(e, Effect::TrackUnmuted(_))));
    let Some(Effect::Send { parameters: Some(send), .. }) =
        at_a.iter().find(|e| matches!(e, Effect::Send { .. }))
    else {
        panic!("sends again")
    };
    assert_ne!(send.ssrc, ssrc, "a source that said goodbye does not come back");
}

/// An offer to send that our answer does not take up begins nothing (W3C section 4.4.1.5, "process the removal of a remote
/// track" for a local answer).
#[test]
fn a_track_that_our_answer_does_not_take_is_muted() {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    let id = b.track("mic", Kind::Audio);
    exchange(&mut a, &mut b);
    b.signaling.set_direction(id, Direction::SendOnly).expect("set");
    for kind in [SdpType::Answer, SdpType::PrAnswer] {
        let offer = a.send_offer();
        b.set_remote(offer).expect("an offer");
        let answer = SessionDescription::new(kind, b.answer().sdp);
        let effects = b.set_local(Some(answer.clone())).expect("our own answer");
        assert!(has(&effects, |e| *e == Effect::TrackMuted(id)), "{kind}: {effects:?}");
        assert!(b.signaling.transceiver(id).is_some_and(|t| t.receiver_streams().is_empty()));
        a.set_remote(answer).expect("an answer");
    }
    // The final answer takes it: it is told of again.
    b.signaling.set_direction(id, Direction::SendRecv).expect("set");
    let answer = b.answer();
    let effects = b.set_local(Some(answer)).expect("our own answer");
    assert!(has(&effects, |e| matches!(e, Effect::Track { .. })));
    assert!(has(&effects, |e| *e == Effect::TrackUnmuted(id)));
}

#[test]
fn removing_a_track_leaves_the_transceiver() {
    let (mut a, mut b) = pair();
    let id = a.track("mic", Kind::Audio);
    exchange(&mut a, &mut b);
    a.signaling.remove_track(id).expect("removed");
    assert!(a.signaling.negotiation_needed());
    exchange(&mut a, &mut b);
    let transceiver = a.signaling.transceiver(id).expect("still there");
    assert_eq!(
        (transceiver.direction(), transceiver.current_direction()),
        (Direction::RecvOnly, Some(Direction::Inactive))
    );
    // It has been used to send, so a new track gets a new transceiver.
    assert_ne!(a.track("other", Kind::Audio), id);
}

#[test]
fn a_section_of_a_stopped_transceiver_is_used_again() {
    let (mut a, mut b) = pair();
    let video = a.track("cam", Kind::Video);
    let audio = a.track("mic", Kind::Audio);
    exchange(&mut a, &mut b);
    let effects = a.signaling.stop(audio).expect("stopped");
    assert!(has(&effects, |e| *e == Effect::TransceiverStopped(audio)));
    assert!(has(&effects, |e| matches!(e, Effect::Send { parameters: None, .. })));
    assert!(a.signaling.negotiation_needed());
    let (at_a, at_b) = exchange(&mut a, &mut b);
    assert!(!has(&at_a, |e| matches!(e, Effect::TransceiverStopped(_))), "said once");
    assert!(has(&at_b, |e| matches!(e, Effect::TransceiverStopped(_))));
    assert_eq!((a.signaling.transceiver(audio), a.signaling.transceivers().count()), (None, 1));
    assert_eq!(b.signaling.transceivers().count(), 1);
    // Its place is taken by something new, of another kind even, under a new name.
    let again = b.track("cam2", Kind::Video);
    exchange(&mut b, &mut a);
    let transceiver = b.signaling.transceiver(again).expect("there");
    assert_eq!(transceiver.negotiated.index, Some(0), "it sends on the section that received");
    let third = b.track("cam3", Kind::Video);
    exchange(&mut b, &mut a);
    let transceiver = b.signaling.transceiver(third).expect("there");
    assert_eq!((transceiver.negotiated.index, transceiver.mid()), (Some(1), Some("2")));
    assert_eq!(a.signaling.state.current_len(), 2);
    assert!(a.signaling.transceiver(video).is_some());
}

#[test]
fn the_transport_outlives_the_section_that_spoke_for_it() {
    let (mut a, mut b) = pair();
    let audio = a.track("mic", Kind::Audio);
    a.track("cam", Kind::Video);
    exchange(&mut a, &mut b);
    a.signaling.stop(audio).expect("stopped");
    exchange(&mut a, &mut b);
    let speaks = |side: &Side| side.signaling.transport_section();
    assert_eq!(speaks(&a), Some((Some("1".to_owned()), 1)));
    let again = a.track("mic2", Kind::Audio);
    exchange(&mut a, &mut b);
    assert_eq!((speaks(&a), speaks(&b)), (Some((Some("1".to_owned()), 1)), Some((Some("1".to_owned()), 1))));
    assert_eq!(a.signaling.transceiver(again).and_then(|t| t.negotiated.index), Some(2));
    // The other side may use the place before it, as long as its transport stays the same.
    let mut offer = b.send_offer();
    let (head, tail) = offer.sdp.split_once("m=audio 0").expect("the place");
    let section = offer
        .sdp
        .split_once("m=audio 9")
        .map(|(_, section)| section.replace("a=mid:2", "a=mid:7"))
        .expect("audio");
    let numbers = ["a=ssrc", "a=msid"];
    let section: String =
        section.split_inclusive("\r\n").filter(|l| !numbers.iter().any(|n| l.starts_with(n))).collect();
    let rest = tail.split_once("m=").map(|(_, rest)| rest).expect("more sections");
    let head = head.replace("a=group:BUNDLE 1 2", "a=group:BUNDLE 7 1 2");
    offer.sdp = format!("{head}m=audio 9{section}m={rest}");
    let answer = a.reply(offer);
    assert!(parse(&answer).media.iter().all(|media| media.port != 0));
    assert_eq!(speaks(&a), Some((Some("7".to_owned()), 0)));
}

#[test]
fn a_transceiver_that_was_never_offered_stops_without_a_trace() {
    let (mut a, _) = pair();
    let id = a.track("mic", Kind::Audio);
    let effects = a.signaling.stop(id).expect("stopped");
    assert_eq!(effects, [Effect::TransceiverStopped(id)]);
    assert!(!a.signaling.negotiation_needed());
    assert!(parse(&a.offer()).media.is_empty());
    assert_eq!(a.signaling.stop(id).expect_err("gone").kind, ErrorKind::InvalidAccess);
}

#[test]
fn streams_are_said_and_heard() {
    let (mut a, mut b) = pair();
    let streams = vec!["one".to_owned(), "two".to_owned(), "one".to_owned()];
    a.signaling.add_track(TrackInfo::new("cam", Kind::Video), streams).expect("added");
    a.signaling.add_track(TrackInfo::new("mic", Kind::Audio), Vec::new()).expect("added");
    let (_, at_b) = exchange(&mut a, &mut b);
    let tracks: Vec<_> = at_b
        .iter()
        .filter_map(|e| {
            if let Effect::Track { track_id, streams, .. } = e {
                Some((track_id.as_str(), streams.clone()))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(tracks, [("cam", vec!["one".to_owned(), "two".to_owned()]), ("mic", Vec::new())]);
}

#[test]
fn a_track_that_waits_answers_an_offer() {
    let (mut a, mut b) = pair();
    a.track("cam", Kind::Video);
    let waiting = b.track("cam", Kind::Video);
    let plain = b.signaling.add_transceiver(Kind::Video, TransceiverInit::default()).expect("added");
    exchange(&mut a, &mut b);
    // The one of addTrack is taken, that of addTransceiver waits for an offer of its own (RFC 8829 section 5.10).
    assert!(b.signaling.transceiver(waiting).is_some_and(|t| t.mid().is_some()));
    assert!(b.signaling.transceiver(plain).is_some_and(|t| t.mid().is_none()));
    assert!(b.signaling.negotiation_needed());
    exchange(&mut b, &mut a);
    assert!(b.signaling.transceiver(plain).is_some_and(|t| t.mid().is_some()));
}

#[test]
fn a_provisional_answer_may_be_replaced() {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    let offer = a.send_offer();
    b.set_remote(offer).expect("an offer");
    let answer = b.answer();
    let provisional = SessionDescription::new(SdpType::PrAnswer, answer.sdp.clone());
    let effects = b.set_local(Some(provisional.clone())).expect("a provisional answer");
    assert!(has(&effects, |e| matches!(e, Effect::Transport(_))));
    let effects = a.set_remote(provisional).expect("a provisional answer");
    assert!(has(&effects, |e| matches!(e, Effect::Transport(_))));
    assert!(has(&effects, |e| matches!(e, Effect::Send { parameters: Some(_), .. })));
    assert_eq!(states(&a, &b), (SignalingState::HaveRemotePranswer, SignalingState::HaveLocalPranswer));
    assert_eq!(a.refused(|a| a.set_local(Some(SessionDescription::rollback()))), ErrorKind::InvalidState);
    b.track("mic", Kind::Audio);
    let answer = b.answer();
    b.set_local(Some(answer.clone())).expect("the answer");
    let effects = a.set_remote(answer).expect("the answer");
    assert!(!has(&effects, |e| matches!(e, Effect::Transport(_))));
    assert!(has(&effects, |e| matches!(e, Effect::Track { .. })));
    rules::check_pair(&a, &b);
}

#[test]
fn implicit_descriptions_follow_the_state() {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    a.set_local(None).expect("an offer");
    let offer = a.signaling.local_description(&a.local).expect("an offer");
    assert_eq!(offer.kind, SdpType::Offer);
    b.set_remote(offer).expect("an offer");
    b.set_local(None).expect("an answer");
    let answer = b.signaling.local_description(&b.local).expect("an answer");
    assert_eq!(answer.kind, SdpType::Answer);
    a.set_remote(answer).expect("an answer");
    rules::check_pair(&a, &b);
    // An empty text stands for the one that is due, too.
    a.set_local(Some(SessionDescription::offer(""))).expect("an offer");
    assert_eq!(a.signaling.state(), SignalingState::HaveLocalOffer);
}

#[test]
fn numbers_of_the_other_side_are_kept_in_later_offers() {
    let (mut a, mut b) = pair();
    let firefox = include_str!("../../../../sdp/tests/data/captured/firefox-esr-153-offer-av-data.sdp");
    a.reply(SessionDescription::offer(firefox));
    a.track("second", Kind::Video);
    a.track("third", Kind::Video);
    let offer = a.send_offer();
    let numbers: Vec<Vec<u8>> = parse(&offer)
        .media
        .iter()
        .filter(|m| m.kind == taut_sdp::MediaKind::Video)
        .map(|m| m.payload_types().collect())
        .collect();
    assert_eq!(numbers, [[120, 124], [120, 124]]);
    let _ = &mut b;
}

#[test]
fn codec_preferences_are_checked_and_kept() {
    let (mut a, _) = pair();
    let id = a.track("mic", Kind::Audio);
    let error = a.signaling.set_codec_preferences(id, vec![Codec::Vp8]).expect_err("no audio codec");
    assert_eq!(error.kind, ErrorKind::InvalidModification);
    a.signaling.set_codec_preferences(id, vec![Codec::Opus]).expect("set");
    a.send_offer();
}

#[test]
fn the_offer_goes_out_as_chromium_would_write_it() {
    let (mut a, _) = pair();
    a.track("cam", Kind::Video);
    let offer = parse(&a.offer());
    let names: Vec<_> = offer.media[0].attributes.iter().map(Attribute::name).collect();
    let expected = [
        "rtcp",
        "ice-ufrag",
        "ice-pwd",
        "fingerprint",
        "setup",
        "mid",
        "extmap",
        "sendrecv",
        "msid",
        "rtcp-mux",
        "rtcp-mux-only",
        "rtcp-rsize",
        "rtpmap",
        "rtcp-fb",
        "rtcp-fb",
        "rtcp-fb",
        "rtpmap",
        "fmtp",
        "ssrc-group",
        "ssrc",
        "ssrc",
    ];
    assert_eq!(names, expected);
    assert_eq!(offer.media[0].payload_types().collect::<Vec<_>>(), [96, 97]);
}

#[test]
fn an_empty_exchange_needs_no_transport() {
    let (mut a, mut b) = pair();
    let (at_a, at_b) = exchange(&mut a, &mut b);
    assert!(!has(&at_a, |e| matches!(e, Effect::Transport(_) | Effect::Gather)));
    assert!(!has(&at_b, |e| matches!(e, Effect::Transport(_) | Effect::Gather)));
}

#[test]
fn a_closed_connection_refuses_everything() {
    let (mut a, _) = pair();
    let id = a.track("mic", Kind::Audio);
    a.signaling.close();
    assert_eq!(a.signaling.state(), SignalingState::Closed);
    assert_eq!(a.refused(|a| a.set_local(None)), ErrorKind::InvalidState);
    assert_eq!(a.refused(|a| a.set_remote(SessionDescription::rollback())), ErrorKind::InvalidState);
    assert_eq!(a.refused(|a| a.signaling.add_remote_candidate(None)), ErrorKind::InvalidState);
    assert_eq!(a.signaling.transceiver(id).map(|t| t.direction()), Some(Direction::Stopped));
    assert!(!a.signaling.negotiation_needed());
}

#[test]
fn the_machine_can_be_sent_between_threads() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<Signaling>();
    check::<Effect>();
}

/// The data section of a description, rejected.
fn without_data(description: &SessionDescription, kind: SdpType) -> SessionDescription {
    let sdp = description.sdp.replace("m=application 9", "m=application 0");
    let bundle = sdp.lines().find(|line| line.starts_with("a=group:BUNDLE")).expect("a group").to_owned();
    let fewer = bundle.trim_end_matches(" 1").to_owned();
    SessionDescription::new(kind, sdp.replace(&bundle, &fewer))
}

#[test]
fn refused_data_stays_refused_but_a_provisional_answer_refuses_nothing() {
    for last in [false, true] {
        let (mut a, mut b) = pair();
        a.track("mic", Kind::Audio);
        a.signaling.want_data_channel();
        let offer = a.send_offer();
        let answer = b.reply(offer);
        let refusing = if last { SdpType::Answer } else { SdpType::PrAnswer };
        let effects = a.set_remote(without_data(&answer, refusing)).expect("an answer");
        assert_eq!(has(&effects, |e| matches!(e, Effect::Data(None))), last);
        if !last {
            let effects = a.set_remote(answer).expect("the final answer");
            assert!(has(&effects, |e| matches!(e, Effect::Data(Some(_)))));
            continue;
        }
        assert!(!a.signaling.negotiation_needed());
        let offer = a.send_offer();
        assert_eq!(parse(&offer).media.iter().filter(|media| media.port != 0).count(), 1, "{}", offer.sdp);
        a.set_local(Some(SessionDescription::rollback())).expect("back");
        // The other side believes that it has data channels, and offers them on.
        let offer = b.send_offer();
        let answer = a.reply(offer);
        assert_eq!(parse(&answer).media[1].port, 0);
    }
}
