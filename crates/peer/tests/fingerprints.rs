//! The fingerprint of a description: what does not match it gets neither keys nor octets.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Call, What, assert_alive, binary, body, pair, video_frame};
use taut_netsim::Link;
use taut_peer::{
    ChannelInit, ConnectionState, ErrorKind, Event, Kind, OfferOptions, SessionDescription, SignalingState,
    TrackInfo,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// The digest in an SDP, changed.
fn with_fingerprint(sdp: &str, change: impl Fn(&str) -> String) -> String {
    let line = |line: &str| match line.strip_prefix("a=fingerprint:") {
        Some(print) => change(print),
        None => line.to_owned(),
    };
    sdp.lines().map(|text| line(text) + "\r\n").collect()
}

/// One bit of the first octet is flipped.
fn flipped(print: &str) -> String {
    let (algorithm, digits) = print.split_once(' ').unwrap();
    let first = u8::from_str_radix(&digits[..2], 16).unwrap() ^ 1;
    format!("{algorithm} {first:02X}{}", &digits[2..])
}

/// A SHA-512 that is not that of the certificate.
fn another_hash() -> String {
    let digits: Vec<String> = (0..64).map(|octet| format!("{octet:02X}")).collect();
    format!("a=fingerprint:sha-512 {}", digits.join(":"))
}

/// Negotiates with the fingerprint of one side changed, and checks that nothing gets out of the other one.
fn mismatch(seed: u64, in_offer: bool, change: impl Fn(&str) -> String) {
    let mut call = Call::new(seed, Link::default().latency(10 * MS));
    let (now, a, b) = (call.now(), call.a, call.b);
    let id = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    let video = call.peer(a).add_track(now, TrackInfo::new("v", Kind::Video), vec![]).unwrap();
    call.peer(a).send(now, id, binary(body(0, 100))).unwrap();
    let same = |sdp: String| sdp;
    let changed = |sdp: String| with_fingerprint(&sdp, &change);
    match in_offer {
        true => call.negotiate_changed(a, changed, same),
        false => call.negotiate_changed(a, same, changed),
    }
    // The side that was told of another certificate than the one it is shown.
    let deceived = if in_offer { b } else { a };
    assert!(!call.connect(20 * SECOND), "seed {seed}: connected");
    assert_eq!(call.peer(deceived).connection_state(), ConnectionState::Failed, "seed {seed}");
    let now = call.now();
    let report = call.peer(deceived).stats(now);
    assert_eq!(report.transport().unwrap().srtp_cipher, None, "keys got out");
    assert!(call.peer(a).send_frame(now, video, video_frame(0)).is_err());
    for side in [a, b] {
        assert_eq!(call.side(side).message_count(), 0);
        assert!(call.side(side).incoming().is_empty());
        assert!(!call.side(side).events.iter().any(|event| matches!(event, Event::ChannelOpen(_))));
        assert_eq!(call.side(side).count(What::Rtp) + call.side(side).count(What::Rtcp), 0);
    }
}

#[test]
fn a_fingerprint_that_does_not_hold_lets_nothing_out() {
    for (seed, in_offer) in [(20, true), (21, false)] {
        mismatch(seed, in_offer, |print| format!("a=fingerprint:{}", flipped(print)));
        // The strongest hash decides (RFC 8122 section 5.1), wherever it stands.
        mismatch(seed, in_offer, |print| format!("a=fingerprint:{print}\r\n{}", another_hash()));
        mismatch(seed, in_offer, |print| format!("{}\r\na=fingerprint:{print}", another_hash()));
    }
}

#[test]
fn one_of_several_certificates_and_lower_case_are_accepted() {
    for (seed, change) in [
        (
            22,
            (|print| format!("a=fingerprint:{}\r\na=fingerprint:{print}", flipped(print)))
                as fn(&str) -> String,
        ),
        (23, |print| format!("a=fingerprint:{}", print.to_lowercase())),
        (24, |print| format!("a=fingerprint:md5 00:11\r\na=fingerprint:{print}")),
    ] {
        let mut call = Call::new(seed, Link::default().latency(10 * MS));
        let (now, a) = (call.now(), call.a);
        let id = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
        let changed = |sdp: String| with_fingerprint(&sdp, change);
        call.negotiate_changed(a, changed, changed);
        assert!(call.connect(5 * SECOND), "seed {seed}");
        assert_alive(&mut call, id);
    }
}

#[test]
fn descriptions_without_a_fingerprint_that_can_be_used_are_refused() {
    let mut call = Call::new(25, Link::default());
    let (now, a, b) = (call.now(), call.a, call.b);
    call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    let offer = call.peer(a).create_offer(now, OfferOptions::default()).unwrap().sdp;
    let set = |call: &mut Call, change: &dyn Fn(&str) -> String| {
        let changed = SessionDescription::offer(with_fingerprint(&offer, change));
        let kind = call.peer(b).set_remote_description(now, changed).unwrap_err().kind;
        assert_eq!(call.peer(b).signaling_state(), SignalingState::Stable);
        kind
    };
    assert_eq!(set(&mut call, &|_| "a=x".into()), ErrorKind::InvalidAccess);
    assert_eq!(set(&mut call, &|_| "a=fingerprint:md5 00:11".into()), ErrorKind::InvalidAccess);
    // The right digits under the name of another hash have the wrong length.
    let renamed = |print: &str| format!("a=fingerprint:{}", print.replace("sha-256", "sha-384"));
    assert!(matches!(set(&mut call, &renamed), ErrorKind::Syntax | ErrorKind::InvalidAccess));
}

#[test]
fn a_fingerprint_that_changes_afterwards_is_refused() {
    let (mut call, id) = pair(26);
    let (now, a, b) = (call.now(), call.a, call.b);
    let offer = call.peer(a).create_offer(now, OfferOptions::default()).unwrap();
    let changed = with_fingerprint(&offer.sdp, |print| format!("a=fingerprint:{}", flipped(print)));
    let refused = call.peer(b).set_remote_description(now, SessionDescription::offer(changed)).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Operation);
    assert_alive(&mut call, id);
}
