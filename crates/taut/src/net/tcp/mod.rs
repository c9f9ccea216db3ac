//! TCP connections between the two sides of a call (RFC 6544): those that ICE has opened, and those that came to a listener.

mod connections;
pub(crate) mod listener;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use socket2::SockRef;
use taut_peer::{Deframer, TcpId};
use taut_sansio::net::{Path, Transport};
use tokio::net::{TcpSocket, TcpStream};

pub(crate) use connections::{Connections, Written};

/// How much the kernel holds of what was sent on a connection, in octets: sound and pictures that wait behind more come too late.
const SEND_BUFFER: usize = 256 << 10;

/// What a driver is told of connections.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// The answer to a wish for a connection.
    Opened(TcpId, Option<(Path, TcpStream)>),
    /// A connection whose first frame is a check for this peer.
    Accepted(Box<Accepted>),
    /// This connection has ended; what came on it was handed on before.
    Closed(Path, Arc<TcpStream>),
}

/// A connection that came to a listener.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) path: Path,
    pub(crate) stream: TcpStream,
    /// The first frame.
    pub(crate) first: BytesMut,
    /// What was read behind it.
    pub(crate) deframer: Deframer,
}

/// Opens a connection.
async fn connect(local: SocketAddr, remote: SocketAddr) -> io::Result<(Path, TcpStream)> {
    let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(local)?;
    let stream = socket.connect(remote).await?;
    set_up(&stream)?;
    Ok((Path { transport: Transport::Tcp, local: stream.local_addr()?, remote }, stream))
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_send_buffer_size(SEND_BUFFER)
}
