//! Text: USERNAME, REALM, NONCE, SOFTWARE (RFC 8489 sections 14.3, 14.9, 14.10 and 14.14).

use super::{Attribute, AttributeType};
use crate::message::{ParseError, TransactionId};

macro_rules! text_attribute {
    ($(#[$meta:meta])* $name:ident = $type:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name<'a>(&'a str);

        impl<'a> $name<'a> {
            /// The attribute with this text.
            pub fn new(text: &'a str) -> Self {
                Self(text)
            }

            /// The text.
            pub fn text(&self) -> &'a str {
                self.0
            }
        }

        impl<'a> Attribute<'a> for $name<'a> {
            const TYPE: AttributeType = AttributeType::$type;

            fn parse(value: &'a [u8], _: TransactionId) -> Result<Self, ParseError> {
                std::str::from_utf8(value).map(Self).map_err(|_| ParseError::Text)
            }

            fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
                out.extend_from_slice(self.0.as_bytes());
            }
        }
    };
}

text_attribute! {
    /// USERNAME: whose credential the integrity is made with.
    Username = USERNAME
}
text_attribute! {
    /// REALM: presence asks for the long-term mechanism.
    Realm = REALM
}
text_attribute! {
    /// NONCE: what the server wants to see again.
    Nonce = NONCE
}
text_attribute! {
    /// SOFTWARE: the name of an implementation.
    Software = SOFTWARE
}

/// What a nonce begins with that tells what the server can do (RFC 8489 section 9.2).
pub const NONCE_COOKIE: &str = "obMatJos2";

/// The 24 bits of the STUN Security Feature Set follow the cookie, in four characters of Base64; the two bits that have a
/// meaning are in the last of them.
impl Nonce<'_> {
    /// The cookie and the feature "Password algorithms" alone, for a server to begin its nonces with.
    pub const PASSWORD_ALGORITHMS: &'static str = "obMatJos2AAAB";

    /// True if the server takes PASSWORD-ALGORITHM, and so must have sent PASSWORD-ALGORITHMS.
    pub fn has_password_algorithms(&self) -> bool {
        self.features() & 1 != 0
    }

    /// True if the server wants USERHASH instead of USERNAME.
    pub fn has_username_anonymity(&self) -> bool {
        self.features() & 2 != 0
    }

    /// The low six bits of the feature set; 0 without the cookie.
    fn features(&self) -> u8 {
        match self.0.strip_prefix(NONCE_COOKIE).and_then(|rest| rest.as_bytes().get(3)) {
            Some(letter @ b'A'..=b'Z') => letter - b'A',
            Some(letter @ b'a'..=b'z') => letter - b'a' + 26,
            Some(digit @ b'0'..=b'9') => digit - b'0' + 52,
            Some(b'+') => 62,
            Some(b'/') => 63,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_tells_what_the_server_can_do() {
        let features = |text| {
            let nonce = Nonce::new(text);
            (nonce.has_password_algorithms(), nonce.has_username_anonymity())
        };
        // The nonce of RFC 8489, appendix B.1.
        assert_eq!(features("obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA"), (false, true));
        assert_eq!(features(Nonce::PASSWORD_ALGORITHMS), (true, false));
        assert_eq!(features("obMatJos2AAADx"), (true, true));
        assert_eq!(features("obMatJos2AA"), (false, false));
        assert_eq!(features("f//499k954d6OL34oL9FSTvy64sA"), (false, false));
    }
}
