//! FINGERPRINT (RFC 8489 section 14.7): a CRC-32 (ISO 3309) over the message, exclusive-or'ed with "STUN".

use crate::message::Tail;

/// What the CRC is combined with, so that it differs from a CRC of the application's.
const XOR: u32 = 0x5354_554e;

/// The length of the whole attribute.
pub(crate) const ATTRIBUTE_LEN: usize = 8;

/// What FINGERPRINT says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fingerprint {
    /// There is none.
    Absent,
    /// It holds.
    Good,
    /// It does not: this is not STUN, or was damaged.
    Bad,
}

/// True if the attribute's value is that of what stands before it. The length in the header is the right one already, since
/// FINGERPRINT is last.
pub(crate) fn matches(tail: &Tail<'_>) -> bool {
    tail.value == value(tail.covered)
}

/// The attribute's value for the octets before it.
pub(crate) fn value(covered: &[u8]) -> [u8; 4] {
    (crc32fast::hash(covered) ^ XOR).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_has_its_check_value() {
        assert_eq!(value(b"123456789"), (0xCBF4_3926 ^ XOR).to_be_bytes());
    }
}
