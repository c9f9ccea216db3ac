//! Who a client is: a name and a password, given by hand or made from a shared secret and limited in time (the scheme
//! of draft-uberti-behave-turn-rest, which every TURN server speaks).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taut_stun::Key;

/// A name and a password of the long-term mechanism (RFC 8489 section 9.2). Both are taken as they are: whoever uses more
/// than ASCII in them applies OpaqueString (RFC 8265) first.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl Credentials {
    /// This name and this password.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: password.into() }
    }

    /// A name and a password that a server with the same `secret` takes until `expires`, the time since the Unix epoch.
    pub fn time_limited(secret: &str, name: &str, expires: Duration) -> Self {
        let username = format!("{}:{name}", expires.as_secs());
        let password = time_limited_password(&Key::from_bytes(secret.as_bytes()), &username);
        Self { username, password }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The password of a time-limited name: HMAC-SHA1 of the name with the secret, in Base64.
pub(crate) fn time_limited_password(secret: &Key, username: &str) -> String {
    STANDARD.encode(secret.hmac_sha1(username.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limited_password_is_what_others_make() {
        // printf 1700000000:ann | openssl dgst -sha1 -hmac north -binary | base64
        let made = Credentials::time_limited("north", "ann", Duration::from_secs(1_700_000_000));
        assert_eq!(made.username, "1700000000:ann");
        assert_eq!(made.password, "jeamH6dA5l2I9g3jmieza7CzEDo=");
    }

    #[test]
    fn a_password_does_not_show_itself() {
        let text = format!("{:?}", Credentials::new("ann", "secret"));
        assert!(text.contains("ann") && !text.contains("secret"), "{text}");
    }
}
