//! Linux: the kernel tells of interfaces and addresses on a netlink socket (rtnetlink(7)). What it says is not read: that it
//! says something is reason enough to list the interfaces.

use std::io;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use tokio::net::UnixDatagram;

/// RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR: interfaces that come up or go down, and addresses.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

/// How many messages are taken for one before the interfaces are listed.
const MAX_MESSAGES: usize = 1_024;

/// So much was said that the socket could not hold it (ENOBUFS, netlink(7)).
const NO_BUFFER: i32 = rustix::io::Errno::NOBUFS.raw_os_error();

#[derive(Debug)]
pub(super) struct Netlink {
    /// tokio has no type for it; that of another socket of datagrams waits and receives in the same way.
    socket: UnixDatagram,
}

impl Netlink {
    /// Opens the socket. Needs a tokio runtime with its I/O driver.
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Self { socket: UnixDatagram::from_std(socket.into())? })
    }

    /// Waits until the kernel has said something. Cancel-safe.
    pub(super) async fn next(&self) -> io::Result<()> {
        loop {
            self.socket.readable().await?;
            let mut heard = false;
            for _ in 0..MAX_MESSAGES {
                // The rest of a message that is longer is dropped.
                match self.socket.try_recv(&mut [0u8; 16]) {
                    Ok(_) => heard = true,
                    Err(error) if error.raw_os_error() == Some(NO_BUFFER) => heard = true,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            if heard {
                return Ok(());
            }
        }
    }
}
