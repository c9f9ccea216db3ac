//! Waiting for a condition that lives under the connection's lock.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

/// Wakes everybody who waits for a condition, who then looks again. Nothing is stored: the condition is the truth.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    notify: Notify,
    /// Those who wait by polling. At most one for each task.
    wakers: Mutex<Vec<Waker>>,
}

impl Signal {
    /// The condition may have changed.
    pub(crate) fn fire(&self) {
        self.notify.notify_waiters();
        let wakers = std::mem::take(&mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().for_each(Waker::wake);
    }

    /// As [`wait_for`](Self::wait_for), for those who are polled.
    pub(crate) fn poll_for<T>(&self, cx: &Context<'_>, mut ready: impl FnMut() -> Option<T>) -> Poll<T> {
        if let Some(value) = ready() {
            return Poll::Ready(value);
        }
        {
            let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                wakers.push(cx.waker().clone());
            }
        }
        // Between the look above and the registration somebody may have fired.
        ready().map_or(Poll::Pending, Poll::Ready)
    }

    /// Waits until `ready` gives a value. Cancel-safe: whatever `ready` takes is returned in the same poll.
    pub(crate) async fn wait_for<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        loop {
            if let Some(value) = ready() {
                return value;
            }
            let mut notified = pin!(self.notify.notified());
            notified.as_mut().enable();
            // Between the look above and the registration somebody may have fired.
            if let Some(value) = ready() {
                return value;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_change_is_missed() {
        let (signal, value) = (Arc::new(Signal::default()), Arc::new(AtomicU32::new(0)));
        let waiter = tokio::spawn({
            let (signal, value) = (signal.clone(), value.clone());
            async move {
                for wanted in 1..=1_000 {
                    signal.wait_for(|| (value.load(Ordering::SeqCst) >= wanted).then_some(())).await;
                }
            }
        });
        for next in 1..=1_000 {
            value.store(next, Ordering::SeqCst);
            signal.fire();
            if next % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        waiter.await.unwrap();
    }
}
