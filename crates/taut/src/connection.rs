//! What the handles and the driver of one connection share: the peer under its lock, and the tables from which events
//! and objects are made.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use taut_peer::{
    ChannelId, ChannelState, Event as PeerEvent, Peer, ResolveId, StreamId, TcpId, TransceiverId,
};
use taut_sansio::net::Path;
use tokio::sync::Notify;

use crate::Configuration;
use crate::clock;
use crate::data_channel::{ChannelCore, SEND_LIMIT};
use crate::error::Error;
use crate::events::{EventTable, Pending};
use crate::key_log::KeyLog;
use crate::media_stream::StreamCore;
use crate::net::endpoint::{Claims, Registration};
use crate::net::interfaces::Interface;
use crate::net::streams::{Streams, Target};
use crate::peer_connection::select;
use crate::rtp_objects::SenderCore;
use crate::signal::Signal;
use crate::track::RemoteTrack;

/// How many data channels of the other side may wait to be taken by the application; what comes above is closed.
const MAX_WAITING_CHANNELS: usize = 1_024;

/// One connection, shared by its handles and its driver.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Wakes the driver.
    pub(crate) wake: Arc<Notify>,
    /// Fires when an event waits or the connection ends.
    pub(crate) changed: Signal,
}

/// What is under the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) peer: Peer,
    key_log: Option<KeyLog>,
    claims: Claims,
    /// There are sockets for TURN over UDP alone.
    has_relay_sockets: bool,
    pub(crate) events: EventTable,
    /// What the driver is to do outside the lock.
    pub(crate) actions: Vec<Action>,
    pub(crate) channels: BTreeMap<ChannelId, ChannelEntry>,
    pub(crate) receivers: BTreeMap<TransceiverId, Arc<RemoteTrack>>,
    pub(crate) senders: BTreeMap<TransceiverId, Arc<SenderCore>>,
    pub(crate) streams: BTreeMap<String, Weak<StreamCore>>,
    /// The channels that somebody waits to send on.
    pub(crate) full: BTreeSet<ChannelId>,
    /// The streams to TURN servers.
    pub(crate) streams_open: Streams,
    /// True once the driver is gone: nothing will come in or go out any more.
    pub(crate) ended: bool,
}

/// A data channel, as long as the peer or a handle knows it.
#[derive(Debug)]
pub(crate) struct ChannelEntry {
    pub(crate) core: Arc<ChannelCore>,
    /// True once nobody can read it any more: what comes in is dropped, so that it cannot stall its siblings.
    pub(crate) abandoned: bool,
}

/// Work for the driver that needs a socket, a task or the endpoint.
#[derive(Debug)]
pub(crate) enum Action {
    AddRoute(Path),
    RemoveRoute(Path),
    Resolve {
        id: ResolveId,
        host: String,
    },
    Connect(Target),
    CloseStream(StreamId),
    /// Sockets for TURN over UDP were bound.
    UseRelays(Registration),
    OpenTcp {
        id: TcpId,
        local: SocketAddr,
        remote: SocketAddr,
    },
    AbandonTcp(TcpId),
    CloseTcp(Path),
}

/// A counted handle. When the last one is dropped, the connection closes.
#[derive(Debug, Clone)]
pub(crate) struct Handle(Arc<Token>);

#[derive(Debug)]
struct Token(Arc<Shared>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.with(|state, now| state.peer.close(now));
    }
}

impl Handle {
    pub(crate) fn new(
        peer: Peer,
        key_log: Option<KeyLog>,
        (claims, has_relay_sockets): (Claims, bool),
        wake: Arc<Notify>,
    ) -> Self {
        let state = State {
            peer,
            key_log,
            claims,
            has_relay_sockets,
            events: EventTable::default(),
            actions: Vec::new(),
            channels: BTreeMap::new(),
            receivers: BTreeMap::new(),
            senders: BTreeMap::new(),
            streams: BTreeMap::new(),
            full: BTreeSet::new(),
            streams_open: Streams::default(),
            ended: false,
        };
        let shared = Shared { state: Mutex::new(state), wake, changed: Signal::default() };
        Self(Arc::new(Token(Arc::new(shared))))
    }

    /// What does not count.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    /// True if both are handles of one connection.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.shared(), other.shared())
    }
}

impl Deref for Handle {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        self.shared()
    }
}

impl Shared {
    /// A command or an input: changes the state, hands the events on and wakes the driver.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State, Instant) -> R) -> R {
        let result = {
            let mut state = self.lock();
            let result = f(&mut state, clock::now());
            self.collect(&mut state);
            result
        };
        self.wake.notify_one();
        result
    }

    /// A command that may be refused, and then changes nothing and wakes nobody.
    pub(crate) fn try_with<R, E>(&self, f: impl FnOnce(&mut State, Instant) -> Result<R, E>) -> Result<R, E> {
        let result = {
            let mut state = self.lock();
            let result = f(&mut state, clock::now())?;
            self.collect(&mut state);
            result
        };
        self.wake.notify_one();
        Ok(result)
    }

    /// A look, or something that the driver need not know of.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic below would be a bug of ours; the other handles go on with whatever state it left.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the peer's events on to the tables, and wakes who waits for them.
    pub(crate) fn collect(&self, state: &mut State) {
        let before = state.events.pushed();
        while let Some(event) = state.peer.poll_event() {
            state.on_event(event);
        }
        if state.events.pushed() != before {
            self.changed.fire();
        }
    }

    /// The driver is gone.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        if !state.ended {
            state.ended = true;
            state.peer.close(clock::now());
            state.actions.clear();
            state.streams_open = Streams::default();
            state.channels.values().for_each(|entry| entry.core.fire_all());
            state.receivers.values().for_each(|track| track.end());
            state.senders.values().for_each(|sender| sender.end());
        }
        drop(state);
        self.changed.fire();
    }
}

impl State {
    fn on_event(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::NegotiationNeeded => self.events.push(Pending::NegotiationNeeded),
            PeerEvent::SignalingStateChange(new) => self.events.push(Pending::SignalingState(new)),
            PeerEvent::IceCandidate(candidate) => {
                if let Some(ufrag) =
                    candidate.as_ref().and_then(|candidate| candidate.username_fragment.as_ref())
                {
                    self.claims.add_ufrag(ufrag);
                }
                self.events.push(Pending::IceCandidate(candidate));
            }
            PeerEvent::IceCandidateError(error) => self.events.push(Pending::IceCandidateError(error)),
            PeerEvent::IceGatheringStateChange(new) => self.events.push(Pending::IceGatheringState(new)),
            PeerEvent::IceConnectionStateChange(new) => self.events.push(Pending::IceConnectionState(new)),
            PeerEvent::ConnectionStateChange(new) => self.events.push(Pending::ConnectionState(new)),
            PeerEvent::SelectedCandidatePairChange => self.events.push(Pending::SelectedCandidatePair),
            PeerEvent::RouteAdded(path) => self.actions.push(Action::AddRoute(path)),
            PeerEvent::RouteRemoved(path) => self.actions.push(Action::RemoveRoute(path)),
            PeerEvent::UfragRetired(ufrag) => self.claims.remove_ufrag(&ufrag),
            PeerEvent::Resolve { id, host } => self.actions.push(Action::Resolve { id, host }),
            PeerEvent::Connect { id, replaces, transport, remote, host } => {
                self.actions.push(Action::Connect(Target { id, replaces, transport, remote, host }));
            }
            PeerEvent::CloseStream(id) => self.actions.push(Action::CloseStream(id)),
            PeerEvent::OpenTcp { id, local, remote } => {
                self.actions.push(Action::OpenTcp { id, local, remote });
            }
            PeerEvent::AbandonTcp(id) => self.actions.push(Action::AbandonTcp(id)),
            PeerEvent::CloseTcp(path) => self.actions.push(Action::CloseTcp(path)),
            PeerEvent::MulticastWanted => self.claims.want_multicast(),
            PeerEvent::KeyLog(line) => self.key_log.iter_mut().for_each(|file| file.append(&line)),
            event => self.on_object_event(event),
        }
    }

    /// Changes what may be changed. Sockets for TURN over UDP that become necessary are bound before.
    pub(crate) fn set_configuration(
        &mut self,
        now: Instant,
        config: Configuration,
        interfaces: &[Interface],
        wake: Arc<Notify>,
    ) -> Result<(), Error> {
        let endpoint = self.claims.endpoint().filter(|_| !self.has_relay_sockets);
        let relays = match endpoint {
            Some(endpoint) => endpoint.bind_relays(&config, || select(&self.peer, interfaces))?,
            None => None,
        };
        self.peer.set_configuration(now, config)?;
        if let Some(relays) = relays {
            for address in relays.local_addresses() {
                self.peer.add_relay_socket(now, address);
            }
            let registration = relays.register(wake, relays.local_addresses(), interfaces);
            self.actions.push(Action::UseRelays(registration));
            self.has_relay_sockets = true;
        }
        Ok(())
    }

    /// Events of channels and transceivers.
    fn on_object_event(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::DataChannel(id) => self.on_incoming_channel(id),
            PeerEvent::ChannelReadable(id) => self.on_readable(id),
            PeerEvent::ChannelComplete(id) => {
                self.channels.get(&id).into_iter().for_each(|entry| entry.core.set_complete());
            }
            PeerEvent::ChannelOpen(id)
            | PeerEvent::ChannelBufferedAmountLow(id)
            | PeerEvent::ChannelClosing(id)
            | PeerEvent::ChannelClosed(id) => {
                if let Some(entry) = self.channels.get(&id) {
                    if let Some(channel) = self.peer.channel(id) {
                        entry.core.last_amount.store(channel.buffered_amount(), Ordering::Relaxed);
                    }
                    entry.core.fire_all();
                }
                self.forget_channel(id);
            }
            PeerEvent::Track { transceiver, streams, .. } => {
                if let Some(track) = self.receiver(transceiver) {
                    track.set_muted(false);
                }
                self.events.push(Pending::Track { transceiver, streams });
            }
            PeerEvent::TrackMuted(id) => self.receivers.get(&id).into_iter().for_each(|t| t.set_muted(true)),
            PeerEvent::TrackUnmuted(id) => {
                self.receivers.get(&id).into_iter().for_each(|t| t.set_muted(false))
            }
            PeerEvent::TrackEnded(id) => {
                self.receivers.get(&id).into_iter().for_each(|track| track.end());
                self.senders.get(&id).into_iter().for_each(|sender| sender.end());
            }
            PeerEvent::FrameReady(id) | PeerEvent::PacketReady(id) => {
                self.receivers.get(&id).into_iter().for_each(|track| track.readable.fire());
            }
            PeerEvent::KeyframeRequested(id) => {
                self.senders.get(&id).into_iter().for_each(|sender| sender.on_keyframe_requested());
            }
            PeerEvent::Closed(reason) => {
                tracing::debug!(%reason, "connection closed");
                self.channels.values().for_each(|entry| entry.core.fire_all());
            }
            _ => {}
        }
    }

    fn on_incoming_channel(&mut self, id: ChannelId) {
        let abandoned = !self.events.has_consumer();
        if self.events.waiting_channels() >= MAX_WAITING_CHANNELS {
            tracing::debug!("too many data channels wait for the application");
            self.peer.close_channel(clock::now(), id);
            return;
        }
        if self.add_channel(id, abandoned).is_some() {
            self.events.push(Pending::DataChannel(id));
        }
    }

    /// The entry of a channel that the peer knows.
    pub(crate) fn add_channel(&mut self, id: ChannelId, abandoned: bool) -> Option<Arc<ChannelCore>> {
        let channel = self.peer.channel(id)?;
        let core = Arc::new(ChannelCore::new(id, channel));
        self.channels.insert(id, ChannelEntry { core: core.clone(), abandoned });
        Some(core)
    }

    fn on_readable(&mut self, id: ChannelId) {
        match self.channels.get(&id) {
            Some(entry) if !entry.abandoned => entry.core.readable.fire(),
            _ => while self.peer.poll_message(id).is_some() {},
        }
    }

    /// Nobody can read this channel any more.
    pub(crate) fn abandon_channel(&mut self, id: ChannelId) {
        self.peer.read_in_parts(clock::now(), id, false);
        if let Some(entry) = self.channels.get_mut(&id) {
            entry.abandoned = true;
        }
        while self.peer.poll_message(id).is_some() {}
        self.forget_channel(id);
    }

    /// Drops the entry of a channel that is closed and that no handle names.
    fn forget_channel(&mut self, id: ChannelId) {
        let closed = self.peer.channel(id).is_none_or(|channel| channel.state() == ChannelState::Closed);
        if closed && self.channels.get(&id).is_some_and(|entry| entry.abandoned) {
            self.channels.remove(&id);
        }
    }

    /// Wakes those who wait to send, on the channels that have room again. Half the limit, so that a sender is woken
    /// for many messages at once. For the driver only, after it has sent: whoever is woken in vain waits for its next
    /// turn.
    pub(crate) fn wake_senders(&mut self) {
        if self.full.is_empty() {
            return;
        }
        let Self { full, peer, channels, .. } = self;
        full.retain(|id| {
            let waiting = peer.channel(*id).is_some_and(|channel| channel.buffered_amount() > SEND_LIMIT / 2);
            if !waiting && let Some(entry) = channels.get(id) {
                entry.core.writable.fire();
            }
            waiting
        });
    }

    /// What a transceiver receives.
    pub(crate) fn receiver(&mut self, id: TransceiverId) -> Option<Arc<RemoteTrack>> {
        if let Some(track) = self.receivers.get(&id) {
            return Some(track.clone());
        }
        let track = Arc::new(RemoteTrack::new(self.peer.transceiver(id)?));
        self.receivers.insert(id, track.clone());
        Some(track)
    }

    /// What a transceiver sends with.
    pub(crate) fn sender(&mut self, id: TransceiverId) -> Option<Arc<SenderCore>> {
        self.peer.transceiver(id)?;
        Some(self.senders.entry(id).or_default().clone())
    }
}
