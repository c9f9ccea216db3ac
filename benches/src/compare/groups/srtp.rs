//! SRTP: one packet protected or unprotected, payloads of 160 and 1,100 octets, a 12-octet header. Replay windows are on.
//! Every contender copies the packet once within the time: into its buffer, or because its API gives a new one.

use std::hint::black_box;
use std::time::Duration;

use bytes::BytesMut;
use rtc_srtp::context::Context;
use rtc_srtp::option::srtp_replay_protection;
use rtc_srtp::protection_profile::ProtectionProfile;
use taut_benches::rtp_packet;
use taut_srtp::{Inbound, Outbound, Profile};

use crate::clock;
use crate::report::Report;
use crate::trial::Standing::{Peer, Taut};
use crate::trial::{Metric, Trial};

#[cfg(feature = "peers-c")]
mod libsrtp;
mod limits;

/// Packets of a run, each with its number; a run has fresh contexts, made outside the time.
const RUN: usize = 256;

/// Runs of a round.
const RUNS: usize = 8;

const ROUNDS: usize = 31;

const PROFILES: [(Profile, &str); 3] = [
    (Profile::Aes128CmSha1_80, "CM-SHA1-80"),
    (Profile::AeadAes128Gcm, "GCM-128"),
    (Profile::AeadAes256Gcm, "GCM-256"),
];

/// The key material and the packets of a case.
struct Work {
    profile: Profile,
    key: Vec<u8>,
    salt: Vec<u8>,
    plain: Vec<Vec<u8>>,
    /// The same packets, protected.
    sealed: Vec<Vec<u8>>,
}

impl Work {
    fn new(profile: Profile, payload: usize) -> Self {
        let (key, salt) = (vec![1; profile.key_len()], vec![2; profile.salt_len()]);
        let plain: Vec<Vec<u8>> = (0..RUN).map(|number| rtp_packet(number as u16, payload)).collect();
        let mut outbound = Outbound::new(profile, &key, &salt).expect("keys");
        let mut sealed = plain.clone();
        sealed.iter_mut().for_each(|packet| outbound.protect_rtp(packet, 0).expect("it is a packet"));
        Self { profile, key, salt, plain, sealed }
    }
}

/// A round: runs with a fresh context each, nanoseconds a packet.
fn rounds<C>(packets: &[Vec<u8>], mut fresh: impl FnMut() -> C, mut one: impl FnMut(&mut C, &[u8])) -> f64 {
    let mut spent = Duration::ZERO;
    for _ in 0..RUNS {
        let mut context = fresh();
        let start = clock::thread();
        packets.iter().for_each(|packet| one(&mut context, black_box(packet)));
        spent += clock::thread() - start;
    }
    spent.as_nanos() as f64 / (RUNS * packets.len()) as f64
}

pub(crate) fn run(report: &mut Report) {
    #[cfg(not(feature = "peers-c"))]
    report.missing("libsrtp (crate srtp)", crate::peers::WITHOUT_C);
    report.missing("str0m, unprotect", "not public");
    for (profile, name) in PROFILES {
        for payload in [160, 1_100] {
            let work = Work::new(profile, payload);
            protect(report, &work, &format!("{name}, protect {payload} octets"));
            unprotect(report, &work, &format!("{name}, unprotect {payload} octets"));
        }
    }
}

fn protect(report: &mut Report, work: &Work, case: &str) {
    let mut trial = Trial::new(ROUNDS, vec![Metric::lower(case, "ns")]);
    trial.time(Taut, "taut", || {
        let mut out = Vec::with_capacity(2_000);
        let fresh = || Outbound::new(work.profile, &work.key, &work.salt).expect("keys");
        rounds(&work.plain, fresh, |outbound, packet| {
            out.clear();
            out.extend_from_slice(packet);
            outbound.protect_rtp(&mut out, 0).expect("it is protected");
            black_box(&out);
        })
    });
    trial.time(Peer, "rtc-srtp (ring)", || {
        rounds(
            &work.plain,
            || rtc(work),
            |context, packet| {
                black_box(context.encrypt_rtp(packet).expect("it is protected"));
            },
        )
    });
    str0m(&mut trial, work);
    #[cfg(feature = "peers-c")]
    libsrtp::protect(&mut trial, work);
    limits::seal(&mut trial, work);
    report.run(trial);
}

fn unprotect(report: &mut Report, work: &Work, case: &str) {
    let mut trial = Trial::new(ROUNDS, vec![Metric::lower(case, "ns")]);
    trial.time(Taut, "taut", || {
        let mut buffer = BytesMut::with_capacity(2_000);
        let fresh = || Inbound::new(work.profile, &work.key, &work.salt).expect("keys");
        rounds(&work.sealed, fresh, |inbound, packet| {
            buffer.clear();
            buffer.extend_from_slice(packet);
            inbound.unprotect_rtp(&mut buffer).expect("it is unprotected");
            black_box(&buffer);
        })
    });
    trial.time(Peer, "rtc-srtp (ring)", || {
        rounds(
            &work.sealed,
            || rtc(work),
            |context, packet| {
                black_box(context.decrypt_rtp(packet).expect("it is unprotected"));
            },
        )
    });
    #[cfg(feature = "peers-c")]
    libsrtp::unprotect(&mut trial, work);
    limits::open(&mut trial, work);
    report.run(trial);
}

fn rtc(work: &Work) -> Context {
    let profile = match work.profile {
        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        _ => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    let provider = rtc_stun::crypto::default_provider().expect("a provider");
    let window = Some(srtp_replay_protection(64));
    Context::new(&work.key, &work.salt, profile, window, None, provider.crypto()).expect("keys")
}

/// Through what str0m shows to its own tests. It writes the header too.
fn str0m<'a>(trial: &mut Trial<'a>, work: &'a Work) {
    use str0m::_internal_test_exports::TestSrtp;

    let profile = match work.profile {
        Profile::AeadAes128Gcm => dimpl::SrtpProfile::AEAD_AES_128_GCM,
        Profile::AeadAes256Gcm => dimpl::SrtpProfile::AEAD_AES_256_GCM,
        _ => dimpl::SrtpProfile::AES128_CM_SHA1_80,
    };
    let known = str0m::rtp::ExtensionMap::standard();
    let provider = str0m::crypto::from_feature_flags();
    let keys = [&work.key[..], &work.key, &work.salt, &work.salt].concat();
    let keys = dimpl::KeyingMaterial::new(&keys);
    trial.time(Peer, "str0m (aws-lc-rs; writes the header too)", move || {
        let fresh = || (TestSrtp::new(&provider, profile, &keys), 0);
        rounds(&work.plain, fresh, |(context, number), packet| {
            let header = str0m::rtp::RtpHeader::_parse(packet, &known).expect("it parses");
            let payload = packet.get(header.header_len..).unwrap_or_default();
            black_box(context.protect(header, *number, payload, &known));
            *number += 1;
        })
    });
}
