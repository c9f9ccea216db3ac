//! Which stream sends next (RFC 8260 section 3).
//!
//! Each stream that has something to send stands in line with a key: its class, and where it is in it. The lowest
//! goes first. Round robin puts a stream where it was served last, weighted fair queueing where the octets that it
//! sent over its weight have brought it; for priorities the class is the priority, and within one class it is round
//! robin. A stream that comes back to weighted fair queueing starts where the others are, so that it cannot claim
//! what it did not use. The stream in service stands beside the line, so that one stream alone costs nothing.

use std::collections::BTreeSet;

use crate::config::Scheduler;

/// What one octet counts at weight one, so that weights to 65,535 leave something.
const SCALE: u64 = 1 << 16;

/// A place in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    class: u16,
    at: u64,
    stream: u16,
}

/// The line.
#[derive(Debug)]
pub(super) struct Line {
    scheduler: Scheduler,
    serving: Option<Place>,
    waiting: BTreeSet<Place>,
    /// Streams whose next message may not begin yet, because too much of others has begun.
    held: BTreeSet<Place>,
    /// Something ended since the first of them was tried.
    may_release: Release,
    /// The last turn, or where the stream in service is and newcomers start.
    now: u64,
}

/// Whether a held stream is worth another look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    Try,
    Wait,
}

impl Line {
    pub(super) fn new(scheduler: Scheduler) -> Self {
        Self {
            scheduler,
            serving: None,
            waiting: BTreeSet::new(),
            held: BTreeSet::new(),
            may_release: Release::Wait,
            now: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.serving.is_none() && self.waiting.is_empty() && self.held.is_empty()
    }

    fn class(&self, priority: u16) -> u16 {
        match self.scheduler {
            Scheduler::RoundRobin | Scheduler::WeightedFair => 0,
            Scheduler::Priority => u16::MAX - priority,
        }
    }

    /// A stream has something to send; `at` is where it [left](Self::leave), zero at first.
    pub(super) fn join(&mut self, stream: u16, priority: u16, at: u64) {
        let at = match self.scheduler {
            Scheduler::RoundRobin | Scheduler::Priority => at,
            Scheduler::WeightedFair => at.max(self.now),
        };
        let place = Place { class: self.class(priority), at, stream };
        if self.is_empty() {
            self.serving = Some(place);
        } else {
            self.waiting.insert(place);
        }
    }

    /// The stream in service stays so: it is inside a message that nothing may interrupt.
    pub(super) fn serving(&self) -> Option<u16> {
        self.serving.map(|place| place.stream)
    }

    /// Puts the stream into service whose turn it is.
    #[inline]
    pub(super) fn choose(&mut self) -> Option<u16> {
        if !self.waiting.is_empty() || !self.held.is_empty() {
            self.put_next_into_service();
        }
        if let Some(place) = self.serving {
            self.now = self.now.max(place.at);
        }
        self.serving()
    }

    fn put_next_into_service(&mut self) {
        let waiting = self.waiting.first();
        let held = self.held.first().filter(|_| self.may_release == Release::Try);
        let next = waiting.into_iter().chain(held).min().copied();
        if let Some(next) = next.filter(|next| self.serving.is_none_or(|place| *next < place)) {
            if !self.waiting.remove(&next) {
                self.held.remove(&next);
            }
            if let Some(place) = self.serving.replace(next) {
                self.waiting.insert(place);
            }
        }
    }

    /// The stream in service must wait until something ends.
    pub(super) fn hold(&mut self) {
        if let Some(place) = self.serving.take() {
            self.held.insert(place);
            self.may_release = Release::Wait;
        }
    }

    /// A message ended: what was held may be looked at again.
    pub(super) fn release(&mut self) {
        self.may_release = Release::Try;
    }

    /// The stream in service sent `octets`.
    pub(super) fn serve(&mut self, octets: usize, priority: u16) {
        let Some(place) = &mut self.serving else { return };
        match self.scheduler {
            Scheduler::RoundRobin | Scheduler::Priority => {
                self.now += 1;
                place.at = self.now;
            }
            Scheduler::WeightedFair => place.at += octets as u64 * SCALE / u64::from(priority.max(1)),
        }
    }

    /// The stream has nothing to send any more. Returns where it was.
    pub(super) fn leave(&mut self, stream: u16) -> u64 {
        if let Some(place) = self.serving.take_if(|place| place.stream == stream) {
            return place.at;
        }
        // Rare: a message was given up while another stream was in service.
        for line in [&mut self.waiting, &mut self.held] {
            if let Some(place) = line.iter().find(|place| place.stream == stream).copied() {
                line.remove(&place);
                return place.at;
            }
        }
        0
    }

    /// The priority of a stream in the line changed.
    pub(super) fn reclass(&mut self, stream: u16, priority: u16) {
        let class = self.class(priority);
        if let Some(place) = self.serving.as_mut().filter(|place| place.stream == stream) {
            place.class = class;
            return;
        }
        for line in [&mut self.waiting, &mut self.held] {
            if let Some(place) = line.iter().find(|place| place.stream == stream).copied() {
                line.remove(&place);
                line.insert(Place { class, ..place });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve_all(scheduler: Scheduler, streams: &[(u16, u16)], octets: usize, turns: usize) -> Vec<u16> {
        let mut line = Line::new(scheduler);
        for &(stream, priority) in streams {
            line.join(stream, priority, 0);
        }
        let mut served = Vec::new();
        for _ in 0..turns {
            let stream = line.choose().unwrap();
            let priority = streams.iter().find(|(id, _)| *id == stream).unwrap().1;
            line.serve(octets, priority);
            served.push(stream);
        }
        served
    }

    #[test]
    fn round_robin_takes_turns_whatever_the_priority() {
        let served = serve_all(Scheduler::RoundRobin, &[(1, 1), (2, 1000), (3, 5)], 100, 9);
        assert_eq!(served, [1, 2, 3, 1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn weights_share_the_octets() {
        let served = serve_all(Scheduler::WeightedFair, &[(1, 128), (2, 1024)], 1000, 900);
        let first = served.iter().filter(|&&stream| stream == 1).count();
        assert!((99..=101).contains(&first), "{first}");
    }

    #[test]
    fn a_higher_priority_goes_first_and_equals_take_turns() {
        let served = serve_all(Scheduler::Priority, &[(1, 128), (2, 1024), (3, 1024)], 1000, 4);
        assert_eq!(served, [2, 3, 2, 3]);
    }

    #[test]
    fn who_comes_late_is_next_and_gets_no_more_than_its_share() {
        let mut line = Line::new(Scheduler::WeightedFair);
        line.join(1, 256, 0);
        for _ in 0..1_000 {
            assert_eq!(line.choose(), Some(1));
            line.serve(1_000, 256);
        }
        line.join(2, 256, 0);
        let turns: Vec<u16> = (0..6)
            .map(|_| {
                let stream = line.choose().unwrap();
                line.serve(1_000, 256);
                stream
            })
            .collect();
        assert_eq!(turns, [2, 1, 2, 1, 2, 1]);
    }

    #[test]
    fn a_held_stream_waits_for_a_release() {
        let mut line = Line::new(Scheduler::RoundRobin);
        line.join(1, 1, 0);
        line.join(2, 1, 0);
        assert_eq!(line.choose(), Some(1));
        line.hold();
        assert_eq!((line.choose(), line.choose()), (Some(2), Some(2)));
        line.serve(1, 1);
        line.release();
        assert_eq!(line.choose(), Some(1));
        assert_eq!((line.leave(1), line.leave(2), line.is_empty()), (0, 1, true));
    }

    #[test]
    fn a_changed_priority_counts_at_once() {
        let mut line = Line::new(Scheduler::Priority);
        line.join(1, 10, 0);
        line.join(2, 5, 0);
        assert_eq!(line.choose(), Some(1));
        line.reclass(2, 20);
        assert_eq!(line.choose(), Some(2));
        line.reclass(2, 1);
        assert_eq!(line.choose(), Some(1));
    }
}
