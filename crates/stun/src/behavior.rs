//! NAT behaviour discovery (RFC 5780): how the translators between this host and a server map, and how they filter (RFC 4787
//! sections 4.1 and 5). The server has two addresses with two ports each, and tells of the others in OTHER-ADDRESS.
//!
//! | test | asked | from where an answer says what |
//! |---|---|---|
//! | filtering II | the server, to answer from the other address and port | any answer: endpoint-independent |
//! | filtering III | the server, to answer from its other port | an answer: address-dependent; none: address- and port-dependent |
//! | mapping II | the other address | the same mapped address as before: endpoint-independent |
//! | mapping III | the other address, at its other port | the same as in II: address-dependent; another: address- and port-dependent |
//!
//! All from one socket, and filtering first, while nothing was sent but to the server itself: what is sent to the other address lets
//! its answers in.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use taut_sansio::net::{Path, Received, Transmit};
use taut_sansio::rng::Rng;

use crate::attribute::{
    ChangeRequest, ErrorCode, MappedAddress, OtherAddress, ResponseOrigin, Software, UnknownAttributes,
    XorMappedAddress,
};
use crate::{
    AttributeType, Builder, Class, Fingerprint, Message, Method, Retransmission, Step, Transaction,
    TransactionId,
};

/// The comprehension-required attributes that are understood.
const KNOWN: &[AttributeType] = &[
    AttributeType::MAPPED_ADDRESS,
    AttributeType::XOR_MAPPED_ADDRESS,
    AttributeType::ERROR_CODE,
    AttributeType::UNKNOWN_ATTRIBUTES,
    AttributeType::USERNAME,
    AttributeType::CHANGE_REQUEST,
];

/// What requests say of who sends them.
const SOFTWARE: &str = "taut";

/// How a request is repeated when nothing else is said: four times in 3.5 s, and 2 s more. Silence is an answer here, so it is
/// not waited for as long as elsewhere.
const RETRANSMISSION: Retransmission = Retransmission {
    rto: Duration::from_millis(500),
    max_interval: Duration::from_secs(2),
    transmissions: 4,
    last_wait: 4,
};

/// What a mapping, or a filter, depends on (RFC 4787 sections 4.1 and 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependence {
    /// On the endpoint inside alone.
    EndpointIndependent,
    /// On the address outside, too.
    AddressDependent,
    /// On the address and the port outside, too.
    AddressAndPortDependent,
}

impl fmt::Display for Dependence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address- and port-dependent",
        })
    }
}

/// What was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatBehavior {
    /// The local address that was asked from.
    pub local: SocketAddr,
    /// The same as the server sees it.
    pub mapped: SocketAddr,
    /// What the mapping depends on; `None` where the server has no other address, or that one does not answer.
    pub mapping: Option<Dependence>,
    /// What the filter depends on; `None` where the server cannot answer from elsewhere.
    pub filtering: Option<Dependence>,
}

impl NatBehavior {
    /// Whether there is a translator in between.
    pub fn is_translated(&self) -> bool {
        self.local != self.mapped
    }
}

/// How it ended. Told once; the machine is done then.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// As far as the server can tell.
    Found(NatBehavior),
    /// The server said no.
    Refused {
        /// The number of ERROR-CODE.
        code: u16,
        /// The reason it gave.
        reason: String,
    },
    /// The server did not answer.
    TimedOut,
}

/// Why datagrams were dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Damaged, or without what an answer has to have.
    pub malformed: u64,
    /// From elsewhere than where the answer has to come from, or to another local address.
    pub unexpected: u64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    Mapped(SocketAddr),
    /// An error, or the server did not answer from where it was asked to.
    Unwilling,
    Silence,
}

#[derive(Debug)]
struct Probe {
    transaction: Transaction,
    to: SocketAddr,
    change: ChangeRequest,
    /// Where the answer has to come from.
    from: SocketAddr,
    reply: Option<Reply>,
}

#[derive(Debug)]
enum Phase {
    /// What the server sees.
    Binding(Probe),
    /// Filtering II and III at the same time: both go to the server, so neither lets the other's answer in.
    Filtering(Box<[Probe; 2]>),
    MappingTwo(Probe),
    MappingThree(Probe),
    Done,
}

/// Finds out how the translators on the way to a server behave.
#[derive(Debug)]
pub struct Discovery {
    path: Path,
    policy: Retransmission,
    rng: Rng,
    phase: Phase,
    /// The server's other address.
    other: Option<SocketAddr>,
    found: NatBehavior,
    /// What the other address saw in test II, which III compares with.
    second: Option<SocketAddr>,
    event: Option<Event>,
    stats: Stats,
    now: Instant,
}

impl Discovery {
    /// Asks the server at the other end of `path`; the first request is due at `now`. The local address has to be that of the
    /// host, not the unspecified one, or a translator is seen where there is none.
    pub fn new(now: Instant, path: Path, rng: Rng) -> Self {
        Self::with_retransmission(now, path, RETRANSMISSION, rng)
    }

    /// The same with another patience: whoever does not answer in time is taken for somebody who cannot.
    pub fn with_retransmission(now: Instant, path: Path, policy: Retransmission, rng: Rng) -> Self {
        let found = NatBehavior { local: path.local, mapped: path.local, mapping: None, filtering: None };
        let mut this = Self {
            path,
            policy,
            rng,
            phase: Phase::Done,
            other: None,
            found,
            second: None,
            event: None,
            stats: Stats::default(),
            now,
        };
        let probe = this.probe(path.remote, ChangeRequest::default(), path.remote);
        this.phase = Phase::Binding(probe);
        this
    }

    fn probe(&mut self, to: SocketAddr, change: ChangeRequest, from: SocketAddr) -> Probe {
        let id = TransactionId::random(&mut self.rng);
        Probe { transaction: Transaction::new(self.now, id, self.policy), to, change, from, reply: None }
    }

    fn probes(&mut self) -> &mut [Probe] {
        match &mut self.phase {
            Phase::Binding(probe) | Phase::MappingTwo(probe) | Phase::MappingThree(probe) => {
                std::slice::from_mut(probe)
            }
            Phase::Filtering(probes) => probes.as_mut_slice(),
            Phase::Done => &mut [],
        }
    }

    /// Takes an answer. True if this datagram was for this machine, whether or not it was any good.
    pub fn handle_datagram(&mut self, meta: Received, datagram: &[u8]) -> bool {
        self.now = self.now.max(meta.at);
        let Ok(message) = Message::parse(datagram) else { return false };
        let is_answer = matches!(message.class(), Class::Success | Class::Error);
        let (server, local) = (self.path.remote, self.path.local);
        let of = |probe: &&mut Probe| probe.transaction.id() == message.transaction_id();
        let Some(probe) = self.probes().iter_mut().find(of) else { return false };
        if !is_answer || message.method() != Method::BINDING || probe.reply.is_some() {
            return false;
        }
        let (from, to, first) = (probe.from, probe.to, probe.to == server && probe.from == server);
        // A server that does not do what is asked answers from where it was asked.
        let from_elsewhere = meta.path.remote != from && meta.path.remote != to;
        let Some(answer) = read_answer(&message) else {
            self.stats.malformed = self.stats.malformed.saturating_add(1);
            return true;
        };
        if from_elsewhere || meta.path.local != local {
            self.stats.unexpected = self.stats.unexpected.saturating_add(1);
            return true;
        }
        match answer {
            Answer::Error(code, reason) if first => {
                self.phase = Phase::Done;
                self.event = Some(Event::Refused { code, reason });
            }
            Answer::Error(..) => probe.reply = Some(Reply::Unwilling),
            Answer::Mapped(..) if meta.path.remote != from => probe.reply = Some(Reply::Unwilling),
            Answer::Mapped(mapped, other) => {
                probe.reply = Some(Reply::Mapped(mapped));
                if first {
                    self.other = other.filter(|other| is_other(*other, server));
                }
            }
        }
        self.proceed();
        true
    }

    /// Goes on when all that was asked is decided.
    fn proceed(&mut self) {
        if self.probes().iter().any(|probe| probe.reply.is_none()) {
            return;
        }
        let server = self.path.remote;
        match (std::mem::replace(&mut self.phase, Phase::Done), self.other) {
            (Phase::Binding(Probe { reply: Some(Reply::Mapped(mapped)), .. }), other) => {
                self.found.mapped = mapped;
                match other {
                    Some(other) => self.begin_filtering(other),
                    None => self.finish(),
                }
            }
            (Phase::Binding(_), _) => self.event = Some(Event::TimedOut),
            (Phase::Filtering(probes), Some(other)) => {
                let [two, three] = *probes;
                self.found.filtering = filtering(two.reply, three.reply);
                let to = SocketAddr::new(other.ip(), server.port());
                self.phase = Phase::MappingTwo(self.probe(to, ChangeRequest::default(), to));
            }
            (Phase::MappingTwo(two), Some(other)) => match two.reply {
                Some(Reply::Mapped(mapped)) if mapped == self.found.mapped => {
                    self.found.mapping = Some(Dependence::EndpointIndependent);
                    self.finish();
                }
                Some(Reply::Mapped(mapped)) => {
                    self.second = Some(mapped);
                    self.phase = Phase::MappingThree(self.probe(other, ChangeRequest::default(), other));
                }
                _ => self.finish(),
            },
            (Phase::MappingThree(three), _) => {
                self.found.mapping = match three.reply {
                    Some(Reply::Mapped(mapped)) if Some(mapped) == self.second => {
                        Some(Dependence::AddressDependent)
                    }
                    Some(Reply::Mapped(_)) => Some(Dependence::AddressAndPortDependent),
                    _ => None,
                };
                self.finish();
            }
            // Without another address there are no such phases.
            (Phase::Filtering(_) | Phase::MappingTwo(_) | Phase::Done, _) => {}
        }
    }

    fn begin_filtering(&mut self, other: SocketAddr) {
        let server = self.path.remote;
        let two = self.probe(server, ChangeRequest { ip: true, port: true }, other);
        let third = SocketAddr::new(server.ip(), other.port());
        let three = self.probe(server, ChangeRequest { ip: false, port: true }, third);
        self.phase = Phase::Filtering(Box::new([two, three]));
    }

    fn finish(&mut self) {
        self.phase = Phase::Done;
        self.event = Some(Event::Found(self.found));
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let now = self.now;
        let mut silent = false;
        for probe in self.probes().iter_mut().filter(|probe| probe.reply.is_none()) {
            if probe.transaction.has_timed_out(now) {
                probe.reply = Some(Reply::Silence);
                silent = true;
            }
        }
        if silent {
            self.proceed();
        }
    }

    /// Appends the next request that is due.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.handle_timeout(now);
        let (now, local) = (self.now, self.path.local);
        let open = self.probes().iter_mut().filter(|probe| probe.reply.is_none());
        for probe in open {
            if probe.transaction.poll(now) != Step::Send {
                continue;
            }
            let builder = Builder::new(out, Class::Request, Method::BINDING, probe.transaction.id());
            // Also so that the answer, with three addresses of IPv6, is less than three times as long: servers that mind being
            // used against others would not send it.
            let builder = builder.push(&Software::new(SOFTWARE));
            let builder = match probe.change {
                ChangeRequest { ip: false, port: false } => builder,
                change => builder.push(&change),
            };
            return builder
                .fingerprint()
                .finish()
                .map(|len| Transmit::single(Path::udp(local, probe.to), len));
        }
        None
    }

    /// How it ended.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) and [`poll_transmit`](Self::poll_transmit).
    pub fn poll_timeout(&self) -> Option<Instant> {
        let probes: &[Probe] = match &self.phase {
            Phase::Binding(probe) | Phase::MappingTwo(probe) | Phase::MappingThree(probe) => {
                std::slice::from_ref(probe)
            }
            Phase::Filtering(probes) => probes.as_slice(),
            Phase::Done => &[],
        };
        let open = probes.iter().filter(|probe| probe.reply.is_none());
        open.map(|probe| probe.transaction.timeout()).min()
    }

    /// Counters of what was dropped.
    pub fn stats(&self) -> Stats {
        self.stats
    }
}

/// From the replies to tests II and III (RFC 5780 section 4.4).
fn filtering(two: Option<Reply>, three: Option<Reply>) -> Option<Dependence> {
    match (two, three) {
        (Some(Reply::Mapped(_)), _) => Some(Dependence::EndpointIndependent),
        (Some(Reply::Silence), Some(Reply::Mapped(_))) => Some(Dependence::AddressDependent),
        (Some(Reply::Silence), Some(Reply::Silence)) => Some(Dependence::AddressAndPortDependent),
        _ => None,
    }
}

/// Whether `other` can be the other address of a server, and be asked: one host, of the same family and as near or far as `server`
/// itself, with another address and another port. The server is not authenticated, and it is not to send requests to anybody else's
/// services.
pub fn is_other(other: SocketAddr, server: SocketAddr) -> bool {
    let (ip, known) = (other.ip(), server.ip());
    ip != known
        && other.port() != 0
        && other.port() != server.port()
        && ip.is_ipv4() == known.is_ipv4()
        && ip.is_loopback() == known.is_loopback()
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && !matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast())
}

enum Answer {
    Mapped(SocketAddr, Option<SocketAddr>),
    Error(u16, String),
}

fn read_answer(message: &Message<'_>) -> Option<Answer> {
    if message.fingerprint() == Fingerprint::Bad || message.unknown_required(KNOWN).next().is_some() {
        return None;
    }
    if message.class() == Class::Error {
        let error = message.get::<ErrorCode<'_>>().ok()??;
        return Some(Answer::Error(error.code, error.reason.into_owned()));
    }
    let mapped = match message.get().ok()? {
        Some(XorMappedAddress(address)) => address,
        None => message.get().ok()?.map(|MappedAddress(address)| address)?,
    };
    Some(Answer::Mapped(mapped, message.get().ok()?.map(|OtherAddress(other)| other)))
}

/// What a server with two addresses answers to a datagram that came to `own` from `source`: appended to `out`, with its length and
/// the address that it is to be sent from. `other` is the server's address that differs from `own` in both the IP and the port.
/// `None` for everything that is not a well-formed binding request.
pub fn answer(
    datagram: &[u8],
    source: SocketAddr,
    own: SocketAddr,
    other: SocketAddr,
    out: &mut Vec<u8>,
) -> Option<(usize, SocketAddr)> {
    let request =
        Message::parse(datagram).ok().filter(|message| message.is(Class::Request, Method::BINDING))?;
    let fingerprint = request.fingerprint();
    if fingerprint == Fingerprint::Bad {
        return None;
    }
    let change = request.get::<ChangeRequest>().ok()?.unwrap_or_default();
    let ip = if change.ip { other.ip() } else { own.ip() };
    let port = if change.port { other.port() } else { own.port() };
    let from = SocketAddr::new(ip, port);
    let unknown: UnknownAttributes = request.unknown_required(KNOWN).collect();
    let builder = if unknown.is_empty() {
        let builder = Builder::answer(out, Class::Success, &request).push(&XorMappedAddress(source));
        builder.push(&ResponseOrigin(from)).push(&OtherAddress(other))
    } else {
        let code = ErrorCode::new(ErrorCode::UNKNOWN_ATTRIBUTE, "");
        Builder::answer(out, Class::Error, &request).push(&code).push(&unknown)
    };
    let len = match fingerprint {
        Fingerprint::Good => builder.fingerprint().finish(),
        _ => builder.finish(),
    };
    len.map(|len| (len, from))
}
