//! The Binding method without authentication (RFC 8489 sections 6 and 12): a client that learns its reflexive
//! address from a server and keeps it alive, and the answer of such a server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use taut_sansio::net::{Path, Received, Transmit};
use taut_sansio::rng::Rng;

use crate::attribute::{ErrorCode, MappedAddress, UnknownAttributes, XorMappedAddress};
use crate::{
    AttributeType, Builder, Class, Fingerprint, Message, Method, Retransmission, Step, Transaction,
    TransactionId,
};

/// The comprehension-required attributes that a binding without authentication understands.
const KNOWN: &[AttributeType] = &[
    AttributeType::MAPPED_ADDRESS,
    AttributeType::XOR_MAPPED_ADDRESS,
    AttributeType::ERROR_CODE,
    AttributeType::UNKNOWN_ATTRIBUTES,
    AttributeType::USERNAME,
];

/// What a client found out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The server saw this address. Told once, and again when it changes.
    Mapped(SocketAddr),
    /// The server said no. The client is done.
    Refused {
        /// The number of ERROR-CODE.
        code: u16,
        /// The reason it gave.
        reason: String,
    },
    /// The server did not answer. The client is done.
    TimedOut,
}

/// Why datagrams were dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Not a binding answer, or damaged.
    pub malformed: u64,
    /// No request is waiting for it, or it came from somewhere else.
    pub unexpected: u64,
}

#[derive(Debug)]
enum State {
    Asking(Transaction),
    /// Ask again then, to keep the binding in the NAT alive.
    Idle(Instant),
    Done,
}

/// Asks one server on one path for the reflexive address, and asks again so that NATs keep it.
#[derive(Debug)]
pub struct Client {
    path: Path,
    keepalive: Duration,
    policy: Retransmission,
    state: State,
    mapped: Option<SocketAddr>,
    event: Option<Event>,
    rng: Rng,
    stats: Stats,
    now: Instant,
}

impl Client {
    /// A client whose first request is due at `now`. After an answer it asks again every `keepalive`.
    pub fn new(now: Instant, path: Path, policy: Retransmission, keepalive: Duration, mut rng: Rng) -> Self {
        let id = TransactionId::random(&mut rng);
        let state = State::Asking(Transaction::new(now, id, policy));
        Self { path, keepalive, policy, state, mapped: None, event: None, rng, stats: Stats::default(), now }
    }

    /// Takes an answer. True if this datagram was for this client, whether or not it was any good.
    pub fn handle_datagram(&mut self, meta: Received, datagram: &[u8]) -> bool {
        self.now = self.now.max(meta.at);
        let State::Asking(transaction) = &self.state else { return false };
        let message = match Message::parse(datagram) {
            Ok(message) if message.method() == Method::BINDING => message,
            _ => return false,
        };
        if !matches!(message.class(), Class::Success | Class::Error)
            || message.transaction_id() != transaction.id()
        {
            return false;
        }
        if meta.path != self.path {
            self.stats.unexpected = self.stats.unexpected.saturating_add(1);
            tracing::trace!(path = ?meta.path, "binding answer from elsewhere dropped");
            return true;
        }
        let Some(answer) = read_answer(&message) else {
            self.stats.malformed = self.stats.malformed.saturating_add(1);
            tracing::trace!("malformed binding answer dropped");
            return true;
        };
        self.on_answer(answer);
        true
    }

    fn on_answer(&mut self, answer: Event) {
        if let Event::Mapped(address) = answer {
            self.state = State::Idle(self.now.checked_add(self.keepalive).unwrap_or(self.now));
            if self.mapped.replace(address) == Some(address) {
                return;
            }
        } else {
            self.state = State::Done;
        }
        self.event = Some(answer);
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        match &self.state {
            State::Idle(at) if *at <= self.now => {
                let id = TransactionId::random(&mut self.rng);
                self.state = State::Asking(Transaction::new(self.now, id, self.policy));
            }
            State::Asking(transaction) if transaction.has_timed_out(self.now) => {
                self.state = State::Done;
                self.event = Some(Event::TimedOut);
            }
            State::Idle(_) | State::Asking(_) | State::Done => {}
        }
    }

    /// Appends the request when it is due.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.handle_timeout(now);
        let State::Asking(transaction) = &mut self.state else { return None };
        if transaction.poll(self.now) != Step::Send {
            return None;
        }
        let builder = Builder::new(out, Class::Request, Method::BINDING, transaction.id());
        builder.fingerprint().finish().map(|len| Transmit::single(self.path, len))
    }

    /// What has been found out since the last call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) and [`poll_transmit`](Self::poll_transmit).
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Asking(transaction) => Some(transaction.timeout()),
            State::Idle(at) => Some(*at),
            State::Done => None,
        }
    }

    /// The path to the server.
    pub fn path(&self) -> Path {
        self.path
    }

    /// The reflexive address, once known.
    pub fn mapped(&self) -> Option<SocketAddr> {
        self.mapped
    }

    /// Counters of what was dropped.
    pub fn stats(&self) -> Stats {
        self.stats
    }
}

/// `None` if the answer is malformed, lacks what it is for, or has a comprehension-required attribute that is not
/// understood (RFC 8489 section 6.3.3).
fn read_answer(message: &Message<'_>) -> Option<Event> {
    if message.fingerprint() == Fingerprint::Bad || message.unknown_required(KNOWN).next().is_some() {
        return None;
    }
    if message.class() == Class::Error {
        let error = message.get::<ErrorCode<'_>>().ok()??;
        return Some(Event::Refused { code: error.code, reason: error.reason.into_owned() });
    }
    match message.get().ok()? {
        Some(XorMappedAddress(address)) => Some(Event::Mapped(address)),
        None => message.get().ok()?.map(|MappedAddress(address)| Event::Mapped(address)),
    }
}

/// Appends what a binding server without authentication answers to `datagram` from `source`; `None` for
/// everything that is not a well-formed binding request (RFC 8489 section 6.3.1). A whole server:
///
/// ```no_run
/// let socket = std::net::UdpSocket::bind("0.0.0.0:3478")?;
/// let (mut datagram, mut answer) = ([0; 1_500], Vec::new());
/// loop {
///     let (length, source) = socket.recv_from(&mut datagram)?;
///     answer.clear();
///     if taut_stun::binding::answer(&datagram[..length], source, &mut answer).is_some() {
///         socket.send_to(&answer, source)?;
///     }
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn answer(datagram: &[u8], source: SocketAddr, out: &mut Vec<u8>) -> Option<usize> {
    let request =
        Message::parse(datagram).ok().filter(|message| message.is(Class::Request, Method::BINDING))?;
    let fingerprint = request.fingerprint();
    if fingerprint == Fingerprint::Bad {
        return None;
    }
    let unknown: UnknownAttributes = request.unknown_required(KNOWN).collect();
    let builder = if unknown.is_empty() {
        Builder::answer(out, Class::Success, &request).push(&XorMappedAddress(source))
    } else {
        let code = ErrorCode::new(ErrorCode::UNKNOWN_ATTRIBUTE, "");
        Builder::answer(out, Class::Error, &request).push(&code).push(&unknown)
    };
    match fingerprint {
        Fingerprint::Good => builder.fingerprint().finish(),
        _ => builder.finish(),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]
mod tests {
    use super::*;
    use crate::attribute::{Priority, Software};

    const ID: TransactionId = TransactionId([1; 12]);

    fn path() -> Path {
        Path::udp("10.0.0.1:5000".parse().unwrap(), "192.0.2.9:3478".parse().unwrap())
    }

    fn client(now: Instant) -> Client {
        Client::new(now, path(), Retransmission::default(), Duration::from_secs(15), Rng::from_u64(1))
    }

    fn received(at: Instant, path: Path) -> Received {
        Received { at, path, ecn: None }
    }

    #[test]
    fn learns_the_address_and_keeps_it() {
        let mut now = Instant::now();
        let mut client = client(now);
        let source: SocketAddr = "198.51.100.7:61000".parse().unwrap();
        for round in 0..3 {
            let (mut request, mut reply) = (Vec::new(), Vec::new());
            let transmit = client.poll_transmit(now, &mut request).expect("a request is due");
            assert_eq!((transmit.path, transmit.len), (path(), request.len()));
            answer(&request, source, &mut reply).unwrap();
            now += Duration::from_millis(30);
            assert!(client.handle_datagram(received(now, path()), &reply));
            assert_eq!(client.poll_event(), (round == 0).then_some(Event::Mapped(source)));
            assert_eq!(client.mapped(), Some(source));
            assert!(!client.handle_datagram(received(now, path()), &reply), "the transaction is over");
            assert_eq!(client.poll_timeout(), Some(now + Duration::from_secs(15)));
            now += Duration::from_secs(15);
        }
    }

    #[test]
    fn answers_from_elsewhere_or_damaged_change_nothing() {
        let now = Instant::now();
        let mut client = client(now);
        let (mut request, mut reply) = (Vec::new(), Vec::new());
        let _ = client.poll_transmit(now, &mut request).unwrap();
        answer(&request, path().local, &mut reply).unwrap();
        let elsewhere = Path::udp(path().local, "192.0.2.9:3479".parse().unwrap());
        assert!(client.handle_datagram(received(now, elsewhere), &reply));
        assert_eq!(client.stats().unexpected, 1);
        let mut damaged = reply.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(client.handle_datagram(received(now, path()), &damaged));
        assert_eq!(client.stats().malformed, 1);
        assert_eq!(client.poll_event(), None);
        assert!(!client.handle_datagram(received(now, path()), &request), "our own request back");
        assert!(client.handle_datagram(received(now, path()), &reply), "the true answer still counts");
        assert_eq!(client.poll_event(), Some(Event::Mapped(path().local)));
    }

    #[test]
    fn answers_of_another_method_or_with_unknown_required_attributes_do_not_count() {
        let now = Instant::now();
        let mut client = client(now);
        let mut request = Vec::new();
        let _ = client.poll_transmit(now, &mut request).unwrap();
        let id = Message::parse(&request).unwrap().transaction_id();
        let mapped = XorMappedAddress(path().local);
        let (mut other_method, mut unknown) = (Vec::new(), Vec::new());
        let builder = Builder::new(&mut other_method, Class::Success, Method::ALLOCATE, id);
        let _ = builder.push(&mapped).finish();
        let builder = Builder::new(&mut unknown, Class::Success, Method::BINDING, id);
        let _ = builder.push(&mapped).push(&Priority(1)).finish();
        assert!(!client.handle_datagram(received(now, path()), &other_method));
        assert!(client.handle_datagram(received(now, path()), &unknown));
        assert_eq!((client.stats().malformed, client.poll_event()), (1, None));
    }

    #[test]
    fn gives_up_after_the_last_wait_and_on_an_error() {
        let start = Instant::now();
        let mut silent = client(start);
        let mut sent = 0;
        while let Some(at) = silent.poll_timeout() {
            sent += usize::from(silent.poll_transmit(at, &mut Vec::new()).is_some());
        }
        assert_eq!((sent, silent.poll_event()), (7, Some(Event::TimedOut)));

        let mut refused = client(start);
        let (mut request, mut reply) = (Vec::new(), Vec::new());
        let _ = refused.poll_transmit(start, &mut request).unwrap();
        let request = Message::parse(&request).unwrap();
        let _ = Builder::answer(&mut reply, Class::Error, &request).push(&ErrorCode::new(500, "no")).finish();
        assert!(refused.handle_datagram(received(start, path()), &reply));
        assert_eq!(refused.poll_event(), Some(Event::Refused { code: 500, reason: "no".into() }));
        assert_eq!(refused.poll_timeout(), None);
    }

    #[test]
    fn the_server_answers_requests_only_and_names_what_it_does_not_know() {
        let source = path().remote;
        for (class, method) in [
            (Class::Indication, Method::BINDING),
            (Class::Success, Method::BINDING),
            (Class::Error, Method::BINDING),
            (Class::Request, Method::new(3)),
        ] {
            let mut datagram = Vec::new();
            let _ = Builder::new(&mut datagram, class, method, ID).finish();
            assert_eq!(answer(&datagram, source, &mut Vec::new()), None);
        }
        let mut damaged = Vec::new();
        let _ = Builder::new(&mut damaged, Class::Request, Method::BINDING, ID).fingerprint().finish();
        assert!(answer(&damaged, source, &mut Vec::new()).is_some());
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(answer(&damaged, source, &mut Vec::new()), None);
        let (mut request, mut reply) = (Vec::new(), Vec::new());
        let builder = Builder::new(&mut request, Class::Request, Method::BINDING, ID);
        let _ = builder.push(&Priority(1)).push(&Software::new("optional")).finish();
        answer(&request, source, &mut reply).unwrap();
        let reply = Message::parse(&reply).unwrap();
        assert_eq!(reply.get::<ErrorCode<'_>>().unwrap().unwrap().code, 420);
        let unknown = reply.get::<UnknownAttributes>().unwrap().unwrap();
        assert_eq!(unknown.types().collect::<Vec<_>>(), [AttributeType::PRIORITY]);
    }
}
