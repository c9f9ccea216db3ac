//! Resetting streams (RFC 6525), which is how data channels are closed (RFC 8831 section 6.7).
//!
//! One request of ours is out at a time. A request of the other side that names data which has not come yet is
//! answered with "in progress", and with "performed" when the data is there.

use std::collections::VecDeque;

use crate::association::{Association, Phase};
use crate::packet::Tsn;
use crate::packet::reconfig::{
    OUTGOING_RESET_LEN, RESPONSE_LEN, Reconfig, ReconfigResult, StreamList, write_outgoing_reset,
    write_response,
};
use crate::timer::Timer;
use crate::tx::Reset;
use crate::types::{CloseReason, Event, ResetError, StreamId};

/// Responses that wait to be sent.
const RESPONSES_MAX: usize = 4;

/// Our request.
#[derive(Debug)]
enum Request {
    None,
    Out { sequence: u32, last_tsn: Tsn, streams: Vec<u16> },
}

/// What the other side asked for and waits for.
#[derive(Debug)]
enum Deferred {
    None,
    /// No streams means all.
    Reset {
        sequence: u32,
        last_tsn: Tsn,
        streams: Vec<u16>,
    },
}

/// The state of RFC 6525.
#[derive(Debug)]
pub(crate) struct Reconfiguration {
    next_sequence: u32,
    request: Request,
    request_due: bool,
    /// The next request sequence number of the other side.
    expected: u32,
    last_result: ReconfigResult,
    deferred: Deferred,
    responses: VecDeque<(u32, ReconfigResult)>,
}

impl Reconfiguration {
    pub(crate) fn new() -> Self {
        Self {
            next_sequence: 0,
            request: Request::None,
            request_due: false,
            expected: 0,
            last_result: ReconfigResult::NothingToDo,
            deferred: Deferred::None,
            responses: VecDeque::new(),
        }
    }

    /// Both sides count from their first TSN (RFC 6525 section 4.1).
    pub(crate) fn start(&mut self, local: Tsn, remote: Tsn) {
        *self = Self::new();
        self.next_sequence = local.get();
        self.expected = remote.get();
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.request, Request::Out { .. })
    }

    fn respond(&mut self, sequence: u32, result: ReconfigResult) {
        self.responses.retain(|&(waiting, _)| waiting != sequence);
        if self.responses.len() < RESPONSES_MAX {
            self.responses.push_back((sequence, result));
        }
    }
}

impl Association {
    /// Resets outgoing streams: what was written goes first, then the other side is asked to start them again at
    /// zero. [`Event::OutgoingReset`] tells when it has.
    pub fn reset_streams(&mut self, now: std::time::Instant, streams: &[StreamId]) -> Result<(), ResetError> {
        let now = self.tick(now);
        match self.phase {
            Phase::Established if !self.agreed.reconfig => {
                return Err(ResetError::NotSupported);
            }
            Phase::Idle | Phase::CookieWait | Phase::CookieEchoed { .. } | Phase::Established => {}
            _ => return Err(ResetError::Closed),
        }
        for stream in streams {
            if self.tx.queue.reset_state(stream.0) == Reset::None {
                self.tx.queue.set_reset(stream.0, Reset::Wanted);
            }
        }
        self.settle(now);
        Ok(())
    }

    /// Makes the next request once the streams have sent what they had.
    pub(crate) fn settle_reconfig(&mut self) {
        if !matches!(self.phase, Phase::Established) {
            return;
        }
        self.perform_deferred();
        if !self.tx.queue.wants_reset() || self.reconfig.is_waiting() {
            return;
        }
        let most = (self.config.mtu - crate::packet::HEADER_LEN - OUTGOING_RESET_LEN) / 2 - 2;
        let streams: Vec<u16> = self.tx.queue.ready_to_reset().take(most).collect();
        if streams.is_empty() {
            return;
        }
        for &stream in &streams {
            self.tx.queue.set_reset(stream, Reset::Requested);
        }
        if !self.agreed.reconfig {
            for stream in streams {
                self.push_event(Event::OutgoingResetFailed(StreamId(stream)));
            }
            return;
        }
        let sequence = self.reconfig.next_sequence;
        self.reconfig.next_sequence = sequence.wrapping_add(1);
        self.reconfig.request = Request::Out { sequence, last_tsn: self.tx.newest(), streams };
        self.reconfig.request_due = true;
    }

    /// RE-CONFIG.
    pub(crate) fn on_reconfig(&mut self, value: &[u8]) {
        for item in Reconfig::parse_all(value) {
            match item {
                Err(error) => {
                    tracing::trace!(%error, "RE-CONFIG");
                    self.stats.malformed_chunks += 1;
                    return;
                }
                Ok(Reconfig::OutgoingReset { sequence, last_tsn, streams, .. }) => {
                    self.on_reset_request(sequence, last_tsn, streams);
                }
                Ok(Reconfig::IncomingReset { sequence, streams }) => {
                    if self.is_expected(sequence) {
                        self.on_incoming_reset_request(streams);
                        self.conclude(sequence, ReconfigResult::Performed);
                    }
                }
                Ok(Reconfig::Other { sequence }) => {
                    if self.is_expected(sequence) {
                        self.conclude(sequence, ReconfigResult::Denied);
                    }
                }
                Ok(Reconfig::Response { sequence, result }) => self.on_response(sequence, result),
            }
        }
    }

    /// Whether a request is the next one; a repeated or a wrong one is answered here (RFC 6525 section 5.2.1).
    fn is_expected(&mut self, sequence: u32) -> bool {
        if sequence == self.reconfig.expected {
            if matches!(self.reconfig.deferred, Deferred::None) {
                return true;
            }
            self.reconfig.respond(sequence, ReconfigResult::InProgressElsewhere);
        } else if sequence.wrapping_add(1) == self.reconfig.expected {
            self.reconfig.respond(sequence, self.reconfig.last_result);
        } else {
            self.reconfig.respond(sequence, ReconfigResult::BadSequence);
        }
        false
    }

    fn conclude(&mut self, sequence: u32, result: ReconfigResult) {
        self.reconfig.expected = sequence.wrapping_add(1);
        self.reconfig.last_result = result;
        self.reconfig.respond(sequence, result);
    }

    fn on_reset_request(&mut self, sequence: u32, last_tsn: Tsn, streams: StreamList<'_>) {
        if !self.is_expected(sequence) {
            return;
        }
        let ids: Vec<u16> = streams.iter().collect();
        if last_tsn.is_at_or_before(self.rx.cumulative()) {
            self.perform_reset(&ids);
            self.conclude(sequence, ReconfigResult::Performed);
        } else {
            self.reconfig.deferred = Deferred::Reset { sequence, last_tsn, streams: ids };
            self.conclude(sequence, ReconfigResult::InProgress);
        }
    }

    fn perform_deferred(&mut self) {
        let Deferred::Reset { last_tsn, .. } = self.reconfig.deferred else { return };
        if last_tsn.is_after(self.rx.cumulative()) {
            return;
        }
        let deferred = std::mem::replace(&mut self.reconfig.deferred, Deferred::None);
        if let Deferred::Reset { sequence, streams, .. } = deferred {
            self.perform_reset(&streams);
            self.reconfig.last_result = ReconfigResult::Performed;
            self.reconfig.respond(sequence, ReconfigResult::Performed);
        }
    }

    fn perform_reset(&mut self, streams: &[u16]) {
        let streams: Vec<u16> = if streams.is_empty() {
            self.rx.known_streams().map(|id| id.0).chain(self.tx.queue.known_streams()).collect()
        } else {
            streams.to_vec()
        };
        for stream in streams {
            self.rx.reset_stream(StreamId(stream));
            self.incoming_resets.insert(stream);
        }
    }

    /// The other side asks us to reset what we send (RFC 6525 section 5.2.4).
    fn on_incoming_reset_request(&mut self, streams: StreamList<'_>) {
        let ids: Vec<u16> =
            if streams.is_all() { self.tx.queue.known_streams().collect() } else { streams.iter().collect() };
        let known: Vec<u16> = self.tx.queue.known_streams().collect();
        for stream in ids {
            if known.binary_search(&stream).is_ok() && self.tx.queue.reset_state(stream) == Reset::None {
                self.tx.queue.set_reset(stream, Reset::Wanted);
            }
        }
    }

    fn on_response(&mut self, sequence: u32, result: ReconfigResult) {
        match &self.reconfig.request {
            Request::Out { sequence: ours, .. } if *ours == sequence => {}
            _ => {
                self.stats.unexpected_chunks += 1;
                return;
            }
        }
        if matches!(result, ReconfigResult::InProgress | ReconfigResult::InProgressElsewhere) {
            // Asked again when the timer goes off; the other side lives.
            self.tx.clear_errors();
            return;
        }
        let Request::Out { streams, .. } = std::mem::replace(&mut self.reconfig.request, Request::None)
        else {
            return;
        };
        self.reconfig.request_due = false;
        self.timers.stop(Timer::Reconfig);
        let performed = matches!(result, ReconfigResult::Performed | ReconfigResult::NothingToDo);
        for stream in streams {
            if performed {
                self.tx.queue.forget(stream);
                self.push_event(Event::OutgoingReset(StreamId(stream)));
            } else {
                self.push_event(Event::OutgoingResetFailed(StreamId(stream)));
            }
        }
    }

    /// T-reconf went off (RFC 6525 section 5.1.1).
    pub(crate) fn on_reconfig_timeout(&mut self) {
        self.tx.back_off();
        if self.tx.count_error() > self.config.max_retransmits {
            return self.close(CloseReason::Unreachable);
        }
        self.reconfig.request_due = true;
    }

    /// Appends what is due, within `end` octets of `out`.
    pub(crate) fn write_reconfig(&mut self, end: usize, out: &mut Vec<u8>) {
        while let Some(&(sequence, result)) = self.reconfig.responses.front() {
            if end.saturating_sub(out.len()) < RESPONSE_LEN {
                return;
            }
            self.reconfig.responses.pop_front();
            write_response(out, sequence, result);
        }
        if !self.reconfig.request_due {
            return;
        }
        if let Request::Out { sequence, last_tsn, streams } = &self.reconfig.request {
            if end.saturating_sub(out.len()) < OUTGOING_RESET_LEN + 2 * streams.len() + 2 {
                return;
            }
            let response = self.reconfig.expected.wrapping_sub(1);
            write_outgoing_reset(out, *sequence, response, *last_tsn, streams);
        }
        self.reconfig.request_due = false;
    }
}
