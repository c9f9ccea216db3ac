//! Opening (RFC 8832 section 6): giving out stream ids, OPEN both ways, ACK.

use std::time::Instant;

use bytes::Bytes;
use taut_sansio::codec::Reader;
use taut_sctp::{Accounting, Ordering, Reliability, StreamId, WriteOptions};

use super::{Link, Session};
use crate::channel::{Answered, Channel, ChannelState, Origin};
use crate::config::{ChannelInit, Priority};
use crate::dcep::{Dcep, Open, ppid};
use crate::types::{ChannelId, Event, OpenError, Role};

/// The highest stream id of a data channel (RFC 8831 section 6.2: 65,535 cannot be used).
const STREAM_MAX: u32 = 65_534;

/// Labels and protocols of all channels that the other side has, in octets. More channels are refused.
const NAME_OCTETS_MAX: usize = 1 << 20;

/// Streams on which an OPEN was refused and that are not reset yet. Further bad OPENs get no answer.
const REFUSED_MAX: usize = 256;

impl Session {
    /// Makes a channel. Legal before [`start`](Self::start); messages may be sent at once and wait.
    pub fn open(&mut self, now: Instant, init: ChannelInit) -> Result<ChannelId, OpenError> {
        let now = self.tick(now);
        if self.link == Link::Ended {
            return Err(OpenError::Closed);
        }
        if init.label.len() > usize::from(u16::MAX) || init.protocol.len() > usize::from(u16::MAX) {
            return Err(OpenError::TooLong);
        }
        let reliability = match (init.max_retransmits, init.max_packet_life_time) {
            (None, None) => Reliability::Reliable,
            (Some(count), None) => Reliability::MaxRetransmits(count),
            (None, Some(life)) => Reliability::MaxLifetime(life),
            (Some(_), Some(_)) => return Err(OpenError::BothLimits),
        };
        let stream = match init.negotiated {
            Some(stream) => Some(self.check_negotiated(stream)?),
            None => self.next_stream_id()?,
        };
        let origin = if init.negotiated.is_some() { Origin::Negotiated } else { Origin::Local(Answered::No) };
        let ordering = if init.ordered { Ordering::Ordered } else { Ordering::Unordered };
        let channel =
            Channel::new(init.label, init.protocol, ordering, reliability, init.priority, origin, stream);
        let id = self.add(channel);
        self.announce(now, id);
        if self.is_connected() && stream.is_some() {
            self.set_open(id);
        }
        self.take_early(now, id);
        Ok(id)
    }

    pub(super) fn add(&mut self, channel: Channel) -> ChannelId {
        let id = ChannelId(self.next_channel);
        self.next_channel = self.next_channel.wrapping_add(1);
        if let Some(stream) = channel.stream {
            self.streams.insert(stream, id);
            self.prioritize(stream, channel.priority);
            if self.full {
                self.association.pause_stream(StreamId(stream));
            }
        }
        self.channels.insert(id, Box::new(channel));
        id
    }

    /// The association has every stream at the default until it is told otherwise.
    fn prioritize(&mut self, stream: u16, priority: Priority) {
        if priority != Priority::default() {
            self.association.set_priority(StreamId(stream), priority.weight());
        }
    }

    fn check_negotiated(&mut self, stream: u16) -> Result<u16, OpenError> {
        if u32::from(stream) > self.highest_stream() {
            Err(OpenError::InvalidId)
        } else if self.is_taken(stream) {
            Err(OpenError::IdInUse)
        } else {
            self.free_streams.retain(|&free| free != stream);
            Ok(stream)
        }
    }

    /// The highest stream that both sides have.
    pub(super) fn highest_stream(&self) -> u32 {
        if self.connected {
            STREAM_MAX.min(u32::from(self.association.outgoing_streams()).saturating_sub(1))
        } else {
            STREAM_MAX
        }
    }

    fn is_taken(&self, stream: u16) -> bool {
        self.streams.contains_key(&stream) || self.refused.contains(&stream)
    }

    /// A free id of our parity; `None` while the role is not known.
    fn next_stream_id(&mut self) -> Result<Option<u16>, OpenError> {
        if self.link == Link::Waiting {
            // Those that wait get one each later.
            let waiting = self.channels.values().filter(|channel| channel.stream.is_none()).count();
            return if waiting < STREAM_MAX as usize / 2 { Ok(None) } else { Err(OpenError::Exhausted) };
        }
        while self.next_stream <= self.highest_stream() {
            let stream = self.next_stream as u16;
            self.next_stream += 2;
            if !self.is_taken(stream) {
                return Ok(Some(stream));
            }
        }
        // Longest free first, so that what the network still holds of the old channel is gone.
        while let Some(stream) = self.free_streams.pop_front() {
            if !self.is_taken(stream) {
                return Ok(Some(stream));
            }
        }
        Err(OpenError::Exhausted)
    }

    /// A stream is free again.
    pub(super) fn release_stream(&mut self, stream: u16) {
        self.streams.remove(&stream);
        let ours = match self.link {
            Link::Started { role, .. } => is_ours(role, stream),
            Link::Waiting | Link::Ended => false,
        };
        if ours && u32::from(stream) < self.next_stream {
            self.free_streams.push_back(stream);
        }
    }

    /// The role is known: channels that wait get their streams.
    pub(super) fn assign_streams(&mut self) {
        let waiting: Vec<ChannelId> =
            self.channels.iter().filter(|(_, channel)| channel.stream.is_none()).map(|(&id, _)| id).collect();
        for id in waiting {
            let Ok(Some(stream)) = self.next_stream_id() else {
                self.close_at_once(id);
                continue;
            };
            if let Some(channel) = self.channels.get_mut(&id) {
                channel.stream = Some(stream);
                let priority = channel.priority;
                self.streams.insert(stream, id);
                self.prioritize(stream, priority);
                self.apply_reading(id);
            }
            let Some(now) = self.now else { continue };
            self.announce(now, id);
        }
    }

    /// Sends OPEN for a channel of ours. It goes first on its stream, whenever that is.
    fn announce(&mut self, now: Instant, id: ChannelId) {
        let Some(channel) = self.channels.get(&id) else { return };
        let (Some(stream), Origin::Local(_)) = (channel.stream, channel.origin) else {
            return self.flush(now, id);
        };
        let open = Open {
            ordering: channel.ordering,
            reliability: channel.reliability,
            priority: channel.priority.weight(),
            label: channel.label.clone(),
            protocol: channel.protocol.clone(),
        };
        self.write_dcep(now, stream, &Dcep::Open(open));
        self.flush(now, id);
    }

    /// DCEP messages are ordered and reliable (RFC 8832 section 6).
    fn write_dcep(&mut self, now: Instant, stream: u16, message: &Dcep) {
        let options =
            WriteOptions { ppid: ppid::DCEP, accounting: Accounting::Control, ..WriteOptions::default() };
        let data = Bytes::from(message.to_vec());
        if let Err(error) = self.association.write(now, StreamId(stream), data, &options) {
            tracing::trace!(stream, %error, "DCEP message not sent");
        }
    }

    /// The association is established: channels open, but for those whose stream the other side does not have.
    pub(super) fn open_all(&mut self, now: Instant) {
        let highest = self.highest_stream();
        let ids: Vec<(ChannelId, Option<u16>)> =
            self.channels.iter().map(|(&id, channel)| (id, channel.stream)).collect();
        for (id, stream) in ids {
            match stream {
                Some(stream) if u32::from(stream) > highest => self.close_at_once(id),
                Some(_) => {
                    self.set_open(id);
                    self.flush(now, id);
                }
                None => {}
            }
        }
    }

    /// A whole DCEP message came.
    pub(super) fn on_dcep(&mut self, now: Instant, stream: u16, message: &[u8]) {
        match Dcep::parse(&mut Reader::new(message)) {
            Ok(Dcep::Open(open)) => self.on_open(now, stream, open),
            Ok(Dcep::Ack) => match self.channel_of(StreamId(stream)) {
                Some((_, channel)) if matches!(channel.origin, Origin::Local(_)) => {
                    channel.origin = Origin::Local(Answered::Yes);
                }
                _ => self.stats.bad_dcep += 1,
            },
            Err(error) => {
                tracing::trace!(stream, %error, "DCEP message dropped");
                self.stats.bad_dcep += 1;
                self.refuse(now, stream);
            }
        }
    }

    fn on_open(&mut self, now: Instant, stream: u16, open: Open) {
        let Link::Started { role, .. } = self.link else { return };
        if self.is_taken(stream) || is_ours(role, stream) {
            self.stats.bad_dcep += 1;
            return self.refuse(now, stream);
        }
        let names = open.label.len() + open.protocol.len();
        if u32::from(stream) > self.highest_stream()
            || self.incoming_channels >= self.config.max_incoming_channels
            || self.name_octets + names > NAME_OCTETS_MAX
        {
            self.stats.channels_refused += 1;
            return self.refuse(now, stream);
        }
        self.incoming_channels += 1;
        self.name_octets += names;
        let channel = Channel::new(
            open.label,
            open.protocol,
            open.ordering,
            open.reliability,
            Priority::of_weight(open.priority),
            Origin::Remote,
            Some(stream),
        );
        let id = self.add(channel);
        self.write_dcep(now, stream, &Dcep::Ack);
        self.events.push_back(Event::Incoming(id));
        self.set_open(id);
        self.take_early(now, id);
    }

    /// An OPEN that cannot be: the channel is closed, if there is one, else the stream is reset without an ACK.
    fn refuse(&mut self, now: Instant, stream: u16) {
        if let Some(&id) = self.streams.get(&stream) {
            if self.channels.get(&id).is_some_and(|channel| channel.state != ChannelState::Closed) {
                self.close_channel(now, id);
            }
            return;
        }
        if self.refused.len() < REFUSED_MAX
            && u32::from(stream) <= self.highest_stream()
            && self.association.reset_streams(now, &[StreamId(stream)]).is_ok()
        {
            self.refused.insert(stream);
        }
    }
}

/// Whether a stream is one of those that this side gives out.
fn is_ours(role: Role, stream: u16) -> bool {
    match role {
        Role::Client => stream.is_multiple_of(2),
        Role::Server => !stream.is_multiple_of(2),
    }
}
