//! The bounded queue between an endpoint and one connection.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::sockets::Batch;
use super::tcp::{Accepted, Arrival};

/// How many octets wait for a connection at most. What comes above it is dropped (a shared endpoint) or left in the
/// kernel (a private one). As much as the default receive window of an association: a peer that fills the window must
/// not push sound and pictures out.
const MAX_OCTETS: usize = 4 << 20;

/// How many batches wait at most, whatever their size.
const MAX_BATCHES: usize = 4_096;

/// How many connections of listeners wait at most; further ones are closed.
const MAX_ARRIVALS: usize = 64;

/// What an endpoint has for one connection.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    /// Wakes the connection's driver.
    driver: Arc<Notify>,
    /// Wakes a private endpoint that waits for room.
    room: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<Batch>,
    octets: usize,
    lost: Vec<SocketAddr>,
    arrivals: VecDeque<Arrival>,
}

impl Queue {
    fn is_full(&self) -> bool {
        self.octets >= MAX_OCTETS || self.batches.len() >= MAX_BATCHES
    }
}

impl Inbox {
    pub(crate) fn new(driver: Arc<Notify>) -> Self {
        Self { queue: Mutex::default(), driver, room: Notify::new() }
    }

    /// Adds a batch, or gives it back when the queue is full.
    #[must_use]
    pub(crate) fn push(&self, batch: Batch) -> Option<Batch> {
        {
            let mut queue = self.queue();
            if queue.is_full() {
                return Some(batch);
            }
            queue.octets += batch.octets.len();
            queue.batches.push_back(batch);
        }
        self.driver.notify_one();
        None
    }

    /// Says that the socket with this address is dead.
    pub(crate) fn push_lost(&self, local: SocketAddr) {
        self.queue().lost.push(local);
        self.driver.notify_one();
    }

    /// Says what became of a connection.
    pub(crate) fn push_arrival(&self, arrival: Arrival) {
        self.queue().arrivals.push_back(arrival);
        self.driver.notify_one();
    }

    /// Hands a connection of a listener over; false if too many wait.
    pub(crate) fn push_accepted(&self, accepted: Accepted) -> bool {
        {
            let mut queue = self.queue();
            if queue.arrivals.len() >= MAX_ARRIVALS {
                return false;
            }
            queue.arrivals.push_back(Arrival::Accepted(Box::new(accepted)));
        }
        self.driver.notify_one();
        true
    }

    /// Takes what is to be known of connections. What came on one that has ended waits already: take it after.
    pub(crate) fn take_arrivals(&self, arrivals: &mut VecDeque<Arrival>) {
        arrivals.append(&mut self.queue().arrivals);
    }

    /// Takes what waits: the batches in order, and the sockets that died.
    pub(crate) fn take(&self, batches: &mut VecDeque<Batch>, lost: &mut Vec<SocketAddr>) {
        let was_full = {
            let mut queue = self.queue();
            let was_full = queue.is_full();
            queue.octets = 0;
            batches.append(&mut queue.batches);
            lost.append(&mut queue.lost);
            was_full
        };
        if was_full {
            self.room.notify_one();
        }
    }

    /// Waits until there is room again. Cancel-safe.
    pub(crate) async fn room(&self) {
        while self.queue().is_full() {
            self.room.notified().await;
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        // No code that holds the lock can panic half-way.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Instant;

    use bytes::BytesMut;
    use taut_sansio::net::{Path, Received};

    use super::*;

    pub(crate) fn batch(path: Path, octets: &[u8]) -> Batch {
        #[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
        let at = Instant::now();
        Batch {
            meta: Received { at, path, ecn: None },
            octets: BytesMut::from(octets),
            stride: octets.len().max(1),
        }
    }

    fn path() -> Path {
        Path::udp(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into())
    }

    #[test]
    fn the_queue_is_bounded_in_batches_and_octets() {
        let inbox = Inbox::new(Arc::default());
        let accepted = (0..10_000).filter(|_| inbox.push(batch(path(), b"x")).is_none()).count();
        assert_eq!(accepted, MAX_BATCHES);
        let (mut batches, mut lost) = (VecDeque::new(), Vec::new());
        inbox.take(&mut batches, &mut lost);
        assert_eq!(batches.len(), MAX_BATCHES);
        let large = vec![0; 60_000];
        let accepted = (0..10_000).filter(|_| inbox.push(batch(path(), &large)).is_none()).count();
        assert_eq!(accepted, MAX_OCTETS.div_ceil(large.len()));
    }

    #[tokio::test]
    async fn connections_that_wait_are_bounded() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let inbox = Inbox::new(Arc::default());
        let (mut clients, mut taken) = (Vec::new(), 0);
        for _ in 0..100 {
            clients.push(tokio::net::TcpStream::connect(local).await.unwrap());
            let (stream, remote) = listener.accept().await.unwrap();
            let path = Path { transport: taut_sansio::net::Transport::Tcp, local, remote };
            let (first, deframer) = (BytesMut::new(), taut_peer::Deframer::new());
            taken += usize::from(inbox.push_accepted(Accepted { path, stream, first, deframer }));
        }
        assert_eq!(taken, 64);
        let mut arrivals = VecDeque::new();
        inbox.take_arrivals(&mut arrivals);
        assert_eq!(arrivals.len(), 64);
    }

    #[tokio::test]
    async fn a_full_queue_says_when_there_is_room() {
        let inbox = Arc::new(Inbox::new(Arc::default()));
        inbox.room().await;
        assert_eq!((0..10_000).filter(|_| inbox.push(batch(path(), b"x")).is_none()).count(), MAX_BATCHES);
        let waiting = tokio::spawn({
            let inbox = inbox.clone();
            async move { inbox.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        inbox.take(&mut VecDeque::new(), &mut Vec::new());
        waiting.await.unwrap();
    }
}
