//! The small public types: ids, options, errors, events.

use std::time::Duration;

/// The number of a stream; the same in both directions for a data channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u16);

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How hard delivery is tried (RFC 3758, RFC 7496 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Reliability {
    /// Until it arrives.
    #[default]
    Reliable,
    /// Given up after this many retransmissions.
    MaxRetransmits(u16),
    /// Given up when this much time has passed since it was written; less than a millisecond counts as one.
    MaxLifetime(Duration),
}

/// Whether a message may overtake others of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Ordering {
    /// Messages arrive in the order they were written.
    #[default]
    Ordered,
    /// A message arrives as soon as it is whole.
    Unordered,
}

/// Whether the octets of a message count in [`Association::buffered_amount`](crate::Association::buffered_amount).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Accounting {
    /// They count.
    #[default]
    Counted,
    /// They do not.
    Uncounted,
    /// They do not, and the message is taken even when the buffer is full: for the few small messages of the
    /// protocol above.
    Control,
}

/// What belongs to a message beside its octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// The payload protocol identifier.
    pub ppid: u32,
    /// Whether it may overtake.
    pub ordering: Ordering,
    /// How hard it is tried.
    pub reliability: Reliability,
    /// Whether it counts in the buffered amount.
    pub accounting: Accounting,
}

/// Why a message was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The send buffer is full; the message was not taken.
    #[error("the send buffer is full")]
    Full,
    /// SCTP has no empty messages.
    #[error("a message must have at least one octet")]
    Empty,
    /// The association is shutting down or over.
    #[error("the association takes no more data")]
    Closed,
    /// The stream is being reset.
    #[error("the stream is being reset")]
    Resetting,
    /// The other side does not have that many streams.
    #[error("the other side does not have this stream")]
    NoSuchStream,
    /// A message that is written in parts has not ended.
    #[error("a message on the stream is not ended")]
    Unfinished,
    /// No message is written in parts on the stream; or the one that was has expired.
    #[error("no message was begun on the stream")]
    NotBegun,
}

/// Why streams cannot be reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResetError {
    /// The other side does not do RFC 6525.
    #[error("the other side cannot reset streams")]
    NotSupported,
    /// The association is shutting down or over.
    #[error("the association is closed")]
    Closed,
}

/// Why streams cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddStreamsError {
    /// The other side does not do RFC 6525.
    #[error("the other side cannot add streams")]
    NotSupported,
    /// The association is not established.
    #[error("the association is not established")]
    Closed,
    /// There would be more than 65,535, or more incoming ones than [`Config::max_streams`](crate::Config::max_streams).
    #[error("there would be too many streams")]
    TooMany,
}

/// How an association is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Nothing was sent; an INIT of the other side is answered.
    Idle,
    /// INIT or COOKIE ECHO is out.
    Connecting,
    /// Data flows.
    Established,
    /// Shutting down.
    ShuttingDown,
    /// Over.
    Closed,
}

/// Why an association ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// Both sides agreed, and all data was delivered.
    Shutdown,
    /// [`Association::abort`](crate::Association::abort) was called.
    LocalAbort,
    /// The other side aborted, with the code of its first cause (RFC 9260 section 3.3.10; zero for none).
    RemoteAbort {
        /// The cause code.
        code: u16,
    },
    /// INIT or COOKIE ECHO was never answered.
    HandshakeTimeout,
    /// Too many timeouts in a row.
    Unreachable,
    /// The shutdown was not answered.
    ShutdownTimeout,
    /// The other side broke the protocol in a way that leaves nothing to go on with.
    ProtocolViolation,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The association is established.
    Connected,
    /// The other side started anew: what was on its way is lost, every stream begins again at zero.
    Restarted,
    /// The other side reset a stream: what was read or is ready is all that comes of it.
    IncomingReset(StreamId),
    /// Our reset of a stream was performed by the other side; it starts again at zero.
    OutgoingReset(StreamId),
    /// Our reset of a stream was refused.
    OutgoingResetFailed(StreamId),
    /// There are more streams in either direction; see
    /// [`outgoing_streams`](crate::Association::outgoing_streams) and
    /// [`incoming_streams`](crate::Association::incoming_streams).
    StreamsAdded,
    /// The other side refused to add streams.
    AddStreamsFailed,
    /// It is over; nothing follows.
    Closed(CloseReason),
}
