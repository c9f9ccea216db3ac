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
    (!update(u32::MAX, covered) ^ XOR).to_be_bytes()
}

/// Eight octets a step ("slicing by 8"), then one.
fn update(mut crc: u32, bytes: &[u8]) -> u32 {
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        let [a, b, c, d, e, f, g, h] = *chunk;
        let [a, b, c, d] = (crc ^ u32::from_le_bytes([a, b, c, d])).to_le_bytes();
        crc = look(7, a)
            ^ look(6, b)
            ^ look(5, c)
            ^ look(4, d)
            ^ look(3, e)
            ^ look(2, f)
            ^ look(1, g)
            ^ look(0, h);
    }
    for &octet in rest {
        let [low, ..] = crc.to_le_bytes();
        crc = (crc >> 8) ^ look(0, low ^ octet);
    }
    crc
}

#[inline(always)]
fn look(table: usize, octet: u8) -> u32 {
    // Always in bounds: eight tables of 256 entries, and every caller names one of 0 to 7.
    TABLES[table][usize::from(octet)]
}

static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut octet = 0;
    while octet < 256 {
        let mut crc = octet as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][octet] = crc;
        octet += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut octet = 0;
        while octet < 256 {
            let before = tables[table - 1][octet];
            tables[table][octet] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            octet += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_has_its_check_value() {
        assert_eq!(!update(u32::MAX, b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn steps_of_eight_give_what_steps_of_one_give() {
        let bytes: Vec<u8> = (0..200u32).map(|n| (n * 37 % 251) as u8).collect();
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            let single = head.iter().fold(u32::MAX, |crc, octet| update(crc, &[*octet]));
            assert_eq!(update(u32::MAX, head), single);
            assert_eq!(update(update(u32::MAX, head), tail), update(u32::MAX, &bytes));
        }
    }
}
