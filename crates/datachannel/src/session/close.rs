//! Closing (RFC 8831 section 6.7): each side resets its outgoing stream once what was sent on it has gone; the id
//! is free when both directions were reset and everything was read.

use std::time::Instant;

use taut_sctp::StreamId;

use super::early::Early;
use super::{Link, Session};
use crate::channel::{ChannelState, Direction, Origin, Writing};
use crate::types::{ChannelId, CloseReason, Event};

/// Whether a closing can be taken further without word from the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Possible,
    Waiting,
}

impl Session {
    /// Closes a channel. What was sent on it before goes first; what the other side still sends is dropped.
    pub fn close_channel(&mut self, now: Instant, id: ChannelId) {
        let now = self.tick(now);
        let Some(channel) = self.channels.get_mut(&id) else { return };
        match (channel.state, channel.stream) {
            (ChannelState::Closing | ChannelState::Closed, _) => {}
            (_, None) => self.close_at_once(id),
            (_, Some(stream)) => {
                if channel.writing != Writing::Whole {
                    channel.writing = Writing::Whole;
                    // It was begun, so the association has it; or it is over, which ends the channel too.
                    let _ = self.association.cancel_message(now, StreamId(stream));
                }
                self.set_closing(id);
                self.closing_streams.insert(stream);
                self.process(now);
            }
        }
    }

    /// Ends in agreement: everything that was sent is delivered, then the association is shut down.
    pub fn shutdown(&mut self, now: Instant) {
        let now = self.tick(now);
        self.association.shutdown(now);
        self.process(now);
    }

    /// Ends at once.
    pub fn abort(&mut self, now: Instant) {
        let now = self.tick(now);
        self.association.abort(now);
        self.process(now);
    }

    fn set_closing(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if channel.state == ChannelState::Open {
            self.stats.channels_closed += 1;
        }
        channel.state = ChannelState::Closing;
        self.events.push_back(Event::Closing(id));
        // What waits on a channel that is closed here is of no use to anybody.
        if channel.paused && channel.incoming == Direction::Running {
            channel.paused = false;
            if let Some(stream) = channel.stream.filter(|_| !self.full) {
                self.association.resume_stream(StreamId(stream));
            }
        }
    }

    fn reset_outgoing(&mut self, now: Instant, id: ChannelId, stream: u16) {
        // What waits for room in the send buffer goes first, and then this is tried again.
        self.flush(now, id);
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if !channel.backlog.is_empty() {
            return;
        }
        channel.outgoing = Direction::Resetting;
        if self.association.reset_streams(now, &[StreamId(stream)]).is_err() {
            self.on_reset_failed(StreamId(stream));
        }
    }

    pub(super) fn on_incoming_reset(&mut self, stream: StreamId) {
        let Some((_, channel)) = self.channel_of(stream) else {
            self.stats.unknown_streams += self.early.drop_stream(stream);
            return;
        };
        if channel.incoming == Direction::Running {
            channel.incoming = Direction::Resetting;
            self.closing_streams.insert(stream.0);
        }
    }

    pub(super) fn on_outgoing_reset(&mut self, stream: StreamId) {
        if self.refused.remove(&stream.0) {
            return;
        }
        if let Some((_, channel)) = self.channel_of(stream) {
            channel.outgoing = Direction::Reset;
            self.closing_streams.insert(stream.0);
        }
    }

    /// The other side does not reset streams, or not this one: the channel is closed all the same, but its id cannot
    /// be used again.
    pub(super) fn on_reset_failed(&mut self, stream: StreamId) {
        if let Some((_, channel)) = self.channel_of(stream) {
            channel.outgoing = Direction::Reset;
            channel.incoming = Direction::Reset;
            self.closing_streams.insert(stream.0);
        }
        self.refused.insert(stream.0);
    }

    /// Goes on with channels that are being closed: once all that came before the reset was read, ours is reset too.
    pub(super) fn continue_closing(&mut self, now: Instant) {
        if self.closing_streams.is_empty() {
            return;
        }
        let streams: Vec<u16> = self.closing_streams.iter().copied().collect();
        for stream in streams {
            if self.continue_closing_of(now, stream) == Progress::Waiting {
                self.closing_streams.remove(&stream);
            }
        }
    }

    fn continue_closing_of(&mut self, now: Instant, stream: u16) -> Progress {
        let unread = self.association.has_ready(StreamId(stream));
        let Some((id, channel)) = self.channel_of(StreamId(stream)) else { return Progress::Waiting };
        let completed = channel.incoming == Direction::Resetting && !unread;
        if completed {
            channel.incoming = Direction::Reset;
        }
        if matches!(channel.state, ChannelState::Connecting | ChannelState::Open) {
            self.set_closing(id);
        }
        if completed {
            self.events.push_back(Event::Complete(id));
        }
        let Some(channel) = self.channels.get(&id) else { return Progress::Waiting };
        if channel.incoming == Direction::Resetting {
            return Progress::Possible;
        }
        if channel.outgoing == Direction::Running {
            self.reset_outgoing(now, id, stream);
        }
        let Some(channel) = self.channels.get(&id) else { return Progress::Waiting };
        match (channel.outgoing, channel.incoming) {
            (Direction::Running, _) => Progress::Possible,
            (Direction::Reset, Direction::Reset) => {
                self.close_at_once(id);
                Progress::Waiting
            }
            _ => Progress::Waiting,
        }
    }

    /// The channel is closed, here and now.
    pub(super) fn close_at_once(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        match channel.state {
            ChannelState::Closed => return,
            ChannelState::Open => self.stats.channels_closed += 1,
            ChannelState::Connecting | ChannelState::Closing => {}
        }
        channel.state = ChannelState::Closed;
        let stream = channel.stream;
        let waited: usize = channel.backlog.iter().map(|message| message.data.len() + 64).sum();
        channel.backlog.clear();
        channel.backlog_octets = 0;
        channel.ordered_assembly = Default::default();
        channel.unordered_assembly = Default::default();
        for message in std::mem::take(&mut channel.held) {
            channel.unread -= message.data.len();
            self.unread -= message.data.len() + super::receive::MESSAGE_OVERHEAD;
        }
        channel.writing = Writing::Whole;
        channel.paused = false;
        self.backlog_charge = self.backlog_charge.saturating_sub(waited);
        self.waiting.remove(&id);
        if let Some(stream) = stream.filter(|stream| self.streams.get(stream) == Some(&id)) {
            // The next channel of the stream begins like any other.
            self.association.read_in_parts(StreamId(stream), false);
            self.association.resume_stream(StreamId(stream));
            self.release_stream(stream);
        }
        self.events.push_back(Event::Closed(id));
    }

    /// Forgets channels of which nothing is left.
    pub(super) fn forget_closed(&mut self) {
        for id in std::mem::take(&mut self.told) {
            if let Some(channel) = self.channels.get_mut(&id) {
                channel.told_closed = true;
            }
            self.remove_if_done(id);
        }
    }

    /// A closed channel is forgotten once its last message and its event were polled. Until then it counts among the
    /// channels of the other side, so that opening and closing them makes nothing grow.
    pub(super) fn remove_if_done(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get(&id) else { return };
        if channel.told_closed && channel.inbox.is_empty() && channel.parts.is_empty() {
            if channel.origin == Origin::Remote {
                let names = channel.label.len() + channel.protocol.len();
                self.incoming_channels = self.incoming_channels.saturating_sub(1);
                self.name_octets = self.name_octets.saturating_sub(names);
            }
            self.channels.remove(&id);
        }
    }

    /// The other side lost its state: none of the channels is there any more.
    pub(super) fn close_all(&mut self) {
        let ids: Vec<ChannelId> = self.channels.keys().copied().collect();
        for id in ids {
            self.close_at_once(id);
        }
        self.refused.clear();
        self.closing_streams.clear();
        self.dcep.clear();
        self.early = Early::default();
    }

    /// The session is over.
    pub(super) fn end(&mut self, reason: CloseReason) {
        if self.link == Link::Ended {
            return;
        }
        if let Some(now) = self.now {
            self.read_all(now);
        }
        // What was read may have ended it, by a message that is too large.
        if self.link == Link::Ended {
            return;
        }
        self.close_all();
        self.link = Link::Ended;
        self.events.push_back(Event::Disconnected(reason));
    }
}
