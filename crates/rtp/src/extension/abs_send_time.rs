//! When a packet left the sender (`abs-send-time`, <http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time>):
//! 24 bits, 6.18 fixed point seconds; they are bits 14 to 37 of the NTP timestamp and wrap every 64 s.

use std::time::Duration;

/// The time at which a packet left, modulo 64 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsoluteSendTime(u32);

impl AbsoluteSendTime {
    /// The URI of the extension.
    pub const URI: &'static str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";

    /// From an NTP timestamp, 32.32 fixed point.
    pub fn from_ntp(ntp: u64) -> Self {
        Self(((ntp >> 14) & 0x00ff_ffff) as u32)
    }

    /// The raw 24 bits.
    pub fn get(self) -> u32 {
        self.0
    }

    /// How long after `earlier` this was, if less than 32 s; the 24 bits wrap.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let ticks = self.0.wrapping_sub(earlier.0) & 0x00ff_ffff;
        (ticks < 1 << 23).then(|| Duration::from_nanos((u64::from(ticks) * 1_000_000_000) >> 18))
    }

    /// Reads a value of three octets.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let [a, b, c] = *value else { return None };
        Some(Self(u32::from_be_bytes([0, a, b, c])))
    }

    /// The value.
    pub fn encode(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_six_bits_and_fractions_eighteen() {
        let time = AbsoluteSendTime::from_ntp((65 << 32) | (1 << 31));
        assert_eq!(time.get(), (1 << 18) | (1 << 17));
        assert_eq!(AbsoluteSendTime::parse(&time.encode()), Some(time));
        assert_eq!(AbsoluteSendTime::parse(&[1, 2]), None);
        assert_eq!(AbsoluteSendTime::parse(&[1, 2, 3, 4]), None);
    }

    #[test]
    fn differences_cross_the_wrap() {
        let before = AbsoluteSendTime::from_ntp(63 << 32);
        let after = AbsoluteSendTime::from_ntp(64 << 32);
        assert_eq!(after.since(before), Some(Duration::from_secs(1)));
        assert_eq!(before.since(after), None);
    }
}
