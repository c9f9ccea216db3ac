//! What a session tells: who the other side is, how it ended, and why something cannot be done.

use std::fmt;

use bytes::Bytes;

use crate::config::{Role, SrtpProfile, Version};

/// Master keys and salts for SRTP (RFC 5764 section 4.2).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SrtpKeys {
    /// The profile that both sides agreed on.
    pub profile: SrtpProfile,
    /// The key that this side protects with.
    pub local_key: Vec<u8>,
    /// The salt that this side protects with.
    pub local_salt: Vec<u8>,
    /// The key that the other side protects with.
    pub remote_key: Vec<u8>,
    /// The salt that the other side protects with.
    pub remote_salt: Vec<u8>,
}

impl SrtpKeys {
    /// Cuts exported keying material: both keys, then both salts, the client's first (RFC 5764 section 4.2).
    pub(crate) fn cut(profile: SrtpProfile, is_client: bool, material: &[u8]) -> Option<Self> {
        let mut reader = taut_sansio::codec::Reader::new(material);
        let mut next = |length| reader.take(length).map(<[u8]>::to_vec).ok();
        let (client_key, server_key) = (next(profile.key_len())?, next(profile.key_len())?);
        let (client_salt, server_salt) = (next(profile.salt_len())?, next(profile.salt_len())?);
        reader.finish().ok()?;
        Some(if is_client {
            let (local_key, local_salt) = (client_key, client_salt);
            Self { profile, local_key, local_salt, remote_key: server_key, remote_salt: server_salt }
        } else {
            let (local_key, local_salt) = (server_key, server_salt);
            Self { profile, local_key, local_salt, remote_key: client_key, remote_salt: client_salt }
        })
    }
}

impl fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpKeys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// The other side, after it has proven to own a certificate with one of the expected fingerprints. Only a session
/// can make one, so whoever holds one may use what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPeer {
    pub(crate) srtp: Option<SrtpKeys>,
    pub(crate) certificate: Bytes,
    pub(crate) role: Role,
    pub(crate) version: Version,
    pub(crate) cipher_suite: &'static str,
}

impl VerifiedPeer {
    /// The SRTP keys; `None` when no profile was agreed on.
    pub fn srtp(&self) -> Option<&SrtpKeys> {
        self.srtp.as_ref()
    }

    /// The certificate of the other side, in DER.
    pub fn certificate(&self) -> &Bytes {
        &self.certificate
    }

    /// The role of this side, client or server.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The version that was negotiated.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The cipher suite, by its name in the registry of IANA.
    pub fn cipher_suite(&self) -> &'static str {
        self.cipher_suite
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake is done and the fingerprint held.
    Connected(VerifiedPeer),
    /// The secret of the session, because the configuration asks for it: a line of the key log format of NSS, without the
    /// end of the line. It comes right before [`Event::Connected`].
    KeyLog(String),
    /// The session is over; nothing follows.
    Closed(CloseReason),
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it.
    #[error("closed by this side")]
    Local,
    /// The other side closed it.
    #[error("closed by the other side")]
    Remote,
    /// The other side ended it with this fatal alert (RFC 8446 section 6).
    #[error("ended by the other side with alert {0}")]
    Alert(u8),
    /// The certificate of the other side has none of the expected fingerprints.
    #[error("the certificate has none of the expected fingerprints")]
    FingerprintMismatch,
    /// The handshake was not done in time.
    #[error("the handshake took too long")]
    Timeout,
    /// The handshake failed.
    #[error("the handshake failed: {0}")]
    Handshake(HandshakeFailure),
    /// The other side broke the protocol under protection, after the handshake.
    #[error("the other side broke the protocol: {0}")]
    Protocol(HandshakeFailure),
}

/// What went wrong in the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// Nothing in common: version, cipher suite, group.
    #[error("no common parameters")]
    Negotiation,
    /// The certificate of the other side is missing, unreadable or of a kind that cannot be used.
    #[error("the certificate cannot be used")]
    Certificate,
    /// A signature or a tag did not verify, or a cryptographic operation failed.
    #[error("a cryptographic check failed")]
    Crypto,
    /// A message came that does not belong there.
    #[error("an unexpected message")]
    UnexpectedMessage,
    /// A bound of the engine was hit.
    #[error("a bound was hit")]
    Resources,
    /// A fatal alert.
    #[error("alert {0}")]
    Alert(u8),
}

/// Why a session cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The smallest version of the configuration is above its largest.
    #[error("the version range is empty")]
    Versions,
    /// The cryptographic library does not work, or not with this certificate.
    #[error("the cryptographic library failed its checks")]
    Crypto,
    /// The engine of the configuration is not part of this program: the crate was built without the feature of its
    /// name.
    #[error("the DTLS engine is not built in; the features dimpl, openssl and vendored build one")]
    EngineNotBuilt,
    /// The engine does not speak a version that the configuration asks for: OpenSSL knows DTLS 1.2 only.
    #[error("the engine does not speak every version of the range: OpenSSL knows DTLS 1.2 only")]
    VersionNotSupported,
    /// The engine has no use for a certificate of this kind: dimpl takes ECDSA only.
    #[error("the engine cannot use a certificate of this kind: dimpl takes ECDSA on P-256 only")]
    Certificate,
    /// The engine has SRTP profiles of its own, and the configuration asks for others, or another order.
    #[error(
        "the engine cannot choose SRTP profiles: dimpl has AES-256-GCM, AES-128-GCM and AES-128 with HMAC-SHA1, in this order"
    )]
    SrtpProfiles,
    /// The engine does not give out the secret of a session for the key log: only OpenSSL does.
    #[error("the engine gives out no secrets for a key log: only OpenSSL does")]
    KeyLog,
}

/// Why a record was not sealed; the output is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The session is not connected, or no longer.
    #[error("the session is not connected")]
    NotConnected,
    /// The plaintext is empty, or longer than the 16,384 octets of a record.
    #[error("a record holds 1 to 16384 octets")]
    Length,
    /// The engine could not protect the record: the session is of no use any more.
    #[error("the record could not be protected")]
    Engine,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keying_material_is_cut_in_the_order_of_the_rfc() {
        for profile in [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmSha1_80]
        {
            let (k, s) = (profile.key_len(), profile.salt_len());
            let material: Vec<u8> =
                [vec![1; k], vec![2; k], vec![3; s], vec![4; s]].into_iter().flatten().collect();
            let client = SrtpKeys::cut(profile, true, &material).unwrap();
            let server = SrtpKeys::cut(profile, false, &material).unwrap();
            assert_eq!((&client.local_key, &client.remote_key), (&vec![1; k], &vec![2; k]));
            assert_eq!((&client.local_salt, &client.remote_salt), (&vec![3; s], &vec![4; s]));
            assert_eq!((&server.local_key, &server.local_salt), (&client.remote_key, &client.remote_salt));
            assert_eq!((&server.remote_key, &server.remote_salt), (&client.local_key, &client.local_salt));
            assert_eq!(SrtpKeys::cut(profile, true, &material[1..]), None);
            assert_eq!(SrtpKeys::cut(profile, true, &[&material[..], &[0]].concat()), None);
            assert!(!format!("{client:?}").contains("1, 1"), "keys are not shown");
        }
    }
}
