//! The connections of one peer connection: a task reads each, the driver writes.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use taut_peer::{Deframer, TcpId, frame};
use taut_sansio::net::{Path, Received};
use taut_stun::is_stun;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::{Arrival, connect};
use crate::clock;
use crate::net::inbox::Inbox;
use crate::net::sockets::Batch;

/// How much is read at once.
const READ: usize = 16 << 10;

/// What became of datagrams that were to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// The kernel has them.
    All,
    /// The connection does not drain: the rest waits, and nothing more is taken until it has left.
    Blocked,
    /// There is no such connection, or it is blocked.
    Nothing,
}

#[derive(Debug)]
struct Open {
    stream: Arc<TcpStream>,
    reader: AbortHandle,
    /// What the kernel has not taken yet of one batch.
    rest: Vec<u8>,
}

/// The connections of one peer connection. Dropping it closes them.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: BTreeMap<Path, Open>,
    opening: BTreeMap<TcpId, AbortHandle>,
    framed: Vec<u8>,
}

impl Connections {
    /// Opens a connection; [`Arrival::Opened`] follows.
    pub(crate) fn connect(&mut self, id: TcpId, local: SocketAddr, remote: SocketAddr, inbox: Arc<Inbox>) {
        let task = tokio::spawn(async move {
            let opened = connect(local, remote).await;
            if let Err(error) = &opened {
                tracing::debug!(%error, %remote, "no TCP connection");
            }
            inbox.push_arrival(Arrival::Opened(id, opened.ok()));
        });
        self.opening.insert(id, task.abort_handle());
    }

    /// Gives up a connection that is being opened.
    pub(crate) fn abandon(&mut self, id: TcpId) {
        if let Some(task) = self.opening.remove(&id) {
            task.abort();
        }
    }

    /// Takes a connection that was asked for, unless it was given up.
    pub(crate) fn add_opened(&mut self, id: TcpId, path: Path, stream: TcpStream, inbox: Arc<Inbox>) -> bool {
        if self.opening.remove(&id).is_none() {
            return false;
        }
        self.add(path, stream, None, inbox);
        true
    }

    /// Takes a connection, on a path that no other is on; with the deframer of what was read already, if anything was.
    pub(crate) fn add(
        &mut self,
        path: Path,
        stream: TcpStream,
        deframer: Option<Deframer>,
        inbox: Arc<Inbox>,
    ) {
        let stream = Arc::new(stream);
        let reader = tokio::spawn(read(stream.clone(), path, deframer, inbox)).abort_handle();
        self.open.insert(path, Open { stream, reader, rest: Vec::new() });
    }

    /// Closes the connection on a path; true if there was one.
    pub(crate) fn remove(&mut self, path: &Path) -> bool {
        let removed = self.open.remove(path);
        removed.iter().for_each(|open| open.reader.abort());
        removed.is_some()
    }

    /// Forgets a connection that has ended; false if there is another one on its path, or none.
    pub(crate) fn remove_ended(&mut self, path: &Path, ended: &Arc<TcpStream>) -> bool {
        self.open.get(path).is_some_and(|open| Arc::ptr_eq(&open.stream, ended)) && self.remove(path)
    }

    /// True for the path of a connection.
    pub(crate) fn serves(&self, path: &Path) -> bool {
        self.open.contains_key(path)
    }

    /// Sends datagrams, a frame each.
    pub(crate) fn send(&mut self, path: &Path, datagrams: &[u8], segment_size: Option<usize>) -> Written {
        let Some(open) = self.open.get_mut(path).filter(|open| open.rest.is_empty()) else {
            return Written::Nothing;
        };
        self.framed.clear();
        let size = segment_size.unwrap_or(datagrams.len()).max(1);
        for datagram in datagrams.chunks(size) {
            // No datagram is longer than a frame: the MTU is below it.
            frame(datagram, &mut self.framed);
        }
        let written = write_now(&open.stream, &self.framed);
        open.rest.extend_from_slice(self.framed.get(written..).unwrap_or_default());
        if open.rest.is_empty() { Written::All } else { Written::Blocked }
    }

    /// True while the rest of something waits.
    pub(crate) fn is_blocked(&self) -> bool {
        self.open.values().any(|open| !open.rest.is_empty())
    }

    /// Waits until a blocked connection takes more. Cancel-safe.
    pub(crate) async fn writable(&self) {
        let blocked = self.open.values().filter(|open| !open.rest.is_empty());
        let mut all: Vec<Pin<Box<_>>> = blocked.map(|open| Box::pin(open.stream.writable())).collect();
        poll_fn(|context| match all.iter_mut().any(|stream| stream.as_mut().poll(context).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Sends what waited; gives the paths that are free again.
    pub(crate) fn retry(&mut self) -> Vec<Path> {
        let mut freed = Vec::new();
        for (path, open) in self.open.iter_mut().filter(|(_, open)| !open.rest.is_empty()) {
            let written = write_now(&open.stream, &open.rest);
            open.rest.drain(..written.min(open.rest.len()));
            if open.rest.is_empty() {
                freed.push(*path);
            }
        }
        freed
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.opening.values().for_each(AbortHandle::abort);
        self.open.values().for_each(|open| open.reader.abort());
    }
}

/// Writes what the kernel takes now. What a broken connection does not take counts as written: its reader tells of the end.
fn write_now(stream: &TcpStream, octets: &[u8]) -> usize {
    let mut written = 0;
    while let Some(rest) = octets.get(written..).filter(|rest| !rest.is_empty()) {
        match stream.try_write(rest) {
            Ok(length) => written += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return octets.len(),
        }
    }
    written
}

/// Reads a connection to its end. While the peer connection does not keep up, nothing is read, and the other side has to wait.
async fn read(stream: Arc<TcpStream>, path: Path, deframer: Option<Deframer>, inbox: Arc<Inbox>) {
    // The first thing that is said on a connection is a check, or the answer to one (RFC 6544 section 7.1). One that was accepted
    // has said it.
    let mut greeted = deframer.is_some();
    let mut deframer = deframer.unwrap_or_default();
    let mut buffer = vec![0; READ];
    let closed = || inbox.push_arrival(Arrival::Closed(path, stream.clone()));
    loop {
        loop {
            let octets = match deframer.poll_datagram() {
                Ok(Some(octets)) if greeted || is_stun(&octets) => octets,
                Ok(None) => break,
                Ok(Some(_)) | Err(_) => return closed(),
            };
            greeted = true;
            let stride = octets.len().max(1);
            let meta = Received { at: clock::now(), path, ecn: None };
            let mut batch = Batch { meta, octets, stride };
            while let Some(back) = inbox.push(batch) {
                inbox.room().await;
                batch = back;
            }
        }
        if stream.readable().await.is_err() {
            return closed();
        }
        match stream.try_read(&mut buffer) {
            Ok(length @ 1..) => deframer.push(buffer.get(..length).unwrap_or_default()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Ok(_) | Err(_) => return closed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use taut_sansio::net::Transport;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Connections with one in them, and the other end of that.
    async fn one() -> (Connections, Path, TcpStream, Arc<Inbox>, Arc<Notify>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let remote = listener.local_addr().unwrap();
        let (path, stream) = connect(([127, 0, 0, 1], 0).into(), remote).await.unwrap();
        assert_eq!((path.transport, path.remote), (Transport::Tcp, remote));
        let (far, from) = listener.accept().await.unwrap();
        assert_eq!(from, path.local);
        let driver = Arc::new(Notify::new());
        let inbox = Arc::new(Inbox::new(driver.clone()));
        let mut connections = Connections::default();
        connections.add(path, stream, None, inbox.clone());
        (connections, path, far, inbox, driver)
    }

    #[tokio::test]
    async fn a_connection_that_does_not_drain_holds_one_batch_and_loses_none_of_it() {
        let (mut connections, path, mut far, _, _) = one().await;
        let batch: Vec<u8> = (0..60_000u32).map(|n| n as u8).collect();
        let mut sent = 0;
        let blocked = loop {
            let written = connections.send(&path, &batch, Some(1_200));
            if written != Written::All {
                break written;
            }
            sent += 1;
            assert!(sent < 10_000, "the kernel takes no end of it");
        };
        assert_eq!((blocked, connections.is_blocked()), (Written::Blocked, true));
        let held = connections.open[&path].rest.len();
        assert!(held <= batch.len() + 2 * 50, "{held}");
        for _ in 0..1_000 {
            assert_eq!(connections.send(&path, &batch, Some(1_200)), Written::Nothing);
        }
        assert_eq!(connections.open[&path].rest.len(), held, "nothing more is kept");

        let expected = (sent + 1) * (batch.len() + 2 * 50);
        let reading = tokio::spawn(async move {
            let (mut deframer, mut buffer, mut seen) = (Deframer::new(), vec![0; 1 << 16], 0);
            let mut datagrams = Vec::new();
            while seen < expected {
                let length = far.read(&mut buffer).await.unwrap();
                assert_ne!(length, 0);
                seen += length;
                deframer.push(&buffer[..length]);
                while let Some(datagram) = deframer.poll_datagram().unwrap() {
                    datagrams.push(datagram);
                }
            }
            datagrams
        });
        let mut freed = Vec::new();
        while freed.is_empty() {
            timeout(LIMIT, connections.writable()).await.unwrap();
            freed = connections.retry();
        }
        assert_eq!((freed, connections.is_blocked()), (vec![path], false));
        let datagrams = timeout(LIMIT, reading).await.unwrap().unwrap();
        assert_eq!(datagrams.len(), (sent + 1) * 50);
        assert!(datagrams.chunks(50).all(|one| one.concat() == batch));
    }

    /// Its end may be heard when there is another one in its place.
    #[tokio::test]
    async fn the_end_of_a_connection_is_not_that_of_the_next_on_its_path() {
        let (mut connections, path, far, inbox, driver) = one().await;
        drop(far);
        let mut arrivals = VecDeque::new();
        while arrivals.is_empty() {
            timeout(LIMIT, driver.notified()).await.unwrap();
            inbox.take_arrivals(&mut arrivals);
        }
        let Some(Arrival::Closed(_, ended)) = arrivals.pop_front() else { panic!("it has ended") };
        assert!(connections.remove(&path));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_, next) = connect(([127, 0, 0, 1], 0).into(), listener.local_addr().unwrap()).await.unwrap();
        connections.add(path, next, None, inbox);
        assert!(!connections.remove_ended(&path, &ended) && connections.serves(&path));
        let own = connections.open[&path].stream.clone();
        assert!(connections.remove_ended(&path, &own) && !connections.serves(&path));
    }

    #[tokio::test]
    async fn who_does_not_begin_with_stun_is_no_peer() {
        let (_connections, path, mut far, inbox, driver) = one().await;
        let mut framed = Vec::new();
        frame(b"\x16\xfe\xfd not a check", &mut framed);
        tokio::io::AsyncWriteExt::write_all(&mut far, &framed).await.unwrap();
        let mut arrivals = VecDeque::new();
        while arrivals.is_empty() {
            timeout(LIMIT, driver.notified()).await.unwrap();
            inbox.take_arrivals(&mut arrivals);
        }
        assert!(matches!(arrivals.pop_front(), Some(Arrival::Closed(of, _)) if of == path));
        let mut batches = VecDeque::new();
        inbox.take(&mut batches, &mut Vec::new());
        assert!(batches.is_empty());
    }
}
