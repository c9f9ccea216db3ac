//! The client of one server (RFC 8656 sections 7 to 12): an allocation that is kept, and found again when it was lost.

mod allocation;
mod auth;
mod config;
mod event;
mod peers;
mod relay;
mod request;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_sansio::net::{Path, Received, Transmit, Transport};
use taut_sansio::rng::Rng;
use taut_sansio::time::earliest;

pub use config::{ClientConfig, Families};
pub use event::{ClientStats, CloseReason, Event, LossReason, Relayed};
pub use peers::{MAX_CHANNELS, MAX_PERMISSIONS};
pub use relay::Envelope;
pub use request::MAX_REQUESTS;

use auth::Auth;
use peers::Peers;
use request::{Kind, Request};

use crate::Credentials;

/// How many events wait to be polled; the oldest goes first.
pub const MAX_EVENTS: usize = 256;

/// How long a stream may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long after a stream was lost the next one is opened.
const RECONNECT: Duration = Duration::from_secs(1);

/// How the client reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Datagrams, or an open stream.
    Up(Path),
    /// A stream was asked for, and may take until then.
    Opening(Instant),
    /// A stream is asked for then.
    Waiting(Instant),
}

/// What has become of the allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There has been none yet.
    Allocating,
    /// The server has granted one, which must be refreshed by then.
    Allocated { refresh: Instant },
    /// There was one. Another is asked for until then.
    Recovering { until: Instant },
    /// The server is told to let go of it.
    Closing,
    /// Nothing more happens.
    Closed,
}

/// A TURN client for one server.
///
/// What peers send comes out of [`handle_datagram`](Self::handle_datagram). What goes to them is written between
/// [`open`](Self::open) and [`seal`](Self::seal), around the payload, which is not copied.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    transport: Transport,
    local: SocketAddr,
    server: SocketAddr,
    link: Link,
    state: State,
    auth: Auth,
    requests: Vec<Request>,
    peers: Peers,
    relayed: Vec<SocketAddr>,
    mapped: Option<SocketAddr>,
    /// When the server was last heard.
    heard: Instant,
    redirects: u32,
    mismatches: u32,
    families: Families,
    events: VecDeque<Event>,
    rng: Rng,
    stats: ClientStats,
    now: Instant,
}

impl Client {
    /// A client of `server`, whose first request is due at once. With UDP, `local` is the socket that it has; with a
    /// stream, the address that the stream is opened from, and [`Event::Connect`] comes first.
    pub fn new(
        now: Instant,
        config: ClientConfig,
        transport: Transport,
        local: SocketAddr,
        server: SocketAddr,
        rng: Rng,
    ) -> Self {
        let mut client = Self {
            auth: Auth::new(config.credentials.clone()),
            families: config.families,
            config,
            transport,
            local,
            server,
            link: Link::Waiting(now),
            state: State::Allocating,
            requests: Vec::new(),
            peers: Peers::default(),
            relayed: Vec::new(),
            mapped: None,
            heard: now,
            redirects: 0,
            mismatches: 0,
            events: VecDeque::new(),
            rng,
            stats: ClientStats::default(),
            now,
        };
        client.connect();
        client
    }

    /// Wants datagrams to and from this address to be relayed, from any of its ports. Without effect for what is wanted
    /// already, what the server has refused, and beyond [`MAX_PERMISSIONS`].
    pub fn permit(&mut self, now: Instant, peer: IpAddr) {
        let now = self.tick(now);
        self.peers.permit(now, peer);
    }

    /// Wants a channel to this peer, which saves 32 octets and more a datagram; until the server has agreed,
    /// indications are used. Permits its address, too. Without effect beyond [`MAX_CHANNELS`].
    pub fn bind(&mut self, now: Instant, peer: SocketAddr) {
        let now = self.tick(now);
        self.peers.permit(now, peer.ip());
        self.peers.bind(now, peer);
    }

    /// Keeps neither permission nor channels of this address any longer; on the server they run out by themselves.
    pub fn forget(&mut self, peer: IpAddr) {
        self.peers.forget(peer);
    }

    /// Sets who asks for the next allocation: after a loss, or where the server refuses those of before. One that exists goes on with
    /// the credentials that it was made with, as it must (RFC 8656 section 7.2, 441).
    pub fn set_credentials(&mut self, credentials: Credentials) {
        self.auth.set_next(credentials);
    }

    /// Gives the allocation back. [`Event::Closed`] follows when the server has answered, or does not.
    pub fn close(&mut self, now: Instant) {
        let _ = self.tick(now);
        match self.state {
            State::Closing | State::Closed => {}
            State::Allocated { .. } if matches!(self.link, Link::Up(_)) => {
                self.state = State::Closing;
                self.requests.clear();
                self.peers.clear();
                self.relayed.clear();
                self.ask(Kind::Release);
            }
            // An answer to an Allocate that is under way would be one nobody knows of; it runs out by itself.
            _ => self.end(CloseReason::Local),
        }
    }

    /// The answer to [`Event::Connect`]: the stream is open, on this path.
    pub fn handle_connected(&mut self, now: Instant, path: Path) {
        let now = self.tick(now);
        if !matches!(self.link, Link::Opening(_)) || self.is_over() {
            return;
        }
        self.link = Link::Up(path);
        self.heard = now;
        self.ask(Kind::Allocate);
    }

    /// The stream could not be opened, or was closed.
    pub fn handle_disconnected(&mut self, now: Instant) {
        let now = self.tick(now);
        if self.transport != Transport::Udp && !matches!(self.link, Link::Waiting(_)) && !self.is_over() {
            self.on_disconnected(now);
        }
    }

    /// Takes a datagram from the server, or a whole message of the stream as
    /// [`Deframer`](crate::Deframer) gives it. What a peer sent is returned.
    pub fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) -> Option<Relayed> {
        let now = self.tick(meta.at);
        if self.is_over() {
            return None;
        }
        if self.link != Link::Up(meta.path) {
            self.stats.unexpected = self.stats.unexpected.saturating_add(1);
            tracing::trace!(path = ?meta.path, "not from the TURN server: dropped");
            return None;
        }
        if crate::channel_data::is_channel_data(&datagram) {
            self.on_channel_data(datagram)
        } else {
            self.on_stun(now, &datagram)
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        match self.link {
            _ if self.is_over() => return,
            Link::Waiting(at) if at <= now => self.connect(),
            Link::Opening(until) if until <= now => self.on_disconnected(now),
            Link::Up(_) | Link::Waiting(_) | Link::Opening(_) => {}
        }
        self.expire_requests(now);
        self.advance_allocation(now);
        self.ask_for_peers(now);
    }

    /// Appends the next request that is due. `_max_segments` is there for the sake of uniformity: requests are sent one
    /// by one.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        _max_segments: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        self.handle_timeout(now);
        let Link::Up(path) = self.link else { return None };
        self.poll_request(out).map(|len| Transmit::single(path, len))
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) and [`poll_transmit`](Self::poll_transmit).
    pub fn poll_timeout(&self) -> Option<Instant> {
        let link = match self.link {
            _ if self.state == State::Closed => return None,
            Link::Waiting(at) | Link::Opening(at) => Some(at),
            Link::Up(_) => self.requests.iter().map(Request::timeout).min(),
        };
        let allocation = match self.state {
            State::Allocated { refresh } => {
                let peers = (self.requests.len() < MAX_REQUESTS).then(|| self.peers.poll_timeout()).flatten();
                earliest((!self.is_asking(&Kind::Refresh)).then(|| self.refresh_due(refresh)), peers)
            }
            State::Recovering { until } => Some(until),
            State::Allocating | State::Closing | State::Closed => None,
        };
        earliest(link, allocation)
    }

    /// The path to the server; `None` while there is no stream.
    pub fn path(&self) -> Option<Path> {
        match self.link {
            Link::Up(path) => Some(path),
            Link::Opening(_) | Link::Waiting(_) => None,
        }
    }

    /// The server, after redirects.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// The relayed addresses; none while there is no allocation.
    pub fn relayed(&self) -> &[SocketAddr] {
        &self.relayed
    }

    /// The server-reflexive address, once known.
    pub fn mapped(&self) -> Option<SocketAddr> {
        self.mapped
    }

    /// What was counted.
    pub fn stats(&self) -> ClientStats {
        self.stats
    }

    fn tick(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn is_over(&self) -> bool {
        self.state == State::Closed
    }

    fn is_stream(&self) -> bool {
        self.transport != Transport::Udp
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() >= MAX_EVENTS {
            let _ = self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Reaches for the server: with UDP there is nothing to do first.
    fn connect(&mut self) {
        if self.is_stream() {
            self.link = Link::Opening(self.now + CONNECT_TIMEOUT);
            self.tell(Event::Connect(self.server));
        } else {
            self.link = Link::Up(Path::udp(self.local, self.server));
            self.heard = self.now;
            self.ask(Kind::Allocate);
        }
    }

    /// There is no stream any more, or was none.
    fn on_disconnected(&mut self, now: Instant) {
        self.requests.clear();
        match self.state {
            State::Allocating => return self.end(CloseReason::Unreachable),
            State::Closing => return self.end(CloseReason::Local),
            State::Allocated { .. } => self.lose(LossReason::Disconnected),
            State::Recovering { .. } | State::Closed => {}
        }
        if !self.is_over() {
            self.link = Link::Waiting(now + RECONNECT);
        }
    }

    /// The end.
    fn end(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.requests.clear();
        self.peers.clear();
        self.relayed.clear();
        tracing::debug!(server = %self.server, ?reason, "TURN client closed");
        self.tell(Event::Closed(reason));
    }
}
