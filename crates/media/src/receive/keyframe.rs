//! Stage: asking for keyframes (RFC 4585 section 6.3.1, RFC 5104 section 4.3.1), not too often.

use std::time::{Duration, Instant};

use crate::limits::DEFAULT_RTT;

/// The shortest time between two requests: a keyframe is large, and an encoder needs time for it.
const MIN_INTERVAL: Duration = Duration::from_millis(300);

/// What is known of a wish for a keyframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Wish {
    #[default]
    None,
    /// To be asked for in the next packet.
    Pending,
    /// To be asked for, again or at last, when the interval is over.
    Waiting,
}

/// The wish for a keyframe of one source.
#[derive(Debug, Default)]
pub(crate) struct KeyframeDemand {
    wish: Wish,
    last: Option<Instant>,
    /// The number of the FIR command; a new one for each wish.
    sequence: u8,
}

impl KeyframeDemand {
    /// A keyframe is wanted.
    pub(crate) fn request(&mut self, now: Instant, rtt: Option<Duration>) {
        if self.wish == Wish::None {
            self.sequence = self.sequence.wrapping_add(1);
            self.wish = Wish::Waiting;
            self.advance(now, rtt);
        }
    }

    /// A keyframe came, or nobody waits for it any more.
    pub(crate) fn satisfy(&mut self) {
        self.wish = Wish::None;
    }

    /// Makes a request due when its time has come.
    pub(crate) fn advance(&mut self, now: Instant, rtt: Option<Duration>) {
        if self.wish == Wish::Waiting && self.next(rtt).is_none_or(|next| next <= now) {
            self.wish = Wish::Pending;
            self.last = Some(now);
        }
    }

    /// When a request becomes due; `None` if it is, or there is none.
    pub(crate) fn next(&self, rtt: Option<Duration>) -> Option<Instant> {
        match self.wish {
            Wish::Waiting => Some(self.last? + (rtt.unwrap_or(DEFAULT_RTT) * 2).max(MIN_INTERVAL)),
            _ => None,
        }
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.wish == Wish::Pending
    }

    /// The request goes out, with this number for FIR; it is repeated until it is satisfied.
    pub(crate) fn on_sent(&mut self) -> u8 {
        self.wish = Wish::Waiting;
        self.sequence
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn requests_are_spaced_and_repeated() {
        let start = Instant::now();
        let mut demand = KeyframeDemand::default();
        demand.request(start, None);
        assert!(demand.is_pending());
        assert_eq!(demand.on_sent(), 1);
        demand.request(start + 10 * MS, None);
        assert!(!demand.is_pending());
        assert_eq!(demand.next(None), Some(start + 300 * MS));
        demand.advance(start + 300 * MS, None);
        assert!(demand.is_pending());
        assert_eq!(demand.on_sent(), 1, "the same command again");
        demand.satisfy();
        assert_eq!(demand.next(None), None);
        demand.request(start + 310 * MS, None);
        assert!(!demand.is_pending(), "too soon after the last one");
        demand.advance(start + 600 * MS, None);
        assert_eq!((demand.is_pending(), demand.on_sent()), (true, 2));
        assert_eq!(demand.next(Some(500 * MS)), Some(start + 1_600 * MS));
    }
}
