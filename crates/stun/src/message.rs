//! The message: header, attribute walk, checked view (RFC 8489 sections 5, 6.3 and 14).

use taut_sansio::codec::{Reader, Short};
use taut_sansio::rng::Rng;

use crate::attribute::{Attribute, AttributeType, RawAttribute};
use crate::{Fingerprint, IntegrityError, Key, fingerprint};

/// The fixed value in octets 4 to 7 of every message (RFC 8489 section 5).
pub const MAGIC_COOKIE: u32 = 0x2112_A442;

/// The length of the header (RFC 8489 section 5).
pub const HEADER_LEN: usize = 20;

/// True if `datagram` claims to be STUN: its first octet is 0 to 3 (RFC 7983 section 7), it is long enough for a
/// header, and it has the magic cookie. Nothing else of it is checked.
pub fn is_stun(datagram: &[u8]) -> bool {
    let Some((header, _)) = datagram.split_first_chunk::<HEADER_LEN>() else { return false };
    header[0] < 4 && header[4..8] == MAGIC_COOKIE.to_be_bytes()
}

/// Why octets are not a STUN message, or an attribute not what its type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Shorter than a header.
    #[error("shorter than a STUN header")]
    TooShort,
    /// The first two bits are not zero, or the magic cookie is missing.
    #[error("not a STUN message")]
    NotStun,
    /// The length in the header is not that of the datagram, or not a multiple of four.
    #[error("the length in the header is wrong")]
    BadLength,
    /// An attribute ends after the message does.
    #[error("an attribute runs over the end of the message")]
    AttributeOverrun,
    /// An attribute's value has a length that its type does not allow.
    #[error("an attribute value has the wrong length")]
    AttributeLength,
    /// An address attribute with an unknown address family.
    #[error("unknown address family")]
    AddressFamily,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
    /// An error code outside 300 to 699.
    #[error("error code out of range")]
    ErrorCode,
    /// Something follows FINGERPRINT, which must be last (RFC 8489 section 14.7).
    #[error("FINGERPRINT is not the last attribute")]
    AfterFingerprint,
}

impl From<Short> for ParseError {
    fn from(_: Short) -> Self {
        Self::AttributeLength
    }
}

/// The class of a message (RFC 8489 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Asks for an answer.
    Request,
    /// Is never answered.
    Indication,
    /// The answer to a request that was granted.
    Success,
    /// The answer to a request that was not.
    Error,
}

/// The method of a message: 12 bits (RFC 8489 section 18.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(u16);

impl Method {
    /// Binding (RFC 8489 section 18.2).
    pub const BINDING: Self = Self(0x001);
    /// Allocate (RFC 8656 section 17).
    pub const ALLOCATE: Self = Self(0x003);
    /// Refresh (RFC 8656 section 17).
    pub const REFRESH: Self = Self(0x004);
    /// Send (RFC 8656 section 17).
    pub const SEND: Self = Self(0x006);
    /// Data (RFC 8656 section 17).
    pub const DATA: Self = Self(0x007);
    /// CreatePermission (RFC 8656 section 17).
    pub const CREATE_PERMISSION: Self = Self(0x008);
    /// ChannelBind (RFC 8656 section 17).
    pub const CHANNEL_BIND: Self = Self(0x009);

    /// The method with this number, of which the low 12 bits count.
    pub const fn new(number: u16) -> Self {
        Self(number & 0xfff)
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// Writes class and method into the 14 bits of the type: `M11-M7 C1 M6-M4 C0 M3-M0`.
pub(crate) fn encode_type(class: Class, method: Method) -> u16 {
    let class = match class {
        Class::Request => 0x000,
        Class::Indication => 0x010,
        Class::Success => 0x100,
        Class::Error => 0x110,
    };
    let m = method.0;
    class | (m & 0x00f) | ((m & 0x070) << 1) | ((m & 0xf80) << 2)
}

fn decode_type(word: u16) -> (Class, Method) {
    let class = match word & 0x110 {
        0x000 => Class::Request,
        0x010 => Class::Indication,
        0x100 => Class::Success,
        _ => Class::Error,
    };
    (class, Method((word & 0x00f) | ((word & 0x0e0) >> 1) | ((word & 0x3e00) >> 2)))
}

/// The 96 bits that tie an answer to its request (RFC 8489 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub [u8; 12]);

impl TransactionId {
    /// A fresh one, which nobody can guess.
    pub fn random(rng: &mut Rng) -> Self {
        Self(rng.array())
    }
}

/// A checked view over one STUN message. The attribute structure holds; the values are checked when they are read.
///
/// Attributes after MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 are invisible (RFC 8489 sections 14.5 and 14.6).
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
    /// How much of the body an attribute reader sees: up to the first integrity attribute, or FINGERPRINT.
    visible: u16,
    sha1: Option<Place>,
    sha256: Option<Place>,
    fingerprint: Option<Place>,
}

/// Where an attribute stands that is computed over what stands before it. Numbers, so that a message is cheap to hand around.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Where it begins in the body.
    at: u16,
    /// The length of its value.
    length: u16,
}

/// An attribute computed over what stands before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tail<'a> {
    /// The header and the attributes before this one.
    pub(crate) covered: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl Tail<'_> {
    /// The length that the message had when the attribute was added: up to and including it (RFC 8489 sections 14.5 to 14.7).
    pub(crate) fn length(&self) -> u16 {
        let body = self.covered.len().saturating_sub(HEADER_LEN);
        // The message's own length fits 16 bits, and this is not longer.
        u16::try_from(body.saturating_add(4).saturating_add(self.value.len())).unwrap_or(u16::MAX)
    }
}

impl<'a> Message<'a> {
    /// Checks header and attribute structure of a whole datagram.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let (header, body) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(ParseError::TooShort)?;
        if !is_stun(datagram) {
            return Err(ParseError::NotStun);
        }
        let length = u16::from_be_bytes([header[2], header[3]]);
        if usize::from(length) != body.len() || !length.is_multiple_of(4) {
            return Err(ParseError::BadLength);
        }
        let (class, method) = decode_type(u16::from_be_bytes([header[0], header[1]]));
        let mut message = Self {
            bytes: datagram,
            class,
            method,
            visible: length,
            sha1: None,
            sha256: None,
            fingerprint: None,
        };
        message.walk(body)?;
        Ok(message)
    }

    #[inline]
    fn walk(&mut self, body: &'a [u8]) -> Result<(), ParseError> {
        let mut rest = Reader::new(body);
        while !rest.is_empty() {
            let left = rest.remaining();
            let RawAttribute { kind, value } =
                next_attribute(&mut rest).ok_or(ParseError::AttributeOverrun)?;
            // Both fit: the length of the body did.
            let place = || Place { at: (body.len() - left) as u16, length: value.len() as u16 };
            match kind {
                AttributeType::MESSAGE_INTEGRITY if !self.has_integrity() => self.sha1 = Some(place()),
                AttributeType::MESSAGE_INTEGRITY_SHA256 if self.sha256.is_none() => {
                    self.sha256 = Some(place())
                }
                AttributeType::FINGERPRINT if rest.is_empty() => self.fingerprint = Some(place()),
                AttributeType::FINGERPRINT => return Err(ParseError::AfterFingerprint),
                _ => continue,
            }
            // Nothing is visible from the first of them on.
            self.visible = self.visible.min(place().at);
        }
        Ok(())
    }

    fn tail(&self, place: Place) -> Tail<'a> {
        let at = HEADER_LEN + usize::from(place.at);
        let (covered, attribute) = self.bytes.split_at_checked(at).unwrap_or((self.bytes, &[]));
        let value = attribute.get(4..4 + usize::from(place.length)).unwrap_or_default();
        Tail { covered, value }
    }

    /// The MESSAGE-INTEGRITY that stands before any MESSAGE-INTEGRITY-SHA256.
    pub(crate) fn sha1(&self) -> Option<Tail<'a>> {
        self.sha1.map(|place| self.tail(place))
    }

    /// MESSAGE-INTEGRITY-SHA256.
    pub(crate) fn sha256(&self) -> Option<Tail<'a>> {
        self.sha256.map(|place| self.tail(place))
    }

    /// The class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// True if class and method are these.
    pub fn is(&self, class: Class, method: Method) -> bool {
        self.class == class && self.method == method
    }

    /// The transaction id.
    pub fn transaction_id(&self) -> TransactionId {
        let mut id = [0; 12];
        if let Some(octets) = self.bytes.get(8..HEADER_LEN) {
            id.copy_from_slice(octets);
        }
        TransactionId(id)
    }

    /// The whole message.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The attributes in their order, without the integrity attributes, what follows them, and FINGERPRINT.
    pub fn attributes(&self) -> Attributes<'a> {
        let visible = HEADER_LEN..HEADER_LEN + usize::from(self.visible);
        Attributes { reader: Reader::new(self.bytes.get(visible).unwrap_or_default()) }
    }

    /// The first attribute of type `A`, if there is one. Only the first counts (RFC 8489 section 14).
    pub fn get<A: Attribute<'a>>(&self) -> Result<Option<A>, ParseError> {
        match self.attributes().find(|attribute| attribute.kind == A::TYPE) {
            Some(raw) => self.read(raw).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the value of an attribute of this message, whose type the caller has seen to be `A`'s.
    pub fn read<A: Attribute<'a>>(&self, raw: RawAttribute<'a>) -> Result<A, ParseError> {
        A::parse(raw.value, self.transaction_id())
    }

    /// The types of the comprehension-required attributes that are not in `known` (RFC 8489 section 6.3.1: a
    /// request that has any is answered with 420, everything else is dropped).
    pub fn unknown_required(
        &self,
        known: &'a [AttributeType],
    ) -> impl Iterator<Item = AttributeType> + use<'a> {
        self.attributes()
            .map(|attribute| attribute.kind)
            .filter(move |kind| kind.is_comprehension_required() && !known.contains(kind))
    }

    /// True if there is an integrity attribute, right or wrong.
    pub fn has_integrity(&self) -> bool {
        self.sha1.is_some() || self.sha256.is_some()
    }

    /// Checks the integrity attribute (RFC 8489 sections 14.5 and 14.6). Where both are present, the SHA-256 one
    /// decides.
    pub fn verify(&self, key: &Key) -> Result<crate::Algorithm, IntegrityError> {
        key.verify(self)
    }

    /// Checks FINGERPRINT (RFC 8489 section 14.7).
    pub fn fingerprint(&self) -> Fingerprint {
        match self.fingerprint.map(|place| self.tail(place)) {
            None => Fingerprint::Absent,
            Some(tail) if fingerprint::matches(&tail) => Fingerprint::Good,
            Some(_) => Fingerprint::Bad,
        }
    }
}

/// The attributes of a [`Message`], in order.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = RawAttribute<'a>;

    fn next(&mut self) -> Option<RawAttribute<'a>> {
        next_attribute(&mut self.reader)
    }
}

/// Type, length, value, padding to four (RFC 8489 section 14). `None` at the end, and where a value runs over it.
#[inline(always)]
fn next_attribute<'a>(reader: &mut Reader<'a>) -> Option<RawAttribute<'a>> {
    let [t0, t1, l0, l1] = reader.array().ok()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let padded = reader.take((length + 3) & !3).ok()?;
    Some(RawAttribute { kind: AttributeType(u16::from_be_bytes([t0, t1])), value: padded.get(..length)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_the_bit_layout() {
        assert_eq!(encode_type(Class::Request, Method::BINDING), 0x0001);
        assert_eq!(encode_type(Class::Indication, Method::BINDING), 0x0011);
        assert_eq!(encode_type(Class::Success, Method::BINDING), 0x0101);
        assert_eq!(encode_type(Class::Error, Method::BINDING), 0x0111);
        for number in 0..0x1000 {
            for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
                let word = encode_type(class, Method::new(number));
                assert_eq!(word & 0xc000, 0);
                assert_eq!(decode_type(word), (class, Method::new(number)));
            }
        }
    }

    #[test]
    fn header_offences_have_a_name_each() {
        let good = [&[0, 1, 0, 0][..], &MAGIC_COOKIE.to_be_bytes(), &[7; 12]].concat();
        assert!(Message::parse(&good).is_ok());
        let parse = |edit: fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            edit(&mut bytes);
            Message::parse(&bytes).err()
        };
        assert_eq!(parse(|b| b.truncate(19)), Some(ParseError::TooShort));
        assert_eq!(parse(|b| b[0] = 0x40), Some(ParseError::NotStun));
        assert_eq!(parse(|b| b[7] ^= 1), Some(ParseError::NotStun));
        assert_eq!(parse(|b| b[3] = 4), Some(ParseError::BadLength));
        assert_eq!(parse(|b| b.push(0)), Some(ParseError::BadLength));
        let no_multiple_of_four = |b: &mut Vec<u8>| {
            b[3] = 2;
            b.extend_from_slice(&[0, 0]);
        };
        assert_eq!(parse(no_multiple_of_four), Some(ParseError::BadLength));
        let attribute_over_the_end = |b: &mut Vec<u8>| {
            b[3] = 4;
            b.extend_from_slice(&[0, 6, 0, 1]);
        };
        assert_eq!(parse(attribute_over_the_end), Some(ParseError::AttributeOverrun));
        let after_fingerprint = |b: &mut Vec<u8>| {
            b[3] = 12;
            b.extend_from_slice(&[0x80, 0x28, 0, 4, 0, 0, 0, 0, 0x80, 0x22, 0, 0]);
        };
        assert_eq!(parse(after_fingerprint), Some(ParseError::AfterFingerprint));
    }

    #[test]
    fn the_first_octet_and_the_cookie_make_stun() {
        for first in 0..=255u8 {
            for length in 0..64usize {
                let mut datagram = vec![0; length];
                for (place, octet) in datagram.iter_mut().skip(4).zip(MAGIC_COOKIE.to_be_bytes()) {
                    *place = octet;
                }
                if let Some(place) = datagram.first_mut() {
                    *place = first;
                }
                assert_eq!(is_stun(&datagram), first < 4 && length >= 20);
            }
        }
        assert!(!is_stun(&[0; 20]));
    }
}
