//! What OpenSSL is told once for all the connections of a certificate: an `SSL_CTX` costs as much as half a handshake.

use std::sync::{Mutex, PoisonError};

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;

use crate::config::SrtpProfile;

/// Forward secrecy and AEAD only: OpenSSL dies of a bad record of the other suites.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
/// For the key exchange, and for the keys of certificates, which is why the last two are there.
const GROUPS: &str = "X25519:P-256:P-384:P-521";
/// No SHA-1 and no MD5.
const SIGNATURES: &str = "ECDSA+SHA256:RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA384:RSA-PSS+SHA384:RSA+SHA384:\
    ECDSA+SHA512:RSA-PSS+SHA512:RSA+SHA512:ed25519";
/// At least 112 bits of security, whatever the default of the system is.
const SECURITY_LEVEL: u32 = 2;
/// Contexts of one certificate; a further configuration takes the place of the oldest.
const MAX_CONTEXTS: usize = 4;

/// The contexts of one certificate: one for each list of SRTP profiles.
#[derive(Default)]
pub(crate) struct Contexts {
    made: Mutex<Vec<(Vec<SrtpProfile>, SslContext)>>,
}

impl Contexts {
    /// The context for these profiles, made at its first use.
    pub(super) fn get(
        &self,
        der: &[u8],
        pkcs8: &[u8],
        profiles: &[SrtpProfile],
    ) -> Result<SslContext, ErrorStack> {
        // The list is whole at every moment, so a thread that panicked left nothing half done.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, context)) = made.iter().find(|(of, _)| of == profiles) {
            return Ok(context.clone());
        }
        let context = build(der, pkcs8, profiles)?;
        if made.len() >= MAX_CONTEXTS {
            made.remove(0);
        }
        made.push((profiles.to_vec(), context.clone()));
        Ok(context)
    }
}

fn build(der: &[u8], pkcs8: &[u8], profiles: &[SrtpProfile]) -> Result<SslContext, ErrorStack> {
    let mut builder = SslContextBuilder::new(SslMethod::dtls())?;
    builder.set_security_level(SECURITY_LEVEL);
    builder.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    builder.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    builder.set_cipher_list(CIPHERS)?;
    builder.set_groups_list(GROUPS)?;
    builder.set_sigalgs_list(SIGNATURES)?;
    builder.set_options(
        SslOptions::NO_TICKET
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::NO_COMPRESSION
            | SslOptions::NO_QUERY_MTU
            | SslOptions::CIPHER_SERVER_PREFERENCE,
    );
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    // Any certificate will do here: the session compares its fingerprint, and that alone says who it is (RFC 8827
    // section 6.5). OpenSSL still checks that the other side owns the key.
    builder.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, |_, _| true);
    let certificate = X509::from_der(der)?;
    builder.set_certificate(&certificate)?;
    let key = PKey::private_key_from_pkcs8(pkcs8)?;
    builder.set_private_key(&key)?;
    builder.check_private_key()?;
    let mut names: Vec<&str> = Vec::new();
    for name in profiles.iter().map(|profile| srtp_name(*profile)) {
        // OpenSSL refuses a list with a name twice.
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if !names.is_empty() {
        builder.set_tlsext_use_srtp(&names.join(":"))?;
    }
    Ok(builder.build())
}

/// What OpenSSL calls a profile.
pub(super) fn srtp_name(profile: SrtpProfile) -> &'static str {
    match profile {
        SrtpProfile::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
        SrtpProfile::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
        SrtpProfile::Aes128CmSha1_80 => "SRTP_AES128_CM_SHA1_80",
    }
}
