//! AES-CM with HMAC-SHA1 (RFC 3711 sections 4.1.1 and 4.2.1).
//!
//! ```text
//! SRTP:   | header | ciphertext | tag |              tag over all before it and the rollover counter
//! SRTCP:  | first 8 octets | ciphertext | E, index | tag |                    tag over all before it
//! ```

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::{Index, RTCP_HEADER, TooLong, index_word};
use crate::error::KeyError;
use crate::profile::INDEX_LEN;

/// The octets of a tag.
pub(super) const TAG: usize = 10;

/// A keyed AES-CM and a keyed HMAC.
pub(crate) struct Cm {
    aes: EncryptingKey,
    salt: [u8; 14],
    /// Keyed, and cloned for each packet: to key it takes two blocks of SHA-1.
    hmac: Hmac<Sha1>,
}

impl Cm {
    /// From a session key, its salt and the authentication key.
    pub(super) fn new(key: &[u8; 16], salt: &[u8; 14], authentication: &[u8; 20]) -> Result<Self, KeyError> {
        let hmac = Hmac::new_from_slice(authentication).map_err(|_| KeyError::Key)?;
        let aes = UnboundCipherKey::new(&AES_128, key).and_then(EncryptingKey::ctr);
        Ok(Self { aes: aes.map_err(|_| KeyError::Key)?, salt: *salt, hmac })
    }

    /// Adds the key stream of a packet: the counter starts at `salt * 2^16 ^ ssrc * 2^64 ^ index * 2^16`. Each packet
    /// has its own counters, as it has less than 2^16 blocks.
    #[inline]
    fn apply(&self, index: Index, body: &mut [u8]) -> Result<(), TooLong> {
        let [s0, s1, s2, s3] = index.ssrc.to_be_bytes();
        let [_, _, i0, i1, i2, i3, i4, i5] = index.index.to_be_bytes();
        let mut iv = [0, 0, 0, 0, s0, s1, s2, s3, i0, i1, i2, i3, i4, i5, 0, 0];
        iv.iter_mut().zip(self.salt).for_each(|(octet, salt)| *octet ^= salt);
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        self.aes.less_safe_encrypt(body, context).map(|_| ()).map_err(|_| TooLong)
    }

    /// The HMAC over these octets, to be finished.
    #[inline]
    fn mac(&self, octets: &[u8], more: &[u8]) -> Hmac<Sha1> {
        let mut mac = self.hmac.clone();
        mac.update(octets);
        mac.update(more);
        mac
    }

    fn append_tag(mac: Hmac<Sha1>, out: &mut Vec<u8>) {
        let full: [u8; 20] = mac.finalize().into_bytes().into();
        let [tag @ .., _, _, _, _, _, _, _, _, _, _] = full;
        out.extend_from_slice(&tag);
    }

    #[inline]
    pub(super) fn seal_rtp(
        &self,
        index: Index,
        header_len: usize,
        out: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), TooLong> {
        out.reserve(TAG);
        let packet = out.get_mut(start..).ok_or(TooLong)?;
        let body = packet.get_mut(header_len..).ok_or(TooLong)?;
        self.apply(index, body)?;
        let mac = self.mac(packet, &rollover(index));
        Self::append_tag(mac, out);
        Ok(())
    }

    #[inline]
    pub(super) fn open_rtp(&self, index: Index, header_len: usize, packet: &mut [u8]) -> Option<usize> {
        let (packet, tag) = packet.split_last_chunk_mut::<TAG>()?;
        self.mac(packet, &rollover(index)).verify_truncated_left(tag).ok()?;
        self.apply(index, packet.get_mut(header_len..)?).ok()?;
        Some(packet.len())
    }

    pub(super) fn seal_rtcp(&self, index: Index, out: &mut Vec<u8>, start: usize) -> Result<(), TooLong> {
        let packet = out.get_mut(start..).ok_or(TooLong)?;
        self.apply(index, packet.get_mut(RTCP_HEADER..).ok_or(TooLong)?)?;
        let word = index_word(index);
        let mac = self.mac(packet, &word);
        out.extend_from_slice(&word);
        Self::append_tag(mac, out);
        Ok(())
    }

    pub(super) fn open_rtcp(&self, index: Index, packet: &mut [u8]) -> Option<usize> {
        let (packet, tag) = packet.split_last_chunk_mut::<TAG>()?;
        self.mac(packet, &[]).verify_truncated_left(tag).ok()?;
        let plain_len = packet.len().checked_sub(INDEX_LEN)?;
        self.apply(index, packet.get_mut(RTCP_HEADER..plain_len)?).ok()?;
        Some(plain_len)
    }
}

/// The rollover counter of an index.
fn rollover(index: Index) -> [u8; 4] {
    // The index has 48 bits; the caller stops before it has more.
    ((index.index >> 16) as u32).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{hex, load, number};

    #[test]
    fn rfc3711_b2() {
        let all = load(include_str!("../../tests/data/rfc3711-srtp.json"));
        let vector = &all["B.2_aes_cm"];
        let key = hex(&vector["session_key"]).try_into().unwrap();
        let salt = hex(&vector["salt_shifted"])[..14].try_into().unwrap();
        let cm = Cm::new(&key, &salt, &[0; 20]).unwrap();
        let first = u128::from_be_bytes(hex(&vector["salt_shifted"]).try_into().unwrap());
        let mut stream = vec![0; number(&vector["keystream_octets"]) as usize];
        cm.apply(Index { ssrc: 0, index: 0 }, &mut stream).unwrap();
        for block in vector["blocks"].as_array().unwrap() {
            let counter = u128::from_be_bytes(hex(&block["counter"]).try_into().unwrap());
            let at = (counter - first) as usize * 16;
            assert_eq!(stream[at..at + 16], hex(&block["keystream"]));
        }
    }
}
