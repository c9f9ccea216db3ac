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
