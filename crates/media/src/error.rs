//! What can go wrong when the application sends.

/// Why a frame or packet was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no sender with this number.
    #[error("there is no such sender")]
    UnknownSender,
    /// The codec was not negotiated.
    #[error("the codec was not negotiated")]
    Codec,
    /// The frame has no octets.
    #[error("the frame is empty")]
    Empty,
    /// The frame or packet does not fit the packets that may be sent.
    #[error("the frame or packet is too large")]
    TooLarge,
    /// Too much waits to be sent.
    #[error("the send queue is full")]
    Full,
    /// The packet was forwarded before, or comes too late to have a sequence number.
    #[error("the packet is a duplicate or too old to be forwarded")]
    Late,
}
