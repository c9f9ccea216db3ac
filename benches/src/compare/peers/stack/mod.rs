//! Whole stacks with data channels over loopback sockets behind one small trait, a file each.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[cfg(feature = "peers-c")]
pub(crate) mod libdatachannel;
pub(crate) mod str0m;
pub(crate) mod taut;
pub(crate) mod webrtc;

/// What the application lets a channel buffer at most.
pub(crate) const CEILING: usize = 1 << 20;

/// Nothing takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A stack, with what its connections share: a runtime, an endpoint a side.
pub(crate) trait Stack: Sized {
    /// Two connections and the data channel between them.
    type Pair;

    fn new() -> Result<Self, String>;

    /// Connects two new connections, and says how long it took from `createOffer` until the channel of the offerer was
    /// open.
    fn connect(&mut self) -> Result<(Self::Pair, Duration), String>;

    /// Sends `count` messages of `size` octets and returns when all have arrived, and were as they should be.
    fn bulk(&mut self, pair: &mut Self::Pair, size: usize, count: usize) -> Result<(), String>;
}

/// The message with a number.
pub(crate) fn message(size: usize, number: usize) -> Vec<u8> {
    let mut message = vec![7; size];
    message[..8].copy_from_slice(&(number as u64).to_be_bytes());
    message
}

/// Counts what arrives, in order.
#[derive(Default)]
pub(crate) struct Arrivals {
    count: AtomicUsize,
    octets: AtomicUsize,
    wrong: AtomicUsize,
    start: Mutex<Option<Instant>>,
}

impl Arrivals {
    /// Begins anew.
    pub(crate) fn reset(&self) {
        self.count.store(0, Ordering::SeqCst);
        self.octets.store(0, Ordering::SeqCst);
        self.wrong.store(0, Ordering::SeqCst);
        *self.start.lock().expect("nobody panics") = Some(Instant::now());
    }

    /// Takes a message; returns how many have come.
    pub(crate) fn take(&self, message: &[u8]) -> usize {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        self.octets.fetch_add(message.len(), Ordering::SeqCst);
        let last = message.last().copied();
        if message.get(..8) != Some(&(number as u64).to_be_bytes()) || last != Some(7) {
            self.wrong.fetch_add(1, Ordering::SeqCst);
        }
        number + 1
    }

    /// Whether this many have come.
    pub(crate) fn complete(&self, count: usize) -> bool {
        self.count.load(Ordering::SeqCst) >= count
    }

    /// Whether it takes longer than [`PATIENCE`].
    pub(crate) fn late(&self) -> bool {
        self.start.lock().expect("nobody panics").is_some_and(|start| start.elapsed() > PATIENCE)
    }

    /// Whether all was as it should be.
    pub(crate) fn check(&self, size: usize, count: usize) -> Result<(), String> {
        let (came, octets) = (self.count.load(Ordering::SeqCst), self.octets.load(Ordering::SeqCst));
        let wrong = self.wrong.load(Ordering::SeqCst);
        if (came, octets, wrong) == (count, size * count, 0) {
            return Ok(());
        }
        Err(format!(
            "{came} messages of {octets} octets arrived, {wrong} of them wrong, not {count} of {size} each"
        ))
    }
}
