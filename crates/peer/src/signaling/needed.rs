//! Whether an offer is needed (W3C section 4.7.3, "check if negotiation is needed").

use taut_sdp::{Direction, Media, Msid, Session};

use super::config::SignalingState;
use super::plan::{Purpose, purpose};
use super::sections::msids;
use super::state::{DataState, Description, State};
use crate::description::SdpType;
use crate::transceiver::Transceiver;

/// Whether the descriptions do not say what the application wants. Only a stable state can tell.
pub(super) fn is_needed(state: &State) -> bool {
    if state.signaling != SignalingState::Stable {
        return false;
    }
    let data = state.data_wanted && state.data == DataState::None && !has_data(state);
    data || state.ice.wants_restart()
        || state.transceivers.iter().any(|transceiver| needs(state, transceiver))
}

fn has_data(state: &State) -> bool {
    let sections = state.current_local.iter().flat_map(|description| &description.session.media);
    sections.into_iter().any(|media| purpose(media) == Some(Purpose::Data))
}

fn needs(state: &State, transceiver: &Transceiver) -> bool {
    let Some(index) = transceiver.negotiated.index else { return !transceiver.is_stopped() };
    if transceiver.is_stopped() {
        return true;
    }
    let (Some(local), Some(remote)) = (&state.current_local, &state.current_remote) else { return true };
    let (Some(ours), Some(theirs)) = (local.session.media.get(index), remote.session.media.get(index)) else {
        return true;
    };
    if transceiver.direction.sends() && msids_differ(transceiver, ours) {
        return true;
    }
    !direction_fits(transceiver.direction, (local, ours), (&remote.session, theirs))
}

fn msids_differ(transceiver: &Transceiver, ours: &Media) -> bool {
    let said: Vec<&str> = ours.msids().map(|msid| msid.stream.as_str()).collect();
    let wanted: Vec<Msid> = msids(transceiver).collect();
    said.len() != wanted.len() || !wanted.iter().all(|msid| said.contains(&msid.stream.as_str()))
}

fn direction_fits(
    wanted: Direction,
    (local, ours): (&Description, &Media),
    (remote, theirs): (&Session, &Media),
) -> bool {
    let (ours, theirs) = (local.session.direction(ours), remote.direction(theirs).reversed());
    match local.kind {
        SdpType::Offer => wanted == ours || wanted == theirs,
        _ => ours == wanted.intersection(theirs),
    }
}
