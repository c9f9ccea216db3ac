//! The pace of new transactions (RFC 8445 section 14): a bucket of tokens, so that the first go at once.

use std::time::{Duration, Instant};

#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    interval: Duration,
    burst: u32,
    tokens: u32,
    /// Since when the tokens are what they are; the next one comes an interval later.
    since: Option<Instant>,
}

impl Pacer {
    pub(crate) fn new(interval: Duration, burst: u32) -> Self {
        let burst = burst.max(1);
        Self { interval, burst, tokens: burst, since: None }
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let Some(left) = self.tokens.checked_sub(1) else { return false };
        if self.tokens == self.burst {
            self.since = Some(now);
        }
        self.tokens = left;
        true
    }

    /// When there is a token, at the earliest; `None` if there is one.
    pub(crate) fn next(&self) -> Option<Instant> {
        if self.tokens > 0 {
            return None;
        }
        self.since.and_then(|since| since.checked_add(self.interval))
    }

    fn refill(&mut self, now: Instant) {
        while self.tokens < self.burst {
            let Some(due) = self.since.and_then(|since| since.checked_add(self.interval)) else { return };
            if due > now {
                return;
            }
            self.tokens = self.tokens.saturating_add(1);
            self.since = Some(due);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_pace() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pacer = Pacer::new(Duration::from_millis(50), 3);
        assert!((0..3).all(|_| pacer.take(start)));
        assert!(!pacer.take(at(49)));
        assert_eq!(pacer.next(), Some(at(50)));
        assert!(pacer.take(at(50)) && !pacer.take(at(99)) && pacer.take(at(100)));
        assert!((0..3).all(|_| pacer.take(at(10_000))), "a rest fills the bucket");
        assert!(!pacer.take(at(10_000)), "but not above its rim");
        assert!(!pacer.take(at(10_049)) && pacer.take(at(10_050)));
    }
}
