//! Sessions against each other, in virtual time.
#![allow(clippy::disallowed_methods, reason = "a starting point for virtual time")]

mod bounds;
mod counters;
mod engines;
mod handshake;
mod hostile;
#[cfg(feature = "openssl")]
mod key_log;
mod lifecycle;
#[cfg(feature = "openssl")]
mod openssl;
mod pair;
mod program;
mod world;

use crate::{Config, Engine, Version};

/// An engine and a version that it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Case {
    engine: Engine,
    version: Version,
}

impl Case {
    /// Any version of the engine.
    fn any(self) -> Config {
        any(self.engine)
    }

    /// This version and no other.
    fn only(self) -> Config {
        self.any().with_versions(self.version, self.version)
    }

    /// Nothing above this version.
    fn up_to(self) -> Config {
        self.any().with_versions(Version::Dtls12, self.version)
    }
}

fn any(engine: Engine) -> Config {
    Config::default().with_engine(engine)
}

const ENGINES: &[Engine] = &[
    #[cfg(feature = "dimpl")]
    Engine::Dimpl,
    #[cfg(feature = "openssl")]
    Engine::OpenSsl,
];

const CASES: &[Case] = &[
    #[cfg(feature = "dimpl")]
    Case { engine: Engine::Dimpl, version: Version::Dtls12 },
    #[cfg(feature = "dimpl")]
    Case { engine: Engine::Dimpl, version: Version::Dtls13 },
    #[cfg(feature = "openssl")]
    Case { engine: Engine::OpenSsl, version: Version::Dtls12 },
];
