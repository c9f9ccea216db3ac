//! ICE restarts from either side, rolled back, crossing and repeated.

use super::*;
use crate::event::IceCandidate;

const RESTART: OfferOptions = OfferOptions { ice_restart: true };

fn connected() -> (Side, Side) {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    a.track("cam", Kind::Video);
    exchange(&mut a, &mut b);
    (a, b)
}

fn ufrags(description: &SessionDescription) -> Vec<String> {
    parse(description).media.iter().filter_map(|media| media.ice_ufrag().map(str::to_owned)).collect()
}

fn offer_restart(side: &mut Side) -> SessionDescription {
    side.signaling.create_offer(&side.local, RESTART).expect("an offer")
}

fn parameters(effects: &[Effect]) -> Option<(&str, &str)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Transport(p) => Some((p.remote_ufrag.as_str(), p.remote_pwd.as_str())),
        _ => None,
    })
}

#[test]
fn a_restart_changes_the_credentials_of_both_sides_and_nothing_else() {
    let (mut a, mut b) = connected();
    let before = a.signaling.state.transport.clone().expect("established").parameters;
    let offer = offer_restart(&mut a);
    assert_eq!(ufrags(&offer), ["aufrag1", "aufrag1"], "in every section");
    let at_a = a.set_local(Some(offer.clone())).expect("our own offer");
    assert_eq!(at_a[0], Effect::RestartIce);
    let at_b = b.set_remote(offer).expect("an offer");
    assert!(!at_b.contains(&Effect::RestartIce) && parameters(&at_b).is_none(), "not before the answer");
    let answer = b.answer();
    assert_eq!(ufrags(&answer), ["bufrag1", "bufrag1"]);
    let at_b = b.set_local(Some(answer.clone())).expect("our own answer");
    assert_eq!(at_b[0], Effect::RestartIce);
    assert_eq!(parameters(&at_b), Some(("aufrag1", "apasswordofatleast22chars1")));
    let at_a = a.set_remote(answer).expect("an answer");
    assert_eq!(parameters(&at_a), Some(("bufrag1", "bpasswordofatleast22chars1")));
    assert!(!at_a.contains(&Effect::RestartIce), "it has begun already");
    let after = a.signaling.state.transport.clone().expect("established").parameters;
    assert_eq!((after.ice_role, after.dtls_role), (before.ice_role, before.dtls_role));
    assert_eq!(after.fingerprints, before.fingerprints);
    rules::check_pair(&a, &b);
    // The next exchange keeps what there is now, from either side.
    let offer = b.send_offer();
    assert_eq!(ufrags(&offer), ["bufrag1", "bufrag1"]);
    let answer = a.reply(offer);
    assert_eq!(ufrags(&answer), ["aufrag1", "aufrag1"]);
    assert!(parameters(&b.set_remote(answer).expect("an answer")).is_none());
}

#[test]
fn an_offer_that_was_made_last_is_set_without_being_given_while_it_is_true() {
    let (mut a, _) = connected();
    let offer = offer_restart(&mut a);
    a.set_local(None).expect("the offer made last");
    assert_eq!(a.signaling.local_description(&a.local).map(|set| set.sdp), Some(offer.sdp));
    // Another track makes it untrue, and nobody wants a restart of the next.
    let (mut a, _) = connected();
    offer_restart(&mut a);
    a.track("screen", Kind::Video);
    a.set_local(None).expect("a new offer");
    let set = a.signaling.local_description(&a.local).expect("it was set");
    assert_eq!(ufrags(&set), ["aufrag0", "aufrag0", "aufrag0"]);
}

#[test]
fn a_first_offer_has_nothing_to_restart() {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    a.signaling.restart_ice();
    let offer = offer_restart(&mut a);
    assert_eq!(ufrags(&offer), ["aufrag0"]);
    assert!(!a.set_local(Some(offer.clone())).expect("our own offer").contains(&Effect::RestartIce));
    let answer = b.reply(offer);
    a.set_remote(answer).expect("an answer");
    assert!(!a.signaling.negotiation_needed(), "nothing had been signalled when it was asked for");
}

#[test]
fn an_application_that_asks_for_a_restart_needs_a_negotiation_until_it_is_done() {
    let (mut a, mut b) = connected();
    assert!(!a.signaling.negotiation_needed());
    a.signaling.restart_ice();
    assert!(a.signaling.negotiation_needed());
    // An exchange of the other side that does not restart does not do it.
    let offer = b.send_offer();
    let answer = a.reply(offer);
    assert_eq!(ufrags(&answer), ["aufrag0", "aufrag0"]);
    b.set_remote(answer).expect("an answer");
    assert!(a.signaling.negotiation_needed());
    // Nor does an offer that is taken back.
    assert_eq!(ufrags(&a.send_offer()), ["aufrag1", "aufrag1"], "without the option");
    let effects = a.set_local(Some(SessionDescription::rollback())).expect("rolled back");
    assert_eq!(effects[0], Effect::RollBackIceRestart);
    assert!(a.signaling.negotiation_needed());
    exchange(&mut a, &mut b);
    assert!(!a.signaling.negotiation_needed());
    assert_eq!(a.local.credentials.ufrag, "aufrag2");
    // A restart that the other side asks for does.
    a.signaling.restart_ice();
    let offer = offer_restart(&mut b);
    b.set_local(Some(offer.clone())).expect("our own offer");
    let answer = a.reply(offer);
    b.set_remote(answer).expect("an answer");
    assert!(!a.signaling.negotiation_needed());
}

#[test]
fn asking_again_while_a_restart_waits_replaces_it() {
    let (mut a, mut b) = connected();
    a.signaling.restart_ice();
    let first = a.send_offer();
    assert_eq!(ufrags(&a.offer()), ufrags(&first), "another offer goes on with the same restart");
    a.signaling.restart_ice();
    let offer = a.send_offer();
    assert_eq!(ufrags(&offer), ["aufrag2", "aufrag2"]);
    let answer = b.reply(offer);
    a.set_remote(answer).expect("an answer");
    assert!(!a.signaling.negotiation_needed());
    // Asked for after the offer, it is done with the next one.
    let offer = a.send_offer();
    a.signaling.restart_ice();
    let answer = b.reply(offer);
    a.set_remote(answer).expect("an answer");
    assert!(a.signaling.negotiation_needed());
}

#[test]
fn a_remote_restart_that_is_rolled_back_leaves_no_trace() {
    let (mut a, mut b) = connected();
    let offer = offer_restart(&mut a);
    b.set_remote(offer).expect("an offer");
    assert_eq!(ufrags(&b.answer()), ["bufrag1", "bufrag1"]);
    let effects = b.set_remote(SessionDescription::rollback()).expect("rolled back");
    assert!(effects.iter().all(|e| matches!(e, Effect::StateChanged(_))), "{effects:?}");
    assert_eq!(ufrags(&b.offer()), ["bufrag0", "bufrag0"]);
}

#[test]
fn restarts_that_cross_become_one() {
    let (mut polite, mut impolite) = connected();
    for side in [&mut polite, &mut impolite] {
        side.signaling.restart_ice();
    }
    polite.send_offer();
    let offer = impolite.send_offer();
    let effects = polite.set_remote(offer).expect("takes its own back");
    assert_eq!(effects[0], Effect::RollBackIceRestart);
    assert_eq!(polite.local.credentials.ufrag, "aufrag0");
    let answer = polite.answer();
    let effects = polite.set_local(Some(answer.clone())).expect("an answer");
    assert_eq!(effects[0], Effect::RestartIce);
    impolite.set_remote(answer).expect("an answer");
    assert_eq!(polite.local.credentials.ufrag, "aufrag2");
    assert_eq!(impolite.local.credentials.ufrag, "bufrag1");
    assert!(!polite.signaling.negotiation_needed() && !impolite.signaling.negotiation_needed());
    rules::check_pair(&polite, &impolite);
}

#[test]
fn a_provisional_answer_begins_the_generation_that_the_final_one_keeps() {
    let (mut a, mut b) = connected();
    let offer = offer_restart(&mut a);
    a.set_local(Some(offer.clone())).expect("our own offer");
    b.set_remote(offer).expect("an offer");
    let provisional = SessionDescription::new(SdpType::PrAnswer, b.answer().sdp);
    assert!(b.set_local(Some(provisional.clone())).expect("provisional").contains(&Effect::RestartIce));
    let answer = b.answer();
    assert_eq!(ufrags(&answer), ["bufrag1", "bufrag1"]);
    assert!(!b.set_local(Some(answer.clone())).expect("final").contains(&Effect::RestartIce));
    assert!(parameters(&a.set_remote(provisional).expect("provisional")).is_some());
    let other = SessionDescription::answer(answer.sdp.replace("bufrag1", "bufrag7"));
    assert_eq!(a.refused(|a| a.set_remote(other)), ErrorKind::Operation);
    assert!(parameters(&a.set_remote(answer).expect("final")).is_none());
}

#[test]
fn an_answer_restarts_if_and_only_if_the_offer_does() {
    let (mut a, mut b) = connected();
    let offer = offer_restart(&mut a);
    a.set_local(Some(offer.clone())).expect("our own offer");
    let answer = b.reply(offer);
    let stale = |text: &str| text.replace("bufrag1", "bufrag0").replace("22chars1", "22chars0");
    let unchanged = SessionDescription::answer(stale(&answer.sdp));
    assert_eq!(a.refused(|a| a.set_remote(unchanged)), ErrorKind::Operation);
    a.set_remote(answer).expect("the true one");
}

#[test]
fn an_answer_that_takes_nothing_takes_the_restart_back() {
    let (mut a, mut b) = connected();
    a.signaling.restart_ice();
    let offer = a.send_offer();
    let ids: Vec<_> = b.signaling.transceivers().map(|transceiver| transceiver.id()).collect();
    for id in ids {
        b.signaling.stop(id).expect("stopped");
    }
    let answer = b.reply(offer);
    let effects = a.set_remote(answer).expect("an answer");
    assert!(effects.contains(&Effect::RollBackIceRestart), "{effects:?}");
    assert!(!a.signaling.negotiation_needed());
    a.track("other", Kind::Audio);
    exchange(&mut a, &mut b);
    assert_eq!((&*a.local.credentials.ufrag, &*b.local.credentials.ufrag), ("aufrag0", "bufrag0"));
}

#[test]
fn candidates_wait_for_the_answer_to_a_restart_and_say_their_generation() {
    const OLD: &str = "candidate:1 1 udp 2122194687 192.0.2.1 5000 typ host";
    const NEW: &str = "candidate:1 1 udp 2122194687 192.0.2.9 5000 typ host";
    let candidate = |text: &str| Some(IceCandidate::new(text, Some("0".to_owned()), None));
    let given = |ufrag: &str, text: &str| Effect::RemoteCandidates {
        ufrag: ufrag.to_owned(),
        candidates: vec![text.to_owned()],
    };
    let (mut a, mut b) = connected();
    let effects = b.signaling.add_remote_candidate(candidate(OLD)).expect("a candidate");
    assert_eq!(effects, [given("aufrag0", OLD)]);
    assert_eq!(b.signaling.add_remote_candidate(None), Ok(vec![Effect::EndOfRemoteCandidates]));
    let offer = offer_restart(&mut a);
    b.set_remote(offer).expect("an offer");
    assert_eq!(b.signaling.add_remote_candidate(candidate(NEW)), Ok(Vec::new()));
    let mut late = IceCandidate::new(OLD, Some("0".to_owned()), None);
    late.username_fragment = Some("aufrag0".to_owned());
    assert_eq!(b.refused(|b| b.signaling.add_remote_candidate(Some(late.clone()))), ErrorKind::Operation);
    let effects = b.set_local(None).expect("an answer");
    assert!(effects.contains(&given("aufrag1", NEW)), "{effects:?}");
    assert!(!effects.contains(&Effect::EndOfRemoteCandidates), "of the new generation more may come");
    let effects = b.signaling.add_remote_candidate(candidate(OLD)).expect("a candidate");
    assert_eq!(effects, [given("aufrag1", OLD)], "the same address again, of the new generation");
    assert_eq!(b.signaling.add_remote_candidate(None), Ok(vec![Effect::EndOfRemoteCandidates]));
}

#[test]
fn descriptions_show_the_candidates_of_their_own_generation() {
    let host = |ufrag: &str| format!("candidate:1 1 udp 2122194687 192.0.2.1 5000 typ host ufrag {ufrag}");
    let (mut a, _) = connected();
    a.local.candidates = vec![host("aufrag0")];
    a.local.end_of_candidates = true;
    let offer = offer_restart(&mut a);
    assert_eq!(parse(&offer).media[0].candidates().count(), 0, "none is gathered yet");
    a.set_local(Some(offer)).expect("our own offer");
    a.local.candidates.push(host("aufrag1"));
    let shown = |description: Option<SessionDescription>| {
        let session = parse(&description.expect("a description"));
        let media = &session.media[0];
        (
            media.candidates().map(str::to_owned).collect::<Vec<_>>(),
            media.has(&taut_sdp::Attribute::EndOfCandidates),
        )
    };
    let text = |ufrag: &str| host(ufrag).replace("candidate:", "");
    assert_eq!(shown(a.signaling.pending_local_description(&a.local)), (vec![text("aufrag1")], true));
    assert_eq!(shown(a.signaling.current_local_description(&a.local)), (vec![text("aufrag0")], false));
}
