//! What ICE adds: PRIORITY, USE-CANDIDATE, ICE-CONTROLLED, ICE-CONTROLLING (RFC 8445 section 7.1).

use super::{Attribute, AttributeType, exactly};
use crate::message::{ParseError, TransactionId};

/// PRIORITY: that of a peer-reflexive candidate learned from this check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority(pub u32);

impl Attribute<'_> for Priority {
    const TYPE: AttributeType = AttributeType::PRIORITY;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        exactly(value).map(u32::from_be_bytes).map(Self)
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

/// USE-CANDIDATE: the controlling agent nominates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UseCandidate;

impl Attribute<'_> for UseCandidate {
    const TYPE: AttributeType = AttributeType::USE_CANDIDATE;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        exactly::<0>(value).map(|_| Self)
    }

    fn write(&self, _: TransactionId, _: &mut Vec<u8>) {}
}

/// ICE-CONTROLLED: the sender's role, and its tiebreaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IceControlled(pub u64);

impl Attribute<'_> for IceControlled {
    const TYPE: AttributeType = AttributeType::ICE_CONTROLLED;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        exactly(value).map(u64::from_be_bytes).map(Self)
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

/// ICE-CONTROLLING: the sender's role, and its tiebreaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IceControlling(pub u64);

impl Attribute<'_> for IceControlling {
    const TYPE: AttributeType = AttributeType::ICE_CONTROLLING;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        exactly(value).map(u64::from_be_bytes).map(Self)
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}
