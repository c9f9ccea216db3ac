//! What is refused, with which error, and that nothing has changed then.

use super::*;

/// An offer with one live section of each kind.
fn offer() -> String {
    let (mut a, _) = pair();
    a.track("mic", Kind::Audio);
    a.track("cam", Kind::Video);
    a.signaling.want_data_channel();
    a.offer().sdp
}

fn without(text: &str, prefix: &str) -> String {
    text.split_inclusive("\r\n").filter(|line| !line.starts_with(prefix)).collect()
}

fn kind_of(sdp: &str) -> ErrorKind {
    let mut b = Side::new("b", 2);
    b.refused(|b| b.set_remote(SessionDescription::offer(sdp)))
}

#[test]
fn offers_that_cannot_be() {
    let offer = offer();
    assert_eq!(kind_of("nonsense"), ErrorKind::Syntax);
    assert_eq!(kind_of(&offer.replace("actpass", "both")), ErrorKind::Syntax);
    for missing in ["a=fingerprint", "a=ice-ufrag", "a=ice-pwd", "a=rtcp-mux", "a=sctp-port"] {
        assert_eq!(kind_of(&without(&offer, missing)), ErrorKind::InvalidAccess, "{missing}");
    }
    assert_eq!(kind_of(&offer.replace("a=ice-ufrag:aufrag0", "a=ice-ufrag:abc")), ErrorKind::InvalidAccess);
    assert_eq!(kind_of(&offer.replace("a=ice-pwd:apassword", "a=ice-pwd:a")), ErrorKind::InvalidAccess);
    assert_eq!(kind_of(&offer.replace("a=ice-pwd:apassword", "a=ice-pwd:ä")), ErrorKind::InvalidAccess);
    assert_eq!(kind_of(&offer.replace("actpass", "holdconn")), ErrorKind::InvalidAccess);
    assert_eq!(kind_of(&offer.replace("a=mid:1", "a=mid:0")), ErrorKind::InvalidAccess);
    let twice = offer.replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1\r\na=group:BUNDLE 1 2");
    assert_eq!(kind_of(&twice), ErrorKind::InvalidAccess);
    let old_hash = format!("a=fingerprint:sha-1 {}", ["01"; 20].join(":"));
    let weak =
        offer.split("\r\n").map(|l| if l.starts_with("a=fingerprint") { old_hash.as_str() } else { l });
    assert_eq!(kind_of(&weak.collect::<Vec<_>>().join("\r\n")), ErrorKind::InvalidAccess);
}

#[test]
fn a_fingerprint_of_the_session_serves_all_sections() {
    let offer = offer();
    let line = offer.split("\r\n").find(|line| line.starts_with("a=fingerprint")).expect("a fingerprint");
    let moved = without(&offer, "a=fingerprint").replacen("t=0 0\r\n", &format!("t=0 0\r\n{line}\r\n"), 1);
    let mut b = Side::new("b", 2);
    let answer = b.reply(SessionDescription::offer(moved));
    assert!(parse(&answer).media.iter().all(|media| media.port != 0));
}

/// Media in clear is never taken, whatever the spelling; an offer of nothing else needs no transport.
#[test]
fn other_profiles_are_answered_with_port_0() {
    let profiles = [
        "RTP/AVP",
        "RTP/AVPF",
        "RTP/SAVP",
        "RTP/SAVPF",
        "UDP/RTP/AVP",
        "TCP/RTP/AVP",
        "rtp/avp",
        "udp/tls/rtp/savpf",
        "UDP/TLS/RTP/AVPF",
        "UDP/TLS/RTP",
        "UDP/TLS/RTP/SAVPFX",
        "UDP",
    ];
    for profile in profiles {
        let text = offer().replace("UDP/TLS/RTP/SAVPF", profile);
        let mut b = Side::new("b", 2);
        let parsed = taut_sdp::Session::parse(&text).unwrap_or_else(|error| panic!("{profile}: {error}"));
        b.set_remote(SessionDescription::offer(text)).expect("an offer");
        let answer = parse(&b.answer());
        rules::check_answer(&parsed, &answer);
        let ports: Vec<_> = answer.media.iter().map(|media| media.port == 0).collect();
        assert_eq!(ports, [true, true, false], "{profile}");
        assert_eq!(answer.groups().next().map(ToString::to_string).as_deref(), Some("BUNDLE 2"));
    }
    let plain = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\n";
    let mut b = Side::new("b", 2);
    let answer = b.reply(SessionDescription::offer(plain));
    assert_eq!(parse(&answer).media[0].port, 0);
    assert_eq!(b.signaling.state.transport, None);
}

#[test]
fn an_offer_without_a_bundle_is_taken_in_part() {
    let unbundled = without(&offer(), "a=group");
    let mut b = Side::new("b", 2);
    let answer = parse(&b.reply(SessionDescription::offer(unbundled)));
    let ports: Vec<_> = answer.media.iter().map(|media| media.port != 0).collect();
    assert_eq!(ports, [true, false, false]);
    assert_eq!(answer.groups().count(), 0);
    let partly = offer().replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 2");
    let mut b = Side::new("b", 2);
    let answer = parse(&b.reply(SessionDescription::offer(partly)));
    let ports: Vec<_> = answer.media.iter().map(|media| media.port != 0).collect();
    assert_eq!(ports, [true, false, true]);
}

#[test]
fn bundle_only_sections_have_port_0_and_are_taken() {
    for mark in ["a=bundle-only\r\n", ""] {
        let mut offer = offer();
        for (kind, mid) in [("video", "1"), ("application", "2")] {
            offer = offer.replace(&format!("m={kind} 9"), &format!("m={kind} 0"));
            offer = offer.replace(&format!("a=mid:{mid}\r\n"), &format!("{mark}a=mid:{mid}\r\n"));
        }
        let mut b = Side::new("b", 2);
        let answer = parse(&b.reply(SessionDescription::offer(offer)));
        assert!(answer.media.iter().all(|media| media.port == 9));
    }
}

#[test]
fn a_section_without_a_common_codec_is_rejected_and_the_next_one_leads() {
    let offer = offer().replace("opus/48000/2", "speex/16000");
    let mut b = Side::new("b", 2);
    let answer = parse(&b.reply(SessionDescription::offer(offer)));
    let ports: Vec<_> = answer.media.iter().map(|media| media.port != 0).collect();
    assert_eq!(ports, [false, true, true]);
    assert_eq!(answer.groups().next().map(ToString::to_string).as_deref(), Some("BUNDLE 1 2"));
    assert_eq!(b.signaling.transceivers().count(), 1);
}

#[test]
fn answers_that_cannot_be() {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    a.track("cam", Kind::Video);
    let offer = a.send_offer();
    let good = b.reply(offer).sdp;
    let mut refused = |sdp: String| a.refused(|a| a.set_remote(SessionDescription::answer(sdp)));
    assert_eq!(refused("v=0".to_owned()), ErrorKind::Syntax);
    assert_eq!(refused(good.replace("a=setup:active", "a=setup:actpass")), ErrorKind::InvalidAccess);
    assert_eq!(refused(without(&good, "a=setup")), ErrorKind::InvalidAccess);
    assert_eq!(refused(without(&good, "a=fingerprint")), ErrorKind::InvalidAccess);
    assert_eq!(refused(without(&good, "a=rtcp-mux")), ErrorKind::InvalidAccess);
    assert_eq!(refused(without(&good, "a=group")), ErrorKind::InvalidAccess);
    assert_eq!(refused(good.replace("a=mid:1", "a=mid:7")), ErrorKind::InvalidAccess);
    assert_eq!(refused(good.replace("m=video", "m=audio")), ErrorKind::InvalidAccess);
    assert_eq!(refused(good.replace("SAVPF", "SAVP")), ErrorKind::InvalidAccess);
    assert_eq!(refused(good.replace("VP8", "VP9")), ErrorKind::InvalidAccess);
    let (head, _) = good.split_once("m=video").expect("two sections");
    assert_eq!(refused(head.to_owned()), ErrorKind::InvalidAccess);
    a.set_remote(SessionDescription::answer(good)).expect("the good one");
}

#[test]
fn the_wrong_type_for_the_state() {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    let offer = a.offer();
    let answer = SessionDescription::answer(offer.sdp.clone());
    for kind in [SdpType::Answer, SdpType::PrAnswer, SdpType::Rollback] {
        let wrong = SessionDescription::new(kind, offer.sdp.clone());
        assert_eq!(a.refused(|a| a.set_local(Some(wrong.clone()))), ErrorKind::InvalidState, "{kind}");
        assert_eq!(a.refused(|a| a.set_remote(wrong)), ErrorKind::InvalidState, "{kind}");
    }
    a.set_local(Some(offer.clone())).expect("an offer");
    assert_eq!(a.refused(|a| a.set_local(Some(answer.clone()))), ErrorKind::InvalidState);
    b.set_remote(offer.clone()).expect("an offer");
    assert_eq!(b.refused(|b| b.set_local(Some(offer.clone()))), ErrorKind::InvalidState);
    assert_eq!(b.refused(|b| b.set_remote(answer)), ErrorKind::InvalidState);
    assert_eq!(
        b.signaling.create_offer(&b.local, OfferOptions::default()).expect_err("not now").kind,
        ErrorKind::InvalidState
    );
    assert_eq!(a.signaling.create_answer(&a.local).expect_err("not now").kind, ErrorKind::InvalidState);
}

#[test]
fn a_changed_local_description_is_refused() {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    assert_eq!(
        a.refused(|a| a
            .set_local(Some(SessionDescription::offer("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n")))),
        ErrorKind::InvalidModification
    );
    let offer = a.offer();
    for (from, to) in [
        ("sendrecv", "sendonly"),
        ("opus", "OPUS"),
        ("useinbandfec=1", "useinbandfec=0"),
        ("a=rtcp-rsize\r\n", ""),
    ] {
        let changed = SessionDescription::offer(offer.sdp.replace(from, to));
        assert_eq!(a.refused(|a| a.set_local(Some(changed))), ErrorKind::InvalidModification, "{from}");
    }
    a.set_local(Some(offer.clone())).expect("unchanged");
    b.set_remote(offer).expect("an offer");
    let answer = b.answer();
    let changed = SessionDescription::answer(answer.sdp.replace("active", "passive"));
    assert_eq!(b.refused(|b| b.set_local(Some(changed))), ErrorKind::InvalidModification);
    b.set_local(Some(answer)).expect("unchanged");
}

/// Nothing of the transport may change but the ICE credentials of an offer, from either side and in either role.
#[test]
fn re_offers_keep_the_transport() {
    type Change<'a> = (&'a str, &'a dyn Fn(&str) -> String);
    let changes: [Change<'_>; 5] = [
        ("ufrag", &|sdp| sdp.replace("a=ice-ufrag:", "a=ice-ufrag:x")),
        ("pwd", &|sdp| sdp.replace("a=ice-pwd:", "a=ice-pwd:x")),
        ("both", &|sdp| sdp.replace("a=ice-pwd:", "a=ice-pwd:x").replace("a=ice-ufrag:", "a=ice-ufrag:x")),
        ("fingerprint", &|sdp| sdp.replace("a=fingerprint:sha-256 0", "a=fingerprint:sha-256 F")),
        ("setup", &|sdp| {
            sdp.replace("a=setup:actpass", "a=setup:active").replace("a=setup:passive", "a=setup:active")
        }),
    ];
    for (name, change) in changes {
        let (mut a, mut b) = pair();
        a.track("mic", Kind::Audio);
        exchange(&mut a, &mut b);
        // b is the DTLS client, so an offer of a that is active does not fit; one that is passive does.
        let mut offer = a.send_offer();
        if name == "setup" {
            let fits = SessionDescription::offer(offer.sdp.replace("actpass", "passive"));
            b.set_remote(fits).expect("the same role");
            b.set_remote(SessionDescription::rollback()).expect("rolled back");
        }
        let changed = SessionDescription::offer(change(&offer.sdp));
        if ["ufrag", "pwd", "both"].contains(&name) {
            b.set_remote(changed).expect("a restart");
            b.set_remote(SessionDescription::rollback()).expect("rolled back");
        } else {
            assert_eq!(b.refused(|b| b.set_remote(changed)), ErrorKind::Operation, "{name}");
        }
        // The unchanged one is taken, and then its answer is what changes.
        offer.sdp = offer.sdp.clone();
        let answer = b.reply(offer);
        let changed = match name {
            "setup" => SessionDescription::answer(answer.sdp.replace("active", "passive")),
            _ => SessionDescription::answer(change(&answer.sdp)),
        };
        assert_eq!(a.refused(|a| a.set_remote(changed)), ErrorKind::Operation, "{name}");
        a.set_remote(answer).expect("unchanged");
    }
}

#[test]
fn re_offers_keep_their_sections() {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    a.track("cam", Kind::Video);
    exchange(&mut a, &mut b);
    let offer = a.send_offer().sdp;
    let mut refused = |sdp: String| b.refused(|b| b.set_remote(SessionDescription::offer(sdp)));
    let (fewer, _) = offer.split_once("m=video").expect("two sections");
    assert_eq!(refused(fewer.to_owned()), ErrorKind::InvalidAccess);
    assert_eq!(refused(offer.replace("a=mid:1", "a=mid:5")), ErrorKind::InvalidAccess);
    assert_eq!(refused(offer.replace("m=video", "m=audio")), ErrorKind::InvalidAccess);
}

#[test]
fn a_hostile_description_takes_no_long_time() {
    let head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    let section = |mid: usize| {
        format!(
            "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=rtcp-mux\r\n\
             a=fingerprint:sha-256 {}\r\na=mid:{mid}\r\na=rtpmap:111 opus/48000/2\r\na=setup:actpass\r\n",
            ["AB"; 32].join(":")
        )
    };
    let sections: String = (0..1024).map(section).collect();
    let mids: String = (0..1024).map(|mid| format!(" {mid}")).collect();
    let padding = " zz".repeat(200_000);
    let text = format!("{head}a=group:BUNDLE{padding}{mids}\r\n{sections}");
    let mut b = Side::new("b", 2);
    b.set_remote(SessionDescription::offer(text)).expect("an offer");
    let answer = b.answer();
    b.set_local(Some(answer)).expect("an answer");
    assert_eq!(b.signaling.transceivers().count(), 1024);
}
