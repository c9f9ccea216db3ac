//! str0m with a plain driver: a socket an end, and a thread an end while data flows. Its buffer is as large as it has it
//! by default (128 KiB), where it is fastest, or as large as that of the others.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use str0m::channel::ChannelId;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::{Arrivals, CEILING, PATIENCE, Stack, message};

/// As it is by default.
pub(crate) struct Str0m;

/// With the ceiling of the others.
pub(crate) struct LargeBuffer;

/// One end.
pub(crate) struct End {
    rtc: Rtc,
    socket: UdpSocket,
    buffer: Vec<u8>,
    /// When it wants to be called.
    next: Instant,
    channel: Option<ChannelId>,
    arrivals: Arrivals,
}

pub(crate) struct Pair {
    offerer: End,
    answerer: End,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl End {
    fn new(config: RtcConfig) -> Result<Self, String> {
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(text)?;
        let now = Instant::now();
        let mut rtc = config.build(now);
        let candidate = Candidate::host(socket.local_addr().map_err(text)?, "udp").map_err(text)?;
        rtc.add_local_candidate(candidate);
        Ok(Self {
            rtc,
            socket,
            buffer: vec![0; 2_000],
            next: now,
            channel: None,
            arrivals: Arrivals::default(),
        })
    }

    /// Sends what is to be sent and takes what was said.
    fn drain(&mut self) -> Result<(), String> {
        loop {
            match self.rtc.poll_output().map_err(text)? {
                Output::Timeout(next) => {
                    self.next = next;
                    return Ok(());
                }
                // A full socket drops it, as a network would.
                Output::Transmit(transmit) => {
                    drop(self.socket.send_to(&transmit.contents, transmit.destination))
                }
                Output::Event(Event::ChannelOpen(id, _)) => self.channel = Some(id),
                Output::Event(Event::ChannelData(data)) => drop(self.arrivals.take(&data.data)),
                Output::Event(_) => {}
            }
        }
    }

    /// Takes a datagram if one is there, waiting for it as the socket is set; else the time.
    fn receive(&mut self) -> Result<bool, String> {
        let Ok((length, source)) = self.socket.recv_from(&mut self.buffer) else {
            self.rtc.handle_input(Input::Timeout(Instant::now())).map_err(text)?;
            return Ok(false);
        };
        let contents = self.buffer[..length].try_into().map_err(text)?;
        let destination = self.socket.local_addr().map_err(text)?;
        let receive = Receive { proto: Protocol::Udp, source, destination, contents };
        self.rtc.handle_input(Input::Receive(Instant::now(), receive)).map_err(text)?;
        Ok(true)
    }

    /// One turn of a thread that has only this end.
    fn turn(&mut self, at_most: Duration) -> Result<(), String> {
        self.drain()?;
        let wait =
            self.next.saturating_duration_since(Instant::now()).clamp(Duration::from_micros(100), at_most);
        self.socket.set_read_timeout(Some(wait)).map_err(text)?;
        self.receive()?;
        Ok(())
    }

    fn send_all(&mut self, size: usize, count: usize, done: impl Fn() -> bool) -> Result<(), String> {
        let id = self.channel.ok_or("no channel")?;
        let mut number = 0;
        while !done() {
            while number < count {
                let Some(mut channel) = self.rtc.channel(id) else { return Err("the channel closed".into()) };
                if !channel.write(true, &message(size, number)).map_err(text)? {
                    break;
                }
                number += 1;
            }
            self.turn(Duration::from_millis(2))?;
        }
        Ok(())
    }

    fn receive_all(&mut self, count: usize) -> Result<(), String> {
        while !self.arrivals.complete(count) {
            if self.arrivals.late() {
                return Err("messages are missing after a minute".into());
            }
            self.turn(Duration::from_millis(2))?;
        }
        // What acknowledges the last of them.
        self.drain()
    }
}

fn connect(config: fn() -> RtcConfig) -> Result<(Pair, Duration), String> {
    let (mut offerer, mut answerer) = (End::new(config())?, End::new(config())?);
    let mut changes = offerer.rtc.sdp_api();

    let start = Instant::now();
    let id = changes.add_channel("bulk".into());
    let (offer, pending) = changes.apply().ok_or("no offer")?;
    let answer = answerer.rtc.sdp_api().accept_offer(offer).map_err(text)?;
    offerer.rtc.sdp_api().accept_answer(pending, answer).map_err(text)?;
    // A thread an end, as when data flows, each waiting for its socket.
    let opened = |end: &mut End| {
        while end.channel.is_none() {
            end.turn(Duration::from_millis(2))?;
            if start.elapsed() > PATIENCE {
                return Err("it does not connect".to_owned());
            }
        }
        let taken = start.elapsed();
        end.drain().map(|()| taken)
    };
    let taken = std::thread::scope(|scope| {
        let answering = scope.spawn(|| opened(&mut answerer));
        let taken = opened(&mut offerer);
        answering.join().map_err(|_| "a thread panicked")??;
        taken
    })?;
    debug_assert_eq!(offerer.channel, Some(id));
    Ok((Pair { offerer, answerer }, taken))
}

fn bulk(pair: &mut Pair, size: usize, count: usize) -> Result<(), String> {
    pair.answerer.arrivals.reset();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (offerer, answerer) = (&mut pair.offerer, &mut pair.answerer);
        let sending =
            scope.spawn(|| offerer.send_all(size, count, || done.load(std::sync::atomic::Ordering::Relaxed)));
        let received = answerer.receive_all(count);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        sending.join().map_err(|_| "a thread panicked")??;
        received
    })?;
    pair.answerer.arrivals.check(size, count)
}

fn config() -> RtcConfig {
    Rtc::builder().set_crypto_provider(std::sync::Arc::new(str0m::crypto::from_feature_flags()))
}

impl Stack for Str0m {
    type Pair = Pair;

    fn new() -> Result<Self, String> {
        Ok(Self)
    }

    fn connect(&mut self) -> Result<(Pair, Duration), String> {
        connect(config)
    }

    fn bulk(&mut self, pair: &mut Pair, size: usize, count: usize) -> Result<(), String> {
        bulk(pair, size, count)
    }
}

impl Stack for LargeBuffer {
    type Pair = Pair;

    fn new() -> Result<Self, String> {
        Ok(Self)
    }

    fn connect(&mut self) -> Result<(Pair, Duration), String> {
        connect(|| config().set_sctp_max_buffered_amount(CEILING))
    }

    fn bulk(&mut self, pair: &mut Pair, size: usize, count: usize) -> Result<(), String> {
        bulk(pair, size, count)
    }
}
