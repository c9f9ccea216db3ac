//! What a peer connection is made from: the sans-IO half of W3C `RTCConfiguration`.

use std::path::PathBuf;

use crate::error::{Error, ErrorKind};
use crate::ice_server::{IceServer, IceServerKind};
use crate::proxy::Proxy;

pub use taut_datachannel::CongestionAlgorithm as DataCongestion;
pub use taut_datachannel::Scheduler as DataScheduler;
pub use taut_datachannel::Timing as DataTiming;
pub use taut_dtls::{Certificate, Engine as DtlsEngine, SrtpProfile, Version as DtlsVersion};
pub use taut_ice::{
    AddressFilter, ExternalAddress, Families, Loopback, Network, Policy as IceTransportPolicy,
    TcpPolicy as IceTcpPolicy,
};

/// The largest UDP payload that is sent, in octets. 1,200 passes every path that carries IPv6 with tunnels
/// around it, and is what browsers use.
const DEFAULT_MTU: usize = 1_200;

/// The smallest MTU that the protocols below can work with: a DTLS flight or an SCTP INIT must fit.
const MIN_MTU: usize = 576;

/// The largest MTU: the UDP payload of a jumbo frame.
const MAX_MTU: usize = 8_948;

/// The largest that they can use: a DTLS record holds no more (RFC 6347 section 4.1.1).
const MAX_DATA_MTU: usize = 16_384;

/// The configuration of a [`Peer`](crate::Peer) (W3C `RTCConfiguration`, and what a native user wants besides).
///
/// ```
/// use taut_peer::{Config, IceServer, Loopback};
/// let config = Config::default()
///     .with_ice_server(IceServer::parse("stun:stun.example.org").unwrap())
///     .with_loopback(Loopback::Always);
/// assert_eq!(config.ice_servers.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The servers that tell our public address, or relay for us (W3C `iceServers`). None by default.
    pub ice_servers: Vec<IceServer>,
    /// Which candidates are used: all by default, or relayed ones alone, which hides our addresses from the other side
    /// (W3C `iceTransportPolicy`).
    pub ice_transport_policy: IceTransportPolicy,
    /// Certificates, as PEM text, that TURN servers over TLS must be vouched for by, instead of those that the system trusts.
    /// See [`with_turn_roots`](Self::with_turn_roots).
    pub turn_roots: Option<String>,
    /// The proxy that TURN servers over TCP and TLS are reached through. None by default. See [`with_proxy`](Self::with_proxy).
    pub proxy: Option<Proxy>,
    /// Which TCP candidates there are (RFC 6544). Active ones by default, as browsers have.
    pub ice_tcp: IceTcpPolicy,
    /// Whether loopback addresses become candidates. By default only when there is no other interface.
    pub loopback: Loopback,
    /// Which addresses of this host become candidates. All that can, by default.
    pub address_filter: AddressFilter,
    /// Whether the other side is told names under `.local` instead of the addresses of this host. False by default. See
    /// [`with_hide_addresses`](Self::with_hide_addresses).
    pub hide_addresses: bool,
    /// Addresses that this host has outside, on a translator that maps one to one: signalled as candidates without a server to ask.
    /// None by default.
    pub external_addresses: Vec<ExternalAddress>,
    /// The first and the last port that sockets of a connection of its own are bound to. Any port by default. An address on which
    /// none of them is free is not used.
    pub port_range: Option<(u16, u16)>,
    /// Whether candidates are gathered before the first local description is set, and told of when it is (W3C
    /// `iceCandidatePoolSize`): any number above 0 fills the pool of the one transport that a connection has. 0 by default.
    pub ice_candidate_pool_size: u8,
    /// Whether candidates are gathered on addresses that the host gets later, and given up on those that it loses. True by default.
    /// See [`with_gather_continually`](Self::with_gather_continually).
    pub gather_continually: bool,
    /// Whether this is a lite agent of ICE (RFC 8445 section 2.5), for servers with an address that everyone reaches: it makes no
    /// checks of its own, and connects to full agents only. False by default.
    pub ice_lite: bool,
    /// The certificate of the DTLS handshake; one is made on the fly when there is none (W3C `certificates`).
    pub certificate: Option<Certificate>,
    /// The implementation of DTLS. By default OpenSSL, which also meets RSA certificates, where it is built in (features
    /// `openssl` and `vendored`), else dimpl, which also speaks DTLS 1.3.
    pub dtls_engine: DtlsEngine,
    /// The oldest and the newest DTLS version that is negotiated. By default all that the engine speaks.
    pub dtls_versions: Option<(DtlsVersion, DtlsVersion)>,
    /// SRTP profiles that are offered and accepted, the best one first; with an empty list no media can flow. By default
    /// all that there are, in the order of the engine.
    pub srtp_profiles: Option<Vec<SrtpProfile>>,
    /// The file that the driver appends the secrets of the session to; none by default. See
    /// [`with_key_log`](Self::with_key_log).
    pub key_log: Option<PathBuf>,
    /// The largest data-channel message that is accepted, in octets (`a=max-message-size`). 256 KiB by default. One that
    /// is received whole has at most 64 MiB; larger ones must be read in parts.
    pub max_message_size: usize,
    /// How many octets of messages may wait in the send buffers of all data channels together. 16 MiB by default.
    pub data_send_buffer: usize,
    /// How many octets of messages the data channels take in before the application reads them. 16 MiB by default.
    pub data_receive_buffer: usize,
    /// The algorithm that decides how fast data channels send.
    pub data_congestion: DataCongestion,
    /// Which data channel sends next, by the priorities of the channels. By default each gets its share.
    pub data_scheduler: DataScheduler,
    /// Whether messages of different data channels may be mixed on the wire, so that a large one does not hold up the others
    /// (I-DATA, RFC 8260), where the other side can too. True by default.
    pub data_interleaving: bool,
    /// Whether SCTP leaves out its checksum, where the other side agrees: DTLS has a better one (RFC 9653). True by default.
    pub data_zero_checksum: bool,
    /// How long data channels wait for what, and how often they try.
    pub data_timing: DataTiming,
    /// The largest UDP payload that is sent, in octets, 576 to 8,948; data may go beyond it, see
    /// [`data_max_mtu`](Self::data_max_mtu). 1,200 by default.
    pub mtu: usize,
    /// The largest UDP payload that data channels use where the path is found to carry it (path MTU discovery, RFC 8899), in
    /// octets, at most 16,384. Where it is not above [`mtu`](Self::mtu), as by default, nothing is looked for.
    pub data_max_mtu: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ice_servers: Vec::new(),
            ice_transport_policy: IceTransportPolicy::All,
            turn_roots: None,
            proxy: None,
            ice_tcp: IceTcpPolicy::Active,
            loopback: Loopback::default(),
            address_filter: AddressFilter::default(),
            hide_addresses: false,
            external_addresses: Vec::new(),
            port_range: None,
            ice_candidate_pool_size: 0,
            gather_continually: true,
            ice_lite: false,
            certificate: None,
            dtls_engine: DtlsEngine::default(),
            dtls_versions: None,
            srtp_profiles: None,
            key_log: None,
            max_message_size: 256 * 1024,
            data_send_buffer: 16 * 1024 * 1024,
            data_receive_buffer: 16 * 1024 * 1024,
            data_congestion: DataCongestion::default(),
            data_scheduler: DataScheduler::default(),
            data_interleaving: true,
            data_zero_checksum: true,
            data_timing: DataTiming::default(),
            mtu: DEFAULT_MTU,
            data_max_mtu: DEFAULT_MTU,
        }
    }
}

impl Config {
    /// Adds a server.
    #[must_use]
    pub fn with_ice_server(mut self, server: IceServer) -> Self {
        self.ice_servers.push(server);
        self
    }

    /// Sets which candidates are used.
    #[must_use]
    pub fn with_ice_transport_policy(mut self, policy: IceTransportPolicy) -> Self {
        self.ice_transport_policy = policy;
        self
    }

    /// Sets the certificates, one or more as PEM text, of which one must vouch for a TURN server that is reached over TLS. A
    /// [`Peer`](crate::Peer) opens no streams itself: they are for its driver.
    #[must_use]
    pub fn with_turn_roots(mut self, pem: impl Into<String>) -> Self {
        self.turn_roots = Some(pem.into());
        self
    }

    /// Sets the proxy that TURN servers over TCP and TLS are reached through; UDP goes there as little as anything else. It is
    /// told the address of the server, whose name is resolved here. A [`Peer`](crate::Peer) opens no streams itself: it is for
    /// its driver.
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Sets which TCP candidates there are: those that open connections, those that wait for them on listeners of their own or of
    /// an endpoint, both, or none. Over TCP, a connection comes about where UDP does not get through.
    #[must_use]
    pub fn with_ice_tcp(mut self, policy: IceTcpPolicy) -> Self {
        self.ice_tcp = policy;
        self
    }

    /// Sets whether loopback addresses become candidates.
    #[must_use]
    pub fn with_loopback(mut self, loopback: Loopback) -> Self {
        self.loopback = loopback;
        self
    }

    /// Sets which addresses of this host become candidates.
    #[must_use]
    pub fn with_address_filter(mut self, filter: AddressFilter) -> Self {
        self.address_filter = filter;
        self
    }

    /// Hides the addresses of this host, as browsers do for pages without a camera
    /// (draft-ietf-mmusic-mdns-ice-candidates): host candidates have random names under `.local`, for which multicast DNS (RFC
    /// 6762) answers while the connection lasts, so that only hosts on the same link learn the addresses; and the candidates of
    /// servers say nothing of the address behind them. Statistics have the names, too. Every connection has names of its own.
    ///
    /// Who shares no link with this host connects by server-reflexive or relayed candidates, or because it checks first and the
    /// address that its checks come from can be reached.
    #[must_use]
    pub fn with_hide_addresses(mut self, hide: bool) -> Self {
        self.hide_addresses = hide;
        self
    }

    /// Adds an address that this host has outside.
    #[must_use]
    pub fn with_external_address(mut self, address: ExternalAddress) -> Self {
        self.external_addresses.push(address);
        self
    }

    /// Sets the first and the last port that sockets are bound to.
    #[must_use]
    pub fn with_port_range(mut self, first: u16, last: u16) -> Self {
        self.port_range = Some((first, last));
        self
    }

    /// Sets whether candidates are gathered before the first local description is set.
    #[must_use]
    pub fn with_ice_candidate_pool_size(mut self, size: u8) -> Self {
        self.ice_candidate_pool_size = size;
        self
    }

    /// Sets whether the connection follows the addresses of the host: while it lasts, an address that comes gives candidates, and
    /// one that goes ends its pairs at once, so that data takes another way. Without it, what goes is noticed by silence, and what
    /// comes is used by the next connection.
    ///
    /// A new address is told in [`Event::IceCandidate`](crate::Event::IceCandidate) as any other, also after the `None` that said
    /// that there were no more: that is only as long as the host does not move. With servers to ask, the gathering state goes back
    /// to `Gathering`, and another `None` follows. To hand them on makes a move surer and faster; if they are not, the other side
    /// learns the address from the checks that come from it, and only if both sides move at the same time a restart is needed.
    ///
    /// W3C lets gathering end with the first description. Here it goes on by default because a call that ends with the Wi-Fi is
    /// nobody's wish, and because it costs nothing while nothing changes. A [`Peer`](crate::Peer) watches no interfaces itself: this
    /// is for its driver, which calls [`add_local_address`](crate::Peer::add_local_address) and
    /// [`remove_local_address`](crate::Peer::remove_local_address), and the same for TCP listeners.
    #[must_use]
    pub fn with_gather_continually(mut self, continually: bool) -> Self {
        self.gather_continually = continually;
        self
    }

    /// Sets whether this is a lite agent of ICE.
    #[must_use]
    pub fn with_ice_lite(mut self, ice_lite: bool) -> Self {
        self.ice_lite = ice_lite;
        self
    }

    /// Sets the certificate.
    #[must_use]
    pub fn with_certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Sets the implementation of DTLS. One that is not built in is an error of [`Peer::new`](crate::Peer::new).
    #[must_use]
    pub fn with_dtls_engine(mut self, engine: DtlsEngine) -> Self {
        self.dtls_engine = engine;
        self
    }

    /// Sets the range of DTLS versions. One that the engine does not speak is an error of
    /// [`Peer::new`](crate::Peer::new): OpenSSL knows DTLS 1.2 only.
    #[must_use]
    pub fn with_dtls_versions(mut self, min: DtlsVersion, max: DtlsVersion) -> Self {
        self.dtls_versions = Some((min, max));
        self
    }

    /// Sets the SRTP profiles. The engine dimpl cannot choose: with it, every list but its own, AES-256-GCM, AES-128-GCM,
    /// AES-128 with HMAC-SHA1, is an error of [`Peer::new`](crate::Peer::new).
    #[must_use]
    pub fn with_srtp_profiles(mut self, profiles: Vec<SrtpProfile>) -> Self {
        self.srtp_profiles = Some(profiles);
        self
    }

    /// Has the secret of the DTLS session appended to a file, in the key log format of NSS, from which Wireshark and
    /// tshark decrypt a capture of the connection: data channels become readable, media stays protected. The file is made
    /// when there is none. Several connections may share it. Whoever can read it can read all that they carry.
    ///
    /// They have to be told, too, that it is SCTP that DTLS carries here, which takes a line of Lua. Wireshark runs it
    /// from its folder of personal plugins, and has the file under Preferences, Protocols, TLS.
    ///
    /// ```console
    /// $ echo 'DissectorTable.get("dtls.port"):add("1-65535", Dissector.get("sctp"))' > sctp.lua
    /// $ tshark -r capture.pcap -X lua_script:sctp.lua -o tls.keylog_file:keys.log -Y sctp
    /// ```
    ///
    /// The engine dimpl gives out no secrets: with it, this is an error of [`Peer::new`](crate::Peer::new). A
    /// [`Peer`](crate::Peer) writes no files itself; it gives its driver each line in
    /// [`Event::KeyLog`](crate::Event::KeyLog).
    #[must_use]
    pub fn with_key_log(mut self, file: impl Into<PathBuf>) -> Self {
        self.key_log = Some(file.into());
        self
    }

    /// Sets the largest data-channel message that is accepted, in octets.
    #[must_use]
    pub fn with_max_message_size(mut self, octets: usize) -> Self {
        self.max_message_size = octets;
        self
    }

    /// Sets how many octets may wait to be sent on all data channels together.
    #[must_use]
    pub fn with_data_send_buffer(mut self, octets: usize) -> Self {
        self.data_send_buffer = octets;
        self
    }

    /// Sets how many octets are taken in before the application reads them.
    #[must_use]
    pub fn with_data_receive_buffer(mut self, octets: usize) -> Self {
        self.data_receive_buffer = octets;
        self
    }

    /// Sets the algorithm that decides how fast data channels send.
    #[must_use]
    pub fn with_data_congestion(mut self, algorithm: DataCongestion) -> Self {
        self.data_congestion = algorithm;
        self
    }

    /// Sets which data channel sends next.
    #[must_use]
    pub fn with_data_scheduler(mut self, scheduler: DataScheduler) -> Self {
        self.data_scheduler = scheduler;
        self
    }

    /// Sets whether messages of different data channels may be mixed on the wire.
    #[must_use]
    pub fn with_data_interleaving(mut self, interleaving: bool) -> Self {
        self.data_interleaving = interleaving;
        self
    }

    /// Sets whether SCTP leaves out its checksum.
    #[must_use]
    pub fn with_data_zero_checksum(mut self, zero_checksum: bool) -> Self {
        self.data_zero_checksum = zero_checksum;
        self
    }

    /// Sets how long data channels wait for what.
    #[must_use]
    pub fn with_data_timing(mut self, timing: DataTiming) -> Self {
        self.data_timing = timing;
        self
    }

    /// Sets the largest UDP payload that is sent, in octets.
    #[must_use]
    pub fn with_mtu(mut self, octets: usize) -> Self {
        self.mtu = octets;
        self
    }

    /// Sets the largest UDP payload that is looked for on the path of data channels, in octets.
    ///
    /// A search begins with the first full packet and goes from 1,200 over the sizes of common links up to this, with a
    /// few probes that nothing depends on. A message is cut into the same pieces as without it, and a larger packet takes
    /// several of them, so that nothing is stuck when the path becomes smaller: small messages gain on every path, large
    /// ones where twice the [`mtu`](Self::mtu) and more comes through, as with jumbo frames or within one machine. Who
    /// knows what the path carries sets [`mtu`](Self::mtu) instead.
    #[must_use]
    pub fn with_data_max_mtu(mut self, octets: usize) -> Self {
        self.data_max_mtu = octets;
        self
    }

    /// Refuses what cannot be honoured.
    /// True if it differs from another one in nothing but what may be changed during a connection.
    pub(crate) fn may_replace(&self, other: &Self) -> bool {
        let mut as_if = other.clone();
        as_if.ice_servers.clone_from(&self.ice_servers);
        as_if.ice_transport_policy = self.ice_transport_policy;
        as_if.ice_candidate_pool_size = self.ice_candidate_pool_size;
        as_if == *self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let bad = |message: &str| Err(Error::new(ErrorKind::Range, message));
        if !(MIN_MTU..=MAX_MTU).contains(&self.mtu) {
            return bad("the MTU must be 576 to 8948 octets");
        }
        if self.data_max_mtu > MAX_DATA_MTU {
            return bad("the MTU of data must be at most 16384 octets");
        }
        if self.max_message_size == 0 {
            return bad("the largest message must be at least one octet");
        }
        if self.data_send_buffer == 0 {
            return bad("the send buffer must hold at least one octet");
        }
        if self.port_range.is_some_and(|(first, last)| first == 0 || first > last) {
            return bad("the port range must begin above 0 and not end before it begins");
        }
        self.proxy.as_ref().map_or(Ok(()), Proxy::check)?;
        let named = |server: &IceServer| server.username.is_some() && server.credential.is_some();
        if self.ice_servers.iter().any(|server| server.kind != IceServerKind::Stun && !named(server)) {
            return Err(Error::new(
                ErrorKind::InvalidAccess,
                "a TURN server needs a username and a credential",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_values_are_refused() {
        assert!(Config::default().check().is_ok());
        assert!(Config::default().with_mtu(100).check().is_err());
        assert!(Config::default().with_mtu(65_000).check().is_err());
        assert!(Config::default().with_data_max_mtu(16_385).check().is_err());
        assert!(Config::default().with_max_message_size(0).check().is_err());
        assert!(Config::default().with_data_send_buffer(0).check().is_err());
        assert!(Config::default().with_port_range(2_000, 1_999).check().is_err());
        assert!(Config::default().with_port_range(0, 1_999).check().is_err());
        assert!(Config::default().with_port_range(2_000, 2_000).check().is_ok());
        let server = IceServer::parse("turn:a").unwrap();
        let check = |server| Config::default().with_ice_server(server).check();
        assert_eq!(check(server.clone()).unwrap_err().kind, ErrorKind::InvalidAccess);
        assert!(check(server.with_credentials("ann", "secret")).is_ok());
        let nameless = Proxy::parse("http://a").unwrap().with_credentials("", "");
        assert!(Config::default().with_proxy(nameless).check().is_err());
    }
}
