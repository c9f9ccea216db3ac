//! Credentials (RFC 8445 section 5.3) of either side.

use taut_sansio::rng::Rng;
use taut_stun::Key;

/// The characters of our ufrag, six bits each. An endpoint that many agents share routes by it, so it has more
/// than the 24 bits that RFC 8445 section 5.3 asks for.
const UFRAG_CHARS: usize = 8;

/// The characters of our password: 144 bits, at least 128 are asked for.
const PWD_CHARS: usize = 24;

/// A ufrag and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name fragment.
    pub ufrag: String,
    /// The password.
    pub pwd: String,
}

impl Credentials {
    /// Fresh ones.
    pub(crate) fn generate(rng: &mut Rng) -> Self {
        Self { ufrag: rng.ice_chars(UFRAG_CHARS), pwd: rng.ice_chars(PWD_CHARS) }
    }
}

impl std::fmt::Debug for Credentials {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// What is known of the other side in one generation.
#[allow(clippy::large_enum_variant, reason = "one per generation, and known nearly all the time")]
#[derive(Debug, Clone)]
pub(crate) enum RemoteSide {
    /// Nothing yet: its checks can be answered, but it cannot be checked.
    Unknown,
    /// Its credentials.
    Known(RemoteCredentials),
}

#[derive(Debug, Clone)]
pub(crate) struct RemoteCredentials {
    pub(crate) credentials: Credentials,
    /// The password, ready for use.
    pub(crate) key: Key,
    /// The USERNAME of our requests: its ufrag, a colon, ours (RFC 8445 section 7.2.2).
    pub(crate) username: String,
}

impl RemoteCredentials {
    pub(crate) fn new(credentials: Credentials, local: &Credentials) -> Self {
        let key = Key::short_term(&credentials.pwd);
        let username = format!("{}:{}", credentials.ufrag, local.ufrag);
        Self { credentials, key, username }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_credentials_differ_and_hide() {
        let mut rng = Rng::from_u64(1);
        let (a, b) = (Credentials::generate(&mut rng), Credentials::generate(&mut rng));
        assert_ne!(a, b);
        assert!(a.ufrag.len() >= 4 && a.pwd.len() >= 22);
        assert!(!format!("{a:?}").contains(&a.pwd));
        let remote = RemoteSide::Known(RemoteCredentials::new(b.clone(), &a));
        assert!(!format!("{remote:?}").contains(&b.pwd));
    }
}
