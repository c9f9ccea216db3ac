//! Applying descriptions (RFC 8829 sections 5.5 to 5.11): each function takes a copy of the state to its next one, or fails and
//! the copy is thrown away.

use std::sync::Arc;

use taut_dtls as dtls;
use taut_ice as ice;
use taut_sansio::rng::Rng;
use taut_sdp::{Direction, Media, Session, Setup};

use super::codecs::{codecs_of, common, mid_extension};
use super::config::{LocalTransport, SignalingConfig, SignalingState};
use super::effect::{DataParameters, ReceiveParameters, SendParameters};
use super::offer::Names;
use super::plan::{Plan, Purpose, purpose};
use super::remote::{self, RemoteTransport, transport_section};
use super::sections::without_candidates;
use super::state::{DataState, Description, Draft, Established, State};
use super::{answer, candidates, offer, restart, transceivers};
use crate::description::{SdpType, SessionDescription};
use crate::error::{Error, ErrorKind};
use crate::transceiver::{Negotiated, Origin, RemoteTrack, Transceiver, TransceiverId};

/// The message size of a section that does not say one (RFC 8841 section 6.1), in octets.
const DEFAULT_MESSAGE_SIZE: u64 = 65_536;

/// The SSRCs of one section that are remembered; packets of others are told by their MID or payload type.
const MAX_SSRCS: usize = 64;

/// Who wrote a description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Local,
    Remote,
}

fn invalid_state(kind: SdpType, state: SignalingState) -> Error {
    Error::new(ErrorKind::InvalidState, format!("{kind} cannot be set in the state {state:?}"))
}

/// Sets a local description; `None` makes the one that the state asks for.
pub(super) fn set_local(
    state: &mut State,
    config: &SignalingConfig,
    rng: &mut Rng,
    description: Option<SessionDescription>,
    local: &LocalTransport,
) -> Result<(), Error> {
    let implicit = match state.signaling {
        SignalingState::Stable | SignalingState::HaveLocalOffer | SignalingState::HaveRemotePranswer => {
            SdpType::Offer
        }
        _ => SdpType::Answer,
    };
    let kind = description.as_ref().map_or(implicit, |description| description.kind);
    let given = description.map(|description| description.sdp).filter(|sdp| !sdp.is_empty());
    match (kind, state.signaling) {
        (SdpType::Rollback, _) => state.roll_back(),
        (SdpType::Offer, SignalingState::Stable | SignalingState::HaveLocalOffer) => {
            let draft = match given {
                Some(sdp) => unmodified(state.last_offer.as_ref(), &sdp)?,
                None => offer::current(state, config, local)?,
            };
            apply_local_offer(state, &draft)
        }
        (
            SdpType::Answer | SdpType::PrAnswer,
            SignalingState::HaveRemoteOffer | SignalingState::HaveLocalPranswer,
        ) => {
            let draft = match given {
                Some(sdp) => unmodified(state.last_answer.as_ref(), &sdp)?,
                None => answer::create(state, config, local)?,
            };
            apply_answer(state, rng, Side::Local, kind, draft.session)
        }
        (kind, signaling) => Err(invalid_state(kind, signaling)),
    }
}

/// The draft that `sdp` is, candidates aside (RFC 8829 section 5.4).
fn unmodified(draft: Option<&Draft>, sdp: &str) -> Result<Draft, Error> {
    let modified =
        || Error::new(ErrorKind::InvalidModification, "the description is not the one that was made last");
    let given = Session::parse(sdp).map_err(syntax)?;
    draft.filter(|draft| *draft.session == without_candidates(given)).cloned().ok_or_else(modified)
}

fn syntax(error: taut_sdp::ParseError) -> Error {
    Error::new(ErrorKind::Syntax, error.to_string())
}

fn apply_local_offer(state: &mut State, draft: &Draft) -> Result<(), Error> {
    if state.signaling == SignalingState::HaveLocalOffer {
        state.restore_negotiated();
    } else {
        state.keep();
    }
    let session = &draft.session;
    for (index, id) in &draft.sections {
        let (Some(media), Some(transceiver)) = (session.media.get(*index), state.transceiver_mut(*id)) else {
            let message = "a transceiver of the offer is gone: make a new offer";
            return Err(Error::new(ErrorKind::InvalidModification, message));
        };
        let negotiated = &mut transceiver.negotiated;
        negotiated.index = Some(*index);
        negotiated.mid = media.mid().map(str::to_owned);
        // Media may come before the answer does.
        if negotiated.receive.is_none() && session.direction(media).receives() && !transceiver.is_stopped() {
            transceiver.negotiated.receive = Some(ReceiveParameters {
                kind: transceiver.kind,
                mid: media.mid().unwrap_or_default().to_owned(),
                codecs: codecs_of(media, transceiver.kind),
                ssrcs: Vec::new(),
                mid_extension: mid_extension(session, media),
            });
        }
    }
    state.gathering |= session.media.iter().any(|media| media.port != 0);
    state.ice.set(session);
    state.pending_local = Some(Description { kind: SdpType::Offer, session: Arc::clone(session) });
    state.signaling = SignalingState::HaveLocalOffer;
    Ok(())
}

/// Sets a remote description.
pub(super) fn set_remote(
    state: &mut State,
    rng: &mut Rng,
    description: &SessionDescription,
) -> Result<(), Error> {
    let kind = description.kind;
    if kind == SdpType::Rollback {
        return state.roll_back();
    }
    match (kind, state.signaling) {
        (SdpType::Offer, SignalingState::HaveLocalOffer) => state.roll_back()?,
        (SdpType::Offer, SignalingState::Stable | SignalingState::HaveRemoteOffer) => {}
        (SdpType::Offer, signaling) => return Err(invalid_state(kind, signaling)),
        _ => remote::check_answerable(state)?,
    }
    let session = Arc::new(Session::parse(&description.sdp).map_err(syntax)?);
    if kind == SdpType::Offer {
        return apply_remote_offer(state, rng, session);
    }
    let Some(offer) = state.pending_local.as_ref() else { return Err(invalid_state(kind, state.signaling)) };
    remote::check_answer(state, &offer.session, &session)?;
    apply_answer(state, rng, Side::Remote, kind, session)
}

fn apply_remote_offer(state: &mut State, rng: &mut Rng, session: Arc<Session>) -> Result<(), Error> {
    let mut replaced = Vec::new();
    if state.signaling == SignalingState::HaveRemoteOffer {
        let associated =
            |t: &Transceiver| t.negotiated.index.map(|index| (index, t.id, t.negotiated.clone()));
        replaced = state.transceivers.iter().filter_map(associated).collect();
        state.restore_negotiated();
    } else {
        state.keep();
    }
    let plan = remote::check_offer(state, &session)?;
    associate(state, rng, &session, &plan, &replaced);
    state.drop_unclaimed();
    for index in 0..session.media.len() {
        if let Some(media) = session.media.get(index) {
            let flows = plan.takes(index) && session.direction(media).sends();
            update_remote_track(state, index, media, flows);
        }
    }
    state.pending_remote = Some(Description { kind: SdpType::Offer, session });
    state.signaling = SignalingState::HaveRemoteOffer;
    state.last_offer = None;
    state.last_answer = None;
    candidates::hand_out(state);
    Ok(())
}

/// Gives each section that is taken its transceiver (RFC 8829 section 5.10).
fn associate(
    state: &mut State,
    rng: &mut Rng,
    session: &Session,
    plan: &Plan,
    replaced: &[(usize, TransceiverId, Negotiated)],
) {
    let mut names = Names::new(state);
    for (index, media) in session.media.iter().enumerate().filter(|(index, _)| plan.takes(*index)) {
        let Some(Purpose::Media(kind)) = purpose(media) else { continue };
        let fits = |t: &&Transceiver| t.kind == kind && !t.is_stopped();
        if state.at_index(index).filter(fits).is_some() {
            continue;
        }
        let mid = media.mid().map_or_else(|| names.next(), str::to_owned);
        let before = replaced.iter().find(|(at, id, negotiated)| {
            *at == index
                && negotiated.mid.as_ref() == Some(&mid)
                && state.transceiver(*id).filter(fits).is_some()
        });
        let direction = session.direction(media);
        let found = match before {
            Some((_, id, _)) => Some(*id),
            None => state
                .transceivers
                .iter()
                .filter(|t| fits(t) && t.origin == Origin::AddTrack && t.negotiated.index.is_none())
                .find(|_| direction.receives())
                .map(|t| t.id),
        };
        let id = found.unwrap_or_else(|| {
            let track_id = media.msids().find_map(|msid| msid.track.clone());
            transceivers::create_for_remote(state, rng, kind, track_id)
        });
        if let Some(transceiver) = state.transceiver_mut(id) {
            transceiver.negotiated.index = Some(index);
            transceiver.negotiated.mid = Some(mid);
        }
    }
}

/// What the other side says of its track (W3C section 5.3.1, "process the addition" and "the removal of a remote track").
fn update_remote_track(state: &mut State, index: usize, media: &Media, flows: bool) {
    let Some(id) = state.at_index(index).map(|transceiver| transceiver.id) else { return };
    let Some(transceiver) = state.transceiver_mut(id) else { return };
    let negotiated = &mut transceiver.negotiated;
    negotiated.remote_track = match (flows, negotiated.remote_track) {
        (true, _) => RemoteTrack::Live,
        (false, RemoteTrack::Unknown) => RemoteTrack::Unknown,
        (false, _) => RemoteTrack::Muted,
    };
    negotiated.remote_streams = if flows { streams(media) } else { Vec::new() };
}

/// The streams that a section names, once each; some old senders name them by their SSRC.
fn streams(media: &Media) -> Vec<String> {
    let by_source = media
        .sources()
        .filter(|source| source.name == "msid")
        .filter_map(|source| source.value.as_deref().and_then(|value| value.split(' ').next()));
    let mut streams: Vec<String> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let named = media.msids().map(|msid| msid.stream.as_str());
    let none = media.msids().next().is_none();
    for stream in named.chain(by_source.filter(|_| none)) {
        if stream != taut_sdp::Msid::NO_STREAM && seen.insert(stream) {
            streams.push(stream.to_owned());
        }
    }
    streams
}

/// Applies an answer of either side.
fn apply_answer(
    state: &mut State,
    rng: &mut Rng,
    side: Side,
    kind: SdpType,
    answer: Arc<Session>,
) -> Result<(), Error> {
    let offer = match side {
        Side::Local => state.pending_remote.as_ref(),
        Side::Remote => state.pending_local.as_ref(),
    };
    let Some(offer) = offer.map(|description| Arc::clone(&description.session)) else {
        return Err(invalid_state(kind, state.signaling));
    };
    let (local, remote) = match side {
        Side::Local => (&answer, &offer),
        Side::Remote => (&offer, &answer),
    };
    if side == Side::Local {
        state.ice.set(&answer);
    }
    if let Some(index) = transport_section(&answer) {
        establish(state, side, local, remote, index)?;
        state.gathering = true;
    } else if kind == SdpType::Answer {
        state.ice.refuse();
    }
    for index in 0..answer.media.len() {
        let agreed = answer.media.get(index).is_some_and(|media| media.port != 0);
        if let (Some(ours), Some(theirs)) = (local.media.get(index), remote.media.get(index)) {
            // An answer of ours may leave out what the offer would send.
            if side == Side::Remote || agreed {
                let flows = agreed && local.direction(ours).receives() && remote.direction(theirs).sends();
                update_remote_track(state, index, theirs, flows);
            }
            let section = Section { index, local, remote, ours, theirs };
            match agreed {
                true => section.agree(state, rng),
                false => section.refuse(state, kind),
            }
        }
    }
    let agreed = data(state.data, &answer, remote);
    // A provisional answer may still be replaced by one that takes the data section.
    if kind == SdpType::Answer || agreed != DataState::Refused {
        state.data = agreed;
    }
    put(state, side, kind, answer);
    candidates::hand_out(state);
    Ok(())
}

/// Puts the descriptions in their places.
fn put(state: &mut State, side: Side, kind: SdpType, session: Arc<Session>) {
    let description = Description { kind, session };
    let pending = match side {
        Side::Local => &mut state.pending_local,
        Side::Remote => &mut state.pending_remote,
    };
    *pending = Some(description);
    if kind == SdpType::PrAnswer {
        state.signaling = match side {
            Side::Local => SignalingState::HaveLocalPranswer,
            Side::Remote => SignalingState::HaveRemotePranswer,
        };
        return;
    }
    state.current_local = state.pending_local.take();
    state.current_remote = state.pending_remote.take();
    state.become_stable();
}

/// Fixes the parameters of the transport with the first answer. A later one has been checked to agree, but for the ICE credentials,
/// which a restart changes.
fn establish(
    state: &mut State,
    side: Side,
    local: &Session,
    remote: &Session,
    index: usize,
) -> Result<(), Error> {
    let missing = || Error::new(ErrorKind::Operation, "the descriptions do not agree on a transport");
    let ours = local.media.get(index).ok_or_else(missing)?;
    let theirs = RemoteTransport::read(remote, remote.media.get(index).ok_or_else(missing)?)?;
    let restart = restart::is_restart(state, &theirs);
    if let Some(established) = &mut state.transport {
        if restart {
            established.parameters.remote_ufrag = theirs.ufrag;
            established.parameters.remote_pwd = theirs.pwd;
            established.parameters.remote_lite = theirs.lite;
            state.given_candidates.clear();
            state.given_end = false;
        }
        return Ok(());
    }
    let active = match side {
        Side::Local => ours.setup() == Some(Setup::Active),
        Side::Remote => theirs.setup == Some(Setup::Passive),
    };
    let controlling = (side == Side::Remote || theirs.lite) && !local.is_ice_lite();
    state.transport = Some(Established {
        parameters: super::effect::TransportParameters {
            ice_role: if controlling { ice::Role::Controlling } else { ice::Role::Controlled },
            remote_ufrag: theirs.ufrag,
            remote_pwd: theirs.pwd,
            remote_lite: theirs.lite,
            fingerprints: theirs.fingerprints,
            dtls_role: if active { dtls::Role::Client } else { dtls::Role::Server },
        },
        tls_id: theirs.tls_id,
    });
    Ok(())
}

fn data(before: DataState, answer: &Session, remote: &Session) -> DataState {
    let mut sections =
        answer.media.iter().zip(&remote.media).filter(|(media, _)| purpose(media) == Some(Purpose::Data));
    let mut any = sections.clone();
    match sections.find(|(answered, _)| answered.port != 0) {
        Some((_, theirs)) => DataState::Agreed(DataParameters {
            port: theirs.sctp_port().unwrap_or(super::config::SCTP_PORT),
            max_message_size: usize::try_from(theirs.max_message_size().unwrap_or(DEFAULT_MESSAGE_SIZE))
                .unwrap_or(usize::MAX),
        }),
        None if any.next().is_some() => DataState::Refused,
        None => before,
    }
}

/// One section of a completed exchange.
struct Section<'a> {
    index: usize,
    local: &'a Session,
    remote: &'a Session,
    ours: &'a Media,
    theirs: &'a Media,
}

impl Section<'_> {
    /// Both sides take it.
    fn agree(&self, state: &mut State, rng: &mut Rng) {
        let Some(id) = state.at_index(self.index).map(|transceiver| transceiver.id) else { return };
        let Some(transceiver) = state.transceiver_mut(id) else { return };
        let direction =
            self.local.direction(self.ours).intersection(self.remote.direction(self.theirs).reversed());
        let stopped = transceiver.is_stopped();
        let (kind, preferences) = (transceiver.kind, transceiver.preferences.clone());
        let (ours, theirs) = (codecs_of(self.ours, kind), codecs_of(self.theirs, kind));
        let mid = transceiver.negotiated.mid.clone().unwrap_or_default();
        let extension = |ours: Option<u8>, theirs: Option<u8>| ours.and(theirs).and(ours);
        let (our_mid, their_mid) =
            (mid_extension(self.local, self.ours), mid_extension(self.remote, self.theirs));
        let sends = direction.sends() && !stopped;
        let receives = direction.receives() && !stopped;
        let send_codecs = common(theirs.clone(), &ours, &preferences);
        let send = sends.then(|| SendParameters {
            kind,
            mid: mid.clone(),
            ssrc: transceiver.ssrc,
            rtx_ssrc: send_codecs.iter().any(|codec| codec.rtx.is_some()).then_some(transceiver.rtx_ssrc),
            codecs: send_codecs,
            mid_extension: extension(their_mid, our_mid),
        });
        let receive = receives.then(|| ReceiveParameters {
            kind,
            mid,
            codecs: common(ours, &theirs, &[]),
            ssrcs: ssrcs(self.theirs),
            mid_extension: extension(our_mid, their_mid),
        });
        let ended = transceiver.negotiated.send.is_some() && send.is_none();
        transceiver.negotiated.current_direction = Some(direction);
        transceiver.negotiated.send = send;
        transceiver.negotiated.receive = receive;
        transceiver.has_sent |= sends;
        if ended {
            transceivers::draw_ssrcs(state, rng, id);
        }
    }

    /// One side does not take it.
    fn refuse(&self, state: &mut State, kind: SdpType) {
        let Some(id) = state.at_index(self.index).map(|transceiver| transceiver.id) else { return };
        let Some(transceiver) = state.transceiver_mut(id) else { return };
        transceiver.negotiated.send = None;
        transceiver.negotiated.receive = None;
        if kind == SdpType::Answer {
            transceiver.negotiated.stopped = true;
            transceiver.negotiated.current_direction = Some(Direction::Inactive);
        }
    }
}

/// The sources of a section, each with that of its retransmissions (RFC 5576 with `FID`).
fn ssrcs(media: &Media) -> Vec<(u32, Option<u32>)> {
    let mut repairs = std::collections::BTreeMap::new();
    for group in media.source_groups().filter(|group| group.semantics == "FID") {
        if let [primary, repair] = group.ssrcs[..] {
            repairs.insert(primary, repair);
        }
    }
    let repair: std::collections::BTreeSet<u32> = repairs.values().copied().collect();
    let primary = media.ssrcs().into_iter().filter(|ssrc| !repair.contains(ssrc));
    primary.take(MAX_SSRCS).map(|ssrc| (ssrc, repairs.get(&ssrc).copied())).collect()
}
