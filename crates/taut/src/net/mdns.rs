//! The socket of multicast DNS (RFC 6762 sections 3 and 11): one per endpoint, opened when a connection needs it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use socket2::{Domain, Protocol, SockRef, Type};
use taut_sansio::net::{Path, Received};
use tokio::net::UdpSocket;

use super::interfaces::{self, Interface};
use super::sockets::Batch;
use crate::clock;

/// The port of multicast DNS.
const PORT: u16 = 5353;

/// The group that queries and answers are sent to.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// The local address by which the socket is named in a path.
pub(crate) const LOCAL: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT));

/// The largest message (RFC 6762 section 17).
const MAX_MESSAGE: usize = 9_000;

/// A member of the group on every interface.
#[derive(Debug)]
pub(crate) struct Multicast {
    io: UdpSocket,
    links: Mutex<Links>,
}

#[derive(Debug, Default)]
struct Links {
    /// Where the group was joined.
    members: Vec<Ipv4Addr>,
    /// Whose networks are on the link.
    interfaces: Vec<Interface>,
}

impl Multicast {
    /// Opens the socket next to those of other programs, and joins the group on every interface that lets us.
    pub(crate) fn open() -> io::Result<Self> {
        Self::open_on(LOCAL, interfaces::list()?)
    }

    fn open_on(local: SocketAddr, interfaces: Vec<Interface>) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&local.into())?;
        socket.set_multicast_loop_v4(true)?;
        socket.set_multicast_ttl_v4(255)?;
        let multicast = Self { io: UdpSocket::from_std(socket.into())?, links: Mutex::default() };
        multicast.follow(&interfaces);
        if multicast.links().members.is_empty() {
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no interface takes multicast"));
        }
        Ok(multicast)
    }

    /// These are the interfaces from now on: joins the group on those that are new. The system leaves it on those that went.
    pub(crate) fn follow(&self, interfaces: &[Interface]) {
        let mut links = self.links();
        let mut members = interfaces::multicast_v4(interfaces);
        members.retain(|address| {
            let joined = match SockRef::from(&self.io).join_multicast_v4(&GROUP, address) {
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => Err(error),
                // One that has been joined already is in use.
                _ => Ok(()),
            };
            if let Err(error) = &joined {
                tracing::debug!(%error, %address, "no multicast on this interface");
            }
            joined.is_ok()
        });
        *links = Links { members, interfaces: interfaces.to_vec() };
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        // Written whole, so a panic elsewhere leaves nothing half-done.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message: to the group over every interface, to a host by the routing table. What fails is lost, as
    /// any datagram may be; the querier repeats.
    pub(crate) fn send(&self, destination: SocketAddr, message: &[u8]) {
        if !destination.ip().is_multicast() {
            if let Err(error) = self.io.try_send_to(message, destination) {
                tracing::debug!(%error, "mDNS message not sent");
            }
            return;
        }
        for interface in &self.links().members {
            let sent = SockRef::from(&self.io)
                .set_multicast_if_v4(interface)
                .and_then(|()| self.io.try_send_to(message, destination));
            if let Err(error) = sent {
                tracing::debug!(%error, %interface, "mDNS message not sent");
            }
        }
    }

    /// Waits until messages can be sent. Cancel-safe.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Waits for the next message from a host on the link; others are dropped (RFC 6762 section 11). Cancel-safe: a message is
    /// either returned or still in the socket.
    pub(crate) async fn receive(&self) -> io::Result<Batch> {
        let mut room = [0; MAX_MESSAGE];
        let (len, remote) = loop {
            let (len, remote) = self.io.recv_from(&mut room).await?;
            match remote {
                SocketAddr::V4(v4) if interfaces::is_on_link(&self.links().interfaces, *v4.ip()) => {
                    break (len, remote);
                }
                _ => tracing::trace!(%remote, "dropped an mDNS message from off the link"),
            }
        };
        let at = clock::now();
        let octets = BytesMut::from(room.get(..len).unwrap_or_default());
        let stride = octets.len().max(1);
        Ok(Batch { meta: Received { at, path: Path::udp(LOCAL, remote), ecn: None }, octets, stride })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Another port than 5353, so that the test neither hears nor disturbs the network.
    #[tokio::test]
    async fn members_of_the_group_hear_each_other() {
        let open = || Multicast::open_on(([0, 0, 0, 0], 45_353).into(), interfaces::list().unwrap());
        let Ok(a) = open() else {
            eprintln!("SKIPPED: no interface takes multicast here");
            return;
        };
        let b = open().unwrap();
        timeout(Duration::from_secs(60), a.writable()).await.unwrap().unwrap();
        a.send((GROUP, 45_353).into(), b"question");
        let heard = timeout(Duration::from_secs(60), b.receive()).await.unwrap().unwrap();
        assert_eq!(&heard.octets[..], b"question");
        assert_eq!(heard.meta.path.local, LOCAL);
    }

    #[tokio::test]
    async fn who_is_not_on_the_link_is_not_heard() {
        let loopback = |address: &str, prefix| Interface {
            name: "lo".into(),
            index: 1,
            address: address.parse().unwrap(),
            prefix,
            loopback: true,
        };
        let Ok(socket) = Multicast::open_on(([0, 0, 0, 0], 0).into(), vec![loopback("127.0.0.1", 32)]) else {
            eprintln!("SKIPPED: no interface takes multicast here");
            return;
        };
        let to = SocketAddr::from(([127, 0, 0, 1], socket.io.local_addr().unwrap().port()));
        // One after the other, so the first to be heard is the second.
        for (from, text) in [([127, 0, 0, 2], "off the link"), ([127, 0, 0, 1], "on the link")] {
            std::net::UdpSocket::bind(SocketAddr::from((from, 0)))
                .unwrap()
                .send_to(text.as_bytes(), to)
                .unwrap();
        }
        let heard = timeout(Duration::from_secs(60), socket.receive()).await.unwrap().unwrap();
        assert_eq!(&heard.octets[..], b"on the link");
    }
}
