//! Addresses: MAPPED-ADDRESS, XOR-MAPPED-ADDRESS, ALTERNATE-SERVER (RFC 8489 sections 14.1, 14.2 and 14.15).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use taut_sansio::codec::Reader;

use super::{Attribute, AttributeType};
use crate::message::{MAGIC_COOKIE, ParseError, TransactionId};

pub(super) const FAMILY_V4: u8 = 1;
pub(super) const FAMILY_V6: u8 = 2;

/// XOR-MAPPED-ADDRESS: the sender's address as the receiver saw it, out of reach of helpful NATs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XorMappedAddress(pub SocketAddr);

impl Attribute<'_> for XorMappedAddress {
    const TYPE: AttributeType = AttributeType::XOR_MAPPED_ADDRESS;

    fn parse(value: &[u8], transaction_id: TransactionId) -> Result<Self, ParseError> {
        xor_address(value, transaction_id).map(Self)
    }

    fn write(&self, transaction_id: TransactionId, out: &mut Vec<u8>) {
        xor_address_value(self.0, transaction_id, out);
    }
}

/// MAPPED-ADDRESS: the same in the clear, from old servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedAddress(pub SocketAddr);

impl Attribute<'_> for MappedAddress {
    const TYPE: AttributeType = AttributeType::MAPPED_ADDRESS;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        address(value).map(Self)
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        address_value(self.0, out);
    }
}

/// ALTERNATE-SERVER: where to ask instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlternateServer(pub SocketAddr);

impl Attribute<'_> for AlternateServer {
    const TYPE: AttributeType = AttributeType::ALTERNATE_SERVER;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        address(value).map(Self)
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        address_value(self.0, out);
    }
}

/// Reads an exclusive-or'ed address, the format of every XOR-…-ADDRESS attribute.
pub fn xor_address(value: &[u8], transaction_id: TransactionId) -> Result<SocketAddr, ParseError> {
    address(value).map(|address| xor(address, transaction_id))
}

/// Appends an address in the format of every XOR-…-ADDRESS attribute.
pub fn xor_address_value(address: SocketAddr, transaction_id: TransactionId, out: &mut Vec<u8>) {
    address_value(xor(address, transaction_id), out);
}

pub(super) fn address(value: &[u8]) -> Result<SocketAddr, ParseError> {
    let mut reader = Reader::new(value);
    reader.skip(1)?;
    let family = reader.u8()?;
    let port = reader.u16()?;
    let ip = match family {
        FAMILY_V4 => IpAddr::V4(Ipv4Addr::from(reader.array::<4>()?)),
        FAMILY_V6 => IpAddr::V6(Ipv6Addr::from(reader.array::<16>()?)),
        _ => return Err(ParseError::AddressFamily),
    };
    reader.finish().map_err(|_| ParseError::AttributeLength)?;
    Ok(SocketAddr::new(ip, port))
}

pub(super) fn address_value(address: SocketAddr, out: &mut Vec<u8>) {
    let family = if address.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
    out.extend_from_slice(&[0, family]);
    out.extend_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
}

/// Port with the upper half of the cookie; address with the cookie and, for IPv6, the transaction id.
fn xor(address: SocketAddr, TransactionId(id): TransactionId) -> SocketAddr {
    let port = address.port() ^ (MAGIC_COOKIE >> 16) as u16;
    let ip = match address.ip() {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() ^ MAGIC_COOKIE)),
        IpAddr::V6(ip) => {
            let low = id.iter().fold(0u128, |bits, octet| (bits << 8) | u128::from(*octet));
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() ^ ((u128::from(MAGIC_COOKIE) << 96) | low)))
        }
    };
    SocketAddr::new(ip, port)
}
