//! Counters, under the names of the W3C's identifiers for statistics.

use std::time::{Duration, Instant};

use crate::config::Codec;

/// What a session dropped, all sources together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// RTP for a receiver that does not exist.
    pub rtp_unknown_receiver: u64,
    /// RTP of a payload type that was not negotiated.
    pub rtp_unknown_payload: u64,
    /// Retransmissions of nothing that is missing, of an unknown source, or without content.
    pub rtx_unmatched: u64,
    /// Sources that were forgotten because there were too many.
    pub streams_evicted: u64,
    /// RTCP that could not be read; each packet of a compound counts.
    pub rtcp_malformed: u64,
    /// RTCP about a source that does not exist; each block counts.
    pub rtcp_unknown_source: u64,
    /// Report blocks whose round trip cannot be.
    pub rtcp_implausible: u64,
    /// Packets that were asked for again and not sent: too many, too often, too old, or never sent.
    pub nack_refused: u64,
    /// Requests for keyframes that came too soon after another and were merged with it.
    pub keyframe_requests_merged: u64,
    /// Packets to send that were larger than any room offered, and were dropped.
    pub oversized_dropped: u64,
}

/// A source that comes in: the W3C's `inbound-rtp`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReceiverStats {
    /// The source.
    pub ssrc: u32,
    /// The codec of its newest packet.
    pub codec: Codec,
    /// The payload type of its newest packet.
    pub payload_type: u8,
    /// Packets received, retransmissions and duplicates included.
    pub packets_received: u64,
    /// Payload octets received, without headers and padding.
    pub bytes_received: u64,
    /// Octets of headers and padding received.
    pub header_bytes_received: u64,
    /// Packets lost as RFC 3550 counts: repaired ones stay lost, duplicates reduce it.
    pub packets_lost: i64,
    /// The interarrival jitter (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// Packets that came too late to be used.
    pub packets_discarded: u64,
    /// Packets that came more than once.
    pub packets_duplicated: u64,
    /// Retransmissions received (RFC 4588).
    pub retransmitted_packets_received: u64,
    /// Payload octets of retransmissions, without the two of the original sequence number.
    pub retransmitted_bytes_received: u64,
    /// Packets that were missing and came as a retransmission in time.
    pub packets_repaired: u64,
    /// When the last packet came.
    pub last_packet_received: Option<Instant>,
    /// Whole frames that were assembled.
    pub frames_received: u64,
    /// Those of them that were keyframes.
    pub key_frames_received: u64,
    /// Frames that were not given to the application: broken, or not decodable for lack of an earlier one.
    pub frames_dropped: u64,
    /// Width and height of the last keyframe in pixels, where its codec tells.
    pub frame_size: Option<(u16, u16)>,
    /// Frames of more than one packet.
    pub frames_assembled_from_multiple_packets: u64,
    /// The time from the first to the last packet of those, all together.
    pub total_assembly_time: Duration,
    /// The time that packets waited for others, all together.
    pub jitter_buffer_delay: Duration,
    /// The packets that left the buffer.
    pub jitter_buffer_emitted_count: u64,
    /// NACK packets sent.
    pub nack_count: u64,
    /// PLI packets sent.
    pub pli_count: u64,
    /// FIR packets sent.
    pub fir_count: u64,
    /// What the sender reported of itself.
    pub remote: Option<RemoteOutbound>,
}

impl ReceiverStats {
    pub(crate) fn new(ssrc: u32, codec: Codec, payload_type: u8) -> Self {
        Self {
            ssrc,
            codec,
            payload_type,
            packets_received: 0,
            bytes_received: 0,
            header_bytes_received: 0,
            packets_lost: 0,
            jitter: Duration::ZERO,
            packets_discarded: 0,
            packets_duplicated: 0,
            retransmitted_packets_received: 0,
            retransmitted_bytes_received: 0,
            packets_repaired: 0,
            last_packet_received: None,
            frames_received: 0,
            key_frames_received: 0,
            frames_dropped: 0,
            frame_size: None,
            frames_assembled_from_multiple_packets: 0,
            total_assembly_time: Duration::ZERO,
            jitter_buffer_delay: Duration::ZERO,
            jitter_buffer_emitted_count: 0,
            nack_count: 0,
            pli_count: 0,
            fir_count: 0,
            remote: None,
        }
    }
}

/// What a sender reported of itself: the W3C's `remote-outbound-rtp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteOutbound {
    /// When the last report came.
    pub at: Instant,
    /// The sender's wall clock at the last report, since the Unix epoch.
    pub remote_timestamp: Duration,
    /// Packets sent, modulo 2^32.
    pub packets_sent: u32,
    /// Payload octets sent, modulo 2^32.
    pub bytes_sent: u32,
    /// Reports received.
    pub reports_sent: u64,
}

/// A source that goes out: the W3C's `outbound-rtp`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SenderStats {
    /// The source.
    pub ssrc: u32,
    /// The source of its retransmissions.
    pub rtx_ssrc: Option<u32>,
    /// Packets sent, retransmissions included.
    pub packets_sent: u64,
    /// Payload octets sent, retransmissions included.
    pub bytes_sent: u64,
    /// Octets of headers sent, retransmissions included.
    pub header_bytes_sent: u64,
    /// Retransmissions.
    pub retransmitted_packets_sent: u64,
    /// Payload octets of retransmissions, without the two of the original sequence number.
    pub retransmitted_bytes_sent: u64,
    /// Frames taken from the application.
    pub frames_sent: u64,
    /// Those of them that were keyframes.
    pub key_frames_sent: u64,
    /// Those of them that were at least 2.5 times as large as the mean before them.
    pub huge_frames_sent: u64,
    /// Width and height of the last keyframe in pixels, where its codec tells.
    pub frame_size: Option<(u16, u16)>,
    /// The time that packets waited to be polled, all together.
    pub total_packet_send_delay: Duration,
    /// NACK packets received.
    pub nack_count: u64,
    /// PLI packets received.
    pub pli_count: u64,
    /// FIR requests received.
    pub fir_count: u64,
    /// What the receiver reported.
    pub remote: Option<RemoteInbound>,
}

impl SenderStats {
    pub(crate) fn new(ssrc: u32, rtx_ssrc: Option<u32>) -> Self {
        Self {
            ssrc,
            rtx_ssrc,
            packets_sent: 0,
            bytes_sent: 0,
            header_bytes_sent: 0,
            retransmitted_packets_sent: 0,
            retransmitted_bytes_sent: 0,
            frames_sent: 0,
            key_frames_sent: 0,
            huge_frames_sent: 0,
            frame_size: None,
            total_packet_send_delay: Duration::ZERO,
            nack_count: 0,
            pli_count: 0,
            fir_count: 0,
            remote: None,
        }
    }
}

/// What a receiver reported: the W3C's `remote-inbound-rtp`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RemoteInbound {
    /// When the last report came.
    pub at: Instant,
    /// Packets received since the beginning: those sent up to the highest that arrived, less those lost.
    pub packets_received: u64,
    /// Packets lost since the beginning.
    pub packets_lost: i64,
    /// The fraction of packets lost between the last two reports, 0.0 to 1.0.
    pub fraction_lost: f64,
    /// The interarrival jitter.
    pub jitter: Duration,
    /// The last measured round trip.
    pub round_trip_time: Option<Duration>,
    /// All measured round trips together.
    pub total_round_trip_time: Duration,
    /// How many were measured.
    pub round_trip_time_measurements: u64,
    /// Reports received.
    pub reports_received: u64,
}
