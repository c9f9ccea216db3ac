//! The state cookie (RFC 9260 section 5.1.3): all that an INIT ACK promised, signed with HMAC-SHA256 under a key of
//! this association alone, with the time it was made. Nothing of a cookie is believed before its signature holds.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use taut_sansio::codec::{Reader, Short};

use crate::packet::Tsn;
use crate::packet::init::InitFields;
use crate::packet::parameter::Capabilities;

/// Octets of the signature.
const MAC_LEN: usize = 32;

/// Octets of a cookie.
pub(crate) const COOKIE_LEN: usize = 49 + MAC_LEN;

/// A keyed signer; the key never leaves it.
#[derive(Clone)]
pub(crate) struct Signer {
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        // HMAC takes keys of any length (RFC 2104 section 2): this cannot fail.
        let keyed = Hmac::new_from_slice(key).expect("HMAC takes any key length");
        Self { keyed }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; MAC_LEN] {
        let mut mac = self.keyed.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// Compares in constant time; `signature` may be shortened from the right.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let mut mac = self.keyed.clone();
        mac.update(message);
        mac.verify_truncated_left(signature).is_ok()
    }
}

/// What a cookie holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cookie {
    /// Since the epoch of the association.
    pub(crate) created: Duration,
    pub(crate) local_tag: u32,
    pub(crate) local_tsn: Tsn,
    /// The fixed fields of the INIT.
    pub(crate) remote: InitFields,
    pub(crate) capabilities: Capabilities,
    /// The tags of the association that existed when the INIT came; zero for none (RFC 9260 section 5.2.2).
    pub(crate) tie_local: u32,
    pub(crate) tie_remote: u32,
}

impl Cookie {
    /// The signed octets.
    pub(crate) fn seal(&self, signer: &Signer) -> Vec<u8> {
        let mut out = Vec::with_capacity(COOKIE_LEN);
        out.extend_from_slice(&(self.created.as_micros() as u64).to_be_bytes());
        out.extend_from_slice(&self.local_tag.to_be_bytes());
        out.extend_from_slice(&self.local_tsn.get().to_be_bytes());
        out.extend_from_slice(&self.remote.tag.to_be_bytes());
        out.extend_from_slice(&self.remote.window.to_be_bytes());
        out.extend_from_slice(&self.remote.outgoing.to_be_bytes());
        out.extend_from_slice(&self.remote.incoming.to_be_bytes());
        out.extend_from_slice(&self.remote.tsn.get().to_be_bytes());
        out.extend_from_slice(&self.tie_local.to_be_bytes());
        out.extend_from_slice(&self.tie_remote.to_be_bytes());
        out.push(self.capabilities.to_bits());
        out.extend_from_slice(&[0; 8]);
        let mac = signer.sign(&out);
        out.extend_from_slice(&mac);
        out
    }

    /// Opens a cookie; `None` if it is not one of ours, unchanged.
    pub(crate) fn open(signer: &Signer, octets: &[u8]) -> Option<Self> {
        if octets.len() != COOKIE_LEN {
            return None;
        }
        let (body, mac) = octets.split_at_checked(COOKIE_LEN - MAC_LEN)?;
        if !signer.verify(body, mac) {
            return None;
        }
        Self::parse(&mut Reader::new(body)).ok()
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, Short> {
        Ok(Self {
            created: Duration::from_micros(reader.u64()?),
            local_tag: reader.u32()?,
            local_tsn: Tsn::new(reader.u32()?),
            remote: InitFields {
                tag: reader.u32()?,
                window: reader.u32()?,
                outgoing: reader.u16()?,
                incoming: reader.u16()?,
                tsn: Tsn::new(reader.u32()?),
            },
            tie_local: reader.u32()?,
            tie_remote: reader.u32()?,
            capabilities: Capabilities::from_bits(reader.u8()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let signer = Signer::new(&[7; 32]);
        let cookie = Cookie {
            created: Duration::from_millis(1234),
            local_tag: 1,
            local_tsn: Tsn::new(2),
            remote: InitFields { tag: 3, window: 4, outgoing: 5, incoming: 6, tsn: Tsn::new(7) },
            capabilities: Capabilities::from_bits(0x1f),
            tie_local: 8,
            tie_remote: 9,
        };
        let sealed = cookie.seal(&signer);
        assert_eq!(sealed.len(), COOKIE_LEN);
        assert_eq!(Cookie::open(&signer, &sealed), Some(cookie));
        assert_eq!(Cookie::open(&Signer::new(&[8; 32]), &sealed), None);
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(Cookie::open(&signer, &bad), None, "octet {at}");
            assert_eq!(Cookie::open(&signer, &sealed[..at]), None);
        }
    }
}
