//! Losses that were none. What overtakes is not lost, and a timer may go off while the answer is on its way; both are
//! seen afterwards, and then what was done about them is undone, and more patience is had.
//!
//! A chunk was not lost if it is acknowledged without having been sent again, or sooner after that than any answer
//! ever came, or if the receiver names it as a duplicate (RFC 9260 section 3.3.4; the DSACK of RFC 8985 section 6.2
//! and RFC 3708). A fast retransmission was spurious if that shows of all that was taken for lost; a timeout, if it
//! shows of anything: then acknowledgements of what was sent before it still come (F-RTO, RFC 5682 section 2).

use std::collections::BTreeSet;
use std::time::Duration;

/// Episodes for which reordering is remembered (RFC 8985 section 6.2, step 4).
const REMEMBERED: u32 = 16;

/// The most quarters of a round trip that are waited for what was overtaken: a round trip (RFC 8985 section 6.2).
const QUARTERS_MAX: u32 = 4;

/// What the loss detection goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tolerance {
    /// Whether three later packets are enough.
    pub(crate) count: Count,
    /// How long after it was sent a chunk is lost, if a later one was acknowledged.
    pub(crate) delay: Duration,
}

/// Whether packets are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// Three later packets tell of a loss (RFC 9260 section 7.2.4).
    Packets,
    /// Packets overtake each other on this path: only time tells.
    TimeOnly,
}

/// What is being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Episode {
    Nothing,
    Losses,
    Timeout,
}

/// What an acknowledgement said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Guilty,
    /// Nothing that was taken for lost was.
    SpuriousLosses,
    SpuriousTimeout,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Doubt {
    episode: Episode,
    /// What was taken for lost and has not shown to be none.
    taken: BTreeSet<u64>,
    count: Count,
    quarters: u32,
    remembered: u32,
}

impl Default for Doubt {
    fn default() -> Self {
        Self {
            episode: Episode::Nothing,
            taken: BTreeSet::new(),
            count: Count::Packets,
            quarters: 1,
            remembered: 0,
        }
    }
}

impl Doubt {
    /// How patient the loss detection is on a path with this round-trip time; endlessly before it is known.
    pub(crate) fn tolerance(&self, rtt: Option<Duration>) -> Tolerance {
        let delay =
            rtt.map_or(Duration::MAX, |rtt| (rtt + rtt * self.quarters / 4).max(Duration::from_millis(1)));
        Tolerance { count: self.count, delay }
    }

    /// Losses were found that are answered anew.
    pub(crate) fn start_losses(&mut self) {
        self.taken.clear();
        self.episode = Episode::Losses;
        if self.remembered > 0 {
            self.remembered -= 1;
            if self.remembered == 0 {
                (self.count, self.quarters) = (Count::Packets, 1);
            }
        }
    }

    /// The timer went off.
    pub(crate) fn start_timeout(&mut self) {
        self.taken.clear();
        self.episode = Episode::Timeout;
    }

    /// These are taken for lost.
    pub(crate) fn on_lost(&mut self, tsns: &[u64]) {
        if self.episode == Episode::Losses {
            self.taken.extend(tsns);
        }
    }

    /// Something was acknowledged that a later packet had overtaken.
    pub(crate) fn on_overtaken(&mut self) {
        self.count = Count::TimeOnly;
        self.remembered = REMEMBERED;
    }

    /// These were not lost, as they were acknowledged too early, or came twice.
    pub(crate) fn on_spurious(&mut self, early: &[u64], twice: &[u64]) -> Verdict {
        match self.episode {
            Episode::Timeout if !early.is_empty() => {
                self.episode = Episode::Nothing;
                Verdict::SpuriousTimeout
            }
            Episode::Nothing | Episode::Timeout => Verdict::Guilty,
            Episode::Losses => {
                let before = self.taken.len();
                for tsn in early.iter().chain(twice) {
                    self.taken.remove(tsn);
                }
                if self.taken.len() == before || !self.taken.is_empty() {
                    return Verdict::Guilty;
                }
                self.episode = Episode::Nothing;
                self.count = Count::TimeOnly;
                self.quarters = (self.quarters + 1).min(QUARTERS_MAX);
                self.remembered = REMEMBERED;
                Verdict::SpuriousLosses
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn losses_are_spurious_when_all_of_them_are() {
        let mut doubt = Doubt::default();
        doubt.start_losses();
        doubt.on_lost(&[1, 2]);
        assert_eq!(doubt.on_spurious(&[], &[]), Verdict::Guilty);
        assert_eq!(doubt.on_spurious(&[1, 7], &[]), Verdict::Guilty);
        assert_eq!(doubt.on_spurious(&[1], &[]), Verdict::Guilty, "it was told before");
        assert_eq!(doubt.on_spurious(&[], &[2]), Verdict::SpuriousLosses);
        assert_eq!(doubt.on_spurious(&[2], &[]), Verdict::Guilty, "once");
        assert_eq!(doubt.tolerance(Some(100 * MS)), Tolerance { count: Count::TimeOnly, delay: 150 * MS });
        for _ in 0..REMEMBERED {
            doubt.start_losses();
        }
        assert_eq!(
            doubt.tolerance(Some(100 * MS)),
            Tolerance { count: Count::Packets, delay: 125 * MS },
            "it is forgotten"
        );
    }

    #[test]
    fn patience_ends_at_two_round_trips_and_one_word_clears_a_timeout() {
        let mut doubt = Doubt::default();
        for tsn in 0..10 {
            doubt.start_losses();
            doubt.on_lost(&[tsn]);
            assert_eq!(doubt.on_spurious(&[tsn], &[]), Verdict::SpuriousLosses);
        }
        assert_eq!(doubt.tolerance(Some(100 * MS)).delay, 200 * MS);
        assert_eq!(doubt.tolerance(None).delay, Duration::MAX);
        doubt.start_timeout();
        assert_eq!(doubt.on_spurious(&[], &[20]), Verdict::Guilty, "networks duplicate, too");
        assert_eq!(doubt.on_spurious(&[20], &[]), Verdict::SpuriousTimeout);
    }
}
