//! Commands on tracks and transceivers (W3C sections 5.1 and 5.4).

use taut_media::{Codec, Kind};
use taut_sansio::rng::Rng;
use taut_sdp as sdp;

use super::codecs::is_supported;
use super::state::State;
use crate::error::{Error, ErrorKind};
use crate::transceiver::{
    Direction, Negotiated, Origin, TrackInfo, Transceiver, TransceiverId, TransceiverInit,
};

/// The longest id of a stream or track, in characters (RFC 8830 section 2).
const MAX_ID: usize = 64;

/// An id goes into a description as it is, so it must be a token (RFC 8866 section 9).
fn check_id(id: &str) -> Result<(), Error> {
    let token = |byte: u8| {
        byte.is_ascii_graphic()
            && !matches!(byte, b'"' | b'(' | b')' | b',' | b'/' | b':'..=b'@' | b'['..=b']')
    };
    if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(token) {
        return Err(Error::new(
            ErrorKind::Type,
            format!("{id:?} is not a token of 1 to {MAX_ID} characters"),
        ));
    }
    Ok(())
}

fn check_ids(track: Option<&TrackInfo>, streams: &[String]) -> Result<(), Error> {
    track.map_or(Ok(()), |track| check_id(&track.id))?;
    streams.iter().try_for_each(|stream| check_id(stream))
}

/// Each once, in order.
fn distinct<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    let mut kept = Vec::new();
    for one in all {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}

fn unknown(id: TransceiverId) -> Error {
    Error::new(ErrorKind::InvalidAccess, format!("there is no transceiver {id}"))
}

fn get(state: &mut State, id: TransceiverId) -> Result<&mut Transceiver, Error> {
    state.transceiver_mut(id).ok_or_else(|| unknown(id))
}

/// A transceiver that is not stopped.
fn get_live(state: &mut State, id: TransceiverId) -> Result<&mut Transceiver, Error> {
    let transceiver = get(state, id)?;
    if transceiver.is_stopped() {
        return Err(Error::new(ErrorKind::InvalidState, format!("transceiver {id} is stopped")));
    }
    Ok(transceiver)
}

/// W3C `addTrack`.
pub(super) fn add_track(
    state: &mut State,
    rng: &mut Rng,
    track: TrackInfo,
    streams: Vec<String>,
) -> Result<TransceiverId, Error> {
    check_ids(Some(&track), &streams)?;
    let streams = distinct(streams);
    if state.transceivers.iter().any(|t| !t.is_stopped() && t.track.as_ref() == Some(&track)) {
        return Err(Error::new(
            ErrorKind::InvalidAccess,
            format!("the track {:?} is being sent already", track.id),
        ));
    }
    let free =
        |t: &&mut Transceiver| t.kind == track.kind && t.track.is_none() && !t.is_stopped() && !t.has_sent;
    if let Some(transceiver) = state.transceivers.iter_mut().find(free) {
        transceiver.direction = sdp::Direction::new(true, transceiver.direction.receives());
        transceiver.attached = true;
        transceiver.sender_id = track.id.clone();
        transceiver.track = Some(track);
        transceiver.streams = streams;
        return Ok(transceiver.id);
    }
    let id = create(state, rng, track.kind, Origin::AddTrack);
    let transceiver = get(state, id)?;
    transceiver.attached = true;
    transceiver.sender_id = track.id.clone();
    transceiver.track = Some(track);
    transceiver.streams = streams;
    Ok(id)
}

/// W3C `removeTrack`.
pub(super) fn remove_track(state: &mut State, id: TransceiverId) -> Result<(), Error> {
    let transceiver = get(state, id)?;
    if transceiver.is_stopped() || transceiver.track.take().is_none() {
        return Ok(());
    }
    transceiver.direction = sdp::Direction::new(false, transceiver.direction.receives());
    Ok(())
}

/// W3C `addTransceiver`.
pub(super) fn add_transceiver(
    state: &mut State,
    rng: &mut Rng,
    kind: Kind,
    init: TransceiverInit,
) -> Result<TransceiverId, Error> {
    check_ids(init.track.as_ref(), &init.streams)?;
    let Some(direction) = init.direction.to_sdp() else {
        return Err(Error::new(ErrorKind::Type, "a transceiver cannot begin stopped"));
    };
    if init.track.as_ref().is_some_and(|track| track.kind != kind) {
        return Err(Error::new(ErrorKind::Type, "the track is of the other kind"));
    }
    check_codecs(kind, &init.codecs)?;
    let id = create(state, rng, kind, Origin::AddTransceiver);
    let transceiver = get(state, id)?;
    transceiver.direction = direction;
    if let Some(track) = &init.track {
        transceiver.sender_id = track.id.clone();
    }
    transceiver.track = init.track;
    transceiver.streams = distinct(init.streams);
    transceiver.preferences = distinct(init.codecs);
    Ok(id)
}

/// W3C `setDirection`.
pub(super) fn set_direction(state: &mut State, id: TransceiverId, direction: Direction) -> Result<(), Error> {
    let transceiver = get_live(state, id)?;
    let stopped =
        || Error::new(ErrorKind::Type, "a transceiver is stopped by stopping it, not by its direction");
    transceiver.direction = direction.to_sdp().ok_or_else(stopped)?;
    Ok(())
}

/// W3C `stop`. One that no description has is gone at once.
pub(super) fn stop(state: &mut State, id: TransceiverId) -> Result<(), Error> {
    let transceiver = get(state, id)?;
    transceiver.stopping = true;
    transceiver.negotiated.send = None;
    transceiver.negotiated.receive = None;
    let in_draft =
        state.last_offer.as_ref().is_some_and(|draft| draft.sections.iter().any(|(_, known)| *known == id));
    let kept = state.kept.iter().any(|(known, negotiated)| *known == id && negotiated.index.is_some());
    let associated = state.transceiver(id).is_some_and(|transceiver| transceiver.negotiated.index.is_some());
    if !associated && !kept {
        if in_draft {
            state.last_offer = None;
        }
        state.transceivers.retain(|transceiver| transceiver.id != id);
    }
    Ok(())
}

/// W3C `setCodecPreferences`; no codec at all means all again.
pub(super) fn set_codec_preferences(
    state: &mut State,
    id: TransceiverId,
    codecs: Vec<Codec>,
) -> Result<(), Error> {
    let transceiver = get_live(state, id)?;
    check_codecs(transceiver.kind, &codecs)?;
    transceiver.preferences = distinct(codecs);
    Ok(())
}

fn check_codecs(kind: Kind, codecs: &[Codec]) -> Result<(), Error> {
    match codecs.iter().find(|codec| !is_supported(**codec, kind)) {
        Some(codec) => Err(Error::new(
            ErrorKind::InvalidModification,
            format!("{codec:?} is not a supported codec of this kind"),
        )),
        None => Ok(()),
    }
}

/// W3C `replaceTrack`.
pub(super) fn replace_track(
    state: &mut State,
    id: TransceiverId,
    track: Option<TrackInfo>,
) -> Result<(), Error> {
    check_ids(track.as_ref(), &[])?;
    let transceiver = get_live(state, id)?;
    if track.as_ref().is_some_and(|track| track.kind != transceiver.kind) {
        return Err(Error::new(ErrorKind::Type, "the track is of the other kind"));
    }
    transceiver.track = track;
    Ok(())
}

/// Makes the transceiver of a section that the other side offers.
pub(super) fn create_for_remote(
    state: &mut State,
    rng: &mut Rng,
    kind: Kind,
    track_id: Option<String>,
) -> TransceiverId {
    let id = create(state, rng, kind, Origin::RemoteOffer);
    if let Some(transceiver) = state.transceiver_mut(id) {
        transceiver.direction = sdp::Direction::RecvOnly;
        if let Some(track_id) = track_id {
            transceiver.receiver_track_id = track_id;
        }
    }
    id
}

fn create(state: &mut State, rng: &mut Rng, kind: Kind, origin: Origin) -> TransceiverId {
    let id = TransceiverId::new(state.next_transceiver);
    state.next_transceiver = state.next_transceiver.saturating_add(1);
    state.transceivers.push(Transceiver {
        id,
        kind,
        origin,
        attached: false,
        direction: sdp::Direction::SendRecv,
        stopping: false,
        track: None,
        streams: Vec::new(),
        sender_id: uuid(rng),
        preferences: Vec::new(),
        has_sent: false,
        ssrc: 0,
        rtx_ssrc: 0,
        receiver_track_id: uuid(rng),
        negotiated: Negotiated::default(),
    });
    draw_ssrcs(state, rng, id);
    id
}

/// Gives a transceiver sources that no other has. Drawn anew when it has said goodbye to the old ones, so that a source never
/// comes back with another sequence under the same keys (RFC 3550 section 6.6, RFC 3711 section 8.4).
pub(super) fn draw_ssrcs(state: &mut State, rng: &mut Rng, id: TransceiverId) {
    let mut draw = |state: &State| loop {
        let ssrc = rng.u32();
        if ssrc != 0 && !state.transceivers.iter().any(|t| t.ssrc == ssrc || t.rtx_ssrc == ssrc) {
            return ssrc;
        }
    };
    for rtx in [false, true] {
        let ssrc = draw(state);
        if let Some(transceiver) = state.transceiver_mut(id) {
            *(if rtx { &mut transceiver.rtx_ssrc } else { &mut transceiver.ssrc }) = ssrc;
        }
    }
}

/// A random UUID (RFC 9562 section 5.4).
fn uuid(rng: &mut Rng) -> String {
    let value = (u128::from_be_bytes(rng.array()) & !(0xF << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{value:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_tokens() {
        for good in ["a", "{a9040d4d-ce2e-4ac2}", "x.y+z", "-"] {
            assert_eq!(check_id(good), Ok(()), "{good}");
        }
        let long = "a".repeat(65);
        for bad in ["", "a b", "a\r\na=x", "é", "a/b", "a:b", "a@b", "a[b", "a\"b", long.as_str()] {
            assert_eq!(check_id(bad).map_err(|error| error.kind), Err(ErrorKind::Type), "{bad}");
        }
    }

    #[test]
    fn uuids_say_their_version_and_variant() {
        let mut rng = Rng::from_u64(1);
        for _ in 0..50 {
            let uuid = uuid(&mut rng);
            let octets = uuid.as_bytes();
            assert_eq!((uuid.len(), octets[14]), (36, b'4'), "{uuid}");
            assert!(b"89ab".contains(&octets[19]), "{uuid}");
        }
    }
}
