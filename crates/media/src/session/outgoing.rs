//! Giving RTP packets: in which order the senders come.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Session;
use crate::config::{Kind, SenderId};
use crate::send::{Polled, Sender};

/// How long a packet that fits no room offered is kept.
const MAX_STUCK: Duration = Duration::from_millis(50);

/// Whose turn it is, an entry for each packet: retransmissions, then sound, then pictures.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    repairs: VecDeque<SenderId>,
    audio: VecDeque<SenderId>,
    video: VecDeque<SenderId>,
    /// The lane whose next packet finds no room, and since when. What overtakes it changes nothing.
    stuck: Option<(Turn, Instant)>,
}

impl Lanes {
    pub(super) fn on_queued(&mut self, id: SenderId, kind: Kind, packets: usize) {
        let lane = match kind {
            Kind::Audio => &mut self.audio,
            Kind::Video => &mut self.video,
        };
        lane.extend(std::iter::repeat_n(id, packets));
    }

    pub(super) fn on_repairs(&mut self, id: SenderId, packets: usize) {
        self.repairs.extend(std::iter::repeat_n(id, packets));
    }

    pub(super) fn forget(&mut self, id: SenderId) {
        for lane in [&mut self.repairs, &mut self.audio, &mut self.video] {
            lane.retain(|other| *other != id);
        }
    }

    fn next(&self) -> Option<(Turn, SenderId)> {
        let repair = self.repairs.front().map(|id| (Turn::Repair, *id));
        let audio = || self.audio.front().map(|id| (Turn::Audio, *id));
        let video = || self.video.front().map(|id| (Turn::Video, *id));
        repair.or_else(audio).or_else(video)
    }

    /// Since when this lane is stuck; from now on if it was not.
    fn stuck_since(&mut self, turn: Turn, now: Instant) -> Instant {
        let (_, since) =
            *self.stuck.insert(self.stuck.filter(|(stuck, _)| *stuck == turn).unwrap_or((turn, now)));
        since
    }

    fn done(&mut self, turn: Turn) {
        self.stuck = self.stuck.filter(|(stuck, _)| *stuck != turn);
        match turn {
            Turn::Repair => self.repairs.pop_front(),
            Turn::Audio => self.audio.pop_front(),
            Turn::Video => self.video.pop_front(),
        };
    }
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Repair,
    Audio,
    Video,
}

impl Session {
    /// Appends the next RTP packet, in the clear, and gives its length. A packet of more than `room` octets is left
    /// for a call that offers more; it is dropped if none does for a while.
    pub fn poll_rtp(&mut self, now: Instant, room: usize, out: &mut Vec<u8>) -> Option<usize> {
        let now = self.tick(now);
        loop {
            let (turn, id) = self.lanes.next()?;
            let polled = match (turn, self.senders.get_mut(&id)) {
                (Turn::Repair, Some(sender)) => sender.poll_repair(room, out),
                (_, Some(sender)) => sender.poll_packet(now, room, out),
                (_, None) => Polled::Empty,
            };
            match polled {
                Polled::Packet(len) => {
                    self.lanes.done(turn);
                    return Some(len);
                }
                Polled::Empty => self.lanes.done(turn),
                Polled::NoRoom => {
                    let since = self.lanes.stuck_since(turn, now);
                    if now.saturating_duration_since(since) < MAX_STUCK {
                        return None;
                    }
                    self.drop_stuck(turn, id);
                }
            }
        }
    }

    fn drop_stuck(&mut self, turn: Turn, id: SenderId) {
        self.stats.oversized_dropped += 1;
        self.lanes.done(turn);
        match (turn, self.senders.get_mut(&id)) {
            (Turn::Repair, Some(sender)) => sender.drop_repair(),
            (_, sender) => {
                if let Some(sender) = sender {
                    Sender::drop_packet(sender);
                }
            }
        }
    }
}
