//! Filling a report from the counters of the layers.

use std::time::Instant;

use bytes::Bytes;
use taut_dtls as dtls;
use taut_ice as ice;

use super::*;
use crate::peer::Peer;
use crate::transceiver::Transceiver;

/// The id of the transport's entry.
const TRANSPORT: &str = "transport";

impl Peer {
    /// A snapshot of all statistics (W3C `getStats`).
    pub fn stats(&self, now: Instant) -> StatsReport {
        let timestamp = self.clock.unix(now);
        let mut report = StatsReport::default();
        self.report_connection(timestamp, &mut report);
        self.report_channels(timestamp, &mut report);
        self.report_pairs(timestamp, &mut report);
        self.report_transport(timestamp, &mut report);
        for transceiver in self.transceivers() {
            self.report_sender(timestamp, transceiver, &mut report);
            self.report_receiver(timestamp, transceiver, &mut report);
        }
        report
    }

    fn report_connection(&self, timestamp: Duration, report: &mut StatsReport) {
        let stats = self.transport.data.stats();
        let connection = PeerConnectionReport {
            timestamp,
            data_channels_opened: stats.channels_opened,
            data_channels_closed: stats.channels_closed,
        };
        report.insert("peer-connection".to_owned(), Stats::PeerConnection(connection));
    }

    fn report_channels(&self, timestamp: Duration, report: &mut StatsReport) {
        for (id, channel) in self.transport.data.channels() {
            let entry = DataChannelReport {
                timestamp,
                label: channel.label().to_owned(),
                protocol: channel.protocol().to_owned(),
                data_channel_identifier: channel.stream_id(),
                state: channel.state(),
                messages_sent: channel.messages_sent(),
                bytes_sent: channel.bytes_sent(),
                messages_received: channel.messages_received(),
                bytes_received: channel.bytes_received(),
            };
            report.insert(format!("data-channel-{id}"), Stats::DataChannel(entry));
        }
    }

    fn report_pairs(&self, timestamp: Duration, report: &mut StatsReport) {
        for candidate in self.transport.ice.local_candidates() {
            report.insert(candidate_id("local", candidate), Stats::LocalCandidate(describe(candidate)));
        }
        for candidate in self.transport.ice.remote_candidates() {
            report.insert(candidate_id("remote", candidate), Stats::RemoteCandidate(describe(candidate)));
        }
        for stats in self.transport.ice.pair_stats() {
            let (local, remote) = (&stats.pair.local, &stats.pair.remote);
            // A peer-reflexive candidate is in no list but that of the pairs.
            report.insert(candidate_id("local", local), Stats::LocalCandidate(describe(local)));
            report.insert(candidate_id("remote", remote), Stats::RemoteCandidate(describe(remote)));
            let entry = CandidatePairReport {
                timestamp,
                local_candidate_id: candidate_id("local", local),
                remote_candidate_id: candidate_id("remote", remote),
                state: match stats.state {
                    ice::PairState::Frozen => "frozen",
                    ice::PairState::Waiting => "waiting",
                    ice::PairState::InProgress => "in-progress",
                    ice::PairState::Failed => "failed",
                    ice::PairState::Succeeded => "succeeded",
                },
                nominated: stats.nominated,
                priority: stats.priority,
                requests_sent: stats.requests_sent,
                consent_requests_sent: stats.consent_requests_sent,
                requests_received: stats.requests_received,
                responses_sent: stats.responses_sent,
                responses_received: stats.responses_received,
                current_round_trip_time: stats.current_rtt,
                total_round_trip_time: stats.total_rtt,
            };
            report.insert(pair_id(local, remote), Stats::CandidatePair(entry));
        }
    }

    fn report_transport(&self, timestamp: Duration, report: &mut StatsReport) {
        let transport = &self.transport;
        let data = transport.data.stats();
        let local = certificate(self.certificate.der());
        let remote = transport.dtls.remote_certificate().map(|der| certificate(&der));
        let id = |entry: &CertificateReport| format!("certificate-{}", entry.fingerprint);
        let entry = TransportReport {
            timestamp,
            packets_sent: transport.stats.packets_sent,
            bytes_sent: transport.stats.bytes_sent,
            packets_received: transport.stats.packets_received,
            bytes_received: transport.stats.bytes_received,
            ice_state: self.ice_state,
            ice_role: transport.ice.role(),
            ice_local_username_fragment: transport.ice.local_credentials().ufrag.clone(),
            dtls_state: transport.dtls.state(),
            dtls_role: transport.dtls.role(),
            tls_version: transport.dtls.version().map(|version| format!("{:04X}", version.wire())),
            dtls_cipher: transport.dtls.cipher_suite(),
            srtp_cipher: transport.srtp_profile().map(taut_srtp::Profile::name),
            selected_candidate_pair_id: transport
                .ice
                .selected_pair()
                .map(|pair| pair_id(&pair.local, &pair.remote)),
            selected_candidate_pair_changes: transport.stats.selected_pair_changes,
            local_certificate_id: id(&local),
            remote_certificate_id: remote.as_ref().map(id),
            sctp_smoothed_round_trip_time: data.rtt,
            sctp_congestion_window: data.congestion_window,
            sctp_mtu: data.association.mtu,
            dropped: self.transport_stats(),
        };
        for certificate in std::iter::once(local).chain(remote) {
            report.insert(id(&certificate), Stats::Certificate(certificate));
        }
        report.insert(TRANSPORT.to_owned(), Stats::Transport(entry));
    }

    fn report_sender(&self, timestamp: Duration, transceiver: &Transceiver, report: &mut StatsReport) {
        let Some(stream) = self.transport.media.sender_stats(transceiver.id().into()) else { return };
        let (ssrc, kind) = (stream.ssrc, transceiver.kind());
        let codec = transceiver.send_codecs().first();
        let id = format!("outbound-rtp-{ssrc}");
        let remote_id = stream.remote.map(|remote| {
            let remote_id = format!("remote-inbound-rtp-{ssrc}");
            let entry = RemoteInboundRtpReport { ssrc, kind, local_id: id.clone(), report: remote };
            report.insert(remote_id.clone(), Stats::RemoteInboundRtp(entry));
            remote_id
        });
        let codec_id = codec.map(|codec| report.codec("send", transceiver, codec.codec, codec.payload_type));
        let mid = transceiver.mid().map(str::to_owned);
        let entry = OutboundRtpReport { timestamp, kind, mid, codec_id, remote_id, stream: stream.clone() };
        report.insert(id, Stats::OutboundRtp(entry));
    }

    fn report_receiver(&self, timestamp: Duration, transceiver: &Transceiver, report: &mut StatsReport) {
        for stream in self.transport.media.receiver_stats(transceiver.id().into()) {
            let (ssrc, kind) = (stream.ssrc, transceiver.kind());
            let id = format!("inbound-rtp-{ssrc}");
            let remote_id = stream.remote.map(|remote| {
                let remote_id = format!("remote-outbound-rtp-{ssrc}");
                let entry = RemoteOutboundRtpReport { ssrc, kind, local_id: id.clone(), report: remote };
                report.insert(remote_id.clone(), Stats::RemoteOutboundRtp(entry));
                remote_id
            });
            let entry = InboundRtpReport {
                timestamp,
                kind,
                mid: transceiver.mid().map(str::to_owned),
                track_identifier: transceiver.receiver_track_id().to_owned(),
                codec_id: report.codec("receive", transceiver, stream.codec, stream.payload_type),
                remote_id,
                stream,
            };
            report.insert(id, Stats::InboundRtp(entry));
        }
    }
}

impl StatsReport {
    /// Adds the entry of a codec and gives its id.
    fn codec(
        &mut self,
        way: &str,
        transceiver: &Transceiver,
        codec: taut_media::Codec,
        payload_type: u8,
    ) -> String {
        let id = format!("codec-{way}-{}-{payload_type}", transceiver.id());
        let kind = match codec.kind() {
            Kind::Audio => "audio",
            Kind::Video => "video",
        };
        let entry = CodecReport {
            payload_type,
            mime_type: format!("{kind}/{}", codec.name()),
            clock_rate: codec.clock_rate(),
            channels: Some(codec.channels()).filter(|&channels| channels > 0),
        };
        self.insert(id.clone(), Stats::Codec(entry));
        id
    }
}

fn certificate(der: &Bytes) -> CertificateReport {
    let text = dtls::Fingerprint::of(dtls::HashAlgorithm::Sha256, der).to_string();
    let (algorithm, value) = text.split_once(' ').unwrap_or(("", &text));
    CertificateReport {
        fingerprint: value.to_owned(),
        fingerprint_algorithm: algorithm.to_owned(),
        der: der.clone(),
    }
}

fn candidate_id(side: &str, candidate: &ice::Candidate) -> String {
    // The same address may be in several generations of ICE.
    let generation = candidate.ufrag.as_deref().unwrap_or_default();
    // And a socket of UDP and one of TCP may have the same.
    let transport = if candidate.tcp_type.is_some() { "-tcp" } else { "" };
    format!("{side}-candidate-{}{transport}-{}-{generation}", kind(candidate), address(candidate))
}

fn pair_id(local: &ice::Candidate, remote: &ice::Candidate) -> String {
    format!("candidate-pair-{}-{}", candidate_id("local", local), candidate_id("remote", remote))
}

fn kind(candidate: &ice::Candidate) -> &'static str {
    match candidate.kind {
        ice::CandidateKind::Host => "host",
        ice::CandidateKind::ServerReflexive => "srflx",
        ice::CandidateKind::PeerReflexive => "prflx",
        ice::CandidateKind::Relayed => "relay",
    }
}

fn address(candidate: &ice::Candidate) -> String {
    match &candidate.address {
        ice::CandidateAddress::Ip(address) => address.to_string(),
        ice::CandidateAddress::Name { name, port } => format!("{name}:{port}"),
    }
}

fn describe(candidate: &ice::Candidate) -> CandidateReport {
    CandidateReport {
        address: address(candidate),
        protocol: match &candidate.transport {
            ice::CandidateTransport::Udp => "udp".to_owned(),
            ice::CandidateTransport::Tcp => "tcp".to_owned(),
            ice::CandidateTransport::Other(name) => name.to_ascii_lowercase(),
            _ => "other".to_owned(),
        },
        tcp_type: candidate.tcp_type.map(|side| match side {
            ice::TcpType::Active => "active",
            ice::TcpType::Passive => "passive",
            ice::TcpType::SimultaneousOpen => "so",
        }),
        candidate_type: kind(candidate).to_owned(),
        priority: candidate.priority,
        foundation: candidate.foundation.clone(),
    }
}
