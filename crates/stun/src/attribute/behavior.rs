//! The attributes of NAT behaviour discovery (RFC 5780 section 7).

use std::net::SocketAddr;

use super::address::{address, address_value};
use super::{Attribute, AttributeType, exactly};
use crate::message::{ParseError, TransactionId};

/// The bits of CHANGE-REQUEST.
const CHANGE_IP: u32 = 4;
const CHANGE_PORT: u32 = 2;

/// CHANGE-REQUEST (section 7.2): answer from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeRequest {
    /// From the other address of the server.
    pub ip: bool,
    /// From its other port.
    pub port: bool,
}

impl Attribute<'_> for ChangeRequest {
    const TYPE: AttributeType = AttributeType::CHANGE_REQUEST;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        let bits = u32::from_be_bytes(exactly(value)?);
        Ok(Self { ip: bits & CHANGE_IP != 0, port: bits & CHANGE_PORT != 0 })
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        let ip = if self.ip { CHANGE_IP } else { 0 };
        let port = if self.port { CHANGE_PORT } else { 0 };
        out.extend_from_slice(&(ip | port).to_be_bytes());
    }
}

/// RESPONSE-ORIGIN (section 7.3): where the answer was sent from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseOrigin(pub SocketAddr);

impl Attribute<'_> for ResponseOrigin {
    const TYPE: AttributeType = AttributeType::RESPONSE_ORIGIN;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        address(value).map(Self)
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        address_value(self.0, out);
    }
}

/// OTHER-ADDRESS (section 7.4): the server's other address, with its other port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherAddress(pub SocketAddr);

impl Attribute<'_> for OtherAddress {
    const TYPE: AttributeType = AttributeType::OTHER_ADDRESS;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        address(value).map(Self)
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        address_value(self.0, out);
    }
}
