//! macOS, iOS and FreeBSD: the kernel tells of interfaces and addresses on a routing socket (route(4)). Of a message only the
//! type is read: that it is about addresses is reason enough to list the interfaces.

use std::io;
use std::os::fd::OwnedFd;

use socket2::{Domain, Socket, Type};
use tokio::net::UnixDatagram;

/// PF_ROUTE, the same in every sys/socket.h that this is built with.
const PF_ROUTE: i32 = 17;

/// RTM_NEWADDR, RTM_DELADDR and RTM_IFINFO; the others are about routes and neighbours, and many.
const NEWS: [u8; 3] = [0x0c, 0x0d, 0x0e];

/// Where the type is: behind the length and the version.
const TYPE: usize = 3;

#[derive(Debug)]
pub(super) struct Routing {
    /// tokio has no type for it; that of another socket of datagrams waits and receives in the same way.
    socket: UnixDatagram,
}

impl Routing {
    /// Opens the socket. Needs a tokio runtime with its I/O driver.
    pub(super) fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::from(PF_ROUTE), Type::RAW, None)?;
        socket.set_nonblocking(true)?;
        let socket = std::os::unix::net::UnixDatagram::from(OwnedFd::from(socket));
        Ok(Self { socket: UnixDatagram::from_std(socket)? })
    }

    /// Waits until the kernel has said something of addresses. Cancel-safe.
    pub(super) async fn next(&self) -> io::Result<()> {
        loop {
            let mut message = [0u8; 16];
            // The rest of a message that is longer is dropped.
            match self.socket.recv(&mut message).await {
                Ok(_) if message.get(TYPE).is_some_and(|kind| NEWS.contains(kind)) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
