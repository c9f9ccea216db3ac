//! Key derivation (RFC 3711 section 4.3; for AES-GCM RFC 7714 section 11, for AES-256 RFC 6188 section 3), with a key
//! derivation rate of zero.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use crate::error::KeyError;
use crate::profile::Profile;

/// What a derived key is for (RFC 3711 section 4.3.1 and 4.3.2).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Use {
    Rtp,
    Rtcp,
}

/// The labels of encryption key, authentication key and salt.
impl Use {
    fn labels(self) -> [u8; 3] {
        match self {
            Self::Rtp => [0, 1, 2],
            Self::Rtcp => [3, 4, 5],
        }
    }
}

/// A master key and salt whose lengths fit their profile.
pub(crate) struct Master<'a> {
    key: &'a [u8],
    /// The salt, with zeros to 112 bits (RFC 7714 section 11 has 96).
    salt: [u8; 14],
}

impl<'a> Master<'a> {
    pub(crate) fn new(profile: Profile, key: &'a [u8], salt: &[u8]) -> Result<Self, KeyError> {
        if key.len() != profile.key_len() {
            return Err(KeyError::Key);
        }
        if salt.len() != profile.salt_len() {
            return Err(KeyError::Salt);
        }
        let mut padded = [0; 14];
        padded.iter_mut().zip(salt).for_each(|(to, from)| *to = *from);
        Ok(Self { key, salt: padded })
    }

    /// The encryption key.
    pub(crate) fn encryption_key<const N: usize>(&self, purpose: Use) -> Result<[u8; N], KeyError> {
        let [label, _, _] = purpose.labels();
        self.derive(label)
    }

    /// The key of the HMAC.
    pub(crate) fn authentication_key(&self, purpose: Use) -> Result<[u8; 20], KeyError> {
        let [_, label, _] = purpose.labels();
        self.derive(label)
    }

    /// The salt.
    pub(crate) fn salt<const N: usize>(&self, purpose: Use) -> Result<[u8; N], KeyError> {
        let [_, _, label] = purpose.labels();
        self.derive(label)
    }

    /// The pseudo-random function: a key stream of AES-CM under the master key, from label and salt.
    fn derive<const N: usize>(&self, label: u8) -> Result<[u8; N], KeyError> {
        let mut iv = [0; 16];
        iv.iter_mut().zip(self.salt).for_each(|(to, from)| *to = from);
        let [_, _, _, _, _, _, _, seventh, ..] = &mut iv;
        *seventh ^= label;
        let algorithm = if self.key.len() == 32 { &AES_256 } else { &AES_128 };
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        let mut out = [0; N];
        UnboundCipherKey::new(algorithm, self.key)
            .and_then(EncryptingKey::ctr)
            .and_then(|key| key.less_safe_encrypt(&mut out, context))
            .map_err(|_| KeyError::Key)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{hex, load};

    #[test]
    fn rfc3711_b3() {
        let all = load(include_str!("../tests/data/rfc3711-srtp.json"));
        let vector = &all["B.3_key_derivation"];
        let (key, salt) = (hex(&vector["master_key"]), hex(&vector["master_salt"]));
        let master = Master::new(Profile::Aes128CmSha1_80, &key, &salt).unwrap();
        assert_eq!(master.encryption_key::<16>(Use::Rtp).unwrap().to_vec(), hex(&vector["cipher_key"]));
        assert_eq!(master.salt::<14>(Use::Rtp).unwrap().to_vec(), hex(&vector["cipher_salt"]));
        assert_eq!(master.derive::<94>(1).unwrap().to_vec(), hex(&vector["auth_key"]));
        let computed = &vector["computed_not_in_rfc"];
        assert_eq!(master.authentication_key(Use::Rtp).unwrap().to_vec(), hex(&computed["srtp_auth_key_20"]));
        assert_eq!(
            master.encryption_key::<16>(Use::Rtcp).unwrap().to_vec(),
            hex(&computed["srtcp_cipher_key"])
        );
        assert_eq!(
            master.authentication_key(Use::Rtcp).unwrap().to_vec(),
            hex(&computed["srtcp_auth_key_20"])
        );
        assert_eq!(master.salt::<14>(Use::Rtcp).unwrap().to_vec(), hex(&computed["srtcp_cipher_salt"]));
    }

    #[test]
    fn keys_of_a_wrong_length_are_refused() {
        for profile in [Profile::Aes128CmSha1_80, Profile::AeadAes128Gcm, Profile::AeadAes256Gcm] {
            for key_len in 0..40 {
                for salt_len in 0..20 {
                    let result = Master::new(profile, &vec![1; key_len], &vec![2; salt_len]).map(|_| ());
                    let expected = if key_len != profile.key_len() {
                        Err(KeyError::Key)
                    } else if salt_len != profile.salt_len() {
                        Err(KeyError::Salt)
                    } else {
                        Ok(())
                    };
                    assert_eq!(result, expected);
                }
            }
        }
    }
}
