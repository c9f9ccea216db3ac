//! The sockets of multicast DNS (RFC 6762 sections 3, 11 and 20): one of each family per endpoint, opened when a connection needs
//! them.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use socket2::{Domain, Protocol, SockRef, Type};
use taut_mdns::{GROUP_V4, GROUP_V6, LOCAL_V4, LOCAL_V6};
use taut_sansio::net::{Path, Received};
use tokio::net::UdpSocket;

use super::interfaces::{self, Family, Interface};
use super::sockets::Batch;
use crate::clock;

/// The largest message (RFC 6762 section 17).
const MAX_MESSAGE: usize = 9_000;

/// The local address by which the socket of a family is named in a path.
const fn local(family: Family) -> SocketAddr {
    match family {
        Family::V4 => LOCAL_V4,
        Family::V6 => LOCAL_V6,
    }
}

/// True for the local address of a path of multicast DNS.
pub(crate) fn is_multicast(address: SocketAddr) -> bool {
    address == local(Family::V4) || address == local(Family::V6)
}

/// A member of the group of each family that this host has.
#[derive(Debug)]
pub(crate) struct Multicast {
    v4: Option<Member>,
    v6: Option<Member>,
}

impl Multicast {
    /// Opens the sockets next to those of other programs, and joins the groups on every interface that lets us.
    pub(crate) fn open() -> io::Result<Self> {
        Self::open_on(LOCAL_V4.port(), &interfaces::list()?)
    }

    fn open_on(port: u16, interfaces: &[Interface]) -> io::Result<Self> {
        let open = |family| Member::open(family, port, interfaces);
        match (open(Family::V4), open(Family::V6)) {
            (Err(error), Err(_)) => Err(error),
            (v4, v6) => Ok(Self { v4: v4.ok(), v6: v6.ok() }),
        }
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.v4.iter().chain(&self.v6)
    }

    /// These are the interfaces from now on: joins the groups on those that are new. The system leaves them on those that went.
    pub(crate) fn follow(&self, interfaces: &[Interface]) {
        self.members().for_each(|member| member.follow(interfaces));
    }

    /// Sends a message: to a group over every interface, to a host by the routing table. What fails, or is for a family that this
    /// host has not, is lost, as any datagram may be; the querier repeats.
    pub(crate) fn send(&self, destination: SocketAddr, message: &[u8]) {
        let member = if destination.is_ipv4() { &self.v4 } else { &self.v6 };
        if let Some(member) = member {
            member.send(destination, message);
        }
    }

    /// Waits for the next message from a host on the link; others are dropped (RFC 6762 section 11). Cancel-safe: a message is
    /// either returned or still in the socket.
    pub(crate) async fn receive(&self) -> io::Result<Batch> {
        tokio::select! {
            batch = receive_from(&self.v4) => batch,
            batch = receive_from(&self.v6) => batch,
        }
    }
}

/// One that is not there receives nothing.
async fn receive_from(member: &Option<Member>) -> io::Result<Batch> {
    match member {
        Some(member) => member.receive().await,
        None => std::future::pending().await,
    }
}

/// A member of the group of one family on every interface.
#[derive(Debug)]
struct Member {
    family: Family,
    io: UdpSocket,
    links: Mutex<Links>,
}

#[derive(Debug, Default)]
struct Links {
    /// Where the group was joined: one address of each interface.
    joined: Vec<Interface>,
    /// Whose networks are on the link.
    interfaces: Vec<Interface>,
}

impl Member {
    fn open(family: Family, port: u16, interfaces: &[Interface]) -> io::Result<Self> {
        let local = SocketAddr::new(local(family).ip(), port);
        let socket = socket2::Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        match family {
            Family::V4 => {
                socket.set_multicast_loop_v4(true)?;
                socket.set_multicast_ttl_v4(255)?;
            }
            Family::V6 => {
                socket.set_only_v6(true)?;
                socket.set_multicast_loop_v6(true)?;
                socket.set_multicast_hops_v6(255)?;
            }
        }
        socket.bind(&local.into())?;
        let member = Self { family, io: UdpSocket::from_std(socket.into())?, links: Mutex::default() };
        member.follow(interfaces);
        if member.links().joined.is_empty() {
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no interface takes multicast"));
        }
        Ok(member)
    }

    fn follow(&self, interfaces: &[Interface]) {
        let mut links = self.links();
        let mut joined: Vec<Interface> = Vec::new();
        for interface in interfaces::multicast(interfaces, self.family) {
            match self.join(interface) {
                // Who is a member already is told so, by each system in its own words.
                Err(error)
                    if error.kind() != io::ErrorKind::AddrInUse && !links.joined.contains(interface) =>
                {
                    tracing::debug!(%error, address = %interface.address, "no multicast on this interface");
                }
                _ => joined.push(interface.clone()),
            }
        }
        *links = Links { joined, interfaces: interfaces.to_vec() };
    }

    fn join(&self, interface: &Interface) -> io::Result<()> {
        let socket = SockRef::from(&self.io);
        match (interface.address, GROUP_V4.ip(), GROUP_V6.ip()) {
            (IpAddr::V4(address), IpAddr::V4(group), _) => socket.join_multicast_v4(&group, &address),
            (IpAddr::V6(_), _, IpAddr::V6(group)) => socket.join_multicast_v6(&group, interface.index),
            _ => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        // Written whole, so a panic elsewhere leaves nothing half-done.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, destination: SocketAddr, message: &[u8]) {
        if !destination.ip().is_multicast() {
            if let Err(error) = self.send_to(destination, message) {
                tracing::debug!(%error, "mDNS message not sent");
            }
            return;
        }
        for interface in &self.links().joined {
            if let Err(error) = self.send_over(interface, destination, message) {
                tracing::debug!(%error, interface = %interface.address, "mDNS message not sent");
            }
        }
    }

    fn send_over(&self, interface: &Interface, group: SocketAddr, message: &[u8]) -> io::Result<usize> {
        match (interface.address, group) {
            (IpAddr::V4(address), _) => {
                SockRef::from(&self.io).set_multicast_if_v4(&address)?;
                self.send_to(group, message)
            }
            (IpAddr::V6(_), SocketAddr::V6(group)) => {
                let scoped = SocketAddrV6::new(*group.ip(), group.port(), 0, interface.index);
                self.send_to(scoped.into(), message)
            }
            // A member has interfaces and destinations of its own family alone.
            (IpAddr::V6(_), SocketAddr::V4(_)) => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// Past the runtime, to which a fresh socket is not writable until it has heard so from the system: browsers do not ask again.
    fn send_to(&self, destination: SocketAddr, message: &[u8]) -> io::Result<usize> {
        SockRef::from(&self.io).send_to(message, &destination.into())
    }

    async fn receive(&self) -> io::Result<Batch> {
        let mut room = [0; MAX_MESSAGE];
        let (len, remote) = loop {
            let (len, remote) = self.io.recv_from(&mut room).await?;
            if interfaces::is_on_link(&self.links().interfaces, remote.ip()) {
                break (len, remote);
            }
            tracing::trace!(%remote, "dropped an mDNS message from off the link");
        };
        let at = clock::now();
        let octets = BytesMut::from(room.get(..len).unwrap_or_default());
        let stride = octets.len().max(1);
        Ok(Batch {
            meta: Received { at, path: Path::udp(local(self.family), remote), ecn: None },
            octets,
            stride,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Another port than 5353, so that the test neither hears nor disturbs the network.
    #[tokio::test]
    async fn members_of_a_group_hear_each_other() {
        let interfaces = interfaces::list().unwrap();
        for (family, group, port) in
            [(Family::V4, GROUP_V4.ip(), 45_353), (Family::V6, GROUP_V6.ip(), 45_354)]
        {
            let open = || Member::open(family, port, &interfaces);
            let Ok(a) = open() else {
                eprintln!("SKIPPED: no interface takes multicast of {family:?} here");
                continue;
            };
            let b = open().unwrap();
            let sent =
                a.links().joined.iter().any(|interface| {
                    a.send_over(interface, SocketAddr::new(group, port), b"question").is_ok()
                });
            if !sent {
                eprintln!("SKIPPED: multicast of {family:?} has no way here");
                continue;
            }
            let heard = timeout(Duration::from_secs(60), b.receive()).await.unwrap().unwrap();
            assert_eq!(&heard.octets[..], b"question");
            assert_eq!(heard.meta.path.local, local(family));
        }
    }

    #[tokio::test]
    async fn what_one_family_has_not_the_other_has() {
        let interfaces = interfaces::list().unwrap();
        if Multicast::open_on(45_355, &interfaces).is_err() {
            eprintln!("SKIPPED: no interface takes multicast here");
            return;
        }
        for family in [Family::V4, Family::V6] {
            let of_one: Vec<Interface> =
                interfaces::multicast(&interfaces, family).into_iter().cloned().collect();
            let Ok(one) = Multicast::open_on(45_355, &of_one) else { continue };
            assert_eq!((one.v4.is_some(), one.v6.is_some()), (family == Family::V4, family == Family::V6));
            // Nobody to send it is no fault.
            one.send(SocketAddr::new(GROUP_V4.ip(), 45_355), b"question");
            one.send(SocketAddr::new(GROUP_V6.ip(), 45_355), b"question");
        }
        assert!(Multicast::open_on(45_355, &[]).is_err());
    }

    #[tokio::test]
    async fn who_follows_the_same_interfaces_stays_a_member() {
        let interfaces = interfaces::list().unwrap();
        let Ok(socket) = Multicast::open_on(45_356, &interfaces) else {
            eprintln!("SKIPPED: no interface takes multicast here");
            return;
        };
        let joined =
            || socket.v4.iter().chain(&socket.v6).map(|m| m.links().joined.clone()).collect::<Vec<_>>();
        let before = joined();
        socket.follow(&interfaces);
        assert_eq!(joined(), before);
        socket.follow(&[]);
        assert!(joined().concat().is_empty());
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
        let Ok(socket) = Member::open(Family::V4, 0, &[loopback("127.0.0.1", 32)]) else {
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
