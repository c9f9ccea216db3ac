//! Associations over one simulated link in virtual time: bulk flows that share it, and a prober that sees its queue.
//! `benches/scenarios.rs` is made of it too.
#![allow(dead_code, reason = "each of the files that use it uses a part")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use taut_netsim::{Link, Loss, Node, NodeId, World};
use taut_sansio::net::{Path, Received, Transmit};
use taut_sansio::time::earliest;
use taut_sctp::{
    Association, Config, CongestionAlgorithm, Event, Ordering, Reliability, Stats, StreamId, WriteOptions,
};

/// The UDP port of the first flow; the next have the next.
const PORT: u16 = 5_000;

/// The largest packet, as the peers of the field have it.
pub(crate) const MTU: usize = 1_200;

/// Octets of a bulk message.
const MESSAGE: usize = 16 << 10;

/// What an application lets wait in the sender.
const BUFFERED: usize = 1 << 20;

/// How often the prober asks.
const PROBE_EACH: Duration = Duration::from_millis(20);

/// What a flow is there for.
#[derive(Debug)]
enum Job {
    /// Sends as much as goes, from then on.
    Bulk { from: Instant, message: Bytes },
    /// Sends the time now and then.
    Probe { next: Instant },
    /// Takes in what comes.
    Take { received: u64, times: Vec<Duration> },
}

/// One end of an association.
#[derive(Debug)]
struct Flow {
    sctp: Association,
    job: Job,
}

/// All flows of one side.
#[derive(Debug)]
pub(crate) struct Host {
    flows: Vec<Flow>,
    local: IpAddr,
    remote: IpAddr,
    epoch: Instant,
    turn: usize,
}

impl Flow {
    /// Writes what the job has to say.
    fn work(&mut self, now: Instant, epoch: Instant) {
        match &mut self.job {
            Job::Bulk { from, message } if now >= *from => {
                while self.sctp.buffered_amount(StreamId(1)) < BUFFERED {
                    let _ = self.sctp.write(now, StreamId(1), message.clone(), &WriteOptions::default());
                }
            }
            Job::Probe { next } if now >= *next => {
                *next = now + PROBE_EACH;
                let time = (now - epoch).as_nanos() as u64;
                let options = WriteOptions {
                    ordering: Ordering::Unordered,
                    reliability: Reliability::MaxRetransmits(0),
                    ..WriteOptions::default()
                };
                let data = Bytes::copy_from_slice(&time.to_be_bytes());
                let _ = self.sctp.write(now, StreamId(1), data, &options);
            }
            _ => {}
        }
    }

    fn read(&mut self, now: Instant, epoch: Instant) {
        while let Some(chunk) = self.sctp.poll_read(now) {
            let Job::Take { received, times } = &mut self.job else { continue };
            *received += chunk.bytes.len() as u64;
            if let Ok(sent) = <[u8; 8]>::try_from(&chunk.bytes[..]) {
                times.push((now - epoch).saturating_sub(Duration::from_nanos(u64::from_be_bytes(sent))));
            }
        }
        while let Some(event) = self.sctp.poll_event() {
            assert!(!matches!(event, Event::Closed(_)), "{event:?}");
        }
    }
}

impl Node for Host {
    fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        let index = usize::from(meta.path.local.port() - PORT);
        self.flows[index].sctp.handle_packet(meta.at, datagram.freeze());
        self.flows[index].read(meta.at, self.epoch);
    }

    fn handle_timeout(&mut self, now: Instant) {
        for flow in &mut self.flows {
            flow.sctp.handle_timeout(now);
            flow.work(now, self.epoch);
        }
    }

    fn poll_transmit(&mut self, now: Instant, _max_segments: usize, out: &mut Vec<u8>) -> Option<Transmit> {
        for _ in 0..self.flows.len() {
            let index = self.turn % self.flows.len();
            self.turn += 1;
            let flow = &mut self.flows[index];
            flow.work(now, self.epoch);
            if let Some(length) = flow.sctp.poll_transmit(now, MTU, out) {
                let port = PORT + index as u16;
                let path = Path::udp(SocketAddr::new(self.local, port), SocketAddr::new(self.remote, port));
                return Some(Transmit::single(path, length));
            }
        }
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.flows.iter().fold(None, |next, flow| {
            let job = match &flow.job {
                Job::Bulk { from, .. } if flow.sctp.stats().queued == 0 => Some(*from),
                Job::Probe { next } => Some(*next),
                _ => None,
            };
            let job = job.filter(|at| *at > self.epoch);
            earliest(next, earliest(flow.sctp.poll_timeout(), job))
        })
    }
}

/// A link in both directions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// Bits a second, from sender to receiver; the way back has as much.
    pub(crate) rate: u64,
    /// The base round-trip time.
    pub(crate) rtt: Duration,
    /// How long the queue is at that rate.
    pub(crate) queue: Duration,
    /// The share that is lost at random, from sender to receiver.
    pub(crate) loss: f64,
}

/// What is to flow.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) line: Line,
    pub(crate) flows: Vec<CongestionAlgorithm>,
    /// How long it runs before it is measured.
    pub(crate) warm_up: Duration,
    /// How long it is measured.
    pub(crate) time: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Octets of messages a second, by flow.
    pub(crate) goodput: Vec<f64>,
    /// Of the senders, at the end.
    pub(crate) stats: Vec<Stats>,
    /// What packets waited above the base, sorted.
    pub(crate) delays: Vec<Duration>,
}

impl Outcome {
    /// The share of the rate of the line that a flow got, in messages.
    pub(crate) fn share(&self, line: Line, flow: usize) -> f64 {
        self.goodput[flow] * 8.0 / line.rate as f64
    }

    /// The delay that so much of the packets stayed below.
    pub(crate) fn delay(&self, share: f64) -> Duration {
        self.delays.get((self.delays.len() as f64 * share) as usize).copied().unwrap_or_default()
    }
}

fn host(local: u8, epoch: Instant) -> Host {
    let ip = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
    Host { flows: Vec::new(), local: ip(local), remote: ip(3 - local), epoch, turn: 0 }
}

/// A world with the flows of a plan, and a prober as the last of them. The second flow and each that follows starts
/// half a second after the one before.
fn world(plan: &Plan) -> (World<Host>, NodeId, NodeId) {
    let mut world = World::new(plan.seed);
    let epoch = world.now();
    let (mut sender, mut receiver) = (host(1, epoch), host(2, epoch));
    let prober = CongestionAlgorithm::NewReno;
    for (index, &algorithm) in plan.flows.iter().chain([&prober]).enumerate() {
        let config = Config::default().with_mtu(MTU).with_congestion(algorithm);
        let mut association = |config: &Config| Association::new(config.clone(), world.rng().child());
        let (mut from, to) = (association(&config), association(&config));
        from.connect(epoch);
        let begin = epoch + Duration::from_millis(1 + 500 * index as u64);
        let job = if index < plan.flows.len() {
            Job::Bulk { from: begin, message: Bytes::from(vec![7; MESSAGE]) }
        } else {
            Job::Probe { next: epoch + plan.warm_up }
        };
        sender.flows.push(Flow { sctp: from, job });
        receiver.flows.push(Flow { sctp: to, job: Job::Take { received: 0, times: Vec::new() } });
    }
    let addresses = [sender.local, receiver.local];
    let (a, b) = (world.add_node(sender, &addresses[..1]), world.add_node(receiver, &addresses[1..]));
    let Line { rate, rtt, queue, loss } = plan.line;
    let octets = (rate as f64 / 8.0 * queue.as_secs_f64()) as usize;
    let link = || Link::default().latency(rtt / 2).rate(rate).queue(octets.max(4 * 1_500));
    let loss = if loss > 0.0 { Loss::Random(loss) } else { Loss::None };
    world.set_link(a, b, link().loss(loss));
    world.set_link(b, a, link());
    (world, a, b)
}

/// Carries out a plan.
pub(crate) fn run(plan: &Plan) -> Outcome {
    let (mut world, a, b) = world(plan);
    world.run_for(plan.warm_up);
    let received = |world: &World<Host>| -> Vec<u64> {
        let flows = world.node(b).flows.iter().take(plan.flows.len());
        flows.map(|flow| if let Job::Take { received, .. } = flow.job { received } else { 0 }).collect()
    };
    let before = received(&world);
    world.run_for(plan.time);
    let after = received(&world);
    let goodput = before.iter().zip(&after).map(|(b, a)| (a - b) as f64 / plan.time.as_secs_f64());
    let goodput = goodput.collect();
    let stats = world.node(a).flows.iter().take(plan.flows.len()).map(|flow| flow.sctp.stats()).collect();
    let mut delays = Vec::new();
    if let Some(Flow { job: Job::Take { times, .. }, .. }) = world.node(b).flows.last() {
        delays.extend(times.iter().map(|time| time.saturating_sub(plan.line.rtt / 2)));
    }
    delays.sort_unstable();
    Outcome { goodput, stats, delays }
}
