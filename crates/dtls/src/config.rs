//! What an application chooses: versions, SRTP profiles, the engine, the role.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// DTLS 1.2, RFC 6347.
    Dtls12,
    /// DTLS 1.3, RFC 9147.
    Dtls13,
}

impl Version {
    /// The number on the wire, as `tlsVersion` of the W3C statistics shows it in hexadecimal.
    pub fn wire(self) -> u16 {
        match self {
            Version::Dtls12 => 0xfefd,
            Version::Dtls13 => 0xfefc,
        }
    }
}

/// The part that a session plays in the handshake (`a=setup`, RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Sends the ClientHello (`active`).
    Client,
    /// Waits for the ClientHello (`passive`).
    Server,
    /// Becomes the server of a ClientHello that comes within twice the first timeout, else the client. When both
    /// sides do that at the same moment, the one with the larger `client_random` stays the client.
    Auto,
}

/// A protection profile for SRTP (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SrtpProfile {
    /// SRTP_AEAD_AES_128_GCM.
    AeadAes128Gcm,
    /// SRTP_AEAD_AES_256_GCM.
    AeadAes256Gcm,
    /// SRTP_AES128_CM_HMAC_SHA1_80.
    Aes128CmSha1_80,
}

impl SrtpProfile {
    /// The length of a master key, in octets.
    pub fn key_len(self) -> usize {
        match self {
            SrtpProfile::AeadAes128Gcm | SrtpProfile::Aes128CmSha1_80 => 16,
            SrtpProfile::AeadAes256Gcm => 32,
        }
    }

    /// The length of a master salt, in octets.
    pub fn salt_len(self) -> usize {
        match self {
            SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => 12,
            SrtpProfile::Aes128CmSha1_80 => 14,
        }
    }

    /// The name in the registry of IANA, without the prefix `SRTP_`.
    pub fn name(self) -> &'static str {
        match self {
            SrtpProfile::AeadAes128Gcm => "AEAD_AES_128_GCM",
            SrtpProfile::AeadAes256Gcm => "AEAD_AES_256_GCM",
            SrtpProfile::Aes128CmSha1_80 => "AES128_CM_HMAC_SHA1_80",
        }
    }
}

/// Which implementation of the protocol runs behind the filter. Each is built in by the feature of its name, `dimpl`
/// and `openssl`; choosing one that is not is an error of [`Session::new`](crate::Session::new).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Engine {
    /// The crate `dimpl`: DTLS 1.2 and 1.3, ECDSA certificates only, in virtual time.
    #[default]
    Dimpl,
    /// OpenSSL: DTLS 1.2, ECDSA and RSA certificates, in virtual time. A maximum of DTLS 1.3 means 1.2 here.
    OpenSsl,
}

impl Engine {
    /// The name, which is also that of the feature.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Dimpl => "dimpl",
            Engine::OpenSsl => "openssl",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engines are dimpl and openssl")]
pub struct ParseEngineError;

impl FromStr for Engine {
    type Err = ParseEngineError;

    fn from_str(name: &str) -> Result<Self, ParseEngineError> {
        [Engine::Dimpl, Engine::OpenSsl]
            .into_iter()
            .find(|engine| engine.name() == name)
            .ok_or(ParseEngineError)
    }
}

/// How a session behaves. [`Default`] is right for WebRTC.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    pub(crate) engine: Engine,
    pub(crate) min_version: Version,
    pub(crate) max_version: Version,
    pub(crate) srtp_profiles: Vec<SrtpProfile>,
    pub(crate) handshake_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: Engine::Dimpl,
            min_version: Version::Dtls12,
            max_version: Version::Dtls13,
            srtp_profiles: vec![
                SrtpProfile::AeadAes128Gcm,
                SrtpProfile::AeadAes256Gcm,
                SrtpProfile::Aes128CmSha1_80,
            ],
            handshake_timeout: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// The implementation to use.
    pub fn with_engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// The oldest and the newest version to negotiate; DTLS 1.2 to 1.3 unless told. A minimum above the maximum, or
    /// above what the engine speaks, is an error of [`Session::new`](crate::Session::new).
    pub fn with_versions(mut self, min: Version, max: Version) -> Self {
        self.min_version = min;
        self.max_version = max;
        self
    }

    /// The SRTP profiles for which keys are handed out; all three unless told, none for a connection that carries
    /// data only. OpenSSL offers these, in this order. The engine `dimpl` offers all three whatever is set here, in an
    /// order of its own: when the one agreed on is not in this list, the connection stands and its
    /// [`VerifiedPeer`](crate::VerifiedPeer) has no SRTP keys.
    pub fn with_srtp_profiles(mut self, profiles: impl IntoIterator<Item = SrtpProfile>) -> Self {
        self.srtp_profiles = profiles.into_iter().collect();
        self
    }

    /// How long the handshake may take, from `start`; 30 s unless told.
    pub fn with_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }
}
