//! The TCP connections of an ICE agent as whoever opens and accepts them sees them, and what the agent may say of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_ice::{Agent, Deframer, Event, MAX_TCP_STREAMS, State, TcpId, TcpPolicy, Validation, frame};
use taut_sansio::net::{Path, Transport};

/// An agent has given up a connection that takes longer to open.
const OPENS_WITHIN: Duration = Duration::from_secs(8);

/// A connection that an agent asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub id: TcpId,
    /// The port is 0.
    pub local: SocketAddr,
    pub remote: SocketAddr,
    at: Instant,
}

/// The connections of one agent, and its listeners.
#[derive(Debug, Default)]
pub struct Streams {
    pub policy: TcpPolicy,
    pub listeners: Vec<SocketAddr>,
    /// Neither answered nor given up.
    pub asked: Vec<Asked>,
    /// Answered or given up.
    pub over: Vec<TcpId>,
    pub open: Vec<Path>,
    /// Ended here, and the other end is still to hear of it.
    pub ended: Vec<Path>,
    /// What was offered to the agent, and it did not take: it has to say so.
    refused: Vec<Path>,
    /// What it had once and has no more.
    gone: Vec<Path>,
    blocked: Vec<Path>,
    next_port: u16,
}

impl Streams {
    pub fn new(policy: TcpPolicy) -> Self {
        Self { policy, next_port: 40_000, ..Self::default() }
    }

    pub fn listen(&mut self, agent: &mut Agent, now: Instant, address: SocketAddr) {
        agent.add_tcp_listener(now, address);
        self.listeners.push(address);
    }

    pub fn stop_listening(&mut self, agent: &mut Agent, now: Instant, address: SocketAddr) {
        agent.remove_tcp_listener(now, address);
        self.listeners.retain(|listener| *listener != address);
    }

    /// The path of a connection that was asked for, from a port that no other has.
    pub fn path(&mut self, asked: &Asked) -> Path {
        self.next_port += 1;
        let local = SocketAddr::new(asked.local.ip(), self.next_port);
        Path { transport: Transport::Tcp, local, remote: asked.remote }
    }

    /// Answers a question, asked or not. Only one that waits for it has a connection by it.
    pub fn answer(&mut self, agent: &mut Agent, now: Instant, id: TcpId, path: Option<Path>) {
        let waited = self.asked.iter().position(|asked| asked.id == id).map(|at| self.asked.swap_remove(at));
        agent.handle_tcp_opened(now, id, path.ok_or(()));
        // An id of the other side may be one that this agent has yet to give out.
        self.over.extend(waited.map(|_| id));
        let Some(path) = path else { return };
        assert_eq!(agent.is_tcp(&path), waited.is_some(), "every question has one stream at most");
        if waited.is_some() {
            self.add(path);
        } else {
            self.refused.push(path);
        }
    }

    /// A connection comes in.
    pub fn accept(&mut self, agent: &mut Agent, now: Instant, path: Path) {
        let known = agent.is_tcp(&path);
        let (accepted, refused) = (agent.stats().tcp_accepted, agent.stats().tcp_refused);
        agent.handle_tcp_accepted(now, path);
        let taken = !known && agent.is_tcp(&path);
        let counts = (agent.stats().tcp_accepted - accepted, agent.stats().tcp_refused - refused);
        assert_eq!(counts, if taken { (1, 0) } else { (0, 1) });
        if taken {
            assert!(self.policy.is_passive() && self.listeners.contains(&path.local), "nobody listens");
            self.add(path);
        } else {
            self.refused.push(path);
        }
    }

    /// A connection ends, or one that the agent does not have.
    pub fn close(&mut self, agent: &mut Agent, now: Instant, path: Path) {
        let lost = agent.stats().tcp_lost;
        agent.handle_tcp_closed(now, path);
        let had = self.remove(&path);
        assert_eq!(agent.stats().tcp_lost - lost, u64::from(had));
        assert!(!agent.is_tcp(&path));
    }

    /// A connection stops or begins to drain.
    pub fn set_writable(&mut self, agent: &mut Agent, path: Path, writable: bool) {
        agent.handle_writable(path, writable);
        self.blocked.retain(|blocked| *blocked != path);
        if !writable {
            self.blocked.push(path);
        }
    }

    fn add(&mut self, path: Path) {
        self.gone.retain(|gone| *gone != path);
        self.open.push(path);
    }

    fn remove(&mut self, path: &Path) -> bool {
        let Some(at) = self.open.iter().position(|open| open == path) else { return false };
        self.gone.push(self.open.swap_remove(at));
        self.blocked.retain(|blocked| blocked != path);
        true
    }

    pub fn on_event(&mut self, now: Instant, event: &Event) {
        match *event {
            Event::OpenTcp { id, local, remote } => {
                assert!(self.policy.is_active() && local.port() == 0);
                assert!(remote.port() >= 1_024 || matches!(remote.port(), 80 | 443), "{remote}");
                let known = self.asked.iter().map(|asked| &asked.id).chain(&self.over).any(|of| *of == id);
                assert!(!known, "asked twice");
                self.asked.push(Asked { id, local, remote, at: now });
            }
            Event::AbandonTcp(id) => {
                let at = self.asked.iter().position(|asked| asked.id == id);
                self.asked.swap_remove(at.expect("it was not asked for, or was answered"));
                self.over.push(id);
            }
            Event::CloseTcp(path) => {
                let at = self.refused.iter().position(|refused| *refused == path);
                let refused = at.map(|at| self.refused.swap_remove(at)).is_some();
                assert!(refused || self.remove(&path), "there is no such connection: {path:?}");
                self.ended.push(path);
            }
            Event::RouteAdded(path) | Event::RouteRemoved(path) => {
                assert_eq!(path.transport, Transport::Udp, "a connection needs no route");
            }
            _ => {}
        }
    }

    /// A datagram leaves.
    pub fn on_transmit(&self, agent: &Agent, path: &Path) {
        if path.transport == Transport::Tcp {
            assert!(agent.is_tcp(path), "there is no such connection: {path:?}");
            assert!(!self.blocked.contains(path), "it does not drain: {path:?}");
        }
    }

    /// What holds when all events were taken.
    pub fn check(&self, agent: &Agent, now: Instant) {
        assert!(self.asked.len() + self.open.len() <= MAX_TCP_STREAMS);
        assert!(self.open.iter().all(|path| agent.is_tcp(path)), "one has gone without a word");
        assert!(self.refused.is_empty(), "nobody closes {:?}", self.refused);
        for path in &self.gone {
            assert!(!agent.is_tcp(path) && agent.validation(path) == Validation::Unknown);
        }
        for path in agent.selected_path().iter().filter(|path| path.transport == Transport::Tcp) {
            assert!(self.open.contains(path), "data would go nowhere");
        }
        for asked in &self.asked {
            assert!(now.saturating_duration_since(asked.at) < OPENS_WITHIN, "it opens for ever");
        }
        if agent.state() == State::Closed {
            assert!(self.asked.is_empty() && self.open.is_empty());
        }
    }
}

/// A datagram on its way through a connection, in a frame that comes in two pieces.
pub fn through_frame(datagram: &[u8]) -> BytesMut {
    let (mut framed, mut deframer) = (Vec::new(), Deframer::new());
    assert!(frame(datagram, &mut framed));
    let (first, second) = framed.split_at(framed.len() / 2);
    deframer.push(first);
    assert_eq!(deframer.poll_datagram(), Ok(None));
    deframer.push(second);
    deframer.poll_datagram().ok().flatten().expect("a whole frame")
}
