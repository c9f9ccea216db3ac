//! What the application writes: whole messages, messages in parts, and how streams share the way.

use std::time::Instant;

use bytes::Bytes;

use crate::association::{Association, Phase};
use crate::packet::cause::code;
use crate::tx::Reset;
use crate::types::{Accounting, CloseReason, StreamId, WriteError, WriteOptions};

impl Association {
    /// Queues a message. Legal before the association is established.
    pub fn write(
        &mut self,
        now: Instant,
        stream: StreamId,
        data: Bytes,
        options: &WriteOptions,
    ) -> Result<(), WriteError> {
        let now = self.tick(now);
        if data.is_empty() {
            return Err(WriteError::Empty);
        }
        self.check_writable(stream)?;
        if options.accounting != Accounting::Control {
            self.check_room(stream, data.len())?;
        }
        self.tx.write(now, stream, options, data);
        Ok(())
    }

    /// Begins a message that is written in parts, with [`append_message`](Self::append_message) and then
    /// [`end_message`](Self::end_message), so that it need not be in memory as a whole. Until then nothing else can be
    /// written on the stream.
    ///
    /// Without I-DATA nothing else can be sent on the association between the first and the last piece of a message:
    /// a writer that takes its time holds up all streams. With I-DATA it holds up other large messages alone, because
    /// only one at a time is begun that is larger than a quarter of the window of the other side.
    pub fn begin_message(
        &mut self,
        now: Instant,
        stream: StreamId,
        options: &WriteOptions,
    ) -> Result<(), WriteError> {
        let now = self.tick(now);
        self.check_writable(stream)?;
        self.tx.queue.begin(now, stream.0, options);
        Ok(())
    }

    /// Adds to the message that was begun on the stream. Full pieces are sent as they come, the rest with what follows.
    pub fn append_message(&mut self, now: Instant, stream: StreamId, data: Bytes) -> Result<(), WriteError> {
        self.tick(now);
        self.check_begun(stream)?;
        if data.is_empty() {
            return Ok(());
        }
        self.check_room(stream, data.len())?;
        self.tx.queue.append(stream.0, data);
        Ok(())
    }

    /// Ends the message that was begun on the stream. One without any octets stays begun.
    pub fn end_message(&mut self, now: Instant, stream: StreamId) -> Result<(), WriteError> {
        self.tick(now);
        self.check_begun(stream)?;
        if self.tx.queue.finish(stream.0) { Ok(()) } else { Err(WriteError::Empty) }
    }

    /// Gives up the message that was begun on the stream: the other side sees nothing of it. If a part of it is out
    /// and the other side cannot be told (it does not do RFC 3758), the association is aborted.
    pub fn cancel_message(&mut self, now: Instant, stream: StreamId) -> Result<(), WriteError> {
        let now = self.tick(now);
        self.check_begun(stream)?;
        if !self.tx.cancel(now, stream, &mut self.stats) {
            self.fail(code::USER_INITIATED, CloseReason::LocalAbort);
        }
        self.settle(now);
        Ok(())
    }

    /// Gives up every message that was begun and not ended: nobody can end them any more.
    pub(crate) fn cancel_all(&mut self, now: Instant) {
        for stream in self.tx.queue.unfinished() {
            if !self.tx.cancel(now, StreamId(stream), &mut self.stats) {
                return self.fail(code::USER_INITIATED, CloseReason::LocalAbort);
            }
        }
    }

    /// Sets the priority of what is sent on a stream: its weight for
    /// [`Scheduler::WeightedFair`](crate::Scheduler::WeightedFair), its rank for
    /// [`Scheduler::Priority`](crate::Scheduler::Priority). It is 256 at first, and again after a reset.
    pub fn set_priority(&mut self, stream: StreamId, priority: u16) {
        self.tx.queue.set_priority(stream.0, priority);
    }

    /// Octets of counted messages of a stream that were accepted and not yet handed to the network.
    pub fn buffered_amount(&self, stream: StreamId) -> usize {
        self.tx.queue.buffered(stream.0)
    }

    /// A stream whose [`buffered_amount`](Self::buffered_amount) fell since it was last named here. To be asked after
    /// [`poll_transmit`](Self::poll_transmit) and [`handle_packet`](Self::handle_packet).
    pub fn poll_buffered_amount_change(&mut self) -> Option<StreamId> {
        self.tx.queue.poll_fallen().map(StreamId)
    }

    fn check_writable(&self, stream: StreamId) -> Result<(), WriteError> {
        match self.phase {
            Phase::Idle | Phase::CookieWait => {}
            Phase::CookieEchoed { .. } | Phase::Established => {
                if stream.0 >= self.streams.outgoing {
                    return Err(WriteError::NoSuchStream);
                }
            }
            _ => return Err(WriteError::Closed),
        }
        if self.tx.queue.reset_state(stream.0) != Reset::None {
            Err(WriteError::Resetting)
        } else if self.tx.queue.is_unfinished(stream.0) {
            Err(WriteError::Unfinished)
        } else {
            Ok(())
        }
    }

    fn check_begun(&self, stream: StreamId) -> Result<(), WriteError> {
        if matches!(
            self.phase,
            Phase::Idle | Phase::CookieWait | Phase::CookieEchoed { .. } | Phase::Established
        ) {
            if self.tx.queue.is_unfinished(stream.0) { Ok(()) } else { Err(WriteError::NotBegun) }
        } else {
            Err(WriteError::Closed)
        }
    }

    fn check_room(&self, stream: StreamId, length: usize) -> Result<(), WriteError> {
        if self.tx.queue.has_room(stream.0, length, self.config.send_buffer) {
            Ok(())
        } else {
            Err(WriteError::Full)
        }
    }
}
