//! Serial-number arithmetic (RFC 1982), in one place.
//!
//! [`serial_number!`](crate::serial_number) makes a newtype of `u16` or `u32` whose order is that of the circle.
//! There is no `Ord` on such a type: the order is not transitive, so it must not be a key of a map.
//! [`Unwrapper`] turns a wrapping counter into a `u64`, which may.

/// Makes newtypes for sequence numbers that wrap.
///
/// ```
/// taut_sansio::serial_number! {
///     /// A transmission sequence number.
///     pub struct Tsn(u32);
/// }
/// assert!(Tsn::new(u32::MAX).is_before(Tsn::new(3)));
/// assert_eq!(Tsn::new(u32::MAX) + 2, Tsn::new(1));
/// assert_eq!(Tsn::new(1).distance_from(Tsn::new(u32::MAX)), 2);
/// ```
#[macro_export]
macro_rules! serial_number {
    ($(#[$meta:meta])* $vis:vis struct $name:ident($inner:ty);) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        $vis struct $name($inner);

        #[allow(dead_code, unreachable_pub, reason = "not every sequence number needs every operation, or is public")]
        impl $name {
            /// The sequence number with this value on the wire.
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The value on the wire.
            pub const fn get(self) -> $inner {
                self.0
            }

            /// The next number, after the last comes zero.
            pub const fn next(self) -> Self {
                Self(self.0.wrapping_add(1))
            }

            /// The number before, before zero comes the last.
            pub const fn prev(self) -> Self {
                Self(self.0.wrapping_sub(1))
            }

            /// How far this is after `earlier`, going forward on the circle.
            pub const fn distance_from(self, earlier: Self) -> $inner {
                self.0.wrapping_sub(earlier.0)
            }

            /// True if this comes strictly before `other` (RFC 1982 section 3.2).
            pub const fn is_before(self, other: Self) -> bool {
                let distance = other.0.wrapping_sub(self.0);
                distance != 0 && distance < (1 << (<$inner>::BITS - 1))
            }

            /// True if this comes strictly after `other`.
            pub const fn is_after(self, other: Self) -> bool {
                other.is_before(self)
            }

            /// True if this is `other` or comes before it.
            pub const fn is_at_or_before(self, other: Self) -> bool {
                self.0 == other.0 || self.is_before(other)
            }
        }

        impl ::core::ops::Add<$inner> for $name {
            type Output = Self;
            fn add(self, n: $inner) -> Self {
                Self(self.0.wrapping_add(n))
            }
        }

        impl ::core::ops::Sub<$inner> for $name {
            type Output = Self;
            fn sub(self, n: $inner) -> Self {
                Self(self.0.wrapping_sub(n))
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

/// Extends a wrapping counter of `BITS` bits to 64 bits by the nearest value to the newest one seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unwrapper<const BITS: u32> {
    newest: Option<u64>,
}

impl<const BITS: u32> Unwrapper<BITS> {
    /// One full turn of the counter.
    const TURN: u64 = 1 << BITS;

    /// An unwrapper that has seen nothing. The first value lands one turn above zero, so that older ones fit below.
    pub const fn new() -> Self {
        Self { newest: None }
    }

    /// The extended value, without remembering it.
    pub fn peek(&self, value: u32) -> u64 {
        let value = u64::from(value) % Self::TURN;
        let Some(newest) = self.newest else { return value + Self::TURN };
        let base = newest - newest % Self::TURN;
        let same = base + value;
        let half = Self::TURN / 2;
        if same + half < newest {
            same + Self::TURN
        } else if same > newest + half && same >= Self::TURN {
            same - Self::TURN
        } else {
            same
        }
    }

    /// The extended value; the newest one seen is the reference for the next.
    pub fn unwrap(&mut self, value: u32) -> u64 {
        let extended = self.peek(value);
        self.newest = Some(self.newest.map_or(extended, |newest| newest.max(extended)));
        extended
    }

    /// The newest extended value seen.
    pub fn newest(&self) -> Option<u64> {
        self.newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    serial_number! {
        /// A sequence number of sixteen bits.
        struct Seq(u16);
    }

    #[test]
    fn order_agrees_with_a_wide_model_everywhere_near() {
        for base in [0u64, 5, 32_767, 32_768, 65_530, 65_535] {
            for step in [0u64, 1, 2, 100, 32_766, 32_767] {
                let a = Seq::new(base as u16);
                let b = Seq::new((base + step) as u16);
                assert_eq!(a.is_before(b), step > 0, "{base} {step}");
                assert_eq!(b.is_after(a), step > 0);
                assert!(a.is_at_or_before(b));
                assert_eq!(u64::from(b.distance_from(a)), step);
            }
        }
        assert!(
            !Seq::new(0).is_before(Seq::new(32_768)),
            "half a turn away is undefined: treated as not before"
        );
        assert_eq!(Seq::new(0).prev(), Seq::new(65_535));
    }

    #[test]
    fn unwrapping_follows_a_wide_model_through_wraps_and_reordering() {
        let mut unwrapper = Unwrapper::<16>::new();
        let first = unwrapper.unwrap(65_530);
        for wide in (0u64..200_000).step_by(7) {
            assert_eq!(unwrapper.unwrap(((65_530 + wide) % 65_536) as u32) - first, wide);
            let late = wide.saturating_sub(1_000);
            assert_eq!(unwrapper.peek(((65_530 + late) % 65_536) as u32) - first, late);
        }
    }

    #[test]
    fn a_value_before_the_first_is_below_it() {
        let mut unwrapper = Unwrapper::<16>::new();
        let first = unwrapper.unwrap(2);
        assert_eq!(unwrapper.unwrap(65_535), first - 3);
        assert_eq!(unwrapper.newest(), Some(first));
    }
}
