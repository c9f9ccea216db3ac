//! A connection that follows the addresses of its host: sockets for those that come, an end for those that go.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::endpoint::{Kind, Registration, lock};
use super::interfaces::{Interface, socket_address};

/// What changed for a connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    /// Local addresses that can be used from now on.
    pub(crate) come: Vec<SocketAddr>,
    /// Local addresses that the host has no more.
    pub(crate) gone: Vec<SocketAddr>,
    /// TCP listeners that can be used from now on.
    pub(crate) listeners_come: Vec<SocketAddr>,
    /// TCP listeners on addresses that the host has no more.
    pub(crate) listeners_gone: Vec<SocketAddr>,
}

impl Registration {
    /// Compares the addresses of the host, and those `selected` among them, with what the connection uses. An address is given
    /// up only when the host has lost it, not because a better one has come: it may be in use. One that was never listed, such
    /// as 127.0.0.2, is not missed.
    pub(crate) fn follow(&mut self, interfaces: &[Interface], selected: &[IpAddr]) -> Moves {
        let listed: Vec<IpAddr> = interfaces.iter().map(|interface| interface.address).collect();
        let lost = |local: &SocketAddr| self.listed.contains(&local.ip()) && !listed.contains(&local.ip());
        let gone: Vec<SocketAddr> = self.used.extract_if(.., |local| lost(local)).collect();
        let listeners_gone: Vec<SocketAddr> = self.listening.extract_if(.., |local| lost(local)).collect();
        let (come, listeners_come) = match self.inner.kind {
            Kind::Private { ports, tcp } => {
                gone.iter().for_each(|local| self.unbind(*local));
                listeners_gone.iter().for_each(|local| self.inner.stop_listening(*local));
                let index = |ip: &IpAddr| interfaces.iter().find(|i| i.address == *ip).map_or(0, |i| i.index);
                let fresh = |used: &[SocketAddr]| -> Vec<SocketAddr> {
                    let fresh = selected.iter().filter(|ip| used.iter().all(|local| local.ip() != **ip));
                    fresh.map(|ip| socket_address(*ip, index(ip))).collect()
                };
                let come = fresh(&self.used).into_iter().filter_map(|address| self.bind(address, ports));
                let come: Vec<SocketAddr> = come.collect();
                let deaf = if tcp.is_passive() { fresh(&self.listening) } else { Vec::new() };
                let heard = deaf.into_iter().filter_map(|address| self.inner.listen_within(address, ports));
                (come, heard.collect())
            }
            Kind::Shared => {
                let sockets: Vec<SocketAddr> = self.sockets.iter().map(|socket| socket.local()).collect();
                let listeners: Vec<SocketAddr> =
                    lock(&self.inner.listeners).iter().map(|(local, _)| *local).collect();
                let back = |bound: Vec<SocketAddr>, used: &[SocketAddr]| -> Vec<SocketAddr> {
                    let (wild, concrete): (Vec<_>, Vec<_>) =
                        bound.into_iter().partition(|address| address.ip().is_unspecified());
                    let back = |local: &SocketAddr| {
                        !self.listed.contains(&local.ip()) && listed.contains(&local.ip())
                    };
                    let come = concrete.into_iter().filter(back).chain(on_wildcards(&wild, selected));
                    come.filter(|local| !used.contains(local)).collect()
                };
                (back(sockets, &self.used), back(listeners, &self.listening))
            }
        };
        self.used.extend(&come);
        self.listening.extend(&listeners_come);
        self.listed = listed;
        if let Some(multicast) = self.inner.multicast() {
            multicast.follow(interfaces);
        }
        Moves { come, gone, listeners_come, listeners_gone }
    }

    /// A socket is dead. A private endpoint closes it, and binds another one to its address when it [follows](Self::follow) next;
    /// that of a shared one was asked for by the application.
    pub(crate) fn forget(&mut self, local: SocketAddr) {
        if matches!(self.inner.kind, Kind::Private { .. }) {
            self.unbind(local);
            self.used.retain(|used| *used != local);
        }
    }

    /// Binds one more socket of a private endpoint.
    fn bind(&mut self, address: SocketAddr, ports: Option<(u16, u16)>) -> Option<SocketAddr> {
        match self.inner.bind(address, ports) {
            Ok(socket) => {
                let local = socket.local();
                self.sockets.push(socket);
                Some(local)
            }
            Err(error) => {
                tracing::debug!(%error, %address, "address not used");
                None
            }
        }
    }

    /// Closes the socket of an address that is no more.
    fn unbind(&mut self, local: SocketAddr) {
        self.inner.unbind(local);
        self.sockets.retain(|socket: &Arc<_>| socket.local() != local);
    }
}

/// The addresses that the selected ones are on sockets that are bound to all, and have these unspecified ones.
pub(super) fn on_wildcards(wild: &[SocketAddr], selected: &[IpAddr]) -> Vec<SocketAddr> {
    let at = |ip: &IpAddr| {
        let ip = *ip;
        let of_family = wild.iter().filter(move |address| address.is_ipv4() == ip.is_ipv4());
        of_family.map(move |address| SocketAddr::new(ip, address.port()))
    };
    selected.iter().flat_map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::Endpoint;
    use super::*;
    use crate::IceTcpPolicy;
    use tokio::runtime::Handle;

    fn interface(address: &str) -> Interface {
        let address = address.parse().unwrap();
        Interface { name: "lo".into(), index: 1, address, prefix: 8, loopback: true }
    }

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn hosts(addresses: &[SocketAddr]) -> Vec<String> {
        addresses.iter().map(|address| address.ip().to_string()).collect()
    }

    /// Addresses of the network of loopback, all of which can be bound, stand for those of interfaces.
    const ONE: &str = "127.0.0.1";
    const TWO: &str = "127.0.0.2";

    #[tokio::test]
    async fn a_private_endpoint_binds_what_comes_and_closes_what_goes() {
        let one: SocketAddr = (ips(&[ONE])[0], 0).into();
        let endpoint = Endpoint::private(&Handle::current(), &[one], None, IceTcpPolicy::Off);
        let used = endpoint.local_addresses();
        let mut registration = endpoint.register(Arc::default(), used.clone(), &[interface(ONE)]);
        let both = [interface(ONE), interface(TWO)];
        assert_eq!(registration.follow(&both[..1], &ips(&[ONE])), Moves::default());
        let moves = registration.follow(&both, &ips(&[ONE, TWO]));
        assert_eq!((hosts(&moves.come), hosts(&moves.gone)), (vec![TWO.to_owned()], vec![]));
        assert_eq!(endpoint.local_addresses().len(), 2);
        assert!(registration.socket(moves.come[0]).is_some());
        assert_eq!(registration.follow(&both, &ips(&[TWO])), Moves::default(), "what works is kept");
        let moves = registration.follow(&both[1..], &ips(&[TWO]));
        assert_eq!((hosts(&moves.come), moves.gone), (vec![], used.clone()));
        assert!(registration.socket(used[0]).is_none());
        // Its receiving task lets go of it when it runs next.
        while std::net::UdpSocket::bind(used[0]).is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_private_endpoint_replaces_a_dead_socket() {
        let one: SocketAddr = (ips(&[ONE])[0], 0).into();
        let endpoint = Endpoint::private(&Handle::current(), &[one], None, IceTcpPolicy::Off);
        let dead = endpoint.local_addresses()[0];
        let interfaces = [interface(ONE)];
        let mut registration = endpoint.register(Arc::default(), vec![dead], &interfaces);
        registration.forget(dead);
        assert!(registration.socket(dead).is_none() && endpoint.local_addresses().is_empty());
        let moves = registration.follow(&interfaces, &ips(&[ONE]));
        assert_eq!((hosts(&moves.come), moves.gone), (vec![ONE.to_owned()], vec![]));
        assert_eq!(endpoint.local_addresses(), moves.come);
    }

    #[tokio::test]
    async fn new_sockets_stay_in_the_port_range() {
        let held = std::net::UdpSocket::bind((TWO, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let endpoint = Endpoint::private(&Handle::current(), &[], Some((port, port)), IceTcpPolicy::Off);
        let mut registration = endpoint.register(Arc::default(), vec![], &[]);
        let interfaces = [interface(TWO)];
        assert_eq!(registration.follow(&interfaces, &ips(&[TWO])), Moves::default(), "the port is taken");
        drop(held);
        let moves = registration.follow(&interfaces, &ips(&[TWO]));
        assert_eq!(moves.come, [SocketAddr::new(ips(&[TWO])[0], port)], "it is tried again");
    }

    #[tokio::test]
    async fn on_a_shared_endpoint_the_sockets_stay() {
        let endpoint = Endpoint::bind(&[([0, 0, 0, 0], 0).into(), ([127, 0, 0, 3], 0).into()]).unwrap();
        let [wild, fixed] = endpoint.local_addresses()[..] else { panic!("two sockets") };
        let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), wild.port());
        let both = [interface(ONE), interface(TWO)];
        let mut registration = endpoint.register(Arc::default(), vec![at(ONE), fixed], &both[..1]);
        let moves = registration.follow(&both[1..], &ips(&[TWO]));
        assert_eq!(
            moves,
            Moves { come: vec![at(TWO)], gone: vec![at(ONE)], ..Moves::default() },
            "what was not listed is not missed"
        );
        let with_fixed = [interface(TWO), interface("127.0.0.3")];
        assert_eq!(registration.follow(&with_fixed, &ips(&[TWO])), Moves::default());
        assert_eq!(registration.follow(&both[1..], &ips(&[TWO])).gone, [fixed]);
        assert_eq!(registration.follow(&with_fixed, &ips(&[TWO])).come, [fixed], "it comes back");
        assert_eq!(endpoint.local_addresses(), [wild, fixed]);
    }
    #[tokio::test]
    async fn listeners_come_and_go_with_their_addresses() {
        let one: SocketAddr = (ips(&[ONE])[0], 0).into();
        let endpoint = Endpoint::private(&Handle::current(), &[one], None, IceTcpPolicy::Both);
        let (used, listening) = (endpoint.local_addresses(), endpoint.tcp_addresses());
        let registration = endpoint.register(Arc::default(), used, &[interface(ONE)]);
        let mut registration = registration.with_listeners(listening.clone());
        let both = [interface(ONE), interface(TWO)];
        assert_eq!(registration.follow(&both[..1], &ips(&[ONE])), Moves::default());
        let moves = registration.follow(&both, &ips(&[ONE, TWO]));
        assert_eq!((hosts(&moves.listeners_come), moves.listeners_gone), (vec![TWO.to_owned()], vec![]));
        assert!(tokio::net::TcpStream::connect(moves.listeners_come[0]).await.is_ok());
        let moves = registration.follow(&both[1..], &ips(&[TWO]));
        assert_eq!((moves.listeners_come, moves.listeners_gone), (vec![], listening.clone()));
        assert_eq!(hosts(&endpoint.tcp_addresses()), [TWO]);
        // Its accepting task lets go of it when it runs next.
        while tokio::net::TcpStream::connect(listening[0]).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn on_a_shared_endpoint_the_listeners_stay() {
        let any = ([0, 0, 0, 0], 0).into();
        let endpoint = Endpoint::bind(&[]).unwrap().with_tcp(&[any, ([127, 0, 0, 3], 0).into()]).unwrap();
        let [wild, fixed] = endpoint.tcp_addresses()[..] else { panic!("two listeners") };
        let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), wild.port());
        let both = [interface(ONE), interface(TWO)];
        let registration = endpoint.register(Arc::default(), vec![], &both[..1]);
        let mut registration = registration.with_listeners(vec![at(ONE), fixed]);
        let moves = registration.follow(&both[1..], &ips(&[TWO]));
        assert_eq!((moves.listeners_come, moves.listeners_gone), (vec![at(TWO)], vec![at(ONE)]));
        let with_fixed = [interface(TWO), interface("127.0.0.3")];
        assert_eq!(registration.follow(&with_fixed, &ips(&[TWO])), Moves::default());
        assert_eq!(registration.follow(&both[1..], &ips(&[TWO])).listeners_gone, [fixed]);
        assert_eq!(registration.follow(&with_fixed, &ips(&[TWO])).listeners_come, [fixed], "it comes back");
        assert_eq!(endpoint.tcp_addresses(), [wild, fixed]);
    }
}
