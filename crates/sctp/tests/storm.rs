//! Bad networks, by seed: whatever is lost, late, doubled or out of order, what is reliable comes once, in order and
//! unchanged; what is not comes at most once, whole, and not late; and when the trouble ends everything is through
//! within a minute.
//!
//! `TAUT_SEEDS=10000 cargo test -p taut-sctp --test storm --release` runs more of them; a failure names its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use taut_netsim::{Link, Loss, Node, NodeId, World};
use taut_sansio::net::{Path, Received, Transmit};
use taut_sansio::rng::Rng;
use taut_sctp::{
    Association, Config, CongestionAlgorithm, Event, Ordering, Reliability, StreamId, WriteOptions,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Seeds that are run where nobody asks for more.
const SEEDS: u64 = 40;

/// How long the trouble lasts, outages not counted.
const TROUBLE: Duration = Duration::from_secs(15);

/// How long everything may take after it.
const AFTER: Duration = Duration::from_secs(60);

/// Octets in front of each message: stream, number, length, and when it was written.
const HEAD: usize = 16;

/// How long a message of stream 4 is tried.
const LIFE: Duration = Duration::from_millis(300);

/// What the streams are: ordered, unordered, and with a bound on the tries or the time.
fn options(stream: u16) -> WriteOptions {
    let (ordering, reliability) = match stream {
        1 => (Ordering::Ordered, Reliability::Reliable),
        2 => (Ordering::Unordered, Reliability::Reliable),
        3 => (Ordering::Ordered, Reliability::MaxRetransmits(1)),
        _ => (Ordering::Unordered, Reliability::MaxLifetime(LIFE)),
    };
    WriteOptions { ppid: 53, ordering, reliability, ..WriteOptions::default() }
}

/// One end: what it has to say, and what it heard.
struct End {
    sctp: Association,
    path: Path,
    epoch: Instant,
    plan: Vec<(Duration, u16, usize)>,
    written: BTreeMap<u16, u32>,
    heard: BTreeMap<u16, Vec<u32>>,
    partial: BTreeMap<(u16, bool), Vec<u8>>,
    /// The longest that a packet may be on its way.
    path_delay: Duration,
    seed: u64,
}

impl End {
    fn work(&mut self, now: Instant) {
        while let Some(&(at, stream, length)) = self.plan.last() {
            if self.epoch + at > now {
                return;
            }
            self.plan.pop();
            let number = self.written.entry(stream).or_default();
            let mut message = Vec::with_capacity(length + HEAD);
            message.extend(u32::from(stream).to_be_bytes());
            message.extend(number.to_be_bytes());
            message.extend((length as u32).to_be_bytes());
            message.extend(((now - self.epoch).as_millis() as u32).to_be_bytes());
            message.resize(length + HEAD, *number as u8);
            *number += 1;
            self.sctp
                .write(now, StreamId(stream), Bytes::from(message), &options(stream))
                .expect("there is room");
        }
    }

    fn read(&mut self, now: Instant) {
        while let Some(chunk) = self.sctp.poll_read(now) {
            let key = (chunk.stream.0, chunk.unordered);
            if chunk.begin {
                assert!(self.partial.insert(key, Vec::new()).is_none(), "seed {}: mixed", self.seed);
            }
            if chunk.abandoned {
                self.partial.remove(&key);
                continue;
            }
            self.partial.get_mut(&key).expect("it has begun").extend(&chunk.bytes);
            if chunk.end {
                let message = self.partial.remove(&key).expect("it has begun");
                self.on_message(now, chunk.stream.0, &message);
            }
        }
        while let Some(event) = self.sctp.poll_event() {
            assert!(!matches!(event, Event::Closed(_)), "seed {}: {event:?}", self.seed);
        }
    }

    fn on_message(&mut self, now: Instant, stream: u16, message: &[u8]) {
        let field =
            |at: usize| u32::from_be_bytes(message[at..at + 4].try_into().expect("a message has a head"));
        let (number, length) = (field(4), field(8) as usize);
        assert_eq!((field(0), length + HEAD), (u32::from(stream), message.len()), "seed {}: torn", self.seed);
        assert!(message[HEAD..].iter().all(|&octet| octet == number as u8), "seed {}: changed", self.seed);
        if stream == 4 {
            let took = (now - self.epoch).saturating_sub(field(12) * MS);
            assert!(took <= LIFE + self.path_delay, "seed {}: late by {took:?}", self.seed);
        }
        self.heard.entry(stream).or_default().push(number);
    }

    fn count(&self, stream: u16) -> usize {
        self.heard.get(&stream).map_or(0, Vec::len)
    }

    fn total(&self, stream: u16) -> usize {
        self.written.get(&stream).map_or(0, |&count| count as usize)
    }

    /// What came is what was to come.
    fn check(&self, from: &End) {
        let seed = self.seed;
        let numbers = |stream| self.heard.get(&stream).cloned().unwrap_or_default();
        let all = |stream| (0..from.total(stream) as u32).collect::<Vec<_>>();
        assert_eq!(numbers(1), all(1), "seed {seed}: reliable and ordered");
        let mut unordered = numbers(2);
        unordered.sort_unstable();
        assert_eq!(unordered, all(2), "seed {seed}: reliable and unordered");
        assert!(numbers(3).is_sorted_by(|a, b| a < b), "seed {seed}: ordered, each at most once");
        let distinct: BTreeSet<u32> = numbers(4).into_iter().collect();
        assert_eq!(distinct.len(), self.count(4), "seed {seed}: each at most once");
    }
}

impl Node for End {
    fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        self.sctp.handle_packet(meta.at, datagram.freeze());
        self.read(meta.at);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.sctp.handle_timeout(now);
        self.work(now);
        self.read(now);
    }

    fn poll_transmit(&mut self, now: Instant, _max_segments: usize, out: &mut Vec<u8>) -> Option<Transmit> {
        if let Some(length) = self.sctp.poll_transmit(now, 1_200, out) {
            return Some(Transmit::single(self.path, length));
        }
        let stats = self.sctp.stats();
        let outstanding = stats.in_flight > 0 || stats.queued > 0;
        assert!(!outstanding || self.sctp.poll_timeout().is_some(), "seed {}: no timer", self.seed);
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let plan = self.plan.last().map(|&(at, ..)| self.epoch + at);
        self.sctp.poll_timeout().into_iter().chain(plan).min()
    }
}

/// What a network does.
struct Weather {
    bad: Link,
    good: Link,
    outage: Option<(Duration, Duration)>,
    rate: u64,
    path_delay: Duration,
}

fn weather(rng: &mut Rng) -> Weather {
    // Evenly by order of magnitude.
    let rate = (64_000.0 * (100_000_000.0f64 / 64_000.0).powf(rng.unit())) as u64;
    let latency = rng.below(250) * MS;
    let packet = Duration::from_secs_f64(1_228.0 * 8.0 / rate as f64);
    let queue = (rate as usize / 8 / 2).max(20_000);
    let good = Link::default().latency(latency).rate(rate).queue(queue);
    let share = f64::from(rng.below(31)) / 100.0;
    let loss = match rng.below(3) {
        0 => Loss::None,
        1 => Loss::Random(share),
        _ => Loss::bursts(share, 1.0 + f64::from(rng.below(8))),
    };
    let late = (packet * rng.below(50)).min(SECOND);
    let bad = good
        .clone()
        .loss(loss)
        .jitter(rng.below(50) * MS)
        .reorder(f64::from(rng.below(20)) / 100.0, late)
        .duplicate(f64::from(rng.below(11)) / 100.0);
    let outage = (rng.below(3) == 0).then(|| (rng.below(10_000) * MS, (1_000 + rng.below(24_001)) * MS));
    let queue_delay = Duration::from_secs_f64(queue as f64 * 8.0 / rate as f64);
    Weather { bad, good, outage, rate, path_delay: latency + 50 * MS + late + queue_delay + 600 * MS }
}

/// Messages within the trouble, as many octets as the link carries in two seconds, but no more than that.
fn plan(rng: &mut Rng, rate: u64) -> Vec<(Duration, u16, usize)> {
    let mut octets = (rate as usize / 4).min(400_000);
    let mut plan = Vec::new();
    while octets > 0 {
        let length = [0, 90, 1_100, 4_000, 20_000][rng.below(5) as usize];
        plan.push((rng.below(TROUBLE.as_millis() as u32) * MS, 1 + rng.below(4) as u16, length));
        octets = octets.saturating_sub(length + HEAD + 100);
    }
    plan.sort_by_key(|&(at, ..)| std::cmp::Reverse(at));
    plan
}

fn world(seed: u64, weather: &Weather) -> (World<End>, NodeId, NodeId) {
    let mut world = World::new(seed);
    let epoch = world.now();
    let address = |last| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), 5_000);
    let mut rng = world.rng().child();
    let algorithms = [CongestionAlgorithm::NewReno, CongestionAlgorithm::Cubic, CongestionAlgorithm::Bbr];
    let mut end = |local: u8| {
        let config = Config::default().with_congestion(algorithms[rng.below(3) as usize]);
        let mut sctp = Association::new(config, rng.child());
        sctp.connect(epoch);
        End {
            sctp,
            path: Path::udp(address(local), address(3 - local)),
            epoch,
            plan: plan(&mut rng, weather.rate / 2),
            written: BTreeMap::new(),
            heard: BTreeMap::new(),
            partial: BTreeMap::new(),
            path_delay: weather.path_delay,
            seed,
        }
    };
    let (a, b) = (end(1), end(2));
    let (a, b) = (world.add_node(a, &[address(1).ip()]), world.add_node(b, &[address(2).ip()]));
    (world, a, b)
}

fn storm(seed: u64) {
    let weather = weather(&mut Rng::from_u64(seed));
    let (mut world, a, b) = world(seed, &weather);
    let both = |world: &mut World<End>, link: &Link| {
        world.set_link(a, b, link.clone());
        world.set_link(b, a, link.clone());
    };
    both(&mut world, &weather.bad);
    if let Some((at, time)) = weather.outage {
        world.run_for(at);
        both(&mut world, &weather.bad.clone().loss(Loss::Random(1.0)));
        world.run_for(time);
        both(&mut world, &weather.bad);
    }
    world.run_for(TROUBLE);
    both(&mut world, &weather.good);
    let through = world.run_until(AFTER, |world| {
        let (a, b) = (world.node(a), world.node(b));
        let came = |from: &End, to: &End| [1, 2].iter().all(|&stream| to.count(stream) == from.total(stream));
        a.plan.is_empty() && b.plan.is_empty() && came(a, b) && came(b, a)
    });
    let (a, b) = (world.node(a), world.node(b));
    assert!(through, "seed {seed}: it takes too long: {:?} {:?}", a.sctp.stats(), b.sctp.stats());
    b.check(a);
    a.check(b);
}

#[test]
fn seeds_of_bad_weather() {
    let seeds = std::env::var("TAUT_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    for seed in 0..seeds {
        storm(seed);
    }
}
