//! AES-GCM (RFC 7714 sections 8 and 9).
//!
//! ```text
//! SRTP:   | header (associated data) | ciphertext | tag |
//! SRTCP:  | first 8 octets (associated data) | ciphertext | tag | E, index (associated data) |
//! ```

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::{Index, RTCP_HEADER, TooLong, index_word};
use crate::error::KeyError;
use crate::profile::INDEX_LEN;

/// The octets of a tag.
const TAG: usize = 16;

/// A keyed AES-GCM.
pub(crate) struct Gcm {
    key: LessSafeKey,
    salt: [u8; NONCE_LEN],
}

impl Gcm {
    /// From a session key of 16 or 32 octets and its salt.
    pub(super) fn new(key: &[u8], salt: [u8; NONCE_LEN]) -> Result<Self, KeyError> {
        let algorithm = if key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
        let key = UnboundKey::new(algorithm, key).map_err(|_| KeyError::Key)?;
        Ok(Self { key: LessSafeKey::new(key), salt })
    }

    /// The nonce: two zero octets, source, and 48 bits of index, added to the salt (sections 8.1 and 9.1; the index of
    /// SRTCP has 31 bits behind 16 zero bits and one, which is the same sum).
    #[inline]
    fn nonce(&self, index: Index) -> Nonce {
        let [s0, s1, s2, s3] = index.ssrc.to_be_bytes();
        let [_, _, i0, i1, i2, i3, i4, i5] = index.index.to_be_bytes();
        let mut nonce = [0, 0, s0, s1, s2, s3, i0, i1, i2, i3, i4, i5];
        nonce.iter_mut().zip(self.salt).for_each(|(octet, salt)| *octet ^= salt);
        Nonce::assume_unique_for_key(nonce)
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
        let (header, body) = packet.split_at_mut_checked(header_len).ok_or(TooLong)?;
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(index), Aad::from(&*header), body)
            .map_err(|_| TooLong)?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    #[inline]
    pub(super) fn open_rtp(&self, index: Index, header_len: usize, packet: &mut [u8]) -> Option<usize> {
        let plain_len = packet.len().checked_sub(TAG)?;
        let (header, body) = packet.split_at_mut_checked(header_len)?;
        let (ciphertext, tag) = body.split_at_mut_checked(plain_len.checked_sub(header_len)?)?;
        let aad = Aad::from(&*header);
        self.key.open_in_place_separate_tag(self.nonce(index), aad, tag, ciphertext).ok()?;
        Some(plain_len)
    }

    pub(super) fn seal_rtcp(&self, index: Index, out: &mut Vec<u8>, start: usize) -> Result<(), TooLong> {
        let word = index_word(index);
        let packet = out.get_mut(start..).ok_or(TooLong)?;
        let (header, body) = packet.split_first_chunk_mut::<RTCP_HEADER>().ok_or(TooLong)?;
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(index), rtcp_aad(header, word), body)
            .map_err(|_| TooLong)?;
        out.extend_from_slice(tag.as_ref());
        out.extend_from_slice(&word);
        Ok(())
    }

    pub(super) fn open_rtcp(&self, index: Index, packet: &mut [u8]) -> Option<usize> {
        let (packet, word) = packet.split_last_chunk_mut::<INDEX_LEN>()?;
        let plain_len = packet.len().checked_sub(TAG)?;
        let (header, body) = packet.split_first_chunk_mut::<RTCP_HEADER>()?;
        let (ciphertext, tag) = body.split_at_mut_checked(plain_len.checked_sub(RTCP_HEADER)?)?;
        let aad = rtcp_aad(header, *word);
        self.key.open_in_place_separate_tag(self.nonce(index), aad, tag, ciphertext).ok()?;
        Some(plain_len)
    }
}

/// What an encrypted SRTCP packet authenticates beside the ciphertext (section 9.2).
fn rtcp_aad(header: &[u8; RTCP_HEADER], word: [u8; INDEX_LEN]) -> Aad<[u8; RTCP_HEADER + INDEX_LEN]> {
    let mut aad = [0; RTCP_HEADER + INDEX_LEN];
    aad.iter_mut().zip(header.iter().chain(&word)).for_each(|(to, from)| *to = *from);
    Aad::from(aad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{hex, load, number};

    #[test]
    fn rfc7714_16_and_17() {
        let all = load(include_str!("../../tests/data/rfc7714-aes-gcm.json"));
        for vector in all["vectors"].as_array().unwrap() {
            let salt = hex(&vector["session_salt"]).try_into().unwrap();
            let gcm = Gcm::new(&hex(&vector["session_key"]), salt).unwrap();
            let ssrc = u32::from_be_bytes(hex(&vector["ssrc"]).try_into().unwrap());
            let rtcp = vector["kind"] == "srtcp";
            let index = if rtcp {
                number(&vector["srtcp_index"])
            } else {
                (number(&vector["roc"]) << 16) | number(&vector["seq"])
            };
            let index = Index { ssrc, index };
            assert_eq!(gcm.nonce(index).as_ref().to_vec(), hex(&vector["iv"]));
            let (plain, sealed) = if rtcp { ("rtcp", "srtcp") } else { ("rtp", "srtp") };
            let (plain, sealed) = (hex(&vector[plain]), hex(&vector[sealed]));
            let mut out = plain.clone();
            if vector["encrypted"] == false {
                tag_only(&gcm, index, rtcp, &plain, &sealed);
            } else if rtcp {
                gcm.seal_rtcp(index, &mut out, 0).unwrap();
                assert_eq!(out, sealed);
                assert_eq!(gcm.open_rtcp(index, &mut out), Some(plain.len()));
            } else {
                gcm.seal_rtp(index, 12, &mut out, 0).unwrap();
                assert_eq!(out, sealed);
                assert_eq!(gcm.open_rtp(index, 12, &mut out), Some(plain.len()));
            }
            assert_eq!(out[..plain.len()], plain);
        }
    }

    /// The vectors without encryption: everything is associated data. WebRTC never sends such packets; the key does
    /// give these tags, and refuses a wrong tag over nothing.
    fn tag_only(gcm: &Gcm, index: Index, rtcp: bool, plain: &[u8], sealed: &[u8]) {
        let mut aad = plain.to_vec();
        if rtcp {
            aad.extend_from_slice(&(index.index as u32).to_be_bytes());
        }
        let expected = &sealed[plain.len()..plain.len() + TAG];
        let tag = gcm.key.seal_in_place_separate_tag(gcm.nonce(index), Aad::from(&aad), &mut []).unwrap();
        assert_eq!(tag.as_ref(), expected);
        let mut wrong = expected.to_vec();
        let open = |tag: &[u8]| {
            let mut nothing = [];
            gcm.key.open_in_place_separate_tag(gcm.nonce(index), Aad::from(&aad), tag, &mut nothing).is_ok()
        };
        assert!(open(&wrong));
        wrong[15] ^= 1;
        assert!(!open(&wrong));
    }
}
