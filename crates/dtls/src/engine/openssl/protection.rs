//! Records of epoch 1 under the keys of a handshake that is done: DTLS 1.2 with the AEAD ciphers that are offered (RFC 6347
//! section 4.1, RFC 5246 sections 6.2.3.3 and 6.3, RFC 5288, RFC 7905).
//!
//! ```text
//! type, version, epoch, number, length | explicit nonce (AES-GCM only) | ciphertext | tag
//! ```

use std::ops::Range;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use aws_lc_rs::tls_prf::{self, P_SHA256, P_SHA384, Secret};
use taut_sansio::codec::Reader;
use taut_sansio::replay::Window;

use crate::record::PLAIN_HEADER;

/// Epoch and number as they stand in a record: 16 and 48 bits.
const EPOCH: u64 = 1 << 48;
/// A number above this is of another epoch.
const LAST: u64 = EPOCH | (EPOCH - 1);
/// DTLS 1.2.
const VERSION: [u8; 2] = [0xfe, 0xfd];
/// The octets of a tag, with each of the ciphers.
const TAG: usize = 16;
/// The octets of an explicit nonce (RFC 5288 section 3).
const EXPLICIT: usize = 8;
/// RFC 5246 section 6.3.
const KEY_EXPANSION: &[u8] = b"key expansion";

/// What a handshake agreed on.
pub(super) struct Secrets {
    pub(super) cipher_suite: u16,
    pub(super) is_client: bool,
    pub(super) master: [u8; 48],
    pub(super) client_random: [u8; 32],
    pub(super) server_random: [u8; 32],
}

/// The keys cannot be made, or are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unusable;

/// Both directions.
pub(super) struct Protection {
    sealing: Key,
    opening: Key,
    /// Epoch and number of the next record of this side, and its explicit nonce.
    next: u64,
    nonce: u64,
    window: Window,
}

/// A record that was opened, and where its plaintext lies in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) content_type: u8,
    pub(super) plaintext: Range<usize>,
}

/// A keyed cipher.
struct Key {
    cipher: LessSafeKey,
    nonces: Nonces,
}

/// Where the nonce of a record comes from.
#[derive(Clone, Copy)]
enum Nonces {
    /// Four secret octets, and eight in front of the ciphertext.
    Explicit([u8; 4]),
    /// The number of the record, added to a secret.
    Implicit([u8; NONCE_LEN]),
}

impl Protection {
    /// From what was agreed on, the last protected record that this side sent, and the last one that came in.
    pub(super) fn new(secrets: &Secrets, sent: &[u8], received: &[u8]) -> Result<Self, Unusable> {
        let (algorithm, prf, iv_len) = parts(secrets.cipher_suite).ok_or(Unusable)?;
        let key_len = algorithm.key_len();
        // AEAD ciphers have no MAC keys.
        let block = Secret::new(prf, &secrets.master)
            .and_then(|master| {
                let (server, client) = (&secrets.server_random, &secrets.client_random);
                master.derive_with_seed_concatination(KEY_EXPANSION, server, client, 2 * (key_len + iv_len))
            })
            .map_err(|_| Unusable)?;
        let mut block = Reader::new(block.as_ref());
        let mut take = |length| block.take(length).map_err(|_| Unusable);
        let keys = [take(key_len)?, take(key_len)?];
        let ivs = [take(iv_len)?, take(iv_len)?];
        let [client, server] = [Key::new(algorithm, keys[0], ivs[0])?, Key::new(algorithm, keys[1], ivs[1])?];
        let (sealing, opening) = if secrets.is_client { (client, server) } else { (server, client) };
        let (sent, received) = (Head::parse(sent).ok_or(Unusable)?, Head::parse(received).ok_or(Unusable)?);
        let window = Window::new(received.number);
        Ok(Self {
            sealing,
            opening,
            next: sent.number.saturating_add(1),
            // OpenSSL begins anywhere and counts: going on from there, no nonce is used twice.
            nonce: sent.nonce.wrapping_add(1),
            window,
        })
    }

    /// The octets in front of the plaintext of a record.
    #[inline]
    pub(super) fn headroom(&self) -> usize {
        PLAIN_HEADER + self.sealing.nonces.explicit()
    }

    /// Makes a record of what lies in `out` from `start` on: [`headroom`](Self::headroom) octets, and the plaintext. What
    /// is there after a failure is to be cut off.
    #[inline]
    pub(super) fn seal(&mut self, content_type: u8, out: &mut Vec<u8>, start: usize) -> Result<(), Unusable> {
        let number = self.next;
        if number > LAST {
            return Err(Unusable);
        }
        let record = out.get_mut(start..).ok_or(Unusable)?;
        let (header, body) = record.split_first_chunk_mut::<PLAIN_HEADER>().ok_or(Unusable)?;
        let length = u16::try_from(body.len().saturating_add(TAG)).map_err(|_| Unusable)?;
        let [major, minor] = VERSION;
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        let [high, low] = length.to_be_bytes();
        *header = [content_type, major, minor, a, b, c, d, e, f, g, h, high, low];
        let explicit = self.nonce.to_be_bytes();
        let (front, plaintext) = body.split_at_mut_checked(self.sealing.nonces.explicit()).ok_or(Unusable)?;
        front.iter_mut().zip(explicit).for_each(|(place, octet)| *place = octet);
        let nonce = self.sealing.nonce(explicit, number);
        let aad = Fields { content_type, version: VERSION, number }.authenticated(plaintext.len());
        let tag =
            self.sealing.cipher.seal_in_place_separate_tag(nonce, aad, plaintext).map_err(|_| Unusable)?;
        out.extend_from_slice(tag.as_ref());
        self.next = number.saturating_add(1);
        self.nonce = self.nonce.wrapping_add(1);
        Ok(())
    }

    /// Opens a record where it lies, once. `None` for a forged one, a replay, and what is no record of epoch 1; its
    /// octets are then of no use.
    #[inline]
    pub(super) fn open(&mut self, record: &mut [u8]) -> Option<Opened> {
        let number = Head::parse(record)?.number;
        if number & !(EPOCH - 1) != EPOCH {
            return None;
        }
        self.window.check(number).ok()?;
        let opened = self.opening.open(record)?;
        self.window.commit(number);
        Some(opened)
    }

    /// What this side protected in a record.
    pub(super) fn reopen(&self, record: &[u8]) -> Option<Vec<u8>> {
        let mut record = record.to_vec();
        let opened = self.sealing.open(&mut record)?;
        record.get(opened.plaintext).map(<[u8]>::to_vec)
    }
}

impl std::fmt::Debug for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Protection")
            .field("next", &self.next)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

impl Nonces {
    /// The octets of it that stand in the record.
    #[inline]
    fn explicit(self) -> usize {
        match self {
            Self::Explicit(_) => EXPLICIT,
            Self::Implicit(_) => 0,
        }
    }
}

impl Key {
    fn new(algorithm: &'static Algorithm, key: &[u8], iv: &[u8]) -> Result<Self, Unusable> {
        let cipher = UnboundKey::new(algorithm, key).map(LessSafeKey::new).map_err(|_| Unusable)?;
        let nonces = match (<[u8; 4]>::try_from(iv), <[u8; NONCE_LEN]>::try_from(iv)) {
            (Ok(salt), _) => Nonces::Explicit(salt),
            (_, Ok(secret)) => Nonces::Implicit(secret),
            _ => return Err(Unusable),
        };
        Ok(Self { cipher, nonces })
    }

    #[inline]
    fn nonce(&self, explicit: [u8; EXPLICIT], number: u64) -> Nonce {
        Nonce::assume_unique_for_key(match self.nonces {
            Nonces::Explicit([a, b, c, d]) => {
                let [e, f, g, h, i, j, k, l] = explicit;
                [a, b, c, d, e, f, g, h, i, j, k, l]
            }
            Nonces::Implicit(mut secret) => {
                let last = secret.iter_mut().skip(NONCE_LEN - EXPLICIT);
                last.zip(number.to_be_bytes()).for_each(|(octet, number)| *octet ^= number);
                secret
            }
        })
    }

    #[inline]
    fn open(&self, record: &mut [u8]) -> Option<Opened> {
        let Head { number, nonce } = Head::parse(record)?;
        let start = PLAIN_HEADER + self.nonces.explicit();
        let [content_type, major, minor, ..] = *record else { return None };
        let fields = Fields { content_type, version: [major, minor], number };
        let body = record.get_mut(start..)?;
        let length = body.len().checked_sub(TAG)?;
        let (ciphertext, tag) = body.split_at_mut_checked(length)?;
        let nonce = self.nonce(nonce.to_be_bytes(), number);
        self.cipher.open_in_place_separate_tag(nonce, fields.authenticated(length), tag, ciphertext).ok()?;
        Some(Opened { content_type, plaintext: start..start.saturating_add(length) })
    }
}

/// The cipher of a suite, the function that its keys come from, and the octets of an IV (RFC 5288 section 3, RFC 5289
/// section 3.2, RFC 7905 section 2).
fn parts(cipher_suite: u16) -> Option<(&'static Algorithm, &'static tls_prf::Algorithm, usize)> {
    match cipher_suite {
        0xc02b | 0xc02f => Some((&AES_128_GCM, &P_SHA256, NONCE_LEN - EXPLICIT)),
        0xc02c | 0xc030 => Some((&AES_256_GCM, &P_SHA384, NONCE_LEN - EXPLICIT)),
        0xcca8 | 0xcca9 => Some((&CHACHA20_POLY1305, &P_SHA256, NONCE_LEN)),
        _ => None,
    }
}

/// What of a record makes its nonce.
struct Head {
    /// Epoch and number.
    number: u64,
    /// The explicit nonce, of no meaning where the cipher has none.
    nonce: u64,
}

impl Head {
    #[inline]
    fn parse(record: &[u8]) -> Option<Self> {
        let (&[_, _, _, a, b, c, d, e, f, g, h, _, _], fragment) =
            record.split_first_chunk::<PLAIN_HEADER>()?;
        let nonce = u64::from_be_bytes(*fragment.first_chunk::<EXPLICIT>()?);
        Some(Self { number: u64::from_be_bytes([a, b, c, d, e, f, g, h]), nonce })
    }
}

/// What is authenticated beside the plaintext (RFC 5246 section 6.2.3.3, RFC 6347 section 4.1.2.1).
struct Fields {
    content_type: u8,
    version: [u8; 2],
    number: u64,
}

impl Fields {
    #[inline]
    fn authenticated(&self, length: usize) -> Aad<[u8; 13]> {
        let [a, b, c, d, e, f, g, h] = self.number.to_be_bytes();
        let [major, minor] = self.version;
        // A record has fewer octets than its length field can say.
        let [high, low] = (length as u16).to_be_bytes();
        Aad::from([a, b, c, d, e, f, g, h, self.content_type, major, minor, high, low])
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::record::content;

    const SUITES: [u16; 6] = [0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca8, 0xcca9];

    /// A record as OpenSSL left it: nothing but its number and nonce counts.
    fn left(number: u64, nonce: u64) -> Vec<u8> {
        let mut record = vec![content::HANDSHAKE, 0xfe, 0xfd];
        record.extend((EPOCH | number).to_be_bytes());
        record.extend([0, 8]);
        record.extend(nonce.to_be_bytes());
        record
    }

    fn half(cipher_suite: u16, is_client: bool, sent: &[u8], received: &[u8]) -> Protection {
        let secrets = Secrets {
            cipher_suite,
            is_client,
            master: [1; 48],
            client_random: [2; 32],
            server_random: [3; 32],
        };
        Protection::new(&secrets, sent, received).unwrap()
    }

    /// A client whose last record had the number 11, and a server whose last one had the number 0.
    pub(in super::super) fn pair(cipher_suite: u16) -> [Protection; 2] {
        let (client, server) = (left(11, u64::MAX), left(0, 77));
        [half(cipher_suite, true, &client, &server), half(cipher_suite, false, &server, &client)]
    }

    fn sealed(by: &mut Protection, plaintext: &[u8]) -> Vec<u8> {
        let mut out = vec![9; 3 + by.headroom()];
        out.extend(plaintext);
        by.seal(content::APPLICATION_DATA, &mut out, 3).unwrap();
        assert_eq!(out[..3], [9; 3], "what stands before it stays");
        out.split_off(3)
    }

    #[test]
    fn each_side_opens_what_the_other_seals_once() {
        for suite in SUITES {
            let mut ends = pair(suite);
            for (from, to) in [(0, 1), (1, 0)] {
                for plaintext in [&b""[..], b"x", &[7; 1200], &[8; 1 << 14]] {
                    let record = sealed(&mut ends[from], plaintext);
                    let overhead = PLAIN_HEADER + crate::hello::protection_overhead(suite);
                    assert_eq!(record.len(), plaintext.len() + overhead);
                    assert_eq!(
                        ends[from].open(&mut record.clone()),
                        None,
                        "the keys of the two sides differ"
                    );
                    let mut copy = record.clone();
                    let opened = ends[to].open(&mut copy).unwrap();
                    assert_eq!(opened.content_type, content::APPLICATION_DATA);
                    assert_eq!(&copy[opened.plaintext], plaintext);
                    assert_eq!(ends[to].open(&mut record.clone()), None, "a replay");
                    assert_eq!(ends[from].reopen(&record).unwrap(), plaintext);
                }
            }
        }
    }

    #[test]
    fn no_changed_bit_and_no_cut_opens_and_none_of_them_closes_the_window() {
        for suite in SUITES {
            let [mut client, mut server] = pair(suite);
            let record = sealed(&mut client, b"0123456789");
            for bit in 0..record.len() * 8 {
                // The length is that of the datagram; a record that does not agree with it is none.
                if (88..104).contains(&bit) {
                    continue;
                }
                let mut changed = record.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(server.open(&mut changed), None, "{suite:x} {bit}");
            }
            for length in 0..record.len() {
                assert_eq!(server.open(&mut record[..length].to_vec()), None, "{suite:x} {length}");
            }
            assert!(server.open(&mut record.clone()).is_some());
        }
    }

    #[test]
    fn numbers_and_nonces_go_on_where_openssl_stopped() {
        for suite in SUITES {
            let [mut client, mut server] = pair(suite);
            let heads: Vec<_> = (0..3).map(|_| Head::parse(&sealed(&mut client, b"data")).unwrap()).collect();
            let numbers: Vec<_> = heads.iter().map(|head| head.number - EPOCH).collect();
            assert_eq!(numbers, [12, 13, 14]);
            if suite & 0xff00 == 0xc000 {
                let nonces: Vec<_> = heads.iter().map(|head| head.nonce).collect();
                assert_eq!(nonces, [0, 1, 2], "the last one was the highest there is");
            }
            // What OpenSSL has sent itself is taken for a replay by the other side.
            for number in 0..12 {
                client.next = EPOCH | number;
                let again = number == 11;
                assert_eq!(server.open(&mut sealed(&mut client, b"x")).is_none(), again, "{number}");
            }
        }
    }

    #[test]
    fn numbers_end_before_the_next_epoch() {
        let [mut client, mut server] = pair(0xc02b);
        client.next = LAST;
        let mut last = sealed(&mut client, b"x");
        assert!(server.open(&mut last).is_some());
        let mut out = vec![0; client.headroom() + 1];
        assert_eq!(client.seal(content::APPLICATION_DATA, &mut out, 0), Err(Unusable));
    }

    #[test]
    fn records_of_other_epochs_are_none_of_ours() {
        let [client, mut server] = pair(0xcca9);
        for epoch in [0, 2, 3, u64::from(u16::MAX)] {
            assert_eq!(server.open(&mut sealed_in(&client, epoch)), None, "{epoch}");
        }
        assert!(server.open(&mut sealed_in(&client, 1)).is_some());
    }

    /// A record that is authentic but for its epoch.
    fn sealed_in(by: &Protection, epoch: u64) -> Vec<u8> {
        let number = (epoch << 48) | 20;
        let mut body = b"x".to_vec();
        let fields = Fields { content_type: content::APPLICATION_DATA, version: VERSION, number };
        let (nonce, aad) = (by.sealing.nonce([0; EXPLICIT], number), fields.authenticated(1));
        by.sealing.cipher.seal_in_place_append_tag(nonce, aad, &mut body).unwrap();
        let mut record = vec![content::APPLICATION_DATA, 0xfe, 0xfd];
        record.extend(number.to_be_bytes());
        record.extend((body.len() as u16).to_be_bytes());
        record.extend(body);
        record
    }

    #[test]
    fn the_suites_that_are_offered_have_keys() {
        let known: BTreeSet<u16> = (0..=u16::MAX).filter(|suite| parts(*suite).is_some()).collect();
        assert_eq!(known, BTreeSet::from(SUITES));
        assert!(
            (0..=u16::MAX).all(|suite| parts(suite).is_some()
                == crate::engine::offers(crate::config::Engine::OpenSsl, suite))
        );
    }
}
