//! Descriptions in any order, two generations and more: what a browser said, with lines changed, or any text.
//! An error changes nothing, and what is made parses.
#![no_main]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use taut_fuzz::{OPERATIONS, drain};
use taut_peer::{
    Certificate, ChannelInit, Config, Direction, IceCandidate, Kind, OfferOptions, Peer, SdpType,
    SessionDescription, TransceiverInit,
};
use taut_sansio::time::WallClock;

const TEXTS: [&str; 6] = [
    include_str!("../../crates/sdp/tests/data/captured/chromium-156-offer-av-data.sdp"),
    include_str!("../../crates/sdp/tests/data/captured/firefox-esr-153-offer-av-data.sdp"),
    include_str!("../../crates/sdp/tests/data/captured/chromium-156-offer-simulcast.sdp"),
    include_str!("../../crates/sdp/tests/data/captured/chromium-156-offer-data.sdp"),
    include_str!("../../crates/sdp/tests/data/captured/chromium-156-answer-to-firefox-esr-153-av-data.sdp"),
    include_str!("../../crates/sdp/tests/data/rfc/jsep-offer-B1.sdp"),
];

/// Lays changes over the lines of a text: each is a line, what to do with it, and a piece of text.
fn edit(text: &str, changes: Vec<(u8, u8, String)>) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (place, what, piece) in changes.into_iter().take(16) {
        if lines.is_empty() {
            break;
        }
        let place = usize::from(place) % lines.len();
        match what % 7 {
            0 => lines[place] = piece,
            1 => lines.insert(place, piece),
            2 => drop(lines.remove(place)),
            3 => {
                let line = lines[place].clone();
                lines.insert(place, line);
            }
            4 => lines[place].push_str(&piece),
            5 => {
                // One word becomes another.
                let mut words: Vec<&str> = lines[place].split(' ').collect();
                let word = usize::from(what / 7) % words.len();
                words[word] = &piece;
                lines[place] = words.join(" ");
            }
            _ => {
                let other = usize::from(what / 7) * 3 % lines.len();
                lines.swap(place, other);
            }
        }
    }
    lines.iter().flat_map(|line| [line, "\r\n"]).collect()
}

struct Side {
    peer: Peer,
    now: Instant,
}

impl Side {
    fn new() -> Self {
        static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
        let unix = Duration::from_secs(1_700_000_000);
        let certificate = CERTIFICATE.get_or_init(|| Certificate::generate(unix).expect("a certificate"));
        let now = Instant::now();
        let config = Config::default().with_certificate(certificate.clone());
        let peer = Peer::new(config, WallClock { instant: now, unix }, [7; 32]).expect("a peer");
        Self { peer, now }
    }

    /// Everything that a failed command must leave alone.
    fn state(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let transceivers: Vec<String> = self.peer.transceivers().map(|t| format!("{t:?}")).collect();
        let peer = &self.peer;
        let current = (peer.current_local_description(), peer.current_remote_description());
        let pending = (peer.pending_local_description(), peer.pending_remote_description());
        (peer.signaling_state(), current, pending, transceivers)
    }

    fn set(&mut self, description: Option<SessionDescription>, remote: bool) {
        let before = self.state();
        let result = match description {
            Some(description) if remote => self.peer.set_remote_description(self.now, description),
            description => self.peer.set_local_description(self.now, description),
        };
        if result.is_err() {
            assert_eq!(self.state(), before, "an error changed something: {result:?}");
        }
    }

    fn make(&mut self, answer: bool, options: OfferOptions) {
        let made = match answer {
            true => self.peer.create_answer(self.now),
            false => self.peer.create_offer(self.now, options),
        };
        if let Ok(made) = made {
            check(&made);
            // What was just made may be set, unless it is for another state.
            self.peer.set_local_description(self.now, Some(made)).expect("what was made can be set");
        }
    }
}

fn check(description: &SessionDescription) {
    if let Err(error) = taut_sdp::Session::parse(&description.sdp) {
        panic!("{error:?} in\n{}", description.sdp);
    }
}

/// What the flags ask for: `0x01` media, `0x02` a data channel, `0x04` a first generation offered by the other side,
/// `0x08` one offered by us, `0x10` an offer of ours pending, `0x20` one of a browser pending, `0x40` which.
fn prepare(flags: u8) -> [Side; 2] {
    let (mut side, mut other) = (Side::new(), Side::new());
    let now = side.now;
    for side in [&mut side, &mut other] {
        for kind in [Kind::Audio, Kind::Video].into_iter().filter(|_| flags & 0x01 != 0) {
            side.peer.add_transceiver(now, kind, TransceiverInit::default()).expect("a transceiver");
        }
        if flags & 0x02 != 0 {
            side.peer.create_data_channel(now, ChannelInit::new("d")).expect("a channel");
        }
    }
    if flags & 0x03 != 0 {
        for (wanted, answers) in [(0x04, true), (0x08, false)] {
            if flags & wanted != 0 {
                let (offerer, answerer) =
                    if answers { (&mut other, &mut side) } else { (&mut side, &mut other) };
                let offer = offerer.peer.create_offer(now, OfferOptions::default()).expect("an offer");
                offerer.peer.set_local_description(now, Some(offer.clone())).expect("it is set");
                answerer.peer.set_remote_description(now, offer).expect("it is taken");
                let answer = answerer.peer.create_answer(now).expect("an answer");
                answerer.peer.set_local_description(now, Some(answer.clone())).expect("it is set");
                offerer.peer.set_remote_description(now, answer).expect("it is taken");
            }
        }
    }
    if flags & 0x10 != 0 {
        side.make(false, OfferOptions::default());
    } else if flags & 0x20 != 0 {
        let text = TEXTS[usize::from(flags >> 6 & 1)];
        let _ = side.peer.set_remote_description(now, SessionDescription::offer(text));
    }
    [side, other]
}

/// An operation: which, an argument, a text, and changes to it.
type Operation = (u8, u8, String, Vec<(u8, u8, String)>);

fuzz_target!(|input: (u8, Vec<Operation>)| {
    let (flags, operations) = input;
    let [mut side, mut other] = prepare(flags);
    let now = side.now;
    for (operation, argument, text, changes) in operations.into_iter().take(OPERATIONS / 4) {
        let kind = match argument & 3 {
            0 | 1 => SdpType::Offer,
            2 => SdpType::Answer,
            _ => SdpType::PrAnswer,
        };
        let id = side.peer.transceivers().nth(usize::from(argument >> 2)).map(|transceiver| transceiver.id());
        match operation % 21 {
            0..=3 => {
                let base = TEXTS[usize::from(argument >> 2) % TEXTS.len()];
                side.set(Some(SessionDescription::new(kind, edit(base, changes))), true);
            }
            4 => side.set(Some(SessionDescription::new(kind, text)), true),
            5..=6 => {
                // What another stack would answer to our offer: our own answer, changed.
                let Some(offer) = side.peer.pending_local_description() else { continue };
                if other.peer.set_remote_description(now, offer).is_err() {
                    continue;
                }
                let Ok(answer) = other.peer.create_answer(now) else { continue };
                let _ = other.peer.set_local_description(now, Some(answer.clone()));
                let kind = if argument & 1 == 0 { SdpType::Answer } else { SdpType::PrAnswer };
                side.set(Some(SessionDescription::new(kind, edit(&answer.sdp, changes))), true);
            }
            7 => {
                // An offer of our own kind, changed.
                let Ok(offer) = other.peer.create_offer(now, OfferOptions::default()) else { continue };
                side.set(Some(SessionDescription::offer(edit(&offer.sdp, changes))), true);
            }
            8..=9 => side.make(true, OfferOptions::default()),
            10 => side.make(false, OfferOptions::default().with_ice_restart(argument & 1 != 0)),
            11 => side.set(None, false),
            12 => side.set(Some(SessionDescription::rollback()), argument & 1 == 0),
            13 => {
                let Some(description) = side.peer.local_description() else { continue };
                side.set(Some(SessionDescription::new(kind, edit(&description.sdp, changes))), false);
            }
            14 => {
                let candidate = IceCandidate::new(text, Some("0".into()), Some(u16::from(argument)));
                let _ = side.peer.add_ice_candidate(now, (argument & 1 == 0).then_some(candidate));
            }
            15 => {
                let kind = if argument & 1 == 0 { Kind::Audio } else { Kind::Video };
                let _ = side.peer.add_transceiver(now, kind, TransceiverInit::default());
                let _ = other.peer.add_transceiver(now, kind, TransceiverInit::default());
            }
            16 => {
                let _ = side.peer.create_data_channel(now, ChannelInit::new("d"));
                let _ = other.peer.create_data_channel(now, ChannelInit::new("d"));
            }
            17 => {
                let Some(id) = id else { continue };
                let direction =
                    [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
                let _ = side.peer.set_direction(now, id, direction[usize::from(argument & 3)]);
            }
            18 => {
                let Some(id) = id else { continue };
                let _ = side.peer.stop_transceiver(now, id);
            }
            19 => {
                side.peer.restart_ice(now);
                other.peer.restart_ice(now);
            }
            _ => drain(|| side.peer.poll_event().is_some()),
        }
        if let Some(description) = side.peer.local_description() {
            check(&description);
        }
        if let Some(description) = side.peer.remote_description() {
            check(&description);
        }
    }
    drain(|| side.peer.poll_event().is_some());
});
