//! The life of connections (RFC 6544 sections 7 and 11).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use taut_sansio::net::{Path, Transport};
use taut_sansio::time::earliest;

use crate::agent::Agent;
use crate::candidate::{CandidateKind, TcpType};
use crate::event::{Event, State};
use crate::pair::{Pair, PairId, Status};
use crate::tcp::{Phase, Stream, TcpId};

/// How many connections an agent has, those that are being opened included. Where there is one too many, a new one is refused, unless
/// nothing has a use for another one that was accepted.
pub const MAX_TCP_STREAMS: usize = 32;

/// How long a connection may take to open. The second SYN of most systems goes after 1 s, the third after 3 s.
const OPEN_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a connection is kept that nothing has a use for: one without an authenticated check, or whose pair is gone.
const UNUSED_AFTER: Duration = Duration::from_secs(5);

/// How often the connection of a pair that was valid is opened again.
const MAX_REOPENED: u8 = 5;

/// The wait before it is opened for the second time; it doubles after each. The first time, there is none.
const REOPEN_AFTER: Duration = Duration::from_millis(500);

/// A connection that has lasted this long was a good one: the count begins anew.
const LASTING: Duration = Duration::from_secs(30);

/// How often the connection of a pair may still be opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Opens {
    left: u8,
    next: Option<Instant>,
    counting: bool,
}

impl Opens {
    /// The pair has become valid.
    pub(crate) fn proved(&mut self) {
        if !self.counting {
            *self = Self { left: MAX_REOPENED, next: None, counting: true };
        }
    }

    /// True if the connection may be opened once more, not before `next`.
    fn again(&mut self, now: Instant) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        let opened = u32::from(MAX_REOPENED.saturating_sub(self.left));
        let wait = match opened {
            0 => Duration::ZERO,
            n => REOPEN_AFTER.saturating_mul(1 << (n - 1).min(8)),
        };
        self.left = left;
        self.next = now.checked_add(wait);
        true
    }
}

impl Agent {
    /// The answer to [`Event::OpenTcp`]: the connection is open on this path, or is not to be had. What comes in on it is
    /// given to [`handle_datagram`](Self::handle_datagram), a datagram for every frame.
    #[allow(clippy::result_unit_err, reason = "why there is no connection makes no difference here")]
    pub fn handle_tcp_opened(&mut self, now: Instant, id: TcpId, path: Result<Path, ()>) {
        let now = self.tick(now);
        let asked = |stream: &Stream| matches!(stream.phase, Phase::Opening { id: of, .. } if of == id);
        let Some(at) = self.tcp.streams.iter().position(asked) else {
            // It comes too late.
            self.events.extend(path.ok().map(Event::CloseTcp));
            return;
        };
        let mut stream = self.tcp.streams.remove(at);
        let Phase::Opening { pair, .. } = stream.phase else { return };
        match path {
            Ok(path) if !self.tcp.is_open(&path) => {
                stream.phase = Phase::Open { path, since: now, last_used: now };
                self.tcp.streams.push(stream);
                if let Some(pair) = self.checklist.get_mut(pair) {
                    pair.path = path;
                }
            }
            _ => self.on_unreached(now, pair),
        }
        self.reconcile(now);
    }

    /// A connection came to a listener. One too many, or one to where there is no listener, is answered with
    /// [`Event::CloseTcp`].
    pub fn handle_tcp_accepted(&mut self, now: Instant, path: Path) {
        let now = self.tick(now);
        let base = self.tcp.base(path.local, TcpType::Passive).map(|base| base.address);
        let base = base.filter(|_| self.state != State::Closed && self.uses_all());
        let base = base.filter(|_| !self.tcp.is_open(&path));
        let Some(base) = base.filter(|_| self.has_room_for_stream(now)) else {
            self.stats.tcp_refused = self.stats.tcp_refused.saturating_add(1);
            self.events.push_back(Event::CloseTcp(path));
            return;
        };
        self.stats.tcp_accepted = self.stats.tcp_accepted.saturating_add(1);
        let phase = Phase::Open { path, since: now, last_used: now };
        self.tcp.streams.push(Stream { base, side: TcpType::Passive, phase });
        self.reconcile(now);
    }

    /// The connection on this path has ended.
    pub fn handle_tcp_closed(&mut self, now: Instant, path: Path) {
        let now = self.tick(now);
        let Some(at) = self.tcp.streams.iter().position(|stream| stream.path() == Some(&path)) else {
            return;
        };
        let stream = self.tcp.streams.remove(at);
        self.stats.tcp_lost = self.stats.tcp_lost.saturating_add(1);
        self.on_ended(now, &stream);
        self.reconcile(now);
    }

    /// True for the path of a connection of ours, whose datagrams are for [`handle_datagram`](Self::handle_datagram).
    pub fn is_tcp(&self, path: &Path) -> bool {
        self.tcp.is_open(path)
    }

    /// True if a datagram on this path can leave now.
    pub(crate) fn is_ready(&self, path: &Path) -> bool {
        !self.blocked.contains(path) && (path.transport != Transport::Tcp || self.tcp.is_open(path))
    }

    /// True if a check of this pair may begin: where there is no connection, it has to be opened.
    pub(crate) fn may_begin(&self, pair: &Pair) -> bool {
        if pair.path.transport != Transport::Tcp || self.tcp.is_open(&pair.path) {
            return !self.blocked.contains(&pair.path);
        }
        let due = |at: Instant| self.newest.is_some_and(|now| at <= now);
        self.side_of(pair) == Some(TcpType::Active)
            && self.tcp.streams.len() < MAX_TCP_STREAMS
            && pair.opens.next.is_none_or(due)
    }

    /// When the connection of a pair that waits for it may be opened.
    pub(crate) fn reopens_at(&self, pair: &Pair) -> Option<Instant> {
        let waits = pair.path.transport == Transport::Tcp && matches!(pair.status, Status::Waiting);
        pair.opens.next.filter(|_| waits && !self.tcp.is_open(&pair.path))
    }

    fn side_of(&self, pair: &Pair) -> Option<TcpType> {
        self.locals.get(&pair.local).and_then(|local| local.candidate.tcp_type)
    }

    /// A check has begun: opens the connection for it if there is none (RFC 6544 section 7.1).
    pub(crate) fn open_stream_for(&mut self, now: Instant, id: PairId) {
        let Some(path) = self.checklist.get(id).map(|pair| pair.path) else { return };
        let is_opening = |stream: &Stream| matches!(stream.phase, Phase::Opening { pair, .. } if pair == id);
        if path.transport != Transport::Tcp
            || self.tcp.is_open(&path)
            || self.tcp.streams.iter().any(is_opening)
        {
            return;
        }
        let of = TcpId(self.tcp.next_id);
        self.tcp.next_id = self.tcp.next_id.wrapping_add(1);
        let until = now.checked_add(OPEN_TIMEOUT).unwrap_or(now);
        let phase = Phase::Opening { id: of, pair: id, until };
        self.tcp.streams.push(Stream { base: path.local, side: TcpType::Active, phase });
        self.stats.tcp_opened = self.stats.tcp_opened.saturating_add(1);
        let mut local = path.local;
        local.set_port(0);
        self.events.push_back(Event::OpenTcp { id: of, local, remote: path.remote });
    }

    /// The connection for a pair could not be opened.
    fn on_unreached(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.checklist.get_mut(id) else { return };
        if pair.opens.again(now) {
            pair.restart();
            self.checklist.trigger(id);
        } else {
            self.end_pair(id, Status::Failed);
        }
    }

    /// A connection is no more: its pairs are not valid any longer.
    fn on_ended(&mut self, now: Instant, stream: &Stream) {
        let Phase::Open { path, since, .. } = stream.phase else { return };
        if self.selected_path() == Some(path) {
            let until = now.checked_add(self.config.consent_expiry);
            self.generations.current_mut().adrift = until;
        }
        self.blocked.remove(&path);
        self.answers.retain(|answer| answer.path() != path);
        self.generations.forget_early(|early| early.path == path);
        let ids: Vec<PairId> = self.checklist.on_path(&path).map(|(id, _)| id).collect();
        for id in ids {
            match stream.side {
                TcpType::Active => self.reopen(now, id, (stream.base, since)),
                _ => self.forget_arrived(id),
            }
        }
        self.remove_route(&path);
    }

    /// The active side opens the connection of a pair that was valid again (RFC 6544 section 11.1), unless another one is in use.
    fn reopen(&mut self, now: Instant, id: PairId, (base, since): (SocketAddr, Instant)) {
        let current = self.generations.current().id;
        let others = self.checklist.of(current).any(|(other, pair)| other != id && pair.is_nominated());
        let Some(pair) = self.checklist.get_mut(id) else { return };
        let usable = pair.generation == current && !others && !matches!(pair.status, Status::Revoked);
        if now.saturating_duration_since(since) >= LASTING {
            pair.opens = Opens::default();
            pair.opens.proved();
        }
        let again = usable && pair.opens.counting && pair.opens.again(now);
        let status = if again { Status::Waiting } else { Status::Failed };
        self.end_pair(id, status);
        if let Some(pair) = self.checklist.get_mut(id) {
            pair.path.local = base;
        }
        if again {
            self.checklist.trigger(id);
        }
    }

    /// A pair that came about with a connection ends with it, and the address that it came from.
    fn forget_arrived(&mut self, id: PairId) {
        let Some(remote) = self.checklist.get(id).map(|pair| pair.remote) else { return };
        self.remove_pair(id);
        let learned = self.remotes.get(&remote).map(|remote| remote.candidate.kind);
        let used = self.checklist.iter().any(|(_, pair)| pair.remote == remote);
        if learned == Some(CandidateKind::PeerReflexive) && !used {
            self.remotes.remove(&remote);
        }
    }

    /// True if something needs the connection.
    fn is_used(&self, path: &Path) -> bool {
        let of_use = |pair: &Pair| pair.is_hopeful() || pair.valid().is_some();
        self.checklist.on_path(path).any(|(_, pair)| of_use(pair)) || self.generations.checked_early(path)
    }

    /// Lets the time of connections run out.
    pub(crate) fn advance_streams(&mut self, now: Instant) {
        let mut at = 0;
        while let Some(stream) = self.tcp.streams.get(at) {
            let over = match &stream.phase {
                Phase::Opening { until, .. } => *until <= now,
                Phase::Open { path, last_used, .. } => {
                    !self.is_used(path) && now.saturating_duration_since(*last_used) >= UNUSED_AFTER
                }
            };
            if over {
                self.end_stream(now, at);
                continue;
            }
            let used = stream.path().is_some_and(|path| self.is_used(path));
            if let Some(Stream { phase: Phase::Open { last_used, .. }, .. }) = self.tcp.streams.get_mut(at)
                && used
            {
                *last_used = now;
            }
            at = at.saturating_add(1);
        }
    }

    /// When a connection has been opening, or of no use, for too long.
    pub(crate) fn stream_timeout(&self) -> Option<Instant> {
        let over = |stream: &Stream| match &stream.phase {
            Phase::Opening { until, .. } => Some(*until),
            Phase::Open { path, last_used, .. } if !self.is_used(path) => last_used.checked_add(UNUSED_AFTER),
            Phase::Open { .. } => None,
        };
        self.tcp.streams.iter().fold(None, |next, stream| earliest(next, over(stream)))
    }

    /// Ends a connection from this side.
    fn end_stream(&mut self, now: Instant, at: usize) {
        if at >= self.tcp.streams.len() {
            return;
        }
        let stream = self.tcp.streams.remove(at);
        match stream.phase {
            Phase::Opening { id, pair, .. } => {
                self.events.push_back(Event::AbandonTcp(id));
                self.on_unreached(now, pair);
            }
            Phase::Open { path, .. } => {
                self.events.push_back(Event::CloseTcp(path));
                self.on_ended(now, &stream);
            }
        }
    }

    /// True if there is room for one more connection that came in, if need be in the place of one without a use.
    fn has_room_for_stream(&mut self, now: Instant) -> bool {
        if self.tcp.streams.len() < MAX_TCP_STREAMS {
            return true;
        }
        let idle = |stream: &Stream| {
            stream.side == TcpType::Passive && stream.path().is_some_and(|path| !self.is_used(path))
        };
        let Some(at) = self.tcp.streams.iter().position(idle) else { return false };
        self.end_stream(now, at);
        true
    }

    /// Ends the connections of a base.
    pub(crate) fn close_streams_of(&mut self, now: Instant, base: SocketAddr, side: TcpType) {
        let of_base = |stream: &Stream| stream.base == base && stream.side == side;
        while let Some(at) = self.tcp.streams.iter().position(of_base) {
            self.end_stream(now, at);
        }
    }

    /// Ends all connections, for good.
    pub(crate) fn close_streams(&mut self) {
        for stream in std::mem::take(&mut self.tcp.streams) {
            self.events.push_back(match stream.phase {
                Phase::Opening { id, .. } => Event::AbandonTcp(id),
                Phase::Open { path, .. } => Event::CloseTcp(path),
            });
        }
    }
}
