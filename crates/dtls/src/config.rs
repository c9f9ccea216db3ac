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

/// Which implementation of the protocol runs behind the filter. Each is built in by a feature: `dimpl`; `openssl`, or
/// `vendored`, which builds OpenSSL from source. Choosing one that is not built in is an error of
/// [`Session::new`](crate::Session::new). The default is OpenSSL where it is built in, else dimpl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Engine {
    /// The crate `dimpl`: DTLS 1.2 and 1.3, ECDSA certificates only.
    Dimpl,
    /// OpenSSL: DTLS 1.2, ECDSA and RSA certificates.
    OpenSsl,
}

impl Default for Engine {
    fn default() -> Self {
        let only_dimpl = cfg!(all(feature = "dimpl", not(feature = "openssl")));
        if only_dimpl { Engine::Dimpl } else { Engine::OpenSsl }
    }
}

impl Engine {
    /// The name, which is also that of the feature.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Dimpl => "dimpl",
            Engine::OpenSsl => "openssl",
        }
    }

    /// The newest version that it speaks.
    pub(crate) fn newest(self) -> Version {
        match self {
            Engine::Dimpl => Version::Dtls13,
            Engine::OpenSsl => Version::Dtls12,
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
    pub(crate) versions: Option<(Version, Version)>,
    pub(crate) srtp_profiles: Option<Vec<SrtpProfile>>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) key_log: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            versions: None,
            srtp_profiles: None,
            handshake_timeout: Duration::from_secs(30),
            key_log: false,
        }
    }
}

impl Config {
    /// The implementation to use.
    pub fn with_engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// The oldest and the newest version to negotiate; all that the engine speaks unless told. A minimum above the
    /// maximum, or a version that the engine does not speak, is an error of [`Session::new`](crate::Session::new).
    pub fn with_versions(mut self, min: Version, max: Version) -> Self {
        self.versions = Some((min, max));
        self
    }

    /// The SRTP profiles that are offered and accepted, the best one first; none for a connection that carries data only.
    /// A server takes the first one of its own list that the client offers. Unless told, all three.
    ///
    /// The engine `dimpl` has a list of its own, AES-256-GCM, AES-128-GCM, AES-128 with HMAC-SHA1, and as a server of
    /// DTLS 1.3 follows the order of the client: any other list is an error of [`Session::new`](crate::Session::new).
    pub fn with_srtp_profiles(mut self, profiles: impl IntoIterator<Item = SrtpProfile>) -> Self {
        self.srtp_profiles = Some(profiles.into_iter().collect());
        self
    }

    /// How long the handshake may take, from `start`; 30 s unless told.
    pub fn with_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Tells the secret of the session in [`Event::KeyLog`](crate::Event::KeyLog), so that a capture of the traffic can be
    /// read. Whoever has it can read everything that the session carries. The engine `dimpl` does not give out its
    /// secrets: with it, this is an error of [`Session::new`](crate::Session::new).
    pub fn with_key_log(mut self) -> Self {
        self.key_log = true;
        self
    }

    /// The versions to negotiate.
    pub(crate) fn version_range(&self) -> (Version, Version) {
        self.versions.unwrap_or((Version::Dtls12, self.engine.newest()))
    }
}
