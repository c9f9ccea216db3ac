//! What a client is told beforehand.

use std::time::Duration;

use taut_stun::attribute::AddressFamily;

use crate::Credentials;

/// Which relayed addresses are asked for (RFC 8656 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Families {
    /// One of IPv4, and one of IPv6 where the server has any.
    #[default]
    Both,
    /// One of this family.
    Only(AddressFamily),
}

/// The configuration of a [`Client`](crate::Client).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// Who asks.
    pub credentials: Credentials,
    /// Which addresses are asked for.
    pub families: Families,
    /// The lifetime that is asked for; the server may grant another. 10 minutes by default (RFC 8656 section 3.2).
    pub lifetime: Duration,
    /// How long the server may be silent before it is asked whether it still has the allocation. With the 5 s that the
    /// question may take, a dead server is noticed within 12 s.
    pub keepalive: Duration,
    /// How long a server that has forgotten the allocation, or does not answer any more, is asked for another one.
    pub recovery: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            credentials: Credentials::new("", ""),
            families: Families::default(),
            lifetime: Duration::from_secs(600),
            keepalive: Duration::from_millis(6_500),
            recovery: Duration::from_secs(600),
        }
    }
}

impl ClientConfig {
    /// Sets who asks.
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Sets which addresses are asked for.
    pub fn with_families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    /// Sets the lifetime that is asked for.
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Sets how long the server may be silent.
    pub fn with_keepalive(mut self, keepalive: Duration) -> Self {
        self.keepalive = keepalive;
        self
    }

    /// Sets how long a lost server is asked for another allocation; with zero it is not asked at all.
    pub fn with_recovery(mut self, recovery: Duration) -> Self {
        self.recovery = recovery;
        self
    }
}
