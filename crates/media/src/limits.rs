//! Every bound of this crate, and what happens when it is hit.

use std::time::Duration;

/// Sources per receiver; the one that was silent for longest is forgotten.
pub(crate) const MAX_STREAMS: usize = 16;
/// Packets that wait for one that is missing, per source; the gap is given up when more come.
pub(crate) const MAX_BUFFERED_PACKETS: usize = 2_048;
/// Payload octets that wait likewise.
pub(crate) const MAX_BUFFERED_OCTETS: usize = 4 << 20;
/// How far before the first packet of a source one may be that it overtook; older ones are too late.
pub(crate) const MAX_OVERTAKEN: u64 = 64;
/// Frames that the application has not fetched, per receiver; the oldest is dropped.
pub(crate) const MAX_READY_FRAMES: usize = 512;
/// Packets that the application has not fetched, per receiver; the oldest is dropped.
pub(crate) const MAX_READY_PACKETS: usize = 2_048;
/// Octets that the application has not fetched, per receiver; the oldest are dropped.
pub(crate) const MAX_READY_OCTETS: usize = 16 << 20;
/// Packets of one source that are asked for again at the same time; the oldest is given up.
pub(crate) const MAX_MISSING: usize = 1_000;
/// How often a packet is asked for.
pub(crate) const MAX_NACK_TRIES: u8 = 10;
/// Packets of one sender that wait to be polled; `SendError::Full` then.
pub(crate) const MAX_QUEUED_PACKETS: usize = 4_096;
/// Payload octets of one sender that wait to be polled; `SendError::Full` then.
pub(crate) const MAX_QUEUED_OCTETS: usize = 16 << 20;
/// Packets that a sender keeps to send them again; the oldest is forgotten.
pub(crate) const MAX_HISTORY_PACKETS: usize = 2_048;
/// Payload octets that a sender keeps likewise.
pub(crate) const MAX_HISTORY_OCTETS: usize = 4 << 20;
/// How long a sender keeps packets.
pub(crate) const MAX_HISTORY_AGE: Duration = Duration::from_secs(2);
/// Packets that a sender sends again within a round trip; further requests are not answered.
pub(crate) const MAX_RESENT_PER_ROUND_TRIP: u32 = 100;
/// Goodbyes that wait to be polled; further ones are not said.
pub(crate) const MAX_GOODBYES: usize = 64;
/// The longest that a packet is waited for.
pub(crate) const MAX_HOLD: Duration = Duration::from_millis(500);
/// The round trip that is assumed before it is known, RFC 4588 leaves it open; a call across a continent.
pub(crate) const DEFAULT_RTT: Duration = Duration::from_millis(100);
/// Report blocks in one packet: the count has five bits (RFC 3550 section 6.4.1).
pub(crate) const MAX_BLOCKS: usize = 31;
