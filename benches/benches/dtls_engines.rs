//! The DTLS engines beside each other: processor time of handshakes and records, and memory of what is established.
//!
//! `cargo bench -p taut-benches --bench dtls_engines` prints a table in Markdown. Times are of this thread alone, so that
//! what else runs on the machine changes them little; five rounds, the median, and the fastest and slowest in brackets.
//! Memory is what a fresh process has resident more (`VmRSS`), for each of 400 established ends: that counts what Rust, C
//! and their allocator hold. It needs Linux.
#![allow(clippy::disallowed_methods, missing_docs, reason = "a program that measures")]

use std::process::Command;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_dtls::{Certificate, Config, Engine, HashAlgorithm, Role, Session, State, Version};

const UNIX: Duration = Duration::from_secs(1_795_000_000);
const ROUNDS: usize = 5;
const HANDSHAKES: usize = 200;
const RECORDS: usize = 20_000;
/// The octets of a record on the wire.
const RECORD: usize = 1_200;
/// Connections whose memory is measured.
const PAIRS: usize = 200;

/// What is measured: an engine, a version, and the kind of certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Case {
    name: &'static str,
    engine: Engine,
    version: Version,
    rsa: bool,
}

const CASES: [Case; 4] = [
    Case { name: "OpenSSL, DTLS 1.2", engine: Engine::OpenSsl, version: Version::Dtls12, rsa: false },
    Case { name: "OpenSSL, DTLS 1.2, RSA", engine: Engine::OpenSsl, version: Version::Dtls12, rsa: true },
    Case { name: "dimpl, DTLS 1.2", engine: Engine::Dimpl, version: Version::Dtls12, rsa: false },
    Case { name: "dimpl, DTLS 1.3", engine: Engine::Dimpl, version: Version::Dtls13, rsa: false },
];

/// Two ends and the time that both are told.
struct Pair {
    ends: [Session; 2],
    now: Instant,
}

impl Case {
    fn certificates(self) -> [Certificate; 2] {
        [(); 2].map(|()| match self.rsa {
            true => Certificate::generate_rsa(UNIX).expect("a certificate"),
            false => Certificate::generate(UNIX).expect("a certificate"),
        })
    }

    /// Two sessions that are started, with certificates that many share.
    fn pair(self, certificates: &[Certificate; 2]) -> Pair {
        let config = Config::default().with_engine(self.engine).with_versions(self.version, self.version);
        let now = Instant::now();
        let mut ends = [0, 1].map(|end| Session::new(&config, &certificates[end], now).expect("a session"));
        for (end, role) in [Role::Server, Role::Client].into_iter().enumerate() {
            let fingerprint = certificates[1 - end].fingerprint(HashAlgorithm::Sha256);
            ends[end].start(now, role, vec![fingerprint], Some(Duration::from_millis(20)));
        }
        Pair { ends, now }
    }

    fn established(self, certificates: &[Certificate; 2]) -> Pair {
        let mut pair = self.pair(certificates);
        pair.shake_hands();
        pair
    }
}

impl Pair {
    fn shake_hands(&mut self) {
        let mut out = Vec::with_capacity(2048);
        while self.ends.iter().any(|end| end.state() != State::Connected) {
            let [one, other] = &mut self.ends;
            let before = one.stats().datagrams_sent + other.stats().datagrams_sent;
            carry(self.now, other, one, &mut out);
            carry(self.now, one, other, &mut out);
            let after = self.ends.iter().map(|end| end.stats().datagrams_sent).sum::<u64>();
            assert!(after > before, "the handshake does not go on");
        }
        for end in &mut self.ends {
            while end.poll_event().is_some() {}
        }
    }
}

fn carry(now: Instant, from: &mut Session, to: &mut Session, out: &mut Vec<u8>) {
    out.clear();
    while from.poll_transmit(now, 1200, out).is_some() {
        to.handle_packet(now, BytesMut::from(&out[..]));
        out.clear();
    }
}

/// The processor time of this thread.
fn ran() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number"))
}

/// The median, the least and the most of some rounds, each with the time of one of `count`, in nanoseconds.
fn rounds(count: usize, mut round: impl FnMut()) -> [f64; 3] {
    round();
    let mut each: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let before = ran();
            round();
            (ran() - before).as_nanos() as f64 / count as f64
        })
        .collect();
    each.sort_by(f64::total_cmp);
    [each[ROUNDS / 2], each[0], each[ROUNDS - 1]]
}

fn handshakes(case: Case) -> [f64; 3] {
    let certificates = case.certificates();
    rounds(HANDSHAKES, || (0..HANDSHAKES).for_each(|_| drop(case.established(&certificates))))
}

/// Seals records, and opens them where that is asked for too.
fn records(case: Case, open: bool) -> [f64; 3] {
    let certificates = case.certificates();
    let mut out = Vec::with_capacity(2 * RECORD);
    rounds(RECORDS, || {
        // DTLS 1.3 sends 16 bits of the number: each round has a pair of its own, or nothing could be opened after them.
        let Pair { ends: [sender, receiver], now } = &mut case.established(&certificates);
        let plaintext = vec![7; RECORD - sender.overhead()];
        for _ in 0..RECORDS {
            out.clear();
            sender.seal(*now, &plaintext, &mut out).expect("a record");
            if open {
                receiver.handle_packet(*now, BytesMut::from(&out[..]));
                assert!(receiver.poll_plaintext().is_some(), "it was opened");
            }
        }
    })
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

/// What this process has resident more for each end, in octets.
fn memory(case: Case) -> usize {
    let certificates = case.certificates();
    drop(case.established(&certificates));
    let mut pairs = Vec::with_capacity(PAIRS);
    let before = resident();
    pairs.extend((0..PAIRS).map(|_| case.established(&certificates)));
    let after = resident();
    assert_eq!(pairs.len(), PAIRS);
    (after - before) / (2 * PAIRS)
}

/// What the first random octets, certificate, session and handshake of a process take, and the second ones: milliseconds.
fn first_use(case: Case) -> String {
    let mut times = Vec::new();
    for _ in 0..2 {
        // The clock of the thread is too coarse for a single one.
        let mut last = Instant::now();
        let mut lap = || {
            let now = Instant::now();
            times.push(now - std::mem::replace(&mut last, now));
        };
        let mut octets = [0; 32];
        aws_lc_rs::rand::fill(&mut octets).expect("randomness");
        lap();
        let certificates = case.certificates();
        lap();
        let mut pair = case.pair(&certificates);
        lap();
        pair.shake_hands();
        lap();
    }
    let (first, second) = times.split_at(4);
    let show = |(first, second): (&Duration, &Duration)| {
        format!("{:.1}, then {:.2}", first.as_secs_f64() * 1e3, second.as_secs_f64() * 1e3)
    };
    first.iter().zip(second).map(show).collect::<Vec<_>>().join(" | ")
}

/// What a case says in a process of its own.
fn in_a_fresh_process(what: &str, case: Case) -> String {
    let program = std::env::current_exe().expect("the path of this program");
    let child = Command::new(program).args([what, case.name]).output().expect("a child");
    assert!(child.status.success(), "{child:?}");
    String::from_utf8_lossy(&child.stdout).trim().to_owned()
}

fn show([median, least, most]: [f64; 3], unit: f64) -> String {
    format!("{:.0} ({:.0} to {:.0})", median / unit, least / unit, most / unit)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let named = |name: &str| CASES.into_iter().find(|case| case.name == name).expect("a case");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--memory", name] => return println!("{:.1}", memory(named(name)) as f64 / 1024.0),
        ["--first", name] => return println!("{}", first_use(named(name))),
        _ => {}
    }
    println!(
        "| engine | handshake, both ends, µs | record of {RECORD} octets: seal, ns | seal and open, ns | memory of an end, KiB |"
    );
    println!("|---|---|---|---|---|");
    for case in CASES {
        let handshake = show(handshakes(case), 1e3);
        let (seal, both) = (show(records(case, false), 1.0), show(records(case, true), 1.0));
        println!(
            "| {} | {handshake} | {seal} | {both} | {} |",
            case.name,
            in_a_fresh_process("--memory", case)
        );
    }
    println!("\nThe first of a process, and the second, in ms:\n");
    println!(
        "| engine | random octets | two certificates | two sessions, with the first hello | the rest of the handshake |"
    );
    println!("|---|---|---|---|---|");
    for case in CASES {
        println!("| {} | {} |", case.name, in_a_fresh_process("--first", case));
    }
}
