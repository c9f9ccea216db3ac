//! When frames of different tracks happened, on one clock.

use std::time::{Duration, Instant};

use taut_peer::Frame;

/// A frame whose time differs by more than this from the time at which it came is of a clock that was set anew, as by a
/// sender that started again: the time goes on from the frame before it. A recording thus never grows faster than the call.
const JUMP: Duration = Duration::from_secs(2);

/// Where times come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// From the sender's wall clock (RFC 3550 section 6.4.1): what happened together there has the same time.
    Captured,
    /// From the arrival, for senders that report nothing: each track's media time, begun when its first frame came.
    Arrival(Instant),
}

/// The times of one track, in nanoseconds from any zero that all tracks have in common.
#[derive(Debug)]
pub(super) struct Timeline {
    clock: Clock,
    /// What is to be added to the sender's times.
    shift: i128,
    /// The last frame: its time, and when it came.
    last: Option<(i128, Instant)>,
}

impl Timeline {
    /// A track that begins; for `Clock::Arrival` its first frame comes now.
    pub(super) fn new(clock: Clock, first: &Frame) -> Self {
        let shift = match (clock, first.received) {
            (Clock::Arrival(zero), Some(at)) => {
                // One of the two is nothing.
                let (after, before) =
                    (at.saturating_duration_since(zero), zero.saturating_duration_since(at));
                nanos(after) - nanos(before) - nanos(first.presentation)
            }
            _ => 0,
        };
        Self { clock, shift, last: None }
    }

    /// The time of the next frame; `None` for one that was not received, whose time nobody knows.
    pub(super) fn time(&mut self, frame: &Frame) -> Option<i128> {
        let at = frame.received?;
        let expected = self.last.map(|(time, before)| time + nanos(at.saturating_duration_since(before)));
        let own = match self.clock {
            Clock::Captured => frame.captured.map(nanos),
            Clock::Arrival(_) => Some(nanos(frame.presentation)),
        };
        let time = match (own.map(|own| own + self.shift), expected) {
            (Some(time), Some(expected)) if (time - expected).abs() > nanos(JUMP) => {
                self.shift += expected - time;
                expected
            }
            (Some(time), _) => time,
            (None, expected) => expected?,
        };
        self.last = Some((time, at));
        Some(time)
    }
}

pub(super) fn nanos(time: Duration) -> i128 {
    // A `Duration` has at most 64 + 30 bits.
    time.as_nanos() as i128
}
