//! The transports (W3C `RTCSctpTransport`, `RTCDtlsTransport`, `RTCIceTransport`): views of the one transport of a
//! connection, on which everything is bundled.

use bytes::Bytes;
use taut_peer::stats::{CandidateReport, CertificateReport, Stats, TransportReport};
use taut_peer::{
    DtlsRole, DtlsTransportState, IceCandidate, IceConnectionState, IceGatheringState, IceParameters,
    IceRole, SctpState as SctpTransportState, StatsReport,
};

use crate::clock;
use crate::connection::Handle;

/// What everything travels on. A handle of the connection.
#[derive(Debug, Clone)]
pub struct DtlsTransport {
    connection: Handle,
}

/// What finds the path. A handle of the connection.
#[derive(Debug, Clone)]
pub struct IceTransport {
    connection: Handle,
}

/// The two ends of the path in use (W3C `RTCIceCandidatePair`).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct IceCandidatePair {
    /// Our end.
    pub local: CandidateReport,
    /// The other end.
    pub remote: CandidateReport,
}

/// The association that carries the data channels (W3C `RTCSctpTransport`). A handle of the connection.
#[derive(Debug, Clone)]
pub struct SctpTransport {
    connection: Handle,
}

impl SctpTransport {
    /// `None` until data channels are negotiated.
    pub(crate) fn of(connection: &Handle) -> Option<Self> {
        connection.lock().peer.sctp().map(|_| Self { connection: connection.clone() })
    }

    /// What carries it.
    pub fn transport(&self) -> DtlsTransport {
        DtlsTransport::new(self.connection.clone())
    }

    /// The state.
    pub fn state(&self) -> SctpTransportState {
        let state = self.connection.lock();
        match state.peer.sctp() {
            Some(sctp) if !state.ended => sctp.state,
            _ => SctpTransportState::Closed,
        }
    }

    /// The largest message that the other side takes, in octets; `usize::MAX` for any.
    pub fn max_message_size(&self) -> usize {
        self.connection.lock().peer.sctp().map_or(usize::MAX, |sctp| sctp.max_message_size)
    }

    /// How many data channels there can be at once, once connected.
    pub fn max_channels(&self) -> Option<u16> {
        self.connection.lock().peer.sctp().and_then(|sctp| sctp.max_channels)
    }
}

impl DtlsTransport {
    pub(crate) fn new(connection: Handle) -> Self {
        Self { connection }
    }

    /// The path below.
    pub fn ice_transport(&self) -> IceTransport {
        IceTransport { connection: self.connection.clone() }
    }

    /// The state.
    pub fn state(&self) -> DtlsTransportState {
        transport(&self.connection, |report| report.dtls_state).unwrap_or(DtlsTransportState::Closed)
    }

    /// Client or server, once it is known; never [`Auto`](DtlsRole::Auto).
    pub fn role(&self) -> Option<DtlsRole> {
        transport(&self.connection, |report| report.dtls_role).flatten()
    }

    /// The cipher suite by its IANA name, once connected.
    pub fn cipher(&self) -> Option<&'static str> {
        transport(&self.connection, |report| report.dtls_cipher).flatten()
    }

    /// The SRTP profile by its IANA name, once connected.
    pub fn srtp_profile(&self) -> Option<&'static str> {
        transport(&self.connection, |report| report.srtp_cipher).flatten()
    }

    /// The version on the wire, `FEFD` for DTLS 1.2 and `FEFC` for DTLS 1.3, once connected.
    pub fn version(&self) -> Option<String> {
        transport(&self.connection, |report| report.tls_version.clone()).flatten()
    }

    /// The certificate of the other side in DER, once its fingerprint was checked.
    pub fn remote_certificate(&self) -> Option<Bytes> {
        let report = report(&self.connection);
        match report.get(report.transport()?.remote_certificate_id.as_deref()?)? {
            Stats::Certificate(CertificateReport { der, .. }) => Some(der.clone()),
            _ => None,
        }
    }
}

impl IceTransport {
    /// The state.
    pub fn state(&self) -> IceConnectionState {
        self.connection.lock().peer.ice_connection_state()
    }

    /// How far gathering is.
    pub fn gathering_state(&self) -> IceGatheringState {
        self.connection.lock().peer.ice_gathering_state()
    }

    /// Whether this side nominates, once the parameters of the other side are known.
    pub fn role(&self) -> Option<IceRole> {
        self.connection.lock().peer.ice_role()
    }

    /// Our candidates that the application was told of since the last restart (W3C `getLocalCandidates`).
    pub fn local_candidates(&self) -> Vec<IceCandidate> {
        self.connection.lock().peer.local_candidates()
    }

    /// The candidates of the other side that were added or learned since the last restart (W3C `getRemoteCandidates`).
    pub fn remote_candidates(&self) -> Vec<IceCandidate> {
        self.connection.lock().peer.remote_candidates()
    }

    /// Our ufrag and password (W3C `getLocalParameters`).
    pub fn local_parameters(&self) -> IceParameters {
        self.connection.lock().peer.local_ice_parameters().clone()
    }

    /// Those of the other side, once they are known (W3C `getRemoteParameters`).
    pub fn remote_parameters(&self) -> Option<IceParameters> {
        self.connection.lock().peer.remote_ice_parameters().cloned()
    }

    /// The two ends of the path in use, if there is one. [`Event::SelectedCandidatePairChange`](crate::Event) tells when it
    /// changes.
    pub fn selected_candidate_pair(&self) -> Option<IceCandidatePair> {
        let report = report(&self.connection);
        let pair = report.selected_pair()?;
        match (report.get(&pair.local_candidate_id)?, report.get(&pair.remote_candidate_id)?) {
            (Stats::LocalCandidate(local), Stats::RemoteCandidate(remote)) => {
                Some(IceCandidatePair { local: local.clone(), remote: remote.clone() })
            }
            _ => None,
        }
    }
}

fn report(connection: &Handle) -> StatsReport {
    connection.lock().peer.stats(clock::now())
}

fn transport<R>(connection: &Handle, f: impl FnOnce(&TransportReport) -> R) -> Option<R> {
    report(connection).transport().map(f)
}
