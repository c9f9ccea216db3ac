//! Remote candidates (W3C section 4.4.2 `addIceCandidate`): put into the description that they belong to, and handed to ICE once
//! the transport is known.
//!
//! All sections share one transport, so only the candidates of the section that speaks for it are used: those of other sections are
//! for the case that the answer does not bundle, and lead nowhere.

use std::sync::Arc;

use taut_sdp::{Attribute, Media, Session};

use super::plan;
use super::remote::transport_section;
use super::sections::candidate_value;
use super::state::State;
use crate::description::SdpType;
use crate::error::{Error, ErrorKind};
use crate::event::IceCandidate;

/// The candidates that one section of a description may hold; further ones are refused.
const MAX_CANDIDATES: usize = 256;

/// The candidates that are handed to ICE with the same credentials; further ones are not.
const MAX_GIVEN: usize = 1024;

/// Adds a candidate; `None` or an empty one says that there are no more.
pub(super) fn add(state: &mut State, candidate: Option<&IceCandidate>) -> Result<(), Error> {
    let text = candidate.map_or("", |candidate| candidate_value(&candidate.candidate));
    let named = candidate.is_some_and(|c| c.sdp_mid.is_some() || c.sdp_m_line_index.is_some());
    if !text.is_empty() && !named {
        return Err(Error::new(ErrorKind::Type, "a candidate needs sdp_mid or sdp_m_line_index"));
    }
    let Some(remote) = state.remote() else {
        return Err(Error::new(ErrorKind::InvalidState, "there is no remote description yet"));
    };
    let index =
        candidate.filter(|_| named).map(|candidate| section(&remote.session, candidate)).transpose()?;
    let parsed = check(text)?;
    let generation =
        candidate.and_then(|candidate| candidate.username_fragment.as_deref()).or(parsed.as_deref());
    let session = Arc::clone(&remote.session);
    if let Some(ufrag) = generation
        && !sections(&session, index).any(|media| ufrag_of(&session, media) == Some(ufrag))
    {
        return Err(Error::new(ErrorKind::Operation, format!("no section has the ufrag {ufrag:?}")));
    }
    let attribute = match text {
        "" => Attribute::EndOfCandidates,
        text => Attribute::Candidate(text.to_owned()),
    };
    for description in [&mut state.pending_remote, &mut state.current_remote].into_iter().flatten() {
        insert(Arc::make_mut(&mut description.session), index, generation, &attribute)?;
    }
    hand_out(state);
    Ok(())
}

/// The candidate's own ufrag, if it can be read at all.
fn check(text: &str) -> Result<Option<String>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.contains(char::is_control) {
        return Err(Error::new(ErrorKind::Operation, "a candidate is one line"));
    }
    let parsed = format!("candidate:{text}").parse::<taut_ice::Candidate>();
    let candidate = parsed.map_err(|error| Error::new(ErrorKind::Operation, error.to_string()))?;
    Ok(candidate.ufrag)
}

/// The section that a candidate names.
fn section(session: &Session, candidate: &IceCandidate) -> Result<usize, Error> {
    let unknown = || Error::new(ErrorKind::Operation, "the candidate is for a section that is not there");
    if let Some(mid) = &candidate.sdp_mid {
        return session.media.iter().position(|media| media.mid() == Some(mid)).ok_or_else(unknown);
    }
    let index = candidate.sdp_m_line_index.map(usize::from).ok_or_else(unknown)?;
    if index < session.media.len() { Ok(index) } else { Err(unknown()) }
}

fn sections(session: &Session, index: Option<usize>) -> impl Iterator<Item = &Media> {
    let one = index.and_then(|index| session.media.get(index));
    let all = session.media.iter().filter(move |_| index.is_none());
    one.into_iter().chain(all)
}

/// The ufrag of a section; one that is bundled may leave it to another.
fn ufrag_of<'a>(session: &'a Session, media: &'a Media) -> Option<&'a str> {
    let of_the_transport = || session.media.iter().find_map(Media::ice_ufrag);
    media.ice_ufrag().or_else(|| session.ice_ufrag()).or_else(of_the_transport)
}

fn insert(
    session: &mut Session,
    index: Option<usize>,
    generation: Option<&str>,
    attribute: &Attribute,
) -> Result<(), Error> {
    for at in 0..session.media.len() {
        let chosen = index.is_none_or(|index| index == at);
        let fits = |media: &Media| generation.is_none_or(|ufrag| ufrag_of(session, media) == Some(ufrag));
        if !chosen || !session.media.get(at).is_some_and(fits) {
            continue;
        }
        let Some(media) = session.media.get_mut(at) else { continue };
        if media.candidates().count() >= MAX_CANDIDATES {
            return Err(Error::new(ErrorKind::Operation, "the section has too many candidates"));
        }
        if !media.has(attribute) {
            media.attributes.push(attribute.clone());
        }
    }
    Ok(())
}

/// Hands the candidates of the remote description to the transport, those that it does not have yet and that belong to the
/// credentials it was given.
pub(super) fn hand_out(state: &mut State) {
    let Some(established) = &state.transport else { return };
    let given = established.parameters.remote_ufrag.clone();
    let Some(remote) = state.remote() else { return };
    let session = Arc::clone(&remote.session);
    let index = match remote.kind {
        // The section that speaks for the transport is the one that the answer puts first.
        SdpType::Offer => state
            .local()
            .filter(|local| local.kind != SdpType::Offer)
            .and_then(|l| transport_section(&l.session)),
        _ => None,
    };
    let index = index.or_else(|| offered(state, &session)).or_else(|| transport_section(&session));
    let Some(media) = index.and_then(|index| session.media.get(index)) else { return };
    // Candidates of a restart wait for the answer.
    if ufrag_of(&session, media) != Some(given.as_str()) {
        return;
    }
    for text in media.candidates() {
        if state.given_candidates.len() < MAX_GIVEN
            && !state.given_candidates.iter().any(|given| given == text)
        {
            state.given_candidates.push(text.to_owned());
        }
    }
    let session_ended = session.has(&Attribute::EndOfCandidates);
    state.given_end |= session_ended || media.has(&Attribute::EndOfCandidates);
}

/// The section that will speak for the transport in our answer to an offer that is not answered yet.
fn offered(state: &State, session: &Session) -> Option<usize> {
    let waiting = state.pending_remote.as_ref().is_some_and(|remote| remote.kind == SdpType::Offer);
    if waiting { plan::plan(state, session).ok()?.transport } else { None }
}
