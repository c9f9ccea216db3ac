//! Two associations exchange a message over a network in memory that loses every fourth packet. In WebRTC their packets
//! travel inside DTLS (RFC 8261), so that there are no addresses; here they are carried from one to the other as they
//! are.
//!
//! ```console
//! $ cargo run -p taut-sctp --example sctp
//! ```

#![allow(clippy::disallowed_methods, reason = "machines are given the time; an application reads the clock")]

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use taut_sansio::rng::Rng;
use taut_sansio::time::earliest;
use taut_sctp::{Association, Config, StreamId, WriteOptions};

/// How long a packet travels.
const LATENCY: Duration = Duration::from_millis(20);

/// The payload protocol identifier of a binary message of a data channel (RFC 8831 section 8).
const BINARY: u32 = 53;

fn main() -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let mut now = begin;

    // In earnest the seed comes from the operating system.
    let mut ends = [
        End {
            name: "alice",
            sctp: Association::new(Config::default(), Rng::from_u64(1)),
            message: Vec::new(),
        },
        End { name: "bob", sctp: Association::new(Config::default(), Rng::from_u64(2)), message: Vec::new() },
    ];

    // Alice asks for the association; Bob answers without being told. What is written before it stands waits.
    let message: Bytes = (0..50_000u32).flat_map(u32::to_be_bytes).collect();
    let [alice, bob] = &mut ends;
    alice.sctp.connect(now);
    alice.sctp.write(
        now,
        StreamId(0),
        message.clone(),
        &WriteOptions { ppid: BINARY, ..WriteOptions::default() },
    )?;

    let mut carried = 0usize;
    while bob.message.len() < message.len() {
        let (to_bob, to_alice) = (alice.poll(now), bob.poll(now));

        // Time passes: to the arrival of what is on its way, or else to what either of the ends waits for.
        let is_quiet = to_bob.is_empty() && to_alice.is_empty();
        let timeout = earliest(alice.sctp.poll_timeout(), bob.sctp.poll_timeout());
        now = if is_quiet { now.max(timeout.ok_or("both gave up")?) } else { now + LATENCY };

        for (end, packets) in [(&mut *alice, to_alice), (&mut *bob, to_bob)] {
            for packet in packets {
                carried += 1;
                if !carried.is_multiple_of(4) {
                    end.sctp.handle_packet(now, packet);
                }
            }
            end.sctp.handle_timeout(now);
        }
    }
    assert_eq!(bob.message, message);
    let stats = alice.sctp.stats();
    println!("{} octets in {:?}, {carried} packets on the way", message.len(), now - begin);
    println!("alice: {stats:?}");
    Ok(())
}

struct End {
    name: &'static str,
    sctp: Association,
    /// What has come in.
    message: Vec<u8>,
}

impl End {
    /// Asks an end for all that it has to say, and returns what is to be sent.
    fn poll(&mut self, now: Instant) -> Vec<Bytes> {
        let (mut packets, mut octets) = (Vec::new(), Vec::new());
        while self.sctp.poll_transmit(now, 1_200, &mut octets).is_some() {
            packets.push(Bytes::from(std::mem::take(&mut octets)));
        }
        // A message comes in pieces; the last one says so.
        while let Some(chunk) = self.sctp.poll_read(now) {
            assert_eq!((chunk.stream, chunk.ppid), (StreamId(0), BINARY));
            self.message.extend_from_slice(&chunk.bytes);
            if chunk.end {
                println!("{}: a message of {} octets", self.name, self.message.len());
            }
        }
        while let Some(event) = self.sctp.poll_event() {
            println!("{}: {event:?}", self.name);
        }
        packets
    }
}
