//! All media of one transport: commands, what comes in, and what is polled.

mod feedback;
mod outgoing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use taut_rtp::Packet;
use taut_rtp::rtcp::ReportBlock;
use taut_sansio::rng::Rng;
use taut_sansio::time::{WallClock, earliest};

use crate::config::{Config, Mode, ReceiverConfig, ReceiverId, SenderConfig, SenderId};
use crate::error::SendError;
use crate::frame::Frame;
use crate::limits::MAX_GOODBYES;
use crate::receive::Receiver;
use crate::report::{RoundTrip, Schedule};
use crate::send::Sender;
use crate::stats::{ReceiverStats, SenderStats, Stats};
use outgoing::Lanes;

/// Something happened; the data itself is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Frames came: call [`Session::poll_frame`] until it gives none.
    FrameReady(ReceiverId),
    /// Packets came: call [`Session::poll_packet`] until it gives none.
    PacketReady(ReceiverId),
    /// The other side wants a keyframe.
    KeyframeRequested(SenderId),
    /// A source of the other side said goodbye.
    Bye(ReceiverId, u32),
}

/// Reports that are due and not yet written: what did not fit the last compound.
#[derive(Debug, Default)]
struct DueReports {
    senders: Vec<SenderId>,
    blocks: Vec<ReportBlock>,
    /// A report is due although there is nothing to tell.
    any: Due,
}

/// Whether something is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Due {
    #[default]
    No,
    Yes,
}

/// The media of one transport.
#[derive(Debug)]
pub struct Session {
    config: Config,
    clock: WallClock,
    rng: Rng,
    /// The newest time that was seen.
    now: Instant,
    /// The source of our reports while we send nothing.
    reporter: u32,
    receivers: BTreeMap<ReceiverId, Receiver>,
    senders: BTreeMap<SenderId, Sender>,
    lanes: Lanes,
    schedule: Schedule,
    due: DueReports,
    /// A source may have something to ask for.
    feedback: Due,
    /// There may be events.
    news: Due,
    goodbyes: Vec<u32>,
    rtt: RoundTrip,
    stats: Stats,
}

impl Session {
    /// A session without receivers and senders.
    pub fn new(config: Config, clock: WallClock, mut rng: Rng) -> Self {
        Self {
            config,
            now: clock.instant,
            clock,
            reporter: rng.u32(),
            rng,
            receivers: BTreeMap::new(),
            senders: BTreeMap::new(),
            lanes: Lanes::default(),
            schedule: Schedule::default(),
            due: DueReports::default(),
            feedback: Due::No,
            news: Due::No,
            goodbyes: Vec::new(),
            rtt: RoundTrip::default(),
            stats: Stats::default(),
        }
    }

    // ---- commands

    /// Adds a receiver, or gives it new settings; its sources stay.
    pub fn set_receiver(&mut self, now: Instant, id: ReceiverId, config: ReceiverConfig) {
        self.tick(now);
        match self.receivers.get_mut(&id) {
            Some(receiver) => receiver.set_config(config),
            None => {
                self.receivers.insert(id, Receiver::new(config));
            }
        }
    }

    /// Removes a receiver, with everything that was not fetched.
    pub fn remove_receiver(&mut self, now: Instant, id: ReceiverId) {
        self.tick(now);
        self.receivers.remove(&id);
        self.stop_schedule_when_idle();
    }

    /// Adds a sender, or gives it new settings. With another source it starts anew, and the old source says goodbye.
    pub fn set_sender(&mut self, now: Instant, id: SenderId, config: SenderConfig) {
        self.tick(now);
        match self.senders.get_mut(&id) {
            Some(sender) if sender.config().ssrc == config.ssrc => sender.set_config(config),
            _ => {
                self.remove_sender(now, id);
                self.senders.insert(id, Sender::new(config, &mut self.rng));
            }
        }
    }

    /// Removes a sender. Its source says goodbye if it ever sent; what is queued is dropped.
    pub fn remove_sender(&mut self, now: Instant, id: SenderId) {
        self.tick(now);
        let Some(sender) = self.senders.remove(&id) else { return };
        self.lanes.forget(id);
        if sender.has_sent() && self.goodbyes.len() < MAX_GOODBYES {
            self.goodbyes.push(sender.config().ssrc);
        }
        self.stop_schedule_when_idle();
    }

    /// Chooses what a receiver gives: frames or packets.
    pub fn set_mode(&mut self, id: ReceiverId, mode: Mode) {
        if let Some(receiver) = self.receivers.get_mut(&id) {
            receiver.set_mode(mode);
        }
    }

    /// Tells a round trip that something else measured, as connectivity checks do. It is used until a report of the
    /// other side tells one; a session that only receives has no other source.
    pub fn set_path_rtt(&mut self, rtt: Duration) {
        self.rtt.set_hint(rtt);
    }

    /// Queues a frame.
    ///
    /// # Errors
    /// The frame was not taken: see [`SendError`].
    pub fn send_frame(&mut self, now: Instant, id: SenderId, frame: Frame) -> Result<(), SendError> {
        let now = self.tick(now);
        let sender = self.senders.get_mut(&id).ok_or(SendError::UnknownSender)?;
        let packets = sender.send_frame(now, &frame, self.config.max_packet_size)?;
        self.lanes.on_queued(id, sender.config().kind, packets);
        self.schedule.start(now, &mut self.rng);
        Ok(())
    }

    /// Queues a packet from elsewhere, under the numbers of this sender: its source is replaced, gaps in its sequence
    /// numbers are kept, header extensions that were not negotiated are taken off. Its payload type is kept if it is
    /// one of this sender's, else it becomes that of the first codec. When the source of the packets changes, the new
    /// one goes on without a gap in sequence and time.
    ///
    /// # Errors
    /// The packet was not taken: see [`SendError`].
    pub fn send_packet(&mut self, now: Instant, id: SenderId, packet: Packet) -> Result<(), SendError> {
        let now = self.tick(now);
        let sender = self.senders.get_mut(&id).ok_or(SendError::UnknownSender)?;
        sender.send_packet(now, packet)?;
        self.lanes.on_queued(id, sender.config().kind, 1);
        self.schedule.start(now, &mut self.rng);
        Ok(())
    }

    /// Asks the other side for a keyframe of the source that sent last, and again until it comes. Requests in quick
    /// succession are merged.
    pub fn request_keyframe(&mut self, now: Instant, id: ReceiverId) {
        let now = self.tick(now);
        if let Some(receiver) = self.receivers.get_mut(&id) {
            let cx = receiver.context(now, self.rtt.get());
            receiver.request_keyframe(cx);
            self.feedback = Due::Yes;
        }
    }

    // ---- what comes in

    /// Takes a packet for a receiver; retransmissions too.
    pub fn handle_rtp(&mut self, now: Instant, id: ReceiverId, packet: Packet) {
        let now = self.tick(now);
        let Some(receiver) = self.receivers.get_mut(&id) else {
            tracing::trace!(?id, "RTP for a receiver that does not exist");
            self.stats.rtp_unknown_receiver += 1;
            return;
        };
        self.schedule.start(now, &mut self.rng);
        let cx = receiver.context(now, self.rtt.get());
        if receiver.handle_rtp(cx, packet, &mut self.stats) {
            self.feedback = Due::Yes;
        }
        self.news = Due::Yes;
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        (self.feedback, self.news) = (Due::Yes, Due::Yes);
        let rtt = self.rtt.get();
        for receiver in self.receivers.values_mut() {
            let cx = receiver.context(now, rtt);
            receiver.handle_timeout(cx);
        }
        for sender in self.senders.values_mut() {
            sender.handle_timeout(now);
        }
        if self.schedule.take_due(now, &mut self.rng) {
            self.collect_reports(now);
        }
    }

    // ---- what is polled

    /// The next frame of a receiver in frame mode.
    pub fn poll_frame(&mut self, id: ReceiverId) -> Option<Frame> {
        self.receivers.get_mut(&id)?.ready.poll_frame()
    }

    /// The next packet of a receiver in packet mode.
    pub fn poll_packet(&mut self, id: ReceiverId) -> Option<Packet> {
        self.receivers.get_mut(&id)?.ready.poll_packet()
    }

    /// What happened. Events are computed from state, so none is lost; several of the same kind are one.
    pub fn poll_event(&mut self) -> Option<Event> {
        if self.news == Due::No {
            return None;
        }
        for (id, receiver) in &mut self.receivers {
            if receiver.ready.take_frame_news() {
                return Some(Event::FrameReady(*id));
            }
            if receiver.ready.take_packet_news() {
                return Some(Event::PacketReady(*id));
            }
            if let Some(ssrc) = receiver.take_goodbye() {
                return Some(Event::Bye(*id, ssrc));
            }
        }
        for (id, sender) in &mut self.senders {
            if sender.take_keyframe_request() {
                return Some(Event::KeyframeRequested(*id));
            }
        }
        self.news = Due::No;
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let rtt = self.rtt.get();
        let receivers = self.receivers.values().map(|receiver| receiver.poll_timeout(rtt));
        let senders = self.senders.values().map(Sender::poll_timeout);
        receivers.chain(senders).fold(self.schedule.next(), earliest)
    }

    // ---- getters

    /// The sources of a receiver, at most 16; none before its first packet.
    pub fn receiver_stats(&self, id: ReceiverId) -> Vec<ReceiverStats> {
        let streams = self.receivers.get(&id).map(Receiver::streams).unwrap_or_default();
        streams.iter().map(|stream| stream.stats()).collect()
    }

    /// The source of a sender.
    pub fn sender_stats(&self, id: SenderId) -> Option<SenderStats> {
        self.senders.get(&id).map(|sender| sender.stats().clone())
    }

    /// What was dropped.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The smoothed round trip.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt.get()
    }

    // ---- within

    /// Starts a sender at chosen numbers, to test wraps.
    #[cfg(test)]
    fn start_sender_at(&mut self, id: SenderId, sequence: u16, timestamp: u32) {
        if let Some(sender) = self.senders.get_mut(&id) {
            sender.start_at(sequence, timestamp);
        }
    }

    /// Time does not run backwards.
    fn tick(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn stop_schedule_when_idle(&mut self) {
        let receives = self.receivers.values().any(|receiver| !receiver.streams().is_empty());
        if !receives && !self.senders.values().any(Sender::has_sent) {
            self.schedule.stop();
        }
    }
}
