//! Making an offer (RFC 8829 sections 5.2.1 and 5.2.2).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use taut_sdp::{Attribute, Group, Media, Protocol, Session, Setup};

use super::codecs::{Numbers, codecs_of};
use super::config::{LocalTransport, OfferOptions, SignalingConfig, SignalingState};
use super::plan::{Purpose, purpose};
use super::remote::transport_section;
use super::restart;
use super::sections::{MediaSection, Shared, rejected};
use super::state::{DataState, Draft, State};
use crate::error::{Error, ErrorKind};
use crate::transceiver::{Transceiver, TransceiverId};

/// The options of our ICE agent (RFC 8840 section 4.1.1, RFC 8445 section 10).
const ICE_OPTIONS: [&str; 2] = ["trickle", "ice2"];

/// What a place in the offer is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Media(TransceiverId),
    Data,
    /// Rejected, and not to be used again, for now or at all.
    Ending,
    /// Rejected by both sides: a new section may take it.
    Free,
}

/// Makes an offer and remembers it as the one that may be set.
///
/// # Errors
/// `InvalidState` if the state does not allow an offer.
pub(super) fn create(
    state: &mut State,
    config: &SignalingConfig,
    local: &LocalTransport,
    options: OfferOptions,
) -> Result<Draft, Error> {
    if !matches!(state.signaling, SignalingState::Stable | SignalingState::HaveLocalOffer) {
        let message = format!("no offer can be made in the state {:?}", state.signaling);
        return Err(Error::new(ErrorKind::InvalidState, message));
    }
    state.version = state.version.saturating_add(1);
    let base = state.local().map(|description| Arc::clone(&description.session));
    let base = base.as_ref().map_or(&[][..], |session| &session.media);
    let slots = slots(state, base);
    let mut session = Session::new(state.session_id, state.version);
    let mut names = Names::new(state);
    let mut sections = Vec::new();
    let mut mids = Vec::new();
    let shared = Shared::new(config, local, restart::of_offer(state, local, options), Setup::ActPass)?;
    let descriptions = [state.local(), state.remote()];
    let mut numbers =
        Numbers::of(descriptions.into_iter().flatten().map(|description| &*description.session));
    for (index, slot) in slots.into_iter().enumerate() {
        let before = base.get(index);
        let media = match slot {
            Slot::Media(id) => {
                let Some(transceiver) = state.transceiver(id) else { continue };
                let known = transceiver.negotiated.index == Some(index);
                let mid =
                    transceiver.negotiated.mid.clone().filter(|_| known).unwrap_or_else(|| names.next());
                sections.push((index, id));
                mids.push(mid.clone());
                shared.media(media_section(transceiver, mid, before.filter(|_| known), &mut numbers))
            }
            Slot::Data => {
                let kept =
                    before.filter(|media| !state.is_rejected(index) && purpose(media) == Some(Purpose::Data));
                let mid = kept.and_then(Media::mid).map(str::to_owned).unwrap_or_else(|| names.next());
                mids.push(mid.clone());
                shared.data(Protocol::UdpDtlsSctp, Some(mid))
            }
            Slot::Ending | Slot::Free => match before {
                Some(before) => rejected(before),
                None => continue,
            },
        };
        session.media.push(media);
    }
    if !mids.is_empty() {
        session.attributes.push(Attribute::Group(Group::bundle(bundle_order(state, mids))));
    }
    session.attributes.push(Attribute::ExtmapAllowMixed);
    session.attributes.extend(config.ice_lite.then_some(Attribute::IceLite));
    session.attributes.push(Attribute::IceOptions(ICE_OPTIONS.map(Into::into).to_vec()));
    let draft = Draft { session: Arc::new(session), sections, options };
    state.last_offer = Some(draft.clone());
    Ok(draft)
}

/// The offer that was made last, if one made now would say the same; else a new one (W3C section 4.4.2, `setLocalDescription` without a
/// description).
///
/// # Errors
/// As [`create`].
pub(super) fn current(
    state: &mut State,
    config: &SignalingConfig,
    local: &LocalTransport,
) -> Result<Draft, Error> {
    let Some(last) = state.last_offer.clone() else {
        return create(state, config, local, OfferOptions::default());
    };
    let mut again = create(state, config, local, last.options)?;
    Arc::make_mut(&mut again.session).origin.session_version = last.session.origin.session_version;
    if again == last { Ok(last) } else { create(state, config, local, OfferOptions::default()) }
}

/// Those of the last answer's group first, in its order, so that the section that speaks for the transport goes on to do so even when a
/// new section takes a place before it (RFC 9143 section 7.5).
fn bundle_order(state: &State, mids: Vec<String>) -> Vec<String> {
    let answer =
        state.current_answer().and_then(|answer| answer.session.groups().find(|group| group.is_bundle()));
    let before = answer.map_or(&[][..], |group| &group.mids);
    let place: BTreeMap<&str, usize> =
        before.iter().enumerate().map(|(place, mid)| (mid.as_str(), place)).collect();
    let mut ordered = mids;
    ordered.sort_by_key(|mid| place.get(mid.as_str()).copied().unwrap_or(usize::MAX));
    ordered
}

fn media_section<'a>(
    transceiver: &'a Transceiver,
    mid: String,
    before: Option<&Media>,
    numbers: &mut Numbers,
) -> MediaSection<'a> {
    let own = before.map(|media| codecs_of(media, transceiver.kind)).unwrap_or_default();
    MediaSection {
        transceiver,
        protocol: before.map_or(Protocol::UdpTlsRtpSavpf, |media| media.protocol.clone()),
        mid: Some(mid),
        direction: transceiver.direction,
        codecs: numbers.offered(transceiver.kind, &transceiver.preferences, &own),
        mid_extension: numbers.mid_extension(),
        mux_only: before.is_none(),
    }
}

/// What each place of the offer is used for: those that exist first, then new sections in free places, then more.
fn slots(state: &State, base: &[Media]) -> Vec<Slot> {
    let mut slots: Vec<Slot> =
        base.iter().enumerate().map(|(index, media)| existing(state, index, media)).collect();
    let mut add = |slot: Slot| match slots.iter_mut().find(|place| **place == Slot::Free) {
        Some(place) => *place = slot,
        None => slots.push(slot),
    };
    let new = state.transceivers.iter().filter(|t| t.negotiated.index.is_none() && !t.is_stopped());
    for transceiver in new {
        add(Slot::Media(transceiver.id));
    }
    if state.data_wanted && state.data != DataState::Refused && !has_data(state, base) {
        add(Slot::Data);
    }
    slots
}

fn existing(state: &State, index: usize, media: &Media) -> Slot {
    // A place before the section that speaks for the transport stays empty: Chromium takes the first live section for that one, and
    // would begin a new transport there.
    let leading = state.current_answer().and_then(|answer| transport_section(&answer.session));
    let rejected = state.is_rejected(index);
    match state.at_index(index) {
        Some(transceiver) if !transceiver.is_stopped() => Slot::Media(transceiver.id),
        Some(_) => Slot::Ending,
        None if rejected && leading.is_some_and(|leading| index < leading) => Slot::Ending,
        None if rejected => Slot::Free,
        None if purpose(media) == Some(Purpose::Data) && media.port != 0 => Slot::Data,
        None => Slot::Ending,
    }
}

fn has_data(state: &State, base: &[Media]) -> bool {
    base.iter().enumerate().any(|(index, media)| existing(state, index, media) == Slot::Data)
}

/// Makes mids that are not in use: a counter, so that they tell nothing and fit the header extension.
pub(super) struct Names {
    used: BTreeSet<String>,
    next: u32,
}

impl Names {
    pub(super) fn new(state: &State) -> Self {
        let descriptions =
            [&state.current_local, &state.current_remote, &state.pending_local, &state.pending_remote];
        let sections = descriptions.into_iter().flatten().flat_map(|description| &description.session.media);
        let used = sections.filter_map(Media::mid).map(str::to_owned);
        let own = state.transceivers.iter().filter_map(|transceiver| transceiver.negotiated.mid.clone());
        Self { used: used.chain(own).collect(), next: 0 }
    }

    pub(super) fn next(&mut self) -> String {
        loop {
            let name = self.next.to_string();
            self.next = self.next.saturating_add(1);
            if self.used.insert(name.clone()) {
                return name;
            }
        }
    }
}
