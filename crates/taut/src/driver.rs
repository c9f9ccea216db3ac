//! The one task of a connection: datagrams in, datagrams out, events, time.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use taut_peer::{ConnectionState, Peer};
use taut_sansio::net::{Path, Received, Transmit, Transport};

use crate::clock;
use crate::connection::{Action, Shared};
use crate::net::endpoint::Registration;
use crate::net::router::RouteError;
use crate::net::sockets::{Batch, Socket};
use crate::net::streams::StreamOptions;
use crate::net::tcp::{Accepted, Arrival, Connections, Written};
use crate::net::watch::Changes;
use crate::net::{interfaces, resolve};
use crate::peer_connection::select;

/// How many datagrams are taken in per turn, under one lock, before what follows from them is sent.
const INPUT_PER_TURN: usize = 64;

/// How many batches are sent per turn before the next input is looked at.
const TRANSMITS_PER_TURN: usize = 16;

/// The largest batch, one UDP packet before segmentation.
const MAX_BATCH: usize = 65_000;

/// How long a connection that is closing may take to say goodbye.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// The driver. It counts as no handle: it lives until the connection is closed.
#[derive(Debug)]
pub(crate) struct Driver {
    shared: Arc<Shared>,
    registration: Registration,
    /// The sockets of its own for TURN over UDP, where the others are shared.
    relays: Option<Registration>,
    /// How many segments of the connection's MTU fit a batch.
    max_segments: usize,
    inbox: VecDeque<Batch>,
    lost: Vec<SocketAddr>,
    /// What became of TCP connections.
    arrivals: VecDeque<Arrival>,
    /// The TCP connections to the other side.
    tcp: Connections,
    out: Vec<u8>,
    blocked: Vec<Blocked>,
    actions: Vec<Action>,
    /// Tells when the addresses of the host change, if that is of interest.
    changes: Option<Changes>,
    /// How streams to TURN servers are opened.
    streams: Arc<StreamOptions>,
    /// When the goodbye is given up.
    deadline: Option<Instant>,
}

/// What a full socket has not taken yet. The peer makes nothing more for its path until it has.
#[derive(Debug)]
struct Blocked {
    socket: Arc<Socket>,
    transmit: Transmit,
    octets: Vec<u8>,
}

/// What comes after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// There is more to do at once.
    Turn,
    /// Wait for input, a command, a writable socket, or this time.
    Wait(Option<Instant>),
    /// It is over.
    End,
}

impl Driver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        (registration, relays): (Registration, Option<Registration>),
        changes: Option<Changes>,
        mtu: usize,
        streams: StreamOptions,
    ) -> Self {
        Self {
            shared,
            registration,
            relays,
            max_segments: (MAX_BATCH / mtu.max(1)).max(1),
            inbox: VecDeque::new(),
            lost: Vec::new(),
            arrivals: VecDeque::new(),
            tcp: Connections::default(),
            out: Vec::new(),
            blocked: Vec::new(),
            actions: Vec::new(),
            changes,
            streams: Arc::new(streams),
            deadline: None,
        }
    }

    /// Drives the connection to its end.
    pub(crate) async fn run(mut self) {
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            match self.turn() {
                Next::Turn => tokio::task::yield_now().await,
                Next::End => return,
                Next::Wait(until) => {
                    if let Some(until) = until.map(tokio::time::Instant::from_std)
                        && timer.deadline() != until
                    {
                        timer.as_mut().reset(until);
                    }
                    tokio::select! {
                        biased;
                        () = changed(&mut self.changes) => self.follow(),
                        () = self.shared.wake.notified() => {}
                        () = timer.as_mut(), if until.is_some() => {}
                        () = any_writable(&self.blocked), if !self.blocked.is_empty() => self.retry(),
                        () = self.tcp.writable(), if self.tcp.is_blocked() => self.retry_tcp(),
                    }
                }
            }
        }
    }

    /// Input, output, events, time: a bounded amount of each.
    fn turn(&mut self) -> Next {
        // First: what came on a connection that has ended is in the inbox.
        self.registration.take_arrivals(&mut self.arrivals);
        for registration in std::iter::once(&self.registration).chain(&self.relays) {
            registration.take(&mut self.inbox, &mut self.lost);
        }
        let lost = !self.lost.is_empty();
        if !self.inbox.is_empty() || lost {
            self.input();
        }
        if lost && self.changes.is_some() {
            self.follow();
        }
        if !self.arrivals.is_empty() {
            self.welcome();
        }
        // Before anything is sent on a new route: the answer must find back.
        self.act();
        let more_output = self.output();
        let now = clock::now();
        let mut state = self.shared.lock();
        let due = state.peer.poll_timeout().is_some_and(|at| at <= now);
        if due {
            state.peer.handle_timeout(now);
        }
        self.shared.collect(&mut state);
        state.wake_senders();
        let all_sent = self.blocked.is_empty() && !self.tcp.is_blocked();
        if is_over(&state.peer, now, &mut self.deadline, all_sent) {
            return Next::End;
        }
        let more_input = !self.inbox.is_empty() || !self.arrivals.is_empty();
        if more_output || due || more_input || !state.actions.is_empty() {
            return Next::Turn;
        }
        Next::Wait(taut_sansio::time::earliest(state.peer.poll_timeout(), self.deadline))
    }

    fn input(&mut self) {
        let mut state = self.shared.lock();
        for local in self.lost.drain(..) {
            tracing::debug!(%local, "socket lost");
            self.registration.forget(local);
            self.relays.iter_mut().for_each(|relays| relays.forget(local));
            state.peer.remove_local_address(clock::now(), local);
        }
        let mut budget = INPUT_PER_TURN;
        while let Some(batch) = self.inbox.front_mut() {
            for (meta, datagram) in batch.by_ref().take(budget) {
                budget -= 1;
                state.peer.handle_datagram(meta, datagram);
            }
            if batch.octets.is_empty() {
                self.inbox.pop_front();
            }
            if budget == 0 {
                break;
            }
        }
        self.shared.collect(&mut state);
    }

    /// The addresses of the host have changed: what is new is used before what is gone is given up.
    fn follow(&mut self) {
        let interfaces = match interfaces::list() {
            Ok(interfaces) => interfaces,
            Err(error) => {
                tracing::debug!(%error, "cannot list the interfaces");
                return;
            }
        };
        let mut state = self.shared.lock();
        let moves = self.registration.follow(&interfaces, &select(&state.peer, &interfaces));
        let now = clock::now();
        for local in moves.come {
            tracing::debug!(%local, "a new local address");
            state.peer.add_local_address(now, local);
        }
        moves.listeners_come.into_iter().for_each(|local| state.peer.add_tcp_listener(now, local));
        if let Some(relays) = &mut self.relays {
            let moves = relays.follow(&interfaces, &select(&state.peer, &interfaces));
            moves.come.into_iter().for_each(|local| state.peer.add_relay_socket(now, local));
            moves.gone.into_iter().for_each(|local| state.peer.remove_local_address(now, local));
        }
        for local in moves.gone {
            tracing::debug!(%local, "a local address is gone");
            state.peer.remove_local_address(now, local);
        }
        moves.listeners_gone.into_iter().for_each(|local| state.peer.remove_tcp_listener(now, local));
        self.shared.collect(&mut state);
    }

    /// Takes in what became of TCP connections. One that has ended is forgotten once all that came on it was taken in.
    fn welcome(&mut self) {
        let mut state = self.shared.lock();
        let inbox = self.registration.inbox();
        for arrival in std::mem::take(&mut self.arrivals) {
            let now = clock::now();
            match arrival {
                Arrival::Opened(id, Some((path, stream))) => {
                    supplant(&mut self.tcp, &mut state.peer, now, path);
                    if self.tcp.add_opened(id, path, stream, inbox.clone()) {
                        state.peer.handle_tcp_opened(now, id, Ok(path));
                    }
                }
                Arrival::Opened(id, None) => {
                    self.tcp.abandon(id);
                    state.peer.handle_tcp_opened(now, id, Err(()));
                }
                Arrival::Accepted(accepted) => {
                    let Accepted { path, stream, first, deframer } = *accepted;
                    supplant(&mut self.tcp, &mut state.peer, now, path);
                    self.tcp.add(path, stream, Some(deframer), inbox.clone());
                    state.peer.handle_tcp_accepted(now, path);
                    state.peer.handle_datagram(Received { at: now, path, ecn: None }, first);
                }
                Arrival::Closed(..) if !self.inbox.is_empty() => self.arrivals.push_back(arrival),
                Arrival::Closed(path, ended) => {
                    if self.tcp.remove_ended(&path, &ended) {
                        state.peer.handle_tcp_closed(now, path);
                    }
                }
            }
        }
        self.shared.collect(&mut state);
    }

    /// Sends what there is; true if there may be more.
    fn output(&mut self) -> bool {
        let max_segments = self.registration.max_segments().min(self.max_segments);
        for _ in 0..TRANSMITS_PER_TURN {
            self.out.clear();
            let transmit = self.shared.lock().peer.poll_transmit(clock::now(), max_segments, &mut self.out);
            let Some(transmit) = transmit else { return false };
            self.send(transmit);
        }
        true
    }

    /// Sends one batch; what a full socket does not take waits for it.
    fn send(&mut self, transmit: Transmit) {
        if self.tcp.serves(&transmit.path) {
            if self.tcp.send(&transmit.path, &self.out, transmit.segment_size) == Written::Blocked {
                self.shared.lock().peer.handle_writable(transmit.path, false);
            }
            return;
        }
        if transmit.path.transport != Transport::Udp {
            if !self.shared.lock().streams_open.send(transmit.path, &self.out) {
                tracing::trace!(path = ?transmit.path, "a stream does not keep up");
            }
            return;
        }
        if self.registration.note_sent(&transmit, &self.out) == Err(RouteError::Taken) {
            return self.shared.with(|state, now| state.peer.handle_taken(now, transmit.path));
        }
        let sent = self.sockets_of(transmit.path.local).send(&transmit, &self.out);
        if !sent.blocked {
            return;
        }
        let sockets = self.sockets_of(transmit.path.local);
        let Some(socket) = sockets.socket(transmit.path.local).cloned() else { return };
        let octets = self.out.get(sent.octets..).unwrap_or_default().to_vec();
        self.blocked.push(Blocked { socket, transmit, octets });
        self.shared.lock().peer.handle_writable(transmit.path, false);
    }

    /// The sockets that datagrams from this address leave through.
    fn sockets_of(&self, local: SocketAddr) -> &Registration {
        self.relays.as_ref().filter(|relays| relays.socket(local).is_some()).unwrap_or(&self.registration)
    }

    /// Sends what waited for full sockets.
    fn retry(&mut self) {
        for mut waiting in std::mem::take(&mut self.blocked) {
            let sent = self.sockets_of(waiting.transmit.path.local).send(&waiting.transmit, &waiting.octets);
            if sent.blocked {
                waiting.octets.drain(..sent.octets.min(waiting.octets.len()));
                self.blocked.push(waiting);
            } else {
                self.shared.lock().peer.handle_writable(waiting.transmit.path, true);
            }
        }
    }

    /// Sends what waited for TCP connections.
    fn retry_tcp(&mut self) {
        let freed = self.tcp.retry();
        let mut state = self.shared.lock();
        for path in freed {
            state.peer.handle_writable(path, true);
        }
    }

    /// What needs the endpoint or a task of its own.
    fn act(&mut self) {
        self.actions.append(&mut self.shared.lock().actions);
        for action in self.actions.drain(..) {
            match action {
                Action::AddRoute(path) => {
                    if self.registration.add_route(path) == Err(RouteError::Taken) {
                        self.shared.with(|state, now| state.peer.handle_taken(now, path));
                    }
                }
                Action::RemoveRoute(path) => self.registration.remove_route(path),
                Action::Connect(target) => {
                    let (options, inbox) = (self.streams.clone(), self.registration.inbox());
                    let mut state = self.shared.lock();
                    state.streams_open.connect(target, options, &self.shared, inbox);
                }
                Action::CloseStream(id) => self.shared.lock().streams_open.close(id),
                Action::UseRelays(relays) => self.relays = Some(relays),
                Action::OpenTcp { id, local, remote } => {
                    self.tcp.connect(id, local, remote, self.registration.inbox());
                }
                Action::AbandonTcp(id) => self.tcp.abandon(id),
                Action::CloseTcp(path) => {
                    let mut state = self.shared.lock();
                    // The goodbye of the whole connection may still wait; after it, everything is closed.
                    if state.peer.connection_state() != ConnectionState::Closed {
                        self.tcp.remove(&path);
                        state.peer.handle_writable(path, true);
                    }
                }
                Action::Resolve { id, host } => {
                    let shared = Arc::downgrade(&self.shared);
                    tokio::spawn(async move {
                        let answer = resolve::lookup(&host).await;
                        if let Some(shared) = shared.upgrade() {
                            shared.with(|state, now| state.peer.handle_resolved(now, id, answer));
                        }
                    });
                }
            }
        }
    }
}

/// A connection on this path is there. No system has two on one, so that what was there has ended, whether that was heard or not.
fn supplant(tcp: &mut Connections, peer: &mut Peer, now: Instant, path: Path) {
    if tcp.remove(&path) {
        peer.handle_tcp_closed(now, path);
    }
}

/// True when nothing more will happen. A goodbye that does not get through is given up after a while.
fn is_over(peer: &Peer, now: Instant, deadline: &mut Option<Instant>, all_sent: bool) -> bool {
    if peer.connection_state() != ConnectionState::Closed {
        return false;
    }
    let deadline = *deadline.get_or_insert(now + CLOSE_LIMIT);
    now >= deadline || peer.is_closed() && all_sent
}

impl Drop for Driver {
    /// Also when the runtime shuts down: whoever waits is told.
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// Waits until the addresses of the host change; for ever if that is of no interest.
async fn changed(changes: &mut Option<Changes>) {
    match changes {
        Some(changes) => changes.changed().await,
        None => std::future::pending().await,
    }
}

/// Waits until one of the sockets takes datagrams again. A socket that fails counts as ready: sending will tell.
async fn any_writable(blocked: &[Blocked]) {
    let mut sockets: Vec<_> = blocked.iter().map(|waiting| Box::pin(waiting.socket.writable())).collect();
    poll_fn(|context| match sockets.iter_mut().any(|socket| socket.as_mut().poll(context).is_ready()) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

#[cfg(test)]
mod tests {
    use taut_peer::Config;

    use super::*;
    use crate::clock;

    #[tokio::test]
    async fn a_goodbye_that_does_not_get_through_is_given_up_after_a_second() {
        let begin = clock::now();
        let mut peer = Peer::new(Config::default(), clock::wall(), [7; 32]).unwrap();
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        let mut deadline = None;
        assert!(!is_over(&peer, at(0), &mut deadline, true), "it is open");
        peer.close(at(5));
        for (now, over) in [(5, false), (1_004, false), (1_005, true)] {
            assert_eq!(is_over(&peer, at(now), &mut deadline, false), over, "{now}");
        }
    }
}
