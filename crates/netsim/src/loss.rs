//! Which datagrams a link loses.

use std::fmt;
use std::sync::Arc;

use taut_sansio::rng::Rng;

/// Decides by the running number of a datagram on its link (from 0) and its octets whether it is lost.
pub(crate) type Filter = Arc<dyn Fn(u64, &[u8]) -> bool + Send + Sync>;

/// A model of loss.
#[derive(Clone, Default)]
pub enum Loss {
    /// Nothing is lost.
    #[default]
    None,
    /// Each datagram with this probability, independent of the others.
    Random(f64),
    /// The model of Gilbert and Elliott: a good and a bad state, each with its own loss.
    Bursty {
        /// The probability to go from good to bad before a datagram.
        to_bad: f64,
        /// The probability to go from bad to good before a datagram; its inverse is the mean length of a burst.
        to_good: f64,
        /// The loss in the good state.
        in_good: f64,
        /// The loss in the bad state.
        in_bad: f64,
    },
    /// The datagrams with these running numbers on the link, the first is 0.
    Script(Vec<u64>),
    /// Those for which the function says so; see [`Loss::filter`].
    Filter(Filter),
}

impl Loss {
    /// Bursts in which everything is lost, `mean_length` datagrams long, that make up the share `average` of all.
    ///
    /// # Panics
    /// If `average` is not in `0.0..1.0` or `mean_length` is below 1.
    pub fn bursts(average: f64, mean_length: f64) -> Self {
        assert!((0.0..1.0).contains(&average) && mean_length >= 1.0, "{average} {mean_length}");
        let to_good = 1.0 / mean_length;
        Self::Bursty { to_bad: to_good * average / (1.0 - average), to_good, in_good: 0.0, in_bad: 1.0 }
    }

    /// Loses the datagrams for which `lost(running number on the link, octets)` is true.
    pub fn filter(lost: impl Fn(u64, &[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self::Filter(Arc::new(lost))
    }
}

impl fmt::Debug for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Random(p) => f.debug_tuple("Random").field(p).finish(),
            Self::Bursty { to_bad, to_good, in_good, in_bad } => f
                .debug_struct("Bursty")
                .field("to_bad", to_bad)
                .field("to_good", to_good)
                .field("in_good", in_good)
                .field("in_bad", in_bad)
                .finish(),
            Self::Script(numbers) => f.debug_tuple("Script").field(numbers).finish(),
            Self::Filter(_) => f.write_str("Filter"),
        }
    }
}

/// What a model remembers.
#[derive(Debug, Default)]
pub(crate) struct LossState {
    number: u64,
    bad: bool,
}

impl LossState {
    /// Whether the next datagram is lost.
    pub(crate) fn next(&mut self, model: &Loss, rng: &mut Rng, datagram: &[u8]) -> bool {
        let number = self.number;
        self.number += 1;
        match model {
            Loss::None => false,
            Loss::Random(p) => rng.unit() < *p,
            Loss::Bursty { to_bad, to_good, in_good, in_bad } => {
                let change = if self.bad { *to_good } else { *to_bad };
                self.bad ^= rng.unit() < change;
                rng.unit() < if self.bad { *in_bad } else { *in_good }
            }
            Loss::Script(numbers) => numbers.contains(&number),
            Loss::Filter(lost) => lost(number, datagram),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(model: &Loss, n: usize) -> Vec<bool> {
        let (mut state, mut rng) = (LossState::default(), Rng::from_u64(1));
        (0..n).map(|_| state.next(model, &mut rng, b"x")).collect()
    }

    fn share(lost: &[bool]) -> f64 {
        lost.iter().filter(|&&l| l).count() as f64 / lost.len() as f64
    }

    #[test]
    fn random_loss_has_its_rate_and_no_memory() {
        let lost = run(&Loss::Random(0.1), 100_000);
        assert!((share(&lost) - 0.1).abs() < 0.005, "{}", share(&lost));
        let after: Vec<bool> = lost.windows(2).filter(|w| w[0]).map(|w| w[1]).collect();
        assert!((share(&after) - 0.1).abs() < 0.02, "{}", share(&after));
    }

    #[test]
    fn bursts_have_their_rate_and_length() {
        let lost = run(&Loss::bursts(0.05, 8.0), 400_000);
        assert!((share(&lost) - 0.05).abs() < 0.005, "{}", share(&lost));
        let bursts = lost.windows(2).filter(|w| !w[0] && w[1]).count();
        let length = lost.iter().filter(|&&l| l).count() as f64 / bursts as f64;
        assert!((length - 8.0).abs() < 0.5, "{length}");
    }

    #[test]
    fn scripts_and_filters_lose_what_they_say() {
        assert_eq!(run(&Loss::Script(vec![0, 3]), 5), [true, false, false, true, false]);
        assert_eq!(run(&Loss::filter(|n, octets| n == 1 && octets == b"x"), 3), [false, true, false]);
        assert!(!run(&Loss::None, 10).contains(&true));
    }
}
