//! USERHASH (RFC 8489 section 14.4). The integrity attributes are in `integrity.rs`, since they are not values but
//! functions of the message.

use sha2::{Digest, Sha256};

use super::{Attribute, AttributeType, exactly};
use crate::message::{ParseError, TransactionId};

/// USERHASH: a user's name that an onlooker cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserHash(pub [u8; 32]);

impl UserHash {
    /// `SHA-256(OpaqueString(username) ":" OpaqueString(realm))`; the caller applies OpaqueString.
    pub fn of(username: &str, realm: &str) -> Self {
        let hash = Sha256::new().chain_update(username).chain_update(":").chain_update(realm);
        Self(hash.finalize().into())
    }
}

impl Attribute<'_> for UserHash {
    const TYPE: AttributeType = AttributeType::USERHASH;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        exactly(value).map(Self)
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}
