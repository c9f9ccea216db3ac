//! Connections that come and go leave nothing behind. One test only: it looks at the whole process.

mod common;

use common::{connected, negotiate, pair, until_tasks, within};
use taut::{DataChannelInit, Event, Kind, MediaStreamTrack, Message};

#[cfg(target_os = "linux")]
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Octets of memory in use.
#[cfg(target_os = "linux")]
fn memory() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

async fn call(i: usize) {
    let (a, mut b) = pair();
    let channel = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    a.pc.add_track(&MediaStreamTrack::new(Kind::Audio), &[]).unwrap();
    negotiate(&a.pc, &b.pc).await;
    connected(&a.pc, &b.pc).await;
    let there = b.event("a channel", |e| if let Event::DataChannel(c) = e { Some(c) } else { None }).await;
    channel.send(Message::binary(vec![0; 10_000])).await.unwrap();
    within("a message", there.recv()).await.unwrap();
    match i % 3 {
        0 => within("close", a.pc.close()).await,
        1 => within("close", async { tokio::join!(a.pc.close(), b.pc.close()) }).await.0,
        // The forwarding tasks of the test hold the other sides: one must go by itself.
        _ => {
            drop((there, channel));
            within("close", b.pc.close()).await;
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_leave_nothing_behind() {
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for i in 0..30 {
        call(i).await;
    }
    until_tasks(tasks).await;
    let (files, before) = (open_files(), memory());
    const CALLS: usize = 90;
    for i in 0..CALLS {
        call(i).await;
    }
    until_tasks(tasks).await;
    assert_eq!(open_files(), files);
    // One connection takes some 100 KB: if each left a tenth, it would show.
    let grown = memory().saturating_sub(before);
    assert!(grown < CALLS * 10_000 * 2, "{grown} octets more after {CALLS} calls");
}
