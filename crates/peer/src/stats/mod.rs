//! Statistics under the names of the W3C's identifiers for WebRTC statistics.
//!
//! A [`StatsReport`] is a snapshot. Every field that is declared here is filled from a counter or a measurement;
//! `Option` means that the thing measured has not happened yet. Durations that the W3C counts in seconds are
//! [`Duration`]s, timestamps are the time since the Unix epoch.

mod collect;

use std::collections::BTreeMap;
use std::time::Duration;

use taut_datachannel::ChannelState;
use taut_media::{Kind, ReceiverStats, RemoteInbound, RemoteOutbound, SenderStats};

use crate::event::IceConnectionState;
use crate::{DtlsRole, DtlsTransportState, IceRole};

/// A snapshot of all statistics (W3C `RTCStatsReport`): a map from id to entry.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatsReport {
    entries: BTreeMap<String, Stats>,
}

impl StatsReport {
    /// The entry with an id, which other entries refer to.
    pub fn get(&self, id: &str) -> Option<&Stats> {
        self.entries.get(id)
    }

    /// All entries, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Stats)> {
        self.entries.iter().map(|(id, stats)| (id.as_str(), stats))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True for a report without entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The transport, which there is one of.
    pub fn transport(&self) -> Option<&TransportReport> {
        self.entries
            .values()
            .find_map(|stats| if let Stats::Transport(report) = stats { Some(report) } else { None })
    }

    /// What comes in: an entry for each source.
    pub fn inbound_rtp(&self) -> impl Iterator<Item = &InboundRtpReport> {
        self.entries
            .values()
            .filter_map(|stats| if let Stats::InboundRtp(report) = stats { Some(report) } else { None })
    }

    /// What goes out: an entry for each source.
    pub fn outbound_rtp(&self) -> impl Iterator<Item = &OutboundRtpReport> {
        self.entries
            .values()
            .filter_map(|stats| if let Stats::OutboundRtp(report) = stats { Some(report) } else { None })
    }

    /// The candidate pair in use.
    pub fn selected_pair(&self) -> Option<&CandidatePairReport> {
        match self.get(self.transport()?.selected_candidate_pair_id.as_deref()?)? {
            Stats::CandidatePair(report) => Some(report),
            _ => None,
        }
    }

    fn insert(&mut self, id: String, stats: Stats) {
        self.entries.insert(id, stats);
    }
}

/// One entry of a report (W3C `RTCStats` and its kinds).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Stats {
    /// `codec`
    Codec(CodecReport),
    /// `inbound-rtp`
    InboundRtp(InboundRtpReport),
    /// `outbound-rtp`
    OutboundRtp(OutboundRtpReport),
    /// `remote-inbound-rtp`: what the other side reported of what we send.
    RemoteInboundRtp(RemoteInboundRtpReport),
    /// `remote-outbound-rtp`: what the other side reported of what it sends.
    RemoteOutboundRtp(RemoteOutboundRtpReport),
    /// `peer-connection`
    PeerConnection(PeerConnectionReport),
    /// `data-channel`
    DataChannel(DataChannelReport),
    /// `transport`
    Transport(TransportReport),
    /// `candidate-pair`
    CandidatePair(CandidatePairReport),
    /// `local-candidate`
    LocalCandidate(CandidateReport),
    /// `remote-candidate`
    RemoteCandidate(CandidateReport),
    /// `certificate`
    Certificate(CertificateReport),
}

/// `RTCCodecStats`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodecReport {
    /// The payload type.
    pub payload_type: u8,
    /// For instance `video/VP8`.
    pub mime_type: String,
    /// The clock of the RTP timestamps, per second.
    pub clock_rate: u32,
    /// The channels, for audio.
    pub channels: Option<u8>,
}

/// `RTCInboundRtpStreamStats`
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct InboundRtpReport {
    /// When it was taken.
    pub timestamp: Duration,
    /// Audio or video.
    pub kind: Kind,
    /// The identification of the media section.
    pub mid: Option<String>,
    /// The id of the track.
    pub track_identifier: String,
    /// The entry of the codec.
    pub codec_id: String,
    /// The entry of the other side's report.
    pub remote_id: Option<String>,
    /// The counters.
    pub stream: ReceiverStats,
}

/// `RTCOutboundRtpStreamStats`
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OutboundRtpReport {
    /// When it was taken.
    pub timestamp: Duration,
    /// Audio or video.
    pub kind: Kind,
    /// The identification of the media section.
    pub mid: Option<String>,
    /// The entry of the codec that frames are sent with.
    pub codec_id: Option<String>,
    /// The entry of the other side's report.
    pub remote_id: Option<String>,
    /// The counters.
    pub stream: SenderStats,
}

/// `RTCRemoteInboundRtpStreamStats`
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RemoteInboundRtpReport {
    /// The source that is reported of.
    pub ssrc: u32,
    /// Audio or video.
    pub kind: Kind,
    /// The entry of what we send.
    pub local_id: String,
    /// What was reported.
    pub report: RemoteInbound,
}

/// `RTCRemoteOutboundRtpStreamStats`
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RemoteOutboundRtpReport {
    /// The source that reported.
    pub ssrc: u32,
    /// Audio or video.
    pub kind: Kind,
    /// The entry of what we receive.
    pub local_id: String,
    /// What was reported.
    pub report: RemoteOutbound,
}

/// `RTCPeerConnectionStats`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerConnectionReport {
    /// When it was taken.
    pub timestamp: Duration,
    /// Data channels that reached the state open.
    pub data_channels_opened: u64,
    /// Data channels that were open and are closed.
    pub data_channels_closed: u64,
}

/// `RTCDataChannelStats`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DataChannelReport {
    /// When it was taken.
    pub timestamp: Duration,
    /// The label.
    pub label: String,
    /// The subprotocol.
    pub protocol: String,
    /// The stream identifier, once it is known.
    pub data_channel_identifier: Option<u16>,
    /// The state.
    pub state: ChannelState,
    /// Messages sent.
    pub messages_sent: u64,
    /// Octets of messages sent.
    pub bytes_sent: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Octets of messages received.
    pub bytes_received: u64,
}

/// `RTCTransportStats`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportReport {
    /// When it was taken.
    pub timestamp: Duration,
    /// Datagrams of DTLS, SRTP and SRTCP sent.
    pub packets_sent: u64,
    /// Their octets.
    pub bytes_sent: u64,
    /// Datagrams of DTLS, SRTP and SRTCP received.
    pub packets_received: u64,
    /// Their octets.
    pub bytes_received: u64,
    /// The state of ICE.
    pub ice_state: IceConnectionState,
    /// Who nominates.
    pub ice_role: IceRole,
    /// The ufrag of this side.
    pub ice_local_username_fragment: String,
    /// The state of DTLS.
    pub dtls_state: DtlsTransportState,
    /// Client or server, once it is known.
    pub dtls_role: Option<DtlsRole>,
    /// The version on the wire as four hexadecimal digits: `FEFD` for DTLS 1.2, `FEFC` for DTLS 1.3.
    pub tls_version: Option<String>,
    /// The cipher suite of DTLS, by its IANA name.
    pub dtls_cipher: Option<&'static str>,
    /// The SRTP profile, by its IANA name.
    pub srtp_cipher: Option<&'static str>,
    /// The entry of the selected pair.
    pub selected_candidate_pair_id: Option<String>,
    /// How often the selected pair changed.
    pub selected_candidate_pair_changes: u64,
    /// The entry of our certificate.
    pub local_certificate_id: String,
    /// The entry of the other side's certificate.
    pub remote_certificate_id: Option<String>,
    /// The smoothed round-trip time of the SCTP association.
    pub sctp_smoothed_round_trip_time: Option<Duration>,
    /// The congestion window of the SCTP association, in octets.
    pub sctp_congestion_window: usize,
    /// The largest SCTP packet that is sent now, in octets (W3C `RTCSctpTransportStats.mtu`).
    pub sctp_mtu: usize,
    /// Datagrams dropped, by reason.
    pub dropped: crate::TransportStats,
}

/// `RTCIceCandidatePairStats`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CandidatePairReport {
    /// When it was taken.
    pub timestamp: Duration,
    /// The entry of the local candidate.
    pub local_candidate_id: String,
    /// The entry of the remote candidate.
    pub remote_candidate_id: String,
    /// `frozen`, `waiting`, `in-progress`, `failed` or `succeeded`.
    pub state: &'static str,
    /// Nominated by the controlling side.
    pub nominated: bool,
    /// The priority of the pair (RFC 8445 section 6.1.2.3).
    pub priority: u64,
    /// Checks sent, those for consent not counted.
    pub requests_sent: u64,
    /// Checks sent for consent (RFC 7675).
    pub consent_requests_sent: u64,
    /// Checks received.
    pub requests_received: u64,
    /// Answers sent.
    pub responses_sent: u64,
    /// Answers received.
    pub responses_received: u64,
    /// The round trip of the last answered check.
    pub current_round_trip_time: Option<Duration>,
    /// All of them together.
    pub total_round_trip_time: Duration,
}

/// `RTCIceCandidateStats`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CandidateReport {
    /// The address or name, with the port.
    pub address: String,
    /// `udp` or `tcp`.
    pub protocol: String,
    /// `active`, `passive` or `so`, for a TCP candidate.
    pub tcp_type: Option<&'static str>,
    /// `host`, `srflx`, `prflx` or `relay`.
    pub candidate_type: String,
    /// The priority (RFC 8445 section 5.1.2).
    pub priority: u32,
    /// The foundation (RFC 8445 section 5.1.1.3).
    pub foundation: String,
}

/// `RTCCertificateStats`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateReport {
    /// The fingerprint, upper-case hexadecimal with colons.
    pub fingerprint: String,
    /// Its hash function, for instance `sha-256`.
    pub fingerprint_algorithm: String,
    /// The certificate in DER.
    pub der: bytes::Bytes,
}
