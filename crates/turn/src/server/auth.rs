//! The long-term mechanism, the server's side (RFC 8489 section 9.2.4): users, and nonces without state.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use taut_stun::Key;
use taut_stun::attribute::{Nonce, PasswordAlgorithm, PasswordAlgorithms};

use super::config::ServerConfig;
use crate::credentials::time_limited_password;

/// The octets of the code in a nonce: as hard to guess as a transaction id, nearly.
const CODE: usize = 10;

/// What this server takes, the best first.
pub(super) fn algorithms() -> PasswordAlgorithms {
    [PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5].into_iter().collect()
}

/// Which kinds of keys a challenge offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// A list of algorithms, and a nonce that says so.
    Algorithms,
    /// MD5 alone, for requests that are so short that more would be an amplification.
    Short,
}

/// Nonces: when they were made, and a code over that and whom they are for.
pub(super) struct Nonces {
    secret: Key,
    lifetime: Duration,
}

impl Nonces {
    pub(super) fn new(secret: [u8; 32], lifetime: Duration) -> Self {
        Self { secret: Key::from_bytes(&secret), lifetime }
    }

    /// A nonce for `source`, made `at`, the time since the Unix epoch.
    pub(super) fn make(&self, at: Duration, source: IpAddr, offer: Offer) -> String {
        let made = seconds(at);
        let mut octets = made.to_vec();
        octets.extend(self.code(made, source).iter().take(CODE));
        let mut nonce = match offer {
            Offer::Algorithms => Nonce::PASSWORD_ALGORITHMS.to_owned(),
            Offer::Short => String::new(),
        };
        STANDARD_NO_PAD.encode_string(octets, &mut nonce);
        nonce
    }

    /// True if a nonce was made here, for `source`, and not too long ago.
    pub(super) fn is_fresh(&self, nonce: &str, now: Duration, source: IpAddr) -> bool {
        let encoded = nonce.strip_prefix(Nonce::PASSWORD_ALGORITHMS).unwrap_or(nonce);
        let Ok(octets) = STANDARD_NO_PAD.decode(encoded) else { return false };
        let Some((made, code)) = octets.split_first_chunk::<4>() else { return false };
        // Seconds are compared on the circle of 32 bits; what is made in the future is as old as it can be.
        let age = u32::from_be_bytes(seconds(now)).wrapping_sub(u32::from_be_bytes(*made));
        let young = Duration::from_secs(u64::from(age)) <= self.lifetime;
        young && self.code(*made, source).get(..CODE) == Some(code)
    }

    fn code(&self, made: [u8; 4], source: IpAddr) -> [u8; 20] {
        let mut octets = made.to_vec();
        match source {
            IpAddr::V4(v4) => octets.extend_from_slice(&v4.octets()),
            IpAddr::V6(v6) => octets.extend_from_slice(&v6.octets()),
        }
        self.secret.hmac_sha1(&octets)
    }
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces")
    }
}

/// The low 32 bits of the seconds.
fn seconds(at: Duration) -> [u8; 4] {
    ((at.as_secs() & 0xffff_ffff) as u32).to_be_bytes()
}

/// Who may use the server.
pub(super) struct Users {
    realm: String,
    passwords: BTreeMap<String, String>,
    secret: Option<Key>,
}

/// A user whose key is known: the integrity of the request is still to be checked.
#[derive(Debug)]
pub(super) struct Claim {
    /// Whose quotas count: a name, without the time in it.
    pub(super) user: String,
    pub(super) key: Key,
}

impl Users {
    pub(super) fn new(config: &ServerConfig) -> Self {
        let secret = config.shared_secret.as_ref().map(|secret| Key::from_bytes(secret.as_bytes()));
        Self { realm: config.realm.clone(), passwords: config.users.clone(), secret }
    }

    /// The key of a name; `None` if there is no such user, or its time is over.
    pub(super) fn claim(
        &self,
        username: &str,
        algorithm: PasswordAlgorithm,
        unix: Duration,
    ) -> Option<Claim> {
        if let Some(password) = self.passwords.get(username) {
            return Some(Claim { user: username.to_owned(), key: self.key(username, password, algorithm) });
        }
        let (expires, name) = username.split_once(':').unwrap_or((username, ""));
        let expires = Duration::from_secs(expires.parse().ok()?);
        let password = time_limited_password(self.secret.as_ref()?, username);
        (expires > unix)
            .then(|| Claim { user: name.to_owned(), key: self.key(username, &password, algorithm) })
    }

    fn key(&self, username: &str, password: &str, algorithm: PasswordAlgorithm) -> Key {
        match algorithm {
            PasswordAlgorithm::Sha256 => Key::long_term_sha256(username, &self.realm, password),
            _ => Key::long_term_md5(username, &self.realm, password),
        }
    }
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Users")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const NOW: Duration = Duration::from_secs(1_700_000_000);

    #[test]
    fn a_nonce_is_for_one_address_and_one_hour() {
        let nonces = Nonces::new([1; 32], HOUR);
        let v6 = |last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
        for offer in [Offer::Algorithms, Offer::Short] {
            let nonce = nonces.make(NOW, v6(1), offer);
            assert!(nonces.is_fresh(&nonce, NOW, v6(1)) && !nonces.is_fresh(&nonce, NOW, v6(2)));
        }
        let (source, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for offer in [Offer::Algorithms, Offer::Short] {
            let nonce = nonces.make(NOW, source, offer);
            assert_eq!(Nonce::new(&nonce).has_password_algorithms(), offer == Offer::Algorithms);
            assert!(nonces.is_fresh(&nonce, NOW, source) && nonces.is_fresh(&nonce, NOW + HOUR, source));
            assert!(!nonces.is_fresh(&nonce, NOW + HOUR + Duration::from_secs(1), source), "too old");
            assert!(!nonces.is_fresh(&nonce, NOW - Duration::from_secs(1), source), "not yet made");
            assert!(!nonces.is_fresh(&nonce, NOW, other), "somebody else's");
            assert!(!Nonces::new([2; 32], HOUR).is_fresh(&nonce, NOW, source), "another server's");
            let later = nonces.make(NOW + HOUR, source, offer);
            let mixed = format!("{}{}", &later[..later.len() - 14], &nonce[nonce.len() - 14..]);
            assert!(!nonces.is_fresh(&mixed, NOW + HOUR, source), "a younger time with the old code");
        }
        for junk in ["", "AAAA", "AAAAAA", "!", "obMatJos2AAAB", "obMatJos2AAABAAAAAA"] {
            assert!(!nonces.is_fresh(junk, Duration::ZERO, source), "{junk}");
        }
    }

    #[test]
    fn a_time_limited_name_ends_with_its_time() {
        let config = ServerConfig::default().with_shared_secret("north").with_user("1800000000:fix", "x");
        let users = Users::new(&config);
        let claim = |name: &str, at| users.claim(name, PasswordAlgorithm::Md5, at).map(|claim| claim.user);
        assert_eq!(claim("1700000001:ann", NOW), Some("ann".to_owned()));
        assert_eq!(claim("1700000001", NOW), Some(String::new()));
        assert_eq!(claim("1700000000:ann", NOW), None, "over");
        assert_eq!(claim("ann", NOW), None);
        assert_eq!(claim("1800000000:fix", HOUR), Some("1800000000:fix".to_owned()), "a static one");
        let without = Users::new(&ServerConfig::default().with_user("ann", "x"));
        assert!(without.claim("1700000001:ann", PasswordAlgorithm::Md5, NOW).is_none());
    }
}
