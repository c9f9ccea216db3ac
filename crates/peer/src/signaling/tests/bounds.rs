//! What a description can make this side keep.

use super::*;

/// What an offer of one section of pictures leads to, with these lines in it.
fn taken(lines: &str) -> (Side, Vec<Effect>) {
    let (mut a, mut b) = pair();
    a.track("cam", Kind::Video);
    let mut offer = a.send_offer();
    offer.sdp.push_str(lines);
    let mut effects = b.set_remote(offer).expect("an offer");
    effects.extend(b.set_local(None).expect("an answer"));
    (b, effects)
}

#[test]
fn sources_of_a_section_are_bounded() {
    let lines: String = (1..1_000).map(|ssrc| format!("a=ssrc:{ssrc} cname:c\r\n")).collect();
    let (b, _) = taken(&lines);
    let receive = b.signaling.transceivers().next().and_then(|t| t.negotiated.receive.as_ref());
    assert_eq!(receive.expect("it receives").ssrcs.len(), 64);
}

#[test]
fn candidates_that_go_to_the_transport_are_bounded() {
    let line = |port| format!("a=candidate:1 1 udp 1 192.0.2.1 {port} typ host\r\n");
    let (_, effects) = taken(&(1_000..5_000).map(line).collect::<String>());
    let given = effects.iter().map(|effect| match effect {
        Effect::RemoteCandidates { candidates, .. } => candidates.len(),
        _ => 0,
    });
    assert_eq!(given.sum::<usize>(), 1_024);
}
