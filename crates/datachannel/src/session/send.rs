//! Sending: messages wait in their channel until it has a stream, then in the association.

use std::time::Instant;

use taut_sctp::{StreamId, WriteError};

use super::parts::send_error;
use super::{Link, Session};
use crate::channel::{ChannelState, Fall};
use crate::types::{ChannelId, Event, Message, SendError};

/// What a message costs of the send buffer beside its octets, as in the association.
const MESSAGE_OVERHEAD: usize = 64;

impl Session {
    /// Sends a message, whole. While the channel is connecting, messages wait.
    pub fn send(&mut self, now: Instant, id: ChannelId, message: Message) -> Result<(), SendError> {
        let now = self.tick(now);
        let channel = self.channels.get_mut(&id).ok_or(SendError::Closed)?;
        if !matches!(channel.state, ChannelState::Connecting | ChannelState::Open) {
            return Err(SendError::Closed);
        }
        let length = message.data.len();
        match self.link {
            Link::Started { max_message_size, .. } if length > max_message_size => {
                return Err(SendError::TooLarge);
            }
            Link::Ended => return Err(SendError::Closed),
            Link::Started { .. } | Link::Waiting => {}
        }
        // What the other side takes is not known before the start.
        let started = self.link != Link::Waiting;
        match channel.stream.filter(|_| started && channel.backlog.is_empty()) {
            Some(stream) => {
                let (data, options) = channel.encode(&message);
                self.association.write(now, StreamId(stream), data, &options).map_err(send_error)?;
            }
            None => {
                let charge = length + MESSAGE_OVERHEAD;
                if self.backlog_charge > 0 && self.backlog_charge + charge > self.config.send_buffer {
                    return Err(SendError::Full);
                }
                self.backlog_charge += charge;
                channel.backlog_octets += length;
                channel.backlog.push_back(message);
                self.waiting.insert(id);
            }
        }
        channel.buffered += length;
        channel.messages_sent += 1;
        channel.bytes_sent += length as u64;
        Ok(())
    }

    /// Sets where [`Event::BufferedAmountLow`] is told. The amount must be above it first.
    pub fn set_buffered_amount_low_threshold(&mut self, id: ChannelId, octets: usize) {
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.threshold = octets;
        }
    }

    /// Moves what waits in a channel to the association, as far as there is room.
    pub(super) fn flush(&mut self, now: Instant, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let (Some(stream), Link::Started { max_message_size, .. }) = (channel.stream, self.link) else {
            return;
        };
        while let Some(message) = channel.backlog.front() {
            let length = message.data.len();
            let (data, options) = channel.encode(message);
            // Sent before the limit was known, and over it: it cannot go, and is dropped.
            let too_large = length > max_message_size;
            if !too_large
                && self.association.write(now, StreamId(stream), data, &options) == Err(WriteError::Full)
            {
                return;
            }
            channel.backlog.pop_front();
            channel.backlog_octets -= length;
            self.backlog_charge = self.backlog_charge.saturating_sub(length + MESSAGE_OVERHEAD);
            if too_large {
                self.stats.oversized += 1;
                if channel.set_buffered(channel.buffered.saturating_sub(length)) == Fall::Low {
                    self.events.push_back(Event::BufferedAmountLow(id));
                }
            }
        }
        self.waiting.remove(&id);
    }

    pub(super) fn flush_waiting(&mut self, now: Instant) {
        let waiting: Vec<ChannelId> = self.waiting.iter().copied().collect();
        for id in waiting {
            self.flush(now, id);
        }
    }

    /// Brings buffered amounts up to date with what the association sent.
    pub(super) fn note_sent(&mut self, now: Instant) {
        let mut any = false;
        while let Some(stream) = self.association.poll_buffered_amount_change() {
            any = true;
            let amount = self.association.buffered_amount(stream);
            let Some((id, channel)) = self.channel_of(stream) else { continue };
            if channel.set_buffered(amount + channel.backlog_octets) == Fall::Low {
                self.events.push_back(Event::BufferedAmountLow(id));
            }
        }
        if any && !self.waiting.is_empty() {
            self.flush_waiting(now);
        }
    }
}
