//! Certificate fingerprints (RFC 8122 section 5): made, read, written and compared.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::{constant_time, digest};

/// A hash function that a fingerprint may use. MD2, MD5 and SHA-1 are not among them (RFC 8122 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// SHA-256, the one of WebRTC.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlgorithm {
    /// The name in a session description, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            HashAlgorithm::Sha256 => "sha-256",
            HashAlgorithm::Sha384 => "sha-384",
            HashAlgorithm::Sha512 => "sha-512",
        }
    }

    /// The length of the hash, in octets.
    pub fn output_len(self) -> usize {
        self.digest().output_len()
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            HashAlgorithm::Sha256 => &digest::SHA256,
            HashAlgorithm::Sha384 => &digest::SHA384,
            HashAlgorithm::Sha512 => &digest::SHA512,
        }
    }
}

impl FromStr for HashAlgorithm {
    type Err = ParseFingerprintError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
            .ok_or(ParseFingerprintError::Algorithm)
    }
}

/// What is wrong with the text of a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseFingerprintError {
    /// The hash function is unknown, or too weak to be used.
    #[error("the hash function is unknown or not acceptable")]
    Algorithm,
    /// There is no value after the name of the hash function.
    #[error("the fingerprint has no value")]
    MissingValue,
    /// The value is not made of pairs of hexadecimal digits with colons between them.
    #[error("the value is not colon-separated hexadecimal")]
    Hex,
    /// The value does not have the length of the hash.
    #[error("the value does not have the length of the hash")]
    Length,
}

/// The hash of a certificate, as in `a=fingerprint`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The hash function.
    pub algorithm: HashAlgorithm,
    /// The hash over the DER encoding.
    pub value: Vec<u8>,
}

impl Fingerprint {
    /// The fingerprint of a certificate, given in DER.
    pub fn of(algorithm: HashAlgorithm, der: &[u8]) -> Self {
        Self { algorithm, value: digest::digest(algorithm.digest(), der).as_ref().to_vec() }
    }

    /// True when this is the fingerprint of that certificate. Takes the same time wherever the difference is.
    pub fn matches(&self, der: &[u8]) -> bool {
        let actual = digest::digest(self.algorithm.digest(), der);
        constant_time::verify_slices_are_equal(actual.as_ref(), &self.value).is_ok()
    }
}

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim_matches(' ');
        let (name, value) = text.split_once(' ').ok_or(ParseFingerprintError::MissingValue)?;
        let algorithm: HashAlgorithm = name.parse()?;
        let mut octets = Vec::with_capacity(algorithm.output_len());
        for pair in value.trim_matches(' ').split(':') {
            // A sign in front would be accepted by from_str_radix.
            let digits = pair.len() == 2 && pair.bytes().all(|c| c.is_ascii_hexdigit());
            let octet = u8::from_str_radix(pair, 16).ok().filter(|_| digits);
            octets.push(octet.ok_or(ParseFingerprintError::Hex)?);
            if octets.len() > algorithm.output_len() {
                return Err(ParseFingerprintError::Length);
            }
        }
        if octets.len() == algorithm.output_len() {
            Ok(Self { algorithm, value: octets })
        } else {
            Err(ParseFingerprintError::Length)
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm.name())?;
        for (index, octet) in self.value.iter().enumerate() {
            write!(f, "{}{octet:02X}", if index == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back_in_any_case() {
        for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
            let fingerprint = Fingerprint::of(algorithm, b"a certificate");
            let text = fingerprint.to_string();
            assert_eq!(text.parse(), Ok(fingerprint.clone()));
            assert_eq!(text.to_lowercase().parse(), Ok(fingerprint.clone()));
            assert_eq!(text.to_uppercase().parse(), Ok(fingerprint.clone()));
            assert!(fingerprint.matches(b"a certificate"));
            assert!(!fingerprint.matches(b"a certificatf"));
        }
    }

    #[test]
    fn a_known_hash() {
        // FIPS 180-4, the message "abc".
        let text = "sha-256 BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD";
        assert_eq!(Fingerprint::of(HashAlgorithm::Sha256, b"abc").to_string(), text);
    }

    #[test]
    fn every_offence_has_its_error() {
        let good = Fingerprint::of(HashAlgorithm::Sha256, b"x").to_string();
        let cases = [
            ("", ParseFingerprintError::MissingValue),
            ("sha-256", ParseFingerprintError::MissingValue),
            ("sha-1 AA", ParseFingerprintError::Algorithm),
            ("md5 AA", ParseFingerprintError::Algorithm),
            ("sha-256 AA", ParseFingerprintError::Length),
            ("sha-256 AG", ParseFingerprintError::Hex),
            ("sha-256 +1", ParseFingerprintError::Hex),
            ("sha-256 A", ParseFingerprintError::Hex),
            ("sha-256 é", ParseFingerprintError::Hex),
            ("sha-256 AA::BB", ParseFingerprintError::Hex),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Fingerprint>(), Err(error), "{text}");
        }
        assert_eq!(format!("{good}:00").parse::<Fingerprint>(), Err(ParseFingerprintError::Length));
        assert_eq!(format!("{good}:").parse::<Fingerprint>(), Err(ParseFingerprintError::Hex));
    }

    #[test]
    fn one_bit_makes_the_difference() {
        let fingerprint = Fingerprint::of(HashAlgorithm::Sha256, b"x");
        for bit in 0..256 {
            let mut other = fingerprint.clone();
            other.value[bit / 8] ^= 1 << (bit % 8);
            assert!(!other.matches(b"x"), "bit {bit}");
        }
        let mut short = fingerprint;
        short.value.pop();
        assert!(!short.matches(b"x"));
    }
}
