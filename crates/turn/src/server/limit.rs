//! Rates: of answers to those who have not authenticated themselves, and of what is relayed for a user.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Instant;

/// How many buckets there are for source prefixes. Prefixes that fall into the same one share its rate; where they
/// fall, nobody outside knows.
pub const PREFIX_BUCKETS: usize = 4_096;

/// How many seconds' worth may go at once.
const BURST: u64 = 4;

/// A bucket of tokens that fills with time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    tokens: u64,
    at: Option<Instant>,
}

impl Bucket {
    pub(super) fn new() -> Self {
        Self { tokens: 0, at: None }
    }

    /// Takes `wanted` tokens, of which `rate` come each second and `most` are kept.
    pub(super) fn take(&mut self, now: Instant, wanted: u64, rate: u64, most: u64) -> bool {
        match self.at {
            None => {
                self.tokens = most;
                self.at = Some(now);
            }
            Some(at) => {
                let micros = now.saturating_duration_since(at).as_micros();
                let fresh =
                    u64::try_from(micros.saturating_mul(u128::from(rate)) / 1_000_000).unwrap_or(u64::MAX);
                if fresh > 0 {
                    self.tokens = self.tokens.saturating_add(fresh).min(most);
                    self.at = Some(now);
                }
            }
        }
        match self.tokens.checked_sub(wanted) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

/// Limits answers by the prefix of their source.
pub(super) struct PrefixLimit {
    secret: u64,
    rate: u64,
    buckets: Vec<Bucket>,
}

impl PrefixLimit {
    pub(super) fn new(secret: u64, rate: u32) -> Self {
        Self { secret, rate: u64::from(rate), buckets: vec![Bucket::new(); PREFIX_BUCKETS] }
    }

    /// True if one more answer may go to this source.
    pub(super) fn allows(&mut self, now: Instant, source: IpAddr) -> bool {
        let prefix = match source {
            IpAddr::V4(v4) => u128::from(v4.to_bits() >> 8),
            IpAddr::V6(v6) => v6.to_bits() >> 72,
        };
        let mut hasher = DefaultHasher::new();
        (self.secret, source.is_ipv4(), prefix).hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % PREFIX_BUCKETS as u64).unwrap_or(0);
        let rate = self.rate;
        self.buckets
            .get_mut(place)
            .is_some_and(|bucket| bucket.take(now, 1, rate, rate.saturating_mul(BURST)))
    }
}

impl std::fmt::Debug for PrefixLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrefixLimit")
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_gives_its_rate() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new();
        assert!(bucket.take(now, 100, 50, 100));
        assert!(!bucket.take(now, 1, 50, 100));
        let mut taken = 0;
        for _ in 0..10_000 {
            now += Duration::from_millis(1);
            taken += u64::from(bucket.take(now, 1, 50, 100));
        }
        assert!((450..=500).contains(&taken), "{taken} in 10 s");
        now += Duration::from_secs(1_000_000);
        assert!(bucket.take(now, 100, 50, 100) && !bucket.take(now, 1, 50, 100), "no more than it holds");
    }

    #[test]
    fn a_prefix_has_one_rate_and_others_have_theirs() {
        let now = Instant::now();
        let mut limit = PrefixLimit::new(7, 10);
        let count = |limit: &mut PrefixLimit, source: &str| {
            (0..100).filter(|_| limit.allows(now, source.parse().unwrap())).count()
        };
        assert_eq!(count(&mut limit, "192.0.2.1"), 40);
        assert_eq!(count(&mut limit, "192.0.2.254"), 0, "the same prefix");
        assert_eq!(count(&mut limit, "192.0.3.1"), 40);
        assert_eq!(count(&mut limit, "2001:db8::1"), 40);
        assert_eq!(count(&mut limit, "2001:db8:0:ff::1"), 0, "the same /56");
        assert_eq!(count(&mut limit, "2001:db8:0:100::1"), 40);
    }

    #[test]
    fn nobody_outside_knows_which_prefixes_share_a_rate() {
        let now = Instant::now();
        let sharer = |secret| {
            let mut limit = PrefixLimit::new(secret, 1_000);
            while limit.allows(now, [192, 0, 2, 1].into()) {}
            (0..u16::MAX).find(|prefix| {
                let [high, low] = prefix.to_be_bytes();
                !limit.allows(now, [203, high, low, 1].into())
            })
        };
        assert!(sharer(1).is_some());
        assert_ne!(sharer(1), sharer(2));
    }
}
