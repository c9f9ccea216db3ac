//! Counters.

use std::time::Duration;

/// What happened so far. Counters only grow; the others are the state of the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Packets made.
    pub packets_sent: u64,
    /// Octets of packets made.
    pub bytes_sent: u64,
    /// Packets that parsed and had our tag.
    pub packets_received: u64,
    /// Octets of those.
    pub bytes_received: u64,
    /// DATA chunks sent, retransmissions included.
    pub data_sent: u64,
    /// DATA chunks that were sent again.
    pub retransmissions: u64,
    /// Losses found by later acknowledgements.
    pub fast_retransmits: u64,
    /// Packets sent to ask for acknowledgements that stayed out (RFC 8985 section 7).
    pub probes: u64,
    /// Timeouts of unacknowledged data.
    pub timeouts: u64,
    /// Times that what was taken for lost had only been overtaken, and the reduction of the window was undone.
    pub spurious_losses: u64,
    /// Timeouts that went off while the answer was on its way, and were undone.
    pub spurious_timeouts: u64,
    /// Messages given up (RFC 3758).
    pub abandoned_messages: u64,
    /// DATA chunks taken.
    pub data_received: u64,
    /// DATA chunks that had come before.
    pub duplicate_tsns: u64,
    /// DATA chunks dropped because there was no room.
    pub chunks_beyond_window: u64,
    /// Packets dropped: too short, wrong checksum, wrong ports, or chunks that go past the end.
    pub malformed_packets: u64,
    /// Packets dropped for their verification tag (RFC 9260 section 8.5).
    pub bad_tags: u64,
    /// Chunks dropped for what is in them.
    pub malformed_chunks: u64,
    /// Chunks of a type that is not known.
    pub unknown_chunks: u64,
    /// DATA chunks of a stream that there is not.
    pub unknown_streams: u64,
    /// Chunks that make no sense in the state they came in.
    pub unexpected_chunks: u64,
    /// Cookies that are not ours, were changed, or are too old.
    pub bad_cookies: u64,
    /// SACKs that acknowledge what was never sent.
    pub bad_sacks: u64,
    /// Heartbeat answers that are not to our question.
    pub bad_heartbeats: u64,
    /// Probes of the path MTU sent (RFC 8899).
    pub mtu_probes: u64,
    /// Those that were not answered in time.
    pub mtu_probes_lost: u64,
    /// Times that packets above [`Config::mtu`](crate::Config::mtu) did not come through any more.
    pub mtu_black_holes: u32,
    /// The largest packet that is made now, in octets.
    pub mtu: usize,
    /// The smoothed round-trip time, once measured.
    pub rtt: Option<Duration>,
    /// The retransmission timeout.
    pub rto: Duration,
    /// The congestion window in octets.
    pub congestion_window: usize,
    /// Octets a second at which data goes, once there is something to tell it from.
    pub send_rate: Option<u64>,
    /// The window the other side told last.
    pub remote_window: usize,
    /// Octets sent and not acknowledged, headers of the chunks included.
    pub in_flight: usize,
    /// Octets of messages that were not sent yet.
    pub queued: usize,
    /// Octets received and not read, with 256 for each chunk and 320 for each stream.
    pub unread: usize,
}
