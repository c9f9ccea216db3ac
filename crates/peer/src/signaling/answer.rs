//! Making an answer (RFC 8829 sections 5.3.1 and 5.3.2).

use std::sync::Arc;

use taut_sdp::{Attribute, Group, Media, Session};

use super::codecs::{answered, mid_extension};
use super::config::{LocalTransport, OfferOptions, SignalingConfig, SignalingState};
use super::plan::{Plan, Purpose, plan, purpose};
use super::remote::RemoteTransport;
use super::restart;
use super::sections::{MediaSection, Shared, answer_setup, rejected};
use super::state::{Draft, State};
use crate::error::{Error, ErrorKind};

/// Makes an answer to the remote offer and remembers it as the one that may be set.
///
/// # Errors
/// `InvalidState` if there is no remote offer to answer.
pub(super) fn create(
    state: &mut State,
    config: &SignalingConfig,
    local: &LocalTransport,
) -> Result<Draft, Error> {
    let offer = state.pending_remote.as_ref().map(|description| Arc::clone(&description.session));
    let answerable =
        matches!(state.signaling, SignalingState::HaveRemoteOffer | SignalingState::HaveLocalPranswer);
    let Some(offer) = offer.filter(|_| answerable) else {
        let message = format!("there is no remote offer to answer in the state {:?}", state.signaling);
        return Err(Error::new(ErrorKind::InvalidState, message));
    };
    let plan = plan(state, &offer)?;
    state.version = state.version.saturating_add(1);
    let media = plan.transport.and_then(|index| offer.media.get(index));
    let remote = media.map(|media| RemoteTransport::read(&offer, media)).transpose()?;
    let credentials = restart::of_answer(state, local, remote.as_ref());
    let setup = remote.as_ref().and_then(|remote| remote.setup);
    let established = state.transport.as_ref().map(|established| established.parameters.dtls_role);
    let setup = answer_setup(setup, established.or(local.dtls_role));
    let shared = Shared::new(config, local, credentials, setup)?;
    let mut session = Session::new(state.session_id, state.version);
    for (index, media) in offer.media.iter().enumerate() {
        let taken = plan.takes(index).then(|| section(state, &shared, &offer, index, media)).flatten();
        session.media.push(taken.unwrap_or_else(|| rejected(media)));
    }
    session_attributes(&mut session, &offer, &plan);
    session.attributes.extend(config.ice_lite.then_some(Attribute::IceLite));
    let draft = Draft { session: Arc::new(session), sections: Vec::new(), options: OfferOptions::default() };
    state.last_answer = Some(draft.clone());
    Ok(draft)
}

fn section(state: &State, shared: &Shared, offer: &Session, index: usize, media: &Media) -> Option<Media> {
    let mid = media.mid().map(str::to_owned);
    match purpose(media)? {
        Purpose::Data => Some(shared.data(media.protocol.clone(), mid)),
        Purpose::Media(kind) => {
            let transceiver = state.at_index(index)?;
            let section = MediaSection {
                transceiver,
                protocol: media.protocol.clone(),
                mid,
                direction: offer.direction(media).reversed().intersection(transceiver.direction),
                codecs: answered(media, kind, &transceiver.preferences),
                mid_extension: mid_extension(offer, media),
                mux_only: false,
            };
            let mut section = shared.media(section);
            if media.has(&Attribute::ExtmapAllowMixed) {
                section.attributes.push(Attribute::ExtmapAllowMixed);
            }
            if !media.has(&Attribute::RtcpRsize) {
                section.attributes.retain(|attribute| *attribute != Attribute::RtcpRsize);
            }
            if !media.has(&Attribute::RtcpMux) {
                // Not repeated where the section of the transport says it for all (RFC 9143 section 7.1.3).
                section.attributes.retain(|attribute| *attribute != Attribute::RtcpMux);
            }
            Some(section)
        }
    }
}

fn session_attributes(session: &mut Session, offer: &Session, plan: &Plan) {
    let members = if plan.bundled { &plan.order[..] } else { &[] };
    let bundled: Vec<String> = members
        .iter()
        .filter_map(|&index| session.media.get(index))
        .filter(|media| media.port != 0)
        .filter_map(|media| media.mid().map(str::to_owned))
        .collect();
    if !bundled.is_empty() {
        session.attributes.push(Attribute::Group(Group::bundle(bundled)));
    }
    if offer.has(&Attribute::ExtmapAllowMixed) {
        session.attributes.push(Attribute::ExtmapAllowMixed);
    }
    let offered = |option: &&str| has_ice_option(offer, option);
    let options: Vec<_> = ["trickle", "ice2"].into_iter().filter(offered).map(Into::into).collect();
    if !options.is_empty() {
        session.attributes.push(Attribute::IceOptions(options));
    }
}

/// Whether a description names an ICE option, in the session or in a section.
pub(super) fn has_ice_option(session: &Session, option: &str) -> bool {
    let sections = session.media.iter().flat_map(|media| &media.attributes);
    session.attributes.iter().chain(sections).any(|attribute| match attribute {
        Attribute::IceOptions(options) => options.iter().any(|known| known == option),
        _ => false,
    })
}
