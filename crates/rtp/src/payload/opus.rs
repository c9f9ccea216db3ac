//! Opus over RTP (RFC 7587): a payload is one Opus packet, so there is nothing to cut or to join. What a receiver
//! and a player need is the duration of a packet, which its first octets tell (RFC 6716 section 3).
//!
//! ```text
//!  0 1 2 3 4 5 6 7
//! | config  |s| c |    s: stereo; c: 0 one frame, 1 two of equal size, 2 two, 3 a count in the next octet
//! ```

/// The clock of Opus in RTP, whatever the rate of the audio is (RFC 7587 section 4.1).
pub const CLOCK_RATE: u32 = 48_000;
/// The longest packet: 120 ms (RFC 6716 section 3.2.5).
pub const MAX_SAMPLES: u32 = 5_760;

/// Why octets are not an Opus packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// There are no octets, or the frame count is missing.
    #[error("the Opus packet is too short")]
    Short,
    /// The frame count is zero, or the frames are longer than 120 ms together.
    #[error("the Opus packet has no frame, or more than 120 ms")]
    FrameCount,
}

/// The coding mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Linear prediction, for speech.
    Silk,
    /// Both.
    Hybrid,
    /// Transform coding, for music and low delay.
    Celt,
}

/// What the first octets of a packet tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Toc {
    /// The coding mode.
    pub mode: Mode,
    /// Two channels.
    pub stereo: bool,
    /// The samples of a frame, per channel at 48 kHz: 120 (2.5 ms) to 2,880 (60 ms).
    pub frame_samples: u32,
    /// The frames in the packet, at least one.
    pub frames: u8,
}

impl Toc {
    /// Reads the first octets of a packet. The frames themselves are not looked at.
    pub fn parse(packet: &[u8]) -> Result<Self, ParseError> {
        let (toc, rest) = packet.split_first().ok_or(ParseError::Short)?;
        let config = toc >> 3;
        let (mode, frame_samples) = match config {
            0..=11 => (Mode::Silk, [480, 960, 1_920, 2_880]),
            12..=15 => (Mode::Hybrid, [480, 960, 480, 960]),
            _ => (Mode::Celt, [120, 240, 480, 960]),
        };
        let [a, b, c, d] = frame_samples;
        let frame_samples = match config & 3 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        };
        let frames = match toc & 3 {
            0 => 1,
            1 | 2 => 2,
            _ => rest.first().ok_or(ParseError::Short)? & 0x3f,
        };
        if frames == 0 || frame_samples * u32::from(frames) > MAX_SAMPLES {
            return Err(ParseError::FrameCount);
        }
        Ok(Self { mode, stereo: toc & 4 != 0, frame_samples, frames })
    }

    /// The samples of the packet, per channel at 48 kHz: the step of the RTP timestamp.
    pub fn samples(&self) -> u32 {
        self.frame_samples * u32::from(self.frames)
    }

    /// How long the packet plays.
    pub fn duration(&self) -> std::time::Duration {
        std::time::Duration::from_micros(u64::from(self.samples()) * 1_000_000 / u64::from(CLOCK_RATE))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn durations_follow_the_table_of_the_rfc() {
        // RFC 6716 table 2, in units of 0.1 ms.
        let table = [
            100, 200, 400, 600, 100, 200, 400, 600, 100, 200, 400, 600, 100, 200, 100, 200, 25, 50, 100, 200,
            25, 50, 100, 200, 25, 50, 100, 200, 25, 50, 100, 200,
        ];
        for (config, tenths) in table.into_iter().enumerate() {
            let toc = (config as u8) << 3;
            let one = Toc::parse(&[toc]).unwrap();
            assert_eq!(one.duration(), Duration::from_micros(tenths * 100), "{config}");
            assert_eq!(Toc::parse(&[toc | 1]).unwrap().frames, 2);
            assert_eq!(Toc::parse(&[toc | 2]).unwrap().samples(), one.samples() * 2);
        }
        // What libopus sends by default: CELT or hybrid, 20 ms, stereo.
        let usual = Toc::parse(&[0xfc, 0xff, 0xfe]).unwrap();
        assert_eq!((usual.mode, usual.stereo, usual.samples()), (Mode::Celt, true, 960));
    }

    #[test]
    fn frame_counts_are_bounded() {
        for toc in 0..=255u8 {
            for count in 0..=255u8 {
                if let Ok(parsed) = Toc::parse(&[toc, count]) {
                    assert!((1..=MAX_SAMPLES).contains(&parsed.samples()));
                }
            }
        }
        assert_eq!(Toc::parse(&[]), Err(ParseError::Short));
        assert_eq!(Toc::parse(&[0xff]), Err(ParseError::Short));
        assert_eq!(Toc::parse(&[0xff, 0]), Err(ParseError::FrameCount));
        assert_eq!(Toc::parse(&[0xff, 6]).unwrap().samples(), 5_760);
        assert_eq!(Toc::parse(&[0xff, 7]), Err(ParseError::FrameCount));
    }
}
