//! A packet goes out. Chunks are bundled up to the room there is (RFC 9260 section 6.10), written once at their
//! final place, and the checksum is put in last.

use std::time::Instant;

use crate::assoc::heartbeat::Heartbeat;
use crate::association::{Association, Phase, Reply, Sending};
use crate::packet::parameter::{Capabilities, parameter_kind};
use crate::packet::tlv::padded;
use crate::packet::{HEADER_LEN, Header, cause, chunk_head, finish, init, kind, put_tlv};

/// Octets of a chunk with nothing in it.
const EMPTY_CHUNK: usize = 4;

/// Octets of a SHUTDOWN.
const SHUTDOWN_LEN: usize = 8;

/// Octets of a HEARTBEAT of ours.
const HEARTBEAT_LEN: usize = 32;

impl Association {
    /// Appends at most one packet of at most `room` octets to `out` and returns its length. Called until it
    /// returns `None`.
    ///
    /// A chunk that has been sent is never cut again (RFC 9260 section 6.9), and no chunk is cut larger than
    /// [`Config::mtu`](crate::Config::mtu) allows, or what was [set](Self::set_path_mtu) for the path: a `room` of at
    /// least that is always enough. What was cut when that was more is sent again in a packet as large as it needs,
    /// if there is `room`, and waits for it otherwise.
    pub fn poll_transmit(&mut self, now: Instant, room: usize, out: &mut Vec<u8>) -> Option<usize> {
        let now = self.tick(now);
        let start = out.len();
        // What is lost may have been cut when there was more room.
        let size = self.path_mtu.size().max(self.tx.lost_packet_len());
        let end = start + (room.min(size) & !3);
        let bare = self.is_bare();
        if self.write_reply(end, out) || self.write_bundle(now, end, out) {
            if !bare {
                finish(out, start);
            }
            let length = out.len() - start;
            self.stats.packets_sent += 1;
            self.stats.bytes_sent += length as u64;
            self.path_mtu.on_packet(now, length);
            // The timers run from the first packet of many; the rest is brought up to date after the last.
            match self.sending {
                Sending::Nothing => {
                    self.sending = Sending::Settled;
                    self.settle(now);
                }
                Sending::Settled | Sending::Unsettled => self.sending = Sending::Unsettled,
            }
            return Some(length);
        }
        out.truncate(start);
        if std::mem::take(&mut self.sending) == Sending::Unsettled {
            self.settle(now);
            // That may have made something to send.
            return self.poll_transmit(now, room, out);
        }
        self.arm_pacing();
        None
    }

    /// Whether the data that would go next needs no cut to go into a packet of `room` octets, so that a batch of
    /// packets of that size loses nothing by going on.
    pub fn next_data_fits(&mut self, room: usize) -> bool {
        room.min(self.path_mtu.size()).checked_sub(HEADER_LEN).is_some_and(|room| self.tx.next_fits(room))
    }

    /// Without a checksum goes what the other side can tell apart from the start of a new association (RFC 9653 section
    /// 5.2).
    pub(crate) fn is_bare(&self) -> bool {
        self.agreed.zero_checksum
            && self.replies.is_empty()
            && !matches!(self.phase, Phase::Idle | Phase::CookieWait | Phase::CookieEchoed { .. })
    }

    pub(crate) fn header(&self, tag: u32) -> Header {
        Header { source: self.config.local_port, destination: self.config.remote_port, tag }
    }

    /// A packet of its own, that answers one packet.
    fn write_reply(&mut self, end: usize, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let Some(reply) = self.replies.pop_front() else { return false };
        match &reply {
            Reply::InitAck { tag, fields, cookie, unrecognized } => {
                self.header(*tag).write(out);
                fields.write(kind::INIT_ACK, Capabilities::of(&self.config), out, |out| {
                    init::put_cookie(out, cookie);
                    init::put_unrecognized(out, unrecognized);
                });
            }
            Reply::Abort { tag, flags, code } => {
                self.header(*tag).write(out);
                if *code == 0 {
                    put_tlv(out, chunk_head(kind::ABORT, *flags), |_| {});
                } else {
                    cause::write(out, kind::ABORT, *flags, *code, &[]);
                }
            }
            Reply::ShutdownComplete { tag, flags } => {
                self.header(*tag).write(out);
                put_tlv(out, chunk_head(kind::SHUTDOWN_COMPLETE, *flags), |_| {});
            }
            Reply::StaleCookie { tag, staleness } => {
                self.header(*tag).write(out);
                let code = cause::code::STALE_COOKIE;
                cause::write(out, kind::ERROR, 0, code, &staleness.to_be_bytes());
            }
        }
        if out.len() > end {
            // There is less room than a handshake needs; the next, larger packet takes it.
            out.truncate(start);
            self.replies.push_front(reply);
            return false;
        }
        true
    }

    fn write_bundle(&mut self, now: Instant, end: usize, out: &mut Vec<u8>) -> bool {
        match self.phase {
            Phase::Idle | Phase::Closed => return false,
            Phase::CookieWait => return self.write_init(end, out),
            // Nothing but COOKIE ECHO, and what is bundled with it, goes before COOKIE ACK (section 5.1 C).
            Phase::CookieEchoed { .. } if !self.pending.handshake => return false,
            _ => {}
        }
        if end < out.len() + HEADER_LEN + EMPTY_CHUNK {
            return false;
        }
        self.header(self.remote.tag).write(out);
        let body = out.len();
        if !self.write_control(now, end, out) {
            return false;
        }
        if self.may_send_data() {
            self.write_data(now, end, out);
            if out.len() == body {
                // Looking for data may have shown that there is none to send but some to give up.
                self.write_forward(end, out);
            }
        }
        out.len() > body
    }

    /// Data, with the acknowledgement that waits for its timer in front of it (control chunks come first); neither
    /// if there is no data.
    fn write_data(&mut self, now: Instant, end: usize, out: &mut Vec<u8>) {
        let before = out.len();
        let with_ack = self.rx.is_ack_delayed()
            && self.is_open()
            && self.tx.has_data()
            && self.rx.write_sack(end.saturating_sub(before), out);
        let chunks = self.tx.write_data(now, end, out, &mut self.stats);
        if with_ack && chunks == 0 {
            out.truncate(before);
            self.rx.delay_again();
            // What is sent again cannot be cut to leave room for the acknowledgement.
            self.tx.write_data(now, end, out, &mut self.stats);
        }
    }

    fn write_init(&mut self, end: usize, out: &mut Vec<u8>) -> bool {
        if !self.pending.handshake {
            return false;
        }
        self.header(0).write(out);
        let fields = self.init_fields(self.local_tag, self.local_tsn);
        fields.write(kind::INIT, Capabilities::of(&self.config), out, |_| {});
        if out.len() > end {
            return false;
        }
        self.pending.handshake = false;
        self.handshake_attempts += 1;
        self.timers.stop(crate::timer::Timer::Handshake);
        true
    }

    /// Everything but DATA. `false` if what must come first does not fit.
    fn write_control(&mut self, now: Instant, end: usize, out: &mut Vec<u8>) -> bool {
        if !self.write_cookie(end, out) {
            return false;
        }
        self.write_errors(end, out);
        if self.rx.is_ack_due() && self.is_open() {
            self.rx.write_sack(end.saturating_sub(out.len()), out);
        }
        self.write_heartbeats(now, end, out);
        self.write_reconfig(end, out);
        if self.may_send_data() {
            self.write_forward(end, out);
        }
        self.write_shutdown(end, out);
        true
    }

    fn write_forward(&mut self, end: usize, out: &mut Vec<u8>) {
        if self.tx.is_forward_due() {
            self.tx.write_forward(end.saturating_sub(out.len()), out);
        }
    }

    fn write_cookie(&mut self, end: usize, out: &mut Vec<u8>) -> bool {
        let left = end.saturating_sub(out.len());
        if let Phase::CookieEchoed { cookie } = &self.phase {
            if padded(EMPTY_CHUNK + cookie.len()) > left {
                return false;
            }
            put_tlv(out, chunk_head(kind::COOKIE_ECHO, 0), |out| out.extend_from_slice(cookie));
            self.pending.handshake = false;
            self.handshake_attempts += 1;
            self.timers.stop(crate::timer::Timer::Handshake);
        } else if self.pending.cookie_ack && left >= EMPTY_CHUNK {
            put_tlv(out, chunk_head(kind::COOKIE_ACK, 0), |_| {});
            self.pending.cookie_ack = false;
        }
        true
    }

    fn write_errors(&mut self, end: usize, out: &mut Vec<u8>) {
        while let Some((code, information)) = self.pending.errors.front() {
            if end.saturating_sub(out.len()) < 2 * EMPTY_CHUNK + padded(information.len()) {
                return;
            }
            cause::write(out, kind::ERROR, 0, *code, information);
            self.pending.errors.pop_front();
        }
    }

    fn write_heartbeats(&mut self, now: Instant, end: usize, out: &mut Vec<u8>) {
        while let Some(info) = self.pending.heartbeat_acks.front() {
            if end.saturating_sub(out.len()) < EMPTY_CHUNK + padded(info.len()) {
                return;
            }
            put_tlv(out, chunk_head(kind::HEARTBEAT_ACK, 0), |out| out.extend_from_slice(info));
            self.pending.heartbeat_acks.pop_front();
        }
        if self.pending.heartbeat && self.is_open() && end.saturating_sub(out.len()) >= HEARTBEAT_LEN {
            let (counter, info) = self.heartbeat_info();
            self.heartbeat = Heartbeat::Out { counter, sent_at: now };
            put_tlv(out, chunk_head(kind::HEARTBEAT, 0), |out| {
                put_tlv(out, parameter_kind::HEARTBEAT_INFO, |out| out.extend_from_slice(&info));
            });
            self.pending.heartbeat = false;
        }
    }

    fn write_shutdown(&mut self, end: usize, out: &mut Vec<u8>) {
        if !self.pending.shutdown || end.saturating_sub(out.len()) < SHUTDOWN_LEN {
            return;
        }
        match self.phase {
            Phase::ShutdownSent => {
                let cumulative = self.rx.cumulative();
                put_tlv(out, chunk_head(kind::SHUTDOWN, 0), |out| {
                    out.extend_from_slice(&cumulative.get().to_be_bytes());
                });
            }
            Phase::ShutdownAckSent => put_tlv(out, chunk_head(kind::SHUTDOWN_ACK, 0), |_| {}),
            _ => return,
        }
        self.pending.shutdown = false;
        self.shutdown_attempts += 1;
        self.timers.stop(crate::timer::Timer::Shutdown);
    }

    fn may_send_data(&self) -> bool {
        matches!(
            self.phase,
            Phase::CookieEchoed { .. }
                | Phase::Established
                | Phase::ShutdownPending
                | Phase::ShutdownReceived
        )
    }
}
