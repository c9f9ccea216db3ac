//! Sending: what waits ([`queue`]), who is next ([`schedule`]), what is out ([`outstanding`], and by packets
//! [`flight`]), what only seemed lost ([`doubt`]), what is given up ([`give_up`]), when to ask for word ([`probe`]),
//! when to give up waiting ([`rto`]), how much may be out at once ([`congestion`]) and when it goes ([`pacer`]). RFC
//! 9260 sections 6.1, 6.3, 7; RFC 3758 section 3.5; RFC 8985.

pub(crate) mod congestion;
mod doubt;
mod flight;
mod give_up;
pub(crate) mod outstanding;
mod pacer;
mod probe;
mod queue;
mod rto;
mod schedule;

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::Config;
use crate::packet::data::{DATA_HEADER, DataFlags, DataHeader, Format};
use crate::packet::forward_tsn::{self, FORWARD_HEADER, FORWARD_ITEM_MAX, Lane, item_len};
use crate::packet::parameter::Capabilities;
use crate::packet::sack::SackView;
use crate::packet::tlv::padded;
use crate::packet::{HEADER_LEN, Tsn};
use crate::stats::Stats;
use crate::types::{StreamId, WriteOptions};

use congestion::{AckInfo, Controller, Limit};
use doubt::{Doubt, Tolerance, Verdict};
use outstanding::{Acked, Outstanding};
use pacer::Pacer;
use probe::Probe;
pub(crate) use queue::{Reset, SendQueue};
use rto::Rto;

/// Whether losses are being repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recovery {
    /// No.
    Open,
    /// Since acknowledgements showed a loss; over when `exit` is acknowledged. The window does not grow.
    Fast { exit: u64 },
    /// Since T3-rtx went off. The window grows from one packet.
    Timeout { exit: u64 },
}

/// Large packets in a row that acknowledgements of others show to be lost before that counts as a black hole.
const BLACK_HOLE_LOSSES: usize = 6;

/// The same where nothing is acknowledged at all until the timer goes off.
const BLACK_HOLE_TIMEOUTS: usize = 2;

/// With more chunks than these outstanding, what a closed window refused is looked for only once in an interval, so that a
/// window that opens with every SACK costs little.
const REOPEN_SCAN: usize = 64;

/// That interval.
const REOPEN_INTERVAL: Duration = Duration::from_millis(10);

/// Octets of chunks that packets of this size have no room for.
fn large_from(mtu: usize) -> usize {
    mtu.saturating_sub(HEADER_LEN)
}

/// What a SACK did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SackResult {
    /// Older than what is known.
    Stale,
    /// It acknowledges what was never sent.
    Invalid,
    Taken,
}

/// Which DATA may go into the packet that is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Lost(u64),
    New(usize),
}

/// The sending half of an association.
#[derive(Debug)]
pub(crate) struct Transmitter {
    pub(crate) queue: SendQueue,
    out: Outstanding,
    rto: Rto,
    controller: Box<dyn Controller>,
    pacer: Pacer,
    /// There is something that may go, once the pacer lets it.
    paced: bool,
    /// What had been delivered when the round trip began that is going on.
    round_end: u64,
    recovery: Recovery,
    doubt: Doubt,
    probe: Probe,
    /// The window the other side told.
    remote_window: usize,
    /// One packet of retransmissions may go whatever the window says (RFC 9260 section 7.2.4, rule 3).
    fast_packet: bool,
    /// What held data back since the last acknowledgement.
    limit: Limit,
    forward: Forward,
    restart_timer: bool,
    errors: u32,
    last_sent: Option<Instant>,
    /// When something was last acknowledged for the first time.
    last_acked: Option<Instant>,
    /// When the other side's window last opened and what it had refused was looked for.
    opened: Option<Instant>,
    /// What both sides can do.
    agreed: Capabilities,
    max_packet: usize,
    /// Packets larger than that do not come through any more.
    black_hole: bool,
}

/// The FORWARD TSN that is wanted (RFC 3758 section 3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forward {
    Idle,
    Due,
}

impl Transmitter {
    pub(crate) fn new(config: &Config, first: Tsn) -> Self {
        let mut out = Outstanding::new(first);
        out.set_large(large_from(config.mtu));
        Self {
            queue: SendQueue::new(config.scheduler),
            out,
            rto: Rto::new(config.rto_initial, config.rto_min, config.rto_max),
            // The first TSN is random, and different at both ends.
            controller: congestion::controller(config.congestion, config.mtu, first.get()),
            pacer: Pacer::new(config.mtu),
            paced: false,
            round_end: 0,
            recovery: Recovery::Open,
            doubt: Doubt::default(),
            probe: Probe::Armed,
            remote_window: 0,
            fast_packet: false,
            limit: Limit::Application,
            forward: Forward::Idle,
            restart_timer: false,
            errors: 0,
            last_sent: None,
            last_acked: None,
            opened: None,
            agreed: Capabilities::default(),
            max_packet: config.mtu,
            black_hole: false,
        }
    }

    /// What INIT or INIT ACK of the other side said.
    pub(crate) fn start(&mut self, remote_window: u32, agreed: Capabilities) {
        self.remote_window = remote_window as usize;
        self.agreed = agreed;
        self.queue.start(agreed.format(), self.remote_window);
        self.out.set_format(agreed.format());
    }

    /// Begins anew at `first`; everything that was queued or out is dropped.
    pub(crate) fn restart(&mut self, config: &Config, first: Tsn) {
        let dropped = self.queue.dropped();
        *self = Self::new(config, first);
        self.queue.count_dropped(dropped);
    }

    pub(crate) fn write(&mut self, now: Instant, stream: StreamId, options: &WriteOptions, data: Bytes) {
        self.queue.push(now, stream.0, options, data);
    }

    /// No chunk is cut larger from now on than a packet of so many octets takes.
    pub(crate) fn set_mtu(&mut self, mtu: usize) {
        self.max_packet = mtu;
        self.out.set_large(large_from(mtu));
    }

    /// Whether packets larger than a chunk may be do not come through any more: true once for each time that it shows.
    pub(crate) fn take_black_hole(&mut self) -> bool {
        std::mem::take(&mut self.black_hole)
    }

    /// As many large packets as that were lost, and none came through that was sent later.
    fn find_black_hole(&mut self, enough: usize) {
        if self.out.large_lost() >= enough {
            self.black_hole = true;
            self.out.forget_large_lost();
        }
    }

    /// Takes a SACK (RFC 9260 section 6.2.1).
    pub(crate) fn on_sack(&mut self, now: Instant, sack: &SackView<'_>, stats: &mut Stats) -> SackResult {
        let acked = match self.out.on_sack(sack, self.rto.lowest(), now) {
            Ok(acked) => acked,
            Err(result) => return result,
        };
        let latest_rtt = acked.latest_rtt(now);
        if let Some(rtt) = latest_rtt {
            self.rto.sample(rtt);
        }
        if acked.octets > 0 {
            self.errors = 0;
            self.probe = Probe::Armed;
            self.last_acked = Some(now);
        }
        self.leave_recovery();
        if acked.octets > 0 {
            self.tell_controller(now, &acked, latest_rtt);
        }
        self.restart_timer |= acked.advanced;
        let was_closed = self.remote_window < self.max_packet;
        self.remote_window = sack.window as usize;
        if self.remote_window == 0 {
            // The other side lives, and only its reader is slow (RFC 9260 section 6.1, rule A).
            self.errors = 0;
        } else if was_closed && self.remote_window >= self.max_packet {
            self.on_window_open(now);
        }
        self.undo_spurious(&acked, stats);
        self.find_losses(now, stats);
        if acked.by_probe && self.recovery == Recovery::Open {
            // The probe repaired a loss that nobody else will see (RFC 8985 section 7.4).
            self.controller.on_loss(now);
        }
        self.abandon(now, stats);
        self.set_rate(now);
        SackResult::Taken
    }

    /// What the closed window refused need not wait for the timer, whose back-off may have become long.
    fn on_window_open(&mut self, now: Instant) {
        let recent = |at: Instant| now.saturating_duration_since(at) < REOPEN_INTERVAL;
        if self.out.outstanding() > REOPEN_SCAN && self.opened.is_some_and(recent) {
            return;
        }
        self.opened = Some(now);
        self.out.lose_refused(now, self.rto.for_losses().unwrap_or_default());
    }

    fn tell_controller(&mut self, now: Instant, acked: &Acked, latest_rtt: Option<Duration>) {
        let round_start = acked.rate.is_some_and(|sample| sample.prior_delivered >= self.round_end);
        if round_start {
            self.round_end = self.out.delivered();
        }
        let recovering = matches!(self.recovery, Recovery::Fast { .. });
        self.controller.on_ack(&AckInfo {
            now,
            acked: acked.octets,
            rtt: self.rto.smoothed(),
            latest_rtt,
            limit: std::mem::replace(&mut self.limit, Limit::Application),
            recovering,
            round_start,
            in_flight: self.out.in_flight(),
            delivered: self.out.delivered(),
            sample: acked.rate,
        });
    }

    /// What was done about losses that were none.
    fn undo_spurious(&mut self, acked: &Acked, stats: &mut Stats) {
        if acked.overtaken {
            self.doubt.on_overtaken();
        }
        match self.doubt.on_spurious(&acked.spurious, &acked.duplicates) {
            Verdict::Guilty => return,
            Verdict::SpuriousLosses => stats.spurious_losses += 1,
            Verdict::SpuriousTimeout => {
                stats.spurious_timeouts += 1;
                self.out.find_again();
            }
        }
        self.controller.undo();
        self.recovery = Recovery::Open;
    }

    fn tolerance(&self) -> Tolerance {
        self.doubt.tolerance(self.rto.for_losses())
    }

    fn set_rate(&mut self, now: Instant) {
        let rtt = self.rto.smoothed();
        self.pacer.set_rate(now, self.controller.rate(rtt), rtt);
    }

    /// Sets what is sent at most, in octets a second.
    pub(crate) fn set_rate_cap(&mut self, now: Instant, cap: Option<f64>) {
        self.pacer.set_cap(now, cap);
    }

    /// The rate at which data goes, in octets a second.
    pub(crate) fn send_rate(&self) -> Option<f64> {
        let rtt = self.rto.smoothed();
        self.pacer.rate().or_else(|| self.controller.rate(rtt))
    }

    /// The time has come that [`paced_until`](Self::paced_until) told.
    pub(crate) fn on_pace_timeout(&mut self) {
        self.paced = false;
    }

    /// When what the pacer holds back may go.
    pub(crate) fn paced_until(&self) -> Option<Instant> {
        if self.paced { self.pacer.opens_at() } else { None }
    }

    fn leave_recovery(&mut self) {
        let (Recovery::Fast { exit } | Recovery::Timeout { exit }) = self.recovery else { return };
        if self.out.cumulative() >= exit {
            self.recovery = Recovery::Open;
            self.fast_packet = false;
        }
    }

    fn find_losses(&mut self, now: Instant, stats: &mut Stats) {
        let lost = self.out.find_losses(now, self.tolerance());
        if lost.tsns.is_empty() {
            return;
        }
        stats.fast_retransmits += lost.tsns.len() as u64;
        self.find_black_hole(BLACK_HOLE_LOSSES);
        if let Some(packet) = &lost.packet {
            self.controller.on_lost_packet(now, packet);
        }
        if self.recovery == Recovery::Open {
            self.controller.on_loss(now);
            self.recovery = Recovery::Fast { exit: self.out.newest() };
            self.fast_packet = true;
            self.doubt.start_losses();
        }
        self.doubt.on_lost(&lost.tsns);
    }

    /// T3-rtx went off (RFC 9260 section 6.3.3). Returns how many timeouts there were in a row.
    pub(crate) fn on_timeout(&mut self, now: Instant, stats: &mut Stats) -> u32 {
        stats.timeouts += 1;
        self.errors += 1;
        self.rto.back_off();
        if self.out.lose_all() {
            self.controller.on_timeout();
            self.recovery = Recovery::Timeout { exit: self.out.newest() };
            self.doubt.start_timeout();
            self.set_rate(now);
        }
        self.find_black_hole(BLACK_HOLE_TIMEOUTS);
        self.fast_packet = true;
        if self.out.forward_point().is_some() {
            self.forward = Forward::Due;
        }
        self.abandon(now, stats);
        self.errors
    }

    /// One more thing went unanswered: a heartbeat, a reset request.
    pub(crate) fn count_error(&mut self) -> u32 {
        self.errors += 1;
        self.errors
    }

    pub(crate) fn clear_errors(&mut self) {
        self.errors = 0;
    }

    pub(crate) fn sample_rtt(&mut self, rtt: Duration) {
        self.rto.sample(rtt);
    }

    pub(crate) fn back_off(&mut self) {
        self.rto.back_off();
    }

    /// Appends DATA chunks to the packet that starts at `start` while they fit into `end` octets of `out`.
    pub(crate) fn write_data(
        &mut self,
        now: Instant,
        end: usize,
        out: &mut Vec<u8>,
        stats: &mut Stats,
    ) -> usize {
        if self.queue.is_idle() && self.out.is_empty() {
            // As always at the end that only receives.
            self.paced = false;
            self.out.shrink();
            self.out.on_app_limited();
            return 0;
        }
        self.note_idle(now);
        self.give_up_overdue(now, stats);
        if !self.has_data() {
            // Not sooner: between two flights of one transfer the memory would only be asked for again.
            self.out.shrink();
        }
        self.paced = false;
        if self.probe != Probe::Due && !self.pacer.is_open(now) {
            // Room for a small chunk is all that is asked for: what is larger waits as well.
            self.paced = self.next(now, end.saturating_sub(out.len())).is_some();
            if self.paced {
                self.limit = self.limit.max(Limit::Pacer);
            }
            return 0;
        }
        self.out.begin_packet();
        let before = out.len();
        let mut chunks = 0;
        let mut retransmitted = false;
        while let Some(next) = self.next(now, end.saturating_sub(out.len())) {
            match next {
                Next::Lost(tsn) => {
                    // RFC 9260 section 7.2.4, rule 4: the timer must leave time for the answer.
                    self.restart_timer |= self.out.is_first(tsn);
                    self.out.retransmit(tsn, now, out);
                    retransmitted = true;
                    stats.retransmissions += 1;
                }
                Next::New(length) => {
                    let Some(piece) = self.queue.take(length, self.out.newest() + 1) else { break };
                    // What fills the window asks for an answer at once: nothing else would bring one (RFC 7053).
                    let immediate = self.window_is_full(self.header_len() + length);
                    self.out.push(piece, now, immediate, out);
                }
            }
            chunks += 1;
            self.give_up_overdue(now, stats);
        }
        if retransmitted {
            self.fast_packet = false;
        }
        if chunks > 0 {
            self.pacer.on_sent(out.len() - before);
            self.note_probe_sent(stats);
            self.last_sent = Some(now);
            stats.data_sent += chunks as u64;
        }
        if !self.has_data() && !self.window_is_full(0) {
            self.out.on_app_limited();
        }
        chunks
    }

    /// The next DATA that may go into `room` octets: lost ones first (RFC 9260 section 6.1, rule C).
    fn next(&mut self, now: Instant, room: usize) -> Option<Next> {
        let full = self.window_is_full(0);
        if full && self.has_data() {
            self.limit = Limit::Window;
        }
        if let Some((tsn, length)) = self.out.first_lost() {
            let allowed = !full || self.fast_packet;
            return (allowed && padded(self.header_len() + length) <= room).then_some(Next::Lost(tsn));
        }
        if full && self.probe != Probe::Due {
            return None;
        }
        // What is sent must fit every path, because it cannot be cut again.
        let room = room.min(self.max_packet.saturating_sub(HEADER_LEN));
        let room = room.checked_sub(self.header_len()).map(|room| room & !3)?;
        let length = self.queue.peek(now, room)?;
        let outstanding = self.out.octets();
        let window = self.remote_window.saturating_sub(outstanding);
        // A closed window is probed by one chunk (RFC 9260 section 6.1, rule A).
        if length > window && outstanding > 0 {
            self.out.on_app_limited();
            return None;
        }
        Some(Next::New(length))
    }

    /// Whether the DATA that would go next needs no cut to go into `room` octets.
    pub(crate) fn next_fits(&mut self, room: usize) -> bool {
        let Some(room) = room.checked_sub(self.header_len()).map(|room| room & !3) else { return false };
        match self.out.first_lost() {
            Some((_, length)) => padded(length) <= room,
            None => self.queue.next_ends_within(room),
        }
    }

    /// Octets of a packet that takes the first lost chunk; zero if none is.
    pub(crate) fn lost_packet_len(&self) -> usize {
        self.out.first_lost().map_or(0, |(_, length)| HEADER_LEN + padded(self.header_len() + length))
    }

    fn header_len(&self) -> usize {
        self.agreed.format().header_len()
    }

    fn window_is_full(&self, more: usize) -> bool {
        self.out.in_flight() + more >= self.controller.window()
    }

    fn note_idle(&mut self, now: Instant) {
        let Some(last) = self.last_sent.filter(|_| self.out.is_empty()) else { return };
        let idle = now.saturating_duration_since(last).as_millis();
        let periods = idle / self.rto.current().as_millis().max(1);
        if periods > 0 && !self.queue.is_idle() {
            self.controller.on_idle(periods.min(31) as u32);
            self.last_sent = Some(now);
        }
    }

    /// There is data that would go if the windows let it.
    pub(crate) fn has_data(&self) -> bool {
        !self.queue.is_idle() || self.out.first_lost().is_some()
    }

    /// Something of DATA or FORWARD TSN is unacknowledged.
    pub(crate) fn wants_timer(&self) -> bool {
        !self.out.is_empty()
    }

    /// The cumulative point moved: the timer starts again (RFC 9260 section 6.3.2, rule R3).
    pub(crate) fn take_timer_restart(&mut self) -> bool {
        std::mem::take(&mut self.restart_timer)
    }

    pub(crate) fn is_forward_due(&self) -> bool {
        self.forward == Forward::Due
    }

    /// Appends a FORWARD TSN within `room` octets.
    pub(crate) fn write_forward(&mut self, room: usize, out: &mut Vec<u8>) -> bool {
        let Some(point) = self.out.forward_point() else {
            self.forward = Forward::Idle;
            return false;
        };
        let (format, skipped) = (self.agreed.format(), self.out.skipped());
        // All of it or nothing: a stream that is not named would wait for ever for what is skipped. It fits into the
        // smallest packet.
        if FORWARD_HEADER + skipped.len() * item_len(format) > room {
            return false;
        }
        forward_tsn::write(format, out, point, skipped.iter().map(|(&lane, &number)| (lane, number)));
        self.forward = Forward::Idle;
        true
    }

    /// Nothing is queued and nothing is unacknowledged.
    pub(crate) fn is_drained(&self) -> bool {
        self.queue.is_empty() && self.out.is_empty()
    }

    /// The smoothed round-trip time.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rto.smoothed()
    }

    pub(crate) fn rto(&self) -> Duration {
        self.rto.current()
    }

    /// The TSN before the next new one.
    pub(crate) fn newest(&self) -> Tsn {
        Tsn::new(self.out.newest() as u32)
    }

    /// The window the other side told last.
    pub(crate) fn remote_window(&self) -> usize {
        self.remote_window
    }

    pub(crate) fn fill_stats(&self, stats: &mut Stats) {
        stats.rtt = self.rto.smoothed();
        stats.rto = self.rto.current();
        stats.congestion_window = self.controller.window();
        stats.send_rate = self.send_rate().map(|rate| rate as u64);
        stats.remote_window = self.remote_window;
        stats.in_flight = self.out.in_flight();
        stats.queued = self.queue.octets();
        stats.abandoned_messages += self.queue.dropped();
    }

    /// What went beside a COOKIE ECHO that was lost goes again, without blaming the path twice.
    pub(crate) fn resend_all(&mut self) {
        self.out.lose_all();
    }
}
