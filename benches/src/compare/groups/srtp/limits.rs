//! Bare ciphers over the same octets with contexts kept: what SRTP cannot be faster than.

use std::hint::black_box;

use hmac::{Hmac, KeyInit, Mac};
use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use sha1::Sha1;
use taut_srtp::Profile;

use super::{Work, rounds};
use crate::trial::Standing::Limit;
use crate::trial::Trial;

/// The octets of an RTP header without anything extra.
const HEADER: usize = 12;

/// A nonce for each packet.
fn nonce(number: &mut u64) -> [u8; 12] {
    *number += 1;
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    nonce
}

pub(super) fn seal<'a>(trial: &mut Trial<'a>, work: &'a Work) {
    if work.profile == Profile::Aes128CmSha1_80 {
        cm(trial, work, &work.plain);
    } else {
        aws_lc_seal(trial, work);
        ring_seal(trial, work);
        openssl_seal(trial, work);
    }
}

pub(super) fn open<'a>(trial: &mut Trial<'a>, work: &'a Work) {
    if work.profile == Profile::Aes128CmSha1_80 {
        // The same work in the other order.
        cm(trial, work, &work.plain);
    } else {
        bare_open(trial, work);
    }
}

/// AES-CTR of aws-lc-rs and HMAC of RustCrypto, and both of RustCrypto.
fn cm<'a>(trial: &mut Trial<'a>, work: &'a Work, packets: &'a [Vec<u8>]) {
    use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
    use aws_lc_rs::iv::FixedLength;
    use ctr::cipher::{InnerIvInit, StreamCipher};

    let keyed = <Hmac<Sha1> as KeyInit>::new_from_slice(&[3; 20]).expect("a key");
    let tag = |keyed: &Hmac<Sha1>, out: &mut Vec<u8>| {
        let mut mac = keyed.clone();
        mac.update(out);
        mac.update(&[0; 4]);
        out.extend_from_slice(&mac.finalize().into_bytes()[..10]);
    };
    let (first, second) = (keyed.clone(), keyed);
    trial.time(Limit, "aws-lc-rs CTR, hmac + sha1", move || {
        let key = UnboundCipherKey::new(&AES_128, &work.key).and_then(EncryptingKey::ctr).expect("a key");
        let mut out = Vec::with_capacity(2_000);
        rounds(
            packets,
            || 0,
            |number, packet| {
                out.clear();
                out.extend_from_slice(packet);
                *number += 1;
                let iv = EncryptionContext::Iv128(FixedLength::from(u128::to_be_bytes(*number << 16)));
                key.less_safe_encrypt(&mut out[HEADER..], iv).expect("it encrypts");
                tag(&first, &mut out);
                black_box(&out);
            },
        )
    });
    trial.time(Limit, "RustCrypto ctr + aes, hmac + sha1", move || {
        let aes = <aes::Aes128 as aes::cipher::KeyInit>::new_from_slice(&work.key).expect("a key");
        let mut out = Vec::with_capacity(2_000);
        rounds(
            packets,
            || 0,
            |number, packet| {
                out.clear();
                out.extend_from_slice(packet);
                *number += 1;
                let iv = u128::to_be_bytes(*number << 16);
                let core =
                    ctr::CtrCore::<&aes::Aes128, ctr::flavors::Ctr64BE>::inner_iv_init(&aes, &iv.into());
                ctr::cipher::StreamCipherCoreWrapper::from_core(core).apply_keystream(&mut out[HEADER..]);
                tag(&second, &mut out);
                black_box(&out);
            },
        )
    });
}

/// The two libraries have the same interface.
macro_rules! bare {
    ($library:ident, $name:literal, $seal:ident, $open:ident) => {
        fn $seal<'a>(trial: &mut Trial<'a>, work: &'a Work) {
            use $library::aead::{Aad, Nonce};

            let key = bare!(key $library, work);
            trial.time(Limit, $name, move || {
                let mut out = Vec::with_capacity(2_000);
                rounds(&work.plain, || 0, |number, packet| {
                    out.clear();
                    out.extend_from_slice(packet);
                    let (header, body) = out.split_at_mut(HEADER);
                    let nonce = Nonce::assume_unique_for_key(nonce(number));
                    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*header), body);
                    out.extend_from_slice(tag.expect("it encrypts").as_ref());
                    black_box(&out);
                })
            });
        }

        /// `sealed` has the nonces that [`nonce`] counts.
        fn $open<'a>(trial: &mut Trial<'a>, work: &'a Work, sealed: Vec<Vec<u8>>) {
            use $library::aead::{Aad, Nonce};

            let key = bare!(key $library, work);
            trial.time(Limit, $name, move || {
                let mut out = Vec::with_capacity(2_000);
                rounds(&sealed, || 0, |number, packet| {
                    out.clear();
                    out.extend_from_slice(packet);
                    let (header, body) = out.split_at_mut(HEADER);
                    let nonce = Nonce::assume_unique_for_key(nonce(number));
                    key.open_in_place(nonce, Aad::from(&*header), body).expect("it decrypts");
                    black_box(&out);
                })
            });
        }
    };
    (key $library:ident, $work:ident) => {{
        use $library::aead::{AES_128_GCM, AES_256_GCM, LessSafeKey, UnboundKey};
        let algorithm = if $work.key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
        LessSafeKey::new(UnboundKey::new(algorithm, &$work.key).expect("a key"))
    }};
}

bare!(aws_lc_rs, "aws-lc-rs", aws_lc_seal, aws_lc_open);
bare!(ring, "ring", ring_seal, ring_open);

fn openssl_cipher(work: &Work) -> &'static openssl::cipher::CipherRef {
    if work.key.len() == 32 { Cipher::aes_256_gcm() } else { Cipher::aes_128_gcm() }
}

fn openssl_seal<'a>(trial: &mut Trial<'a>, work: &'a Work) {
    let mut context = CipherCtx::new().expect("a context");
    context.encrypt_init(Some(openssl_cipher(work)), Some(&work.key), None).expect("a key");
    trial.time(Limit, "openssl, context kept", move || {
        let mut out = Vec::with_capacity(2_000);
        rounds(
            &work.plain,
            || 0,
            |number, packet| {
                context.encrypt_init(None, None, Some(&nonce(number))).expect("a nonce");
                out.clear();
                out.resize(packet.len() + 16, 0);
                let (header, body) = out.split_at_mut(HEADER);
                header.copy_from_slice(&packet[..HEADER]);
                context.cipher_update(header, None).expect("associated data");
                let written = context.cipher_update(&packet[HEADER..], Some(body)).expect("it encrypts");
                context.cipher_final(&mut body[written..]).expect("it ends");
                context.tag(&mut body[written..]).expect("a tag");
                black_box(&out);
            },
        )
    });
}

/// All of them.
fn bare_open<'a>(trial: &mut Trial<'a>, work: &'a Work) {
    // Packets of its own, as it does not derive keys.
    let mut context = CipherCtx::new().expect("a context");
    context.encrypt_init(Some(openssl_cipher(work)), Some(&work.key), None).expect("a key");
    let mut number = 0;
    let sealed: Vec<Vec<u8>> = (work.plain.iter())
        .map(|packet| {
            context.encrypt_init(None, None, Some(&nonce(&mut number))).expect("a nonce");
            let mut out = vec![0; packet.len() + 16];
            let (header, body) = out.split_at_mut(HEADER);
            header.copy_from_slice(&packet[..HEADER]);
            context.cipher_update(header, None).expect("associated data");
            let written = context.cipher_update(&packet[HEADER..], Some(body)).expect("it encrypts");
            context.cipher_final(&mut body[written..]).expect("it ends");
            context.tag(&mut body[written..]).expect("a tag");
            out
        })
        .collect();
    aws_lc_open(trial, work, sealed.clone());
    ring_open(trial, work, sealed.clone());
    context.decrypt_init(Some(openssl_cipher(work)), Some(&work.key), None).expect("a key");
    trial.time(Limit, "openssl, context kept", move || {
        let mut out = Vec::with_capacity(2_000);
        rounds(
            &sealed,
            || 0,
            |number, packet| {
                context.decrypt_init(None, None, Some(&nonce(number))).expect("a nonce");
                out.clear();
                out.resize(packet.len(), 0);
                let (body, tag) = packet[HEADER..].split_at(packet.len() - HEADER - 16);
                context.cipher_update(&packet[..HEADER], None).expect("associated data");
                let written = context.cipher_update(body, Some(&mut out[HEADER..])).expect("it decrypts");
                context.set_tag(tag).expect("a tag");
                context.cipher_final(&mut out[HEADER + written..]).expect("the tag holds");
                black_box(&out);
            },
        )
    });
}
