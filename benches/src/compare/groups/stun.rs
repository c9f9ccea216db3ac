//! STUN: a connectivity check, parsed, and parsed with its integrity checked. USERNAME, PRIORITY, ICE-CONTROLLING,
//! MESSAGE-INTEGRITY and FINGERPRINT; the key is kept where the API lets it be kept.

use std::hint::black_box;

use is::Sha1HmacProvider;
use taut_benches::{PASSWORD, stun_request};
use taut_stun::{Algorithm, Key, Message};

use crate::clock::nanoseconds_each;
use crate::report::Report;
use crate::trial::Standing::{Limit, Peer, Taut};
use crate::trial::{Metric, Trial};

/// Messages of a round.
const COUNT: usize = 4_000;

const ROUNDS: usize = 31;

/// A round: `work` for each message.
fn each(mut work: impl FnMut()) -> f64 {
    nanoseconds_each(COUNT, || (0..COUNT).for_each(|_| work()))
}

pub(crate) fn run(report: &mut Report) {
    let request = stun_request();
    parse(report, &request);
    integrity(report, &request);
}

fn parse(report: &mut Report, request: &[u8]) {
    let mut trial = Trial::new(ROUNDS, vec![Metric::lower("request, parse", "ns")]);
    trial.time(Taut, "taut", || {
        each(|| {
            black_box(Message::parse(black_box(request)).expect("it parses"));
        })
    });
    trial.time(Peer, "is (str0m)", || {
        each(|| {
            black_box(is::stun::StunMessage::parse(black_box(request)).expect("it parses"));
        })
    });
    let mut message = rtc_stun::message::Message::new();
    trial.time(Peer, "rtc-stun, message reused", move || {
        each(|| {
            message.unmarshal_binary(black_box(request)).expect("it parses");
            black_box(&message);
        })
    });
    trial.time(Peer, "stun-types", || {
        each(|| {
            black_box(stun_types::message::Message::from_bytes(black_box(request)).expect("it parses"));
        })
    });
    report.run(trial);
}

fn integrity(report: &mut Report, request: &[u8]) {
    let mut trial = Trial::new(ROUNDS, vec![Metric::lower("request, parse and integrity", "ns")]);
    let key = Key::short_term(PASSWORD);
    trial.time(Taut, "taut, key kept", move || {
        each(|| {
            let message = Message::parse(black_box(request)).expect("it parses");
            assert_eq!(message.verify(&key), Ok(Algorithm::Sha1));
        })
    });
    trial.time(Peer, "is (str0m)", || {
        let provider = is::DefaultSha1HmacProvider;
        each(|| {
            let message = is::stun::StunMessage::parse(black_box(request)).expect("it parses");
            assert!(message.verify(PASSWORD.as_bytes(), |key, parts| provider.sha1_hmac(key, parts)));
        })
    });
    let provider = rtc_stun::crypto::default_provider().expect("a provider");
    let mut message = rtc_stun::message::Message::new();
    trial.time(Peer, "rtc-stun (ring), message reused", move || {
        each(|| {
            message.unmarshal_binary(black_box(request)).expect("it parses");
            rtc_stun::integrity::MessageIntegrity::check(
                &mut message,
                PASSWORD.as_bytes(),
                provider.crypto(),
            )
            .expect("integrity");
        })
    });
    let kept = stun_types::message::ShortTermCredentials::new(PASSWORD.to_owned()).make_key();
    trial.time(Peer, "stun-types, key kept", move || {
        each(|| {
            let message = stun_types::message::Message::from_bytes(black_box(request)).expect("it parses");
            message.validate_integrity_with_key(&kept).expect("integrity");
        })
    });
    // What is under the HMAC: all before MESSAGE-INTEGRITY (24 octets) and FINGERPRINT (8).
    let covered = &request[..request.len() - 32];
    let keyed =
        <hmac::Hmac<sha1::Sha1> as hmac::KeyInit>::new_from_slice(PASSWORD.as_bytes()).expect("a key");
    trial.time(Limit, "HMAC-SHA1 alone (hmac, sha1), key kept", move || {
        each(|| {
            let mut mac = keyed.clone();
            hmac::Mac::update(&mut mac, black_box(covered));
            black_box(hmac::Mac::finalize(mac));
        })
    });
    report.run(trial);
}
