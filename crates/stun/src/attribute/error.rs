//! ERROR-CODE and UNKNOWN-ATTRIBUTES (RFC 8489 sections 14.8 and 14.13).

use std::borrow::Cow;

use taut_sansio::codec::Reader;

use super::{Attribute, AttributeType};
use crate::message::{ParseError, TransactionId};

/// ERROR-CODE: a number from 300 to 699 and a reason for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCode<'a> {
    /// The number.
    pub code: u16,
    /// The reason. What is not UTF-8 in it was replaced.
    pub reason: Cow<'a, str>,
}

impl<'a> ErrorCode<'a> {
    /// Try another server.
    pub const TRY_ALTERNATE: u16 = 300;
    /// Malformed request.
    pub const BAD_REQUEST: u16 = 400;
    /// No or wrong credentials.
    pub const UNAUTHENTICATED: u16 = 401;
    /// The server will not do it (RFC 8656 section 19).
    pub const FORBIDDEN: u16 = 403;
    /// A comprehension-required attribute is not understood.
    pub const UNKNOWN_ATTRIBUTE: u16 = 420;
    /// The 5-tuple has an allocation already, or has none (RFC 8656 section 19).
    pub const ALLOCATION_MISMATCH: u16 = 437;
    /// The nonce is no longer valid.
    pub const STALE_NONCE: u16 = 438;
    /// The server has no relayed addresses of this family (RFC 8656 section 19).
    pub const ADDRESS_FAMILY_NOT_SUPPORTED: u16 = 440;
    /// The allocation belongs to another user (RFC 8656 section 19).
    pub const WRONG_CREDENTIALS: u16 = 441;
    /// The server does not relay this protocol (RFC 8656 section 19).
    pub const UNSUPPORTED_TRANSPORT: u16 = 442;
    /// The peer's address is not of the allocation's family (RFC 8656 section 19).
    pub const PEER_ADDRESS_FAMILY_MISMATCH: u16 = 443;
    /// The user has as many allocations as allowed (RFC 8656 section 19).
    pub const ALLOCATION_QUOTA_REACHED: u16 = 486;
    /// Both agents have the same role (RFC 8445 section 16.2).
    pub const ROLE_CONFLICT: u16 = 487;
    /// The server failed for now.
    pub const SERVER_ERROR: u16 = 500;
    /// The server has no room for it (RFC 8656 section 19).
    pub const INSUFFICIENT_CAPACITY: u16 = 508;

    /// The attribute with this number and reason.
    pub fn new(code: u16, reason: &'a str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }
}

impl<'a> Attribute<'a> for ErrorCode<'a> {
    const TYPE: AttributeType = AttributeType::ERROR_CODE;

    fn parse(value: &'a [u8], _: TransactionId) -> Result<Self, ParseError> {
        let mut reader = Reader::new(value);
        reader.skip(2)?;
        let class = u16::from(reader.u8()? & 0x07);
        let number = u16::from(reader.u8()?);
        if !(3..=6).contains(&class) || number > 99 {
            return Err(ParseError::ErrorCode);
        }
        Ok(Self { code: class * 100 + number, reason: String::from_utf8_lossy(reader.rest()) })
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        // Both fit an octet for every 16-bit code: the class is cut to its three bits, the number is below 100.
        out.extend_from_slice(&[0, 0, ((self.code / 100) & 0x07) as u8, (self.code % 100) as u8]);
        out.extend_from_slice(self.reason.as_bytes());
    }
}

/// How many types an [`UnknownAttributes`] keeps; further ones are left out.
pub const MAX_UNKNOWN: usize = 8;

/// UNKNOWN-ATTRIBUTES: the comprehension-required types that a 420 is about, the first eight of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnknownAttributes {
    types: [Option<AttributeType>; MAX_UNKNOWN],
}

impl UnknownAttributes {
    /// The types.
    pub fn types(&self) -> impl Iterator<Item = AttributeType> + '_ {
        self.types.iter().flatten().copied()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.types().next().is_none()
    }
}

impl FromIterator<AttributeType> for UnknownAttributes {
    fn from_iter<T: IntoIterator<Item = AttributeType>>(types: T) -> Self {
        let mut list = Self::default();
        list.types.iter_mut().zip(types).for_each(|(place, kind)| *place = Some(kind));
        list
    }
}

impl Attribute<'_> for UnknownAttributes {
    const TYPE: AttributeType = AttributeType::UNKNOWN_ATTRIBUTES;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        if !value.len().is_multiple_of(2) {
            return Err(ParseError::AttributeLength);
        }
        let (pairs, _) = value.as_chunks::<2>();
        Ok(pairs.iter().map(|pair| AttributeType(u16::from_be_bytes(*pair))).collect())
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        for kind in self.types() {
            out.extend_from_slice(&kind.0.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId([0; 12]);

    #[test]
    fn a_reason_that_is_not_utf_8_is_read_with_loss() {
        let error = ErrorCode::parse(&[0, 0, 4, 20, b'a', 0xff, b'b'], ID).unwrap();
        assert_eq!(error.code, 420);
        assert_eq!(error.reason, "a\u{fffd}b");
    }

    #[test]
    fn a_long_list_of_unknown_types_is_cut() {
        let value: Vec<u8> = (0..200).collect();
        assert_eq!(UnknownAttributes::parse(&value, ID).unwrap().types().count(), MAX_UNKNOWN);
        assert!(UnknownAttributes::default().is_empty());
    }
}
