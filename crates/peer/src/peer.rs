//! The peer connection: its state, and its input and output.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::BytesMut;
use taut_ice::{ConnectError, InterfaceAddress};
use taut_media::Mode;
use taut_sansio::net::{Path, Received, Transmit};
use taut_sansio::rng::Rng;
use taut_sansio::time::WallClock;

use crate::config::{Certificate, Config};
use crate::connection::Lifecycle;
use crate::error::{Error, ErrorKind};
use crate::event::{ConnectionState, Event, Events, IceConnectionState, ResolveId, StreamId, TcpId};
use crate::ice::Pool;
use crate::ice_server::{Host, IceServerKind};
use crate::signaling::{Signaling, SignalingConfig};
use crate::transceiver::TransceiverId;
use crate::transport::Transport;

/// What the largest SRTP profile adds to a packet (RFC 7714 section 13.2), in octets.
const MAX_SRTP_OVERHEAD: usize = 16;

/// A W3C peer connection without I/O. See the [crate documentation](crate) for how it is driven.
#[derive(Debug)]
pub struct Peer {
    config: Config,
    pub(crate) certificate: Certificate,
    pub(crate) clock: WallClock,
    pub(crate) signaling: Signaling,
    pub(crate) transport: Transport,
    pub(crate) events: Events,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) connection_state: ConnectionState,
    pub(crate) ice_state: IceConnectionState,
    pub(crate) negotiation_needed: bool,
    pub(crate) pool: Pool,
    /// Frames or packets, where the application chose; kept here because a receiver may come later.
    pub(crate) receive_modes: BTreeMap<TransceiverId, Mode>,
    now: Instant,
}

impl Peer {
    /// Makes a peer. `clock` anchors its time, `seed` is the source of all its randomness but that of the DTLS
    /// engine: it must be unpredictable where the network is not trusted.
    ///
    /// # Errors
    ///
    /// `Range` for a configuration that cannot be honoured, `Operation` if no certificate can be made,
    /// `InvalidAccess` for a certificate that has expired (W3C `RTCPeerConnection` constructor), `NotSupported` for a
    /// DTLS engine that is not built in, or that cannot do what is asked for: use the certificate, speak the versions,
    /// choose the SRTP profiles, give out secrets for the key log.
    pub fn new(config: Config, clock: WallClock, seed: [u8; 32]) -> Result<Self, Error> {
        config.check()?;
        let now = clock.instant;
        let operation = |error: &dyn std::fmt::Display| Error::new(ErrorKind::Operation, error.to_string());
        let certificate = match &config.certificate {
            Some(certificate) if certificate.expires() <= clock.unix => {
                return Err(Error::new(ErrorKind::InvalidAccess, "the certificate has expired"));
            }
            Some(certificate) => certificate.clone(),
            None => Certificate::generate(clock.unix).map_err(|error| operation(&error))?,
        };
        let mut rng = Rng::from_seed(seed);
        let dtls = taut_dtls::Session::new(&dtls_config(&config), &certificate, now).map_err(refused)?;
        let mut ice = taut_ice::Agent::new(ice_config(&config), rng.child());
        let mut pool = Pool::Unused;
        if config.ice_candidate_pool_size > 0 {
            ice.gather(now);
            pool = Pool::Filling(Vec::new());
        }
        let media_config = taut_media::Config::default()
            .with_cname(rng.ice_chars(16))
            .with_max_packet_size(config.mtu.saturating_sub(MAX_SRTP_OVERHEAD));
        let signaling_config = SignalingConfig::default()
            .with_max_message_size(config.max_message_size)
            .with_ice_lite(config.ice_lite)
            .with_cname(media_config.cname.clone());
        let media = taut_media::Session::new(media_config, clock, rng.child());
        let data_config = taut_datachannel::Config::default()
            .with_max_message_size(config.max_message_size)
            .with_send_buffer(config.data_send_buffer)
            .with_receive_buffer(config.data_receive_buffer)
            .with_congestion(config.data_congestion)
            .with_scheduler(config.data_scheduler)
            .with_interleaving(config.data_interleaving)
            .with_zero_checksum(config.data_zero_checksum)
            .with_timing(config.data_timing)
            .with_mtu(config.mtu);
        let data = taut_datachannel::Session::new(data_config, rng.child());
        let transport = Transport::new(ice, dtls, media, data, config.mtu, config.data_max_mtu);
        let signaling = Signaling::new(signaling_config, rng.child());
        Ok(Self {
            config,
            certificate,
            clock,
            signaling,
            transport,
            events: Events::default(),
            lifecycle: Lifecycle::Open,
            connection_state: ConnectionState::New,
            ice_state: IceConnectionState::New,
            negotiation_needed: false,
            pool,
            receive_modes: BTreeMap::new(),
            now,
        })
    }

    // ---- configuration

    /// What was configured (W3C `getConfiguration`).
    pub fn configuration(&self) -> &Config {
        &self.config
    }

    /// Changes what may be changed: the ICE servers, which candidates are used, and, before the first local description, the size of
    /// the candidate pool (W3C `setConfiguration`, RFC 8829 section 4.1.18). It holds from the next time that candidates are gathered:
    /// the next offer has new ICE credentials for that, but nothing asks for one; see [`restart_ice`](Self::restart_ice). Candidates
    /// in the pool are gathered anew. An allocation goes on with the credentials that it was made with while its server is among
    /// the new ones, else until nothing goes over it any more.
    ///
    /// # Errors
    ///
    /// `InvalidState` on a closed connection, `InvalidModification` if anything else differs from
    /// [`configuration`](Self::configuration), and as [`new`](Self::new) for one that cannot be honoured. Nothing has changed then.
    pub fn set_configuration(&mut self, now: Instant, config: Config) -> Result<(), Error> {
        self.check_open()?;
        config.check()?;
        let modification = |text: &str| Err(Error::new(ErrorKind::InvalidModification, text.to_owned()));
        if !config.may_replace(&self.config) {
            return modification("only the ICE servers, their policy and the candidate pool can be changed");
        }
        let described = self.local_description().is_some();
        if described && config.ice_candidate_pool_size != self.config.ice_candidate_pool_size {
            return modification("the candidate pool cannot be changed after the local description is set");
        }
        let now = self.advance(now);
        let others = (&config.ice_servers, config.ice_transport_policy)
            != (&self.config.ice_servers, self.config.ice_transport_policy);
        self.config = config;
        if others {
            let taut_ice::Config { stun_servers, turn_servers, policy, .. } = ice_config(&self.config);
            self.transport.ice.set_servers(stun_servers, turn_servers, policy);
            self.signaling.need_ice_restart();
        }
        match &mut self.pool {
            Pool::Filling(pool) if others => {
                pool.clear();
                self.transport.ice.restart(now);
            }
            Pool::Unused if !described && self.config.ice_candidate_pool_size > 0 => {
                self.pool = Pool::Filling(Vec::new());
                self.transport.ice.gather(now);
            }
            _ => {}
        }
        self.collect(now);
        Ok(())
    }

    // ---- local addresses

    /// Which of the machine's addresses the driver should bind UDP sockets on.
    pub fn select_addresses(&self, interfaces: &[InterfaceAddress]) -> Vec<IpAddr> {
        taut_ice::select_addresses(interfaces, &ice_config(&self.config))
    }

    /// A UDP socket is bound to `address`; it may become a host candidate. At any time.
    pub fn add_local_address(&mut self, now: Instant, address: SocketAddr) {
        if !self.lifecycle.is_open() {
            return;
        }
        let now = self.advance(now);
        self.transport.ice.add_local_address(now, address);
        self.collect(now);
    }

    /// A UDP socket for TURN servers over UDP, and for nothing else, is bound to `address`. As soon as there is one, those servers are
    /// asked from such sockets alone: they know their clients by the socket, which must not be shared between peers.
    pub fn add_relay_socket(&mut self, now: Instant, address: SocketAddr) {
        if !self.lifecycle.is_open() {
            return;
        }
        let now = self.advance(now);
        self.transport.ice.add_relay_socket(now, address);
        self.collect(now);
    }

    /// The socket bound to `address` is gone.
    pub fn remove_local_address(&mut self, now: Instant, address: SocketAddr) {
        if !self.lifecycle.is_open() {
            return;
        }
        let now = self.advance(now);
        self.transport.ice.remove_local_address(now, address);
        self.collect(now);
    }

    /// A TCP listener is bound to `address`; it may become a passive candidate, if the configuration has some. Every connection
    /// that comes to it is told with [`handle_tcp_accepted`](Self::handle_tcp_accepted). At any time.
    pub fn add_tcp_listener(&mut self, now: Instant, address: SocketAddr) {
        if !self.lifecycle.is_open() {
            return;
        }
        let now = self.advance(now);
        self.transport.ice.add_tcp_listener(now, address);
        self.collect(now);
    }

    /// The listener bound to `address` is gone.
    pub fn remove_tcp_listener(&mut self, now: Instant, address: SocketAddr) {
        if !self.lifecycle.is_open() {
            return;
        }
        let now = self.advance(now);
        self.transport.ice.remove_tcp_listener(now, address);
        self.collect(now);
    }

    // ---- input

    /// A datagram came in. Whatever it holds, nothing worse than a counter happens until it is authenticated.
    pub fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        if !self.lifecycle.is_open() {
            return;
        }
        let now = self.advance(meta.at);
        if self.events.is_full() {
            self.transport.stats.dropped_full += 1;
            return;
        }
        self.transport.handle_datagram(Received { at: now, ..meta }, datagram);
        self.collect(now);
    }

    /// Time has come to [`poll_timeout`](Self::poll_timeout), or may be early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.lifecycle.is_open() {
            return;
        }
        let now = self.advance(now);
        self.transport.handle_timeout(now);
        self.collect(now);
    }

    /// The answer to [`Event::Resolve`].
    pub fn handle_resolved(&mut self, now: Instant, id: ResolveId, addresses: Result<Vec<IpAddr>, ()>) {
        if !self.lifecycle.is_open() {
            return;
        }
        let now = self.advance(now);
        self.transport.ice.handle_resolved(now, id, addresses);
        self.collect(now);
    }

    /// The answer to [`Event::Connect`]: the stream is open on this path, or is not to be had. What comes in on it is a
    /// datagram for every message, as `taut_turn::Deframer` cuts them.
    pub fn handle_connected(&mut self, now: Instant, id: StreamId, path: Result<Path, ConnectError>) {
        if !self.lifecycle.is_open() {
            return;
        }
        let now = self.advance(now);
        self.transport.ice.handle_connected(now, id, path);
        self.collect(now);
    }

    /// The stream on this path is closed.
    pub fn handle_disconnected(&mut self, now: Instant, path: Path) {
        if !self.lifecycle.is_open() {
            return;
        }
        let now = self.advance(now);
        self.transport.ice.handle_disconnected(now, path);
        self.collect(now);
    }

    /// The answer to [`Event::OpenTcp`]: the connection is open on this path, or is not to be had. What comes in on it is a
    /// datagram for every frame, as [`Deframer`](crate::Deframer) cuts them, and what is sent on it is put into frames.
    #[allow(clippy::result_unit_err, reason = "why there is no connection makes no difference here")]
    pub fn handle_tcp_opened(&mut self, now: Instant, id: TcpId, path: Result<Path, ()>) {
        if !self.lifecycle.is_open() {
            return;
        }
        let now = self.advance(now);
        self.transport.ice.handle_tcp_opened(now, id, path);
        self.collect(now);
    }

    /// A connection came to a listener.
    pub fn handle_tcp_accepted(&mut self, now: Instant, path: Path) {
        if !self.lifecycle.is_open() {
            return;
        }
        let now = self.advance(now);
        self.transport.ice.handle_tcp_accepted(now, path);
        self.collect(now);
    }

    /// The TCP connection on this path has ended, other than by [`Event::CloseTcp`].
    pub fn handle_tcp_closed(&mut self, now: Instant, path: Path) {
        if !self.lifecycle.is_open() {
            return;
        }
        let now = self.advance(now);
        self.transport.handle_tcp_closed(now, path);
        self.collect(now);
    }

    /// The socket of `path` takes packets again, or does not. Other paths are not held up.
    pub fn handle_writable(&mut self, path: Path, writable: bool) {
        self.transport.handle_writable(path, writable);
    }

    /// Says that another connection has this path, between the same two sockets: it cannot be used. Where there is no other path,
    /// ICE fails.
    pub fn handle_taken(&mut self, now: Instant, path: Path) {
        let now = self.advance(now);
        self.transport.ice.handle_taken(now, path);
        self.collect(now);
    }

    // ---- output

    /// Makes the next batch of at most `max_segments` datagrams of equal length (the last may be shorter) and appends
    /// it to `out`. Called until it returns `None`.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let now = self.advance(now);
        if matches!(self.lifecycle, Lifecycle::Closed(_)) {
            return self.transport.poll_farewell(now, out);
        }
        let transmit = self.transport.poll_transmit(now, max_segments, out);
        match transmit {
            Some(_) => transmit,
            None => self.poll_goodbye(now, max_segments, out),
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.collect(self.now);
        self.events.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None` means not before the next input.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.lifecycle.is_open() { self.transport.poll_timeout() } else { None }
    }

    /// Time never goes back: an older value counts as the newest one seen.
    pub(crate) fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }
}

/// Why there is no DTLS session.
fn refused(error: taut_dtls::SessionError) -> Error {
    let kind = match error {
        taut_dtls::SessionError::Crypto => ErrorKind::Operation,
        taut_dtls::SessionError::Versions => ErrorKind::Range,
        _ => ErrorKind::NotSupported,
    };
    Error::new(kind, error.to_string())
}

fn dtls_config(config: &Config) -> taut_dtls::Config {
    let mut dtls = taut_dtls::Config::default().with_engine(config.dtls_engine);
    if let Some((min, max)) = config.dtls_versions {
        dtls = dtls.with_versions(min, max);
    }
    if let Some(profiles) = &config.srtp_profiles {
        dtls = dtls.with_srtp_profiles(profiles.iter().copied());
    }
    if config.key_log.is_some() {
        dtls = dtls.with_key_log();
    }
    dtls
}

fn ice_config(config: &Config) -> taut_ice::Config {
    let (mut stun, mut turn) = (Vec::new(), Vec::new());
    for server in &config.ice_servers {
        let host = match &server.host {
            Host::Name(name) => taut_ice::Host::Name(name.clone()),
            Host::Ip(ip) => taut_ice::Host::Ip(*ip),
        };
        let port = server.port;
        match server.kind {
            IceServerKind::Stun => stun.push(taut_ice::StunServer { host, port }),
            IceServerKind::Turn(transport) => turn.push(taut_ice::TurnServer {
                host,
                port,
                transport,
                username: server.username.clone().unwrap_or_default(),
                password: server.credential.clone().unwrap_or_default(),
            }),
        }
    }
    taut_ice::Config::default()
        .with_stun_servers(stun)
        .with_turn_servers(turn)
        .with_policy(config.ice_transport_policy)
        .with_tcp(config.ice_tcp)
        .with_loopback(config.loopback)
        .with_lite(config.ice_lite)
        .with_filter(config.address_filter.clone())
        .with_external_addresses(config.external_addresses.clone())
        .with_hide_addresses(config.hide_addresses)
}
