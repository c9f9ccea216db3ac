//! Requests for keyframes from the other side, merged so that an encoder is not flooded.

use std::time::{Duration, Instant};

/// The shortest time between two requests to the application.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// What is wanted of the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Idle,
    /// The application is to be told.
    Ready,
    /// It is to be told when the interval is over.
    Deferred,
}

/// The requests to one sender.
#[derive(Debug, Default)]
pub(crate) struct KeyframeRequests {
    state: State,
    last: Option<Instant>,
    /// The number of the last FIR command.
    fir: Option<u8>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The application is told.
    Now,
    /// It was merged with another one.
    Merged,
}

impl KeyframeRequests {
    /// A request came.
    pub(crate) fn on_request(&mut self, now: Instant) -> Taken {
        if self.state != State::Idle {
            return Taken::Merged;
        }
        self.state = State::Deferred;
        self.handle_timeout(now);
        if self.state == State::Ready { Taken::Now } else { Taken::Merged }
    }

    /// A numbered command came; a repeated one is done once (RFC 5104 section 4.3.1.2).
    pub(crate) fn on_command(&mut self, now: Instant, number: u8) -> Taken {
        if self.fir.replace(number) == Some(number) {
            return Taken::Merged;
        }
        self.on_request(now)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Deferred && self.due().is_none_or(|due| due <= now) {
            self.state = State::Ready;
            self.last = Some(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Deferred { self.due() } else { None }
    }

    /// True once for each request to tell.
    pub(crate) fn take(&mut self) -> bool {
        let ready = self.state == State::Ready;
        if ready {
            self.state = State::Idle;
        }
        ready
    }

    fn due(&self) -> Option<Instant> {
        self.last.map(|last| last + MIN_INTERVAL)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    #[test]
    fn requests_are_merged_and_none_is_forgotten() {
        let start = Instant::now();
        let mut requests = KeyframeRequests::default();
        assert_eq!(requests.on_request(start), Taken::Now);
        assert_eq!(requests.on_request(start), Taken::Merged);
        assert!(requests.take() && !requests.take());
        let soon = start + MIN_INTERVAL / 2;
        assert_eq!(requests.on_request(soon), Taken::Merged);
        assert!(!requests.take());
        assert_eq!(requests.poll_timeout(), Some(start + MIN_INTERVAL));
        requests.handle_timeout(start + MIN_INTERVAL);
        assert!(requests.take());
        assert_eq!(requests.poll_timeout(), None);
    }

    #[test]
    fn a_repeated_command_is_done_once() {
        let start = Instant::now();
        let mut requests = KeyframeRequests::default();
        assert_eq!(requests.on_command(start, 5), Taken::Now);
        assert!(requests.take());
        assert_eq!(requests.on_command(start + MIN_INTERVAL, 5), Taken::Merged);
        assert!(!requests.take());
        assert_eq!(requests.on_command(start + MIN_INTERVAL, 6), Taken::Now);
    }
}
