//! Candidates of both sides.

use super::*;
use crate::event::IceCandidate;

const CANDIDATE: &str = "candidate:1 1 udp 2122194687 192.0.2.1 5000 typ host";

fn candidate(text: &str, mid: Option<&str>, index: Option<u16>) -> Option<IceCandidate> {
    Some(IceCandidate::new(text, mid.map(str::to_owned), index))
}

fn remote_candidates(text: &str) -> Effect {
    Effect::RemoteCandidates { ufrag: "aufrag0".to_owned(), candidates: vec![text.to_owned()] }
}

fn offered() -> (Side, Side) {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    a.track("cam", Kind::Video);
    let offer = a.send_offer();
    b.set_remote(offer).expect("an offer");
    (a, b)
}

#[test]
fn candidates_wait_for_the_transport() {
    let (_, mut b) = offered();
    assert_eq!(b.signaling.add_remote_candidate(candidate(CANDIDATE, Some("0"), None)), Ok(Vec::new()));
    assert_eq!(b.signaling.add_remote_candidate(candidate(CANDIDATE, Some("1"), None)), Ok(Vec::new()));
    let remote = b.signaling.remote_description().expect("an offer");
    assert_eq!(remote.sdp.matches(CANDIDATE).count(), 2);
    let effects = b.set_local(None).expect("an answer");
    assert!(effects.contains(&remote_candidates(CANDIDATE)), "{effects:?}");
    // From now on they are handed on as they come, those of the transport's section once.
    let other = CANDIDATE.replace("5000", "5001");
    let effects =
        b.signaling.add_remote_candidate(candidate(&format!("a={other}"), None, Some(0))).expect("added");
    assert_eq!(effects, [remote_candidates(&other)]);
    assert_eq!(b.signaling.add_remote_candidate(candidate(&other, Some("0"), None)), Ok(Vec::new()));
    assert_eq!(b.signaling.add_remote_candidate(candidate(&other, Some("1"), None)), Ok(Vec::new()));
    let ended = b.signaling.add_remote_candidate(None).expect("the end");
    assert_eq!(ended, [Effect::EndOfRemoteCandidates]);
    assert_eq!(b.signaling.can_trickle(), Some(true));
}

#[test]
fn candidates_are_checked_as_w3c_says() {
    let (mut a, mut b) = offered();
    let refused =
        |side: &mut Side, candidate| side.refused(|side| side.signaling.add_remote_candidate(candidate));
    assert_eq!(refused(&mut a, candidate(CANDIDATE, Some("0"), None)), ErrorKind::InvalidState);
    assert_eq!(refused(&mut b, candidate(CANDIDATE, None, None)), ErrorKind::Type);
    assert_eq!(refused(&mut b, candidate(CANDIDATE, Some("9"), Some(0))), ErrorKind::Operation);
    assert_eq!(refused(&mut b, candidate(CANDIDATE, None, Some(2))), ErrorKind::Operation);
    assert_eq!(refused(&mut b, candidate("candidate:nonsense", Some("0"), None)), ErrorKind::Operation);
    let lines = format!("{CANDIDATE} x\r\na=ice-lite");
    assert_eq!(refused(&mut b, candidate(&lines, Some("0"), None)), ErrorKind::Operation);
    let mut other = IceCandidate::new(CANDIDATE, Some("0".to_owned()), None);
    other.username_fragment = Some("else".to_owned());
    assert_eq!(refused(&mut b, Some(other.clone())), ErrorKind::Operation);
    other.username_fragment = Some("aufrag0".to_owned());
    assert_eq!(b.signaling.add_remote_candidate(Some(other)), Ok(Vec::new()));
    let inner = format!("{CANDIDATE} ufrag else");
    assert_eq!(refused(&mut b, candidate(&inner, Some("0"), None)), ErrorKind::Operation);
}

#[test]
fn candidates_are_bounded() {
    let (_, mut b) = offered();
    for port in 0..256 {
        let text = CANDIDATE.replace("5000", &format!("{}", 1000 + port));
        assert_eq!(b.signaling.add_remote_candidate(candidate(&text, Some("0"), None)), Ok(Vec::new()));
    }
    assert_eq!(
        b.refused(|b| b.signaling.add_remote_candidate(candidate(CANDIDATE, Some("0"), None))),
        ErrorKind::Operation
    );
}

#[test]
fn our_candidates_show_in_our_descriptions() {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    a.track("cam", Kind::Video);
    let offer = a.offer();
    a.local.candidates = vec![
        "candidate:1 1 udp 2122194687 192.0.2.1 5000 typ host".to_owned(),
        "2 1 udp 1686052607 198.51.100.1 6000 typ srflx raddr 192.0.2.1 rport 5000".to_owned(),
    ];
    a.local.end_of_candidates = true;
    // The offer was made before there were candidates; with them it is still the same one.
    let later = a.signaling.create_offer(&a.local, OfferOptions::default()).expect("an offer");
    assert_eq!(a.refused(|a| a.set_local(Some(offer))), ErrorKind::InvalidModification);
    a.set_local(Some(later)).expect("with candidates");
    let shown = a.signaling.local_description(&a.local).expect("an offer");
    let session = parse(&shown);
    assert_eq!(session.media[0].candidates().count(), 2);
    assert!(session.media[0].has(&taut_sdp::Attribute::EndOfCandidates));
    assert_eq!(
        (session.media[0].port, session.media[0].connections[0].to_string()),
        (6000, "IN IP4 198.51.100.1".to_owned())
    );
    assert_eq!((session.media[1].candidates().count(), session.media[1].port), (0, 9));
    assert_eq!(a.signaling.pending_local_description(&a.local), Some(shown.clone()));
    assert_eq!(a.signaling.current_local_description(&a.local), None);
    b.set_remote(shown).expect("an offer");
    let effects = b.set_local(None).expect("an answer");
    let candidates = effects.iter().find_map(|e| {
        if let Effect::RemoteCandidates { candidates, .. } = e { Some(candidates.len()) } else { None }
    });
    assert_eq!(candidates, Some(2));
    assert!(effects.contains(&Effect::EndOfRemoteCandidates));
}
