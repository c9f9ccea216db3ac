//! Ogg (RFC 3533) with Opus in it (RFC 7845).

mod opus;
mod packets;
mod page;

pub use opus::{OpusHead, OpusPacket, OpusReader, OpusWriter, WriteError};

/// Why octets are not an Ogg Opus file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// There are octets that are not part of a page.
    #[error("octets that are not part of an Ogg page")]
    Capture,
    /// The version of a page is not 0.
    #[error("the version of an Ogg page is not 0")]
    Version,
    /// The file ends within a page.
    #[error("the file ends within an Ogg page")]
    Truncated,
    /// The checksum of a page is wrong.
    #[error("the checksum of an Ogg page is wrong")]
    Checksum,
    /// Pages are missing.
    #[error("Ogg pages are missing")]
    Gap,
    /// There is no Opus stream, or its first packet is not a good "OpusHead".
    #[error("no Opus stream in the file")]
    Head,
    /// The second packet of the stream is not "OpusTags".
    #[error("the Opus stream has no OpusTags")]
    Tags,
    /// An audio packet is not Opus: empty, without frames, or longer than 120 ms.
    #[error("an audio packet is not Opus")]
    Packet,
}
