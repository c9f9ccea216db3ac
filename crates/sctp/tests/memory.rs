//! What an association takes: little while it is idle, and while data is out little more than the data.
//!
//! Alone in its file, because the allocator counts for the whole process.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use taut_sansio::rng::Rng;
use taut_sctp::{Association, Config, CongestionAlgorithm, State, StreamId, WriteError, WriteOptions};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What an idle association may take.
const IDLE: usize = 8 << 10;

/// Octets of a message.
const MESSAGE: usize = 16 << 10;

/// Two associations and what is on its way between them.
struct Pair {
    ends: [Association; 2],
    wire: [VecDeque<(Instant, Bytes)>; 2],
    now: Instant,
    latency: Duration,
    received: usize,
}

impl Pair {
    #[allow(clippy::disallowed_methods, reason = "a starting point in time is needed")]
    fn new(config: &Config, latency: Duration) -> Self {
        let ends = [1, 2].map(|seed| Association::new(config.clone(), Rng::from_u64(seed)));
        let mut pair = Self { ends, wire: Default::default(), now: Instant::now(), latency, received: 0 };
        pair.ends[0].connect(pair.now);
        while pair.ends.iter().any(|end| end.state() != State::Established) {
            pair.step();
        }
        pair
    }

    /// Polls both ends, and goes on to the next thing that happens; false if it is only a heartbeat.
    fn step(&mut self) -> bool {
        for (end, wire) in self.ends.iter_mut().zip(&mut self.wire) {
            let mut out = Vec::new();
            while end.poll_transmit(self.now, 1_200, &mut out).is_some() {
                wire.push_back((self.now + self.latency, Bytes::copy_from_slice(&out)));
                out.clear();
            }
            while let Some(chunk) = end.poll_read(self.now) {
                self.received += chunk.bytes.len();
            }
            while end.poll_event().is_some() {}
        }
        let packets = self.wire.iter().filter_map(|wire| wire.front().map(|(at, _)| *at));
        let timers = self.ends.iter().filter_map(Association::poll_timeout);
        let Some(at) = packets.chain(timers).min() else { return false };
        if at > self.now + Duration::from_secs(20) {
            return false;
        }
        self.now = self.now.max(at);
        let [a, b] = &mut self.ends;
        let [to_b, to_a] = &mut self.wire;
        for (end, wire) in [(b, to_b), (a, to_a)] {
            while wire.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, packet) = wire.pop_front().expect("it was there");
                end.handle_packet(self.now, packet);
            }
            end.handle_timeout(self.now);
        }
        true
    }

    fn write(&mut self) -> bool {
        let message = Bytes::from(vec![7; MESSAGE]);
        self.ends[0].write(self.now, StreamId(1), message, &WriteOptions::default()) != Err(WriteError::Full)
    }

    /// Octets of packets on their way, as the allocator has them.
    fn on_wire(&self) -> usize {
        let entry = size_of::<(Instant, Bytes)>();
        self.wire
            .iter()
            .map(|wire| wire.iter().map(|(_, packet)| packet.len()).sum::<usize>() + wire.capacity() * entry)
            .sum()
    }
}

fn used(before: usize) -> usize {
    ALLOCATOR.current_usage().saturating_sub(before)
}

fn check(algorithm: CongestionAlgorithm) {
    let config = Config::default().with_congestion(algorithm).with_receive_window(1 << 20);
    let before = ALLOCATOR.current_usage();
    let mut pair = Pair::new(&config.with_send_buffer(2 << 20), Duration::from_millis(20));
    while pair.step() {}
    let idle = size_of::<Association>() + used(before).saturating_sub(pair.on_wire()) / 2;
    println!("{algorithm:?}: idle, never used: {idle} octets");
    assert!(idle <= IDLE, "{algorithm:?}: {idle}");

    let (mut written, mut worst) = (0, 0.0f64);
    while pair.received < 64 << 20 {
        while written < 64 << 20 && pair.write() {
            written += MESSAGE;
        }
        pair.step();
        let stats = pair.ends[0].stats();
        let held = stats.queued + stats.in_flight + pair.ends[1].stats().unread;
        // Not at the end, when there is memory for a window of which less and less is out.
        if stats.in_flight > 512 << 10 && written < 64 << 20 {
            let heap = used(before).saturating_sub(pair.on_wire());
            worst = worst.max(heap as f64 / held as f64);
        }
    }
    println!("{algorithm:?}: in flight: {worst:.2} times what is held");
    assert!((0.9..=1.3).contains(&worst), "{algorithm:?}: {worst}");

    while pair.step() {}
    pair.wire = Default::default();
    let idle = size_of::<Association>() + used(before) / 2;
    println!("{algorithm:?}: idle again: {idle} octets");
    assert!(idle <= IDLE, "{algorithm:?}: {idle}");
}

#[test]
fn an_association_takes_little_more_than_its_data() {
    for algorithm in [CongestionAlgorithm::NewReno, CongestionAlgorithm::Cubic, CongestionAlgorithm::Bbr] {
        check(algorithm);
    }
}
