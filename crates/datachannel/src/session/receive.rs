//! Receiving: pieces become messages, messages wait in their channel's inbox. A channel that is not read is paused,
//! so that what comes on it holds the receive window and nothing else grows; other channels, and new ones, go on.

use std::time::Instant;

use taut_sctp::{Chunk, StreamId};

use super::{Link, Session};
use crate::channel::{Answered, Assembled, Channel, ChannelState, Direction, Origin, Reading};
use crate::dcep::{DCEP_MAX, ppid};
use crate::types::{ChannelId, Event, Message, MessageKind, MessagePart};

/// How much of the receive buffer one channel may have before it is paused.
const CHANNEL_SHARE: usize = 4;

/// What one message costs beside its octets.
pub(super) const MESSAGE_OVERHEAD: usize = 64;

/// The most room that is reserved for a message before its pieces come.
const HINT_MAX: usize = 64 << 10;

impl Session {
    /// The next message of a channel. Reading makes room for the other side to send.
    pub fn poll_message(&mut self, id: ChannelId) -> Option<Message> {
        self.forget_closed();
        let channel = self.channels.get_mut(&id)?;
        let message = channel.inbox.pop_front();
        if let Some(message) = &message {
            let charge = message.data.len() + MESSAGE_OVERHEAD;
            channel.unread = channel.unread.saturating_sub(message.data.len());
            self.unread = self.unread.saturating_sub(charge);
        }
        self.make_room(id);
        self.remove_if_done(id);
        message
    }

    /// Ends pauses that reading has made needless.
    pub(super) fn make_room(&mut self, id: ChannelId) {
        let half = self.channel_limit() / 2;
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let mut resumed = false;
        if channel.paused && channel.unread <= half {
            channel.paused = false;
            resumed = true;
        }
        let stream = channel.stream.filter(|_| resumed && !self.full);
        if let Some(stream) = stream {
            self.association.resume_stream(StreamId(stream));
        }
        if self.full && self.unread <= self.config.receive_buffer / 2 {
            self.full = false;
            resumed = true;
            for (&stream, id) in &self.streams {
                if self.channels.get(id).is_some_and(|channel| !channel.paused) {
                    self.association.resume_stream(StreamId(stream));
                }
            }
        }
        if let (true, Some(now)) = (resumed, self.now) {
            self.process(now);
        }
    }

    fn channel_limit(&self) -> usize {
        self.config.receive_buffer / CHANNEL_SHARE
    }

    /// Takes what the association has ready.
    pub(super) fn read(&mut self, now: Instant) {
        // Before the role is known an OPEN cannot be judged: it stays in the association.
        if !matches!(self.link, Link::Started { .. }) {
            return;
        }
        while let Some(chunk) = self.association.poll_read(now) {
            if chunk.ppid == ppid::DCEP {
                self.on_dcep_chunk(now, chunk);
            } else {
                self.on_chunk(now, chunk);
            }
        }
    }

    /// Takes everything that the association holds, for the last time: what was acknowledged is not lost because a
    /// channel was paused. It is no more than the receive window.
    pub(super) fn read_all(&mut self, now: Instant) {
        // So that nothing pauses again.
        self.channels.values_mut().for_each(|channel| channel.paused = true);
        self.full = true;
        for stream in self.streams.keys() {
            self.association.resume_stream(StreamId(*stream));
        }
        self.read(now);
    }

    fn on_dcep_chunk(&mut self, now: Instant, chunk: Chunk) {
        let stream = chunk.stream.0;
        if chunk.begin && chunk.end {
            self.dcep.remove(&stream);
            return self.on_dcep(now, stream, &chunk.bytes);
        }
        if chunk.abandoned {
            self.dcep.remove(&stream);
            return;
        }
        if chunk.begin {
            self.dcep.insert(stream, Vec::new());
        }
        let Some(buffer) = self.dcep.get_mut(&stream) else { return };
        if buffer.len() + chunk.bytes.len() > DCEP_MAX {
            self.dcep.remove(&stream);
            self.stats.bad_dcep += 1;
            return;
        }
        buffer.extend_from_slice(&chunk.bytes);
        if chunk.end {
            let message = self.dcep.remove(&stream).unwrap_or_default();
            self.on_dcep(now, stream, &message);
        }
    }

    pub(super) fn on_chunk(&mut self, now: Instant, chunk: Chunk) {
        let limit = self.config.message_limit();
        let (ppid, end) = (chunk.ppid, chunk.end);
        let Some((id, channel)) = self.channel_of(chunk.stream) else {
            return self.on_early_chunk(chunk);
        };
        if let Origin::Local(answered) = &mut channel.origin {
            // Any message shows that the other side has the channel.
            *answered = Answered::Yes;
        }
        let kind = match ppid {
            ppid::STRING | ppid::STRING_EMPTY => MessageKind::Text,
            ppid::BINARY | ppid::BINARY_EMPTY => MessageKind::Binary,
            _ => {
                self.stats.unknown_protocols += u64::from(end);
                return;
            }
        };
        let empty = matches!(ppid, ppid::STRING_EMPTY | ppid::BINARY_EMPTY);
        let Some(chunk) = self.take_part(now, id, kind, empty, chunk) else { return };
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let hint = channel.hint.min(HINT_MAX);
        let in_pieces = !chunk.begin;
        match channel.assembly(chunk.unordered).push(chunk, limit, hint) {
            Assembled::Unfinished => {}
            Assembled::Oversized => {
                self.stats.oversized += 1;
                self.close_channel(now, id);
            }
            Assembled::Whole(data) => {
                if in_pieces {
                    channel.hint = data.len();
                }
                let data = if empty { bytes::Bytes::new() } else { data };
                let message = Message { kind, data };
                if channel.open_lane.is_some() {
                    self.hold(id, message);
                } else {
                    self.deliver(id, message);
                }
            }
        }
    }

    /// The channel, if anything may be handed up on it. W3C: nothing is once the closing has begun on this side.
    pub(super) fn admit(&mut self, id: ChannelId) -> Option<&mut Channel> {
        let channel = self.channels.get_mut(&id)?;
        let over = channel.state == ChannelState::Closed || channel.is_closed_here();
        (!over).then_some(channel)
    }

    pub(super) fn deliver(&mut self, id: ChannelId, message: Message) {
        let Some(channel) = self.admit(id) else { return };
        let length = message.data.len();
        channel.messages_received += 1;
        channel.bytes_received += length as u64;
        channel.unread += length;
        if channel.reading == Reading::Parts && !channel.parts.is_empty() {
            let Message { kind, data } = message;
            channel.parts.push_back(MessagePart { kind, data, begin: true, end: true, abandoned: false });
        } else {
            channel.inbox.push_back(message);
        }
        self.unread += length + MESSAGE_OVERHEAD;
        self.note_delivery(id);
    }

    /// Something is there to be read: says so, and pauses the channel, or all, if that is a lot.
    pub(super) fn note_delivery(&mut self, id: ChannelId) {
        let limit = self.channel_limit();
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if !std::mem::replace(&mut channel.told_readable, true) {
            self.events.push_back(Event::Readable(id));
        }
        let waiting = channel.inbox.len() + channel.parts.len();
        let crowded = channel.unread + waiting * MESSAGE_OVERHEAD >= limit;
        if crowded && !channel.paused {
            channel.paused = true;
            if let Some(stream) = channel.stream {
                self.association.pause_stream(StreamId(stream));
            }
        }
        if self.unread >= self.config.receive_buffer && !self.full {
            self.full = true;
            for stream in self.streams.keys() {
                self.association.pause_stream(StreamId(*stream));
            }
        }
    }
}

impl Channel {
    /// Being closed by us and not by the other side.
    fn is_closed_here(&self) -> bool {
        self.state == ChannelState::Closing && self.incoming == Direction::Running
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a starting point in time is needed")]
mod tests {
    use bytes::Bytes;
    use taut_sansio::rng::Rng;
    use taut_sctp::{Ordering, Reliability};

    use super::*;
    use crate::channel::Assembly;
    use crate::config::{Config, Priority};

    #[test]
    fn no_more_than_64_kib_are_reserved_for_a_message_that_only_began() {
        let now = Instant::now();
        let mut session = Session::new(Config::default().with_max_message_size(8 << 20), Rng::from_u64(1));
        let (order, priority) = (Ordering::Ordered, Priority::default());
        let (label, protocol) = (String::new(), String::new());
        let channel =
            Channel::new(label, protocol, order, Reliability::Reliable, priority, Origin::Remote, Some(0));
        let id = session.add(channel);
        let mut piece = |begin, end, octets: usize| {
            let bytes = Bytes::from(vec![0; octets]);
            let (stream, ppid) = (StreamId(0), ppid::BINARY);
            session
                .on_chunk(now, Chunk { stream, ppid, unordered: false, begin, end, abandoned: false, bytes });
            match session.channels.get_mut(&id).map(|channel| channel.assembly(false)) {
                Some(Assembly::Growing(buffer)) => buffer.capacity(),
                _ => 0,
            }
        };
        // As large as the last one was, within the bound.
        for (length, reserved) in [(5_000, 5_000), (64 << 10, 64 << 10), (4 << 20, 64 << 10)] {
            piece(true, false, length - 1);
            piece(false, true, 1);
            assert_eq!(piece(true, false, 1), reserved);
            piece(false, true, 1);
        }
    }
}
