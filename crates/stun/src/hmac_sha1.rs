//! HMAC-SHA1 (RFC 2104) under a kept key, on the compression function of the crate `sha1`.
//!
//! A connectivity check is two blocks long. The buffered states of the crate `hmac`, which are copied for every message, cost it
//! as much as the third block of the MAC (`benches/RESULTS.md`, "stun").

use sha1::block_api::compress;

/// The octets of a block.
pub(crate) const BLOCK: usize = 64;

/// The octets of a MAC.
pub(crate) const LEN: usize = 20;

/// How many blocks a message is put together in, padding included: checks, and most requests to TURN servers.
const SHORT: usize = 4;

/// The octets of what padding ends with: the length in bits.
const LENGTH: usize = 8;

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

    /// The MAC of these octets, one after the other.
    #[inline]
    pub(crate) fn mac(&self, head: &[u8], tail: &[u8]) -> [u8; LEN] {
        let inner = match hash_short(self.inner, head, tail) {
            Some(inner) => inner,
            None => hash_long(self.inner, head, tail),
        };
        let mut block = [0; BLOCK];
        place(&mut block, 0, &octets(inner));
        place(&mut block, LEN, &[0x80]);
        place(&mut block, BLOCK - LENGTH, &bits(LEN));
        let mut outer = self.outer;
        compress(&mut outer, &[block]);
        octets(outer)
    }
}

/// Goes on from a state that has taken in one block, to the end of the hash: padded with a one, zeros, and the length (FIPS
/// 180-4 section 5.1.1), and in one step, which a message of the size of a check is put together for. `None` for a longer one.
#[inline]
fn hash_short(mut state: [u32; 5], head: &[u8], tail: &[u8]) -> Option<[u32; 5]> {
    let mut blocks = [[0; BLOCK]; SHORT];
    let length = head.len() + tail.len();
    let used = blocks.get_mut(..(length + 1 + LENGTH).div_ceil(BLOCK))?;
    let octets = used.as_flattened_mut();
    let end = octets.len() - LENGTH;
    place(octets, 0, head);
    place(octets, head.len(), tail);
    place(octets, length, &[0x80]);
    place(octets, end, &bits(length));
    compress(&mut state, used);
    Some(state)
}

/// The same for any length.
fn hash_long(mut state: [u32; 5], head: &[u8], tail: &[u8]) -> [u32; 5] {
    let (mut block, mut filled) = ([0; BLOCK], 0);
    for part in [head, tail] {
        // What began a block is filled up first.
        let room = if filled == 0 { 0 } else { BLOCK - filled };
        let (first, rest) = part.split_at(room.min(part.len()));
        place(&mut block, filled, first);
        filled += first.len();
        if filled == BLOCK {
            compress(&mut state, &[block]);
            filled = 0;
        }
        let (blocks, rest) = rest.as_chunks::<BLOCK>();
        compress(&mut state, blocks);
        place(&mut block, filled, rest);
        filled += rest.len();
    }
    block.iter_mut().skip(filled).for_each(|octet| *octet = 0);
    place(&mut block, filled, &[0x80]);
    if filled >= BLOCK - LENGTH {
        compress(&mut state, &[block]);
        block = [0; BLOCK];
    }
    place(&mut block, BLOCK - LENGTH, &bits(head.len() + tail.len()));
    compress(&mut state, &[block]);
    state
}

/// What padding ends with, for a message after the block of the key.
fn bits(length: usize) -> [u8; LENGTH] {
    ((BLOCK + length) as u64 * 8).to_be_bytes()
}

#[inline(always)]
fn octets(state: [u32; 5]) -> [u8; LEN] {
    let mut octets = [0; LEN];
    let (words, _) = octets.as_chunks_mut::<4>();
    words.iter_mut().zip(state).for_each(|(place, word)| *place = word.to_be_bytes());
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
    fn it_is_the_mac_of_the_crate_hmac_however_it_is_cut() {
        let block: [u8; BLOCK] = std::array::from_fn(|at| at as u8);
        let key = HmacSha1::new(&block);
        let octets: Vec<u8> = (0..300u32).map(|at| (at * 31 % 251) as u8).collect();
        for length in 0..octets.len() {
            let message = &octets[..length];
            let theirs: [u8; LEN] =
                Hmac::<Sha1>::new(&block.into()).chain_update(message).finalize().into_bytes().into();
            for cut in [0, 1, 19, 20, 21, 63, 64, 65, 128, length] {
                let (head, tail) = message.split_at(cut.min(length));
                assert_eq!(key.mac(head, tail), theirs, "{length} octets, cut at {cut}");
            }
        }
    }

    #[test]
    fn the_test_cases_of_rfc_2202_hold() {
        let mac = |key: &[u8], data: &[u8]| {
            let mut block = [0; BLOCK];
            block[..key.len()].copy_from_slice(key);
            HmacSha1::new(&block).mac(data, &[])
        };
        let hex = |mac: [u8; LEN]| mac.map(|octet| format!("{octet:02x}")).concat();
        assert_eq!(hex(mac(&[0x0b; 20], b"Hi There")), "b617318655057264e28bc0b6fb378c8ef146be00");
        let jefe = mac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(jefe), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(hex(mac(&[0xaa; 20], &[0xdd; 50])), "125d7342b9ac11cd91a39af48aa17b4f63f175d3");
    }
}
