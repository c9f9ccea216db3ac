//! How much work packets make, in passes of the loops that they decide: a test holds it to a bound that no clock and no
//! machine changes. Nothing is counted outside of tests.

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// So many passes of a loop, or moves of an item of a list.
#[inline(always)]
pub(crate) fn count(steps: usize) {
    #[cfg(test)]
    STEPS.set(STEPS.get() + steps as u64);
    #[cfg(not(test))]
    let _ = steps;
}

/// What was counted in this thread since the last call.
#[cfg(test)]
pub(crate) fn take() -> u64 {
    STEPS.take()
}
