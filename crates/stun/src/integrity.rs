//! MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 (RFC 8489 sections 14.5 and 14.6), with kept keys.

use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::hmac_sha1::{self, BLOCK, HmacSha1};
use crate::message::{Message, Tail};

/// The hash under a message's integrity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// MESSAGE-INTEGRITY.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256.
    Sha256,
}

impl Algorithm {
    /// The length of the whole attribute.
    pub(crate) const fn attribute_len(self) -> usize {
        match self {
            Self::Sha1 => 24,
            Self::Sha256 => 36,
        }
    }
}

/// Why a message is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrityError {
    /// It has no integrity attribute.
    #[error("no integrity attribute")]
    Missing,
    /// The value is not the right one, or has a length that is not allowed.
    #[error("wrong integrity value")]
    Mismatch,
}

/// A key with the HMAC states of both hashes already keyed; each message costs a copy of a state, not a key setup.
#[derive(Clone)]
pub struct Key {
    sha1: HmacSha1,
    sha256: Hmac<Sha256>,
}

impl Key {
    /// The key of the short-term mechanism: the password (RFC 8489 section 9.1.1). ICE passwords are ASCII, on
    /// which OpaqueString changes nothing.
    pub fn short_term(password: &str) -> Self {
        Self::from_bytes(password.as_bytes())
    }

    /// The key of the long-term mechanism with the password algorithm MD5 (RFC 8489 section 18.5.1.1).
    /// `username`, `realm` and `password` have been through OpaqueString.
    pub fn long_term_md5(username: &str, realm: &str, password: &str) -> Self {
        let mut hash = Md5::new();
        for part in [username, ":", realm, ":", password] {
            hash.update(part.as_bytes());
        }
        Self::from_bytes(&hash.finalize())
    }

    /// The key of the long-term mechanism with the password algorithm SHA-256 (RFC 8489 section 18.5.1.2).
    /// `username`, `realm` and `password` have been through OpaqueString.
    pub fn long_term_sha256(username: &str, realm: &str, password: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [username, ":", realm, ":", password] {
            hash.update(part.as_bytes());
        }
        Self::from_bytes(&hash.finalize())
    }

    /// The key with these octets.
    pub fn from_bytes(key: &[u8]) -> Self {
        let (mut sha1_block, mut sha256_block) = ([0; BLOCK], [0; BLOCK]);
        match sha1_block.get_mut(..key.len()) {
            Some(place) => {
                place.copy_from_slice(key);
                sha256_block = sha1_block;
            }
            // RFC 2104 section 2: a key longer than the block is hashed first.
            None => {
                sha1_block.iter_mut().zip(Sha1::digest(key)).for_each(|(place, octet)| *place = octet);
                sha256_block.iter_mut().zip(Sha256::digest(key)).for_each(|(place, octet)| *place = octet);
            }
        }
        Self { sha1: HmacSha1::new(&sha1_block), sha256: Hmac::new(&sha256_block.into()) }
    }

    /// HMAC-SHA1 of `octets`: what nonces without state and TURN's time-limited passwords are made of.
    pub fn hmac_sha1(&self, octets: &[u8]) -> [u8; 20] {
        self.sha1.mac(octets)
    }

    pub(crate) fn verify(&self, message: &Message<'_>) -> Result<Algorithm, IntegrityError> {
        if let Some(tail) = message.sha256() {
            return self.verify_sha256(&tail);
        }
        let tail = message.sha1().ok_or(IntegrityError::Missing)?;
        let theirs: &[u8; hmac_sha1::LEN] = tail.value.try_into().map_err(|_| IntegrityError::Mismatch)?;
        let ours = self.sha1.mac_with_length(tail.covered, tail.length());
        // In constant time.
        let same = CtOutput::<Sha1>::new(ours.into()) == CtOutput::new((*theirs).into());
        if same { Ok(Algorithm::Sha1) } else { Err(IntegrityError::Mismatch) }
    }

    /// Apart, because hardly anybody needs it, and its states are large.
    #[inline(never)]
    fn verify_sha256(&self, tail: &Tail<'_>) -> Result<Algorithm, IntegrityError> {
        // Section 14.6: the value may be truncated to a multiple of four, not below 16 octets.
        if !(16..=32).contains(&tail.value.len()) || !tail.value.len().is_multiple_of(4) {
            return Err(IntegrityError::Mismatch);
        }
        let [high, low] = tail.length().to_be_bytes();
        let (kind, rest) = tail.covered.split_at_checked(2).ok_or(IntegrityError::Mismatch)?;
        let rest = rest.get(2..).ok_or(IntegrityError::Mismatch)?;
        let mac = self.sha256.clone().chain_update(kind).chain_update([high, low]).chain_update(rest);
        mac.verify_truncated_left(tail.value)
            .map(|()| Algorithm::Sha256)
            .map_err(|_| IntegrityError::Mismatch)
    }

    /// Appends the value for a message whose header already has the length with the attribute in it.
    pub(crate) fn append(&self, algorithm: Algorithm, message: &[u8], out: &mut [u8]) {
        match algorithm {
            Algorithm::Sha1 => copy(&self.sha1.mac(message), out),
            Algorithm::Sha256 => {
                copy(&self.sha256.clone().chain_update(message).finalize().into_bytes(), out)
            }
        }
    }
}

fn copy(from: &[u8], to: &mut [u8]) {
    to.iter_mut().zip(from).for_each(|(place, octet)| *place = *octet);
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_are_hashed_first() {
        for length in [0, 1, 63, 64, 65, 200] {
            let octets = vec![7u8; length];
            let (mut ours, mut theirs) = ([0; 20], [0; 20]);
            Key::from_bytes(&octets).append(Algorithm::Sha1, b"message", &mut ours);
            let mac = Hmac::<Sha1>::new_from_slice(&octets).unwrap().chain_update(b"message");
            copy(&mac.finalize().into_bytes(), &mut theirs);
            assert_eq!(ours, theirs, "{length}");
            let (mut ours, mut theirs) = ([0; 32], [0; 32]);
            Key::from_bytes(&octets).append(Algorithm::Sha256, b"message", &mut ours);
            let mac = Hmac::<Sha256>::new_from_slice(&octets).unwrap().chain_update(b"message");
            copy(&mac.finalize().into_bytes(), &mut theirs);
            assert_eq!(ours, theirs, "{length}");
        }
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", Key::short_term("secret")), "Key");
    }
}
