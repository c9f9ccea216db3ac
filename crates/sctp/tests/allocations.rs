//! How often memory is asked for while a transfer goes on: by either end less than once for two packets, so that one
//! allocation for each packet would show.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use bytes::Bytes;
use taut_sansio::rng::Rng;
use taut_sctp::{Association, Config, State, StreamId, WriteError, WriteOptions};

const LATENCY: Duration = Duration::from_millis(10);

/// Octets before anything is counted, and while it is.
const VOLUME: usize = 16 << 20;

/// An end, what is on its way to it, and what it asked for.
struct End {
    association: Association,
    wire: VecDeque<(Instant, Bytes)>,
    allocations: u64,
}

impl End {
    fn new(config: &Config, seed: u64) -> Self {
        let association = Association::new(config.clone(), Rng::from_u64(seed));
        Self { association, wire: VecDeque::new(), allocations: 0 }
    }

    /// Does something to the association, and counts.
    fn counted<T>(&mut self, what: impl FnOnce(&mut Association) -> T) -> T {
        let mut result = None;
        let info = measure(|| result = Some(what(&mut self.association)));
        self.allocations += info.count_total;
        result.expect("it ran")
    }

    /// Takes one packet that is due; false if there is none.
    fn take(&mut self, now: Instant) -> bool {
        if self.wire.front().is_none_or(|(at, _)| *at > now) {
            return false;
        }
        let (_, packet) = self.wire.pop_front().expect("it was there");
        self.counted(|end| end.handle_packet(now, packet));
        true
    }

    fn next(&self) -> Option<Instant> {
        let packet = self.wire.front().map(|(at, _)| *at);
        packet.into_iter().chain(self.association.poll_timeout()).min()
    }
}

/// What the ends allocate for each packet with DATA, in a transfer in steady state.
fn per_packet(config: &Config, length: usize) -> [f64; 2] {
    #[allow(clippy::disallowed_methods, reason = "a starting point in time is needed")]
    let mut now = Instant::now();
    let mut ends = [End::new(config, 1), End::new(config, 2)];
    ends[0].association.connect(now);
    let octets = vec![7; length];
    let (mut arrived, mut packets, mut out) = (0, 0, Vec::with_capacity(1_200));
    while arrived < 2 * VOLUME {
        if arrived < VOLUME {
            ends.iter_mut().for_each(|end| end.allocations = 0);
            packets = 0;
        }
        while ends[0].association.state() == State::Established {
            let message = Bytes::copy_from_slice(&octets);
            let write = |a: &mut Association| a.write(now, StreamId(1), message, &WriteOptions::default());
            if ends[0].counted(write) == Err(WriteError::Full) {
                break;
            }
        }
        for (from, to) in [(0, 1), (1, 0)] {
            while ends[from].counted(|end| end.poll_transmit(now, 1_200, &mut out)).is_some() {
                ends[to].wire.push_back((now + LATENCY, Bytes::copy_from_slice(&out)));
                packets += usize::from(from == 0);
                out.clear();
            }
        }
        now = ends.iter().filter_map(End::next).min().expect("there is always a timer").max(now);
        for end in &mut ends {
            while end.take(now) {
                while let Some(chunk) = end.counted(|end| end.poll_read(now)) {
                    arrived += chunk.bytes.len();
                }
                while end.counted(Association::poll_event).is_some() {}
            }
            end.counted(|end| end.handle_timeout(now));
        }
    }
    ends.map(|end| end.allocations as f64 / packets as f64)
}

#[test]
fn a_packet_in_steady_state_takes_no_allocation_of_its_own() {
    for interleaving in [false, true] {
        for length in [1_000, 16 << 10, 256 << 10] {
            let config = Config::default().with_interleaving(interleaving);
            let [sender, receiver] = per_packet(&config, length);
            println!("I-DATA {interleaving}, {length}: sender {sender:.3}, receiver {receiver:.3} a packet");
            assert!(sender <= 0.5, "sender, {length}: {sender}");
            assert!(receiver <= 0.5, "receiver, {length}: {receiver}");
        }
    }
}
