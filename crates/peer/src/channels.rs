//! Data channels: the commands.

use std::time::Instant;

use bytes::Bytes;
use taut_datachannel::{
    Channel, ChannelId, ChannelInit, Message, MessageKind, MessagePart, OpenError, SendError,
};

use crate::error::{Error, ErrorKind};
use crate::peer::Peer;

/// How the association of the data channels is doing (W3C `RTCSctpTransport`, section 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sctp {
    /// Its state.
    pub state: SctpState,
    /// The largest message that can be sent, in octets; `usize::MAX` for any.
    pub max_message_size: usize,
    /// How many channels there can be at once, once connected.
    pub max_channels: Option<u16>,
}

/// The state of an association (W3C `RTCSctpTransportState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SctpState {
    /// Negotiated, and not established yet.
    Connecting,
    /// Established.
    Connected,
    /// Over.
    Closed,
}

impl Peer {
    /// Opens a data channel (W3C `createDataChannel`). Messages may be sent at once; they wait until it is open.
    ///
    /// # Errors
    ///
    /// `InvalidState` on a closed connection, `Type` for a label or protocol of more than 65,535 octets or
    /// an id that cannot be, `Operation` when the id is taken or none is left.
    pub fn create_data_channel(&mut self, now: Instant, init: ChannelInit) -> Result<ChannelId, Error> {
        self.check_open()?;
        let now = self.advance(now);
        let id = self.transport.data.open(now, init).map_err(open_error)?;
        self.transport.expect_data();
        self.signaling.want_data_channel();
        self.update_negotiation_needed();
        self.collect(now);
        Ok(id)
    }

    /// A data channel, until it is closed and its last message polled.
    pub fn channel(&self, id: ChannelId) -> Option<&Channel> {
        self.transport.data.channel(id)
    }

    /// Sends a message, whole (W3C `send`).
    ///
    /// # Errors
    ///
    /// The message is not accepted: the channel is closing or closed, the message larger than the other side takes,
    /// or the send buffer full.
    pub fn send(&mut self, now: Instant, id: ChannelId, message: Message) -> Result<(), SendError> {
        let now = self.advance(now);
        self.transport.data.send(now, id, message)
    }

    /// The next message of a channel. Reading makes room for the other side to send.
    pub fn poll_message(&mut self, id: ChannelId) -> Option<Message> {
        self.transport.data.poll_message(id)
    }

    /// Begins a message that is written in parts, so that it is never in memory as a whole. Until it ends nothing else can
    /// be sent on the channel.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] while the channel is connecting or what was sent before waits for room, the rest is as for
    /// [`send`](Self::send).
    pub fn begin_message(&mut self, now: Instant, id: ChannelId, kind: MessageKind) -> Result<(), SendError> {
        let now = self.advance(now);
        self.transport.data.begin_message(now, id, kind)
    }

    /// Adds to the message that was begun.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), and [`SendError::NotBegun`]; the part was not taken.
    pub fn append_message(&mut self, now: Instant, id: ChannelId, data: Bytes) -> Result<(), SendError> {
        let now = self.advance(now);
        self.transport.data.append_message(now, id, data)
    }

    /// Ends the message that was begun.
    ///
    /// # Errors
    ///
    /// [`SendError::NotBegun`], and [`SendError::Closed`].
    pub fn end_message(&mut self, now: Instant, id: ChannelId) -> Result<(), SendError> {
        let now = self.advance(now);
        self.transport.data.end_message(now, id)
    }

    /// Gives the message up that was begun: the other side sees nothing of it.
    ///
    /// # Errors
    ///
    /// [`SendError::NotBegun`], and [`SendError::Closed`].
    pub fn cancel_message(&mut self, now: Instant, id: ChannelId) -> Result<(), SendError> {
        let now = self.advance(now);
        let result = self.transport.data.cancel_message(now, id);
        self.collect(now);
        result
    }

    /// Whether the messages of a channel are read in parts with [`poll_part`](Self::poll_part) or whole with
    /// [`poll_message`](Self::poll_message), as at first. To be changed between messages: the rest of one whose first part
    /// was taken is dropped on the way back.
    pub fn read_in_parts(&mut self, now: Instant, id: ChannelId, in_parts: bool) {
        let now = self.advance(now);
        self.transport.data.read_in_parts(now, id, in_parts);
        self.collect(now);
    }

    /// The next part of a channel whose messages are read in parts. Reading makes room for the other side to send.
    pub fn poll_part(&mut self, id: ChannelId) -> Option<MessagePart> {
        self.transport.data.poll_part(id)
    }

    /// The association that carries the data channels (W3C `RTCSctpTransport`); `None` until one is negotiated.
    pub fn sctp(&self) -> Option<Sctp> {
        self.transport.sctp()
    }

    /// Sets when [`Event::ChannelBufferedAmountLow`](crate::Event::ChannelBufferedAmountLow) comes: as the buffered
    /// amount falls to `octets` or below (W3C `bufferedAmountLowThreshold`). A channel that is gone has none.
    pub fn set_buffered_amount_low_threshold(&mut self, id: ChannelId, octets: usize) {
        self.transport.data.set_buffered_amount_low_threshold(id, octets);
    }

    /// Closes a channel once what was sent on it is through (W3C `close`). One that is closed already, or gone, stays so.
    pub fn close_channel(&mut self, now: Instant, id: ChannelId) {
        let now = self.advance(now);
        self.transport.data.close_channel(now, id);
        self.collect(now);
    }
}

fn open_error(error: OpenError) -> Error {
    let kind = match error {
        OpenError::Closed => ErrorKind::InvalidState,
        OpenError::TooLong | OpenError::InvalidId | OpenError::BothLimits => ErrorKind::Type,
        _ => ErrorKind::Operation,
    };
    Error::new(kind, error.to_string())
}
