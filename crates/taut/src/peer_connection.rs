//! The connection (W3C `RTCPeerConnection`, section 4.4).

use std::net::SocketAddr;
use std::sync::Arc;

use taut_peer::{
    Config, ConnectionState, IceCandidate, IceConnectionState, IceGatheringState, IceReport,
    InterfaceAddress, OfferOptions, Peer, SessionDescription, SignalingState, StatsReport, TransceiverId,
};
use tokio::runtime::Handle as Runtime;
use tokio::sync::Notify;

use crate::connection::Handle;
use crate::data_channel::{DataChannel, DataChannelInit};
use crate::driver::Driver;
use crate::error::Error;
use crate::events::Events;
use crate::key_log::KeyLog;
use crate::media_stream::MediaStream;
use crate::net::endpoint::{Endpoint, runtime};
use crate::net::interfaces::{self, Interface};
use crate::net::streams::StreamOptions;
use crate::net::watch::Changes;
use crate::rtp_objects::{
    RtpReceiver, RtpSender, RtpTransceiver, RtpTransceiverInit, TrackOrKind, check_local,
};
use crate::track::MediaStreamTrack;
use crate::transports::{DtlsTransport, SctpTransport};
use crate::{clock, ids};

/// A connection to another peer. Clones are handles of the same connection.
///
/// The connection closes when [`close`](Self::close) is called, when the other side closes it, or when the last handle
/// is dropped: of itself, its [`Events`], its data channels, transceivers and remote tracks. So a task that waits for
/// events or messages keeps it open: where there is one, call `close`. A connection that fails stays until it is closed
/// or [restarted](Self::restart_ice).
#[derive(Debug, Clone)]
pub struct PeerConnection {
    handle: Handle,
}

impl PeerConnection {
    /// Makes a connection with sockets of its own, one on each address of this host that can be used, and its one
    /// consumer of events. Runs a task on the current tokio runtime.
    ///
    /// # Panics
    ///
    /// In a runtime without I/O driver, as tokio does; without the time driver, the connection's task panics. With
    /// `#[tokio::main]` and `Builder::enable_all` there are both.
    ///
    /// # Errors
    ///
    /// `InvalidState` outside a tokio runtime; `Range`, `InvalidAccess` and `NotSupported` for a configuration that
    /// cannot be honoured, as the DTLS engine it names may not be built in or not do what is asked for; `Operation` when
    /// no certificate can be made, the file of the key log cannot be opened, or the operating system fails.
    pub fn new(config: Config) -> Result<(Self, Events), Error> {
        let runtime = runtime()?;
        let (ports, tcp) = (config.port_range, config.ice_tcp);
        let changes = config.gather_continually.then(|| Changes::watch(&runtime));
        let parts = Parts::new(config)?;
        let interfaces =
            interfaces::list().map_err(|error| Error::io("cannot list the interfaces", error))?;
        let addresses: Vec<SocketAddr> = select(&parts.peer, &interfaces)
            .into_iter()
            .map(|ip| {
                let index =
                    interfaces.iter().find(|interface| interface.address == ip).map_or(0, |i| i.index);
                interfaces::socket_address(ip, index)
            })
            .collect();
        let endpoint = Endpoint::private(&runtime, &addresses, ports, tcp);
        Ok(Self::start(&runtime, parts, (&endpoint, None), &interfaces, changes))
    }

    /// Makes a connection that uses the sockets of an endpoint, next to other connections.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); `Operation`, too, when no socket can be bound for a TURN server over UDP. Such a server knows its
    /// clients by their sockets, so that the connection has sockets of its own for it.
    pub fn with_endpoint(config: Config, endpoint: &Endpoint) -> Result<(Self, Events), Error> {
        let runtime = runtime()?;
        let changes = config.gather_continually.then(|| Changes::watch(&runtime));
        let parts = Parts::new(config)?;
        let interfaces = interfaces::list().unwrap_or_default();
        let relays = endpoint.bind_relays(parts.peer.configuration(), || select(&parts.peer, &interfaces))?;
        Ok(Self::start(&runtime, parts, (endpoint, relays.as_ref()), &interfaces, changes))
    }

    /// Begins with the sockets of an endpoint, and those of another one for TURN over UDP, if they are not for that.
    fn start(
        runtime: &Runtime,
        parts: Parts,
        (endpoint, relays): (&Endpoint, Option<&Endpoint>),
        interfaces: &[Interface],
        changes: Option<Changes>,
    ) -> (Self, Events) {
        let Parts { mut peer, key_log, mtu, streams } = parts;
        for address in relays.map(Endpoint::local_addresses).unwrap_or_default() {
            peer.add_relay_socket(clock::now(), address);
        }
        let addresses = endpoint.usable_addresses(|| select(&peer, interfaces));
        for &address in &addresses {
            peer.add_local_address(clock::now(), address);
        }
        let listeners = endpoint.usable_listeners(|| select(&peer, interfaces));
        for &listener in &listeners {
            peer.add_tcp_listener(clock::now(), listener);
        }
        let wake = Arc::new(Notify::new());
        let registration = endpoint.register(wake.clone(), addresses, interfaces);
        let registration = registration.with_listeners(listeners);
        let relays = relays.map(|relays| relays.register(wake.clone(), relays.local_addresses(), interfaces));
        let handle = Handle::new(peer, key_log, (registration.claims(), relays.is_some()), wake);
        let driver = Driver::new(Arc::clone(handle.shared()), (registration, relays), changes, mtu, streams);
        runtime.spawn(driver.run());
        (Self { handle: handle.clone() }, Events::new(handle))
    }

    // ---- configuration

    /// What was configured (W3C `getConfiguration`).
    pub fn configuration(&self) -> Config {
        self.handle.lock().peer.configuration().clone()
    }

    /// Changes what may be changed during a connection (W3C `setConfiguration`): the ICE servers, as when credentials of TURN servers
    /// run out, which candidates are used, and, before the first local description, the size of the candidate pool.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), taut::Error> {
    /// # let pc: taut::PeerConnection = todo!();
    /// let mut config = pc.configuration();
    /// config.ice_servers =
    ///     vec![taut::IceServer::parse("turn:relay.example.org")?.with_credentials("ann", "this hour's")];
    /// pc.set_configuration(config)?;
    /// // At once, and not only for what is gathered next:
    /// pc.restart_ice();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It holds from the next time that candidates are gathered. The next offer has new ICE credentials for that, but nothing asks
    /// for one: see [`restart_ice`](Self::restart_ice). Candidates in the pool are gathered anew. An allocation on a TURN server goes
    /// on with the credentials that it was made with while its server is among the new ones, else until nothing goes over it.
    ///
    /// # Errors
    ///
    /// `InvalidState` on a closed connection, `InvalidModification` if anything else differs from
    /// [`configuration`](Self::configuration), and as [`new`](Self::new) and [`with_endpoint`](Self::with_endpoint) for one that
    /// cannot be honoured. Nothing has changed then.
    pub fn set_configuration(&self, config: Config) -> Result<(), Error> {
        let interfaces = interfaces::list().unwrap_or_default();
        let wake = self.handle.wake.clone();
        self.handle.try_with(|state, now| state.set_configuration(now, config, &interfaces, wake))
    }

    // ---- negotiation

    /// Makes an offer of what the connection has and wants. It changes nothing until it is set. One that is made before
    /// there is a track, a transceiver or a data channel has nothing to connect for: no connection comes of it.
    ///
    /// Has no point at which it waits: it is done when first polled.
    ///
    /// # Errors
    ///
    /// `InvalidState` when the signaling state does not allow an offer, or the connection is closed.
    pub async fn create_offer(&self, options: OfferOptions) -> Result<SessionDescription, Error> {
        Ok(self.handle.with(|state, now| state.peer.create_offer(now, options))?)
    }

    /// Makes an answer to the remote offer. It changes nothing until it is set.
    ///
    /// Has no point at which it waits: it is done when first polled.
    ///
    /// # Errors
    ///
    /// `InvalidState` when there is no remote offer to answer, or the connection is closed.
    pub async fn create_answer(&self) -> Result<SessionDescription, Error> {
        Ok(self.handle.with(|state, now| state.peer.create_answer(now))?)
    }

    /// Asks for new ICE credentials and candidates: the next offer has them, and a
    /// [`NegotiationNeeded`](crate::Event::NegotiationNeeded) asks for it. Media and data go on over the old path until there is
    /// a new one; a connection that is disconnected or has failed comes back if there is a way. Nothing happens on a connection
    /// that is closed or was never negotiated.
    pub fn restart_ice(&self) {
        self.handle.with(|state, now| state.peer.restart_ice(now));
    }

    /// How it stands with ICE, and why: every pair of candidates with what was sent and heard, and a verdict in one line. The same
    /// is logged when the connection fails.
    pub fn ice_report(&self) -> IceReport {
        self.handle.lock().peer.ice_report()
    }

    /// Sets the local description; `None` makes the one that the signaling state asks for. Gathering begins with the
    /// first.
    ///
    /// Has no point at which it waits: it is done when first polled, whole or not at all.
    ///
    /// # Errors
    ///
    /// `InvalidState`, `InvalidModification`, `Operation` as W3C says; nothing has changed then.
    pub async fn set_local_description(
        &self,
        description: impl Into<Option<SessionDescription>>,
    ) -> Result<(), Error> {
        let description = description.into();
        Ok(self.handle.with(|state, now| state.peer.set_local_description(now, description))?)
    }

    /// Sets the description that came from the other side.
    ///
    /// Has no point at which it waits: it is done when first polled, whole or not at all.
    ///
    /// # Errors
    ///
    /// `InvalidState`, `InvalidAccess`, `Syntax`, `Operation` as W3C says; nothing has changed then.
    pub async fn set_remote_description(&self, description: SessionDescription) -> Result<(), Error> {
        Ok(self.handle.with(|state, now| state.peer.set_remote_description(now, description))?)
    }

    /// Adds a candidate that came from the other side; `None` says that there are no more.
    ///
    /// Has no point at which it waits: it is done when first polled.
    ///
    /// # Errors
    ///
    /// `InvalidState` without a remote description, `Type` for a candidate without a media section, `Operation` for one
    /// that cannot be used.
    pub async fn add_ice_candidate(&self, candidate: impl Into<Option<IceCandidate>>) -> Result<(), Error> {
        let candidate = candidate.into();
        Ok(self.handle.with(|state, now| state.peer.add_ice_candidate(now, candidate))?)
    }

    /// The local description, with the candidates gathered so far.
    pub fn local_description(&self) -> Option<SessionDescription> {
        self.handle.lock().peer.local_description()
    }

    /// The local description that was last agreed on.
    pub fn current_local_description(&self) -> Option<SessionDescription> {
        self.handle.lock().peer.current_local_description()
    }

    /// The local description that is being negotiated.
    pub fn pending_local_description(&self) -> Option<SessionDescription> {
        self.handle.lock().peer.pending_local_description()
    }

    /// The remote description, with the candidates added so far.
    pub fn remote_description(&self) -> Option<SessionDescription> {
        self.handle.lock().peer.remote_description()
    }

    /// The remote description that was last agreed on.
    pub fn current_remote_description(&self) -> Option<SessionDescription> {
        self.handle.lock().peer.current_remote_description()
    }

    /// The remote description that is being negotiated.
    pub fn pending_remote_description(&self) -> Option<SessionDescription> {
        self.handle.lock().peer.pending_remote_description()
    }

    /// Waits until all local candidates are gathered and part of
    /// [`local_description`](Self::local_description), for signaling that carries no candidates of its own. Returns at
    /// once when the connection is closed.
    ///
    /// Cancel-safe: it takes nothing.
    pub async fn gathering_complete(&self) {
        let done = || {
            let state = self.handle.lock();
            let complete = state.peer.ice_gathering_state() == IceGatheringState::Complete;
            (complete || state.ended).then_some(())
        };
        self.handle.changed.wait_for(done).await;
    }

    /// Whether the other side takes candidates one by one; `None` before its description.
    pub fn can_trickle_ice_candidates(&self) -> Option<bool> {
        self.handle.lock().peer.can_trickle_ice_candidates()
    }

    // ---- states

    /// How far negotiation is.
    pub fn signaling_state(&self) -> SignalingState {
        self.handle.lock().peer.signaling_state()
    }

    /// How far gathering is.
    pub fn ice_gathering_state(&self) -> IceGatheringState {
        self.handle.lock().peer.ice_gathering_state()
    }

    /// The state of ICE.
    pub fn ice_connection_state(&self) -> IceConnectionState {
        let state = self.handle.lock();
        if state.ended { IceConnectionState::Closed } else { state.peer.ice_connection_state() }
    }

    /// The state of the whole connection.
    pub fn connection_state(&self) -> ConnectionState {
        let state = self.handle.lock();
        if state.ended { ConnectionState::Closed } else { state.peer.connection_state() }
    }

    /// Waits until the connection is up. An addition to W3C.
    ///
    /// Cancel-safe: it takes nothing.
    ///
    /// # Errors
    ///
    /// `Operation` when the connection fails, with the verdict of [`ice_report`](Self::ice_report) where it is ICE that failed, and
    /// what was wrong where it is DTLS, as with another certificate than the description said; `InvalidState` when it is closed.
    pub async fn connected(&self) -> Result<(), Error> {
        self.handle
            .changed
            .wait_for(|| match self.connection_state() {
                ConnectionState::Connected => Some(Ok(())),
                ConnectionState::Failed => Some(Err(self.failure())),
                ConnectionState::Closed => Some(Err(Error::closed())),
                _ => None,
            })
            .await
    }

    fn failure(&self) -> Error {
        let state = self.handle.lock();
        match state.peer.dtls_failure() {
            Some(reason) => Error::failed(format_args!("DTLS: {reason}")),
            None => Error::failed(state.peer.ice_report().verdict),
        }
    }

    // ---- media

    /// Sends a local track, as part of these streams, on a transceiver that is free or a new one.
    ///
    /// # Errors
    ///
    /// `InvalidAccess` when the track is being sent already, `InvalidState` on a closed connection, `NotSupported` for
    /// a remote track.
    pub fn add_track(&self, track: &MediaStreamTrack, streams: &[&MediaStream]) -> Result<RtpSender, Error> {
        check_local(Some(track))?;
        let streams = streams.iter().map(|stream| stream.id().to_owned()).collect();
        let id = self.handle.with(|state, now| state.peer.add_track(now, track.info(), streams))?;
        let sender = RtpSender::new(self.handle.clone(), id);
        sender.set_track(Some(track));
        Ok(sender)
    }

    /// Sends every track of a local stream. An addition to W3C: [`add_track`](Self::add_track) for each.
    ///
    /// # Errors
    ///
    /// As [`add_track`](Self::add_track); the tracks before the one that is refused are sent.
    pub fn add_stream(&self, stream: &MediaStream) -> Result<Vec<RtpSender>, Error> {
        stream.tracks().iter().map(|track| self.add_track(track, &[stream])).collect()
    }

    /// Stops sending a track. Its transceiver goes on receiving.
    ///
    /// # Errors
    ///
    /// `InvalidAccess` for a sender of another connection, `InvalidState` on a closed connection.
    pub fn remove_track(&self, sender: &RtpSender) -> Result<(), Error> {
        let id = sender.id_in(&self.handle).ok_or_else(Error::other_connection)?;
        self.handle.with(|state, now| state.peer.remove_track(now, id))?;
        sender.set_track(None);
        Ok(())
    }

    /// Adds a transceiver for a local track, which it sends, or for a kind of media.
    ///
    /// # Errors
    ///
    /// `Type` for an initial direction that cannot be, `InvalidState` on a closed connection, `NotSupported` for a
    /// remote track.
    pub fn add_transceiver(
        &self,
        track_or_kind: impl Into<TrackOrKind>,
        init: RtpTransceiverInit,
    ) -> Result<RtpTransceiver, Error> {
        let (kind, track) = match track_or_kind.into() {
            TrackOrKind::Track(track) => (track.kind(), Some(track)),
            TrackOrKind::Kind(kind) => (kind, None),
        };
        check_local(track.as_ref())?;
        let init = init.for_track(track.as_ref());
        let id = self.handle.with(|state, now| state.peer.add_transceiver(now, kind, init))?;
        let transceiver = RtpTransceiver::new(self.handle.clone(), id);
        transceiver.sender().set_track(track.as_ref());
        Ok(transceiver)
    }

    /// The transceivers, in the order of their creation.
    pub fn transceivers(&self) -> Vec<RtpTransceiver> {
        self.transceiver_ids().into_iter().map(|id| RtpTransceiver::new(self.handle.clone(), id)).collect()
    }

    /// The senders, in the order of their creation.
    pub fn senders(&self) -> Vec<RtpSender> {
        self.transceiver_ids().into_iter().map(|id| RtpSender::new(self.handle.clone(), id)).collect()
    }

    /// The receivers, in the order of their creation.
    pub fn receivers(&self) -> Vec<RtpReceiver> {
        self.transceiver_ids().into_iter().map(|id| RtpReceiver::new(self.handle.clone(), id)).collect()
    }

    fn transceiver_ids(&self) -> Vec<TransceiverId> {
        let state = self.handle.lock();
        state.peer.transceivers().filter(|t| !t.is_stopped()).map(|t| t.id()).collect()
    }

    // ---- data

    /// Makes a data channel. Messages may be sent at once; they wait until it is open.
    ///
    /// # Errors
    ///
    /// `InvalidState` on a closed connection, `Type` for a label or protocol of more than 65,535 octets, for an id that
    /// cannot be or for both limits of retransmission, `Operation` when the id is taken or none is left.
    pub fn create_data_channel(
        &self,
        label: impl Into<String>,
        init: DataChannelInit,
    ) -> Result<DataChannel, Error> {
        DataChannel::create(&self.handle, label.into(), init)
    }

    // ---- transports and statistics

    /// What everything travels on.
    pub fn transport(&self) -> DtlsTransport {
        DtlsTransport::new(self.handle.clone())
    }

    /// The association that carries the data channels (W3C `sctp`); `None` until one is negotiated.
    pub fn sctp(&self) -> Option<SctpTransport> {
        SctpTransport::of(&self.handle)
    }

    /// A snapshot of all statistics.
    ///
    /// Has no point at which it waits: it is done when first polled.
    pub async fn stats(&self) -> StatsReport {
        self.handle.lock().peer.stats(clock::now())
    }

    // ---- the end

    /// Closes the connection. The other side is told, for which this waits at most one second; then the sockets are
    /// closed.
    ///
    /// Cancel-safe: the connection closes all the same.
    pub async fn close(&self) {
        self.handle.with(|state, now| state.peer.close(now));
        self.closed().await;
    }

    /// Waits until the connection is closed, from either side, and its sockets are.
    ///
    /// Cancel-safe: it takes nothing.
    pub async fn closed(&self) {
        self.handle.changed.wait_for(|| self.handle.lock().ended.then_some(())).await;
    }
}

impl PartialEq for PeerConnection {
    /// True for handles of the same connection.
    fn eq(&self, other: &Self) -> bool {
        self.handle.is_same(&other.handle)
    }
}

impl Eq for PeerConnection {}

/// What a connection is made of.
struct Parts {
    peer: Peer,
    key_log: Option<KeyLog>,
    mtu: usize,
    streams: StreamOptions,
}

impl Parts {
    fn new(config: Config) -> Result<Self, Error> {
        let (mtu, file) = (config.mtu, config.key_log.clone());
        let streams = StreamOptions { roots: config.turn_roots.clone(), proxy: config.proxy.clone() };
        if let Some(pem) = &streams.roots {
            crate::net::tls::connector(Some(pem))
                .map_err(|error| Error::io("cannot use the TURN roots", error))?;
        }
        let peer = Peer::new(config, clock::wall(), ids::seed()?)?;
        let key_log = file.as_deref().map(KeyLog::open).transpose()?;
        Ok(Self { peer, key_log, mtu, streams })
    }
}

/// The addresses that the peer wants sockets on.
pub(crate) fn select(peer: &Peer, interfaces: &[Interface]) -> Vec<std::net::IpAddr> {
    let interfaces: Vec<InterfaceAddress> = interfaces
        .iter()
        .map(|interface| InterfaceAddress {
            name: interface.name.clone(),
            index: interface.index,
            address: interface.address,
            loopback: interface.loopback,
        })
        .collect();
    peer.select_addresses(&interfaces)
}
