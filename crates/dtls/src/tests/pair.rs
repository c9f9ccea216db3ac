//! Two sessions and the link between them.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use taut_sansio::rng::Rng;

use super::any;
use crate::{
    Certificate, Config, Engine, Event, Fingerprint, HashAlgorithm, Role, Session, State, VerifiedPeer,
};

pub(super) const UNIX: Duration = Duration::from_secs(1_795_000_000);
/// More polls than this at one instant are a loop.
const MAX_POLLS: usize = 10_000;

/// What a link does to datagrams.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) latency: Duration,
    pub(super) loss: f64,
    pub(super) reorder: f64,
    pub(super) duplicate: f64,
}

impl Default for Link {
    fn default() -> Self {
        Self { latency: Duration::from_millis(20), loss: 0.0, reorder: 0.0, duplicate: 0.0 }
    }
}

/// One end.
#[derive(Debug)]
pub(super) struct End {
    pub(super) session: Session,
    pub(super) certificate: Certificate,
    pub(super) events: Vec<Event>,
    pub(super) data: Vec<Bytes>,
    /// Every datagram that it sent.
    pub(super) sent: Vec<Vec<u8>>,
}

impl End {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self::with(config, Certificate::generate(UNIX).unwrap(), now)
    }

    pub(super) fn with(config: &Config, certificate: Certificate, now: Instant) -> Self {
        let session = Session::new(config, &certificate, now).unwrap();
        Self { session, certificate, events: Vec::new(), data: Vec::new(), sent: Vec::new() }
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.certificate.fingerprint(HashAlgorithm::Sha256)
    }

    pub(super) fn peer(&self) -> &VerifiedPeer {
        match self.events.first() {
            Some(Event::Connected(peer)) => peer,
            other => panic!("not connected: {other:?}"),
        }
    }

    pub(super) fn collect(&mut self) {
        while let Some(data) = self.session.poll_plaintext() {
            assert!(self.session.remote_certificate().is_some(), "data before the fingerprint held");
            self.data.push(data);
        }
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
    }
}

/// Two ends, a clock, and what is on its way.
pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) ends: [End; 2],
    pub(super) link: Link,
    /// What the link carries at once.
    pub(super) room: usize,
    pub(super) rng: Rng,
    /// Time, order, the end that gets it, the datagram.
    flying: Vec<(Instant, u64, usize, Vec<u8>)>,
    order: u64,
    /// The datagrams that get lost, counted from the first one of both.
    pub(super) lose: Vec<u64>,
    sent: u64,
}

pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

impl Pair {
    pub(super) fn of(engine: Engine, seed: u64) -> Self {
        Self::with(seed, &any(engine), &any(engine))
    }

    pub(super) fn with(seed: u64, client: &Config, server: &Config) -> Self {
        let now = Instant::now();
        let ends = [End::new(client, now), End::new(server, now)];
        Self {
            now,
            ends,
            link: Link::default(),
            room: 1200,
            rng: Rng::from_u64(seed),
            flying: Vec::new(),
            order: 0,
            lose: Vec::new(),
            sent: 0,
        }
    }

    /// Both ends begin now, as client and as server, and know each other's fingerprints.
    pub(super) fn start(&mut self) {
        self.start_as(CLIENT, Role::Client);
        self.start_as(SERVER, Role::Server);
    }

    pub(super) fn start_as(&mut self, end: usize, role: Role) {
        let remote = vec![self.ends[1 - end].fingerprint()];
        let rtt = self.link.latency * 2;
        self.ends[end].session.start(self.now, role, remote, Some(rtt));
    }

    /// Puts a datagram on the way to an end; the link does nothing to it.
    pub(super) fn inject(&mut self, to: usize, datagram: &[u8]) {
        self.ends[to].session.handle_packet(self.now, BytesMut::from(datagram));
        self.ends[to].collect();
    }

    /// What an end has to send now, taken off its hands.
    pub(super) fn take(&mut self, end: usize) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for polls in 0.. {
            assert!(polls < MAX_POLLS, "poll_transmit does not end");
            let mut datagram = vec![0xaa; 3];
            let Some(length) = self.ends[end].session.poll_transmit(self.now, self.room, &mut datagram)
            else {
                break;
            };
            assert_eq!(datagram.len(), length + 3, "the length is what was appended");
            assert!(length <= self.room && length > 0);
            out.push(datagram.split_off(3));
        }
        self.ends[end].collect();
        self.ends[end].sent.extend(out.iter().cloned());
        out
    }

    /// Sends one record of application data.
    pub(super) fn send(&mut self, from: usize, data: &[u8]) {
        let mut out = Vec::new();
        let session = &mut self.ends[from].session;
        let length = session.seal(self.now, data, &mut out).unwrap();
        assert_eq!(length, out.len());
        assert_eq!(length, data.len() + session.overhead(), "overhead is exact");
        self.fly(from, out);
    }

    fn fly(&mut self, from: usize, datagram: Vec<u8>) {
        self.sent += 1;
        if self.lose.contains(&(self.sent - 1)) || self.rng.unit() < self.link.loss {
            return;
        }
        let copies = if self.rng.unit() < self.link.duplicate { 2 } else { 1 };
        for _ in 0..copies {
            let late =
                if self.rng.unit() < self.link.reorder { self.link.latency * 2 } else { Duration::ZERO };
            self.order += 1;
            self.flying.push((self.now + self.link.latency + late, self.order, 1 - from, datagram.clone()));
        }
    }

    fn flush(&mut self) {
        for end in [CLIENT, SERVER] {
            for datagram in self.take(end) {
                self.fly(end, datagram);
            }
        }
    }

    /// One thing happens: an arrival or a timeout. False when nothing is left to happen before `limit`.
    pub(super) fn step(&mut self, limit: Instant) -> bool {
        self.flush();
        let arrival = self.flying.iter().map(|flying| (flying.0, flying.1)).min();
        let timeout = self.ends.iter().filter_map(|end| end.session.poll_timeout()).min();
        let next = [arrival.map(|arrival| arrival.0), timeout].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= limit) else { return false };
        self.now = self.now.max(next);
        if let Some((at, order)) = arrival
            && at <= self.now
        {
            let index = self.flying.iter().position(|flying| flying.1 == order).unwrap();
            let (_, _, to, datagram) = self.flying.swap_remove(index);
            self.inject(to, &datagram);
        } else {
            for end in &mut self.ends {
                end.session.handle_timeout(self.now);
                end.collect();
                let next = end.session.poll_timeout();
                assert!(
                    next.is_none_or(|next| next > self.now),
                    "the timeout stays in the past: {:?} {:#?}",
                    self.now,
                    next
                );
            }
        }
        true
    }

    /// Runs until `done`, or the time is over; says which.
    pub(super) fn run_until(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let limit = self.now + time;
        let mut turns = 0;
        while !done(self) {
            turns += 1;
            assert!(turns < 100_000, "no end");
            if !self.step(limit) {
                self.now = limit;
                return done(self);
            }
        }
        true
    }

    pub(super) fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    pub(super) fn connected(&self) -> bool {
        self.ends.iter().all(|end| end.session.state() == State::Connected)
    }

    /// Connects, or says why not.
    pub(super) fn connect(&mut self) {
        self.start();
        let done = self.run_until(Duration::from_secs(31), Self::connected);
        assert!(done, "{:?} {:?}", self.ends[0].events, self.ends[1].events);
        self.run(Duration::from_millis(200));
        self.check_keys();
    }

    /// Both ends have the same keys, the other way round.
    pub(super) fn check_keys(&self) {
        let (a, b) = (self.ends[0].peer(), self.ends[1].peer());
        assert_eq!(a.certificate(), self.ends[1].certificate.der());
        assert_eq!(b.certificate(), self.ends[0].certificate.der());
        assert_eq!(a.version(), b.version());
        assert_eq!(a.cipher_suite(), b.cipher_suite());
        assert_ne!(a.cipher_suite(), "unknown");
        if let (Some(a), Some(b)) = (a.srtp(), b.srtp()) {
            assert_eq!(a.profile, b.profile);
            assert_eq!((&a.local_key, &a.local_salt), (&b.remote_key, &b.remote_salt));
            assert_eq!((&a.remote_key, &a.remote_salt), (&b.local_key, &b.local_salt));
            assert_ne!(a.local_key, a.remote_key);
        }
    }

    /// Sends one message each way and sees both arrive.
    pub(super) fn check_data(&mut self) {
        for from in [CLIENT, SERVER] {
            let message = format!("from {from} at {:?}", self.order).into_bytes();
            let before = self.ends[1 - from].data.len();
            self.send(from, &message);
            self.run(self.link.latency + Duration::from_millis(1));
            assert_eq!(self.ends[1 - from].data[before..], [Bytes::from(message)]);
        }
        assert!(self.connected());
    }
}
