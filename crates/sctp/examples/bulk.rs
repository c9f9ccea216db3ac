//! A lossless transfer between two associations in memory, to be counted:
//!
//! ```text
//! valgrind --tool=callgrind target/release/examples/bulk 16384 64 zero
//! ```
//!
//! Octets of a message, MiB to send, and optionally `zero` (no checksum) and `data` (no I-DATA). The difference of two
//! volumes leaves the start out.
#![allow(clippy::disallowed_methods, reason = "a starting point in time is needed")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use taut_sansio::rng::Rng;
use taut_sctp::{Association, Config, StreamId, WriteError, WriteOptions};

/// Packets of one end, one after the other, until there are no more; and into the other end.
fn carry(from: &mut Association, to: &mut Association, now: Instant) -> bool {
    let mut moved = false;
    loop {
        let mut out = Vec::with_capacity(1_200);
        if from.poll_transmit(now, 1_200, &mut out).is_none() {
            return moved;
        }
        moved = true;
        to.handle_packet(now, Bytes::from(out));
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (length, volume) = (number(0, 16_384), number(1, 64) << 20);
    let has = |word: &str| arguments.iter().any(|a| a == word);
    let config = Config::default()
        .with_mtu(1_200)
        .with_send_buffer(1 << 20)
        .with_zero_checksum(has("zero"))
        .with_interleaving(!has("data"));
    let mut a = Association::new(config.clone(), Rng::from_u64(1));
    let mut b = Association::new(config, Rng::from_u64(2));
    let mut now = Instant::now();
    a.connect(now);
    while carry(&mut a, &mut b, now) | carry(&mut b, &mut a, now) {}
    let message = Bytes::from(vec![7; length]);
    let (mut unsent, mut arrived) = (volume / length, 0);
    let total = unsent * length;
    let start = Instant::now();
    while arrived < total {
        now += Duration::from_micros(100);
        while unsent > 0 {
            match a.write(now, StreamId(0), message.clone(), &WriteOptions::default()) {
                Ok(()) => unsent -= 1,
                Err(WriteError::Full) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let mut moved = carry(&mut a, &mut b, now);
        while let Some(chunk) = b.poll_read(now) {
            arrived += chunk.bytes.len();
        }
        moved |= carry(&mut b, &mut a, now);
        if !moved {
            now = [a.poll_timeout(), b.poll_timeout()].into_iter().flatten().min().unwrap_or(now).max(now);
            a.handle_timeout(now);
            b.handle_timeout(now);
        }
    }
    let per_mib = start.elapsed().as_secs_f64() * 1e3 / (total as f64 / f64::from(1 << 20));
    println!("{per_mib:.3} ms per MiB, {} packets", a.stats().packets_sent);
}
