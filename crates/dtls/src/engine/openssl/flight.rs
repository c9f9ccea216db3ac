//! The last flight of a handshake, and when it goes out again (RFC 6347 section 4.2.4), in the time of the session.
//!
//! Unprotected records are numbered on their way out, so the same ones may go out again. A protected one may not: the
//! other side takes it for a replay. The Finished of a client is the only one that may be needed again, and OpenSSL
//! has written it several times in advance; each copy is used once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use taut_sansio::codec::Reader;

use crate::record::Record;

/// Pauses double up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The flight.
#[derive(Debug)]
pub(super) struct Flight {
    datagrams: Vec<Vec<u8>>,
    /// It ends with a protected record.
    protected: bool,
    /// Further copies of the protected record.
    spares: VecDeque<Vec<u8>>,
    first_pause: Duration,
    pause: Duration,
    at: Option<Instant>,
}

impl Flight {
    pub(super) fn new(first_pause: Duration) -> Self {
        Self {
            datagrams: Vec::new(),
            protected: false,
            spares: VecDeque::new(),
            first_pause,
            pause: first_pause,
            at: None,
        }
    }

    /// Takes in what OpenSSL wrote at once, and gives back what is to be sent now. Behind a protected record there is
    /// nothing but copies.
    pub(super) fn begin(&mut self, now: Instant, wrote: Vec<Vec<u8>>) -> &[Vec<u8>] {
        let mut new = Vec::new();
        for datagram in wrote {
            if self.protected {
                self.spares.extend(
                    records(&datagram).filter(Record::is_protected).map(|record| record.bytes.to_vec()),
                );
                continue;
            }
            self.protected = records(&datagram).any(|record| record.is_protected());
            new.push(datagram);
        }
        if new.is_empty() {
            return &[];
        }
        self.datagrams = new;
        self.pause = self.first_pause;
        self.at = now.checked_add(self.pause);
        &self.datagrams
    }

    /// When it is to go out again.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.at
    }

    /// What is to go out again at this time.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if self.at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        self.at = now.checked_add(self.pause);
        self.again()
    }

    /// The flight, as it goes out again.
    pub(super) fn again(&mut self) -> Vec<Vec<u8>> {
        let mut datagrams = self.datagrams.clone();
        if let Some(last) = datagrams.last_mut().filter(|_| self.protected)
            && let Some(spare) = self.spares.pop_front()
        {
            let plain = records(last).take_while(|record| !record.is_protected());
            let length = plain.map(|record| record.bytes.len()).sum();
            last.truncate(length);
            last.extend_from_slice(&spare);
        }
        datagrams
    }
}

/// The records of a datagram.
pub(super) fn records(datagram: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut reader = Reader::new(datagram);
    std::iter::from_fn(move || Record::parse(&mut reader).ok())
}
