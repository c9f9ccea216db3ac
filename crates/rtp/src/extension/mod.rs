//! RTP header extensions (RFC 8285): the block with its two element forms, and codecs for the values of WebRTC.
//!
//! One-byte elements (profile 0xBEDE, section 4.2) carry 1 to 16 octets under identifiers 1 to 14; two-byte elements
//! (profile 0x100X, section 4.3) carry 0 to 255 octets under identifiers 1 to 255. The writer chooses the one-byte
//! form where every element fits. A block of another profile is kept as it is and has no elements.

mod abs_send_time;
mod audio_level;
mod orientation;
mod sdes;
mod transport_sequence;

use bytes::Bytes;

pub use abs_send_time::AbsoluteSendTime;
pub use audio_level::AudioLevel;
pub use orientation::{Rotation, VideoOrientation};
pub use sdes::{MID_URI, REPAIRED_RID_URI, RID_URI, parse_text};
pub use transport_sequence::TransportSequence;

/// The profile of one-byte elements.
const ONE_BYTE: u16 = 0xbede;
/// The profile of two-byte elements; the low four bits are application bits.
const TWO_BYTE: u16 = 0x1000;
/// The longest block: its length field counts 65,535 words.
const MAX_BLOCK: usize = 65_535 * 4;

/// The form of a header extension, from its profile field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// One-byte elements, RFC 8285 section 4.2.
    OneByte,
    /// Two-byte elements with four application bits, RFC 8285 section 4.3.
    TwoByte {
        /// The application bits, 0 unless agreed otherwise.
        appbits: u8,
    },
    /// Something that is not of RFC 8285; its octets are kept.
    Other(u16),
}

impl Profile {
    /// What this value of the profile field means.
    pub const fn new(value: u16) -> Self {
        match value {
            ONE_BYTE => Self::OneByte,
            0x1000..=0x100f => Self::TwoByte { appbits: (value & 0x0f) as u8 },
            other => Self::Other(other),
        }
    }

    /// The value of the profile field.
    pub const fn value(self) -> u16 {
        match self {
            Self::OneByte => ONE_BYTE,
            Self::TwoByte { appbits } => TWO_BYTE | (appbits & 0x0f) as u16,
            Self::Other(value) => value,
        }
    }
}

/// Why an element cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElementError {
    /// Identifier 0 is padding (RFC 8285 section 4.2).
    #[error("extension identifier 0 is reserved")]
    Identifier,
    /// A value of more than 255 octets.
    #[error("an extension value has at most 255 octets")]
    Length,
    /// All elements together are more than a block holds.
    #[error("the extension block is full")]
    Block,
}

/// The header extension of one packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensions {
    block: Option<(Profile, Bytes)>,
}

impl Extensions {
    /// No header extension.
    pub const fn new() -> Self {
        Self { block: None }
    }

    /// A block of these elements, in this order. No elements make no block.
    pub fn from_elements<'a, I>(elements: I) -> Result<Self, ElementError>
    where
        I: IntoIterator<Item = (u8, &'a [u8])>,
        I::IntoIter: Clone,
    {
        let elements = elements.into_iter();
        let mut data = Vec::new();
        let profile = write_elements(elements.clone(), &mut data)?;
        let block = (elements.count() > 0).then(|| (profile, Bytes::from(data)));
        Ok(Self { block })
    }

    /// A block that was parsed. `data` is a whole number of words.
    pub(crate) fn from_parts(profile: Profile, data: Bytes) -> Self {
        Self { block: Some((profile, data)) }
    }

    /// The form of the block; `None` if there is none.
    pub fn profile(&self) -> Option<Profile> {
        self.block.as_ref().map(|(profile, _)| *profile)
    }

    /// The octets of the block, after profile and length.
    pub fn data(&self) -> &[u8] {
        self.block.as_ref().map_or(&[], |(_, data)| data)
    }

    /// True if there is no element.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The elements: identifier and value. A broken element ends the list.
    pub fn iter(&self) -> Elements<'_> {
        self.block.as_ref().map_or(Elements::default(), |(profile, data)| elements(*profile, data))
    }

    /// The value of the first element with this identifier.
    pub fn get(&self, id: u8) -> Option<&[u8]> {
        self.iter().find(|(other, _)| *other == id).map(|(_, value)| value)
    }

    /// Replaces the element with this identifier, or adds it at the end. An error changes nothing. A block that is
    /// not of RFC 8285 is replaced.
    pub fn set(&mut self, id: u8, value: &[u8]) -> Result<(), ElementError> {
        *self = if self.get(id).is_some() {
            let same = |(other, old)| if other == id { (other, value) } else { (other, old) };
            Self::from_elements(self.iter().map(same))?
        } else {
            Self::from_elements(self.iter().chain(std::iter::once((id, value))))?
        };
        Ok(())
    }

    /// Removes all elements with this identifier.
    pub fn remove(&mut self, id: u8) {
        if self.get(id).is_some() {
            // What was read can be written, and less of it too: this does not fail.
            if let Ok(rest) = Self::from_elements(self.iter().filter(|(other, _)| *other != id)) {
                *self = rest;
            }
        }
    }

    /// How many octets [`write`](Self::write) appends: a multiple of four, 0 without a block.
    pub fn encoded_len(&self) -> usize {
        self.block.as_ref().map_or(0, |(_, data)| 4 + data.len())
    }

    /// Appends profile, length and elements, or nothing without a block.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Some((profile, data)) = &self.block {
            out.extend_from_slice(&profile.value().to_be_bytes());
            // Both ways to make a block bound it to MAX_BLOCK: the length fits.
            out.extend_from_slice(&((data.len() / 4) as u16).to_be_bytes());
            out.extend_from_slice(data);
        }
    }
}

impl<'a> IntoIterator for &'a Extensions {
    type Item = (u8, &'a [u8]);
    type IntoIter = Elements<'a>;

    fn into_iter(self) -> Elements<'a> {
        self.iter()
    }
}

/// The elements of a block. See [`Extensions::iter`].
#[derive(Debug, Clone, Default)]
pub struct Elements<'a> {
    rest: &'a [u8],
    two_byte: bool,
}

/// The elements of a block of this profile.
pub(crate) fn elements(profile: Profile, data: &[u8]) -> Elements<'_> {
    match profile {
        Profile::OneByte => Elements { rest: data, two_byte: false },
        Profile::TwoByte { .. } => Elements { rest: data, two_byte: true },
        Profile::Other(_) => Elements::default(),
    }
}

impl<'a> Elements<'a> {
    /// Identifier, length and what follows, of the element at the start of `rest`; `None` ends the list.
    fn header(two_byte: bool, first: u8, rest: &'a [u8]) -> Option<(u8, usize, &'a [u8])> {
        if two_byte {
            let (length, rest) = rest.split_first()?;
            return Some((first, usize::from(*length), rest));
        }
        match first >> 4 {
            // 0 with a length, and 15 in any case, end the processing (RFC 8285 section 4.2).
            0 | 15 => None,
            id => Some((id, usize::from(first & 0x0f) + 1, rest)),
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (first, rest) = std::mem::take(&mut self.rest).split_first()?;
            if *first == 0 {
                self.rest = rest;
                continue;
            }
            let (id, length, rest) = Self::header(self.two_byte, *first, rest)?;
            let (value, rest) = rest.split_at_checked(length)?;
            self.rest = rest;
            return Some((id, value));
        }
    }
}

/// Appends profile, length and elements. `out` may hold part of the block after an error.
pub(crate) fn write_block<'a>(
    elements: impl Iterator<Item = (u8, &'a [u8])> + Clone,
    out: &mut Vec<u8>,
) -> Result<(), ElementError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let body = out.len();
    let profile = write_elements(elements, out)?;
    // write_elements bounds the block to MAX_BLOCK: the length fits.
    let [p0, p1] = profile.value().to_be_bytes();
    let [l0, l1] = (((out.len() - body) / 4) as u16).to_be_bytes();
    if let Some(place) = out.get_mut(start..body) {
        place.copy_from_slice(&[p0, p1, l0, l1]);
    }
    Ok(())
}

/// Appends the elements and zeros up to a whole word.
fn write_elements<'a>(
    elements: impl Iterator<Item = (u8, &'a [u8])> + Clone,
    out: &mut Vec<u8>,
) -> Result<Profile, ElementError> {
    let start = out.len();
    let two_byte = elements.clone().any(|(id, value)| id > 14 || value.is_empty() || value.len() > 16);
    for (id, value) in elements {
        let length = u8::try_from(value.len()).map_err(|_| ElementError::Length)?;
        if id == 0 {
            return Err(ElementError::Identifier);
        }
        if two_byte {
            out.extend_from_slice(&[id, length]);
        } else {
            // Not empty and at most 16 octets, or the two-byte form would have been chosen.
            out.push((id << 4) | (length.wrapping_sub(1) & 0x0f));
        }
        out.extend_from_slice(value);
    }
    let length = (out.len() - start).next_multiple_of(4);
    if length > MAX_BLOCK {
        return Err(ElementError::Block);
    }
    out.resize(start + length, 0);
    Ok(if two_byte { Profile::TwoByte { appbits: 0 } } else { Profile::OneByte })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(extensions: &Extensions) -> Vec<(u8, Vec<u8>)> {
        extensions.iter().map(|(id, value)| (id, value.to_vec())).collect()
    }

    #[test]
    fn the_one_byte_form_is_chosen_where_everything_fits() {
        let extensions = Extensions::from_elements([(1, &[9u8][..]), (14, &[1; 16])]).unwrap();
        assert_eq!(extensions.profile(), Some(Profile::OneByte));
        assert_eq!(extensions.data().len() % 4, 0);
        assert_eq!(list(&extensions), [(1, vec![9]), (14, vec![1; 16])]);
        let mut out = Vec::new();
        extensions.write(&mut out);
        assert_eq!(out.len(), extensions.encoded_len());
        assert_eq!(out[..6], [0xbe, 0xde, 0, 5, 0x10, 9]);
    }

    #[test]
    fn the_two_byte_form_is_chosen_otherwise() {
        for (id, value) in [(15u8, &[1u8][..]), (1, &[0; 17]), (1, &[]), (255, &[3; 255])] {
            let extensions = Extensions::from_elements([(2, &[5u8][..]), (id, value)]).unwrap();
            assert_eq!(extensions.profile(), Some(Profile::TwoByte { appbits: 0 }));
            assert_eq!(list(&extensions), [(2, vec![5]), (id, value.to_vec())]);
        }
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        assert_eq!(Extensions::from_elements([(0, &[1u8][..])]), Err(ElementError::Identifier));
        assert_eq!(Extensions::from_elements([(1, &[1u8; 256][..])]), Err(ElementError::Length));
        let many = std::iter::repeat_n((1u8, &[0u8; 255][..]), 1_200);
        assert_eq!(Extensions::from_elements(many), Err(ElementError::Block));
        assert_eq!(Extensions::from_elements([]), Ok(Extensions::new()));
    }

    #[test]
    fn elements_are_replaced_added_and_removed() {
        let mut extensions = Extensions::new();
        extensions.set(3, b"a").unwrap();
        extensions.set(4, b"bb").unwrap();
        extensions.set(3, b"ccc").unwrap();
        assert_eq!(list(&extensions), [(3, b"ccc".to_vec()), (4, b"bb".to_vec())]);
        assert_eq!(extensions.get(4), Some(&b"bb"[..]));
        let before = extensions.clone();
        assert!(extensions.set(0, b"x").is_err());
        assert_eq!(extensions, before, "an error changes nothing");
        extensions.remove(3);
        extensions.remove(9);
        assert_eq!(list(&extensions), [(4, b"bb".to_vec())]);
        extensions.remove(4);
        assert_eq!(extensions, Extensions::new());
        assert!(extensions.is_empty());
    }

    #[test]
    fn padding_and_the_reserved_identifiers_are_handled() {
        let one = |data: &'static [u8]| elements(Profile::OneByte, data).collect::<Vec<_>>();
        assert_eq!(one(&[0, 0, 0x10, 7, 0, 0x20, 8, 0]), [(1, &[7u8][..]), (2, &[8])]);
        assert_eq!(one(&[0x10, 7, 0xf0, 1, 0x10, 9]), [(1, &[7u8][..])], "15 ends the list");
        assert_eq!(one(&[0x03, 7, 0x10, 9]), [], "identifier 0 with a length ends the list");
        assert_eq!(one(&[0x13, 7, 7, 7]), [], "a value beyond the block ends the list");
        let two = |data: &'static [u8]| elements(Profile::TwoByte { appbits: 3 }, data).collect::<Vec<_>>();
        assert_eq!(two(&[0, 1, 0, 15, 1, 9, 0]), [(1, &[][..]), (15, &[9])]);
        assert_eq!(two(&[1]), []);
        assert_eq!(two(&[1, 2, 3]), []);
        assert_eq!(elements(Profile::Other(0x1234), &[0x10, 1, 0, 0]).count(), 0);
    }

    #[test]
    fn the_profile_field_keeps_its_value() {
        for value in 0..=u16::MAX {
            assert_eq!(Profile::new(value).value(), value);
        }
    }

    #[test]
    fn random_elements_come_back_through_both_writers() {
        let mut rng = taut_sansio::rng::Rng::from_u64(1);
        let mut one_byte = 0;
        for _ in 0..5_000 {
            let short = rng.below(2) == 0;
            let (ids, lengths) = if short { (14, 16) } else { (255, 256) };
            let elements: Vec<(u8, Vec<u8>)> = (0..1 + rng.below(5))
                .map(|_| {
                    let id = 1 + rng.below(ids) as u8;
                    let length = u32::from(short) + rng.below(lengths);
                    (id, (0..length).map(|_| rng.below(256) as u8).collect())
                })
                .collect();
            let borrowed: Vec<(u8, &[u8])> = elements.iter().map(|(id, value)| (*id, &value[..])).collect();
            let extensions = Extensions::from_elements(borrowed.iter().copied()).unwrap();
            assert_eq!(list(&extensions), elements);
            one_byte += u32::from(extensions.profile() == Some(Profile::OneByte));
            let (mut one, mut other) = (Vec::new(), Vec::new());
            extensions.write(&mut one);
            write_block(borrowed.into_iter(), &mut other).unwrap();
            assert_eq!(one, other);
            assert_eq!(one.len(), extensions.encoded_len());
        }
        assert!(one_byte > 2_400, "{one_byte}");
    }
}
