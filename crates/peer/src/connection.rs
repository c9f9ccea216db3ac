//! What the layers tell each other, the states that follow from it, and the end.

use std::time::Instant;

use taut_sansio::net::Transmit;

use crate::event::{
    CloseReason, ConnectionState, Event, IceCandidate, IceConnectionState, IceGatheringState,
};
use crate::peer::Peer;

/// How far the end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    /// Alive.
    Open,
    /// Media and data say goodbye; DTLS follows.
    Leaving(CloseReason),
    /// DTLS says goodbye; ICE follows.
    SayingGoodbye(CloseReason),
    /// Gone.
    Closed(CloseReason),
}

impl Lifecycle {
    pub(crate) fn is_open(self) -> bool {
        self == Self::Open
    }
}

impl Peer {
    /// Closes the connection (W3C `close`). Goodbyes of media, data and DTLS are made by the next polls of
    /// [`poll_transmit`](Self::poll_transmit); after them comes [`Event::Closed`]. A second call does nothing.
    pub fn close(&mut self, now: Instant) {
        let now = self.advance(now);
        self.leave(now, CloseReason::Local);
        self.collect(now);
    }

    /// True once nothing will be sent any more.
    pub fn is_closed(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Closed(_))
    }

    /// The state of the whole connection (W3C `connectionState`).
    pub fn connection_state(&self) -> ConnectionState {
        self.connection_state
    }

    /// Why DTLS failed, if it did: the certificate may not be the one of the description. It is logged, too.
    pub fn dtls_failure(&self) -> Option<taut_dtls::CloseReason> {
        self.transport.dtls_failure()
    }

    /// What was sent and received on the transport, and why datagrams were dropped.
    pub fn transport_stats(&self) -> crate::TransportStats {
        let dropped_dtls = self.transport.dtls.stats().dropped();
        crate::TransportStats { dropped_dtls, ..self.transport.stats }
    }

    /// The state of ICE (W3C `iceConnectionState`).
    pub fn ice_connection_state(&self) -> IceConnectionState {
        self.ice_state
    }

    /// The state of gathering (W3C `iceGatheringState`).
    pub fn ice_gathering_state(&self) -> IceGatheringState {
        if self.is_pooling() { IceGatheringState::New } else { self.transport.ice.gathering_state() }
    }

    fn leave(&mut self, now: Instant, reason: CloseReason) {
        if !self.lifecycle.is_open() {
            return;
        }
        self.lifecycle = Lifecycle::Leaving(reason);
        let ids: Vec<_> = self.signaling.transceivers().map(|transceiver| transceiver.id()).collect();
        for id in ids {
            self.transport.media.remove_sender(now, id.into());
        }
        self.transport.data.abort(now);
        self.signaling.close();
    }

    /// What remains to be said once media and data have nothing more: DTLS's goodbye, then ICE ends.
    pub(crate) fn poll_goodbye(
        &mut self,
        now: Instant,
        max_segments: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        if let Lifecycle::Leaving(reason) = self.lifecycle {
            self.lifecycle = Lifecycle::SayingGoodbye(reason);
            self.transport.dtls.close(now);
            if let Some(transmit) = self.transport.poll_transmit(now, max_segments, out) {
                return Some(transmit);
            }
        }
        if let Lifecycle::SayingGoodbye(reason) = self.lifecycle {
            self.transport.ice.close(now);
            self.lifecycle = Lifecycle::Closed(reason);
            self.collect(now);
            self.events.push(Event::Closed(reason));
        }
        // What relays and names there are is given back.
        self.transport.poll_farewell(now, out)
    }

    /// Carries events from layer to layer and upward, until there are none.
    pub(crate) fn collect(&mut self, now: Instant) {
        self.collect_ice(now);
        self.collect_dtls(now);
        self.collect_data();
        self.collect_media();
        self.update_states();
    }

    fn collect_ice(&mut self, now: Instant) {
        while let Some(event) = self.transport.ice.poll_event() {
            match event {
                taut_ice::Event::LocalCandidate(candidate) => {
                    self.on_local_candidate(candidate);
                }
                taut_ice::Event::GatheringStateChanged(state) => {
                    self.on_gathering_state(state);
                }
                taut_ice::Event::StateChanged(_) => {}
                taut_ice::Event::SelectedPairChanged { .. } => {
                    self.transport.stats.selected_pair_changes += 1;
                    self.events.push(Event::SelectedCandidatePairChange);
                    self.transport.start_handshake(now);
                }
                taut_ice::Event::RouteAdded(path) => self.events.push(Event::RouteAdded(path)),
                taut_ice::Event::RouteRemoved(path) => self.events.push(Event::RouteRemoved(path)),
                taut_ice::Event::CredentialsRetired { ufrag } => {
                    self.events.push(Event::UfragRetired(ufrag));
                }
                taut_ice::Event::Resolve { id, host } => self.events.push(Event::Resolve { id, host }),
                taut_ice::Event::Connect { id, replaces, transport, remote, host } => {
                    self.events.push(Event::Connect { id, replaces, transport, remote, host });
                }
                taut_ice::Event::CloseStream(id) => self.events.push(Event::CloseStream(id)),
                taut_ice::Event::OpenTcp { id, local, remote } => {
                    self.events.push(Event::OpenTcp { id, local, remote });
                }
                taut_ice::Event::AbandonTcp(id) => self.events.push(Event::AbandonTcp(id)),
                taut_ice::Event::CloseTcp(path) => self.events.push(Event::CloseTcp(path)),
                taut_ice::Event::MulticastWanted => self.events.push(Event::MulticastWanted),
                taut_ice::Event::CandidateError(error) => self.events.push(Event::IceCandidateError(error)),
                _ => {}
            }
        }
    }

    fn collect_dtls(&mut self, now: Instant) {
        while let Some(event) = self.transport.dtls.poll_event() {
            match event {
                taut_dtls::Event::Connected(verified) => {
                    if let Err(error) = self.transport.on_dtls_connected(now, &verified) {
                        tracing::warn!(%error, "the DTLS engine exported unusable keys");
                        self.transport.dtls.close(now);
                    }
                }
                taut_dtls::Event::KeyLog(line) => self.events.push(Event::KeyLog(line)),
                taut_dtls::Event::Closed(reason) => {
                    tracing::debug!(?reason, "DTLS ended");
                    self.transport.on_dtls_closed(reason);
                    self.transport.data.handle_transport_closed(now);
                    if reason == taut_dtls::CloseReason::Remote {
                        self.leave(now, CloseReason::Remote);
                    }
                }
                _ => {}
            }
        }
    }

    fn collect_data(&mut self) {
        while let Some(event) = self.transport.data.poll_event() {
            use taut_datachannel::Event as Data;
            match event {
                Data::Incoming(id) => self.events.push(Event::DataChannel(id)),
                Data::Open(id) => self.events.push(Event::ChannelOpen(id)),
                Data::Readable(id) => self.events.push(Event::ChannelReadable(id)),
                Data::BufferedAmountLow(id) => self.events.push(Event::ChannelBufferedAmountLow(id)),
                Data::Closing(id) => self.events.push(Event::ChannelClosing(id)),
                Data::Complete(id) => self.events.push(Event::ChannelComplete(id)),
                Data::Closed(id) => self.events.push(Event::ChannelClosed(id)),
                _ => {}
            }
        }
    }

    fn collect_media(&mut self) {
        while let Some(event) = self.transport.media.poll_event() {
            use taut_media::Event as Media;
            match event {
                Media::FrameReady(id) => self.events.push(Event::FrameReady(id.into())),
                Media::PacketReady(id) => self.events.push(Event::PacketReady(id.into())),
                Media::KeyframeRequested(id) => self.events.push(Event::KeyframeRequested(id.into())),
                _ => {}
            }
        }
    }

    /// Computes the W3C states from those of the layers and says what changed.
    fn update_states(&mut self) {
        let ice =
            if self.lifecycle.is_open() { self.transport.ice.state() } else { IceConnectionState::Closed };
        let connection = self.compute_connection_state(ice);
        if ice != self.ice_state {
            self.ice_state = ice;
            if ice == IceConnectionState::Failed {
                tracing::warn!("connection failed: {}", self.ice_report());
            }
            self.events.push(Event::IceConnectionStateChange(ice));
        }
        if connection != self.connection_state {
            self.connection_state = connection;
            if let (ConnectionState::Failed, Some(reason)) = (connection, self.dtls_failure()) {
                tracing::warn!("connection failed: DTLS: {reason}");
            }
            self.events.push(Event::ConnectionStateChange(connection));
        }
    }

    /// W3C `RTCPeerConnectionState`, section 4.4.3.
    fn compute_connection_state(&self, ice: IceConnectionState) -> ConnectionState {
        use taut_dtls::State as Dtls;
        let dtls = self.transport.dtls.state();
        match (ice, dtls) {
            _ if !self.lifecycle.is_open() => ConnectionState::Closed,
            (IceConnectionState::Failed, _) | (_, Dtls::Failed) => ConnectionState::Failed,
            (IceConnectionState::Disconnected, _) => ConnectionState::Disconnected,
            (IceConnectionState::New, Dtls::New) => ConnectionState::New,
            (IceConnectionState::Connected | IceConnectionState::Completed, Dtls::Connected) => {
                ConnectionState::Connected
            }
            _ => ConnectionState::Connecting,
        }
    }

    /// A candidate as signalling carries it: it belongs to the section that speaks for the transport.
    pub(crate) fn describe_candidate(&self, candidate: &taut_ice::Candidate) -> IceCandidate {
        let (sdp_mid, index) = self.signaling.transport_section().unwrap_or((None, 0));
        IceCandidate {
            candidate: candidate.to_string(),
            sdp_mid,
            sdp_m_line_index: Some(index),
            username_fragment: candidate.ufrag.clone(),
        }
    }
}
