//! What an error of a UDP socket says, and of whom. Systems report there what happened to datagrams that were sent before.

use std::io::{self, ErrorKind};
use std::time::Duration;

/// How many times in a row receiving may fail for reasons of the socket's own before it counts as dead.
const MAX_FAILURES: u32 = 16;

/// The longest pause between two of them, as a power of two in milliseconds. Together they take 4 s.
const MAX_PAUSE: u32 = 9;

/// WSAEMSGSIZE, WSAENETRESET: a datagram was longer than the room for it, and is lost; one that was sent outlived its hops.
const PASSING_ON_WINDOWS: [i32; 2] = [10_040, 10_052];

/// How often a socket has failed since it last received something.
#[derive(Debug, Default)]
pub(super) struct Failures {
    in_a_row: u32,
}

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was none of the socket's: receive on.
    GoOn,
    /// The system lacks something: receive on after this time.
    Pause(Duration),
    /// It goes on for so long that the socket is dead.
    Dead,
}

impl Failures {
    /// Something was received.
    pub(super) fn forget(&mut self) {
        self.in_a_row = 0;
    }

    /// Receiving has failed.
    pub(super) fn judge(&mut self, error: &io::Error) -> Verdict {
        if is_of_another(error) {
            return Verdict::GoOn;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row > MAX_FAILURES {
            return Verdict::Dead;
        }
        Verdict::Pause(Duration::from_millis(1 << self.in_a_row.min(MAX_PAUSE)))
    }
}

/// True for an error that tells of a datagram or of another host, not of this socket. On Windows, whoever answers with "port
/// unreachable" makes the next call fail.
fn is_of_another(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::Interrupted
    ) || cfg!(windows) && error.raw_os_error().is_some_and(|code| PASSING_ON_WINDOWS.contains(&code))
}

/// True if sending failed because of what became of an earlier datagram, which says nothing of this one.
pub(super) fn is_of_the_past(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused | ErrorKind::Interrupted)
}

/// True if sending failed because there is no way to there, or none that we may take, however it is tried.
pub(super) fn is_of_the_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::AddrNotAvailable
            | ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_hosts_cannot_kill_a_socket() {
        let mut failures = Failures::default();
        for kind in [ErrorKind::ConnectionReset, ErrorKind::ConnectionRefused, ErrorKind::HostUnreachable] {
            for _ in 0..1_000 {
                assert_eq!(failures.judge(&kind.into()), Verdict::GoOn, "{kind}");
            }
        }
        if cfg!(windows) {
            for code in [10_040, 10_052, 10_054] {
                assert_eq!(failures.judge(&io::Error::from_raw_os_error(code)), Verdict::GoOn, "{code}");
            }
        }
    }

    #[test]
    fn a_socket_that_fails_for_seconds_is_dead_and_one_that_recovers_is_not() {
        let (mut failures, mut pauses) = (Failures::default(), Duration::ZERO);
        let error = io::Error::from(ErrorKind::OutOfMemory);
        for _ in 0..MAX_FAILURES - 1 {
            assert!(matches!(failures.judge(&error), Verdict::Pause(_)));
        }
        failures.forget();
        let dead = loop {
            match failures.judge(&error) {
                Verdict::Pause(pause) => pauses += pause,
                other => break other,
            }
        };
        assert_eq!((dead, pauses.as_millis()), (Verdict::Dead, 4_606));
    }
}
