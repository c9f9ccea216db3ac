//! Data channels (W3C `RTCDataChannel`, section 6.2).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use taut_peer::{Channel, ChannelId, ChannelInit, ChannelState, Message, Peer, Priority, SendError};

use crate::connection::{Handle, State};
use crate::error::{Error, ErrorKind};
use crate::signal::Signal;

/// [`DataChannel::send`] waits while more than this waits in the channel's buffer, in octets. One message may be
/// larger.
pub(crate) const SEND_LIMIT: usize = 1 << 20;

/// After how many octets read the driver is woken to tell the other side that there is room.
const CREDIT_STEP: usize = 64 << 10;

/// How a data channel is to be (W3C `RTCDataChannelInit`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DataChannelInit {
    /// Whether messages arrive in the order in which they were sent. True by default.
    pub ordered: bool,
    /// How long a message is retransmitted. Unlimited by default.
    pub max_packet_life_time: Option<Duration>,
    /// How often a message is retransmitted. Unlimited by default.
    pub max_retransmits: Option<u16>,
    /// The subprotocol, a free text.
    pub protocol: String,
    /// How it shares the way with other channels (W3C webrtc-priority). Low by default, as with all others.
    pub priority: Priority,
    /// The id of a channel that both sides make with the same id, so that the other side gets no event for it.
    pub negotiated: Option<u16>,
}

impl Default for DataChannelInit {
    fn default() -> Self {
        Self {
            ordered: true,
            max_packet_life_time: None,
            max_retransmits: None,
            protocol: String::new(),
            priority: Priority::default(),
            negotiated: None,
        }
    }
}

impl DataChannelInit {
    /// Sets whether messages arrive in order.
    #[must_use]
    pub fn with_ordered(mut self, ordered: bool) -> Self {
        self.ordered = ordered;
        self
    }

    /// Limits the time of retransmission.
    #[must_use]
    pub fn with_max_packet_life_time(mut self, limit: Duration) -> Self {
        self.max_packet_life_time = Some(limit);
        self
    }

    /// Limits the number of retransmissions.
    #[must_use]
    pub fn with_max_retransmits(mut self, limit: u16) -> Self {
        self.max_retransmits = Some(limit);
        self
    }

    /// Sets the subprotocol.
    #[must_use]
    pub fn with_protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocol = protocol.into();
        self
    }

    /// Sets how it shares the way with other channels.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Makes a channel that both sides agreed on by other means.
    #[must_use]
    pub fn with_negotiated(mut self, id: u16) -> Self {
        self.negotiated = Some(id);
        self
    }
}

/// A data channel. Clones are handles of the same channel.
///
/// Each handle keeps the connection open. When the last handle of a channel is dropped the channel stays open, but
/// what the other side sends on it is thrown away, so that it cannot hold up other channels. One that is held and not
/// read does: what comes in on all channels waits in one buffer, of
/// [`data_receive_buffer`](crate::Configuration::data_receive_buffer), and when that is full the other side waits.
///
/// It is also a `Stream` of messages and a `Sink` for them, and [`into_bytes`](Self::into_bytes) makes a byte stream of it.
pub struct DataChannel {
    inner: Arc<Inner>,
    /// A message that the sink took and the peer has not.
    pub(crate) pending: Option<Message>,
}

impl Clone for DataChannel {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), pending: None }
    }
}

struct Inner {
    core: Arc<ChannelCore>,
    connection: Handle,
}

/// What is known of a channel without asking the peer, and how its waiters are woken.
#[derive(Debug)]
pub(crate) struct ChannelCore {
    pub(crate) id: ChannelId,
    label: String,
    protocol: String,
    ordered: bool,
    max_packet_life_time: Option<Duration>,
    max_retransmits: Option<u16>,
    priority: Priority,
    negotiated: bool,
    /// What the channel had in its buffer when it was closed.
    pub(crate) last_amount: AtomicUsize,
    /// The other side has ended the channel, and all that it sent has come.
    complete: AtomicBool,
    low_threshold: AtomicUsize,
    /// Octets read since the driver was last woken for it.
    unannounced: AtomicUsize,
    pub(crate) readable: Signal,
    pub(crate) writable: Signal,
    pub(crate) changed: Signal,
}

/// Why [`DataChannel::try_send`] did not take a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError {
    /// The buffer is full; here is the message.
    #[error("the send buffer of the data channel is full")]
    Full(Message),
    /// The message will never be taken.
    #[error(transparent)]
    Refused(#[from] Error),
}

impl ChannelCore {
    pub(crate) fn new(id: ChannelId, channel: &Channel) -> Self {
        Self {
            id,
            label: channel.label().to_owned(),
            protocol: channel.protocol().to_owned(),
            ordered: channel.ordered(),
            max_packet_life_time: channel.max_packet_life_time(),
            max_retransmits: channel.max_retransmits(),
            priority: channel.priority(),
            negotiated: channel.negotiated(),
            last_amount: AtomicUsize::new(0),
            complete: AtomicBool::new(false),
            low_threshold: AtomicUsize::new(0),
            unannounced: AtomicUsize::new(0),
            readable: Signal::default(),
            writable: Signal::default(),
            changed: Signal::default(),
        }
    }

    pub(crate) fn set_complete(&self) {
        self.complete.store(true, Ordering::SeqCst);
    }

    pub(crate) fn fire_all(&self) {
        self.readable.fire();
        self.writable.fire();
        self.changed.fire();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let id = self.core.id;
        // The connection may hold messages for the channel, whose memory counts against its siblings.
        self.connection.with(|state, _| {
            if state.channels.get(&id).is_some_and(|entry| Arc::ptr_eq(&entry.core, &self.core)) {
                state.abandon_channel(id);
            }
        });
    }
}

impl std::fmt::Debug for DataChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataChannel")
            .field("label", &self.label())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl PartialEq for DataChannel {
    /// True for handles of the same channel.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner.core, &other.inner.core)
    }
}

impl Eq for DataChannel {}

impl DataChannel {
    pub(crate) fn new(core: Arc<ChannelCore>, connection: Handle) -> Self {
        Self { inner: Arc::new(Inner { core, connection }), pending: None }
    }

    pub(crate) fn create(connection: &Handle, label: String, init: DataChannelInit) -> Result<Self, Error> {
        let init = channel_init(label, init);
        let core = connection.with(|state, now| {
            let id = state.peer.create_data_channel(now, init)?;
            state.add_channel(id, false).ok_or_else(Error::closed)
        })?;
        Ok(Self::new(core, connection.clone()))
    }

    /// The label that the channel was made with.
    pub fn label(&self) -> &str {
        &self.inner.core.label
    }

    /// The subprotocol.
    pub fn protocol(&self) -> &str {
        &self.inner.core.protocol
    }

    /// Whether messages arrive in order.
    pub fn ordered(&self) -> bool {
        self.inner.core.ordered
    }

    /// How long a message is retransmitted, if that is limited.
    pub fn max_packet_life_time(&self) -> Option<Duration> {
        self.inner.core.max_packet_life_time
    }

    /// How often a message is retransmitted, if that is limited.
    pub fn max_retransmits(&self) -> Option<u16> {
        self.inner.core.max_retransmits
    }

    /// How it shares the way with other channels.
    pub fn priority(&self) -> Priority {
        self.inner.core.priority
    }

    /// Whether both sides agreed on the channel by other means.
    pub fn negotiated(&self) -> bool {
        self.inner.core.negotiated
    }

    /// The id, the number of its SCTP stream; `None` before it is known which side has the even ones.
    pub fn id(&self) -> Option<u16> {
        self.with_channel(Channel::stream_id).flatten()
    }

    /// The state.
    pub fn ready_state(&self) -> ChannelState {
        let state = self.inner.connection.lock();
        self.state_in(&state)
    }

    /// How many octets of messages wait to be sent. On a closed channel it stays what it was.
    pub fn buffered_amount(&self) -> usize {
        let gone = || self.inner.core.last_amount.load(Ordering::Relaxed);
        self.with_channel(Channel::buffered_amount).unwrap_or_else(gone)
    }

    /// At which amount [`buffered_amount_low`](Self::buffered_amount_low) returns. 0 by default.
    pub fn buffered_amount_low_threshold(&self) -> usize {
        self.inner.core.low_threshold.load(Ordering::Relaxed)
    }

    /// Sets at which amount [`buffered_amount_low`](Self::buffered_amount_low) returns.
    pub fn set_buffered_amount_low_threshold(&self, octets: usize) {
        let core = &self.inner.core;
        core.low_threshold.store(octets, Ordering::Relaxed);
        self.inner.connection.with(|state, _| state.peer.set_buffered_amount_low_threshold(core.id, octets));
        core.changed.fire();
    }

    /// Waits until the buffered amount is at or below the threshold, or the channel is closed. Returns at once if it
    /// is already.
    ///
    /// Cancel-safe: it takes nothing.
    pub async fn buffered_amount_low(&self) {
        let low = || {
            let low = self.buffered_amount() <= self.buffered_amount_low_threshold();
            (low || self.ready_state() == ChannelState::Closed).then_some(())
        };
        self.inner.core.changed.wait_for(low).await;
    }

    /// Waits until the channel is open.
    ///
    /// Cancel-safe: it takes nothing.
    ///
    /// # Errors
    ///
    /// `InvalidState` once the channel is closing or closed.
    pub async fn opened(&self) -> Result<(), Error> {
        self.inner
            .core
            .changed
            .wait_for(|| match self.ready_state() {
                ChannelState::Connecting => None,
                ChannelState::Open => Some(Ok(())),
                _ => Some(Err(channel_closed())),
            })
            .await
    }

    /// Waits until the channel is closed. [`closed_cleanly`](Self::closed_cleanly) says how it ended.
    ///
    /// Cancel-safe: it takes nothing.
    pub async fn closed(&self) {
        let closed = || (self.ready_state() == ChannelState::Closed).then_some(());
        self.inner.core.changed.wait_for(closed).await;
    }

    /// True once the channel was closed by [`close`](Self::close) on either side, and the other side has confirmed it:
    /// what the side that closed had sent before has arrived, but for what limits of retransmission gave up. False
    /// before, and for a channel that ended with its connection, of which the last messages may be missing. An addition
    /// to W3C, after `wasClean` of a WebSocket.
    pub fn closed_cleanly(&self) -> bool {
        self.inner.core.complete.load(Ordering::SeqCst) && self.ready_state() == ChannelState::Closed
    }

    /// Sends a message, whole. Waits while more than 1 MiB waits in the channel's buffer. Messages that are sent
    /// before the channel is open wait until it is.
    ///
    /// Cancel-safe: a message whose future was dropped before it returned was not sent.
    ///
    /// # Errors
    ///
    /// `InvalidState` once the channel is closing or closed, `Type` for a message larger than the other side takes.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        self.attempt_until_taken(|| self.offer(&message)).await
    }

    /// Sends a message if the buffer has room now.
    ///
    /// # Errors
    ///
    /// `Full` gives the message back; the rest is as for [`send`](Self::send).
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), TrySendError> {
        let message = message.into();
        match self.offer(&message) {
            Ok(()) => Ok(()),
            Err(Offer::Full) => Err(TrySendError::Full(message)),
            Err(Offer::Refused(error)) => Err(TrySendError::Refused(error)),
        }
    }

    /// The next message, or `None` once the channel is closed and all its messages were taken. That is no proof that
    /// all has come: a channel ends with its connection, too, see [`closed_cleanly`](Self::closed_cleanly).
    ///
    /// Cancel-safe: a message is either returned or still there.
    pub async fn recv(&self) -> Option<Message> {
        self.inner.core.readable.wait_for(|| self.next_message()).await
    }

    /// The next message if one waits.
    pub fn try_recv(&self) -> Option<Message> {
        self.next_message().flatten()
    }

    /// Closes the channel; what was sent on it before still arrives, as long as the connection stays: before
    /// [`PeerConnection::close`](crate::PeerConnection::close), wait for [`closed`](Self::closed). Both sides see it
    /// closed. A [`send`](Self::send) that waits for room is refused.
    pub fn close(&self) {
        self.inner.connection.with(|state, now| state.peer.close_channel(now, self.inner.core.id));
        self.inner.core.fire_all();
    }

    pub(crate) fn core(&self) -> &ChannelCore {
        &self.inner.core
    }

    pub(crate) fn connection(&self) -> &Handle {
        &self.inner.connection
    }

    /// The next message; `Some(None)` if there will be none, `None` if there is none now.
    pub(crate) fn next_message(&self) -> Option<Option<Message>> {
        let mut state = self.inner.connection.lock();
        let message = state.peer.poll_message(self.inner.core.id);
        let over = message.is_none() && self.state_in(&state) == ChannelState::Closed;
        drop(state);
        self.announce(message.as_ref().map_or(0, |message| message.data.len()));
        (message.is_some() || over).then_some(message)
    }

    /// Wakes the driver once so much has been read that the other side should hear of it.
    pub(crate) fn announce(&self, octets: usize) {
        let unannounced = &self.inner.core.unannounced;
        let read = unannounced.fetch_add(octets, Ordering::Relaxed).saturating_add(octets);
        if read >= CREDIT_STEP {
            unannounced.store(0, Ordering::Relaxed);
            self.inner.connection.wake.notify_one();
        }
    }

    /// One attempt to send; notes that somebody waits when there is no room.
    pub(crate) fn offer(&self, message: &Message) -> Result<(), Offer> {
        self.attempt(|peer, now, id| peer.send(now, id, message.clone()))
    }

    /// One attempt at something that needs room in the buffer.
    pub(crate) fn attempt(
        &self,
        f: impl FnOnce(&mut Peer, Instant, ChannelId) -> Result<(), SendError>,
    ) -> Result<(), Offer> {
        let id = self.inner.core.id;
        self.inner.connection.try_with(|state, now| {
            if state.ended {
                return Err(Offer::Refused(channel_closed()));
            }
            // A channel that is closing takes nothing, whether it has room or not: `f` says so.
            let waits = |channel: &Channel| {
                let closing = matches!(channel.state(), ChannelState::Closing | ChannelState::Closed);
                !closing && channel.buffered_amount() > SEND_LIMIT
            };
            if state.peer.channel(id).is_some_and(waits) {
                state.full.insert(id);
                return Err(Offer::Full);
            }
            match f(&mut state.peer, now, id) {
                Ok(()) => Ok(()),
                Err(SendError::Full | SendError::Writing) => {
                    state.full.insert(id);
                    Err(Offer::Full)
                }
                Err(error) => Err(Offer::Refused(send_error(error))),
            }
        })
    }

    /// Waits until an attempt is not refused for want of room.
    pub(crate) async fn attempt_until_taken(
        &self,
        mut attempt: impl FnMut() -> Result<(), Offer>,
    ) -> Result<(), Error> {
        let taken = || match attempt() {
            Ok(()) => Some(Ok(())),
            Err(Offer::Full) => None,
            Err(Offer::Refused(error)) => Some(Err(error)),
        };
        self.inner.core.writable.wait_for(taken).await
    }

    fn with_channel<R>(&self, f: impl FnOnce(&Channel) -> R) -> Option<R> {
        self.inner.connection.lock().peer.channel(self.inner.core.id).map(f)
    }

    pub(crate) fn state_in(&self, state: &State) -> ChannelState {
        match state.peer.channel(self.inner.core.id) {
            Some(channel) if !state.ended => channel.state(),
            _ => ChannelState::Closed,
        }
    }
}

/// Why one attempt to send failed.
pub(crate) enum Offer {
    Full,
    Refused(Error),
}

fn channel_init(label: String, init: DataChannelInit) -> ChannelInit {
    let mut channel = ChannelInit::new(label).with_protocol(init.protocol).with_ordered(init.ordered);
    channel.max_packet_life_time = init.max_packet_life_time;
    channel.max_retransmits = init.max_retransmits;
    channel.priority = init.priority;
    channel.negotiated = init.negotiated;
    channel
}

/// An error where the traits of others want theirs.
pub(crate) fn io_error(error: Error) -> io::Error {
    let kind = match error.kind() {
        ErrorKind::InvalidState => io::ErrorKind::BrokenPipe,
        ErrorKind::Type => io::ErrorKind::InvalidInput,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

pub(crate) fn channel_closed() -> Error {
    Error::new(ErrorKind::InvalidState, "the data channel is closed")
}

fn send_error(error: SendError) -> Error {
    let kind = match error {
        SendError::TooLarge => ErrorKind::Type,
        _ => ErrorKind::InvalidState,
    };
    Error::new(kind, error.to_string())
}
