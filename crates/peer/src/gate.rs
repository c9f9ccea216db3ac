//! The gate: only datagrams from addresses that ICE has validated reach DTLS, SRTP and SCTP.
//!
//! From an address whose incoming check had valid integrity but whose pair is not yet validated, a little DTLS is
//! held and handed on once it is: the first flight of the other side often comes before our own check is answered.

use std::collections::VecDeque;

use bytes::BytesMut;
use taut_ice::Validation;
use taut_sansio::net::{Path, Received};

/// How many octets of DTLS are held at most, over all paths; what comes after is dropped and counted.
const MAX_HELD: usize = 8 * 1024;

/// How many datagrams are held at most, so that tiny ones do not cost more than they carry.
const MAX_HELD_DATAGRAMS: usize = 16;

/// What to do with a datagram.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Hand it on.
    Pass(BytesMut),
    /// It waits for its path.
    Held,
    /// It is gone.
    Dropped,
}

/// The datagrams that wait for their path to be validated.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    held: VecDeque<(Received, BytesMut)>,
    octets: usize,
}

impl Gate {
    /// Decides about a DTLS datagram.
    pub(crate) fn check_dtls(
        &mut self,
        meta: Received,
        datagram: BytesMut,
        validation: Validation,
    ) -> Verdict {
        match validation {
            Validation::Validated => Verdict::Pass(datagram),
            Validation::Authenticated
                if self.held.len() < MAX_HELD_DATAGRAMS && self.octets + datagram.len() <= MAX_HELD =>
            {
                self.octets += datagram.len();
                // Copied, so that a small datagram does not pin the batch that it came in.
                self.held.push_back((meta, BytesMut::from(&datagram[..])));
                Verdict::Held
            }
            _ => Verdict::Dropped,
        }
    }

    /// True while nothing waits, so that the common case costs one comparison.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The next held datagram whose path `validation` now says is validated.
    pub(crate) fn release(
        &mut self,
        validation: impl Fn(&Path) -> Validation,
    ) -> Option<(Received, BytesMut)> {
        let place = self.held.iter().position(|(meta, _)| validation(&meta.path) == Validation::Validated)?;
        let (meta, datagram) = self.held.remove(place)?;
        self.octets -= datagram.len();
        Some((meta, datagram))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;
    use std::time::Instant;

    fn meta() -> Received {
        let path = Path::udp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        Received { at: Instant::now(), path, ecn: None }
    }

    #[test]
    fn unknown_addresses_do_not_pass() {
        let mut gate = Gate::default();
        let datagram = || BytesMut::from(&[22u8; 100][..]);
        assert!(matches!(gate.check_dtls(meta(), datagram(), Validation::Unknown), Verdict::Dropped));
        assert!(matches!(gate.check_dtls(meta(), datagram(), Validation::Validated), Verdict::Pass(_)));
        assert!(gate.is_empty());
    }

    #[test]
    fn what_is_held_is_bounded_and_comes_back_in_order() {
        let mut gate = Gate::default();
        let mut held = 0;
        for n in 0..100u8 {
            let datagram = BytesMut::from(&[n; 1000][..]);
            if matches!(gate.check_dtls(meta(), datagram, Validation::Authenticated), Verdict::Held) {
                held += 1;
            }
        }
        assert_eq!(held, 8);
        assert!(gate.release(|_| Validation::Authenticated).is_none());
        for n in 0..8u8 {
            let (_, datagram) = gate.release(|_| Validation::Validated).unwrap();
            assert_eq!(datagram[0], n);
        }
        assert!(gate.is_empty());
        assert_eq!(gate.octets, 0);
        for _ in 0..100 {
            let _ = gate.check_dtls(meta(), BytesMut::from(&[22u8][..]), Validation::Authenticated);
        }
        assert_eq!(gate.held.len(), MAX_HELD_DATAGRAMS);
    }
}
