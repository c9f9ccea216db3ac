//! The index of a packet from its sequence number (RFC 3711 section 3.3.1), and what its replay window says.

use taut_sansio::replay::Refused;

use crate::error::UnprotectError;

/// The highest index of a packet: 32 bits of rollover counter, 16 of sequence number.
pub(crate) const MAX_INDEX: u64 = (1 << 48) - 1;

impl From<Refused> for UnprotectError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Used => Self::Replayed,
            Refused::TooOld => Self::TooOld,
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
    use taut_sansio::rng::Rng;

    use super::*;

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
