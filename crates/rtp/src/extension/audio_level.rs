//! The level of the audio in a packet, client to mixer (RFC 6464 section 3).
//!
//! ```text
//! |V|   level     |      level in -dBov, 0 (loudest) to 127 (silence); V: voice activity
//! ```

/// The level of the audio in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// How far below the overload point, in dB: 0 is the loudest, 127 silence.
    pub level: u8,
    /// True if the sender believes that this is speech.
    pub voice: bool,
}

impl AudioLevel {
    /// The URI of the extension.
    pub const URI: &'static str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

    /// Reads a value. The two-byte form may carry a second octet, which means nothing (RFC 6464 section 3).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let first = *value.first()?;
        Some(Self { level: first & 0x7f, voice: first & 0x80 != 0 })
    }

    /// The value; levels above 127 are written as 127.
    pub fn encode(self) -> [u8; 1] {
        [self.level.min(127) | (u8::from(self.voice) << 7)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_round_trips() {
        for octet in 0..=255 {
            assert_eq!(AudioLevel::parse(&[octet]).unwrap().encode(), [octet]);
        }
        assert_eq!(AudioLevel::parse(&[]), None);
        assert_eq!(AudioLevel { level: 200, voice: false }.encode(), [127]);
    }
}
