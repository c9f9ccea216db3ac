//! Certificates of our own: made on the fly, self-signed, ECDSA on P-256 or RSA (RFC 8827 section 6.5).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RsaKeyPair};
use bytes::Bytes;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
    RsaKeySize,
};
use taut_sansio::codec::{Reader, Short};

#[cfg(feature = "openssl")]
use crate::engine::Contexts;
use crate::fingerprint::{Fingerprint, HashAlgorithm};

/// How long before the given time a certificate starts to be valid: clocks differ.
const BACKDATED: Duration = Duration::from_secs(24 * 60 * 60);
/// How long after the given time it ends; 30 days is what the W3C API defaults to (webrtc-pc section 4.9).
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// 9999-12-31, the last day that X.509 can write (RFC 5280 section 4.1.2.5); later times count as that.
const LAST_TIME: Duration = Duration::from_secs(253_370_764_800);
/// PEM text longer than this is refused.
const MAX_PEM: usize = 64 * 1024;

/// Why a certificate could not be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The key or the signature could not be made.
    #[error("the certificate could not be generated")]
    Generate,
    /// The text is not PEM, is too long, or lacks a `CERTIFICATE` or a `PRIVATE KEY`.
    #[error("the text does not hold a certificate and a private key in PEM")]
    Pem,
    /// The private key is not a PKCS #8 key on the curve P-256, or of RSA with 2048 to 8192 bits.
    #[error("the private key is not an ECDSA key on P-256 or an RSA key")]
    Key,
    /// The certificate is not an X.509 certificate, or not of this key.
    #[error("the certificate cannot be read or is not of this key")]
    Certificate,
}

struct Inner {
    der: Bytes,
    pkcs8: Vec<u8>,
    expires: Duration,
    #[cfg_attr(not(feature = "dimpl"), allow(dead_code, reason = "OpenSSL takes both kinds"))]
    rsa: bool,
    #[cfg(feature = "openssl")]
    contexts: Contexts,
}

impl Inner {
    fn new(der: Bytes, pkcs8: Vec<u8>, expires: Duration, kind: Kind) -> Self {
        let rsa = matches!(kind, Kind::Rsa);
        #[cfg(feature = "openssl")]
        return Self { der, pkcs8, expires, rsa, contexts: Contexts::default() };
        #[cfg(not(feature = "openssl"))]
        Self { der, pkcs8, expires, rsa }
    }
}

enum Kind {
    Ecdsa,
    Rsa,
}

/// A certificate and its private key. Cheap to clone, and meant to be used for many sessions.
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<Inner>,
}

impl Certificate {
    /// Makes a new key and a certificate for it, valid from one day before `unix`, the time since the Unix epoch, to
    /// 30 days after it. The key and the serial number are drawn from the system.
    pub fn generate(unix: Duration) -> Result<Self, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| CertificateError::Generate)?;
        Self::sign(unix, &key, Kind::Ecdsa)
    }

    /// The same with an RSA key of 2048 bits, which takes a hundred times as long or more. Only the engine OpenSSL can
    /// use it.
    pub fn generate_rsa(unix: Duration) -> Result<Self, CertificateError> {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048);
        Self::sign(unix, &key.map_err(|_| CertificateError::Generate)?, Kind::Rsa)
    }

    fn sign(unix: Duration, key: &KeyPair, kind: Kind) -> Result<Self, CertificateError> {
        let mut serial = [0; 16];
        SystemRandom::new().fill(&mut serial).map_err(|_| CertificateError::Generate)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "WebRTC");
        params.is_ca = IsCa::NoCa;
        // Firefox refuses two certificates of one issuer with the same serial number, so it is random; a leading
        // zero bit keeps it positive in 16 octets (RFC 5280 section 4.1.2.2).
        serial[0] = (serial[0] & 0x7f) | 0x40;
        params.serial_number = Some(serial.to_vec().into());
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let unix = unix.min(LAST_TIME - LIFETIME);
        let expires = Duration::from_secs((unix + LIFETIME).as_secs());
        params.not_before = epoch + Duration::from_secs(unix.saturating_sub(BACKDATED).as_secs());
        params.not_after = epoch + expires;
        let signed = params.self_signed(key).map_err(|_| CertificateError::Generate)?;
        let der = Bytes::copy_from_slice(signed.der());
        Ok(Self { inner: Arc::new(Inner::new(der, key.serialize_der(), expires, kind)) })
    }

    /// Reads a certificate and its PKCS #8 private key from PEM text, in any order.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        if text.len() > MAX_PEM {
            return Err(CertificateError::Pem);
        }
        let blocks = pem::parse_many(text).map_err(|_| CertificateError::Pem)?;
        let block = |tag| blocks.iter().find(|block| block.tag() == tag).ok_or(CertificateError::Pem);
        let der = Bytes::copy_from_slice(block("CERTIFICATE")?.contents());
        let pkcs8 = block("PRIVATE KEY")?.contents().to_vec();
        let (public_key, kind) =
            if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8) {
                (key.public_key().as_ref().to_vec(), Kind::Ecdsa)
            } else {
                let key = RsaKeyPair::from_pkcs8(&pkcs8).map_err(|_| CertificateError::Key)?;
                (key.public_key().as_ref().to_vec(), Kind::Rsa)
            };
        let facts = Facts::parse(&der).ok_or(CertificateError::Certificate)?;
        if !facts.public_key.ends_with(&public_key) {
            return Err(CertificateError::Certificate);
        }
        let expires = facts.not_after;
        Ok(Self { inner: Arc::new(Inner::new(der, pkcs8, expires, kind)) })
    }

    /// The certificate and its private key as PEM text. Whoever reads it can play this side.
    pub fn to_pem(&self) -> String {
        let blocks = [
            pem::Pem::new("CERTIFICATE", self.inner.der.to_vec()),
            pem::Pem::new("PRIVATE KEY", self.inner.pkcs8.clone()),
        ];
        pem::encode_many(&blocks)
    }

    /// The certificate in DER.
    pub fn der(&self) -> &Bytes {
        &self.inner.der
    }

    /// The fingerprint to put into a session description.
    pub fn fingerprint(&self, algorithm: HashAlgorithm) -> Fingerprint {
        Fingerprint::of(algorithm, &self.inner.der)
    }

    /// When the certificate ends to be valid, since the Unix epoch.
    pub fn expires(&self) -> Duration {
        self.inner.expires
    }

    /// This certificate with the key of another one.
    #[cfg(all(test, feature = "dimpl"))]
    pub(crate) fn with_key_of(&self, other: &Self) -> Self {
        let inner = &self.inner;
        let pkcs8 = other.inner.pkcs8.clone();
        Self { inner: Arc::new(Inner::new(inner.der.clone(), pkcs8, inner.expires, Kind::Ecdsa)) }
    }

    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.inner.pkcs8
    }

    #[cfg(feature = "dimpl")]
    pub(crate) fn is_rsa(&self) -> bool {
        self.inner.rsa
    }

    #[cfg(feature = "openssl")]
    pub(crate) fn contexts(&self) -> &Contexts {
        &self.inner.contexts
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.inner.der == other.inner.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is not shown.
        let fingerprint = self.fingerprint(HashAlgorithm::Sha256);
        f.debug_struct("Certificate")
            .field("fingerprint", &format_args!("{fingerprint}"))
            .finish_non_exhaustive()
    }
}

/// What is read of an X.509 certificate (RFC 5280 section 4.1).
struct Facts<'a> {
    not_after: Duration,
    public_key: &'a [u8],
}

impl<'a> Facts<'a> {
    fn parse(der: &'a [u8]) -> Option<Self> {
        let (mut outer, 0x30) = element(&mut Reader::new(der)).ok()? else { return None };
        let (mut tbs, 0x30) = element(&mut outer).ok()? else { return None };
        if tbs.peek_u8().ok()? == 0xa0 {
            element(&mut tbs).ok()?; // version
        }
        for _ in 0..3 {
            element(&mut tbs).ok()?; // serial number, signature algorithm, issuer
        }
        let (mut validity, 0x30) = element(&mut tbs).ok()? else { return None };
        element(&mut validity).ok()?;
        let (mut not_after, tag) = element(&mut validity).ok()?;
        let not_after = time(tag, not_after.rest())?;
        element(&mut tbs).ok()?; // subject
        let (mut info, 0x30) = element(&mut tbs).ok()? else { return None };
        element(&mut info).ok()?; // algorithm
        let (mut public_key, 0x03) = element(&mut info).ok()? else { return None };
        Some(Self { not_after, public_key: public_key.rest() })
    }
}

/// The content and the tag of the next element of DER.
fn element<'a>(reader: &mut Reader<'a>) -> Result<(Reader<'a>, u8), Short> {
    let tag = reader.u8()?;
    let length = match reader.u8()? {
        short @ 0..=0x7f => usize::from(short),
        0x81 => usize::from(reader.u8()?),
        0x82 => usize::from(reader.u16()?),
        _ => return Err(Short),
    };
    Ok((reader.sub(length)?, tag))
}

/// UTCTime and GeneralizedTime in the forms of RFC 5280 section 4.1.2.5, as time since the Unix epoch.
fn time(tag: u8, text: &[u8]) -> Option<Duration> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |at: &[u8]| at.iter().fold(0u64, |n, c| n * 10 + u64::from(c & 15));
    let (year, rest) = match (tag, digits.len()) {
        (0x17, 12) => {
            let (year, rest) = digits.split_at(2);
            let year = number(year);
            (if year >= 50 { 1900 + year } else { 2000 + year }, rest)
        }
        (0x18, 14) => {
            let (year, rest) = digits.split_at(4);
            (number(year), rest)
        }
        _ => return None,
    };
    let mut fields = rest.chunks(2).map(number);
    let mut field = || fields.next();
    let (month, day, hour, minute, second) = (field()?, field()?, field()?, field()?, field()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from civil, counted from 1 March of the year 0.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1;
    let since_1970 = days.checked_sub(719_468)?;
    Some(Duration::from_secs(since_1970 * 86_400 + hour * 3600 + minute * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_795_000_000);

    #[test]
    fn generated_certificates_are_valid_for_thirty_days_and_differ() {
        let one = Certificate::generate(NOW).unwrap();
        let other = Certificate::generate(NOW).unwrap();
        assert_ne!(one, other);
        assert_eq!(one.expires(), NOW + LIFETIME);
        assert_eq!(Facts::parse(one.der()).unwrap().not_after, NOW + LIFETIME);
        assert_ne!(one.fingerprint(HashAlgorithm::Sha256), other.fingerprint(HashAlgorithm::Sha256));
        assert!(one.der().len() < 500, "{} octets", one.der().len());
    }

    #[test]
    fn times_at_the_ends_of_the_scale_are_accepted() {
        for unix in
            [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(2_600_000_000), Duration::MAX]
        {
            let made = Certificate::generate(unix).unwrap();
            assert_eq!(Facts::parse(made.der()).unwrap().not_after, made.expires());
        }
    }

    #[test]
    fn pem_and_back() {
        let certificate = Certificate::generate(NOW).unwrap();
        let back = Certificate::from_pem(&certificate.to_pem()).unwrap();
        assert_eq!(back, certificate);
        assert_eq!(back.expires(), certificate.expires());
        assert_eq!(back.pkcs8(), certificate.pkcs8());
    }

    #[test]
    fn pem_errors() {
        let (one, other) = (Certificate::generate(NOW).unwrap(), Certificate::generate(NOW).unwrap());
        let pem = one.to_pem();
        let middle = pem.find("-----BEGIN PRIVATE").unwrap();
        assert_eq!(Certificate::from_pem(""), Err(CertificateError::Pem));
        assert_eq!(Certificate::from_pem(&pem[..middle]), Err(CertificateError::Pem));
        assert_eq!(Certificate::from_pem(&"x".repeat(MAX_PEM + 1)), Err(CertificateError::Pem));
        let mixed = format!(
            "{}{}",
            &pem[..middle],
            &other.to_pem()[other.to_pem().find("-----BEGIN PRIVATE").unwrap()..]
        );
        assert_eq!(Certificate::from_pem(&mixed), Err(CertificateError::Certificate));
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
        assert_eq!(Certificate::from_pem(&format!("{}{p384}", &pem[..middle])), Err(CertificateError::Key));
    }

    #[test]
    fn no_prefix_of_a_certificate_is_read() {
        let certificate = Certificate::generate(NOW).unwrap();
        for length in 0..certificate.der().len() {
            assert!(Facts::parse(&certificate.der()[..length]).is_none());
        }
    }

    #[test]
    fn dates() {
        assert_eq!(time(0x17, b"700101000000Z"), Some(Duration::ZERO));
        assert_eq!(time(0x17, b"491231235959Z"), Some(Duration::from_secs(2_524_607_999)));
        assert_eq!(time(0x18, b"20500101000000Z"), Some(Duration::from_secs(2_524_608_000)));
        assert_eq!(time(0x18, b"20000229120000Z"), Some(Duration::from_secs(951_825_600)));
        assert_eq!(time(0x17, b"500101000000Z"), None, "before 1970");
        assert_eq!(time(0x18, b"00000101000000Z"), None);
        assert_eq!(time(0x17, b"701301000000Z"), None);
        assert_eq!(time(0x17, b"7001010000Z"), None);
    }

    #[test]
    fn the_key_is_not_shown() {
        let certificate = Certificate::generate(NOW).unwrap();
        assert!(format!("{certificate:?}").starts_with("Certificate { fingerprint: sha-256 "));
    }
}
