//! The replay window (RFC 3711 section 3.3.2), and the index of a packet from its sequence number (section 3.3.1).

use crate::error::UnprotectError;

/// How many indices the window covers.
pub(crate) const WINDOW: u64 = 128;

/// The highest index of a packet: 32 bits of rollover counter, 16 of sequence number.
pub(crate) const MAX_INDEX: u64 = (1 << 48) - 1;

/// Which indices of a source were used: the highest, and a bit for each of the 128 up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    highest: u64,
    /// Bit `i` stands for `highest - i`.
    used: u128,
}

/// Why an index is not to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Used,
    TooOld,
}

impl From<Refused> for UnprotectError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Used => Self::Replayed,
            Refused::TooOld => Self::TooOld,
        }
    }
}

impl Window {
    /// A window after its first index.
    pub(crate) fn new(index: u64) -> Self {
        Self { highest: index, used: 1 }
    }

    /// The highest index that was used.
    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether this index may be used.
    #[inline]
    pub(crate) fn check(&self, index: u64) -> Result<(), Refused> {
        match self.highest.checked_sub(index) {
            Some(behind) if behind >= WINDOW => Err(Refused::TooOld),
            Some(behind) if self.used & (1 << behind) != 0 => Err(Refused::Used),
            _ => Ok(()),
        }
    }

    /// Marks an index that [`check`](Self::check) allowed as used.
    #[inline]
    pub(crate) fn commit(&mut self, index: u64) {
        match self.highest.checked_sub(index) {
            Some(behind) => {
                self.used |= u32::try_from(behind).map_or(0, |n| 1u128.checked_shl(n).unwrap_or(0))
            }
            None => {
                let ahead = u32::try_from(index.saturating_sub(self.highest)).unwrap_or(u32::MAX);
                self.used = self.used.checked_shl(ahead).unwrap_or(0) | 1;
                self.highest = index;
            }
        }
    }
}

/// The index that a sequence number stands for: the one that is nearest to the highest seen. It may be beyond
/// [`MAX_INDEX`]. Before the first wrap there is nothing below: then the rollover counter is zero.
#[inline]
pub(crate) fn estimate(highest: u64, sequence: u16) -> u64 {
    let (rollover, newest) = (highest >> 16, highest & 0xffff);
    let sequence = u64::from(sequence);
    let rollover = if newest < 0x8000 {
        if sequence > newest + 0x8000 { rollover.saturating_sub(1) } else { rollover }
    } else if sequence + 0x8000 < newest {
        rollover + 1
    } else {
        rollover
    };
    (rollover << 16) | sequence
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use taut_sansio::rng::Rng;

    use super::*;

    #[test]
    fn the_window_agrees_with_a_set() {
        let mut rng = Rng::from_u64(1);
        let mut window = Window::new(1_000);
        let mut used = BTreeSet::from([1_000u64]);
        for _ in 0..200_000 {
            let spread = if rng.below(100) == 0 { 600 } else { 150 };
            let index = (window.highest() + u64::from(rng.below(spread))).saturating_sub(140);
            let highest = *used.last().unwrap();
            let expected = if index + WINDOW <= highest {
                Err(Refused::TooOld)
            } else if used.contains(&index) {
                Err(Refused::Used)
            } else {
                Ok(())
            };
            let before = window;
            assert_eq!(window.check(index), expected);
            assert_eq!(window, before, "a check changes nothing");
            if expected.is_ok() && rng.below(3) > 0 {
                window.commit(index);
                used.insert(index);
            }
        }
    }

    #[test]
    fn jumps_of_every_size_clear_what_is_left_behind() {
        for jump in [1u64, 127, 128, 129, 1 << 31, 1 << 32, 1 << 40] {
            let mut window = Window::new(5);
            window.commit(5 + jump);
            assert_eq!(window.check(5 + jump), Err(Refused::Used));
            let expected = if jump < WINDOW { Err(Refused::Used) } else { Err(Refused::TooOld) };
            assert_eq!(window.check(5), expected);
            assert_eq!(window.check(4 + jump).is_ok(), jump > 1);
        }
    }

    #[test]
    fn the_nearest_index_is_estimated() {
        let mut rng = Rng::from_u64(2);
        for _ in 0..200_000 {
            let highest = rng.u64() & 0xffff_ffff_ffff;
            let distance = u64::from(rng.below(0x8000));
            assert_eq!(estimate(highest, (highest + distance) as u16), highest + distance);
            if let Some(earlier) = highest.checked_sub(distance) {
                assert_eq!(estimate(highest, earlier as u16), earlier);
            }
        }
        assert_eq!(estimate(5, 65_535), 65_535, "nothing is below zero");
        assert!(estimate(MAX_INDEX, 0) > MAX_INDEX);
    }
}
