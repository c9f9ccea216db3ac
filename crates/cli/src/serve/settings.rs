//! What a server was started with.

use std::net::SocketAddr;
use std::path::PathBuf;

use taut::{Configuration, Endpoint, Error, Events, IceTcpPolicy, Loopback, PeerConnection};

use crate::args::ServeArguments;
use crate::ice_servers::IceServerUrl;

/// What holds for all sessions of a server.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// How connections are made.
    pub(super) configuration: Configuration,
    /// The sockets that all sessions share; without it, each has its own.
    endpoint: Option<Endpoint>,
    /// The most sessions at a time; above it, clients are sent away with 503.
    pub(super) max_sessions: usize,
    /// The servers that this side and, by their `Link`, the clients use.
    pub(super) ice_servers: Vec<IceServerUrl>,
    /// Whose pages may use the server, besides its own and those of this machine.
    pub(super) allowed_origins: Vec<String>,
    /// The folder to which every echoed call is recorded.
    pub(super) record: Option<PathBuf>,
    /// The most octets that recordings take together.
    pub(super) record_limit: u64,
}

impl Settings {
    /// The settings of a server that listens on `address`.
    pub(super) fn new(arguments: &ServeArguments, address: SocketAddr) -> Result<Self, Error> {
        // Whoever reaches a loopback listener runs on this machine, and may have no other interface.
        let loopback = if address.ip().is_loopback() { Loopback::Always } else { Loopback::Auto };
        let configuration = arguments
            .dtls
            .configuration()
            .with_loopback(loopback)
            .with_hide_addresses(arguments.hide_addresses);
        let ice_servers = arguments.ice_servers.servers();
        let configuration = ice_servers.iter().fold(configuration, |configuration, server| {
            configuration.with_ice_server(server.server.clone())
        });
        let configuration = configuration.with_ice_transport_policy(arguments.ice_servers.policy());
        let configuration = match arguments.ice_servers.proxy() {
            Some(proxy) => configuration.with_proxy(proxy),
            None => configuration,
        };
        let (endpoint, configuration) = match arguments.ice_tcp.as_slice() {
            [] => (None, configuration),
            tcp => {
                let udp = if arguments.no_ice_udp { &[] } else { tcp };
                let endpoint = Endpoint::bind(udp)?.with_tcp(tcp)?;
                (Some(endpoint), configuration.with_ice_tcp(IceTcpPolicy::Both))
            }
        };
        Ok(Self {
            configuration,
            endpoint,
            max_sessions: arguments.max_sessions,
            ice_servers,
            allowed_origins: arguments.allowed_origins.clone(),
            record: arguments.record.clone(),
            record_limit: arguments.record_limit << 20,
        })
    }

    /// Makes a connection for a session.
    pub(super) fn connect(&self) -> Result<(PeerConnection, Events), Error> {
        let configuration = self.configuration.clone();
        match &self.endpoint {
            Some(endpoint) => PeerConnection::with_endpoint(configuration, endpoint),
            None => PeerConnection::new(configuration),
        }
    }
}
