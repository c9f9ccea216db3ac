//! What an association is made with.

use std::time::Duration;

/// The settings of an [`Association`](crate::Association). Make one with `Config::default()` and the setters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The local SCTP port; in WebRTC the value of `a=sctp-port`, 5000 in practice (RFC 8841).
    pub local_port: u16,
    /// The port of the other side.
    pub remote_port: u16,
    /// The largest SCTP packet in octets that every path carries. Larger ones are made only where
    /// [`Association::set_path_mtu`](crate::Association::set_path_mtu) asks for it and they were found to come through.
    pub mtu: usize,
    /// Octets of received data that may wait to be read, with what it costs to keep them (256 for each chunk, 320 for
    /// each stream). The window that is advertised is what is left of that; it begins with 1 MiB and grows to this as
    /// far as the path needs it. The default fills 1 Gbit/s at a round trip of 40 ms, and 100 Mbit/s at 300 ms.
    pub receive_window: usize,
    /// Octets of messages that may wait to be sent; beyond it `write` refuses.
    pub send_buffer: usize,
    /// How many streams are asked for in each direction.
    pub streams: u16,
    /// How many streams the other side may have added, in each direction, with those that there were at first.
    pub max_streams: u16,
    /// The retransmission timeout before anything was measured (RTO.Initial).
    pub rto_initial: Duration,
    /// Its lower bound (RTO.Min).
    pub rto_min: Duration,
    /// Its upper bound, back-off included (RTO.Max).
    pub rto_max: Duration,
    /// How many timeouts in a row end the association (Association.Max.Retrans).
    pub max_retransmits: u32,
    /// How many timeouts of INIT or COOKIE ECHO end the set-up (Max.Init.Retransmits).
    pub max_init_retransmits: u32,
    /// How long a state cookie is good (Valid.Cookie.Life).
    pub cookie_life: Duration,
    /// The time between heartbeats on an idle association (HB.interval).
    pub heartbeat_interval: Duration,
    /// How long an acknowledgement may be held back (SACK.Delay; at most 500 ms by RFC 9260 section 6.2).
    pub sack_delay: Duration,
    /// The algorithm that sets the congestion window.
    pub congestion: CongestionAlgorithm,
    /// Whether messages of different streams may be mixed on the wire (I-DATA, RFC 8260), if the other side can too:
    /// a large message then delays those of other streams by no more than a few packets.
    pub interleaving: bool,
    /// Which stream sends next.
    pub scheduler: Scheduler,
    /// Whether packets go without a checksum, if the other side agrees, and are taken without one (RFC 9653). Only for
    /// an association that DTLS carries, which finds every error itself.
    pub zero_checksum: bool,
}

/// Which stream sends next when several have something to send (RFC 8260 section 3). With interleaving they are asked
/// before every piece, without it before every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scheduler {
    /// One after the other.
    RoundRobin,
    /// As many octets for each as its priority says, in proportion (RFC 8831 section 6.4 asks for it).
    #[default]
    WeightedFair,
    /// The highest priority first; others wait while it has something to send.
    Priority,
}

/// The algorithm that sets the congestion window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CongestionAlgorithm {
    /// RFC 9260 section 7: slow start, congestion avoidance, halving on loss.
    NewReno,
    /// CUBIC (RFC 9438) with HyStart++ (RFC 9406).
    Cubic,
    /// Of the BBR family (draft-ietf-ccwg-bbr): sends at the rate that the path delivers. Random loss does not slow it
    /// down, it keeps queues short, and it shares them with CUBIC.
    #[default]
    Bbr,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            local_port: 5000,
            remote_port: 5000,
            // What is left of 1,280 octets after IPv6, UDP and DTLS (RFC 8261 section 5 asks for no more unless
            // the path is known).
            mtu: 1_191,
            receive_window: 16 << 20,
            send_buffer: 16 << 20,
            streams: u16::MAX,
            max_streams: u16::MAX,
            rto_initial: Duration::from_secs(1),
            // Below the 1 s of RFC 9260, as browsers do; above the 200 ms of a delayed acknowledgement.
            rto_min: Duration::from_millis(400),
            rto_max: Duration::from_secs(10),
            // Double the RFC's 10: on a path that ICE watches, consent decides when it is dead.
            max_retransmits: 20,
            max_init_retransmits: 16,
            cookie_life: Duration::from_secs(60),
            heartbeat_interval: Duration::from_secs(30),
            sack_delay: Duration::from_millis(50),
            congestion: CongestionAlgorithm::default(),
            interleaving: true,
            scheduler: Scheduler::default(),
            zero_checksum: false,
        }
    }
}

macro_rules! setters {
    ($($(#[$meta:meta])* $setter:ident: $name:ident = $type:ty),* $(,)?) => {
        impl Config {$(
            $(#[$meta])*
            #[must_use]
            pub fn $setter(mut self, value: $type) -> Self {
                self.$name = value;
                self
            }
        )*}
    };
}

setters! {
    /// Sets [`Config::local_port`].
    with_local_port: local_port = u16,
    /// Sets [`Config::remote_port`].
    with_remote_port: remote_port = u16,
    /// Sets [`Config::mtu`]; below [`Config::MTU_MIN`] it is taken as that.
    with_mtu: mtu = usize,
    /// Sets [`Config::receive_window`]; below [`Config::WINDOW_MIN`] it is taken as that.
    with_receive_window: receive_window = usize,
    /// Sets [`Config::send_buffer`].
    with_send_buffer: send_buffer = usize,
    /// Sets [`Config::streams`]; zero is taken as one.
    with_streams: streams = u16,
    /// Sets [`Config::max_streams`].
    with_max_streams: max_streams = u16,
    /// Sets [`Config::rto_initial`].
    with_rto_initial: rto_initial = Duration,
    /// Sets [`Config::rto_min`].
    with_rto_min: rto_min = Duration,
    /// Sets [`Config::rto_max`].
    with_rto_max: rto_max = Duration,
    /// Sets [`Config::max_retransmits`].
    with_max_retransmits: max_retransmits = u32,
    /// Sets [`Config::max_init_retransmits`].
    with_max_init_retransmits: max_init_retransmits = u32,
    /// Sets [`Config::cookie_life`].
    with_cookie_life: cookie_life = Duration,
    /// Sets [`Config::heartbeat_interval`].
    with_heartbeat_interval: heartbeat_interval = Duration,
    /// Sets [`Config::sack_delay`].
    with_sack_delay: sack_delay = Duration,
    /// Sets [`Config::congestion`].
    with_congestion: congestion = CongestionAlgorithm,
    /// Sets [`Config::interleaving`].
    with_interleaving: interleaving = bool,
    /// Sets [`Config::scheduler`].
    with_scheduler: scheduler = Scheduler,
    /// Sets [`Config::zero_checksum`].
    with_zero_checksum: zero_checksum = bool,
}

impl Config {
    /// The smallest MTU: a handshake packet fits with room to spare.
    pub const MTU_MIN: usize = 512;

    /// The largest MTU: what the length of a chunk can tell.
    pub const MTU_MAX: usize = 65_532;

    /// The smallest window: RFC 9260 section 3.3.2 asks for at least 1,500 octets.
    pub const WINDOW_MIN: usize = 1_500;

    /// The settings with everything brought into its range.
    pub(crate) fn sane(mut self) -> Self {
        self.mtu = self.mtu.clamp(Self::MTU_MIN, Self::MTU_MAX);
        self.receive_window = self.receive_window.clamp(Self::WINDOW_MIN, u32::MAX as usize);
        self.streams = self.streams.max(1);
        self.rto_min = self.rto_min.max(Duration::from_millis(1));
        self.rto_max = self.rto_max.max(self.rto_min);
        self.rto_initial = self.rto_initial.clamp(self.rto_min, self.rto_max);
        self.sack_delay = self.sack_delay.min(Duration::from_millis(500));
        self.heartbeat_interval = self.heartbeat_interval.max(Duration::from_millis(100));
        self
    }
}
