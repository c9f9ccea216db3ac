//! What a description means for the rest of the connection. Effects are the difference of two states, so a rollback
//! needs no code of its own here.

use taut_dtls as dtls;
use taut_ice as ice;
use taut_media::Kind;

use super::codecs::NegotiatedCodec;
use super::config::SignalingState;
use super::restart;
use super::state::{DataState, State};
use crate::transceiver::{RemoteTrack, Transceiver, TransceiverId};

/// Something to be done, in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The first local description with a live section was set: gather candidates.
    Gather,
    /// A local description with other ICE credentials was set, the next ones of the transport: begin a new generation.
    RestartIce,
    /// It was taken back: the generation before goes on.
    RollBackIceRestart,
    /// Both descriptions are known, provisionally at least. Comes once, and again with the ICE credentials of every restart; nothing
    /// else of it changes.
    Transport(TransportParameters),
    /// Candidates of the remote description that were not handed out before.
    RemoteCandidates {
        /// The ufrag of the other side that they belong to.
        ufrag: String,
        /// Each begins with `candidate:`.
        candidates: Vec<String>,
    },
    /// The other side has no more candidates.
    EndOfRemoteCandidates,
    /// A transceiver sends with these parameters from now on, or with `None` no longer.
    Send {
        /// Which.
        transceiver: TransceiverId,
        /// How.
        parameters: Option<SendParameters>,
    },
    /// A transceiver receives with these parameters from now on, or with `None` no longer.
    Receive {
        /// Which.
        transceiver: TransceiverId,
        /// How.
        parameters: Option<ReceiveParameters>,
    },
    /// Data channels were agreed; with `None` they were refused or ended.
    Data(Option<DataParameters>),
    /// The transceiver has ended: its track will never receive again. Comes once, from `stop`, from a rejected section or from the
    /// rollback of the offer that made it.
    TransceiverStopped(TransceiverId),
    /// The signaling state changed.
    StateChanged(SignalingState),
    /// The other side no longer sends (W3C "process the removal of a remote track").
    TrackMuted(TransceiverId),
    /// The other side sends again; a `Track` for it came just before.
    TrackUnmuted(TransceiverId),
    /// The other side begins to send (W3C "process the addition of a remote track").
    Track {
        /// The transceiver that receives it.
        transceiver: TransceiverId,
        /// The id of the receiver's track.
        track_id: String,
        /// The streams it belongs to.
        streams: Vec<String>,
    },
}

/// What ICE and DTLS need to know of the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportParameters {
    /// Ours: the first offerer controls, unless it is a lite agent; and so does a full agent facing a lite one.
    pub ice_role: ice::Role,
    /// `a=ice-ufrag` of the other side.
    pub remote_ufrag: String,
    /// `a=ice-pwd` of the other side.
    pub remote_pwd: String,
    /// Whether the other side is a lite agent.
    pub remote_lite: bool,
    /// The certificates that the other side may present; never empty.
    pub fingerprints: Vec<dtls::Fingerprint>,
    /// Ours: client or server, never auto.
    pub dtls_role: dtls::Role,
}

/// How a transceiver sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendParameters {
    /// Audio or video.
    pub kind: Kind,
    /// The section's identification.
    pub mid: String,
    /// The codecs that the other side takes, with its numbers; the first is the one to use.
    pub codecs: Vec<NegotiatedCodec>,
    /// The source.
    pub ssrc: u32,
    /// The source of retransmissions, if a codec has them.
    pub rtx_ssrc: Option<u32>,
    /// The id of the MID header extension, if it was agreed.
    pub mid_extension: Option<u8>,
}

/// How a transceiver receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiveParameters {
    /// Audio or video.
    pub kind: Kind,
    /// The section's identification.
    pub mid: String,
    /// The codecs that may come, with our numbers.
    pub codecs: Vec<NegotiatedCodec>,
    /// The sources that the description names, each with that of its retransmissions. Others may come.
    pub ssrcs: Vec<(u32, Option<u32>)>,
    /// The id of the MID header extension, if it was agreed.
    pub mid_extension: Option<u8>,
}

impl ReceiveParameters {
    /// Every payload type that may come, those of retransmissions included.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> {
        self.codecs.iter().flat_map(|codec| std::iter::once(codec.payload_type).chain(codec.rtx))
    }
}

/// What SCTP needs to know of the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataParameters {
    /// `a=sctp-port` of the other side.
    pub port: u16,
    /// The largest message that the other side takes, in octets; 0 means any.
    pub max_message_size: usize,
}

/// What has to be done when `old` becomes `new`.
pub(super) fn difference(old: &State, new: &State) -> Vec<Effect> {
    let mut effects = Vec::new();
    if new.gathering && !old.gathering {
        effects.push(Effect::Gather);
    }
    effects.extend(restart::effect(&old.ice, &new.ice));
    if let Some(established) = &new.transport {
        transport(old, new, &established.parameters, &mut effects);
    }
    media(old, new, &mut effects);
    if new.data != old.data {
        effects.push(Effect::Data(match new.data {
            DataState::Agreed(parameters) => Some(parameters),
            DataState::None | DataState::Refused => None,
        }));
    }
    for transceiver in old.transceivers.iter().filter(|transceiver| !transceiver.is_stopped()) {
        if new.transceiver(transceiver.id).is_none_or(Transceiver::is_stopped) {
            effects.push(Effect::TransceiverStopped(transceiver.id));
        }
    }
    if new.signaling != old.signaling {
        effects.push(Effect::StateChanged(new.signaling));
    }
    tracks(old, new, &mut effects);
    effects
}

fn transport(old: &State, new: &State, parameters: &TransportParameters, effects: &mut Vec<Effect>) {
    let before = old.transport.as_ref().filter(|before| before.parameters == *parameters);
    if before.is_none() {
        effects.push(Effect::Transport(parameters.clone()));
    }
    let (given, ended) = before.map_or((0, false), |_| (old.given_candidates.len(), old.given_end));
    if let Some(fresh) = new.given_candidates.get(given..).filter(|fresh| !fresh.is_empty()) {
        effects.push(Effect::RemoteCandidates {
            ufrag: parameters.remote_ufrag.clone(),
            candidates: fresh.iter().map(|text| format!("candidate:{text}")).collect(),
        });
    }
    if new.given_end && !ended {
        effects.push(Effect::EndOfRemoteCandidates);
    }
}

fn media(old: &State, new: &State, effects: &mut Vec<Effect>) {
    let gone = old.transceivers.iter().filter(|transceiver| new.transceiver(transceiver.id).is_none());
    for transceiver in gone {
        if transceiver.negotiated.receive.is_some() {
            effects.push(Effect::Receive { transceiver: transceiver.id, parameters: None });
        }
        if transceiver.negotiated.send.is_some() {
            effects.push(Effect::Send { transceiver: transceiver.id, parameters: None });
        }
    }
    for transceiver in &new.transceivers {
        let before = old.transceiver(transceiver.id).map(|before| &before.negotiated);
        let (id, after) = (transceiver.id, &transceiver.negotiated);
        if before.and_then(|before| before.receive.as_ref()) != after.receive.as_ref() {
            effects.push(Effect::Receive { transceiver: id, parameters: after.receive.clone() });
        }
        if before.and_then(|before| before.send.as_ref()) != after.send.as_ref() {
            effects.push(Effect::Send { transceiver: id, parameters: after.send.clone() });
        }
    }
}

fn tracks(old: &State, new: &State, effects: &mut Vec<Effect>) {
    let changed = new.transceivers.iter().filter_map(|transceiver| {
        let before =
            old.transceiver(transceiver.id).map(|before| before.negotiated.remote_track).unwrap_or_default();
        (before != transceiver.negotiated.remote_track).then_some((before, transceiver))
    });
    let changed: Vec<_> = changed.filter(|(_, transceiver)| !transceiver.is_stopped()).collect();
    for (before, transceiver) in &changed {
        if *before == RemoteTrack::Live {
            effects.push(Effect::TrackMuted(transceiver.id));
        }
    }
    for (before, transceiver) in changed {
        if transceiver.negotiated.remote_track == RemoteTrack::Live {
            effects.push(Effect::Track {
                transceiver: transceiver.id,
                track_id: transceiver.receiver_track_id.clone(),
                streams: transceiver.negotiated.remote_streams.clone(),
            });
            if before == RemoteTrack::Muted {
                effects.push(Effect::TrackUnmuted(transceiver.id));
            }
        }
    }
}
