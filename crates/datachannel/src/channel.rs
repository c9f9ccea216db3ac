//! One channel: what it is, how it is doing, and what waits on it.

use std::collections::VecDeque;

use bytes::Bytes;
use taut_sctp::{Accounting, Chunk, Ordering, Reliability, WriteOptions};

use crate::config::Priority;
use crate::dcep::ppid;
use crate::types::{Message, MessageKind, MessagePart};

/// The state of a channel (W3C `RTCDataChannelState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelState {
    /// The association is not established yet. Messages that are sent now wait.
    Connecting,
    /// Messages flow.
    Open,
    /// One side closed it; what was sent before is on its way.
    Closing,
    /// Over.
    Closed,
}

/// Who told whom of the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// We, by an OPEN; the ACK, or anything else, has come or not.
    Local(Answered),
    /// The other side, by an OPEN.
    Remote,
    /// Nobody: agreed beforehand.
    Negotiated,
}

/// Whether the other side is known to have the channel (RFC 8832 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    No,
    Yes,
}

/// How far the closing is in one direction (RFC 8831 section 6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Direction {
    #[default]
    Running,
    /// The reset is asked for, or its data waits to be read.
    Resetting,
    Reset,
}

/// What a new buffered amount means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fall {
    /// It was above the threshold and is not any more.
    Low,
    /// Nothing that is told.
    Other,
}

/// How the next message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Writing {
    #[default]
    Whole,
    /// One is begun that has this many octets.
    InParts { kind: MessageKind, octets: usize },
}

/// How messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Reading {
    #[default]
    Whole,
    Parts,
}

/// A message that is being put together.
#[derive(Debug, Default)]
pub(crate) enum Assembly {
    #[default]
    Nothing,
    Growing(Vec<u8>),
    /// It grew too large, or nobody wants it: the rest is dropped.
    Skipping,
}

/// What a piece made of a message.
#[derive(Debug)]
pub(crate) enum Assembled {
    Unfinished,
    Whole(Bytes),
    /// Too large; told once.
    Oversized,
}

impl Assembly {
    /// Takes the next piece. Returns how many octets are held now, and what came of it.
    pub(crate) fn push(&mut self, chunk: Chunk, limit: usize, hint: usize) -> Assembled {
        if chunk.abandoned {
            *self = Self::Nothing;
            return Assembled::Unfinished;
        }
        if chunk.begin && chunk.end {
            *self = Self::Nothing;
            return if chunk.bytes.len() > limit {
                Assembled::Oversized
            } else {
                Assembled::Whole(chunk.bytes)
            };
        }
        if chunk.begin {
            *self = Self::Growing(Vec::with_capacity(hint.max(chunk.bytes.len())));
        }
        let Self::Growing(buffer) = self else {
            if chunk.end {
                *self = Self::Nothing;
            }
            return Assembled::Unfinished;
        };
        if buffer.len() + chunk.bytes.len() > limit {
            *self = if chunk.end { Self::Nothing } else { Self::Skipping };
            return Assembled::Oversized;
        }
        buffer.extend_from_slice(&chunk.bytes);
        if !chunk.end {
            return Assembled::Unfinished;
        }
        let mut whole = std::mem::take(buffer);
        *self = Self::Nothing;
        if whole.capacity() - whole.len() > whole.len() / 4 {
            // It may wait long, and is charged by its length.
            whole.shrink_to_fit();
        }
        Assembled::Whole(Bytes::from(whole))
    }
}

/// A data channel.
#[derive(Debug)]
pub struct Channel {
    pub(crate) label: String,
    pub(crate) protocol: String,
    pub(crate) ordering: Ordering,
    pub(crate) reliability: Reliability,
    pub(crate) priority: Priority,
    pub(crate) origin: Origin,
    pub(crate) stream: Option<u16>,
    pub(crate) state: ChannelState,
    pub(crate) outgoing: Direction,
    pub(crate) incoming: Direction,
    /// Messages that were accepted and are not in the association yet.
    pub(crate) backlog: VecDeque<Message>,
    pub(crate) backlog_octets: usize,
    pub(crate) buffered: usize,
    pub(crate) threshold: usize,
    pub(crate) inbox: VecDeque<Message>,
    pub(crate) unread: usize,
    /// `Readable` stands in the event queue.
    pub(crate) told_readable: bool,
    /// `Closed` was polled.
    pub(crate) told_closed: bool,
    pub(crate) paused: bool,
    pub(crate) ordered_assembly: Assembly,
    pub(crate) unordered_assembly: Assembly,
    pub(crate) writing: Writing,
    pub(crate) reading: Reading,
    /// What came of messages that are read in parts.
    pub(crate) parts: VecDeque<MessagePart>,
    /// A message is being read in parts: an unordered one or not. The other kind is put together meanwhile.
    pub(crate) open_lane: Option<bool>,
    /// Octets of that message.
    pub(crate) part_octets: usize,
    /// Messages that came whole meanwhile; charged like the others once it is through.
    pub(crate) held: Vec<Message>,
    /// The length of the last message of more than one piece.
    pub(crate) hint: usize,
    pub(crate) messages_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) messages_received: u64,
    pub(crate) bytes_received: u64,
}

impl Channel {
    pub(crate) fn new(
        label: String,
        protocol: String,
        ordering: Ordering,
        reliability: Reliability,
        priority: Priority,
        origin: Origin,
        stream: Option<u16>,
    ) -> Self {
        Self {
            label,
            protocol,
            ordering,
            reliability,
            priority,
            origin,
            stream,
            state: ChannelState::Connecting,
            outgoing: Direction::default(),
            incoming: Direction::default(),
            backlog: VecDeque::new(),
            backlog_octets: 0,
            buffered: 0,
            threshold: 0,
            inbox: VecDeque::new(),
            unread: 0,
            told_readable: false,
            told_closed: false,
            paused: false,
            ordered_assembly: Assembly::default(),
            unordered_assembly: Assembly::default(),
            writing: Writing::default(),
            reading: Reading::default(),
            parts: VecDeque::new(),
            open_lane: None,
            part_octets: 0,
            held: Vec::new(),
            hint: 0,
            messages_sent: 0,
            bytes_sent: 0,
            messages_received: 0,
            bytes_received: 0,
        }
    }

    /// The label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The subprotocol; empty for none.
    pub fn protocol(&self) -> &str {
        &self.protocol
    }

    /// Whether messages arrive in the order they were sent.
    pub fn ordered(&self) -> bool {
        self.ordering == Ordering::Ordered
    }

    /// After how many retransmissions a message is given up.
    pub fn max_retransmits(&self) -> Option<u16> {
        match self.reliability {
            Reliability::MaxRetransmits(count) => Some(count),
            _ => None,
        }
    }

    /// After what time a message is given up.
    pub fn max_packet_life_time(&self) -> Option<std::time::Duration> {
        match self.reliability {
            Reliability::MaxLifetime(life) => Some(life),
            _ => None,
        }
    }

    /// How it shares the way with other channels.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Whether its id was agreed on beforehand.
    pub fn negotiated(&self) -> bool {
        self.origin == Origin::Negotiated
    }

    /// The number of its stream; `None` before the DTLS role is known, unless it was negotiated.
    pub fn stream_id(&self) -> Option<u16> {
        self.stream
    }

    /// The state.
    pub fn state(&self) -> ChannelState {
        self.state
    }

    /// Octets of messages that were accepted and not yet handed to the network (W3C `bufferedAmount`).
    pub fn buffered_amount(&self) -> usize {
        self.buffered
    }

    /// Where [`Event::BufferedAmountLow`](crate::Event::BufferedAmountLow) is told.
    pub fn buffered_amount_low_threshold(&self) -> usize {
        self.threshold
    }

    /// Octets of messages that came and were not polled.
    pub fn unread(&self) -> usize {
        self.unread
    }

    /// Messages accepted for sending.
    pub fn messages_sent(&self) -> u64 {
        self.messages_sent
    }

    /// Octets of those.
    pub fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }

    /// Messages received.
    pub fn messages_received(&self) -> u64 {
        self.messages_received
    }

    /// Octets of those.
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    /// How a message of this channel is written now. Before the other side is known to have the channel, messages
    /// are ordered, so that they stay behind the OPEN (RFC 8832 section 6).
    fn write_options(&self, ppid: u32) -> WriteOptions {
        let ordering = match self.origin {
            Origin::Local(Answered::No) => Ordering::Ordered,
            _ => self.ordering,
        };
        WriteOptions { ppid, ordering, reliability: self.reliability, ..WriteOptions::default() }
    }

    /// The buffered amount is another one.
    pub(crate) fn set_buffered(&mut self, octets: usize) -> Fall {
        let before = std::mem::replace(&mut self.buffered, octets);
        if before > self.threshold && octets <= self.threshold { Fall::Low } else { Fall::Other }
    }

    /// Where the ordered or the unordered message is put together.
    pub(crate) fn assembly(&mut self, unordered: bool) -> &mut Assembly {
        if unordered { &mut self.unordered_assembly } else { &mut self.ordered_assembly }
    }

    /// How a message of this kind is written that is not empty.
    pub(crate) fn options_of(&self, kind: MessageKind) -> WriteOptions {
        self.write_options(match kind {
            MessageKind::Text => ppid::STRING,
            MessageKind::Binary => ppid::BINARY,
        })
    }

    /// What goes to the association for a message, and how. SCTP has no empty messages, so those are one zero octet
    /// (RFC 8831 section 6.6), which does not count as buffered.
    pub(crate) fn encode(&self, message: &Message) -> (Bytes, WriteOptions) {
        let (ppid, data) = match (message.kind, message.data.is_empty()) {
            (MessageKind::Text, false) => (ppid::STRING, message.data.clone()),
            (MessageKind::Binary, false) => (ppid::BINARY, message.data.clone()),
            (MessageKind::Text, true) => (ppid::STRING_EMPTY, Bytes::from_static(&[0])),
            (MessageKind::Binary, true) => (ppid::BINARY_EMPTY, Bytes::from_static(&[0])),
        };
        let accounting = if message.data.is_empty() { Accounting::Uncounted } else { Accounting::Counted };
        (data, WriteOptions { accounting, ..self.write_options(ppid) })
    }
}
