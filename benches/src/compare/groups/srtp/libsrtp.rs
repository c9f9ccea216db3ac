//! libsrtp 2.3 with OpenSSL, through the crate `srtp`.

use srtp::{CryptoPolicy, Session, StreamPolicy};
use std::hint::black_box;
use taut_srtp::Profile;

use super::{Work, rounds};
use crate::trial::Standing::Peer;
use crate::trial::Trial;

const NAME: &str = "libsrtp (OpenSSL)";

fn session(work: &Work, make: fn(StreamPolicy<'_>) -> Result<Session, srtp::Error>) -> Session {
    let policy = match work.profile {
        Profile::AeadAes128Gcm => CryptoPolicy::aes_gcm_128_16_auth(),
        Profile::AeadAes256Gcm => CryptoPolicy::aes_gcm_256_16_auth(),
        _ => CryptoPolicy::aes_cm_128_hmac_sha1_80(),
    };
    let key = [&work.key[..], &work.salt].concat();
    make(StreamPolicy { rtp: policy, rtcp: policy, key: &key, ..StreamPolicy::default() }).expect("keys")
}

pub(super) fn protect<'a>(trial: &mut Trial<'a>, work: &'a Work) {
    trial.time(Peer, NAME, move || {
        let mut out: Vec<u8> = Vec::with_capacity(2_000);
        rounds(
            &work.plain,
            || session(work, Session::with_outbound_template),
            |session, packet| {
                out.clear();
                out.extend_from_slice(packet);
                session.protect(&mut out).expect("it is protected");
                black_box(&out);
            },
        )
    });
}

pub(super) fn unprotect<'a>(trial: &mut Trial<'a>, work: &'a Work) {
    trial.time(Peer, NAME, move || {
        let mut out: Vec<u8> = Vec::with_capacity(2_000);
        rounds(
            &work.sealed,
            || session(work, Session::with_inbound_template),
            |session, packet| {
                out.clear();
                out.extend_from_slice(packet);
                session.unprotect(&mut out).expect("it is unprotected");
                black_box(&out);
            },
        )
    });
}
