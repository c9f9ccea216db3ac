//! Statistics as JSON: an array of the entries that a browser's `getStats()` has, under the same names and in the same units
//! (W3C identifiers for WebRTC statistics), so that a page needs one way to read both sides.

use std::time::Duration;

use serde_json::{Map, Value, json};
use taut::stats::{
    CandidatePairReport, CandidateReport, InboundRtpReport, OutboundRtpReport, RemoteInboundRtpReport,
    RemoteOutboundRtpReport, Stats, TransportReport,
};
use taut::{DtlsEngine, Kind, StatsReport};

/// The whole report. The engine, which browsers have no choice of, is a member of the transport.
pub(super) fn to_json(report: &StatsReport, engine: DtlsEngine) -> String {
    let mut entries: Vec<Value> = report.iter().map(|(id, stats)| entry(id, stats)).collect();
    for transport in entries.iter_mut().filter(|entry| entry["type"] == "transport") {
        transport["dtlsEngine"] = json!(engine.to_string());
    }
    Value::from(entries).to_string()
}

/// One entry, without the members that have no value yet.
fn entry(id: &str, stats: &Stats) -> Value {
    let (kind, value) = match stats {
        Stats::InboundRtp(report) => ("inbound-rtp", inbound(report)),
        Stats::OutboundRtp(report) => ("outbound-rtp", outbound(report)),
        Stats::RemoteInboundRtp(report) => ("remote-inbound-rtp", remote_inbound(report)),
        Stats::RemoteOutboundRtp(report) => ("remote-outbound-rtp", remote_outbound(report)),
        Stats::Transport(report) => ("transport", transport(report)),
        Stats::CandidatePair(report) => ("candidate-pair", pair(report)),
        Stats::LocalCandidate(report) => ("local-candidate", candidate(report)),
        Stats::RemoteCandidate(report) => ("remote-candidate", candidate(report)),
        _ => other(stats),
    };
    let members = if let Value::Object(members) = value { members } else { Map::new() };
    let named = [("id".to_owned(), json!(id)), ("type".to_owned(), json!(kind))];
    named.into_iter().chain(members).filter(|(_, value)| !value.is_null()).collect()
}

fn inbound(report: &InboundRtpReport) -> Value {
    let (stream, size) = (&report.stream, report.stream.frame_size);
    json!({
        "timestamp": milliseconds(report.timestamp),
        "kind": kind(report.kind),
        "ssrc": stream.ssrc,
        "mid": report.mid,
        "trackIdentifier": report.track_identifier,
        "codecId": report.codec_id,
        "remoteId": report.remote_id,
        "packetsReceived": stream.packets_received,
        "bytesReceived": stream.bytes_received,
        "headerBytesReceived": stream.header_bytes_received,
        "packetsLost": stream.packets_lost,
        "jitter": stream.jitter.as_secs_f64(),
        "packetsDiscarded": stream.packets_discarded,
        "packetsDuplicated": stream.packets_duplicated,
        "retransmittedPacketsReceived": stream.retransmitted_packets_received,
        "retransmittedBytesReceived": stream.retransmitted_bytes_received,
        "framesReceived": stream.frames_received,
        "keyFramesReceived": stream.key_frames_received,
        "framesDropped": stream.frames_dropped,
        "frameWidth": size.map(|(width, _)| width),
        "frameHeight": size.map(|(_, height)| height),
        "framesAssembledFromMultiplePackets": stream.frames_assembled_from_multiple_packets,
        "totalAssemblyTime": stream.total_assembly_time.as_secs_f64(),
        "jitterBufferDelay": stream.jitter_buffer_delay.as_secs_f64(),
        "jitterBufferEmittedCount": stream.jitter_buffer_emitted_count,
        "nackCount": stream.nack_count,
        "pliCount": stream.pli_count,
        "firCount": stream.fir_count,
    })
}

fn outbound(report: &OutboundRtpReport) -> Value {
    let (stream, size) = (&report.stream, report.stream.frame_size);
    json!({
        "timestamp": milliseconds(report.timestamp),
        "kind": kind(report.kind),
        "ssrc": stream.ssrc,
        "mid": report.mid,
        "codecId": report.codec_id,
        "remoteId": report.remote_id,
        "packetsSent": stream.packets_sent,
        "bytesSent": stream.bytes_sent,
        "headerBytesSent": stream.header_bytes_sent,
        "retransmittedPacketsSent": stream.retransmitted_packets_sent,
        "retransmittedBytesSent": stream.retransmitted_bytes_sent,
        "framesSent": stream.frames_sent,
        "keyFramesSent": stream.key_frames_sent,
        "hugeFramesSent": stream.huge_frames_sent,
        "frameWidth": size.map(|(width, _)| width),
        "frameHeight": size.map(|(_, height)| height),
        "totalPacketSendDelay": stream.total_packet_send_delay.as_secs_f64(),
        "nackCount": stream.nack_count,
        "pliCount": stream.pli_count,
        "firCount": stream.fir_count,
    })
}

fn remote_inbound(report: &RemoteInboundRtpReport) -> Value {
    let remote = &report.report;
    json!({
        "kind": kind(report.kind),
        "ssrc": report.ssrc,
        "localId": report.local_id,
        "packetsReceived": remote.packets_received,
        "packetsLost": remote.packets_lost,
        "fractionLost": remote.fraction_lost,
        "jitter": remote.jitter.as_secs_f64(),
        "roundTripTime": remote.round_trip_time.map(|time| time.as_secs_f64()),
        "totalRoundTripTime": remote.total_round_trip_time.as_secs_f64(),
        "roundTripTimeMeasurements": remote.round_trip_time_measurements,
    })
}

fn remote_outbound(report: &RemoteOutboundRtpReport) -> Value {
    let remote = &report.report;
    json!({
        "kind": kind(report.kind),
        "ssrc": report.ssrc,
        "localId": report.local_id,
        "remoteTimestamp": milliseconds(remote.remote_timestamp),
        "packetsSent": remote.packets_sent,
        "bytesSent": remote.bytes_sent,
        "reportsSent": remote.reports_sent,
    })
}

fn transport(report: &TransportReport) -> Value {
    json!({
        "timestamp": milliseconds(report.timestamp),
        "packetsSent": report.packets_sent,
        "bytesSent": report.bytes_sent,
        "packetsReceived": report.packets_received,
        "bytesReceived": report.bytes_received,
        "iceState": state(report.ice_state),
        "iceRole": state(report.ice_role),
        "iceLocalUsernameFragment": report.ice_local_username_fragment,
        "dtlsState": state(report.dtls_state),
        "dtlsRole": report.dtls_role.map(state),
        "tlsVersion": report.tls_version,
        "dtlsCipher": report.dtls_cipher,
        "srtpCipher": report.srtp_cipher,
        "selectedCandidatePairId": report.selected_candidate_pair_id,
        "selectedCandidatePairChanges": report.selected_candidate_pair_changes,
        "localCertificateId": report.local_certificate_id,
        "remoteCertificateId": report.remote_certificate_id,
    })
}

fn pair(report: &CandidatePairReport) -> Value {
    json!({
        "timestamp": milliseconds(report.timestamp),
        "localCandidateId": report.local_candidate_id,
        "remoteCandidateId": report.remote_candidate_id,
        "state": report.state,
        "nominated": report.nominated,
        "requestsSent": report.requests_sent,
        "consentRequestsSent": report.consent_requests_sent,
        "requestsReceived": report.requests_received,
        "responsesSent": report.responses_sent,
        "responsesReceived": report.responses_received,
        "currentRoundTripTime": report.current_round_trip_time.map(|time| time.as_secs_f64()),
        "totalRoundTripTime": report.total_round_trip_time.as_secs_f64(),
    })
}

fn candidate(report: &CandidateReport) -> Value {
    // The address comes with its port, an IPv6 one in brackets.
    let (address, port) = report.address.rsplit_once(':').unwrap_or((&report.address, ""));
    json!({
        "address": address.trim_matches(['[', ']']),
        "port": port.parse::<u16>().ok(),
        "protocol": report.protocol,
        "tcpType": report.tcp_type,
        "candidateType": report.candidate_type,
        "priority": report.priority,
        "foundation": report.foundation,
    })
}

/// What has but a few members.
fn other(stats: &Stats) -> (&'static str, Value) {
    match stats {
        Stats::Codec(report) => (
            "codec",
            json!({
                "payloadType": report.payload_type,
                "mimeType": report.mime_type,
                "clockRate": report.clock_rate,
                "channels": report.channels,
            }),
        ),
        Stats::PeerConnection(report) => (
            "peer-connection",
            json!({
                "timestamp": milliseconds(report.timestamp),
                "dataChannelsOpened": report.data_channels_opened,
                "dataChannelsClosed": report.data_channels_closed,
            }),
        ),
        Stats::DataChannel(report) => (
            "data-channel",
            json!({
                "timestamp": milliseconds(report.timestamp),
                "label": report.label,
                "protocol": report.protocol,
                "dataChannelIdentifier": report.data_channel_identifier,
                "state": state(report.state),
                "messagesSent": report.messages_sent,
                "bytesSent": report.bytes_sent,
                "messagesReceived": report.messages_received,
                "bytesReceived": report.bytes_received,
            }),
        ),
        Stats::Certificate(report) => (
            "certificate",
            json!({
                "fingerprint": report.fingerprint,
                "fingerprintAlgorithm": report.fingerprint_algorithm,
            }),
        ),
        _ => ("other", Value::Null),
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Audio => "audio",
        Kind::Video => "video",
    }
}

/// The name of a state: that of the variant, in lower case.
fn state(state: impl std::fmt::Debug) -> String {
    format!("{state:?}").to_ascii_lowercase()
}
