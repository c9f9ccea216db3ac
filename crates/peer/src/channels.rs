//! Data channels: the commands.

use std::time::Instant;

use taut_datachannel::{Channel, ChannelId, ChannelInit, Message, OpenError, SendError};

use crate::error::{Error, ErrorKind};
use crate::peer::Peer;

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
