//! Attributes (RFC 8489 section 14), a file per family.
//!
//! An attribute is a type with the trait [`Attribute`]: its number, how its value is read, and how it is written.
//! [`Message::get`](crate::Message::get) and [`Builder::push`](crate::Builder::push) work with every such type.

mod address;
mod behavior;
mod error;
mod ice;
mod security;
mod text;
mod turn;

pub use address::{AlternateServer, MappedAddress, XorMappedAddress, xor_address, xor_address_value};
pub use behavior::{ChangeRequest, OtherAddress, ResponseOrigin};
pub use error::{ErrorCode, MAX_UNKNOWN, UnknownAttributes};
pub use ice::{IceControlled, IceControlling, Priority, UseCandidate};
pub use security::{MAX_PASSWORD_ALGORITHMS, PasswordAlgorithm, PasswordAlgorithms, UserHash};
pub use text::{NONCE_COOKIE, Nonce, Realm, Software, Username};
pub use turn::{
    AdditionalAddressFamily, AddressErrorCode, AddressFamily, ChannelNumber, Data, EvenPort, Lifetime,
    RequestedAddressFamily, RequestedTransport, XorPeerAddress, XorRelayedAddress,
};

use crate::message::{ParseError, TransactionId};

/// The number of an attribute (RFC 8489 section 18.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeType(pub u16);

impl AttributeType {
    /// MAPPED-ADDRESS.
    pub const MAPPED_ADDRESS: Self = Self(0x0001);
    /// USERNAME.
    pub const USERNAME: Self = Self(0x0006);
    /// MESSAGE-INTEGRITY.
    pub const MESSAGE_INTEGRITY: Self = Self(0x0008);
    /// ERROR-CODE.
    pub const ERROR_CODE: Self = Self(0x0009);
    /// UNKNOWN-ATTRIBUTES.
    pub const UNKNOWN_ATTRIBUTES: Self = Self(0x000a);
    /// CHANNEL-NUMBER (RFC 8656 section 18).
    pub const CHANNEL_NUMBER: Self = Self(0x000c);
    /// LIFETIME (RFC 8656 section 18).
    pub const LIFETIME: Self = Self(0x000d);
    /// XOR-PEER-ADDRESS (RFC 8656 section 18).
    pub const XOR_PEER_ADDRESS: Self = Self(0x0012);
    /// DATA (RFC 8656 section 18).
    pub const DATA: Self = Self(0x0013);
    /// REALM.
    pub const REALM: Self = Self(0x0014);
    /// NONCE.
    pub const NONCE: Self = Self(0x0015);
    /// XOR-RELAYED-ADDRESS (RFC 8656 section 18).
    pub const XOR_RELAYED_ADDRESS: Self = Self(0x0016);
    /// REQUESTED-ADDRESS-FAMILY (RFC 8656 section 18).
    pub const REQUESTED_ADDRESS_FAMILY: Self = Self(0x0017);
    /// EVEN-PORT (RFC 8656 section 18).
    pub const EVEN_PORT: Self = Self(0x0018);
    /// REQUESTED-TRANSPORT (RFC 8656 section 18).
    pub const REQUESTED_TRANSPORT: Self = Self(0x0019);
    /// MESSAGE-INTEGRITY-SHA256.
    pub const MESSAGE_INTEGRITY_SHA256: Self = Self(0x001c);
    /// PASSWORD-ALGORITHM.
    pub const PASSWORD_ALGORITHM: Self = Self(0x001d);
    /// USERHASH.
    pub const USERHASH: Self = Self(0x001e);
    /// XOR-MAPPED-ADDRESS.
    pub const XOR_MAPPED_ADDRESS: Self = Self(0x0020);
    /// RESERVATION-TOKEN (RFC 8656 section 18).
    pub const RESERVATION_TOKEN: Self = Self(0x0022);
    /// PRIORITY (RFC 8445 section 16.1).
    pub const PRIORITY: Self = Self(0x0024);
    /// USE-CANDIDATE (RFC 8445 section 16.1).
    pub const USE_CANDIDATE: Self = Self(0x0025);
    /// ADDITIONAL-ADDRESS-FAMILY (RFC 8656 section 18).
    pub const ADDITIONAL_ADDRESS_FAMILY: Self = Self(0x8000);
    /// ADDRESS-ERROR-CODE (RFC 8656 section 18).
    pub const ADDRESS_ERROR_CODE: Self = Self(0x8001);
    /// PASSWORD-ALGORITHMS.
    pub const PASSWORD_ALGORITHMS: Self = Self(0x8002);
    /// SOFTWARE.
    pub const SOFTWARE: Self = Self(0x8022);
    /// ALTERNATE-SERVER.
    pub const ALTERNATE_SERVER: Self = Self(0x8023);
    /// FINGERPRINT.
    pub const FINGERPRINT: Self = Self(0x8028);
    /// CHANGE-REQUEST (RFC 5780 section 7.2).
    pub const CHANGE_REQUEST: Self = Self(0x0003);
    /// RESPONSE-ORIGIN (RFC 5780 section 7.3).
    pub const RESPONSE_ORIGIN: Self = Self(0x802b);
    /// OTHER-ADDRESS (RFC 5780 section 7.4).
    pub const OTHER_ADDRESS: Self = Self(0x802c);
    /// ICE-CONTROLLED (RFC 8445 section 16.1).
    pub const ICE_CONTROLLED: Self = Self(0x8029);
    /// ICE-CONTROLLING (RFC 8445 section 16.1).
    pub const ICE_CONTROLLING: Self = Self(0x802a);

    /// True for 0x0000 to 0x7fff: who does not know it must not go on (RFC 8489 section 14).
    pub const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }
}

/// An attribute as it stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawAttribute<'a> {
    /// Its number.
    pub kind: AttributeType,
    /// Its value, without padding.
    pub value: &'a [u8],
}

/// A kind of attribute. The transaction id is there for the exclusive-or'ed addresses.
pub trait Attribute<'a>: Sized {
    /// Its number.
    const TYPE: AttributeType;

    /// Reads a value, all of it.
    fn parse(value: &'a [u8], transaction_id: TransactionId) -> Result<Self, ParseError>;

    /// Appends the value, without padding.
    fn write(&self, transaction_id: TransactionId, out: &mut Vec<u8>);
}

/// A value of exactly `N` octets.
fn exactly<const N: usize>(value: &[u8]) -> Result<[u8; N], ParseError> {
    value.try_into().map_err(|_| ParseError::AttributeLength)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{Builder, Class, Message, Method};

    const ID: TransactionId = TransactionId([9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 255, 254]);

    /// Writes `$value`, reads it back, and tries every shorter and one longer value for panics.
    macro_rules! assert_attribute {
        ($type:ty, $value:expr) => {{
            let value = $value;
            let mut out = Vec::new();
            let builder = Builder::new(&mut out, Class::Request, Method::BINDING, ID);
            assert!(builder.push(&value).finish().is_some());
            let message = Message::parse(&out).expect("what was written parses");
            assert_eq!(message.get::<$type>(), Ok(Some(value)));
            let raw = message.attributes().next().unwrap().value;
            for end in 0..raw.len() {
                let _ = <$type>::parse(&raw[..end], ID);
            }
            let _ = <$type>::parse(&[raw, &[0]].concat(), ID);
        }};
    }

    #[test]
    fn every_attribute_round_trips() {
        let v4: SocketAddr = "192.0.2.1:32853".parse().unwrap();
        let v6: SocketAddr = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        for address in [v4, v6] {
            assert_attribute!(XorMappedAddress, XorMappedAddress(address));
            assert_attribute!(MappedAddress, MappedAddress(address));
            assert_attribute!(AlternateServer, AlternateServer(address));
            assert_attribute!(ResponseOrigin, ResponseOrigin(address));
            assert_attribute!(OtherAddress, OtherAddress(address));
            assert_attribute!(XorPeerAddress, XorPeerAddress(address));
            assert_attribute!(XorRelayedAddress, XorRelayedAddress(address));
        }
        assert_attribute!(Username<'_>, Username::new("evtj:h6vY"));
        assert_attribute!(Realm<'_>, Realm::new("example.org"));
        assert_attribute!(Nonce<'_>, Nonce::new("obMatJos2AAAC"));
        assert_attribute!(Software<'_>, Software::new(""));
        assert_attribute!(Priority, Priority(0x6e00_01ff));
        assert_attribute!(UseCandidate, UseCandidate);
        assert_attribute!(IceControlled, IceControlled(u64::MAX));
        assert_attribute!(IceControlling, IceControlling(1));
        assert_attribute!(UserHash, UserHash::of("user", "realm"));
        assert_attribute!(ErrorCode<'_>, ErrorCode::new(487, "Role Conflict"));
        assert_attribute!(ChannelNumber, ChannelNumber(0x4fff));
        assert_attribute!(Lifetime, Lifetime(600));
        assert_attribute!(Data<'_>, Data(b"seven.."));
        for family in [AddressFamily::V4, AddressFamily::V6] {
            assert_attribute!(RequestedAddressFamily, RequestedAddressFamily(family));
            assert_attribute!(AdditionalAddressFamily, AdditionalAddressFamily(family));
            assert_attribute!(AddressErrorCode, AddressErrorCode { family, code: 508 });
        }
        for (ip, port) in [(false, true), (true, false), (true, true)] {
            assert_attribute!(ChangeRequest, ChangeRequest { ip, port });
        }
        assert_attribute!(EvenPort, EvenPort { reserve_next: true });
        assert_attribute!(RequestedTransport, RequestedTransport::UDP);
        assert_attribute!(PasswordAlgorithm, PasswordAlgorithm::Sha256);
        assert_attribute!(
            PasswordAlgorithms,
            PasswordAlgorithms::from_iter([PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5])
        );
        assert_attribute!(
            UnknownAttributes,
            UnknownAttributes::from_iter([AttributeType(0x7777), AttributeType(1)])
        );
    }

    #[test]
    fn a_list_of_more_than_four_algorithms_is_an_error() {
        let list = |count| PasswordAlgorithms::parse(&[0, 2, 0, 0].repeat(count), ID);
        assert_eq!(list(4).unwrap().iter().count(), 4);
        assert_eq!(list(5), Err(ParseError::AttributeLength));
        assert_eq!(list(10_000), Err(ParseError::AttributeLength));
    }

    #[test]
    fn values_of_a_wrong_length_are_errors() {
        assert_eq!(Priority::parse(&[0; 3], ID), Err(ParseError::AttributeLength));
        assert_eq!(UseCandidate::parse(&[0], ID), Err(ParseError::AttributeLength));
        assert_eq!(IceControlled::parse(&[0; 9], ID), Err(ParseError::AttributeLength));
        assert_eq!(XorMappedAddress::parse(&[0, 1, 0, 0, 1, 2, 3], ID), Err(ParseError::AttributeLength));
        assert_eq!(XorMappedAddress::parse(&[0, 2, 0, 0, 1, 2, 3, 4], ID), Err(ParseError::AttributeLength));
        assert_eq!(XorMappedAddress::parse(&[0, 3, 0, 0, 1, 2, 3, 4], ID), Err(ParseError::AddressFamily));
        assert_eq!(
            XorMappedAddress::parse(&[0, 1, 0, 0, 1, 2, 3, 4, 5], ID),
            Err(ParseError::AttributeLength)
        );
        assert_eq!(XorMappedAddress::parse(&[], ID), Err(ParseError::AttributeLength));
        assert_eq!(ChannelNumber::parse(&[0; 5], ID), Err(ParseError::AttributeLength));
        assert_eq!(RequestedAddressFamily::parse(&[3, 0, 0, 0], ID), Err(ParseError::AddressFamily));
        assert_eq!(EvenPort::parse(&[], ID), Err(ParseError::AttributeLength));
        assert_eq!(AddressErrorCode::parse(&[1, 0, 2, 0], ID), Err(ParseError::ErrorCode));
        assert_eq!(AddressErrorCode::parse(&[1, 0, 4, 100], ID), Err(ParseError::ErrorCode));
        assert_eq!(PasswordAlgorithm::parse(&[0, 1, 0, 0, 0, 0, 0, 0], ID), Err(ParseError::AttributeLength));
        assert_eq!(PasswordAlgorithms::parse(&[0, 1, 0, 4, 0], ID), Err(ParseError::AttributeLength));
        assert_eq!(Username::parse(&[0xff], ID), Err(ParseError::Text));
        assert_eq!(ErrorCode::parse(&[0, 0, 2, 99], ID), Err(ParseError::ErrorCode));
        assert_eq!(ErrorCode::parse(&[0, 0, 4, 100], ID), Err(ParseError::ErrorCode));
        assert_eq!(UnknownAttributes::parse(&[0, 1, 2], ID), Err(ParseError::AttributeLength));
    }

    #[test]
    fn only_the_first_of_several_counts() {
        let mut out = Vec::new();
        let builder = Builder::new(&mut out, Class::Request, Method::BINDING, ID);
        let _ = builder.push(&Priority(1)).push(&Priority(2)).finish();
        assert_eq!(Message::parse(&out).unwrap().get::<Priority>(), Ok(Some(Priority(1))));
    }
}
