//! The captured offers are answered, and our offers take answers of the captured shapes.

use taut_media::Kind;
use taut_sdp::{Attribute, Direction, Format, Group, MediaKind, Session};

use super::*;

macro_rules! captured {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../../sdp/tests/data/captured/", $name, ".sdp")))),+]
    };
}

const OFFERS: [(&str, &str); 15] = captured![
    "aiortc-1.16-offer",
    "chromium-156-offer-av-data",
    "chromium-156-offer-data",
    "chromium-156-offer-data-sctp-init",
    "chromium-156-offer-recvonly",
    "chromium-156-offer-simulcast",
    "firefox-esr-153-offer-av-data",
    "firefox-esr-153-offer-data",
    "firefox-esr-153-offer-recvonly",
    "firefox-esr-153-offer-simulcast",
    "gstreamer-1.22-offer",
    "node-datachannel-0.33-offer",
    "pion-3.1.56-offer",
    "roamhq-wrtc-0.10-offer",
    "werift-0.24-offer",
];

const ANSWERS: [(&str, &str); 8] = captured![
    "chromium-156-answer-to-aiortc-1.16",
    "chromium-156-answer-to-firefox-esr-153-av-data",
    "chromium-156-answer-to-gstreamer-1.22",
    "chromium-156-answer-to-node-datachannel-0.33",
    "chromium-156-answer-to-pion-3.1.56",
    "chromium-156-answer-to-roamhq-wrtc-0.10",
    "chromium-156-answer-to-werift-0.24",
    "firefox-esr-153-answer-to-chromium-156-av-data",
];

fn count(effects: &[Effect], wanted: impl Fn(&Effect) -> bool) -> usize {
    effects.iter().filter(|effect| wanted(effect)).count()
}

#[test]
fn every_captured_offer_is_answered_whole() {
    for (name, offer) in OFFERS {
        for with_tracks in [false, true] {
            let mut side = Side::new("t", 7);
            if with_tracks {
                side.track("audio", Kind::Audio);
                side.track("video", Kind::Video);
            }
            let parsed = Session::parse(offer).expect(name);
            let mut effects =
                side.set_remote(SessionDescription::offer(offer)).unwrap_or_else(|e| panic!("{name}: {e}"));
            let answer = side.answer();
            let answered = parse(&answer);
            rules::check_answer(&parsed, &answered);
            assert!(
                answered.media.iter().all(|media| media.port != 0),
                "{name}: all is taken\n{}",
                answer.sdp
            );
            effects.extend(side.set_local(Some(answer)).expect(name));
            check_effects(name, &parsed, &answered, &effects);
            assert_eq!(side.signaling.state(), SignalingState::Stable);
            let receivers_only = side.signaling.transceivers().all(|t| t.mid().is_some());
            assert!(receivers_only || with_tracks, "{name}");
        }
    }
}

fn check_effects(name: &str, offer: &Session, answer: &Session, effects: &[Effect]) {
    let sections = |wanted: fn(Direction) -> bool, session: &Session| {
        let rtp = session.media.iter().filter(|media| media.protocol.is_rtp());
        rtp.filter(|media| wanted(session.direction(media))).count()
    };
    assert_eq!(count(effects, |e| matches!(e, Effect::Gather)), 1, "{name}");
    assert_eq!(count(effects, |e| matches!(e, Effect::Transport(_))), 1, "{name}");
    let tracks = count(effects, |e| matches!(e, Effect::Track { .. }));
    assert_eq!(tracks, sections(Direction::sends, offer), "{name}: a track for each section that sends");
    let receive = count(effects, |e| matches!(e, Effect::Receive { parameters: Some(_), .. }));
    assert_eq!(receive, sections(Direction::receives, answer), "{name}");
    let send = count(effects, |e| matches!(e, Effect::Send { parameters: Some(_), .. }));
    assert_eq!(send, sections(Direction::sends, answer), "{name}");
    let data = offer.media.iter().filter(|media| media.kind == MediaKind::Application).count();
    assert_eq!(count(effects, |e| matches!(e, Effect::Data(Some(_)))), data, "{name}");
    let first = offer.media.first().expect("a section");
    let candidates: usize = effects
        .iter()
        .map(|e| if let Effect::RemoteCandidates { candidates, .. } = e { candidates.len() } else { 0 })
        .sum();
    assert_eq!(candidates, first.candidates().count(), "{name}: those of the section of the transport");
    let transport = effects.iter().position(|e| matches!(e, Effect::Transport(_)));
    let handed = effects.iter().position(|e| matches!(e, Effect::RemoteCandidates { .. }));
    assert!(
        handed.is_none_or(|handed| transport < Some(handed)),
        "{name}: credentials come before candidates"
    );
}

#[test]
fn chromium_gets_what_it_offers() {
    let offer = include_str!("../../../../sdp/tests/data/captured/chromium-156-offer-av-data.sdp");
    let mut side = Side::new("t", 7);
    side.track("audio", Kind::Audio);
    side.track("video", Kind::Video);
    let effects = side.set_remote(SessionDescription::offer(offer)).expect("Chromium's offer");
    let Some(Effect::Track { track_id, streams, .. }) =
        effects.iter().find(|e| matches!(e, Effect::Track { .. }))
    else {
        panic!("no track")
    };
    // The tracks are received by the transceivers that were there, whose receivers have ids of their own.
    assert_ne!(track_id, "2fface49-cc57-4b47-a90f-39f85c1851b7");
    assert_eq!(streams, &["e4ff7cfb-0267-4720-9453-d8ef4c422f69"]);
    let answer = side.answer();
    let parsed = parse(&answer);
    let [audio, video, data] = &parsed.media[..] else { panic!("three sections") };
    assert_eq!(audio.payload_types().collect::<Vec<_>>(), [111]);
    assert_eq!(video.payload_types().collect::<Vec<_>>(), [96, 97]);
    assert_eq!(data.max_message_size(), Some(262_144));
    let bundle = parsed.groups().next().expect("a group");
    assert_eq!(bundle.to_string(), "BUNDLE 0 1 2");
    let feedback: Vec<_> = video.rtcp_feedback(96).map(|feedback| feedback.as_str()).collect();
    assert_eq!(feedback, ["ccm fir", "nack", "nack pli"]);
    let extensions: Vec<_> = video.extmaps().map(ToString::to_string).collect();
    assert_eq!(extensions, ["4 urn:ietf:params:rtp-hdrext:sdes:mid"]);
    let effects = side.set_local(Some(answer)).expect("our answer");
    let transport = effects
        .iter()
        .find_map(|e| if let Effect::Transport(t) = e { Some(t) } else { None })
        .expect("a transport");
    assert_eq!(transport.remote_ufrag, "XURd");
    assert_eq!(transport.dtls_role, dtls::Role::Client);
    assert_eq!(transport.ice_role, taut_ice::Role::Controlled);
    let video = side.signaling.transceivers().nth(1).expect("the video transceiver");
    let receive = video.negotiated.receive.as_ref().expect("receives");
    assert_eq!(receive.ssrcs, [(1_375_886_970, Some(1_647_236_224))]);
    assert_eq!(receive.payload_types().collect::<Vec<_>>(), [96, 97]);
    assert_eq!(video.receive_codecs()[0].rtx, Some(97));
    assert!(video.send_codecs()[0].nack && video.send_codecs()[0].pli && video.send_codecs()[0].fir);
}

#[test]
fn a_track_that_chromium_sends_alone_keeps_its_id() {
    let offer = include_str!("../../../../sdp/tests/data/captured/chromium-156-offer-av-data.sdp");
    let mut side = Side::new("t", 7);
    let effects = side.set_remote(SessionDescription::offer(offer)).expect("Chromium's offer");
    let ids: Vec<_> = effects
        .iter()
        .filter_map(|e| if let Effect::Track { track_id, .. } = e { Some(track_id.as_str()) } else { None })
        .collect();
    assert_eq!(ids, ["2fface49-cc57-4b47-a90f-39f85c1851b7", "344448c7-632f-4563-bb94-9f5a553b2d8c"]);
}

/// Our offer with the sections of `answer`.
fn offer_like(side: &mut Side, answer: &Session) -> SessionDescription {
    for (index, media) in answer.media.iter().enumerate() {
        match media.kind {
            MediaKind::Audio => drop(side.track(&format!("t{index}"), Kind::Audio)),
            MediaKind::Video => drop(side.track(&format!("t{index}"), Kind::Video)),
            _ => side.signaling.want_data_channel(),
        }
    }
    side.send_offer()
}

/// The captured answer with the mids and numbers of our offer, and nothing of codecs that we do not offer.
fn fit(answer: &mut Session, offer: &Session) {
    for (media, ours) in answer.media.iter_mut().zip(&offer.media) {
        let number = |pt: u8, media: &taut_sdp::Media| {
            let map = media.rtpmaps().find(|map| map.payload_type == pt)?;
            let primary = media.fmtp(pt).and_then(|fmtp| fmtp.get("apt"));
            let primary =
                primary.and_then(|apt| media.rtpmaps().find(|map| map.payload_type.to_string() == apt));
            if primary.is_some_and(|primary| !primary.is("VP8")) {
                return None;
            }
            ours.rtpmaps().find(|own| own.is(&map.encoding)).map(|own| own.payload_type)
        };
        let original = media.clone();
        if media.protocol.is_rtp() {
            media.formats = original
                .payload_types()
                .filter_map(|pt| number(pt, &original))
                .map(Format::PayloadType)
                .collect();
        }
        let attributes = std::mem::take(&mut media.attributes);
        media.attributes = attributes
            .into_iter()
            .filter_map(|attribute| match attribute {
                Attribute::Mid(_) => ours.mid().map(|mid| Attribute::Mid(mid.to_owned())),
                Attribute::RtpMap(mut map) => {
                    map.payload_type = number(map.payload_type, &original)?;
                    Some(Attribute::RtpMap(map))
                }
                Attribute::Fmtp(mut fmtp) => {
                    fmtp.payload_type = number(fmtp.payload_type, &original)?;
                    if fmtp.get("apt").is_some() {
                        fmtp.parameters = "apt=96".to_owned();
                    }
                    Some(Attribute::Fmtp(fmtp))
                }
                Attribute::RtcpFeedback(mut feedback) => {
                    feedback.payload_type = Some(number(feedback.payload_type?, &original)?);
                    Some(Attribute::RtcpFeedback(feedback))
                }
                other => Some(other),
            })
            .collect();
    }
    let mids: Vec<String> = offer.media.iter().filter_map(|media| media.mid().map(str::to_owned)).collect();
    for attribute in &mut answer.attributes {
        if let Attribute::Group(group) = attribute {
            *group = Group::bundle(mids.clone());
        }
    }
}

#[test]
fn answers_of_the_captured_shapes_are_taken() {
    for (name, text) in ANSWERS {
        let mut side = Side::new("t", 9);
        let mut answer = Session::parse(text).expect(name);
        let offer = offer_like(&mut side, &answer);
        fit(&mut answer, &parse(&offer));
        let effects = side
            .set_remote(SessionDescription::answer(answer.to_string()))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(count(&effects, |e| matches!(e, Effect::Transport(_))), 1, "{name}");
        assert_eq!(side.signaling.state(), SignalingState::Stable, "{name}");
        assert!(!side.signaling.negotiation_needed(), "{name}");
        for (transceiver, media) in side.signaling.transceivers().zip(&answer.media) {
            let direction = answer.direction(media).reversed();
            assert_eq!(transceiver.current_direction(), Some(direction.into()), "{name}");
            assert_eq!(transceiver.negotiated.send.is_some(), direction.sends(), "{name}");
            assert_eq!(transceiver.negotiated.receive.is_some(), direction.receives(), "{name}");
        }
    }
}

#[test]
fn our_answers_to_captured_offers_survive_a_second_round() {
    for (name, offer) in OFFERS {
        let mut side = Side::new("t", 7);
        side.reply(SessionDescription::offer(offer));
        let numbers: Vec<Vec<u8>> = side
            .signaling
            .transceivers()
            .map(|t| t.receive_codecs().iter().map(|c| c.payload_type).collect())
            .collect();
        let again = side.reply(SessionDescription::offer(offer));
        assert!(parse(&again).media.iter().all(|media| media.port != 0), "{name}");
        // And from our side: the same sections with the same numbers.
        let ours = side.send_offer();
        let (theirs, ours) = (Session::parse(offer).expect(name), parse(&ours));
        let describe = |session: &Session| {
            session
                .media
                .iter()
                .map(|media| (media.kind.clone(), media.mid().map(str::to_owned)))
                .collect::<Vec<_>>()
        };
        assert_eq!(describe(&theirs), describe(&ours), "{name}");
        for (codecs, media) in numbers.iter().zip(ours.media.iter().filter(|media| media.protocol.is_rtp())) {
            let offered: Vec<u8> = media.payload_types().collect();
            assert!(
                codecs.iter().all(|number| offered.contains(number)),
                "{name}: {codecs:?} in {offered:?}"
            );
        }
    }
}
