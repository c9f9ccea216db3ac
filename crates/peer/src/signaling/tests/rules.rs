//! The rules of JSEP for offers and answers (RFC 8829 sections 5.2 and 5.3), RFC 3264, RFC 9143 and RFC 8285, written a second time.

use std::collections::{BTreeMap, BTreeSet};

use taut_sdp::{Attribute, Direction, Media, Session, Setup};

use super::Side;

fn live(session: &Session) -> impl Iterator<Item = &Media> {
    session.media.iter().filter(|media| media.port != 0)
}

fn bundle(session: &Session) -> Vec<String> {
    let groups: Vec<_> = session.groups().filter(|group| group.is_bundle()).collect();
    assert!(groups.len() <= 1, "one group at most");
    groups.first().map(|group| group.mids.clone()).unwrap_or_default()
}

/// What holds for every description of ours.
fn check_common(session: &Session) {
    assert_eq!(session.origin.username, "-");
    assert!(session.origin.session_id < (1 << 63) - 1);
    assert_eq!(session.name, "-");
    assert_eq!((session.times.len(), session.times[0].start, session.times[0].stop), (1, 0, 0));
    let mids: Vec<_> = session.media.iter().filter_map(Media::mid).collect();
    let distinct: BTreeSet<_> = mids.iter().collect();
    assert_eq!(mids.len(), distinct.len(), "mids are unique");
    let mut numbers: BTreeMap<u8, String> = BTreeMap::new();
    let mut extensions: BTreeMap<u16, String> = BTreeMap::new();
    let mut sources = BTreeSet::new();
    let leading = bundle(session).first().cloned();
    for media in live(session) {
        check_section(media);
        if leading.as_deref().is_some_and(|leading| media.mid() != Some(leading)) {
            assert_eq!(media.candidates().count(), 0, "candidates stand in the first section of the group");
        }
        for map in media.rtpmaps() {
            let name = format!("{}/{}/{:?}", map.encoding.to_lowercase(), map.clock_rate, map.channels);
            let parameters =
                media.fmtp(map.payload_type).and_then(|fmtp| fmtp.get("apt")).unwrap_or_default();
            let meaning = format!("{name} {parameters}");
            let known = numbers.entry(map.payload_type).or_insert_with(|| meaning.clone());
            assert_eq!(*known, meaning, "one meaning for payload type {}", map.payload_type);
        }
        for extmap in media.extmaps() {
            let known = extensions.entry(extmap.id).or_insert_with(|| extmap.uri.to_string());
            assert_eq!(*known, extmap.uri, "one meaning for extension {}", extmap.id);
        }
        for ssrc in media.ssrcs() {
            assert!(sources.insert(ssrc), "one section for SSRC {ssrc}");
        }
    }
}

fn check_section(media: &Media) {
    let count = |wanted: fn(&Attribute) -> bool| media.attributes.iter().filter(|a| wanted(a)).count();
    assert_eq!(count(|a| matches!(a, Attribute::IceUfrag(_))), 1);
    assert_eq!(count(|a| matches!(a, Attribute::IcePwd(_))), 1);
    assert!(count(|a| matches!(a, Attribute::Fingerprint(_))) >= 1);
    assert_eq!(count(|a| matches!(a, Attribute::Setup(_))), 1);
    assert!(count(|a| matches!(a, Attribute::Mid(_))) <= 1);
    assert!(
        media
            .attributes
            .iter()
            .all(|a| !matches!(a.name(), "crypto" | "key-mgmt" | "ice-lite" | "bundle-only"))
    );
    assert_eq!(media.connections.len(), 1);
    if !media.protocol.is_rtp() {
        assert_eq!(media.sctp_port(), Some(5000));
        assert_eq!(media.max_message_size(), Some(262_144));
        return;
    }
    assert_eq!(count(|a| matches!(a, Attribute::Direction(_))), 1);
    let listed: Vec<u8> = media.payload_types().collect();
    for payload_type in &listed {
        assert_eq!(media.rtpmaps().filter(|map| map.payload_type == *payload_type).count(), 1);
    }
    for map in media.rtpmaps() {
        assert!(listed.contains(&map.payload_type));
        if map.is("rtx") {
            let apt = media.fmtp(map.payload_type).and_then(|fmtp| fmtp.get("apt")).expect("apt");
            assert!(listed.contains(&apt.parse().expect("a number")));
        }
    }
    assert!(media.fmtps().all(|fmtp| listed.contains(&fmtp.payload_type)));
    if media.direction().is_some_and(Direction::sends) {
        let rtx = media.rtpmaps().any(|map| map.is("rtx"));
        assert!(media.msids().count() >= 1);
        assert_eq!(media.ssrcs().len(), if rtx { 2 } else { 1 });
        assert_eq!(media.source_groups().count(), usize::from(rtx));
    } else {
        assert_eq!(media.sources().count(), 0);
    }
}

pub(super) fn check_offer(offer: &Session) {
    check_common(offer);
    assert!(offer.has(&Attribute::ExtmapAllowMixed));
    let mids: Vec<_> = live(offer).map(|media| media.mid().expect("a mid").to_owned()).collect();
    let group: BTreeSet<_> = bundle(offer).into_iter().collect();
    assert_eq!(group, mids.into_iter().collect(), "all live sections are one group");
    for media in live(offer) {
        assert_eq!(media.setup(), Some(Setup::ActPass));
        if media.protocol.is_rtp() {
            assert_eq!(media.protocol.as_str(), "UDP/TLS/RTP/SAVPF");
            assert!(media.has(&Attribute::RtcpMux));
            assert!(media.extmaps().any(|extmap| extmap.uri == "urn:ietf:params:rtp-hdrext:sdes:mid"));
        }
    }
}

pub(super) fn check_answer(offer: &Session, answer: &Session) {
    check_common(answer);
    assert_eq!(offer.media.len(), answer.media.len());
    for (theirs, ours) in offer.media.iter().zip(&answer.media) {
        assert_eq!((&theirs.kind, &theirs.protocol), (&ours.kind, &ours.protocol));
        assert_eq!(theirs.mid(), ours.mid());
        if ours.port != 0 {
            check_answered(offer, theirs, ours);
        } else {
            assert_eq!(ours.formats, theirs.formats);
        }
    }
    let group = bundle(answer);
    let offered: Vec<&Vec<String>> =
        offer.groups().filter(|group| group.is_bundle()).map(|group| &group.mids).collect();
    if !group.is_empty() {
        assert!(
            offered.iter().any(|mids| group.iter().all(|mid| mids.contains(mid))),
            "a part of an offered group"
        );
    }
    let accepted: BTreeSet<_> = live(answer).filter_map(|media| media.mid().map(str::to_owned)).collect();
    assert!(group.iter().all(|mid| accepted.contains(mid)), "no rejected section in the group");
    if live(answer).count() > 1 {
        assert_eq!(group.len(), live(answer).count(), "one transport for all");
    }
    assert!(!answer.has(&Attribute::ExtmapAllowMixed) || offer.has(&Attribute::ExtmapAllowMixed));
}

fn check_answered(offer: &Session, theirs: &Media, ours: &Media) {
    let setup = theirs.setup().or_else(|| offer.setup()).unwrap_or(Setup::ActPass);
    match (setup, ours.setup().expect("setup")) {
        (Setup::ActPass, Setup::Active | Setup::Passive)
        | (Setup::Active, Setup::Passive)
        | (Setup::Passive, Setup::Active) => {}
        (offered, answered) => panic!("{offered} is answered with {answered}"),
    }
    if !theirs.protocol.is_rtp() {
        return;
    }
    let allowed = offer.direction(theirs).reversed();
    let direction = ours.direction().expect("a direction");
    assert_eq!(direction, direction.intersection(allowed), "{direction} goes beyond {allowed}");
    for flag in [Attribute::RtcpMux, Attribute::RtcpRsize] {
        assert!(!ours.has(&flag) || theirs.has(&flag), "{flag} was not offered");
    }
    let offered: Vec<u8> = theirs.payload_types().collect();
    let mut place = None;
    for map in ours.rtpmaps() {
        assert!(offered.contains(&map.payload_type), "payload type {} was not offered", map.payload_type);
        let theirs =
            theirs.rtpmaps().find(|theirs| theirs.payload_type == map.payload_type).expect("an rtpmap");
        assert!(
            map.is(&theirs.encoding)
                && map.clock_rate == theirs.clock_rate
                && map.channels == theirs.channels
        );
        if !map.is("rtx") {
            let next = offered.iter().position(|offered| *offered == map.payload_type);
            assert!(place < next, "the order of the offer");
            place = next;
        }
    }
    for payload_type in ours.payload_types() {
        for feedback in ours.rtcp_feedback(payload_type) {
            assert!(
                theirs.rtcp_feedback(payload_type).any(|offered| offered == feedback),
                "{feedback:?} was not offered"
            );
        }
    }
    for extmap in ours.extmaps() {
        assert!(theirs.extmaps().any(|offered| offered.id == extmap.id && offered.uri == extmap.uri));
    }
}

/// After an exchange both sides see the same connection.
pub(super) fn check_pair(a: &Side, b: &Side) {
    assert_eq!(super::states(a, b), (super::SignalingState::Stable, super::SignalingState::Stable));
    let (one, other) = (&a.signaling.state, &b.signaling.state);
    assert_eq!(one.current_len(), other.current_len());
    assert!(one.kept.is_empty() && one.pending_local.is_none() && one.pending_remote.is_none());
    for (here, there) in [(one, other), (other, one)] {
        for transceiver in
            here.transceivers.iter().filter(|transceiver| transceiver.negotiated.index.is_some())
        {
            let index = transceiver.negotiated.index.expect("just seen");
            let peer = there.at_index(index).expect("the other end");
            assert_eq!(transceiver.negotiated.mid, peer.negotiated.mid);
            assert_eq!(transceiver.kind, peer.kind);
            let direction = transceiver.negotiated.current_direction.expect("agreed");
            assert_eq!(Some(direction.reversed()), peer.negotiated.current_direction);
            let (send, receive) = (&transceiver.negotiated.send, &peer.negotiated.receive);
            if transceiver.is_stopped() || peer.is_stopped() {
                continue;
            }
            assert_eq!(send.is_some(), direction.sends());
            assert_eq!(receive.is_some(), direction.sends());
            if let (Some(send), Some(receive)) = (send, receive) {
                let accepted: Vec<u8> = receive.payload_types().collect();
                assert!(!send.codecs.is_empty());
                for codec in &send.codecs {
                    assert!(accepted.contains(&codec.payload_type));
                    assert!(codec.rtx.is_none_or(|rtx| accepted.contains(&rtx)));
                }
                assert_eq!(receive.ssrcs, [(send.ssrc, send.rtx_ssrc)]);
                assert_eq!(send.mid_extension, receive.mid_extension);
                assert!(send.mid_extension.is_some());
            }
        }
    }
    if let (Some(here), Some(there)) = (&one.transport, &other.transport) {
        let (here, there) = (&here.parameters, &there.parameters);
        assert_eq!(
            (&here.remote_ufrag, &here.remote_pwd),
            (&b.local.credentials.ufrag, &b.local.credentials.pwd)
        );
        assert_eq!(
            (&there.remote_ufrag, &there.remote_pwd),
            (&a.local.credentials.ufrag, &a.local.credentials.pwd)
        );
        assert_ne!(here.ice_role, there.ice_role);
        assert_ne!(here.dtls_role, there.dtls_role);
        assert_eq!(here.fingerprints, b.local.fingerprints);
    }
    assert_eq!(
        one.data == super::super::state::DataState::None,
        other.data == super::super::state::DataState::None
    );
}
