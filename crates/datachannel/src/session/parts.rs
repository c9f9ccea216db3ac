//! Messages in parts, for those that should not be in memory as a whole: writing one, and reading them as they come.

use std::time::Instant;

use bytes::Bytes;
use taut_sctp::{Chunk, StreamId, WriteError};

use super::receive::MESSAGE_OVERHEAD;
use super::{Link, Session};
use crate::channel::{Assembly, Channel, ChannelState, Reading, Writing};
use crate::types::{ChannelId, Message, MessageKind, MessagePart, SendError};

impl Session {
    /// Begins a message that is written in parts, with [`append_message`](Self::append_message) and
    /// [`end_message`](Self::end_message). Until it ends, nothing else can be sent on the channel.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] before the session was started, and while messages that were sent before wait for the channel
    /// to open, or for room.
    pub fn begin_message(&mut self, now: Instant, id: ChannelId, kind: MessageKind) -> Result<(), SendError> {
        let now = self.tick(now);
        let channel = self.channels.get_mut(&id).ok_or(SendError::Closed)?;
        if !matches!(channel.state, ChannelState::Connecting | ChannelState::Open) || self.link == Link::Ended
        {
            return Err(SendError::Closed);
        }
        let started = self.link != Link::Waiting;
        let Some(stream) = channel.stream.filter(|_| started && channel.backlog.is_empty()) else {
            return Err(SendError::Full);
        };
        let options = channel.options_of(kind);
        self.association.begin_message(now, StreamId(stream), &options).map_err(send_error)?;
        channel.writing = Writing::InParts { kind, octets: 0 };
        Ok(())
    }

    /// Adds to the message that was begun.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::TooLarge`] if the message would be larger than the other side takes, and
    /// [`SendError::NotBegun`]; the part was not taken.
    pub fn append_message(&mut self, now: Instant, id: ChannelId, data: Bytes) -> Result<(), SendError> {
        let now = self.tick(now);
        let max = self.max_message_size();
        let (stream, channel) = self.writing_channel(id)?;
        let Writing::InParts { kind, octets } = channel.writing else { return Err(SendError::NotBegun) };
        let (length, octets) = (data.len(), octets.saturating_add(data.len()));
        if max.is_some_and(|max| octets > max) {
            return Err(SendError::TooLarge);
        }
        channel.writing = Writing::InParts { kind, octets };
        channel.buffered += length;
        channel.bytes_sent += length as u64;
        let result = self.association.append_message(now, stream, data).map_err(send_error);
        if result.is_err()
            && let Some(channel) = self.channels.get_mut(&id)
        {
            channel.writing = Writing::InParts { kind, octets: octets - length };
            channel.buffered -= length;
            channel.bytes_sent -= length as u64;
        }
        result
    }

    /// Ends the message that was begun. One without any octets is an empty message.
    pub fn end_message(&mut self, now: Instant, id: ChannelId) -> Result<(), SendError> {
        let now = self.tick(now);
        let (stream, channel) = self.writing_channel(id)?;
        let Writing::InParts { kind, octets } = channel.writing else { return Err(SendError::NotBegun) };
        if octets == 0 {
            self.cancel_message(now, id)?;
            return self.send(now, id, Message { kind, data: Bytes::new() });
        }
        channel.writing = Writing::Whole;
        channel.messages_sent += 1;
        self.association.end_message(now, stream).map_err(send_error)
    }

    /// Gives the message up that was begun: the other side sees nothing of it. If it cannot be told that what it has of
    /// it is worth nothing, which every peer for WebRTC can, the session ends.
    pub fn cancel_message(&mut self, now: Instant, id: ChannelId) -> Result<(), SendError> {
        let now = self.tick(now);
        let (stream, channel) = self.writing_channel(id)?;
        if channel.writing == Writing::Whole {
            return Err(SendError::NotBegun);
        }
        channel.writing = Writing::Whole;
        let result = self.association.cancel_message(now, stream).map_err(send_error);
        self.process(now);
        result
    }

    fn writing_channel(&mut self, id: ChannelId) -> Result<(StreamId, &mut Channel), SendError> {
        let channel = self.channels.get_mut(&id).ok_or(SendError::Closed)?;
        match channel.stream {
            Some(stream) if matches!(channel.state, ChannelState::Connecting | ChannelState::Open) => {
                Ok((StreamId(stream), channel))
            }
            _ => Err(SendError::Closed),
        }
    }

    /// Whether the messages of a channel are read in parts with [`poll_part`](Self::poll_part), as they come and up to
    /// the announced size, or whole with [`poll_message`](Self::poll_message). To be changed between messages: the rest of
    /// one whose first part was taken is dropped on the way back.
    pub fn read_in_parts(&mut self, now: Instant, id: ChannelId, in_parts: bool) {
        let now = self.tick(now);
        let Some(channel) = self.channels.get_mut(&id) else { return };
        match (channel.reading, in_parts) {
            (Reading::Whole, true) => channel.reading = Reading::Parts,
            (Reading::Parts, false) => self.read_whole_again(id),
            _ => return,
        }
        self.apply_reading(id);
        self.process(now);
    }

    /// Tells the association how a channel is read that has its stream, and still has it.
    pub(super) fn apply_reading(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get(&id) else { return };
        if let Some(stream) = channel.stream.filter(|stream| self.streams.get(stream) == Some(&id)) {
            self.association.read_in_parts(StreamId(stream), channel.reading == Reading::Parts);
        }
    }

    /// Puts together what there is in parts. The last message may be unfinished.
    fn read_whole_again(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        channel.reading = Reading::Whole;
        let mut whole: Option<Vec<u8>> = None;
        for part in std::mem::take(&mut channel.parts) {
            channel.unread -= part.data.len();
            self.unread -= part.data.len() + MESSAGE_OVERHEAD;
            if part.begin {
                whole = Some(Vec::new());
            }
            let Some(octets) = &mut whole else { continue };
            octets.extend_from_slice(&part.data);
            if part.abandoned {
                whole = None;
            } else if part.end {
                let data = Bytes::from(whole.take().unwrap_or_default());
                channel.unread += data.len();
                self.unread += data.len() + MESSAGE_OVERHEAD;
                channel.inbox.push_back(Message { kind: part.kind, data });
            }
        }
        if let Some(unordered) = channel.open_lane.take() {
            *channel.assembly(unordered) = whole.map_or(Assembly::Skipping, Assembly::Growing);
            self.release_held(id);
        }
    }

    /// A message came whole inside one that is read in parts: it waits for its end, and counts as unread.
    pub(super) fn hold(&mut self, id: ChannelId, message: Message) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        channel.unread += message.data.len();
        self.unread += message.data.len() + MESSAGE_OVERHEAD;
        channel.held.push(message);
        self.note_delivery(id);
    }

    fn release_held(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        for message in std::mem::take(&mut channel.held) {
            let Some(channel) = self.channels.get_mut(&id) else { return };
            channel.unread -= message.data.len();
            self.unread -= message.data.len() + MESSAGE_OVERHEAD;
            self.deliver(id, message);
        }
    }

    /// The next part of a channel whose messages are [read in parts](Self::read_in_parts).
    pub fn poll_part(&mut self, id: ChannelId) -> Option<MessagePart> {
        self.forget_closed();
        let channel = self.channels.get_mut(&id)?;
        if !channel.inbox.is_empty() {
            // It was whole before.
            let Message { kind, data } = self.poll_message(id)?;
            return Some(MessagePart { kind, data, begin: true, end: true, abandoned: false });
        }
        let part = channel.parts.pop_front();
        if let Some(part) = &part {
            channel.unread = channel.unread.saturating_sub(part.data.len());
            self.unread = self.unread.saturating_sub(part.data.len() + MESSAGE_OVERHEAD);
        }
        self.make_room(id);
        self.remove_if_done(id);
        part
    }

    /// A piece of the message that is read in parts, or the first of one. `None` if it was taken.
    pub(super) fn take_part(
        &mut self,
        now: Instant,
        id: ChannelId,
        kind: MessageKind,
        empty: bool,
        chunk: Chunk,
    ) -> Option<Chunk> {
        let announced = match self.config.max_message_size {
            0 => usize::MAX,
            size => size,
        };
        let channel = self.channels.get_mut(&id)?;
        let fresh = chunk.begin && channel.reading == Reading::Parts && channel.open_lane.is_none();
        if fresh {
            channel.open_lane = Some(chunk.unordered);
            channel.part_octets = 0;
        }
        if channel.open_lane != Some(chunk.unordered) {
            return Some(chunk);
        }
        channel.part_octets = channel.part_octets.saturating_add(chunk.bytes.len());
        let oversized = channel.part_octets > announced;
        let over = chunk.end || oversized;
        if over {
            channel.open_lane = None;
        }
        if oversized && !chunk.end {
            *channel.assembly(chunk.unordered) = Assembly::Skipping;
        }
        let data = if empty || oversized { Bytes::new() } else { chunk.bytes };
        let abandoned = chunk.abandoned || oversized;
        self.deliver_part(id, MessagePart { kind, data, begin: chunk.begin, end: over, abandoned });
        if over {
            self.release_held(id);
        }
        if oversized {
            self.stats.oversized += 1;
            self.close_channel(now, id);
        }
        None
    }

    fn deliver_part(&mut self, id: ChannelId, part: MessagePart) {
        let Some(channel) = self.admit(id) else { return };
        let length = part.data.len();
        channel.bytes_received += length as u64;
        channel.messages_received += u64::from(part.end && !part.abandoned);
        channel.unread += length;
        channel.parts.push_back(part);
        self.unread += length + MESSAGE_OVERHEAD;
        self.note_delivery(id);
    }
}

pub(super) fn send_error(error: WriteError) -> SendError {
    match error {
        WriteError::Full => SendError::Full,
        WriteError::Unfinished => SendError::Writing,
        WriteError::NotBegun => SendError::NotBegun,
        _ => SendError::Closed,
    }
}
