//! SCTP in bulk: two associations, or two data-channel sessions, in memory and on one thread; no loss, no delay. The
//! figures are those of both ends together.
#![allow(missing_docs, reason = "criterion makes the functions")]
#![allow(clippy::disallowed_methods, reason = "a starting point in time is needed")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use taut_datachannel::{ChannelId, ChannelInit, Message, RemoteParameters, Role, SendError, Session};
use taut_sansio::rng::Rng;
use taut_sctp::{Association, Config, Reliability, State, StreamId, WriteError, WriteOptions};

/// The largest packet.
const MTU: usize = 1_200;

/// What one iteration sends, in octets.
const VOLUME: usize = 4 << 20;

/// What waits in the sender at most, as an application that heeds the buffered amount would have it.
const BUFFER: usize = 1 << 20;

const MESSAGES: [(&str, usize); 3] = [("1 KiB", 1 << 10), ("16 KiB", 16 << 10), ("256 KiB", 256 << 10)];

/// Packets of one end, one after the other in one buffer, until there are no more; and into the other end.
macro_rules! carry {
    ($from:expr, $to:expr, $now:expr) => {{
        let mut moved = false;
        loop {
            let mut out = Vec::with_capacity(MTU);
            if $from.poll_transmit($now, MTU, &mut out).is_none() {
                break moved;
            }
            moved = true;
            $to.handle_packet($now, Bytes::from(out));
        }
    }};
}

/// Passes the time until the first timer of both ends, and lets it fire.
macro_rules! wait {
    ($pair:expr) => {{
        let next = [$pair.sender.poll_timeout(), $pair.receiver.poll_timeout()].into_iter().flatten().min();
        $pair.now = $pair.now.max(next.expect("something is on its way"));
        $pair.sender.handle_timeout($pair.now);
        $pair.receiver.handle_timeout($pair.now);
    }};
}

/// Two associations that are connected.
struct Associations {
    sender: Association,
    receiver: Association,
    now: Instant,
}

impl Associations {
    fn new() -> Self {
        let config = Config::default().with_mtu(MTU).with_send_buffer(BUFFER);
        let mut sender = Association::new(config.clone(), Rng::from_u64(1));
        let mut receiver = Association::new(config, Rng::from_u64(2));
        let now = Instant::now();
        sender.connect(now);
        while carry!(sender, receiver, now) | carry!(receiver, sender, now) {}
        assert_eq!(sender.state(), State::Established);
        while sender.poll_event().is_some() || receiver.poll_event().is_some() {}
        Self { sender, receiver, now }
    }

    /// Sends as many messages of this length as make up the volume, and takes them all in.
    fn bulk(&mut self, message: &Bytes, options: &WriteOptions) {
        let (mut unsent, mut arrived) = (VOLUME / message.len(), 0);
        while arrived < VOLUME {
            // Timers are passed on as a driver would, so that a delayed acknowledgement is never waited for twice.
            self.now += Duration::from_micros(100);
            while unsent > 0 {
                match self.sender.write(self.now, StreamId(0), message.clone(), options) {
                    Ok(()) => unsent -= 1,
                    Err(WriteError::Full) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            let mut moved = carry!(self.sender, self.receiver, self.now);
            while let Some(chunk) = self.receiver.poll_read(self.now) {
                arrived += chunk.bytes.len();
            }
            moved |= carry!(self.receiver, self.sender, self.now);
            if !moved {
                wait!(self);
            }
        }
        assert_eq!(arrived, VOLUME);
    }
}

fn associations(c: &mut Criterion) {
    let mut group = c.benchmark_group("sctp");
    group.throughput(Throughput::Bytes(VOLUME as u64));
    for (name, length) in MESSAGES {
        let message = Bytes::from(vec![7; length]);
        let mut pair = Associations::new();
        group.bench_function(format!("reliable, messages of {name}"), |b| {
            b.iter(|| pair.bulk(&message, &WriteOptions::default()));
        });
        assert_eq!(pair.sender.stats().retransmissions, 0, "nothing was lost");
    }
    let message = Bytes::from(vec![7; 16 << 10]);
    let mut pair = Associations::new();
    let options = WriteOptions { reliability: Reliability::MaxRetransmits(0), ..WriteOptions::default() };
    group.bench_function("no retransmission, messages of 16 KiB", |b| {
        b.iter(|| pair.bulk(&message, &options));
    });
    group.finish();
}

/// Two sessions with one open channel.
struct Sessions {
    sender: Session,
    receiver: Session,
    channel: ChannelId,
    incoming: ChannelId,
    now: Instant,
}

impl Sessions {
    fn new() -> Self {
        use taut_datachannel::{Config, Event};
        let config = Config::default().with_mtu(MTU).with_send_buffer(BUFFER);
        let mut sender = Session::new(config.clone(), Rng::from_u64(1));
        let mut receiver = Session::new(config, Rng::from_u64(2));
        let now = Instant::now();
        let channel = sender.open(now, ChannelInit::new("bulk")).expect("a channel");
        let remote = RemoteParameters { max_message_size: 0, port: 5000 };
        sender.start(now, Role::Client, remote);
        receiver.start(now, Role::Server, remote);
        while carry!(sender, receiver, now) | carry!(receiver, sender, now) {}
        let mut incoming = None;
        while let Some(event) = receiver.poll_event() {
            if let Event::Incoming(id) = event {
                incoming = Some(id);
            }
        }
        while sender.poll_event().is_some() {}
        Self { sender, receiver, channel, incoming: incoming.expect("the channel is open"), now }
    }

    fn bulk(&mut self, message: &Message) {
        let (mut unsent, mut arrived) = (VOLUME / message.data.len(), 0);
        while arrived < VOLUME {
            self.now += Duration::from_micros(100);
            while unsent > 0 {
                match self.sender.send(self.now, self.channel, message.clone()) {
                    Ok(()) => unsent -= 1,
                    Err(SendError::Full) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            let mut moved = carry!(self.sender, self.receiver, self.now);
            while let Some(message) = self.receiver.poll_message(self.incoming) {
                arrived += message.data.len();
            }
            moved |= carry!(self.receiver, self.sender, self.now);
            while self.sender.poll_event().is_some() || self.receiver.poll_event().is_some() {}
            if !moved {
                wait!(self);
            }
        }
        assert_eq!(arrived, VOLUME);
    }
}

fn sessions(c: &mut Criterion) {
    let mut group = c.benchmark_group("data channel");
    group.throughput(Throughput::Bytes(VOLUME as u64));
    for (name, length) in MESSAGES {
        let message = Message::binary(vec![7; length]);
        let mut pair = Sessions::new();
        group.bench_function(format!("reliable, messages of {name}"), |b| b.iter(|| pair.bulk(&message)));
    }
    group.finish();
}

criterion_group!(benches, associations, sessions);
criterion_main!(benches);
