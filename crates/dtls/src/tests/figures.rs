//! What it costs. Not run by default: `cargo test -p taut-dtls --release -- --ignored --nocapture figures`.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::pair::{CLIENT, Pair, SERVER, UNIX};
use super::{CASES, Case};
use crate::Certificate;

/// The time that this thread has run, which a busy machine does not change much; without Linux, the time itself.
fn ran(begin: Instant) -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.map_or_else(|| begin.elapsed(), Duration::from_nanos)
}

fn per(count: u32, what: &str, mut run: impl FnMut()) {
    run();
    let begin = Instant::now();
    let before = ran(begin);
    for _ in 0..count {
        run();
    }
    println!("{what:48} {:>10.0} ns", (ran(begin) - before).as_nanos() as f64 / f64::from(count));
}

#[test]
#[ignore = "measures"]
fn figures() {
    per(1000, "certificate generated", || drop(Certificate::generate(UNIX).unwrap()));
    for &case in CASES {
        let config = case.only();
        let Case { engine, version } = case;
        let mut pairs: Vec<Pair> = (0..301).map(|seed| Pair::with(seed, &config, &config)).collect();
        per(300, &format!("{engine:?} {version:?} handshake, both ends, client knows"), || {
            let mut pair = pairs.pop().unwrap();
            pair.start();
            assert!(pair.run_until(Duration::from_secs(1), Pair::connected));
        });
        let mut pairs: Vec<Pair> = (0..301).map(|seed| Pair::with(seed, &case.any(), &config)).collect();
        per(300, &format!("{engine:?} {version:?} handshake, both ends, client offers both"), || {
            let mut pair = pairs.pop().unwrap();
            pair.start();
            assert!(pair.run_until(Duration::from_secs(1), Pair::connected));
        });

        let mut pair = Pair::with(1, &config, &config);
        pair.connect();
        let now = pair.now;
        let plaintext = vec![7; 1200 - pair.ends[CLIENT].session.overhead()];
        let mut out = Vec::with_capacity(2048);
        per(100_000, &format!("{engine:?} {version:?} seal a record of 1200 octets"), || {
            out.clear();
            pair.ends[CLIENT].session.seal(now, &plaintext, &mut out).unwrap();
        });
        // DTLS 1.3 sends 16 bits of the sequence number: after so many lost records nothing can be opened.
        let mut pair = Pair::with(2, &config, &config);
        pair.connect();
        let now = pair.now;
        per(100_000, &format!("{engine:?} {version:?} seal and open it"), || {
            out.clear();
            pair.ends[CLIENT].session.seal(now, &plaintext, &mut out).unwrap();
            pair.ends[SERVER].session.handle_packet(now, BytesMut::from(&out[..]));
            assert!(pair.ends[SERVER].session.poll_plaintext().is_some());
        });
        per(100_000, &format!("{engine:?} {version:?} drop a forged alert"), || {
            let alert = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
            pair.ends[SERVER].session.handle_packet(now, BytesMut::from(&alert[..]));
        });
    }
}
