//! The session: the association, its channels, and what passes between them.

mod close;
mod early;
mod open;
mod parts;
mod receive;
mod send;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use taut_sansio::rng::Rng;
use taut_sctp::{Association, StreamId};

use crate::channel::{Channel, ChannelState};
use crate::config::Config;
use crate::types::{ChannelId, CloseReason, Event, RemoteParameters, Role, Stats};

use early::Early;

/// What is known of the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Not started: stream ids cannot be given out.
    Waiting,
    Started {
        role: Role,
        /// The largest message it takes.
        max_message_size: usize,
    },
    Ended,
}

/// Data channels over one DTLS connection.
///
/// **Commands**: [`open`](Self::open), [`start`](Self::start), [`send`](Self::send),
/// [`begin_message`](Self::begin_message), [`close_channel`](Self::close_channel), [`shutdown`](Self::shutdown), [`abort`](Self::abort).
/// **Input**: [`handle_packet`](Self::handle_packet), [`handle_timeout`](Self::handle_timeout),
/// [`handle_transport_closed`](Self::handle_transport_closed).
/// **Output**: [`poll_transmit`](Self::poll_transmit), [`poll_mtu_probe`](Self::poll_mtu_probe),
/// [`poll_event`](Self::poll_event),
/// [`poll_message`](Self::poll_message), [`poll_part`](Self::poll_part), [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Session {
    config: Config,
    association: Association,
    link: Link,
    connected: bool,
    /// Boxed, as a node of the map has room for eleven, and most sessions have one or two.
    channels: BTreeMap<ChannelId, Box<Channel>>,
    streams: BTreeMap<u16, ChannelId>,
    next_channel: u32,
    /// The next stream id that was never used, and those that were and are free again.
    next_stream: u32,
    free_streams: VecDeque<u16>,
    /// Streams that no channel may have: an OPEN was refused and they are not reset yet, or resetting them failed.
    refused: BTreeSet<u16>,
    /// Streams of channels whose closing can be taken further.
    closing_streams: BTreeSet<u16>,
    incoming_channels: usize,
    /// Octets of labels and protocols that the other side chose.
    name_octets: usize,
    /// Channels with a backlog.
    waiting: BTreeSet<ChannelId>,
    backlog_charge: usize,
    /// Octets in all inboxes.
    unread: usize,
    /// All inboxes together are full: every channel is paused.
    full: bool,
    /// DCEP messages that are being put together: the association hands up one message at a time that is not whole.
    dcep: BTreeMap<u16, Vec<u8>>,
    /// What came on streams that no channel has yet.
    early: Early,
    events: VecDeque<Event>,
    /// Channels whose `Closed` was polled.
    told: Vec<ChannelId>,
    now: Option<Instant>,
    stats: Stats,
}

impl Session {
    /// A session that waits for [`start`](Self::start).
    pub fn new(config: Config, rng: Rng) -> Self {
        let sctp = taut_sctp::Config::default()
            .with_local_port(config.port)
            .with_mtu(config.mtu)
            .with_receive_window(config.receive_buffer)
            .with_send_buffer(config.send_buffer)
            .with_congestion(config.congestion)
            .with_interleaving(config.interleaving)
            .with_scheduler(config.scheduler)
            .with_zero_checksum(config.zero_checksum)
            .with_rto_initial(config.timing.rto_initial)
            .with_rto_min(config.timing.rto_min)
            .with_rto_max(config.timing.rto_max)
            .with_max_retransmits(config.timing.max_retransmits)
            .with_heartbeat_interval(config.timing.heartbeat_interval)
            .with_sack_delay(config.timing.sack_delay);
        Self {
            association: Association::new(sctp, rng),
            config,
            link: Link::Waiting,
            connected: false,
            channels: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_channel: 0,
            next_stream: 0,
            free_streams: VecDeque::new(),
            refused: BTreeSet::new(),
            closing_streams: BTreeSet::new(),
            incoming_channels: 0,
            name_octets: 0,
            waiting: BTreeSet::new(),
            backlog_charge: 0,
            unread: 0,
            full: false,
            dcep: BTreeMap::new(),
            early: Early::default(),
            events: VecDeque::new(),
            told: Vec::new(),
            now: None,
            stats: Stats::default(),
        }
    }

    /// Begins: the DTLS connection is up, so the role is known. Sends an INIT. Only the first call counts.
    pub fn start(&mut self, now: Instant, role: Role, remote: RemoteParameters) {
        let now = self.tick(now);
        if self.link != Link::Waiting {
            return;
        }
        let max_message_size = match remote.max_message_size {
            0 => usize::MAX,
            size => size,
        };
        self.link = Link::Started { role, max_message_size };
        self.next_stream = match role {
            Role::Client => 0,
            Role::Server => 1,
        };
        self.association.set_remote_port(remote.port);
        self.assign_streams();
        self.flush_waiting(now);
        self.association.connect(now);
        if self.connected {
            // The other side was faster.
            self.open_all(now);
        }
        self.process(now);
    }

    /// Takes a packet as it came out of DTLS.
    pub fn handle_packet(&mut self, now: Instant, packet: Bytes) {
        let now = self.tick(now);
        self.association.handle_packet(now, packet);
        self.process(now);
    }

    /// Does what has become due. Too early a call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        self.association.handle_timeout(now);
        self.process(now);
    }

    /// What carries the packets is gone: everything ends, and nothing more is sent.
    pub fn handle_transport_closed(&mut self, now: Instant) {
        let now = self.tick(now);
        self.association.abort(now);
        self.end(CloseReason::Transport);
    }

    /// Appends at most one packet of at most `room` octets to `out` and returns its length. Called until it returns
    /// `None`.
    pub fn poll_transmit(&mut self, now: Instant, room: usize, out: &mut Vec<u8>) -> Option<usize> {
        let now = self.tick(now);
        let length = self.association.poll_transmit(now, room, out);
        self.note_sent(now);
        length
    }

    /// What packets may have on the path that is used now, and how large ones are looked for, as in
    /// [`Association::set_path_mtu`](taut_sctp::Association::set_path_mtu).
    pub fn set_path_mtu(&mut self, now: Instant, mtu: usize, max_mtu: usize, headers: usize) {
        let now = self.tick(now);
        self.association.set_path_mtu(now, mtu, max_mtu, headers);
    }

    /// Appends the probe of the path MTU that is due, of at most `room` octets, and returns its length. It goes alone and
    /// without IP fragmentation. To be asked when [`poll_transmit`](Self::poll_transmit) has no more.
    pub fn poll_mtu_probe(&mut self, now: Instant, room: usize, out: &mut Vec<u8>) -> Option<usize> {
        let now = self.tick(now);
        self.association.poll_mtu_probe(now, room, out)
    }

    /// Whether the data that would go next needs no cut to go into a packet of `room` octets.
    pub fn next_data_fits(&mut self, room: usize) -> bool {
        self.association.next_data_fits(room)
    }

    /// What happened since the last call.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        match event {
            Event::Readable(id) => {
                if let Some(channel) = self.channels.get_mut(&id) {
                    channel.told_readable = false;
                }
            }
            Event::Closed(id) => self.told.push(id),
            _ => {}
        }
        Some(event)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.association.poll_timeout()
    }

    /// A channel, until it is closed and its last message and [`Event::Closed`] were polled, and the session is called
    /// after that. The buffered amount stays what it was when it closed, as W3C has it.
    pub fn channel(&self, id: ChannelId) -> Option<&Channel> {
        self.channels.get(&id).map(Box::as_ref)
    }

    /// All channels.
    pub fn channels(&self) -> impl Iterator<Item = (ChannelId, &Channel)> {
        self.channels.iter().map(|(&id, channel)| (id, channel.as_ref()))
    }

    /// True between [`Event::Connected`] and the end.
    pub fn is_connected(&self) -> bool {
        self.connected && self.link != Link::Ended
    }

    /// The largest message that the other side takes, in octets; `usize::MAX` for any, `None` before that is known.
    pub fn max_message_size(&self) -> Option<usize> {
        match self.link {
            Link::Started { max_message_size, .. } => Some(max_message_size),
            Link::Waiting | Link::Ended => None,
        }
    }

    /// How many channels there can be at once (W3C `maxChannels`), once the association is established.
    pub fn max_channels(&self) -> Option<u16> {
        self.is_connected().then(|| self.highest_stream() as u16 + 1)
    }

    /// Counters, and the state of the moment.
    pub fn stats(&self) -> Stats {
        let association = self.association.stats();
        Stats {
            rtt: association.rtt,
            congestion_window: association.congestion_window,
            unread: self.unread,
            association,
            ..self.stats
        }
    }

    fn tick(&mut self, now: Instant) -> Instant {
        self.forget_closed();
        let now = self.now.map_or(now, |newest| newest.max(now));
        self.now = Some(now);
        now
    }

    /// Takes up what the association has to say. Data comes before the reset of its stream: it belongs to the channel
    /// that is being closed.
    fn process(&mut self, now: Instant) {
        self.note_sent(now);
        while let Some(event) = self.association.poll_event() {
            if matches!(event, taut_sctp::Event::IncomingReset(_)) {
                self.read(now);
            }
            self.on_association_event(now, event);
        }
        self.read(now);
        self.continue_closing(now);
    }

    fn on_association_event(&mut self, now: Instant, event: taut_sctp::Event) {
        match event {
            taut_sctp::Event::Connected => {
                self.connected = true;
                self.events.push_back(Event::Connected);
                self.open_all(now);
            }
            taut_sctp::Event::Restarted => self.close_all(),
            taut_sctp::Event::IncomingReset(stream) => self.on_incoming_reset(stream),
            taut_sctp::Event::OutgoingReset(stream) => self.on_outgoing_reset(stream),
            taut_sctp::Event::OutgoingResetFailed(stream) => self.on_reset_failed(stream),
            taut_sctp::Event::Closed(reason) => self.end(CloseReason::Association(reason)),
            _ => {}
        }
    }

    fn channel_of(&mut self, stream: StreamId) -> Option<(ChannelId, &mut Channel)> {
        let id = *self.streams.get(&stream.0)?;
        Some((id, self.channels.get_mut(&id)?))
    }

    /// A channel comes to be open.
    fn set_open(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if channel.state == ChannelState::Connecting {
            channel.state = ChannelState::Open;
            self.stats.channels_opened += 1;
            self.events.push_back(Event::Open(id));
        }
    }
}
