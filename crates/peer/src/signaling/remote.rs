//! What a remote description must hold before anything of it is applied (RFC 8829 sections 5.8.3, 5.10 and 5.11).

use std::collections::BTreeMap;

use taut_dtls as dtls;
use taut_sdp::{Attribute, HashAlgorithm, Media, Session, Setup};

use super::codecs;
use super::config::SignalingState;
use super::plan::{self, Plan, Purpose, purpose};
use super::restart;
use super::state::State;
use crate::error::{Error, ErrorKind};

/// The bounds of RFC 8839 section 5.4, in characters.
const UFRAG: std::ops::RangeInclusive<usize> = 4..=256;
const PWD: std::ops::RangeInclusive<usize> = 22..=256;

/// The ICE and DTLS parameters that hold for a section, its own or the session's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteTransport {
    pub(super) ufrag: String,
    pub(super) pwd: String,
    pub(super) lite: bool,
    pub(super) fingerprints: Vec<dtls::Fingerprint>,
    pub(super) setup: Option<Setup>,
    pub(super) tls_id: Option<String>,
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidAccess, message)
}

impl RemoteTransport {
    /// Reads the parameters of a section.
    ///
    /// # Errors
    /// `InvalidAccess` if the ICE credentials or the fingerprint are missing or unfit.
    pub(super) fn read(session: &Session, media: &Media) -> Result<Self, Error> {
        let ufrag = media
            .ice_ufrag()
            .or_else(|| session.ice_ufrag())
            .ok_or_else(|| invalid("a=ice-ufrag is missing"))?;
        let pwd =
            media.ice_pwd().or_else(|| session.ice_pwd()).ok_or_else(|| invalid("a=ice-pwd is missing"))?;
        check_credential("a=ice-ufrag", ufrag, UFRAG)?;
        check_credential("a=ice-pwd", pwd, PWD)?;
        let own = fingerprints(media.fingerprints());
        let tls_id = |attributes: &[Attribute]| {
            attributes.iter().find_map(|a| if let Attribute::TlsId(id) = a { Some(id.clone()) } else { None })
        };
        let transport = Self {
            ufrag: ufrag.to_owned(),
            pwd: pwd.to_owned(),
            lite: session.is_ice_lite(),
            fingerprints: if media.fingerprints().next().is_some() {
                own
            } else {
                fingerprints(session.fingerprints())
            },
            setup: media.setup().or_else(|| session.setup()),
            tls_id: tls_id(&media.attributes).or_else(|| tls_id(&session.attributes)),
        };
        if transport.fingerprints.is_empty() {
            return Err(invalid("there is no a=fingerprint with SHA-256, SHA-384 or SHA-512"));
        }
        Ok(transport)
    }
}

/// Those of the strongest hash that is there and may be used: one of them must match the certificate, and weaker ones
/// do not count (RFC 8122 sections 5 and 5.1).
fn fingerprints<'a>(all: impl Iterator<Item = &'a taut_sdp::Fingerprint>) -> Vec<dtls::Fingerprint> {
    let usable = all.filter_map(|print| {
        let algorithm = match print.algorithm {
            HashAlgorithm::Sha256 => dtls::HashAlgorithm::Sha256,
            HashAlgorithm::Sha384 => dtls::HashAlgorithm::Sha384,
            HashAlgorithm::Sha512 => dtls::HashAlgorithm::Sha512,
            _ => return None,
        };
        Some(dtls::Fingerprint { algorithm, value: print.value.clone() })
    });
    let mut prints: Vec<dtls::Fingerprint> = usable.collect();
    let strongest = prints.iter().map(|print| print.value.len()).max();
    prints.retain(|print| Some(print.value.len()) == strongest);
    prints
}

/// Lengths are strict; besides `ice-char` the characters that older agents use are taken.
fn check_credential(name: &str, value: &str, length: std::ops::RangeInclusive<usize>) -> Result<(), Error> {
    let known =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'=' | b'#' | b'_');
    if !length.contains(&value.len()) {
        return Err(invalid(format!(
            "{name} has {} characters, not {} to {}",
            value.len(),
            length.start(),
            length.end()
        )));
    }
    if !value.bytes().all(known) {
        return Err(invalid(format!("{name} holds a character that is no ice-char")));
    }
    Ok(())
}

/// Checks an offer and says what is taken of it.
///
/// # Errors
/// `InvalidAccess` for content that cannot be, `Operation` for what would need another DTLS association.
pub(super) fn check_offer(state: &State, offer: &Session) -> Result<Plan, Error> {
    check_continuity(state, offer)?;
    let plan = plan::plan(state, offer)?;
    if let Some(media) = plan.transport.and_then(|index| offer.media.get(index)) {
        let transport = RemoteTransport::read(offer, media)?;
        if transport.setup == Some(Setup::HoldConn) {
            return Err(invalid("a=setup:holdconn is not for WebRTC"));
        }
        check_mux(media)?;
        check_association(state, &transport)?;
        check_role(state, transport.setup)?;
    }
    for index in &plan.order {
        check_data(offer.media.get(*index))?;
    }
    Ok(plan)
}

/// The sections of the last exchange keep their place, name and kind (RFC 3264 section 8).
fn check_continuity(state: &State, offer: &Session) -> Result<(), Error> {
    if offer.media.len() < state.current_len() {
        let message =
            format!("the offer has {} sections, the session has {}", offer.media.len(), state.current_len());
        return Err(invalid(message));
    }
    let Some(current) = state.current_remote.as_ref() else { return Ok(()) };
    for (index, (before, media)) in current.session.media.iter().zip(&offer.media).enumerate() {
        if state.is_rejected(index) {
            continue;
        }
        if before.kind != media.kind {
            return Err(invalid(format!("section {index} changed from {} to {}", before.kind, media.kind)));
        }
        if before.mid() != media.mid() {
            return Err(invalid(format!("section {index} changed its mid")));
        }
    }
    Ok(())
}

fn check_mux(media: &Media) -> Result<(), Error> {
    if media.protocol.is_rtp() && !media.has(&Attribute::RtcpMux) {
        return Err(invalid("a=rtcp-mux is required"));
    }
    Ok(())
}

fn check_data(media: Option<&Media>) -> Result<(), Error> {
    match media {
        Some(media) if purpose(media) == Some(Purpose::Data) && media.sctp_port().is_none() => {
            Err(invalid("a=sctp-port is missing"))
        }
        _ => Ok(()),
    }
}

fn operation(message: &str) -> Result<(), Error> {
    Err(Error::new(ErrorKind::Operation, message))
}

/// An answer restarts ICE if and only if the offer does (RFC 8839 section 4.4.1.1.1); the final one after a provisional one has the
/// same credentials.
fn check_restart(state: &State, transport: &RemoteTransport) -> Result<(), Error> {
    let provisional = state.signaling == SignalingState::HaveRemotePranswer;
    match (state.ice.is_restarting() && !provisional, restart::is_restart(state, transport)) {
        (false, true) => operation("the answer restarts ICE and the offer does not"),
        (true, false) => operation("the offer restarts ICE and the answer does not"),
        _ => Ok(()),
    }
}

/// A new certificate is a new DTLS association (RFC 8842 section 3.1): the one that exists outlives an ICE restart.
fn check_association(state: &State, transport: &RemoteTransport) -> Result<(), Error> {
    let Some(established) = &state.transport else { return Ok(()) };
    let before = &established.parameters;
    let same = before.fingerprints.len() == transport.fingerprints.len()
        && before.fingerprints.iter().all(|print| transport.fingerprints.contains(print));
    if !same {
        return operation("the fingerprint changed: a new DTLS association is not supported");
    }
    if established.tls_id.is_some() && established.tls_id != transport.tls_id {
        return operation("the tls-id changed: a new DTLS association is not supported");
    }
    Ok(())
}

/// The role that the other side asks for in an offer fits the association that exists.
fn check_role(state: &State, setup: Option<Setup>) -> Result<(), Error> {
    let Some(established) = &state.transport else { return Ok(()) };
    let fits = match setup {
        Some(Setup::Active) => established.parameters.dtls_role == dtls::Role::Server,
        Some(Setup::Passive) => established.parameters.dtls_role == dtls::Role::Client,
        _ => true,
    };
    if fits { Ok(()) } else { operation("the DTLS role changed: a new DTLS association is not supported") }
}

/// Checks an answer to our offer.
///
/// # Errors
/// As [`check_offer`].
pub(super) fn check_answer(state: &State, offer: &Session, answer: &Session) -> Result<(), Error> {
    if offer.media.len() != answer.media.len() {
        return Err(invalid(format!(
            "the answer has {} sections, the offer {}",
            answer.media.len(),
            offer.media.len()
        )));
    }
    for (index, (ours, theirs)) in offer.media.iter().zip(&answer.media).enumerate() {
        if ours.kind != theirs.kind || ours.protocol != theirs.protocol {
            return Err(invalid(format!(
                "section {index} of the answer is {} over {}",
                theirs.kind, theirs.protocol
            )));
        }
        if theirs.mid().is_some_and(|mid| ours.mid() != Some(mid)) {
            return Err(invalid(format!("section {index} of the answer has another mid")));
        }
        if theirs.port == 0 {
            continue;
        }
        if ours.port == 0 {
            return Err(invalid(format!("section {index} was offered as rejected and is answered")));
        }
        check_data(Some(theirs))?;
        check_codecs(index, ours, theirs)?;
    }
    check_bundle(offer, answer)?;
    let Some(media) = transport_section(answer).and_then(|index| answer.media.get(index)) else {
        return Ok(());
    };
    let transport = RemoteTransport::read(answer, media)?;
    check_mux(media)?;
    check_restart(state, &transport)?;
    check_association(state, &transport)?;
    match transport.setup {
        Some(Setup::Active | Setup::Passive) => check_role(state, transport.setup),
        _ => Err(invalid("an answer must say a=setup:active or a=setup:passive")),
    }
}

fn check_codecs(index: usize, ours: &Media, theirs: &Media) -> Result<(), Error> {
    let Some(Purpose::Media(kind)) = purpose(ours) else { return Ok(()) };
    let common = codecs::common(codecs::codecs_of(theirs, kind), &codecs::codecs_of(ours, kind), &[]);
    if common.is_empty() {
        return Err(invalid(format!("section {index} of the answer has no codec of the offer")));
    }
    Ok(())
}

/// All sections that are answered share one transport.
fn check_bundle(offer: &Session, answer: &Session) -> Result<(), Error> {
    let offered = plan::bundles(offer)?;
    let answered = plan::bundles(answer)?;
    let live: Vec<usize> = (0..answer.media.len()).filter(|&index| is_live(answer, index)).collect();
    for group in &answered {
        if !offered.iter().any(|ours| group.iter().all(|member| ours.contains(member))) {
            return Err(invalid("the answer bundles what was not offered as a bundle"));
        }
    }
    let together = answered.iter().any(|group| live.iter().all(|index| group.contains(index)));
    if live.len() > 1 && !together {
        return Err(invalid("the answer does not bundle all sections onto one transport"));
    }
    Ok(())
}

fn is_live(session: &Session, index: usize) -> bool {
    session.media.get(index).is_some_and(|media| media.port != 0)
}

/// The section of an answer, or of an offer of ours, that speaks for the transport of all: the first of its
/// BUNDLE group (RFC 9143 section 7.3.2), or the only one.
pub(super) fn transport_section(session: &Session) -> Option<usize> {
    let bundled = session.groups().find(|group| group.is_bundle()).and_then(|group| {
        let sections = session.media.iter().enumerate().filter(|(_, media)| media.port != 0);
        let live: BTreeMap<&str, usize> =
            sections.filter_map(|(at, media)| Some((media.mid()?, at))).collect();
        group.mids.iter().find_map(|mid| live.get(mid.as_str()).copied())
    });
    bundled.or_else(|| (0..session.media.len()).find(|&index| is_live(session, index)))
}

/// Whether the state allows a description of the other side, and if not, the error.
pub(super) fn check_answerable(state: &State) -> Result<(), Error> {
    match state.signaling {
        SignalingState::HaveLocalOffer | SignalingState::HaveRemotePranswer => Ok(()),
        other => Err(Error::new(
            ErrorKind::InvalidState,
            format!("there is no local offer to answer in the state {other:?}"),
        )),
    }
}
