//! Identifiers and seeds from the operating system's randomness.

use crate::error::{Error, ErrorKind};

/// 256 bits that nobody can guess.
pub(crate) fn seed() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Error::new(ErrorKind::Operation, format!("no randomness: {error}")))?;
    Ok(seed)
}

/// A random UUID (RFC 9562 section 5.4), as W3C gives it to tracks and streams. Without a random source the id is only
/// unique, not unguessable; nothing rests on it.
pub(crate) fn uuid() -> String {
    use std::fmt::Write;
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    let mut octets = [0u8; 16];
    if getrandom::fill(&mut octets).is_err() {
        octets = u128::from(COUNTER.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    }
    let mut text = String::with_capacity(36);
    for (i, octet) in octets.into_iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let octet = match i {
            6 => octet & 0x0f | 0x40,
            8 => octet & 0x3f | 0x80,
            _ => octet,
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_4_and_differ() {
        let (a, b) = (uuid(), uuid());
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(a.as_bytes()[14], b'4');
        assert!(matches!(a.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_ne!(seed().unwrap(), seed().unwrap());
    }
}
