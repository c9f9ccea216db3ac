//! What a stream of hostile datagrams can make a session hold, in every stage and with every engine: no more than 128 KiB.
//!
//! Alone in its file, because memory is counted for the whole process.
#![allow(clippy::disallowed_methods, reason = "a starting point for virtual time")]

use std::time::{Duration, Instant};

use bytes::BytesMut;
use peak_alloc::PeakAlloc;
use taut_dtls::{Certificate, Config, Engine, HashAlgorithm, Role, Session, State};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const UNIX: Duration = Duration::from_secs(1_795_000_000);
/// Sessions that are attacked at once: enough that what the process needs besides does not count.
const SESSIONS: usize = 20;
/// What each may hold more than before.
const MOST: usize = 128 << 10;

const ENGINES: &[Engine] = &[
    #[cfg(feature = "dimpl")]
    Engine::Dimpl,
    #[cfg(feature = "openssl")]
    Engine::OpenSsl,
];

#[derive(Debug, Clone, Copy)]
enum Stage {
    Waiting(Role),
    Connected(Role),
}

/// What the heap of Rust holds, and what the process has, which counts the heap of OpenSSL as well.
fn memory() -> [usize; 2] {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes =
        resident.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0usize);
    [ALLOCATOR.current_usage(), kilobytes << 10]
}

/// Carries what one has to send to the other.
fn carry(now: Instant, from: &mut Session, to: &mut Session) {
    let mut out = Vec::new();
    while from.poll_transmit(now, 1200, &mut out).is_some() {
        to.handle_packet(now, BytesMut::from(&out[..]));
        out.clear();
    }
}

/// A session in a stage. What it is connected to is gone.
fn session(engine: Engine, stage: Stage, certificate: &Certificate, now: Instant) -> Session {
    let config = Config::default().with_engine(engine);
    let fingerprint = || vec![certificate.fingerprint(HashAlgorithm::Sha256)];
    let [mut victim, mut other] = [(); 2].map(|()| Session::new(&config, certificate, now).unwrap());
    let (Stage::Waiting(role) | Stage::Connected(role)) = stage;
    victim.start(now, role, fingerprint(), None);
    if let Stage::Connected(_) = stage {
        let theirs = if role == Role::Client { Role::Server } else { Role::Client };
        other.start(now, theirs, fingerprint(), None);
        for _ in 0..8 {
            carry(now, &mut victim, &mut other);
            carry(now, &mut other, &mut victim);
        }
        assert_eq!(victim.state(), State::Connected);
    }
    victim
}

fn record(content_type: u8, epoch: u16, sequence: u64, body: &[u8]) -> Vec<u8> {
    let mut out = vec![content_type, 0xfe, 0xfd];
    out.extend((u64::from(epoch) << 48 | sequence).to_be_bytes());
    out.extend((body.len() as u16).to_be_bytes());
    out.extend(body);
    out
}

/// A piece of a message of 16,000 octets.
fn piece(kind: u8, message_seq: u8, offset: u32, body: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = offset.to_be_bytes();
    let [high, low] = (body.len() as u16).to_be_bytes();
    let header = [kind, 0, 0x3e, 0x80, 0, message_seq, a, b, c, 0, high, low];
    record(22, 0, u64::from(offset), &[&header, body].concat())
}

/// Datagrams of up to 1,400 octets: records of epochs to come, pieces of messages, and what is no record.
fn hostile() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for n in 0..100u32 {
        let body = vec![n as u8; 1_200];
        for content_type in 21..=23 {
            all.extend((1..4).map(|epoch| record(content_type, epoch, u64::from(n), &body)));
        }
        for flags in [0x2d, 0x2e, 0x2f] {
            all.push([&[flags, 0, n as u8, 0x04, 0xb0], &body[..]].concat());
        }
        // Alone, and many small ones in a datagram.
        for kind in [1, 2, 11, 12, 16] {
            for message_seq in 0..4 {
                all.push(piece(kind, message_seq, n * 149 % 14_000, &body));
            }
        }
        all.push((0..40).flat_map(|place| piece(11, 3, n * 40 + place * 2, &[1])).collect());
        all.push((0..90).flat_map(|number| record(23, 1, number, &[1])).collect());
        all.push(vec![63; 1_400]);
    }
    all
}

#[test]
fn hostile_datagrams_make_a_session_hold_little() {
    let now = Instant::now();
    let certificate = Certificate::generate(UNIX).unwrap();
    let hostile = hostile();
    for &engine in ENGINES {
        let roles = [Role::Client, Role::Server];
        let stages = [roles.map(Stage::Waiting), roles.map(Stage::Connected)].concat();
        for stage in stages {
            // Once before, so that what the process holds for all of them is there.
            drop(session(engine, stage, &certificate, now));
            let mut sessions: Vec<_> =
                (0..SESSIONS).map(|_| session(engine, stage, &certificate, now)).collect();
            let before = memory();
            for session in &mut sessions {
                for datagram in &hostile {
                    session.handle_packet(now, BytesMut::from(&datagram[..]));
                    assert_eq!(session.poll_plaintext(), None, "{engine} {stage:?}");
                }
                assert!(session.stats().dropped() > 1_500, "{engine} {stage:?} {:?}", session.stats());
            }
            for (what, (after, before)) in ["heap", "process"].iter().zip(memory().into_iter().zip(before)) {
                let each = after.saturating_sub(before) / SESSIONS;
                assert!(each <= MOST, "{engine} {stage:?}: {each} octets of {what} for each session");
            }
        }
    }
}
