//! Which TSNs came: the cumulative point, and the runs beyond it.

use crate::packet::Tsn;
use crate::steps;

/// Runs beyond the cumulative point that are kept: what a SACK could tell at most.
pub(crate) const GAPS_MAX: usize = 512;

/// How far beyond the cumulative point a TSN may be: a gap block has 16 bits.
const REACH: u64 = 65_535;

/// Where a TSN stands; the extended number for those that are new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The next one expected.
    Next(u64),
    /// New, and below another one that came.
    InGap(u64),
    /// New, and the highest.
    Beyond(u64),
    /// Came before.
    Duplicate,
    /// So far ahead that it could not be acknowledged.
    TooFar,
}

/// The TSNs that came, as 64-bit numbers that do not wrap.
#[derive(Debug)]
pub(crate) struct Gaps {
    cumulative: u64,
    /// Inclusive, ascending, not adjacent, all beyond `cumulative + 1`.
    runs: Vec<(u64, u64)>,
}

impl Gaps {
    /// Nothing came yet, and `first` is expected.
    pub(crate) fn new(first: Tsn) -> Self {
        // One turn up, so that an older number never falls below zero.
        let first = u64::from(first.get()) + (1 << 32);
        Self { cumulative: first - 1, runs: Vec::new() }
    }

    pub(crate) fn cumulative(&self) -> u64 {
        self.cumulative
    }

    pub(crate) fn has_gaps(&self) -> bool {
        !self.runs.is_empty()
    }

    /// How many runs there are.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    fn extend(&self, tsn: Tsn) -> Option<u64> {
        let ahead = tsn.get().wrapping_sub(self.cumulative as u32);
        (ahead != 0 && ahead <= i32::MAX as u32).then(|| self.cumulative + u64::from(ahead))
    }

    #[inline]
    pub(crate) fn classify(&self, tsn: Tsn) -> Arrival {
        let Some(tsn) = self.extend(tsn) else { return Arrival::Duplicate };
        if tsn == self.cumulative + 1 {
            return Arrival::Next(tsn);
        }
        if tsn - self.cumulative > REACH {
            return Arrival::TooFar;
        }
        match self.runs.last() {
            Some(&(_, last)) if tsn <= last => {
                let at = self.runs.partition_point(|&(_, end)| end < tsn);
                match self.runs.get(at) {
                    Some(&(start, _)) if start <= tsn => Arrival::Duplicate,
                    _ => Arrival::InGap(tsn),
                }
            }
            _ => Arrival::Beyond(tsn),
        }
    }

    /// Notes a new TSN; `false`, with nothing changed, if it would make one run too many.
    #[inline]
    pub(crate) fn insert(&mut self, tsn: u64) -> bool {
        if tsn == self.cumulative + 1 {
            self.cumulative = tsn;
            self.absorb();
            return true;
        }
        let at = self.runs.partition_point(|&(_, end)| end + 1 < tsn);
        let next_start = self.runs.get(at + 1).map(|&(start, _)| start);
        let full = self.runs.len() >= GAPS_MAX;
        match self.runs.get_mut(at) {
            Some((_, end)) if *end + 1 == tsn => {
                *end = tsn;
                if next_start == Some(tsn + 1) {
                    steps::count(self.runs.len() - at);
                    let (_, end_of_next) = self.runs.remove(at + 1);
                    if let Some((_, end)) = self.runs.get_mut(at) {
                        *end = end_of_next;
                    }
                }
                true
            }
            Some((start, _)) if *start == tsn + 1 => {
                *start = tsn;
                true
            }
            _ if full => false,
            _ => {
                steps::count(self.runs.len() - at);
                self.runs.insert(at, (tsn, tsn));
                true
            }
        }
    }

    /// Takes runs into the cumulative point that it has reached.
    fn absorb(&mut self) {
        let reached = self.runs.partition_point(|&(start, _)| start <= self.cumulative + 1);
        if let Some(&(_, end)) = reached.checked_sub(1).and_then(|last| self.runs.get(last)) {
            self.cumulative = self.cumulative.max(end);
            steps::count(self.runs.len());
            self.runs.drain(..reached);
        }
    }

    /// Moves the cumulative point; the extended number asked for, `None` for an old one.
    pub(crate) fn forward(&mut self, tsn: Tsn) -> Option<u64> {
        let tsn = self.extend(tsn)?;
        self.cumulative = tsn;
        self.absorb();
        Some(tsn)
    }

    /// The run that `tsn` is part of; up to the cumulative point everything is one run.
    pub(crate) fn run_of(&self, tsn: u64) -> (u64, u64) {
        if tsn <= self.cumulative {
            return (0, self.cumulative);
        }
        let at = self.runs.partition_point(|&(_, end)| end < tsn);
        self.runs.get(at).copied().unwrap_or((tsn, tsn))
    }

    /// The runs as gap blocks.
    pub(crate) fn blocks(&self) -> impl ExactSizeIterator<Item = (u16, u16)> + '_ {
        let offset = |tsn: u64| (tsn - self.cumulative).min(REACH) as u16;
        self.runs.iter().map(move |&(start, end)| (offset(start), offset(end)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use taut_sansio::rng::Rng;

    use super::*;

    #[test]
    fn agrees_with_a_set_in_any_order_through_the_wrap() {
        for seed in 0..25 {
            let mut rng = Rng::from_u64(seed);
            let first = Tsn::new(u32::MAX - 100);
            let base = u64::from(first.get()) + (1 << 32);
            let mut gaps = Gaps::new(first);
            let mut model = BTreeSet::new();
            let mut cumulative = base - 1;
            for step in 0..2_000 {
                let offset = rng.below(400);
                let tsn = base + u64::from(offset);
                let new = match gaps.classify(first + offset) {
                    Arrival::Duplicate => false,
                    Arrival::Next(t) | Arrival::InGap(t) | Arrival::Beyond(t) => {
                        assert_eq!(t, tsn);
                        assert!(gaps.insert(t));
                        true
                    }
                    Arrival::TooFar => panic!("within reach"),
                };
                assert_eq!(new, model.insert(tsn));
                while model.contains(&(cumulative + 1)) {
                    cumulative += 1;
                }
                assert_eq!(gaps.cumulative(), cumulative);
                if step % 16 != 0 {
                    continue;
                }
                let told: BTreeSet<u64> = gaps
                    .blocks()
                    .flat_map(|(a, b)| (cumulative + u64::from(a))..=(cumulative + u64::from(b)))
                    .collect();
                assert_eq!(told, model.range(cumulative + 1..).copied().collect());
            }
        }
    }

    #[test]
    fn the_number_of_runs_is_bounded() {
        let mut gaps = Gaps::new(Tsn::new(1));
        let mut taken = 0;
        for i in 0..2_000u32 {
            if let Arrival::Beyond(tsn) = gaps.classify(Tsn::new(3 + 2 * i)) {
                taken += usize::from(gaps.insert(tsn));
            }
        }
        assert_eq!((taken, gaps.len()), (GAPS_MAX, GAPS_MAX));
        assert_eq!(gaps.classify(Tsn::new(70_000)), Arrival::TooFar);
    }
}
