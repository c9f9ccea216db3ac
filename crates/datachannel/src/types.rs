//! The small public types: ids, messages, errors, events, counters.

use std::time::Duration;

use bytes::Bytes;

/// A data channel of a [`Session`](crate::Session). Never used twice, unlike stream ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub(crate) u32);

impl std::fmt::Display for ChannelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What the octets of a message are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8. A received text is not checked: the other side may lie.
    Text,
    /// Anything.
    Binary,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Message {
    /// What the octets are.
    pub kind: MessageKind,
    /// The octets; may be none.
    pub data: Bytes,
}

impl Message {
    /// A text message.
    pub fn text(text: impl Into<String>) -> Self {
        Self { kind: MessageKind::Text, data: Bytes::from(text.into()) }
    }

    /// A binary message.
    pub fn binary(data: impl Into<Bytes>) -> Self {
        Self { kind: MessageKind::Binary, data: data.into() }
    }

    /// The text, if it is one and is UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        match self.kind {
            MessageKind::Text => std::str::from_utf8(&self.data).ok(),
            MessageKind::Binary => None,
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Bytes> for Message {
    fn from(data: Bytes) -> Self {
        Self::binary(data)
    }
}

impl From<Vec<u8>> for Message {
    fn from(data: Vec<u8>) -> Self {
        Self::binary(data)
    }
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagePart {
    /// What the octets of the message are. A character of a text may be cut.
    pub kind: MessageKind,
    /// The octets of the part.
    pub data: Bytes,
    /// The message starts here.
    pub begin: bool,
    /// The message ends here.
    pub end: bool,
    /// The other side gave the message up, or it is larger than was announced: what came of it is of no use. `end` is
    /// set, and `data` is empty.
    pub abandoned: bool,
}

/// Which side of the DTLS connection this is: it decides who has the even stream ids (RFC 8832 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// DTLS client: even ids.
    Client,
    /// DTLS server: odd ids.
    Server,
}

/// What the other side's description said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RemoteParameters {
    /// The largest message it takes in octets, `a=max-message-size` (RFC 8841 section 6); zero for any.
    pub max_message_size: usize,
    /// Its SCTP port, `a=sctp-port` (RFC 8841 section 5).
    pub port: u16,
}

/// Why a channel cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The session is over.
    #[error("the session is closed")]
    Closed,
    /// Label or protocol have more than 65,535 octets (RFC 8832 section 5.1).
    #[error("label and protocol may have 65,535 octets each")]
    TooLong,
    /// A negotiated id above 65,534, or above what the other side takes.
    #[error("there is no stream with this id")]
    InvalidId,
    /// A negotiated id that another channel has.
    #[error("the id is taken by another channel")]
    IdInUse,
    /// All ids are taken.
    #[error("no id is left")]
    Exhausted,
    /// Both a number of retransmissions and a lifetime were given.
    #[error("retransmissions and lifetime cannot both be limited")]
    BothLimits,
}

/// Why a message was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The send buffer is full; try again when the buffered amount has fallen.
    #[error("the send buffer is full")]
    Full,
    /// The message is larger than the other side takes.
    #[error("the message is larger than the other side takes")]
    TooLarge,
    /// A message that is written in parts has not ended.
    #[error("another message of the channel is not ended")]
    Writing,
    /// No message was begun; or the one that was is given up, because its lifetime or its retransmissions ran out.
    #[error("no message was begun on the channel")]
    NotBegun,
    /// The channel is closing or closed, or was never there.
    #[error("the channel is closed")]
    Closed,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The association ended.
    Association(taut_sctp::CloseReason),
    /// What carries it ended.
    Transport,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The association is established.
    Connected,
    /// The other side opened a channel. [`Event::Open`] follows.
    Incoming(ChannelId),
    /// A channel is open.
    Open(ChannelId),
    /// A channel has messages to be polled.
    Readable(ChannelId),
    /// The buffered amount of a channel fell from above its threshold to it or below.
    BufferedAmountLow(ChannelId),
    /// A channel is being closed, by either side.
    Closing(ChannelId),
    /// The other side has ended a channel (RFC 8831 section 6.7), and all that it sent has come, but for what its limits of
    /// retransmission gave up. [`Event::Closed`] follows; where it comes without this, something may be missing.
    Complete(ChannelId),
    /// A channel is closed. Messages that came before can still be polled.
    Closed(ChannelId),
    /// The session is over.
    Disconnected(CloseReason),
}

/// Counters, and the state of the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Channels that were open once.
    pub channels_opened: u64,
    /// Channels that were open and are closing or closed.
    pub channels_closed: u64,
    /// Messages dropped for a payload protocol identifier that is not known.
    pub unknown_protocols: u64,
    /// Messages dropped because no channel has their stream, and there was no room to wait for one.
    pub unknown_streams: u64,
    /// DCEP messages that are malformed or break a rule.
    pub bad_dcep: u64,
    /// Channels of the other side that were refused because there are too many, or their names too long.
    pub channels_refused: u64,
    /// Messages dropped because they were larger than announced.
    pub oversized: u64,
    /// The smoothed round-trip time, once measured.
    pub rtt: Option<Duration>,
    /// The congestion window in octets.
    pub congestion_window: usize,
    /// Octets of messages that came and were not polled.
    pub unread: usize,
    /// What the association counted.
    pub association: taut_sctp::Stats,
}
