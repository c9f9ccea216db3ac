//! How much of the disk recordings may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The most octets of frames in one recording; then it ends.
pub(super) const MAX_OCTETS: u64 = 1 << 30;

/// What a recording counts for besides its frames, so that there is a bound for the number of files, too.
pub(super) const OVERHEAD: u64 = 64 << 10;

/// What is left for recordings; a cheap handle.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    limit: u64,
    free: Arc<AtomicU64>,
}

impl Disk {
    /// So many octets for all recordings.
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, free: Arc::new(AtomicU64::new(limit)) }
    }

    /// Whether less than a quarter is left.
    pub(super) fn is_short(&self) -> bool {
        self.free.load(Relaxed) < self.limit / 4
    }

    /// The share of a recording that begins; none when there is no place for it.
    pub(super) fn share(&self) -> Option<Arc<Share>> {
        let share = Share { disk: self.clone(), taken: AtomicU64::new(0) };
        share.take(OVERHEAD).then(|| Arc::new(share))
    }
}

/// What one recording has taken.
#[derive(Debug)]
pub(super) struct Share {
    disk: Disk,
    taken: AtomicU64,
}

impl Share {
    /// Takes octets; false when the recording has all that it may have.
    pub(super) fn take(&self, octets: u64) -> bool {
        let fits = self.taken.load(Relaxed).saturating_add(octets) <= MAX_OCTETS + OVERHEAD;
        let taken =
            fits && self.disk.free.fetch_update(Relaxed, Relaxed, |free| free.checked_sub(octets)).is_ok();
        if taken {
            self.taken.fetch_add(octets, Relaxed);
        }
        taken
    }

    /// The files of the recording are gone.
    pub(super) fn give_back(&self) {
        self.disk.free.fetch_add(self.taken.swap(0, Relaxed), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_take_no_more_than_there_is_and_give_it_back() {
        let disk = Disk::new(4 * OVERHEAD);
        let shares: Vec<_> = (0..4).map(|_| disk.share().expect("room")).collect();
        assert!(disk.share().is_none() && disk.is_short());
        assert!(!shares[0].take(1));
        shares[3].give_back();
        shares[3].give_back();
        assert!(!disk.is_short());
        assert!(shares[0].take(OVERHEAD) && !shares[1].take(1));
    }

    #[test]
    fn one_recording_takes_no_more_than_its_part() {
        let disk = Disk::new(u64::MAX);
        let share = disk.share().expect("room");
        assert!(share.take(MAX_OCTETS) && !share.take(1));
        assert!(disk.share().is_some(), "the others may go on");
    }
}
