//! The attributes of TURN (RFC 8656 section 18).

use std::net::SocketAddr;

use taut_sansio::codec::Reader;

use super::address::{FAMILY_V4, FAMILY_V6, xor_address, xor_address_value};
use super::{Attribute, AttributeType, exactly};
use crate::message::{ParseError, TransactionId};

/// CHANNEL-NUMBER (section 18.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelNumber(pub u16);

impl Attribute<'_> for ChannelNumber {
    const TYPE: AttributeType = AttributeType::CHANNEL_NUMBER;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        exactly::<4>(value).map(|[high, low, _, _]| Self(u16::from_be_bytes([high, low])))
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
    }
}

/// LIFETIME (section 18.2), in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(pub u32);

impl Attribute<'_> for Lifetime {
    const TYPE: AttributeType = AttributeType::LIFETIME;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        exactly(value).map(|octets| Self(u32::from_be_bytes(octets)))
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

/// XOR-PEER-ADDRESS (section 18.3): a peer as the server sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XorPeerAddress(pub SocketAddr);

impl Attribute<'_> for XorPeerAddress {
    const TYPE: AttributeType = AttributeType::XOR_PEER_ADDRESS;

    fn parse(value: &[u8], transaction_id: TransactionId) -> Result<Self, ParseError> {
        xor_address(value, transaction_id).map(Self)
    }

    fn write(&self, transaction_id: TransactionId, out: &mut Vec<u8>) {
        xor_address_value(self.0, transaction_id, out);
    }
}

/// XOR-RELAYED-ADDRESS (section 18.5): where the server listens for peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XorRelayedAddress(pub SocketAddr);

impl Attribute<'_> for XorRelayedAddress {
    const TYPE: AttributeType = AttributeType::XOR_RELAYED_ADDRESS;

    fn parse(value: &[u8], transaction_id: TransactionId) -> Result<Self, ParseError> {
        xor_address(value, transaction_id).map(Self)
    }

    fn write(&self, transaction_id: TransactionId, out: &mut Vec<u8>) {
        xor_address_value(self.0, transaction_id, out);
    }
}

/// DATA (section 18.4): what is relayed, in Send and Data indications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<'a>(pub &'a [u8]);

impl<'a> Attribute<'a> for Data<'a> {
    const TYPE: AttributeType = AttributeType::DATA;

    fn parse(value: &'a [u8], _: TransactionId) -> Result<Self, ParseError> {
        Ok(Self(value))
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

/// A family of addresses, as REQUESTED-ADDRESS-FAMILY and its kin name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl AddressFamily {
    /// The family of an address.
    pub fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn from_octet(octet: u8) -> Result<Self, ParseError> {
        match octet {
            FAMILY_V4 => Ok(Self::V4),
            FAMILY_V6 => Ok(Self::V6),
            _ => Err(ParseError::AddressFamily),
        }
    }

    fn octet(self) -> u8 {
        match self {
            Self::V4 => FAMILY_V4,
            Self::V6 => FAMILY_V6,
        }
    }

    /// The value of an attribute that holds a family and three reserved octets.
    fn parse(value: &[u8]) -> Result<Self, ParseError> {
        let [family, ..] = exactly::<4>(value)?;
        Self::from_octet(family)
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.octet(), 0, 0, 0]);
    }
}

/// REQUESTED-ADDRESS-FAMILY (section 18.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedAddressFamily(pub AddressFamily);

impl Attribute<'_> for RequestedAddressFamily {
    const TYPE: AttributeType = AttributeType::REQUESTED_ADDRESS_FAMILY;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        AddressFamily::parse(value).map(Self)
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        self.0.write(out);
    }
}

/// ADDITIONAL-ADDRESS-FAMILY (section 18.11): a second relayed address is wanted, of this family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdditionalAddressFamily(pub AddressFamily);

impl Attribute<'_> for AdditionalAddressFamily {
    const TYPE: AttributeType = AttributeType::ADDITIONAL_ADDRESS_FAMILY;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        AddressFamily::parse(value).map(Self)
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        self.0.write(out);
    }
}

/// ADDRESS-ERROR-CODE (section 18.12): why there is no second relayed address. The reason for people is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressErrorCode {
    /// The family that was not allocated.
    pub family: AddressFamily,
    /// The number, as in ERROR-CODE.
    pub code: u16,
}

impl Attribute<'_> for AddressErrorCode {
    const TYPE: AttributeType = AttributeType::ADDRESS_ERROR_CODE;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        let mut reader = Reader::new(value);
        let family = AddressFamily::from_octet(reader.u8()?)?;
        reader.skip(1)?;
        let class = u16::from(reader.u8()? & 0x07);
        let number = u16::from(reader.u8()?);
        if !(3..=6).contains(&class) || number > 99 {
            return Err(ParseError::ErrorCode);
        }
        Ok(Self { family, code: class * 100 + number })
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        // Both fit an octet for every 16-bit code: the class is cut to its three bits, the number is below 100.
        let (class, number) = (((self.code / 100) & 0x07) as u8, (self.code % 100) as u8);
        out.extend_from_slice(&[self.family.octet(), 0, class, number]);
    }
}

/// EVEN-PORT (section 18.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvenPort {
    /// The R bit: the next higher port is to be reserved.
    pub reserve_next: bool,
}

impl Attribute<'_> for EvenPort {
    const TYPE: AttributeType = AttributeType::EVEN_PORT;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        exactly::<1>(value).map(|[octet]| Self { reserve_next: octet & 0x80 != 0 })
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        out.push(if self.reserve_next { 0x80 } else { 0 });
    }
}

/// REQUESTED-TRANSPORT (section 18.8): the number of an IP protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedTransport(pub u8);

impl RequestedTransport {
    /// UDP, the only one that RFC 8656 knows.
    pub const UDP: Self = Self(17);
}

impl Attribute<'_> for RequestedTransport {
    const TYPE: AttributeType = AttributeType::REQUESTED_TRANSPORT;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        exactly::<4>(value).map(|[protocol, ..]| Self(protocol))
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.0, 0, 0, 0]);
    }
}
