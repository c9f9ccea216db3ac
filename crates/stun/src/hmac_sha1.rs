//! HMAC-SHA1 (RFC 2104) under a kept key, on the compression function of the crate `sha1`.
//!
//! A connectivity check is two blocks long. The buffered states of the crate `hmac`, which are copied for every message, cost it
//! as much as the third block of the MAC (`benches/RESULTS.md`, "stun"). So a message is hashed where it stands, but for its first
//! block, because the length in its header may have to be another one, and its last.

use sha1::block_api::compress;

/// The octets of a block.
pub(crate) const BLOCK: usize = 64;

/// The octets of a MAC.
pub(crate) const LEN: usize = 20;

/// The least octets of padding: a one, and the length in bits (FIPS 180-4 section 5.1.1).
const PADDING: usize = 9;

/// The state that a hash begins with (FIPS 180-4 section 5.3.1).
const INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// A key: what the two hashes are once they have taken in their first blocks.
#[derive(Clone)]
pub(crate) struct HmacSha1 {
    inner: [u32; 5],
    outer: [u32; 5],
}

impl HmacSha1 {
    /// The key whose octets, filled up with zeros, are `block`.
    pub(crate) fn new(block: &[u8; BLOCK]) -> Self {
        let keyed = |pad: u8| {
            let mut state = INITIAL;
            compress(&mut state, &[block.map(|octet| octet ^ pad)]);
            state
        };
        Self { inner: keyed(0x36), outer: keyed(0x5c) }
    }

    /// The MAC of these octets.
    pub(crate) fn mac(&self, octets: &[u8]) -> [u8; LEN] {
        self.mac_edited(octets, |_| {})
    }

    /// The MAC of a STUN message as if its header said `length`.
    pub(crate) fn mac_with_length(&self, message: &[u8], length: u16) -> [u8; LEN] {
        self.mac_edited(message, |first| [first[2], first[3]] = length.to_be_bytes())
    }

    /// The MAC of what `octets` are once their first block is edited.
    #[inline(always)]
    fn mac_edited(&self, octets: &[u8], edit: impl FnOnce(&mut [u8; BLOCK])) -> [u8; LEN] {
        let mut state = self.inner;
        let mut blocks = [[0; BLOCK]; 2];
        let [first, second] = &mut blocks;
        match octets.split_first_chunk() {
            // As long as most checks are: both blocks in one step.
            Some((whole, rest)) if rest.len() <= BLOCK - PADDING => {
                *first = *whole;
                edit(first);
                place(second, 0, rest);
                finish(&mut state, &mut blocks, octets.len(), octets.len());
            }
            Some((whole, rest)) => {
                *first = *whole;
                edit(first);
                compress(&mut state, &[*first]);
                let (whole, rest) = rest.as_chunks();
                compress(&mut state, whole);
                *first = [0; BLOCK];
                place(first, 0, rest);
                finish(&mut state, &mut blocks, rest.len(), octets.len());
            }
            None => {
                place(first, 0, octets);
                edit(first);
                finish(&mut state, &mut blocks, octets.len(), octets.len());
            }
        }
        let [a, b, c, d, e] = state;
        // The inner hash and its padding, by words, which take one store less than octets.
        let outer_block = [a, b, c, d, e, 0x8000_0000, 0, 0, 0, 0, 0, 0, 0, 0, 0, ((BLOCK + LEN) * 8) as u32];
        let mut state = self.outer;
        compress(&mut state, &[octets_of(outer_block)]);
        octets_of(state)
    }
}

/// Pads a message of `length` octets (FIPS 180-4 section 5.1.1), whose last ones are the first `filled` of `blocks`, and takes
/// these into its hash. The block of the key came before the message.
#[inline(always)]
fn finish(state: &mut [u32; 5], blocks: &mut [[u8; BLOCK]; 2], filled: usize, length: usize) {
    let used = (filled + PADDING).div_ceil(BLOCK);
    place(blocks.as_flattened_mut(), filled, &[0x80]);
    let bits = ((BLOCK + length) as u64 * 8).to_be_bytes();
    place(blocks.as_flattened_mut(), used * BLOCK - bits.len(), &bits);
    compress(state, blocks.get(..used).unwrap_or_default());
}

/// Words as octets, big end first.
#[inline(always)]
fn octets_of<const WORDS: usize, const OCTETS: usize>(words: [u32; WORDS]) -> [u8; OCTETS] {
    let mut octets = [0; OCTETS];
    let (places, _) = octets.as_chunks_mut::<4>();
    places.iter_mut().zip(words).for_each(|(place, word)| *place = word.to_be_bytes());
    octets
}

#[inline(always)]
fn place(block: &mut [u8], at: usize, octets: &[u8]) {
    // No caller has more octets than the block has room for.
    if let Some(place) = block.get_mut(at..at + octets.len()) {
        place.copy_from_slice(octets);
    }
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use sha1::Sha1;

    use super::*;

    #[test]
    fn it_is_the_mac_of_the_crate_hmac_at_every_length() {
        let block: [u8; BLOCK] = std::array::from_fn(|at| at as u8);
        let key = HmacSha1::new(&block);
        let theirs = |message: &[u8]| -> [u8; LEN] {
            Hmac::<Sha1>::new(&block.into()).chain_update(message).finalize().into_bytes().into()
        };
        let octets: Vec<u8> = (0..300u32).map(|at| (at * 31 % 251) as u8).collect();
        for length in 0..=octets.len() {
            let message = &octets[..length];
            assert_eq!(key.mac(message), theirs(message), "{length} octets");
            if length >= 4 {
                let edited = [&message[..2], &[0x12, 0x34], &message[4..]].concat();
                assert_eq!(key.mac_with_length(message, 0x1234), theirs(&edited), "{length} octets");
            }
        }
    }

    #[test]
    fn the_test_cases_of_rfc_2202_hold() {
        let mac = |key: &[u8], data: &[u8]| {
            let mut block = [0; BLOCK];
            block[..key.len()].copy_from_slice(key);
            HmacSha1::new(&block).mac(data)
        };
        let hex = |mac: [u8; LEN]| mac.map(|octet| format!("{octet:02x}")).concat();
        assert_eq!(hex(mac(&[0x0b; 20], b"Hi There")), "b617318655057264e28bc0b6fb378c8ef146be00");
        let jefe = mac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(jefe), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(hex(mac(&[0xaa; 20], &[0xdd; 50])), "125d7342b9ac11cd91a39af48aa17b4f63f175d3");
    }
}
