//! What a session and a channel are made with.

use std::time::Duration;

use taut_sctp::{CongestionAlgorithm, Scheduler};

/// The settings of a [`Session`](crate::Session). Make one with `Config::default()` and the setters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The largest message that is taken, in octets, as announced to the other side; zero for any, which is held to
    /// [`Config::MESSAGE_SIZE_MAX`]. A channel on which a larger one comes is closed.
    pub max_message_size: usize,
    /// Octets of messages that may wait to be sent on all channels together.
    pub send_buffer: usize,
    /// Octets that may wait to be read: this much in the association, where it is the receive window, and this much
    /// in whole messages that were not polled.
    pub receive_buffer: usize,
    /// How many channels the other side may have at once, closed ones included whose messages or events were not
    /// polled. More are refused.
    pub max_incoming_channels: usize,
    /// The local SCTP port.
    pub port: u16,
    /// The largest SCTP packet in octets.
    pub mtu: usize,
    /// The algorithm that sets the congestion window.
    pub congestion: CongestionAlgorithm,
    /// Whether messages of different channels may be mixed on the wire, so that a large one does not hold up others
    /// (I-DATA, RFC 8260), if the other side can too.
    pub interleaving: bool,
    /// Which channel sends next, by the [priorities](ChannelInit::priority).
    pub scheduler: Scheduler,
    /// Whether packets go without a checksum of their own, if the other side agrees: DTLS has a better one (RFC 9653).
    pub zero_checksum: bool,
    /// How long is waited for what, and how often.
    pub timing: Timing,
}

/// How long an association waits (RFC 9260 section 16). The default is that of [`taut_sctp::Config`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// The retransmission timeout before anything was measured (RTO.Initial).
    pub rto_initial: Duration,
    /// Its lower bound (RTO.Min).
    pub rto_min: Duration,
    /// Its upper bound, back-off included (RTO.Max).
    pub rto_max: Duration,
    /// How many timeouts in a row end the association (Association.Max.Retrans).
    pub max_retransmits: u32,
    /// The time between heartbeats on an idle association (HB.interval).
    pub heartbeat_interval: Duration,
    /// How long an acknowledgement may be held back (SACK.Delay).
    pub sack_delay: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let sctp = taut_sctp::Config::default();
        Self {
            rto_initial: sctp.rto_initial,
            rto_min: sctp.rto_min,
            rto_max: sctp.rto_max,
            max_retransmits: sctp.max_retransmits,
            heartbeat_interval: sctp.heartbeat_interval,
            sack_delay: sctp.sack_delay,
        }
    }
}

impl Timing {
    /// Sets [`Timing::rto_initial`], [`Timing::rto_min`] and [`Timing::rto_max`]. The first is brought between the others.
    #[must_use]
    pub fn with_rto(mut self, initial: Duration, min: Duration, max: Duration) -> Self {
        (self.rto_initial, self.rto_min, self.rto_max) = (initial, min, max);
        self
    }

    /// Sets [`Timing::max_retransmits`].
    #[must_use]
    pub fn with_max_retransmits(mut self, count: u32) -> Self {
        self.max_retransmits = count;
        self
    }

    /// Sets [`Timing::heartbeat_interval`]; at least 100 ms.
    #[must_use]
    pub fn with_heartbeat_interval(mut self, time: Duration) -> Self {
        self.heartbeat_interval = time;
        self
    }

    /// Sets [`Timing::sack_delay`]; at most 500 ms.
    #[must_use]
    pub fn with_sack_delay(mut self, time: Duration) -> Self {
        self.sack_delay = time;
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        let sctp = taut_sctp::Config::default();
        Self {
            max_message_size: 262_144,
            send_buffer: sctp.send_buffer,
            receive_buffer: sctp.receive_window,
            max_incoming_channels: 4_096,
            port: sctp.local_port,
            mtu: sctp.mtu,
            congestion: sctp.congestion,
            interleaving: sctp.interleaving,
            scheduler: sctp.scheduler,
            zero_checksum: true,
            timing: Timing::default(),
        }
    }
}

impl Config {
    /// The largest message that is taken whatever [`Config::max_message_size`] says: a message is put together in
    /// memory, one at a time.
    pub const MESSAGE_SIZE_MAX: usize = 64 << 20;

    /// The largest message that is taken.
    pub(crate) fn message_limit(&self) -> usize {
        match self.max_message_size {
            0 => Self::MESSAGE_SIZE_MAX,
            size => size.min(Self::MESSAGE_SIZE_MAX),
        }
    }

    /// Sets [`Config::max_message_size`].
    #[must_use]
    pub fn with_max_message_size(mut self, octets: usize) -> Self {
        self.max_message_size = octets;
        self
    }

    /// Sets [`Config::send_buffer`].
    #[must_use]
    pub fn with_send_buffer(mut self, octets: usize) -> Self {
        self.send_buffer = octets;
        self
    }

    /// Sets [`Config::receive_buffer`].
    #[must_use]
    pub fn with_receive_buffer(mut self, octets: usize) -> Self {
        self.receive_buffer = octets;
        self
    }

    /// Sets [`Config::max_incoming_channels`].
    #[must_use]
    pub fn with_max_incoming_channels(mut self, channels: usize) -> Self {
        self.max_incoming_channels = channels;
        self
    }

    /// Sets [`Config::port`].
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets [`Config::mtu`].
    #[must_use]
    pub fn with_mtu(mut self, octets: usize) -> Self {
        self.mtu = octets;
        self
    }

    /// Sets [`Config::congestion`].
    #[must_use]
    pub fn with_congestion(mut self, algorithm: CongestionAlgorithm) -> Self {
        self.congestion = algorithm;
        self
    }

    /// Sets [`Config::interleaving`].
    #[must_use]
    pub fn with_interleaving(mut self, interleaving: bool) -> Self {
        self.interleaving = interleaving;
        self
    }

    /// Sets [`Config::scheduler`].
    #[must_use]
    pub fn with_scheduler(mut self, scheduler: Scheduler) -> Self {
        self.scheduler = scheduler;
        self
    }

    /// Sets [`Config::zero_checksum`].
    #[must_use]
    pub fn with_zero_checksum(mut self, zero_checksum: bool) -> Self {
        self.zero_checksum = zero_checksum;
        self
    }

    /// Sets [`Config::timing`].
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }
}

/// How a channel shares the way with others (W3C `RTCPriorityType`; RFC 8831 section 6.4 has the numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// 128: half of what a low one gets.
    VeryLow,
    /// 256.
    #[default]
    Low,
    /// 512: twice what a low one gets.
    Medium,
    /// 1024: four times what a low one gets.
    High,
}

impl Priority {
    /// The number that goes over the wire, and the weight.
    pub(crate) fn weight(self) -> u16 {
        match self {
            Self::VeryLow => 128,
            Self::Low => 256,
            Self::Medium => 512,
            Self::High => 1024,
        }
    }

    /// What a number of the other side comes to (W3C webrtc-priority section 4).
    pub(crate) fn of_weight(weight: u16) -> Self {
        match weight {
            0..=128 => Self::VeryLow,
            129..=256 => Self::Low,
            257..=512 => Self::Medium,
            _ => Self::High,
        }
    }
}

/// How a channel is to be (W3C `RTCDataChannelInit`). Make one with [`ChannelInit::new`] and the setters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelInit {
    /// Its label, at most 65,535 octets.
    pub label: String,
    /// Its subprotocol, at most 65,535 octets.
    pub protocol: String,
    /// Whether messages arrive in the order they were sent.
    pub ordered: bool,
    /// After how many retransmissions a message is given up.
    pub max_retransmits: Option<u16>,
    /// After what time a message is given up. Whole milliseconds go to the other side.
    pub max_packet_life_time: Option<Duration>,
    /// How it shares the way with other channels; the other side is told (RFC 8831 section 6.4).
    pub priority: Priority,
    /// The id that both sides agreed on beforehand; then nothing is said to the other side about this channel.
    pub negotiated: Option<u16>,
}

impl ChannelInit {
    /// A reliable, ordered channel.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            protocol: String::new(),
            ordered: true,
            max_retransmits: None,
            max_packet_life_time: None,
            priority: Priority::default(),
            negotiated: None,
        }
    }

    /// Sets [`ChannelInit::protocol`].
    #[must_use]
    pub fn with_protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocol = protocol.into();
        self
    }

    /// Sets [`ChannelInit::ordered`].
    #[must_use]
    pub fn with_ordered(mut self, ordered: bool) -> Self {
        self.ordered = ordered;
        self
    }

    /// Sets [`ChannelInit::max_retransmits`].
    #[must_use]
    pub fn with_max_retransmits(mut self, count: u16) -> Self {
        self.max_retransmits = Some(count);
        self
    }

    /// Sets [`ChannelInit::max_packet_life_time`].
    #[must_use]
    pub fn with_max_packet_life_time(mut self, time: Duration) -> Self {
        self.max_packet_life_time = Some(time);
        self
    }

    /// Sets [`ChannelInit::priority`].
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets [`ChannelInit::negotiated`].
    #[must_use]
    pub fn with_negotiated(mut self, id: u16) -> Self {
        self.negotiated = Some(id);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_bounded_whatever_is_announced() {
        let limit = |size| Config::default().with_max_message_size(size).message_limit();
        assert_eq!((limit(1), limit(0), limit(usize::MAX)), (1, 64 << 20, 64 << 20));
    }
}
