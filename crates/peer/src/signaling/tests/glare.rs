//! Offers that cross, rollback, and random sequences of operations against a small model of the state machine (W3C section 4.3).

use super::*;
use crate::transceiver::{Direction, Negotiated};

fn negotiated(side: &Side) -> Vec<(TransceiverId, Negotiated)> {
    side.signaling.transceivers().map(|t| (t.id(), t.negotiated.clone())).collect()
}

#[test]
fn a_local_offer_is_rolled_back() {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    exchange(&mut a, &mut b);
    let before = negotiated(&a);
    let id = a.track("cam", Kind::Video);
    a.send_offer();
    assert!(a.signaling.transceiver(id).is_some_and(|t| t.mid() == Some("1")));
    let effects = a.set_local(Some(SessionDescription::rollback())).expect("rolled back");
    assert!(effects.contains(&Effect::StateChanged(SignalingState::Stable)));
    assert_eq!(negotiated(&a)[..1], before[..]);
    assert!(a.signaling.transceiver(id).is_some_and(|t| t.mid().is_none()), "kept, and offered again");
    assert!(a.signaling.negotiation_needed());
    assert_eq!(a.signaling.pending_local_description(&a.local), None);
    exchange(&mut a, &mut b);
}

#[test]
fn a_remote_offer_is_rolled_back() {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    a.track("cam", Kind::Video);
    let offer = a.send_offer();
    let effects = b.set_remote(offer.clone()).expect("an offer");
    assert_eq!(effects.iter().filter(|e| matches!(e, Effect::Track { .. })).count(), 2);
    // A track attached meanwhile keeps its transceiver, the other one goes.
    let kept = b.track("mine", Kind::Video);
    let effects = b.set_remote(SessionDescription::rollback()).expect("rolled back");
    assert_eq!(effects.iter().filter(|e| matches!(e, Effect::TransceiverStopped(_))).count(), 1);
    assert!(effects.contains(&Effect::TrackMuted(kept)));
    let left: Vec<_> = b.signaling.transceivers().map(|t| (t.id(), t.mid().is_some())).collect();
    assert_eq!(left, [(kept, false)]);
    assert_eq!(b.signaling.remote_description(), None);
    // The same from the local side.
    b.set_remote(offer.clone()).expect("an offer");
    b.set_local(Some(SessionDescription::rollback())).expect("rolled back");
    assert_eq!(b.signaling.state(), SignalingState::Stable);
    let answer = b.reply(offer);
    a.set_remote(answer).expect("an answer");
    rules::check_pair(&a, &b);
    assert!(b.signaling.transceiver(kept).is_none_or(|t| t.mid().is_some()));
}

#[test]
fn the_polite_side_gives_way() {
    let (mut polite, mut impolite) = pair();
    polite.track("mic", Kind::Audio);
    impolite.track("mic", Kind::Audio);
    impolite.track("cam", Kind::Video);
    polite.send_offer();
    let offer = impolite.send_offer();
    let effects = polite.set_remote(offer).expect("takes its own back");
    assert!(effects.contains(&Effect::StateChanged(SignalingState::HaveRemoteOffer)));
    let answer = polite.answer();
    polite.set_local(Some(answer.clone())).expect("an answer");
    impolite.set_remote(answer).expect("an answer");
    rules::check_pair(&polite, &impolite);
    assert_eq!(polite.signaling.transceivers().count(), 2, "the track found its section");
    assert!(!polite.signaling.negotiation_needed() && !impolite.signaling.negotiation_needed());
}

#[test]
fn a_failed_offer_does_not_take_back_the_local_one() {
    let (mut a, _) = pair();
    a.track("mic", Kind::Audio);
    a.send_offer();
    assert_eq!(a.refused(|a| a.set_remote(SessionDescription::offer("nonsense"))), ErrorKind::Syntax);
    assert_eq!(a.signaling.state(), SignalingState::HaveLocalOffer);
}

#[test]
fn an_offer_is_replaced_by_a_newer_one() {
    let (mut a, mut b) = pair();
    a.track("mic", Kind::Audio);
    let first = a.send_offer();
    b.set_remote(first).expect("an offer");
    let ids: Vec<_> = b.signaling.transceivers().map(|t| t.id()).collect();
    a.track("cam", Kind::Video);
    let second = a.send_offer();
    let effects = b.set_remote(second).expect("a newer offer");
    assert_eq!(
        b.signaling.transceivers().next().map(|t| t.id()),
        ids.first().copied(),
        "the same transceiver"
    );
    assert_eq!(effects.iter().filter(|e| matches!(e, Effect::Track { .. })).count(), 1, "the new track only");
    let answer = b.answer();
    b.set_local(Some(answer.clone())).expect("an answer");
    a.set_remote(answer).expect("an answer");
    rules::check_pair(&a, &b);
}

/// What is on its way from one side to the other, in order.
#[derive(Default)]
struct Wire {
    queue: std::collections::VecDeque<SessionDescription>,
}

/// Perfect negotiation (W3C section 10.7) between two sides, driven one step at a time.
struct Negotiation {
    sides: [Side; 2],
    wires: [Wire; 2],
    ignored: [bool; 2],
    next_track: u32,
}

impl Negotiation {
    fn new(seed: u64) -> Self {
        let sides = [Side::new("a", seed * 2 + 1), Side::new("b", seed * 2 + 2)];
        Self { sides, wires: [Wire::default(), Wire::default()], ignored: [false; 2], next_track: 0 }
    }

    /// Something that the application does.
    fn command(&mut self, at: usize, rng: &mut Rng) {
        let side = &mut self.sides[at];
        let ids: Vec<_> = side.signaling.transceivers().map(|t| t.id()).collect();
        let pick = ids.get(rng.below(ids.len() as u32) as usize).copied();
        let kind = if rng.below(2) == 0 { Kind::Audio } else { Kind::Video };
        match (rng.below(9), pick) {
            (0 | 1, _) if ids.len() < 6 => {
                self.next_track += 1;
                side.track(&format!("t{}", self.next_track), kind);
            }
            (2, _) if ids.len() < 6 => {
                side.signaling.add_transceiver(kind, Default::default()).map(drop).expect("added")
            }
            (3, Some(id)) => side.signaling.remove_track(id).expect("removed"),
            (4 | 5, Some(id)) => {
                let direction =
                    [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
                let result = side.signaling.set_direction(id, direction[rng.below(4) as usize]);
                assert!(result.is_ok() || side.signaling.transceiver(id).is_some_and(|t| t.is_stopped()));
            }
            (6, Some(id)) => drop(side.signaling.stop(id).expect("stopped")),
            (7, _) => side.signaling.want_data_channel(),
            (8, _) => side.signaling.restart_ice(),
            _ => {}
        }
    }

    /// Offers if an offer is needed.
    fn offer(&mut self, at: usize) -> bool {
        if !self.sides[at].signaling.negotiation_needed() {
            return false;
        }
        let offer = self.sides[at].send_offer();
        self.wires[at].queue.push_back(offer);
        true
    }

    /// Takes an own offer back; the other side will not be told, so this is done only before it has left.
    fn roll_back(&mut self, at: usize) {
        let side = &mut self.sides[at];
        if side.signaling.state() != SignalingState::Stable || !side.signaling.negotiation_needed() {
            return;
        }
        let before = negotiated(side);
        side.send_offer();
        side.set_local(Some(SessionDescription::rollback())).expect("rolled back");
        assert_eq!(negotiated(side), before);
    }

    /// Delivers the next description to `at`.
    fn deliver(&mut self, at: usize) -> bool {
        let Some(description) = self.wires[1 - at].queue.pop_front() else { return false };
        let polite = at == 1;
        let side = &mut self.sides[at];
        let collision =
            description.kind == SdpType::Offer && side.signaling.state() != SignalingState::Stable;
        self.ignored[at] = !polite && collision;
        if self.ignored[at] {
            return true;
        }
        let offer = description.kind == SdpType::Offer;
        if offer {
            let answer = side.reply(description);
            self.wires[at].queue.push_back(answer);
        } else {
            side.set_remote(description).expect("an answer");
            let [a, b] = &self.sides;
            if self.wires.iter().all(|wire| wire.queue.is_empty())
                && states(a, b) == (SignalingState::Stable, SignalingState::Stable)
            {
                rules::check_pair(a, b);
            }
        }
        true
    }

    /// Runs until nothing is needed and nothing is on its way.
    fn settle(&mut self, rng: &mut Rng) {
        for _ in 0..200 {
            let first = rng.below(2) as usize;
            let moved = [first, 1 - first].into_iter().any(|at| self.deliver(at) || self.offer(at));
            if !moved {
                return;
            }
        }
        let [a, b] = &self.sides;
        panic!("no end: {:#?} {:#?}", a.signaling.state.transceivers, b.signaling.state.transceivers);
    }
}

#[test]
fn random_negotiations_come_to_an_end() {
    for seed in 0..100 {
        let mut rng = Rng::from_u64(seed);
        let mut negotiation = Negotiation::new(seed);
        for _ in 0..40 {
            let at = rng.below(2) as usize;
            match rng.below(6) {
                0..=2 => negotiation.command(at, &mut rng),
                3 => drop(negotiation.offer(at)),
                4 => drop(negotiation.deliver(at)),
                _ => negotiation.roll_back(at),
            }
        }
        negotiation.settle(&mut rng);
        let [a, b] = &negotiation.sides;
        assert_eq!(states(a, b), (SignalingState::Stable, SignalingState::Stable), "seed {seed}");
        assert!(!a.signaling.negotiation_needed() && !b.signaling.negotiation_needed(), "seed {seed}");
        rules::check_pair(a, b);
    }
}

/// The state machine of W3C section 4.3.1, as a table.
fn model(state: SignalingState, local: bool, kind: SdpType) -> Option<SignalingState> {
    use SignalingState::{HaveLocalOffer, HaveLocalPranswer, HaveRemoteOffer, HaveRemotePranswer, Stable};
    match (state, local, kind) {
        (Stable | HaveLocalOffer, true, SdpType::Offer) => Some(HaveLocalOffer),
        (Stable | HaveRemoteOffer | HaveLocalOffer, false, SdpType::Offer) => Some(HaveRemoteOffer),
        (HaveRemoteOffer | HaveLocalPranswer, true, SdpType::Answer) => Some(Stable),
        (HaveRemoteOffer | HaveLocalPranswer, true, SdpType::PrAnswer) => Some(HaveLocalPranswer),
        (HaveLocalOffer | HaveRemotePranswer, false, SdpType::Answer) => Some(Stable),
        (HaveLocalOffer | HaveRemotePranswer, false, SdpType::PrAnswer) => Some(HaveRemotePranswer),
        (HaveLocalOffer | HaveRemoteOffer, _, SdpType::Rollback) => Some(Stable),
        _ => None,
    }
}

#[test]
fn random_calls_follow_the_state_machine() {
    for seed in 0..200 {
        let mut rng = Rng::from_u64(seed);
        let mut a = Side::new("a", seed + 1);
        a.track("mic", Kind::Audio);
        a.track("cam", Kind::Video);
        let mut stable = negotiated(&a);
        for _ in 0..40 {
            let local = rng.below(2) == 0;
            let kind = [SdpType::Offer, SdpType::PrAnswer, SdpType::Answer, SdpType::Rollback]
                [rng.below(4) as usize];
            let state = a.signaling.state();
            let expected = model(state, local, kind);
            // The other side is a fresh one each time, always with the same transport.
            let description = match (local, kind) {
                (true, _) | (_, SdpType::Rollback) => SessionDescription::new(kind, ""),
                (false, SdpType::Offer) => remote_offer(&a),
                (false, _) => SessionDescription::new(kind, remote_answer(&a)),
            };
            let before = a.signaling.state.clone();
            let result = if local { a.set_local(Some(description)) } else { a.set_remote(description) };
            match (expected, result) {
                (Some(next), Ok(_)) => {
                    assert_eq!(a.signaling.state(), next, "seed {seed}: {kind} in {state:?}");
                    if kind == SdpType::Rollback {
                        assert_eq!(negotiated(&a), stable, "seed {seed}");
                    }
                }
                (None, Err(error)) => {
                    assert_eq!(
                        error.kind,
                        ErrorKind::InvalidState,
                        "seed {seed}: {kind} in {state:?}: {error}"
                    );
                    assert_eq!(a.signaling.state, before);
                }
                (expected, result) => panic!("seed {seed}: {kind} in {state:?}: {expected:?} but {result:?}"),
            }
            if a.signaling.state() == SignalingState::Stable {
                stable = negotiated(&a);
            }
        }
    }
}

/// An offer of the other side: the sections that there are, all of them both ways.
fn remote_offer(a: &Side) -> SessionDescription {
    let mut b = Side::new("b", 1000);
    let current = a.signaling.state.current_local.as_ref().map(|description| description.session.to_string());
    match current {
        Some(text) if text.contains("m=") => {
            let text = text
                .replace("a=setup:active", "a=setup:actpass")
                .replace("a=setup:passive", "a=setup:actpass");
            let lines = text.split_inclusive("\r\n").map(|line| match line.split_once(':') {
                Some(("a=ice-ufrag", _)) => format!("a=ice-ufrag:{}\r\n", b.local.credentials.ufrag),
                Some(("a=ice-pwd", _)) => format!("a=ice-pwd:{}\r\n", b.local.credentials.pwd),
                Some(("a=fingerprint", _)) => format!("a=fingerprint:{}\r\n", b.local.fingerprints[0]),
                _ => line.to_owned(),
            });
            SessionDescription::offer(lines.collect::<String>())
        }
        _ => {
            b.track("mic", Kind::Audio);
            b.track("cam", Kind::Video);
            b.offer()
        }
    }
}

/// An answer of the other side to the offer that waits, or nonsense if none does.
fn remote_answer(a: &Side) -> String {
    let Some(offer) = a.signaling.pending_local_description(&a.local).filter(|d| d.kind == SdpType::Offer)
    else {
        return String::new();
    };
    let mut b = Side::new("b", 1000);
    b.local.dtls_role = a.local.dtls_role.map(|role| match role {
        dtls::Role::Client => dtls::Role::Server,
        _ => dtls::Role::Client,
    });
    b.set_remote(offer).expect("an offer");
    b.answer().sdp
}
