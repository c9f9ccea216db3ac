//! Resetting and adding streams (RFC 6525); resetting is how data channels are closed (RFC 8831 section 6.7).
//!
//! One request of ours is out at a time. A request of the other side that names data which has not come yet is
//! answered with "in progress", and with "performed" when the data is there.

use std::collections::{BTreeSet, VecDeque};

use crate::association::{Association, Phase};
use crate::config::Config;
use crate::packet::Tsn;
use crate::packet::reconfig::{
    ADD_LEN, Added, OUTGOING_RESET_LEN, RESPONSE_LEN, Reconfig, ReconfigResult, StreamList, write_add,
    write_incoming_reset, write_outgoing_reset, write_response,
};
use crate::steps;
use crate::timer::Timer;
use crate::tx::Reset;
use crate::types::{AddStreamsError, CloseReason, Event, ResetError, StreamId};

/// Responses that wait to be sent.
const RESPONSES_MAX: usize = 4;

/// Our request.
#[derive(Debug)]
enum Request {
    None,
    Out { sequence: u32, ask: Ask },
}

/// What we ask for.
#[derive(Debug)]
enum Ask {
    /// To start our streams again.
    Outgoing {
        last_tsn: Tsn,
        streams: Vec<u16>,
    },
    /// To reset its own.
    Incoming(Vec<u16>),
    Add(Added, u16),
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
    /// Streams that the other side is to reset.
    incoming_wanted: BTreeSet<u16>,
    /// Streams to be added: on which we send, on which the other side sends.
    outgoing_added: u16,
    incoming_added: u16,
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
            incoming_wanted: BTreeSet::new(),
            outgoing_added: 0,
            incoming_added: 0,
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

    /// Asks the other side to reset the streams that it sends on. [`Event::IncomingReset`] tells of each when it has;
    /// it need not do so.
    pub fn reset_incoming_streams(
        &mut self,
        now: std::time::Instant,
        streams: &[StreamId],
    ) -> Result<(), ResetError> {
        let now = self.tick(now);
        self.check_reconfig()?;
        self.reconfig.incoming_wanted.extend(streams.iter().map(|stream| stream.0));
        self.settle(now);
        Ok(())
    }

    /// Asks for more streams: `outgoing` more that we send on, and `incoming` more that the other side sends on.
    /// [`Event::StreamsAdded`] tells when there are, [`Event::AddStreamsFailed`] if the other side refuses.
    pub fn add_streams(
        &mut self,
        now: std::time::Instant,
        outgoing: u16,
        incoming: u16,
    ) -> Result<(), AddStreamsError> {
        let now = self.tick(now);
        self.check_reconfig().map_err(|error| match error {
            ResetError::NotSupported => AddStreamsError::NotSupported,
            ResetError::Closed => AddStreamsError::Closed,
        })?;
        let wanted = |now: u16, asked: u16, more: u16| now.checked_add(asked)?.checked_add(more);
        let (out, inc) = (self.reconfig.outgoing_added, self.reconfig.incoming_added);
        if wanted(self.streams.outgoing, out, outgoing).is_none()
            || wanted(self.streams.incoming, inc, incoming).is_none_or(|all| all > self.config.max_streams)
        {
            return Err(AddStreamsError::TooMany);
        }
        self.reconfig.outgoing_added += outgoing;
        self.reconfig.incoming_added += incoming;
        self.settle(now);
        Ok(())
    }

    fn check_reconfig(&self) -> Result<(), ResetError> {
        match self.phase {
            Phase::Established if self.agreed.reconfig => Ok(()),
            Phase::Established => Err(ResetError::NotSupported),
            _ => Err(ResetError::Closed),
        }
    }

    /// Makes the next request once the streams have sent what they had.
    pub(crate) fn settle_reconfig(&mut self) {
        if !matches!(self.phase, Phase::Established) {
            return;
        }
        self.perform_deferred();
        if self.reconfig.is_waiting() {
            return;
        }
        let Some(ask) = self.next_ask() else { return };
        let sequence = self.reconfig.next_sequence;
        self.reconfig.next_sequence = sequence.wrapping_add(1);
        self.reconfig.request = Request::Out { sequence, ask };
        self.reconfig.request_due = true;
    }

    fn next_ask(&mut self) -> Option<Ask> {
        let most = (Config::MTU_MIN - crate::packet::HEADER_LEN - OUTGOING_RESET_LEN) / 2 - 2;
        if self.tx.queue.wants_reset() {
            let streams: Vec<u16> = self.tx.queue.ready_to_reset().take(most).collect();
            for &stream in &streams {
                self.tx.queue.set_reset(stream, Reset::Requested);
            }
            if !self.agreed.reconfig {
                for &stream in &streams {
                    self.push_event(Event::OutgoingResetFailed(StreamId(stream)));
                }
                return None;
            }
            if !streams.is_empty() {
                return Some(Ask::Outgoing { last_tsn: self.tx.newest(), streams });
            }
        }
        let reconfig = &mut self.reconfig;
        if !reconfig.incoming_wanted.is_empty() {
            let streams: Vec<u16> = reconfig.incoming_wanted.iter().copied().take(most).collect();
            streams.iter().for_each(|stream| {
                reconfig.incoming_wanted.remove(stream);
            });
            return Some(Ask::Incoming(streams));
        }
        for (added, count) in
            [(Added::Outgoing, &mut reconfig.outgoing_added), (Added::Incoming, &mut reconfig.incoming_added)]
        {
            let count = std::mem::take(count);
            if count > 0 {
                return Some(Ask::Add(added, count));
            }
        }
        None
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
                        let result = self.on_incoming_reset_request(streams);
                        self.conclude(sequence, result);
                    }
                }
                Ok(Reconfig::AddOutgoing { sequence, count }) => {
                    if self.is_expected(sequence) {
                        let result = self.on_more_incoming(count);
                        self.conclude(sequence, result);
                    }
                }
                Ok(Reconfig::AddIncoming { sequence, count }) => {
                    if self.is_expected(sequence) {
                        let result = self.on_more_outgoing(count);
                        self.conclude(sequence, result);
                    }
                }
                Ok(Reconfig::TsnReset { sequence }) => {
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
        steps::count(streams.len());
        for stream in streams {
            self.rx.reset_stream(StreamId(stream));
            self.incoming_resets.insert(stream);
        }
    }

    /// The other side asks us to reset what we send (RFC 6525 section 5.2.3). Our own request follows.
    fn on_incoming_reset_request(&mut self, streams: StreamList<'_>) -> ReconfigResult {
        let ids: Vec<u16> =
            if streams.is_all() { self.tx.queue.known_streams().collect() } else { streams.iter().collect() };
        let mut result = ReconfigResult::NothingToDo;
        steps::count(ids.len());
        for stream in ids {
            if self.tx.queue.is_known(stream) && self.tx.queue.reset_state(stream) == Reset::None {
                self.tx.queue.set_reset(stream, Reset::Wanted);
                result = ReconfigResult::Performed;
            }
        }
        result
    }

    /// The other side wants to send on more streams (RFC 6525 section 5.2.5).
    fn on_more_incoming(&mut self, count: u16) -> ReconfigResult {
        match self.streams.incoming.checked_add(count).filter(|&all| all <= self.config.max_streams) {
            Some(_) if count == 0 => ReconfigResult::NothingToDo,
            Some(all) => {
                self.streams.incoming = all;
                self.push_event(Event::StreamsAdded);
                ReconfigResult::Performed
            }
            None => ReconfigResult::Denied,
        }
    }

    /// The other side wants us to send on more streams (RFC 6525 section 5.2.6). Our own request follows.
    fn on_more_outgoing(&mut self, count: u16) -> ReconfigResult {
        let asked = self.reconfig.outgoing_added.checked_add(count);
        let all = asked.and_then(|asked| self.streams.outgoing.checked_add(asked));
        match (asked, all.filter(|&all| all <= self.config.max_streams)) {
            (Some(_), Some(_)) if count == 0 => ReconfigResult::NothingToDo,
            (Some(asked), Some(_)) => {
                self.reconfig.outgoing_added = asked;
                ReconfigResult::Performed
            }
            _ => ReconfigResult::Denied,
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
        let Request::Out { ask, .. } = std::mem::replace(&mut self.reconfig.request, Request::None) else {
            return;
        };
        self.reconfig.request_due = false;
        self.timers.stop(Timer::Reconfig);
        let performed = matches!(result, ReconfigResult::Performed | ReconfigResult::NothingToDo);
        match ask {
            Ask::Outgoing { streams, .. } => self.on_streams_reset(streams, performed),
            Ask::Add(Added::Outgoing, count) if performed => {
                self.streams.outgoing = self.streams.outgoing.saturating_add(count);
                self.push_event(Event::StreamsAdded);
            }
            Ask::Add(..) if !performed => self.push_event(Event::AddStreamsFailed),
            // The other side makes a request of its own for what we asked of it.
            Ask::Incoming(_) | Ask::Add(..) => {}
        }
    }

    fn on_streams_reset(&mut self, streams: Vec<u16>, performed: bool) {
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
        let left = end.saturating_sub(out.len());
        if let Request::Out { sequence, ask } = &self.reconfig.request {
            let needed = match ask {
                Ask::Outgoing { streams, .. } | Ask::Incoming(streams) => {
                    OUTGOING_RESET_LEN + 2 * streams.len() + 2
                }
                Ask::Add(..) => ADD_LEN,
            };
            if left < needed {
                return;
            }
            match ask {
                Ask::Outgoing { last_tsn, streams } => {
                    let response = self.reconfig.expected.wrapping_sub(1);
                    write_outgoing_reset(out, *sequence, response, *last_tsn, streams);
                }
                Ask::Incoming(streams) => write_incoming_reset(out, *sequence, streams),
                Ask::Add(added, count) => write_add(out, *sequence, *added, *count),
            }
        }
        self.reconfig.request_due = false;
    }
}
