//! NAT behaviour discovery (RFC 5780) over a socket of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use taut_peer::{Host, IceServer, IceServerKind};
use taut_sansio::net::{Path, Received};
use taut_sansio::rng::Rng;
use taut_stun::behavior::{Discovery, Event, NatBehavior};
use tokio::net::UdpSocket;
use tokio::time::{sleep, sleep_until};

use super::endpoint::runtime;
use super::failures::{Failures, Verdict};
use super::resolve;
use crate::error::{Error, ErrorKind};
use crate::{clock, ids};

/// The largest answer that is read, in octets.
const MAX_ANSWER: usize = 2_048;

/// Finds out what is between this host and a STUN server: whether addresses are translated, what the mapping depends on, and what
/// the filter. The server needs two addresses (RFC 5780); one that has not can only tell whether there is a translator. Of a server
/// with addresses of both families that of IPv4 is asked.
///
/// Takes some round trips, and up to 12 s where a filter keeps answers out.
///
/// Cancel-safe: dropped, it closes its socket.
///
/// # Errors
///
/// `InvalidState` outside a tokio runtime, `NotSupported` for a TURN server, `Operation` when the server cannot be found, does not
/// answer or refuses, or the operating system fails.
pub async fn discover_nat(server: &IceServer) -> Result<NatBehavior, Error> {
    runtime()?;
    if server.kind != IceServerKind::Stun {
        let message = "the behaviour of translators is asked of a STUN server";
        return Err(Error::new(ErrorKind::NotSupported, message));
    }
    let server = SocketAddr::new(address(&server.host).await?, server.port);
    let socket = bind(server).await.map_err(|error| Error::io("cannot ask the server", error))?;
    let failed = |error| Error::io("cannot ask the server", error);
    let local = socket.local_addr().map_err(failed)?;
    let rng = Rng::from_seed(ids::seed()?);
    let mut discovery = Discovery::new(clock::now(), Path::udp(local, server), rng);
    let mut room = [0; MAX_ANSWER];
    let mut failures = Failures::default();
    loop {
        let mut out = Vec::new();
        while let Some(transmit) = discovery.poll_transmit(clock::now(), &mut out) {
            // What is not sent is repeated.
            if let Err(error) = socket.send_to(&out, transmit.path.remote).await {
                tracing::debug!(%error, remote = %transmit.path.remote, "a request was not sent");
            }
            out.clear();
        }
        match discovery.poll_event() {
            Some(event) => return outcome(event),
            None => {
                let until = discovery.poll_timeout().unwrap_or_else(clock::now);
                tokio::select! {
                    received = socket.recv_from(&mut room) => match received {
                        Ok((len, remote)) => {
                            failures.forget();
                            let meta = Received { at: clock::now(), path: Path::udp(local, remote), ecn: None };
                            discovery.handle_datagram(meta, room.get(..len).unwrap_or_default());
                        }
                        Err(error) => match failures.judge(&error) {
                            Verdict::GoOn => {}
                            Verdict::Pause(time) => sleep(time).await,
                            Verdict::Dead => return Err(failed(error)),
                        },
                    },
                    () = sleep_until(until.into()) => discovery.handle_timeout(clock::now()),
                }
            }
        }
    }
}

fn outcome(event: Event) -> Result<NatBehavior, Error> {
    let message = match event {
        Event::Found(behavior) => return Ok(behavior),
        Event::Refused { code, reason } => format!("the server refused: {code} {reason}"),
        _ => "the server did not answer".to_owned(),
    };
    Err(Error::new(ErrorKind::Operation, message))
}

/// The address to ask.
async fn address(host: &Host) -> Result<IpAddr, Error> {
    let name = match host {
        Host::Ip(ip) => return Ok(*ip),
        Host::Name(name) => name,
    };
    let found = resolve::lookup(name).await.unwrap_or_default();
    let first = found.iter().find(|ip| ip.is_ipv4()).or(found.first()).copied();
    first.ok_or_else(|| Error::new(ErrorKind::Operation, format!("{name} has no address")))
}

/// A socket on the address that the way to the server begins at, which the routing table knows.
async fn bind(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let probe = UdpSocket::bind((any, 0)).await?;
    probe.connect(server).await?;
    UdpSocket::bind((probe.local_addr()?.ip(), 0)).await
}
