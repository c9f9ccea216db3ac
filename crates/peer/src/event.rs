//! What a peer reports: small events that say *that* something happened. Data is pulled.

use std::collections::VecDeque;
use std::net::SocketAddr;

use taut_datachannel::ChannelId;
use taut_sansio::net::{Path, Transport};

use crate::signaling::SignalingState;
use crate::transceiver::TransceiverId;

pub use taut_ice::{
    CandidateError as IceCandidateError, GatheringState as IceGatheringState, ResolveId,
    State as IceConnectionState, StreamId, TcpId,
};

/// The state of the whole connection (W3C `RTCPeerConnectionState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ConnectionState {
    /// Nothing has begun.
    #[default]
    New,
    /// ICE or DTLS is at work.
    Connecting,
    /// Media and data flow.
    Connected,
    /// The other side has not been heard for some seconds; it may come back.
    Disconnected,
    /// ICE or DTLS has failed.
    Failed,
    /// [`Peer::close`](crate::Peer::close) was called, or the other side said goodbye.
    Closed,
}

/// A local candidate for the other side (W3C `RTCIceCandidate`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IceCandidate {
    /// The value of the candidate attribute, `candidate:…` (RFC 8839 section 5.1).
    pub candidate: String,
    /// The identification of the media section that it belongs to.
    pub sdp_mid: Option<String>,
    /// The index of that media section.
    pub sdp_m_line_index: Option<u16>,
    /// The ufrag of the ICE generation that it belongs to.
    pub username_fragment: Option<String>,
}

impl IceCandidate {
    /// A candidate as signalling brings it; at least one of `sdp_mid` and `sdp_m_line_index` is to be given.
    pub fn new(candidate: impl Into<String>, sdp_mid: Option<String>, sdp_m_line_index: Option<u16>) -> Self {
        Self { candidate: candidate.into(), sdp_mid, sdp_m_line_index, username_fragment: None }
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The application closed it.
    #[error("closed by the application")]
    Local,
    /// The other side said goodbye (DTLS close_notify).
    #[error("closed by the other side")]
    Remote,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An offer is needed (W3C `negotiationneeded`).
    NegotiationNeeded,
    /// [`Peer::signaling_state`](crate::Peer::signaling_state) changed.
    SignalingStateChange(SignalingState),
    /// A local candidate for the other side; `None` after the last one of a generation.
    IceCandidate(Option<IceCandidate>),
    /// A server could not be used for gathering (W3C `icecandidateerror`).
    IceCandidateError(IceCandidateError),
    /// The gathering state changed.
    IceGatheringStateChange(IceGatheringState),
    /// The ICE state changed.
    IceConnectionStateChange(IceConnectionState),
    /// The state of the connection changed.
    ConnectionStateChange(ConnectionState),
    /// Data takes another pair of candidates (W3C `selectedcandidatepairchange`).
    SelectedCandidatePairChange,
    /// The other side sends a track (W3C `track`).
    Track {
        /// The transceiver that receives it.
        transceiver: TransceiverId,
        /// The id of the track, as the other side named it.
        track_id: String,
        /// The ids of the streams that it belongs to.
        streams: Vec<String>,
    },
    /// The other side has stopped sending on this transceiver for now.
    TrackMuted(TransceiverId),
    /// The other side sends again.
    TrackUnmuted(TransceiverId),
    /// The transceiver will never receive again.
    TrackEnded(TransceiverId),
    /// The other side opened a data channel.
    DataChannel(ChannelId),
    /// A data channel is open.
    ChannelOpen(ChannelId),
    /// A data channel has messages to poll.
    ChannelReadable(ChannelId),
    /// The buffered amount of a data channel fell to its threshold.
    ChannelBufferedAmountLow(ChannelId),
    /// A data channel is closing.
    ChannelClosing(ChannelId),
    /// The other side has ended a data channel, and all that it sent has come, but for what its limits of retransmission
    /// gave up. [`Event::ChannelClosed`] follows; where it comes without this, something may be missing.
    ChannelComplete(ChannelId),
    /// A data channel is closed.
    ChannelClosed(ChannelId),
    /// A frame can be polled (frame mode).
    FrameReady(TransceiverId),
    /// A packet can be polled (packet mode).
    PacketReady(TransceiverId),
    /// The other side asks for a key frame.
    KeyframeRequested(TransceiverId),
    /// Datagrams of this path belong to this peer.
    RouteAdded(Path),
    /// They no longer do.
    RouteRemoved(Path),
    /// Checks with this ufrag of ours, that of a candidate told before, no longer belong to this peer.
    UfragRetired(String),
    /// A name is to be resolved; answer with [`Peer::handle_resolved`](crate::Peer::handle_resolved).
    Resolve {
        /// What the answer names.
        id: ResolveId,
        /// The name.
        host: String,
    },
    /// A stream to a TURN server is to be opened, TCP or TLS; answer with
    /// [`Peer::handle_connected`](crate::Peer::handle_connected).
    Connect {
        /// What the answer names.
        id: StreamId,
        /// The stream that this one is instead of, and that is to be closed.
        replaces: Option<StreamId>,
        /// TCP or TLS.
        transport: Transport,
        /// Where to.
        remote: SocketAddr,
        /// The name or address that the certificate of a TLS server must be for.
        host: String,
    },
    /// A stream to a TURN server is to be closed, once what was sent on it has left, or to be given up if it is not open yet.
    CloseStream(StreamId),
    /// A TCP connection to the other side is to be opened (RFC 6544); answer with
    /// [`Peer::handle_tcp_opened`](crate::Peer::handle_tcp_opened).
    OpenTcp {
        /// What the answer names.
        id: TcpId,
        /// The address to open it from; the port is 0, for any.
        local: SocketAddr,
        /// Where to.
        remote: SocketAddr,
    },
    /// Such a connection is not wanted any more; no answer is expected.
    AbandonTcp(TcpId),
    /// The TCP connection on this path is to be closed, once what was sent on it has left.
    CloseTcp(Path),
    /// A line for the file of [`Config::key_log`](crate::Config::key_log), without the end of the line.
    KeyLog(String),
    /// The sockets of multicast DNS are to be opened: their datagrams travel on the paths from `0.0.0.0:5353` to
    /// `224.0.0.251:5353`, and from `[::]:5353` to `[ff02::fb]:5353`.
    MulticastWanted,
    /// The end; nothing comes after it.
    Closed(CloseReason),
}

/// How many events may wait before no more datagrams are taken in. A driver polls after every input, so only one
/// that has stopped polling comes to it.
const MAX_WAITING: usize = 4_096;

/// The events that wait. "There is something" is said once until polled, and a newer state replaces an older one;
/// what the network can repeat without end beyond that is bounded by taking in no more datagrams.
#[derive(Debug, Default)]
pub(crate) struct Events {
    queue: VecDeque<Event>,
    ended: bool,
}

impl Events {
    /// Adds an event. One that only says "there is something" is dropped while its twin waits, and a newer state
    /// takes the place of an older one; what must be seen in order is kept whole.
    pub(crate) fn push(&mut self, event: Event) {
        if self.ended {
            return;
        }
        self.ended = matches!(event, Event::Closed(_));
        match event {
            Event::NegotiationNeeded
            | Event::SelectedCandidatePairChange
            | Event::ChannelReadable(_)
            | Event::ChannelBufferedAmountLow(_)
            | Event::FrameReady(_)
            | Event::PacketReady(_)
            | Event::KeyframeRequested(_)
                if self.queue.contains(&event) => {}
            Event::ConnectionStateChange(_) => {
                self.queue.retain(|old| !matches!(old, Event::ConnectionStateChange(_)));
                self.queue.push_back(event);
            }
            Event::IceConnectionStateChange(_) => {
                self.queue.retain(|old| !matches!(old, Event::IceConnectionStateChange(_)));
                self.queue.push_back(event);
            }
            Event::RouteAdded(path) if self.take(&Event::RouteRemoved(path)) => {}
            Event::RouteRemoved(path) if self.take(&Event::RouteAdded(path)) => {}
            event => self.queue.push_back(event),
        }
    }

    /// Whether so many events wait that nothing should make more of them.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= MAX_WAITING
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Removes an event that waits; false if there is none.
    fn take(&mut self, event: &Event) -> bool {
        let place = self.queue.iter().position(|other| other == event);
        place.and_then(|place| self.queue.remove(place)).is_some()
    }

    /// The oldest event.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_said_once_and_states_are_replaced() {
        let mut events = Events::default();
        for _ in 0..1000 {
            events.push(Event::FrameReady(TransceiverId::new(1)));
            events.push(Event::ConnectionStateChange(ConnectionState::Connecting));
            events.push(Event::ConnectionStateChange(ConnectionState::Connected));
        }
        assert_eq!(events.queue.len(), 2);
        assert_eq!(events.pop(), Some(Event::FrameReady(TransceiverId::new(1))));
        assert_eq!(events.pop(), Some(Event::ConnectionStateChange(ConnectionState::Connected)));
        assert_eq!(events.pop(), None);
    }

    #[test]
    fn a_route_that_came_and_went_was_never_there() {
        let path = |port| Path::udp(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], port).into());
        let mut events = Events::default();
        for port in 1..1000 {
            events.push(Event::RouteAdded(path(port)));
            events.push(Event::RouteRemoved(path(port)));
        }
        assert_eq!(events.pop(), None);
        events.push(Event::RouteRemoved(path(1)));
        events.push(Event::RouteAdded(path(2)));
        assert_eq!(events.queue.len(), 2, "of different paths");
    }

    #[test]
    fn nothing_comes_after_the_end() {
        let mut events = Events::default();
        events.push(Event::NegotiationNeeded);
        events.push(Event::Closed(CloseReason::Local));
        events.push(Event::NegotiationNeeded);
        events.push(Event::Closed(CloseReason::Remote));
        assert_eq!(events.pop(), Some(Event::NegotiationNeeded));
        assert_eq!(events.pop(), Some(Event::Closed(CloseReason::Local)));
        assert_eq!(events.pop(), None);
    }

    #[test]
    fn what_must_be_seen_in_order_is_kept() {
        let id = TransceiverId::new(1);
        let mut events = Events::default();
        for event in [Event::TrackMuted(id), Event::TrackUnmuted(id), Event::TrackMuted(id)] {
            events.push(event);
        }
        assert_eq!(events.pop(), Some(Event::TrackMuted(id)));
        assert_eq!(events.pop(), Some(Event::TrackUnmuted(id)));
        assert_eq!(events.pop(), Some(Event::TrackMuted(id)));
    }
}
