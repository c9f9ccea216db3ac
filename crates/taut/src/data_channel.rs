//! Data channels (W3C `RTCDataChannel`, section 6.2).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taut_peer::{Channel, ChannelId, ChannelInit, ChannelState, Message, SendError};

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
/// what the other side sends on it is thrown away, so that it cannot hold up other channels.
#[derive(Clone)]
pub struct DataChannel {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<ChannelCore>,
    connection: Handle,
}

/// What is known of a channel without asking the peer, and how its waiters are woken.
#[derive(Debug)]
pub(crate) struct ChannelCore {
    id: ChannelId,
    label: String,
    protocol: String,
    ordered: bool,
    max_packet_life_time: Option<Duration>,
    max_retransmits: Option<u16>,
    negotiated: bool,
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
            negotiated: channel.negotiated(),
            low_threshold: AtomicUsize::new(0),
            unannounced: AtomicUsize::new(0),
            readable: Signal::default(),
            writable: Signal::default(),
            changed: Signal::default(),
        }
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
        Self { inner: Arc::new(Inner { core, connection }) }
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

    /// How many octets of messages wait to be sent; 0 once a closed channel has been read to its end.
    pub fn buffered_amount(&self) -> usize {
        self.with_channel(Channel::buffered_amount).unwrap_or(0)
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
        let low = || (self.buffered_amount() <= self.buffered_amount_low_threshold()).then_some(());
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

    /// Waits until the channel is closed.
    ///
    /// Cancel-safe: it takes nothing.
    pub async fn closed(&self) {
        let closed = || (self.ready_state() == ChannelState::Closed).then_some(());
        self.inner.core.changed.wait_for(closed).await;
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
        self.inner
            .core
            .writable
            .wait_for(|| match self.offer(&message) {
                Ok(()) => Some(Ok(())),
                Err(Offer::Full) => None,
                Err(Offer::Refused(error)) => Some(Err(error)),
            })
            .await
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

    /// The next message, or `None` once the channel is closed and all its messages were taken.
    ///
    /// Cancel-safe: a message is either returned or still there.
    pub async fn recv(&self) -> Option<Message> {
        let message = self
            .inner
            .core
            .readable
            .wait_for(|| {
                let mut state = self.inner.connection.lock();
                match state.peer.poll_message(self.inner.core.id) {
                    Some(message) => Some(Some(message)),
                    None if self.state_in(&state) == ChannelState::Closed => Some(None),
                    None => None,
                }
            })
            .await;
        self.announce(message.as_ref());
        message
    }

    /// The next message if one waits.
    pub fn try_recv(&self) -> Option<Message> {
        let message = self.inner.connection.lock().peer.poll_message(self.inner.core.id);
        self.announce(message.as_ref());
        message
    }

    /// Closes the channel; what was sent on it before still arrives. Both sides see it closed.
    pub fn close(&self) {
        self.inner.connection.with(|state, now| state.peer.close_channel(now, self.inner.core.id));
        self.inner.core.fire_all();
    }

    /// Wakes the driver once so much has been read that the other side should hear of it.
    fn announce(&self, message: Option<&Message>) {
        let Some(message) = message else { return };
        let unannounced = &self.inner.core.unannounced;
        let read =
            unannounced.fetch_add(message.data.len(), Ordering::Relaxed).saturating_add(message.data.len());
        if read >= CREDIT_STEP {
            unannounced.store(0, Ordering::Relaxed);
            self.inner.connection.wake.notify_one();
        }
    }

    /// One attempt to send; notes that somebody waits when there is no room.
    fn offer(&self, message: &Message) -> Result<(), Offer> {
        let id = self.inner.core.id;
        self.inner.connection.try_with(|state, now| {
            if state.ended {
                return Err(Offer::Refused(channel_closed()));
            }
            if state.peer.channel(id).is_some_and(|channel| channel.buffered_amount() > SEND_LIMIT) {
                state.full.insert(id);
                return Err(Offer::Full);
            }
            match state.peer.send(now, id, message.clone()) {
                Ok(()) => Ok(()),
                Err(SendError::Full) => {
                    state.full.insert(id);
                    Err(Offer::Full)
                }
                Err(error) => Err(Offer::Refused(send_error(error))),
            }
        })
    }

    fn with_channel<R>(&self, f: impl FnOnce(&Channel) -> R) -> Option<R> {
        self.inner.connection.lock().peer.channel(self.inner.core.id).map(f)
    }

    fn state_in(&self, state: &State) -> ChannelState {
        match state.peer.channel(self.inner.core.id) {
            Some(channel) if !state.ended => channel.state(),
            _ => ChannelState::Closed,
        }
    }
}

/// Why one attempt to send failed.
enum Offer {
    Full,
    Refused(Error),
}

fn channel_init(label: String, init: DataChannelInit) -> ChannelInit {
    let mut channel = ChannelInit::new(label).with_protocol(init.protocol).with_ordered(init.ordered);
    channel.max_packet_life_time = init.max_packet_life_time;
    channel.max_retransmits = init.max_retransmits;
    channel.negotiated = init.negotiated;
    channel
}

fn channel_closed() -> Error {
    Error::new(ErrorKind::InvalidState, "the data channel is closed")
}

fn send_error(error: SendError) -> Error {
    let kind = match error {
        SendError::TooLarge => ErrorKind::Type,
        _ => ErrorKind::InvalidState,
    };
    Error::new(kind, error.to_string())
}
