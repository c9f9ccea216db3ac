//! The events of a connection (W3C `RTCPeerConnection` event handlers, section 4.4.2).

use std::collections::VecDeque;

use taut_peer::{
    ChannelId, ConnectionState, IceCandidate, IceCandidateError, IceConnectionState, IceGatheringState,
    SignalingState, TransceiverId,
};

use crate::connection::{Handle, State};
use crate::data_channel::DataChannel;
use crate::media_stream::MediaStream;
use crate::rtp_objects::{RtpReceiver, RtpTransceiver};
use crate::track::MediaStreamTrack;

/// How many changes of one state may wait. A consumer that is slower than this sees the newest of them.
const MAX_CHANGES: usize = 64;

/// How many candidates may wait, more than one generation has. The oldest, of a generation that is over, go first.
const MAX_CANDIDATES: usize = 1_024;

/// Something happened to a [`PeerConnection`](crate::PeerConnection).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// An offer is needed (W3C `negotiationneeded`).
    NegotiationNeeded,
    /// The signaling state changed.
    SignalingStateChange(SignalingState),
    /// A local candidate, to be given to the other side's
    /// [`add_ice_candidate`](crate::PeerConnection::add_ice_candidate); `None` after the last one.
    IceCandidate(Option<IceCandidate>),
    /// A server could not be used for gathering (W3C `icecandidateerror`).
    IceCandidateError(IceCandidateError),
    /// The gathering state changed.
    IceGatheringStateChange(IceGatheringState),
    /// The ICE state changed.
    IceConnectionStateChange(IceConnectionState),
    /// The state of the connection changed.
    ConnectionStateChange(ConnectionState),
    /// Data takes another path: see [`IceTransport::selected_candidate_pair`](crate::IceTransport::selected_candidate_pair)
    /// (W3C `selectedcandidatepairchange`).
    SelectedCandidatePairChange,
    /// The other side sends a track (W3C `track`).
    Track(TrackEvent),
    /// The other side opened a data channel.
    DataChannel(DataChannel),
}

/// A remote track (W3C `RTCTrackEvent`).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrackEvent {
    /// The track.
    pub track: MediaStreamTrack,
    /// The streams that it belongs to.
    pub streams: Vec<MediaStream>,
    /// What receives it.
    pub receiver: RtpReceiver,
    /// The transceiver that the receiver belongs to.
    pub transceiver: RtpTransceiver,
}

/// The one consumer of a connection's events.
///
/// It counts as a handle of the connection. Events wait until they are taken, in their order; a consumer that is slow
/// loses none, except that of more than 64 changes of one state only the newest are kept.
/// Dropping it means that nobody is interested: data channels of the other side are not read from then on.
#[derive(Debug)]
pub struct Events {
    connection: Handle,
}

impl Events {
    pub(crate) fn new(connection: Handle) -> Self {
        Self { connection }
    }

    /// The next event, or `None` after the last one of a connection that is closed.
    ///
    /// Cancel-safe: an event is either returned or still there.
    pub async fn recv(&mut self) -> Option<Event> {
        let connection = &self.connection;
        connection
            .changed
            .wait_for(|| {
                let mut state = connection.lock();
                match take(&mut state, connection) {
                    Some(event) => Some(Some(event)),
                    None if state.ended => Some(None),
                    None => None,
                }
            })
            .await
    }

    /// The next event if one waits.
    pub fn try_recv(&mut self) -> Option<Event> {
        take(&mut self.connection.lock(), &self.connection)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let abandoned = self.connection.lock().events.close();
        if !abandoned.is_empty() {
            self.connection.with(|state, _| abandoned.into_iter().for_each(|id| state.abandon_channel(id)));
        }
    }
}

/// Takes the next event that still means something.
fn take(state: &mut State, connection: &Handle) -> Option<Event> {
    while let Some(pending) = state.events.queue.pop_front() {
        let event = match pending {
            Pending::NegotiationNeeded => Event::NegotiationNeeded,
            Pending::SignalingState(new) => Event::SignalingStateChange(new),
            Pending::IceCandidate(candidate) => Event::IceCandidate(candidate),
            Pending::IceCandidateError(error) => Event::IceCandidateError(error),
            Pending::IceGatheringState(new) => Event::IceGatheringStateChange(new),
            Pending::IceConnectionState(new) => Event::IceConnectionStateChange(new),
            Pending::ConnectionState(new) => Event::ConnectionStateChange(new),
            Pending::SelectedCandidatePair => Event::SelectedCandidatePairChange,
            Pending::Track { transceiver, streams } => {
                match track_event(state, connection, transceiver, &streams) {
                    Some(event) => Event::Track(event),
                    None => continue,
                }
            }
            Pending::DataChannel(id) => match state.channels.get(&id) {
                Some(entry) => Event::DataChannel(DataChannel::new(entry.core.clone(), connection.clone())),
                None => continue,
            },
        };
        return Some(event);
    }
    None
}

fn track_event(
    state: &mut State,
    connection: &Handle,
    transceiver: TransceiverId,
    streams: &[String],
) -> Option<TrackEvent> {
    let track = MediaStreamTrack::remote(state.receiver(transceiver)?, connection.clone());
    let streams = streams.iter().map(|id| MediaStream::remote(state, id, connection)).collect();
    Some(TrackEvent {
        track,
        streams,
        receiver: RtpReceiver::new(connection.clone(), transceiver),
        transceiver: RtpTransceiver::new(connection.clone(), transceiver),
    })
}

/// An event from which handles are made when it is taken: handles count, and what waits must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pending {
    NegotiationNeeded,
    SignalingState(SignalingState),
    IceCandidate(Option<IceCandidate>),
    IceCandidateError(IceCandidateError),
    IceGatheringState(IceGatheringState),
    IceConnectionState(IceConnectionState),
    ConnectionState(ConnectionState),
    SelectedCandidatePair,
    Track { transceiver: TransceiverId, streams: Vec<String> },
    DataChannel(ChannelId),
}

/// What waits, bounded: by the tables that it comes from (channels, transceivers), or by a number of its own.
#[derive(Debug, Default)]
pub(crate) struct EventTable {
    queue: VecDeque<Pending>,
    pushed: u64,
    closed: bool,
}

impl EventTable {
    /// Adds an event, in its place if it supersedes one that waits.
    pub(crate) fn push(&mut self, event: Pending) {
        self.pushed += 1;
        if self.closed {
            return;
        }
        let limit = match &event {
            Pending::NegotiationNeeded => {
                self.queue.retain(|old| *old != Pending::NegotiationNeeded);
                1
            }
            Pending::Track { transceiver: new, .. } => {
                self.queue
                    .retain(|old| !matches!(old, Pending::Track { transceiver, .. } if transceiver == new));
                usize::MAX
            }
            Pending::DataChannel(_) => usize::MAX,
            Pending::IceCandidate(_) => MAX_CANDIDATES,
            _ => MAX_CHANGES,
        };
        let is_same_kind = |old: &Pending| std::mem::discriminant(old) == std::mem::discriminant(&event);
        if self.queue.len() >= limit
            && self.queue.iter().filter(|old| is_same_kind(old)).count() >= limit
            && let Some(oldest) = self.queue.iter().position(is_same_kind)
        {
            self.queue.remove(oldest);
        }
        self.queue.push_back(event);
    }

    /// How many events there have been, taken or not: whoever waits for a state looks again when it grows.
    pub(crate) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// How many data channels wait to be taken.
    pub(crate) fn waiting_channels(&self) -> usize {
        self.queue.iter().filter(|event| matches!(event, Pending::DataChannel(_))).count()
    }

    /// False once nobody will take events any more.
    pub(crate) fn has_consumer(&self) -> bool {
        !self.closed
    }

    /// Nobody will take events any more. Returns the data channels that waited.
    fn close(&mut self) -> Vec<ChannelId> {
        self.closed = true;
        let queue = std::mem::take(&mut self.queue);
        let channel = |event| if let Pending::DataChannel(id) = event { Some(id) } else { None };
        queue.into_iter().filter_map(channel).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(n: usize) -> Pending {
        Pending::IceCandidate(Some(IceCandidate::new(format!("candidate:{n}"), None, Some(0))))
    }

    #[test]
    fn the_table_keeps_order_and_is_bounded() {
        let mut table = EventTable::default();
        table.push(Pending::NegotiationNeeded);
        for n in 0..10_000 {
            table.push(candidate(n));
            let state = if n % 2 == 0 { ConnectionState::Disconnected } else { ConnectionState::Connected };
            table.push(Pending::ConnectionState(state));
        }
        table.push(Pending::NegotiationNeeded);
        assert_eq!(table.queue.len(), MAX_CANDIDATES + MAX_CHANGES + 1);
        assert_eq!(table.queue.back(), Some(&Pending::NegotiationNeeded));
        let candidates: Vec<_> =
            table.queue.iter().filter(|e| matches!(e, Pending::IceCandidate(_))).collect();
        assert_eq!(candidates.last(), Some(&&candidate(9_999)), "the newest are kept");
        let last_state = table.queue.iter().rev().find(|e| matches!(e, Pending::ConnectionState(_)));
        assert_eq!(last_state, Some(&Pending::ConnectionState(ConnectionState::Connected)));
    }

    #[test]
    fn a_closed_table_takes_nothing() {
        let mut table = EventTable::default();
        table.push(candidate(1));
        assert!(table.close().is_empty());
        table.push(candidate(2));
        assert!(table.queue.is_empty() && !table.has_consumer());
    }
}
