//! Clocks of the processor: what this thread, or the whole process, has used. Wall time would hold what others used.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The processor time of this thread.
pub(crate) fn thread() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// The processor time of all threads of this process.
pub(crate) fn process() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// Nanoseconds of this thread for each of `count` operations that `work` does.
pub(crate) fn nanoseconds_each(count: usize, work: impl FnOnce()) -> f64 {
    let start = thread();
    work();
    (thread() - start).as_nanos() as f64 / count as f64
}
