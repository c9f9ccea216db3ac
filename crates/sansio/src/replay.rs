//! The replay window of protocols that number their packets: SRTP (RFC 3711 section 3.3.2) and DTLS (RFC 6347 section
//! 4.1.2.6).

/// How many numbers a window covers.
pub const WINDOW: u64 = 128;

/// Which numbers were used: the highest, and each of the [`WINDOW`] up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    highest: u64,
    /// Bit `i` stands for `highest - i`.
    used: u128,
}

/// Why a number is not to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It was used before.
    Used,
    /// It is below the window, so nobody knows.
    TooOld,
}

impl Window {
    /// A window after its first number.
    pub fn new(number: u64) -> Self {
        Self { highest: number, used: 1 }
    }

    /// The highest number that was used.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether this number may be used. It changes nothing: what carries it is not proved to be authentic yet.
    #[inline]
    pub fn check(&self, number: u64) -> Result<(), Refused> {
        match self.highest.checked_sub(number) {
            Some(behind) if behind >= WINDOW => Err(Refused::TooOld),
            Some(behind) if self.used & (1 << behind) != 0 => Err(Refused::Used),
            _ => Ok(()),
        }
    }

    /// Marks a number that [`check`](Self::check) allowed as used.
    #[inline]
    pub fn commit(&mut self, number: u64) {
        match self.highest.checked_sub(number) {
            Some(behind) => {
                self.used |= u32::try_from(behind).map_or(0, |n| 1u128.checked_shl(n).unwrap_or(0))
            }
            None => {
                let ahead = u32::try_from(number.saturating_sub(self.highest)).unwrap_or(u32::MAX);
                self.used = self.used.checked_shl(ahead).unwrap_or(0) | 1;
                self.highest = number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn the_window_agrees_with_a_set() {
        let mut rng = Rng::from_u64(1);
        let mut window = Window::new(1_000);
        let mut used = BTreeSet::from([1_000u64]);
        for _ in 0..200_000 {
            let spread = if rng.below(100) == 0 { 600 } else { 150 };
            let number = (window.highest() + u64::from(rng.below(spread))).saturating_sub(140);
            let highest = *used.last().unwrap();
            let expected = if number + WINDOW <= highest {
                Err(Refused::TooOld)
            } else if used.contains(&number) {
                Err(Refused::Used)
            } else {
                Ok(())
            };
            let before = window;
            assert_eq!(window.check(number), expected);
            assert_eq!(window, before, "a check changes nothing");
            if expected.is_ok() && rng.below(3) > 0 {
                window.commit(number);
                used.insert(number);
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
}
