//! Tests of the negotiation: what the modules share.

mod bounds;
mod captured;
mod errors;
mod glare;
mod restart;
mod rules;
mod sessions;
mod trickle;

use taut_dtls as dtls;
use taut_ice as ice;
use taut_media::Kind;
use taut_sansio::rng::Rng;
use taut_sdp::Session;

use super::{Effect, LocalTransport, OfferOptions, Signaling, SignalingConfig, SignalingState};
use crate::description::{SdpType, SessionDescription};
use crate::error::{Error, ErrorKind};
use crate::transceiver::{TrackInfo, TransceiverId};

/// One side of a negotiation, with a transport that is told apart by `name`.
#[derive(Debug)]
struct Side {
    signaling: Signaling,
    local: LocalTransport,
    name: String,
    /// How many sets of ICE credentials there were.
    generations: u32,
    /// Those that a rollback goes back to.
    before: Option<ice::Credentials>,
}

fn credentials(name: &str, generation: u32) -> ice::Credentials {
    ice::Credentials {
        ufrag: format!("{name}ufrag{generation}"),
        pwd: format!("{name}passwordofatleast22chars{generation}"),
    }
}

impl Side {
    fn new(name: &str, seed: u64) -> Self {
        let fingerprint = dtls::Fingerprint {
            algorithm: dtls::HashAlgorithm::Sha256,
            value: vec![seed.to_be_bytes()[7]; 32],
        };
        let local = LocalTransport {
            credentials: credentials(name, 0),
            next_credentials: credentials(name, 1),
            fingerprints: vec![fingerprint],
            candidates: Vec::new(),
            end_of_candidates: false,
            dtls_role: None,
        };
        let config = SignalingConfig::default().with_cname(name);
        Self {
            signaling: Signaling::new(config, Rng::from_u64(seed)),
            local,
            name: name.to_owned(),
            generations: 2,
            before: None,
        }
    }

    fn track(&mut self, id: &str, kind: Kind) -> TransceiverId {
        self.signaling.add_track(TrackInfo::new(id, kind), vec!["stream".to_owned()]).expect("a track")
    }

    fn offer(&mut self) -> SessionDescription {
        self.signaling.create_offer(&self.local, OfferOptions::default()).expect("an offer")
    }

    fn answer(&mut self) -> SessionDescription {
        self.signaling.create_answer(&self.local).expect("an answer")
    }

    /// Sets a local description and does what a transport would with what comes of it.
    fn set_local(&mut self, description: Option<SessionDescription>) -> Result<Vec<Effect>, Error> {
        let result = self.signaling.set_local(description, &self.local);
        self.note(result)
    }

    fn set_remote(&mut self, description: SessionDescription) -> Result<Vec<Effect>, Error> {
        let result = self.signaling.set_remote(description);
        self.note(result)
    }

    fn note(&mut self, result: Result<Vec<Effect>, Error>) -> Result<Vec<Effect>, Error> {
        for effect in result.iter().flatten() {
            match effect {
                Effect::Transport(parameters) => self.local.dtls_role = Some(parameters.dtls_role),
                Effect::RestartIce => {
                    let next = credentials(&self.name, self.generations);
                    self.generations += 1;
                    let begun = std::mem::replace(&mut self.local.next_credentials, next);
                    self.before = Some(std::mem::replace(&mut self.local.credentials, begun));
                }
                Effect::RollBackIceRestart => {
                    self.local.credentials = self.before.take().expect("a generation to go back to");
                }
                _ => {}
            }
        }
        result
    }

    /// Makes and sets an offer.
    fn send_offer(&mut self) -> SessionDescription {
        let offer = self.offer();
        rules::check_offer(&parse(&offer));
        self.set_local(Some(offer.clone())).expect("our own offer");
        offer
    }

    /// Takes an offer, makes and sets the answer.
    fn reply(&mut self, offer: SessionDescription) -> SessionDescription {
        let parsed = parse(&offer);
        self.set_remote(offer).expect("an offer");
        let answer = self.answer();
        rules::check_answer(&parsed, &parse(&answer));
        self.set_local(Some(answer.clone())).expect("our own answer");
        answer
    }

    /// The error of a call that must have changed nothing.
    fn refused(&mut self, call: impl FnOnce(&mut Self) -> Result<Vec<Effect>, Error>) -> ErrorKind {
        let before = self.signaling.state.clone();
        let error = call(self).expect_err("must be refused");
        assert_eq!(self.signaling.state, before, "a call that failed has changed something: {error}");
        error.kind
    }
}

/// One exchange from `a` to `b`, with the checks of [`rules::check_pair`].
fn exchange(a: &mut Side, b: &mut Side) -> (Vec<Effect>, Vec<Effect>) {
    let offer = a.send_offer();
    let parsed = parse(&offer);
    let mut at_b = b.set_remote(offer).expect("an offer");
    let answer = b.answer();
    rules::check_answer(&parsed, &parse(&answer));
    at_b.extend(b.set_local(Some(answer.clone())).expect("our own answer"));
    let at_a = a.set_remote(answer).expect("an answer");
    rules::check_pair(a, b);
    (at_a, at_b)
}

fn pair() -> (Side, Side) {
    (Side::new("a", 1), Side::new("b", 2))
}

fn parse(description: &SessionDescription) -> Session {
    Session::parse(&description.sdp).unwrap_or_else(|error| panic!("{error} in\n{}", description.sdp))
}

fn states(a: &Side, b: &Side) -> (SignalingState, SignalingState) {
    (a.signaling.state(), b.signaling.state())
}
