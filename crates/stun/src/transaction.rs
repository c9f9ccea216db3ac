//! The retransmission timer of one request over UDP (RFC 8489 section 6.2.1).

use std::time::{Duration, Instant};

use crate::message::TransactionId;

/// Beyond so many transmissions a span is not added up any more.
const MAX_SPAN_STEPS: u32 = 1_000;

/// How a request is repeated (RFC 8489 section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retransmission {
    /// The time to the second transmission; it doubles after each.
    pub rto: Duration,
    /// The largest interval between two transmissions.
    pub max_interval: Duration,
    /// How often the request is sent in all (`Rc`). At least once.
    pub transmissions: u32,
    /// How long the last transmission is waited for, in initial RTOs (`Rm`).
    pub last_wait: u32,
}

impl Default for Retransmission {
    /// RTO 500 ms, 7 transmissions, 16 RTOs after the last: fails after 39.5 s.
    fn default() -> Self {
        let rto = Duration::from_millis(500);
        Self { rto, max_interval: Duration::from_secs(16), transmissions: 7, last_wait: 16 }
    }
}

impl Retransmission {
    /// Sets the initial RTO.
    pub fn with_rto(mut self, rto: Duration) -> Self {
        self.rto = rto;
        self
    }

    /// Sets the largest interval between two transmissions.
    pub fn with_max_interval(mut self, interval: Duration) -> Self {
        self.max_interval = interval;
        self
    }

    /// Sets how often the request is sent in all.
    pub fn with_transmissions(mut self, transmissions: u32) -> Self {
        self.transmissions = transmissions;
        self
    }

    /// Sets how many initial RTOs the last transmission is waited for.
    pub fn with_last_wait(mut self, rtos: u32) -> Self {
        self.last_wait = rtos;
        self
    }
}

impl Retransmission {
    /// The time from the first to the last transmission.
    pub fn span(&self) -> Duration {
        let (mut span, mut interval) = (Duration::ZERO, self.rto);
        for _ in 1..self.transmissions.min(MAX_SPAN_STEPS) {
            span = span.saturating_add(interval);
            interval = interval.saturating_mul(2).min(self.max_interval);
        }
        span
    }
}

/// What a transaction wants now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing before [`Transaction::timeout`].
    Wait,
    /// Send the request now; it counts as sent.
    Send,
    /// Give up: no answer will come.
    TimedOut,
}

/// One request waiting for its answer.
#[derive(Debug, Clone)]
pub struct Transaction {
    id: TransactionId,
    policy: Retransmission,
    sent: u32,
    first_sent: Instant,
    due: Instant,
    interval: Duration,
}

impl Transaction {
    /// A transaction whose first transmission is due at `now`.
    pub fn new(now: Instant, id: TransactionId, policy: Retransmission) -> Self {
        Self { id, policy, sent: 0, first_sent: now, due: now, interval: policy.rto }
    }

    /// The transaction id.
    pub fn id(&self) -> TransactionId {
        self.id
    }

    /// Says what is due at `now`. Late calls send once, not once per missed interval.
    pub fn poll(&mut self, now: Instant) -> Step {
        if now < self.due {
            return Step::Wait;
        }
        if self.has_timed_out(now) {
            return Step::TimedOut;
        }
        if self.sent == 0 {
            self.first_sent = now;
        }
        self.sent = self.sent.saturating_add(1);
        let wait = if self.sent >= self.policy.transmissions.max(1) {
            self.policy.rto.saturating_mul(self.policy.last_wait.max(1))
        } else {
            let interval = self.interval;
            self.interval = interval.saturating_mul(2).min(self.policy.max_interval);
            interval
        };
        // A wait beyond the clock's range is as good as never: a day.
        self.due = now.checked_add(wait).unwrap_or(now + Duration::from_secs(86_400));
        Step::Send
    }

    /// True if [`poll`](Self::poll) would say [`Step::TimedOut`].
    pub fn has_timed_out(&self, now: Instant) -> bool {
        now >= self.due && self.sent >= self.policy.transmissions.max(1)
    }

    /// When [`poll`](Self::poll) has something to say.
    pub fn timeout(&self) -> Instant {
        self.due
    }

    /// How often the request has been sent.
    pub fn transmissions(&self) -> u32 {
        self.sent
    }

    /// The round-trip time for an answer at `now`. `None` after a retransmission (Karn: it is not known which
    /// transmission was answered).
    pub fn rtt(&self, now: Instant) -> Option<Duration> {
        (self.sent == 1).then(|| now.saturating_duration_since(self.first_sent))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]
mod tests {
    use super::*;

    #[test]
    fn sends_at_the_times_of_section_6_2_1() {
        let start = Instant::now();
        let mut transaction = Transaction::new(start, TransactionId([0; 12]), Retransmission::default());
        let mut at = Vec::new();
        let failed = loop {
            let now = transaction.timeout();
            match transaction.poll(now) {
                Step::Send => at.push(now.duration_since(start).as_millis()),
                Step::TimedOut => break now.duration_since(start).as_millis(),
                Step::Wait => panic!("nothing to do at the timeout"),
            }
            assert_eq!(transaction.poll(now), Step::Wait);
        };
        assert_eq!(Retransmission::default().span(), Duration::from_millis(31_500));
        assert_eq!(at, [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
        assert_eq!(failed, 39_500);
        assert_eq!(transaction.poll(start + Duration::from_secs(100)), Step::TimedOut, "and stays so");
    }

    #[test]
    fn the_policy_says_when_it_is_sent_and_given_up() {
        let policy = Retransmission::default()
            .with_rto(Duration::from_millis(100))
            .with_max_interval(Duration::from_millis(250))
            .with_transmissions(4)
            .with_last_wait(3);
        assert_eq!(policy.span(), Duration::from_millis(550));
        let start = Instant::now();
        let mut transaction = Transaction::new(start, TransactionId([0; 12]), policy);
        for at in [0, 100, 300, 550] {
            let at = start + Duration::from_millis(at);
            assert_eq!((transaction.timeout(), transaction.poll(at)), (at, Step::Send));
        }
        let end = start + Duration::from_millis(850);
        assert_eq!((transaction.timeout(), transaction.poll(end)), (end, Step::TimedOut));
    }

    #[test]
    fn a_span_is_added_up_to_a_thousand_transmissions() {
        let second = Duration::from_secs(1);
        let policy = Retransmission::default().with_rto(second).with_max_interval(second);
        assert_eq!(policy.with_transmissions(1_000).span(), second * 999);
        assert_eq!(policy.with_transmissions(1_001).span(), second * 999);
        assert_eq!(policy.with_transmissions(1_000_000).span(), second * 999);
    }

    #[test]
    fn a_late_poll_sends_once() {
        let start = Instant::now();
        let mut transaction = Transaction::new(start, TransactionId([0; 12]), Retransmission::default());
        assert_eq!(transaction.poll(start), Step::Send);
        let late = start + Duration::from_secs(100);
        assert_eq!(transaction.poll(late), Step::Send);
        assert_eq!(transaction.poll(late), Step::Wait);
        assert_eq!(transaction.timeout(), late + Duration::from_secs(1));
    }

    #[test]
    fn round_trips_are_measured_only_without_retransmission() {
        let start = Instant::now();
        let mut transaction = Transaction::new(start, TransactionId([0; 12]), Retransmission::default());
        assert_eq!(transaction.poll(start), Step::Send);
        let later = start + Duration::from_millis(70);
        assert_eq!(transaction.rtt(later), Some(Duration::from_millis(70)));
        assert_eq!(transaction.poll(start + Duration::from_secs(1)), Step::Send);
        assert_eq!(transaction.rtt(later), None);
    }
}
