//! The streams of one connection to TURN servers: a task each, which opens it, writes what is queued, and hands on whole
//! messages.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use taut_peer::{ConnectError, Proxy, StreamId};
use taut_sansio::net::{Path, Received, Transport};
use taut_turn::Deframer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_rustls::client::TlsStream;

use super::inbox::Inbox;
use super::sockets::Batch;
use super::{proxy, tls};
use crate::clock;
use crate::connection::Shared;

/// How many batches wait to be written to one stream; what comes above is dropped, as a full socket drops.
const MAX_QUEUED: usize = 64;

/// How long a stream may take to open, TLS included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(8);

/// How long the other end may take nothing while there is something to write; then the stream is given up. Without it, one that
/// never reads would keep it open for ever, even when its connection is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How much is read at once.
const READ: usize = 16 << 10;

/// Anything that octets come from and go to.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How streams are opened.
#[derive(Debug, Default)]
pub(crate) struct StreamOptions {
    /// What servers over TLS must be vouched for by, instead of by what the system trusts.
    pub(crate) roots: Option<String>,
    /// Where they are opened through.
    pub(crate) proxy: Option<Proxy>,
}

/// What is to be opened.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) id: StreamId,
    /// What is closed for it.
    pub(crate) replaces: Option<StreamId>,
    pub(crate) transport: Transport,
    pub(crate) remote: SocketAddr,
    pub(crate) host: String,
}

#[derive(Debug)]
struct Open {
    queue: mpsc::Sender<Vec<u8>>,
    /// What it was opened for.
    target: StreamId,
}

/// The streams of one connection. Dropping it closes them.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: BTreeMap<Path, Open>,
    tasks: Vec<(StreamId, AbortHandle)>,
}

impl Streams {
    /// Opens a stream, and tells the peer of it.
    pub(crate) fn connect(
        &mut self,
        target: Target,
        options: Arc<StreamOptions>,
        shared: &Arc<Shared>,
        inbox: Arc<Inbox>,
    ) {
        if let Some(old) = target.replaces {
            self.open.retain(|_, open| open.target != old);
            self.tasks.iter().filter(|(id, _)| *id == old).for_each(|(_, task)| task.abort());
        }
        self.tasks.retain(|(_, task)| !task.is_finished());
        let id = target.id;
        let task = tokio::spawn(run(target, options, Arc::downgrade(shared), inbox));
        self.tasks.push((id, task.abort_handle()));
    }

    /// Closes a stream, once what is queued has been written, or gives it up if it is not open yet.
    pub(crate) fn close(&mut self, target: StreamId) {
        let before = self.open.len();
        self.open.retain(|_, open| open.target != target);
        if self.open.len() == before {
            self.tasks.iter().filter(|(id, _)| *id == target).for_each(|(_, task)| task.abort());
        }
        self.tasks.retain(|(id, _)| *id != target);
    }

    /// A stream is open: what is sent on its path comes out here.
    fn add(&mut self, path: Path, target: StreamId) -> mpsc::Receiver<Vec<u8>> {
        let (queue, queued) = queue();
        self.open.insert(path, Open { queue, target });
        queued
    }

    /// A stream is closed.
    pub(crate) fn remove(&mut self, path: Path) {
        if let Some(open) = self.open.remove(&path) {
            self.tasks.retain(|(id, _)| *id != open.target);
        }
    }

    /// Sends on a stream; false if it is not there or does not keep up.
    pub(crate) fn send(&self, path: Path, octets: &[u8]) -> bool {
        self.open.get(&path).is_some_and(|open| open.queue.try_send(octets.to_vec()).is_ok())
    }
}

/// The queue of what waits for a stream.
fn queue() -> (mpsc::Sender<Vec<u8>>, mpsc::Receiver<Vec<u8>>) {
    mpsc::channel(MAX_QUEUED)
}

impl Drop for Streams {
    fn drop(&mut self) {
        // What is queued is written before a task ends: its queue is gone with this.
        self.open.clear();
    }
}

/// Opens a stream.
async fn open(
    target: &Target,
    options: &Arc<StreamOptions>,
) -> Result<(Path, Box<dyn Stream>), ConnectError> {
    let stream = match &options.proxy {
        Some(proxy) => proxy::connect(proxy, target.remote).await?,
        None => TcpStream::connect(target.remote)
            .await
            .map_err(|error| failed(error, ConnectError::Unreachable))?,
    };
    let unreachable = |error| failed(error, ConnectError::Unreachable);
    stream.set_nodelay(true).map_err(unreachable)?;
    let local = stream.local_addr().map_err(unreachable)?;
    let path = Path { transport: target.transport, local, remote: target.remote };
    if target.transport != Transport::Tls {
        return Ok((path, Box::new(stream)));
    }
    let stream =
        secure(stream, target, options.clone()).await.map_err(|error| failed(error, ConnectError::Tls))?;
    Ok((path, Box::new(stream)))
}

fn failed(error: io::Error, why: ConnectError) -> ConnectError {
    tracing::debug!(%error, "no stream");
    why
}

/// Begins TLS.
async fn secure(
    stream: TcpStream,
    target: &Target,
    options: Arc<StreamOptions>,
) -> io::Result<TlsStream<TcpStream>> {
    let name = tls::server_name(&target.host)?;
    // The certificates of the system are in files.
    let connector = tokio::task::spawn_blocking(move || tls::connector(options.roots.as_deref()));
    let connector = connector.await.map_err(io::Error::other)??;
    connector.connect(name, stream).await
}

/// The life of one stream.
async fn run(target: Target, options: Arc<StreamOptions>, shared: Weak<Shared>, inbox: Arc<Inbox>) {
    let opened = tokio::time::timeout(OPEN_TIMEOUT, open(&target, &options)).await;
    let (path, stream) = match opened.unwrap_or(Err(ConnectError::TimedOut)) {
        Ok(opened) => opened,
        Err(error) => {
            tracing::debug!(%error, remote = %target.remote, "no stream to the TURN server");
            if let Some(shared) = shared.upgrade() {
                shared.with(|state, now| state.peer.handle_connected(now, target.id, Err(error)));
            }
            return;
        }
    };
    let Some(connection) = shared.upgrade() else { return };
    let queued = connection.with(|state, now| {
        let queued = state.streams_open.add(path, target.id);
        state.peer.handle_connected(now, target.id, Ok(path));
        queued
    });
    drop(connection);
    carry(stream, path, queued, &inbox).await;
    if let Some(connection) = shared.upgrade() {
        connection.with(|state, now| {
            state.streams_open.remove(path);
            state.peer.handle_disconnected(now, path);
        });
    }
}

/// Reads and writes until either ends, or the queue is gone.
async fn carry(stream: Box<dyn Stream>, path: Path, mut queued: mpsc::Receiver<Vec<u8>>, inbox: &Inbox) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let read = async {
        let mut deframer = Deframer::new();
        let mut buffer = vec![0; READ];
        loop {
            let Ok(length @ 1..) = reader.read(&mut buffer).await else { return };
            deframer.push(buffer.get(..length).unwrap_or_default());
            loop {
                let octets = match deframer.poll_message() {
                    Ok(Some(octets)) => octets,
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, remote = %path.remote, "stream given up");
                        return;
                    }
                };
                let stride = octets.len().max(1);
                let mut batch =
                    Batch { meta: Received { at: clock::now(), path, ecn: None }, octets, stride };
                while let Some(back) = inbox.push(batch) {
                    inbox.room().await;
                    batch = back;
                }
            }
        }
    };
    let write = async {
        while let Some(octets) = queued.recv().await {
            if !write_all(&mut writer, &octets).await {
                return;
            }
        }
        let _ = tokio::time::timeout(WRITE_TIMEOUT, writer.shutdown()).await;
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}

/// Writes all of it; false if the stream is of no more use.
pub(crate) async fn write_all(writer: &mut (impl AsyncWrite + Unpin), mut octets: &[u8]) -> bool {
    while !octets.is_empty() {
        match tokio::time::timeout(WRITE_TIMEOUT, writer.write(octets)).await {
            Ok(Ok(length @ 1..)) => octets = octets.get(length..).unwrap_or_default(),
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_that_never_reads_does_not_keep_a_stream_open() {
        let (near, _far) = tokio::io::duplex(16);
        let inbox = Inbox::new(Arc::new(Notify::new()));
        let path = Path {
            transport: Transport::Tcp,
            local: ([192, 0, 2, 1], 1).into(),
            remote: ([192, 0, 2, 2], 2).into(),
        };
        let (queue, queued) = queue();
        queue.send(vec![7; 1_000]).await.unwrap();
        drop(queue);
        let life = carry(Box::new(near), path, queued, &inbox);
        tokio::time::timeout(Duration::from_secs(60), life).await.expect("it ends");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_reads_slowly_gets_it_all() {
        let (mut near, mut far) = tokio::io::duplex(16);
        let read = tokio::spawn(async move {
            let mut all = Vec::new();
            let mut room = [0; 16];
            while let Ok(length @ 1..) = far.read(&mut room).await {
                all.extend_from_slice(&room[..length]);
                tokio::time::sleep(WRITE_TIMEOUT / 2).await;
            }
            all
        });
        assert!(write_all(&mut near, &[7; 1_000]).await);
        drop(near);
        assert_eq!(read.await.unwrap(), [7; 1_000]);
    }

    #[test]
    fn what_waits_for_a_stream_is_bounded() {
        let (queue, mut queued) = queue();
        assert_eq!((0..1_000).filter(|_| queue.try_send(vec![7; 1_200]).is_ok()).count(), 64);
        assert!(queued.try_recv().is_ok() && queue.try_send(vec![7]).is_ok(), "there is room again");
    }
}
