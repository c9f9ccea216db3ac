//! Which sections of a remote offer are taken, and which of them gives the transport (RFC 8829 section 5.3.1, RFC 9143
//! section 7.3).

use std::collections::BTreeMap;

use taut_media::Kind;
use taut_sdp::{Attribute, Format, Media, MediaKind, Protocol, Session};

use super::codecs;
use super::state::{DataState, State};
use crate::error::{Error, ErrorKind};

/// What a media section is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Media(Kind),
    Data,
}

/// The purpose of a section whose profile we take: only those over DTLS (RFC 8829 section 5.1.2). There is no way
/// that leads to media in clear.
pub(super) fn purpose(media: &Media) -> Option<Purpose> {
    let kind = match media.kind {
        MediaKind::Audio => Some(Kind::Audio),
        MediaKind::Video => Some(Kind::Video),
        _ => None,
    };
    match (&media.protocol, kind) {
        (Protocol::UdpTlsRtpSavpf, Some(kind)) => Some(Purpose::Media(kind)),
        (Protocol::Other(name), Some(kind))
            if matches!(name.as_ref(), "UDP/TLS/RTP/SAVP" | "TCP/DTLS/RTP/SAVPF" | "TCP/DTLS/RTP/SAVP") =>
        {
            Some(Purpose::Media(kind))
        }
        (Protocol::UdpDtlsSctp, None) if is_data(media) => Some(Purpose::Data),
        (Protocol::Other(name), None) if name == "TCP/DTLS/SCTP" && is_data(media) => Some(Purpose::Data),
        _ => None,
    }
}

fn is_data(media: &Media) -> bool {
    media.kind == MediaKind::Application
        && media
            .formats
            .iter()
            .any(|format| matches!(format, Format::Name(name) if name == "webrtc-datachannel"))
}

/// What is taken of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The section whose ICE and DTLS parameters hold for all; `None` if nothing is taken.
    pub(super) transport: Option<usize>,
    /// The sections that are taken, that one first, then in the order of their group.
    pub(super) order: Vec<usize>,
    /// Whether they are a BUNDLE group.
    pub(super) bundled: bool,
}

impl Plan {
    pub(super) fn takes(&self, index: usize) -> bool {
        self.order.contains(&index)
    }
}

/// The BUNDLE groups, as section numbers. Members that do not exist are left out.
///
/// # Errors
/// A section is in two groups (RFC 9143 section 7), or two sections have the same name.
pub(super) fn bundles(session: &Session) -> Result<Vec<Vec<usize>>, Error> {
    let invalid = |message: String| Error::new(ErrorKind::InvalidAccess, message);
    let mut mids = BTreeMap::new();
    for (index, media) in session.media.iter().enumerate() {
        if let Some(mid) = media.mid()
            && mids.insert(mid, index).is_some()
        {
            return Err(invalid(format!("two sections have the mid {mid:?}")));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut bundles = Vec::new();
    for group in session.groups().filter(|group| group.is_bundle()) {
        let members: Vec<usize> =
            group.mids.iter().filter_map(|mid| mids.get(mid.as_str()).copied()).collect();
        if let Some(twice) = members.iter().find(|member| !seen.insert(**member)) {
            return Err(invalid(format!("section {twice} is in a BUNDLE group twice")));
        }
        bundles.push(members);
    }
    Ok(bundles)
}

/// Plans the answer to an offer.
///
/// # Errors
/// See [`bundles`].
pub(super) fn plan(state: &State, offer: &Session) -> Result<Plan, Error> {
    let bundles = bundles(offer)?;
    let mut bundle_of = vec![None; offer.media.len()];
    for (number, members) in bundles.iter().enumerate() {
        for member in members {
            if let Some(place) = bundle_of.get_mut(*member) {
                *place = Some(number);
            }
        }
    }
    let mut data = 0;
    let mut usable = Vec::with_capacity(offer.media.len());
    for (index, media) in offer.media.iter().enumerate() {
        let bundled = bundle_of.get(index).copied().flatten().is_some();
        let mut take = is_live(state, index, media, bundled) && is_usable(state, index, media);
        if take && purpose(media) == Some(Purpose::Data) {
            data += 1;
            take = data == 1;
        }
        usable.push(take);
    }
    let is_usable = |index: &usize| usable.get(*index).copied().unwrap_or(false);
    let Some(first) = (0..offer.media.len()).find(is_usable) else {
        return Ok(Plan { transport: None, order: Vec::new(), bundled: false });
    };
    let group = bundle_of.get(first).copied().flatten().and_then(|number| bundles.get(number));
    let Some(group) = group else {
        return Ok(Plan { transport: Some(first), order: vec![first], bundled: false });
    };
    let members: Vec<usize> = group.iter().copied().filter(is_usable).collect();
    let has_address = |index: &usize| offer.media.get(*index).is_some_and(|media| media.port != 0);
    let transport = members.iter().copied().find(has_address).unwrap_or(first);
    let rest = members.into_iter().filter(|index| *index != transport);
    Ok(Plan {
        transport: Some(transport),
        order: std::iter::once(transport).chain(rest).collect(),
        bundled: true,
    })
}

/// Whether an offered section is not rejected. Port 0 rejects, unless the section is in a BUNDLE group and says `a=bundle-only`; some
/// offerers leave that out, so a section that is new may.
fn is_live(state: &State, index: usize, media: &Media, bundled: bool) -> bool {
    let new = index >= state.current_len() || state.is_rejected(index);
    media.port != 0 || (bundled && (new || media.has(&Attribute::BundleOnly)))
}

fn is_usable(state: &State, index: usize, media: &Media) -> bool {
    match purpose(media) {
        // An SCTP association that has ended does not come back under the same transport.
        Some(Purpose::Data) => state.data != DataState::Refused,
        Some(Purpose::Media(kind)) => {
            let transceiver = state.at_index(index).filter(|transceiver| transceiver.kind == kind);
            let preferences = transceiver.map_or(&[][..], |transceiver| &transceiver.preferences);
            transceiver.is_none_or(|transceiver| !transceiver.is_stopped())
                && !codecs::answered(media, kind, preferences).is_empty()
        }
        None => false,
    }
}
