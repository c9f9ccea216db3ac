//! USERHASH, PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS (RFC 8489 sections 14.4, 14.11 and 14.12). The integrity attributes are in `integrity.rs`, since they are not values but
//! functions of the message.

use sha2::{Digest, Sha256};
use taut_sansio::codec::Reader;

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

/// How a password becomes a key (RFC 8489 section 18.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasswordAlgorithm {
    /// MD5, without parameters.
    Md5,
    /// SHA-256, without parameters.
    Sha256,
    /// Another one, with this number; its parameters are not read.
    Unknown(u16),
}

impl PasswordAlgorithm {
    fn new(number: u16) -> Self {
        match number {
            1 => Self::Md5,
            2 => Self::Sha256,
            other => Self::Unknown(other),
        }
    }

    fn number(self) -> u16 {
        match self {
            Self::Md5 => 1,
            Self::Sha256 => 2,
            Self::Unknown(number) => number,
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let number = reader.u16()?;
        let parameters = usize::from(reader.u16()?);
        // The padding of the last one may be that of the attribute.
        reader.skip(parameters.next_multiple_of(4).min(reader.remaining().max(parameters)))?;
        Ok(Self::new(number))
    }

    fn append(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.number().to_be_bytes());
        out.extend_from_slice(&[0, 0]);
    }
}

impl Attribute<'_> for PasswordAlgorithm {
    const TYPE: AttributeType = AttributeType::PASSWORD_ALGORITHM;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        let mut reader = Reader::new(value);
        let algorithm = Self::read(&mut reader)?;
        reader.finish().map_err(|_| ParseError::AttributeLength)?;
        Ok(algorithm)
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        self.append(out);
    }
}

/// How many algorithms a [`PasswordAlgorithms`] keeps; a longer list is an error.
pub const MAX_PASSWORD_ALGORITHMS: usize = 4;

/// PASSWORD-ALGORITHMS: what a server takes, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PasswordAlgorithms {
    list: [Option<PasswordAlgorithm>; MAX_PASSWORD_ALGORITHMS],
}

impl PasswordAlgorithms {
    /// The algorithms.
    pub fn iter(&self) -> impl Iterator<Item = PasswordAlgorithm> + '_ {
        self.list.iter().flatten().copied()
    }
}

impl FromIterator<PasswordAlgorithm> for PasswordAlgorithms {
    fn from_iter<T: IntoIterator<Item = PasswordAlgorithm>>(algorithms: T) -> Self {
        let mut this = Self::default();
        this.list.iter_mut().zip(algorithms).for_each(|(place, algorithm)| *place = Some(algorithm));
        this
    }
}

impl Attribute<'_> for PasswordAlgorithms {
    const TYPE: AttributeType = AttributeType::PASSWORD_ALGORITHMS;

    fn parse(value: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        let mut reader = Reader::new(value);
        let mut this = Self::default();
        let mut places = this.list.iter_mut();
        while !reader.is_empty() {
            let place = places.next().ok_or(ParseError::AttributeLength)?;
            *place = Some(PasswordAlgorithm::read(&mut reader)?);
        }
        Ok(this)
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        self.iter().for_each(|algorithm| algorithm.append(out));
    }
}
