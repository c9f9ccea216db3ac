//! When the addresses of this host change: one watcher for all connections of a runtime, none while no connection asks.
//!
//! | system | how | what it costs while nothing changes |
//! |---|---|---|
//! | Linux, Android | the kernel says so (rtnetlink) | nothing |
//! | macOS, iOS, FreeBSD | the kernel says so (a routing socket), and the list is read every 10 s: that a new IPv6 address can be used is not said | 6 wake-ups a minute for the process |
//! | others, and where the kernel does not let us | the list of interfaces is read every 10 s | 6 wake-ups a minute for the process |

#[cfg(any(target_os = "linux", target_os = "android"))]
mod netlink;
#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
mod routing;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::sync::watch;

use super::interfaces::{self, socket_address};

/// How often the list of interfaces is read where the system does not tell of changes.
const INTERVAL: Duration = Duration::from_secs(10);

/// The watchers, by the runtime that they run on.
static WATCHERS: Mutex<Vec<(Id, Weak<watch::Sender<()>>)>> = Mutex::new(Vec::new());

/// Tells of changes from when it was made on. The watcher ends with the last of these.
#[derive(Debug)]
pub(crate) struct Changes {
    receiver: watch::Receiver<()>,
}

impl Changes {
    /// Asks to be told. Whoever lists the interfaces after that misses no change.
    pub(crate) fn watch(runtime: &Handle) -> Self {
        let mut watchers = watchers();
        watchers.retain(|(_, sender)| sender.strong_count() > 0);
        let of_runtime = watchers.iter().find(|(id, _)| *id == runtime.id());
        if let Some(sender) = of_runtime.and_then(|(_, sender)| sender.upgrade()) {
            return Self { receiver: sender.subscribe() };
        }
        let (sender, receiver) = watch::channel(());
        let sender = Arc::new(sender);
        watchers.push((runtime.id(), Arc::downgrade(&sender)));
        let _context = runtime.enter();
        runtime.spawn(run(sender, Source::open(), addresses(&BTreeSet::new())));
        Self { receiver }
    }

    /// Waits for the next change. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            // The runtime is shutting down: nothing changes any more for who runs on it.
            std::future::pending().await
        }
    }
}

fn watchers() -> MutexGuard<'static, Vec<(Id, Weak<watch::Sender<()>>)>> {
    // The table is consistent after every statement.
    WATCHERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What says that something may have changed.
#[derive(Debug)]
enum Source {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Netlink(netlink::Netlink),
    #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
    Routing(routing::Routing),
    Interval,
}

impl Source {
    fn open() -> Self {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        match netlink::Netlink::open() {
            Ok(netlink) => return Self::Netlink(netlink),
            Err(error) => tracing::debug!(%error, "the kernel does not tell of new addresses"),
        }
        #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
        match routing::Routing::open() {
            Ok(routing) => return Self::Routing(routing),
            Err(error) => tracing::debug!(%error, "the kernel does not tell of new addresses"),
        }
        Self::Interval
    }

    /// Waits until something may have changed. Cancel-safe; an interval begins anew.
    async fn next(&mut self) {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Netlink(netlink) => {
                if let Err(error) = netlink.next().await {
                    tracing::debug!(%error, "the kernel does not tell of new addresses any more");
                    *self = Self::Interval;
                }
            }
            #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
            Self::Routing(routing) => {
                if let Ok(Err(error)) = tokio::time::timeout(INTERVAL, routing.next()).await {
                    tracing::debug!(%error, "the kernel does not tell of new addresses any more");
                    *self = Self::Interval;
                }
            }
            Self::Interval => tokio::time::sleep(INTERVAL).await,
        }
    }
}

/// Watches until nobody asks any more.
async fn run(sender: Arc<watch::Sender<()>>, mut source: Source, mut known: BTreeSet<IpAddr>) {
    loop {
        tokio::select! {
            () = sender.closed() => {
                // Under the lock, so that nobody can ask in between.
                let mut watchers = watchers();
                if sender.receiver_count() == 0 {
                    watchers.retain(|(_, other)| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(&sender)));
                    return;
                }
            }
            () = source.next() => {
                let now = addresses(&known);
                if now != known {
                    known = now;
                    sender.send_replace(());
                }
            }
        }
    }
}

/// The addresses of this host. One of IPv6 that is new counts once a socket can be bound to it: before, it is being checked for
/// duplicates (RFC 4862 section 5.4), and when that is over there is another message.
fn addresses(known: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    let Ok(interfaces) = interfaces::list() else { return known.clone() };
    let usable =
        |ip: IpAddr, index: u32| ip.is_ipv4() || known.contains(&ip) || can_bind(socket_address(ip, index));
    interfaces.iter().filter(|i| usable(i.address, i.index)).map(|i| i.address).collect()
}

fn can_bind(address: SocketAddr) -> bool {
    UdpSocket::bind(address).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_runtime(runtime: &Handle) -> usize {
        let watchers = watchers();
        watchers.iter().filter(|(id, sender)| *id == runtime.id() && sender.strong_count() > 0).count()
    }

    #[tokio::test]
    async fn one_watcher_for_all_who_ask_and_none_for_nobody() {
        let runtime = Handle::current();
        let tasks = runtime.metrics().num_alive_tasks();
        let changes: Vec<Changes> = (0..10).map(|_| Changes::watch(&runtime)).collect();
        assert_eq!((of_runtime(&runtime), runtime.metrics().num_alive_tasks()), (1, tasks + 1));
        tokio::task::yield_now().await;
        drop(changes);
        while runtime.metrics().num_alive_tasks() > tasks {
            tokio::task::yield_now().await;
        }
        assert_eq!(of_runtime(&runtime), 0);
        let again = Changes::watch(&runtime);
        assert_eq!(of_runtime(&runtime), 1, "the next one who asks gets another");
        drop(again);
    }

    #[tokio::test]
    async fn who_asks_while_the_watcher_ends_is_told_all_the_same() {
        let runtime = Handle::current();
        drop(Changes::watch(&runtime));
        // The task has not run since.
        let changes = Changes::watch(&runtime);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(of_runtime(&runtime), 1);
        drop(changes);
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_kernel_the_list_is_read_six_times_a_minute() {
        let mut source = Source::Interval;
        let start = tokio::time::Instant::now();
        for _ in 0..6 {
            source.next().await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(60));
    }
}
