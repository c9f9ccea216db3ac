//! DTLS: `fingerprint` (RFC 8122 section 5), `setup` (RFC 4145 section 4, RFC 8842 section 5.3).

use std::borrow::Cow;
use std::fmt;

use crate::error::Reason;
use crate::lexer::Fields;

/// The hash of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Which hash.
    pub algorithm: HashAlgorithm,
    /// Its octets.
    pub value: Vec<u8>,
}

/// A hash function by its name in the registry of "Hash Function Textual Names".
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// `sha-1`.
    Sha1,
    /// `sha-224`.
    Sha224,
    /// `sha-256`.
    Sha256,
    /// `sha-384`.
    Sha384,
    /// `sha-512`.
    Sha512,
    /// Any other name, in lower case.
    Other(Cow<'static, str>),
}

impl HashAlgorithm {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
            Self::Other(name) => name,
        }
    }

    /// How many octets it gives, `None` for a hash that this crate does not know.
    pub fn output_len(&self) -> Option<usize> {
        match self {
            Self::Sha1 => Some(20),
            Self::Sha224 => Some(28),
            Self::Sha256 => Some(32),
            Self::Sha384 => Some(48),
            Self::Sha512 => Some(64),
            Self::Other(_) => None,
        }
    }

    fn parse(name: &str) -> Self {
        const KNOWN: [HashAlgorithm; 5] = [
            HashAlgorithm::Sha256,
            HashAlgorithm::Sha384,
            HashAlgorithm::Sha512,
            HashAlgorithm::Sha1,
            HashAlgorithm::Sha224,
        ];
        KNOWN
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(name))
            .unwrap_or_else(|| Self::Other(name.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Fingerprint {
    /// Reads `sha-256 AB:CD:…`, in any case; the length must be that of the hash.
    pub(super) fn parse(value: &str) -> Result<Self, Reason> {
        let mut fields = Fields::new(value);
        let (Some(algorithm), Some(hex), None) = (fields.next(), fields.next(), fields.next()) else {
            return Err(Reason::Fingerprint);
        };
        let algorithm = HashAlgorithm::parse(algorithm);
        let value = octets(hex).ok_or(Reason::Fingerprint)?;
        match algorithm.output_len() {
            Some(len) if len != value.len() => Err(Reason::Fingerprint),
            _ => Ok(Self { algorithm, value }),
        }
    }
}

/// `AB:CD:…` in any case.
fn octets(hex: &str) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(hex.len().saturating_add(1) / 3);
    let mut rest = hex.as_bytes();
    while let [high, low, tail @ ..] = rest {
        value.push(digit(*high)? << 4 | digit(*low)?);
        match tail {
            [] => return Some(value),
            [b':', tail @ ..] => rest = tail,
            _ => return None,
        }
    }
    None
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm.as_str())?;
        for (i, octet) in self.value.iter().enumerate() {
            f.write_str(if i == 0 { " " } else { ":" })?;
            write!(f, "{octet:02X}")?;
        }
        Ok(())
    }
}

/// Who begins the DTLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// The answerer chooses; what an offer says.
    ActPass,
    /// This side is the DTLS client.
    Active,
    /// This side is the DTLS server.
    Passive,
    /// No connection for now; not used by WebRTC.
    HoldConn,
}

impl Setup {
    /// The value of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
            Self::HoldConn => "holdconn",
        }
    }

    pub(super) fn parse(value: &str) -> Result<Self, Reason> {
        [Self::ActPass, Self::Active, Self::Passive, Self::HoldConn]
            .into_iter()
            .find(|setup| setup.as_str().eq_ignore_ascii_case(value))
            .ok_or(Reason::Setup)
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Attribute, Fingerprint, HashAlgorithm, Reason, Setup};

    #[test]
    fn fingerprints_are_read_in_any_case_and_written_in_upper() {
        let octets: Vec<u8> = (0xE0..=0xFF).collect();
        let upper = Attribute::Fingerprint(Fingerprint { algorithm: HashAlgorithm::Sha256, value: octets });
        let text = upper.to_string();
        assert!(text.starts_with("fingerprint:sha-256 E0:E1:") && text.ends_with(":FE:FF"), "{text}");
        assert_eq!(Attribute::parse(&text), Ok(upper.clone()));
        let lower = format!("fingerprint:SHA-256 {}", text["fingerprint:sha-256 ".len()..].to_lowercase());
        assert_eq!(Attribute::parse(&lower), Ok(upper));
        let md5 = "fingerprint:md5 00:11";
        assert_eq!(Attribute::parse(md5).expect("unknown hashes are read").to_string(), md5);
    }

    #[test]
    fn malformed_fingerprints_are_refused() {
        let bad = [
            "",
            "sha-256",
            "sha-256 ",
            "sha-256 AB",
            "x A",
            "x AB:",
            "x :AB",
            "x AB:C",
            "x AB::CD",
            "x ABCD",
            "x GG",
            "x AB CD",
            "x é",
        ];
        for value in bad {
            assert_eq!(
                Attribute::parse(&format!("fingerprint:{value}")),
                Err(Reason::Fingerprint),
                "{value}"
            );
        }
    }

    #[test]
    fn setup_is_one_of_four() {
        for setup in [Setup::ActPass, Setup::Active, Setup::Passive, Setup::HoldConn] {
            assert_eq!(Attribute::parse(&format!("setup:{setup}")), Ok(Attribute::Setup(setup)));
        }
        assert_eq!(Attribute::parse("setup:both"), Err(Reason::Setup));
    }
}
