//! What can go wrong.

use taut_rtp::ParseError;

/// Keys that do not fit the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The master key has another length than the profile asks for.
    #[error("the SRTP master key has a wrong length")]
    Key,
    /// The master salt has another length than the profile asks for.
    #[error("the SRTP master salt has a wrong length")]
    Salt,
}

/// Why a packet was not protected. It is as it was, and no state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtectError {
    /// It is no RTP packet.
    #[error(transparent)]
    Header(#[from] ParseError),
    /// It is shorter than an RTCP header with its source, or of another version.
    #[error("not an RTCP packet")]
    Rtcp,
    /// It is longer than a datagram.
    #[error("the packet is too long")]
    TooLong,
    /// Its sequence number was used, or is so old that this cannot be told.
    #[error("the sequence number was used or is too old")]
    IndexReused,
    /// All indices of the source were used: new keys are needed (RFC 3711 section 9.2).
    #[error("the packet indices of this key are used up")]
    IndexExhausted,
    /// There are [`MAX_SOURCES`](crate::MAX_SOURCES) sources already.
    #[error("too many sources for one key")]
    TooManySources,
}

/// Why a packet is to be dropped. No state changed; the octets of the packet are unspecified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnprotectError {
    /// It is no RTP packet.
    #[error(transparent)]
    Header(#[from] ParseError),
    /// It is too short for header and tag, or its version is not 2.
    #[error("not an SRTCP packet")]
    Rtcp,
    /// The tag does not hold: the packet is forged, damaged or of other keys.
    #[error("the authentication tag does not hold")]
    Tag,
    /// A packet with this index was received.
    #[error("the packet was replayed")]
    Replayed,
    /// The index is older than the replay window.
    #[error("the packet is older than the replay window")]
    TooOld,
    /// All indices of the source were used.
    #[error("the packet indices of this key are used up")]
    IndexExhausted,
    /// The SRTCP packet is not encrypted, which WebRTC does not allow (RFC 8827 section 6.5).
    #[error("the SRTCP packet is not encrypted")]
    Unencrypted,
    /// There are [`MAX_SOURCES`](crate::MAX_SOURCES) sources already.
    #[error("too many sources for one key")]
    TooManySources,
}
