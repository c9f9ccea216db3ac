//! Connections that come and go leave nothing behind. One test only: it looks at the whole process.

#![cfg(target_os = "linux")]

mod common;

use common::{connected, negotiate, pair, until_tasks, within};
use peak_alloc::PeakAlloc;
use taut::{DataChannelInit, Event, Kind, MediaStreamTrack, Message};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// How many calls come and go in a round, after a first one for what the process keeps for good.
const CALLS: usize = 30;

/// What leaks grows in every round; what an allocator keeps, or a busy machine holds up, does not.
const ROUNDS: usize = 5;

/// What a call may leave, in octets. A connection takes some 100 KB: if each of the two left a tenth, it would show.
const LEFT: usize = 20_000;

/// What the process holds: octets on the heap of Rust, octets in memory, which counts OpenSSL too, and open files.
fn holdings() -> (usize, usize, usize) {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let resident = pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096;
    (ALLOCATOR.current_usage(), resident, std::fs::read_dir("/proc/self/fd").unwrap().count())
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_leave_nothing_behind() {
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut before = None;
    for _ in 0..=ROUNDS {
        for i in 0..CALLS {
            call(i).await;
        }
        until_tasks(tasks).await;
        let now = holdings();
        let (heap, resident, files) = now;
        if before.is_some_and(|(heap_before, resident_before, files_before)| {
            heap < heap_before + CALLS * LEFT
                && resident < resident_before + CALLS * LEFT
                && files <= files_before
        }) {
            return;
        }
        before = Some(now);
    }
    panic!("{CALLS} calls leave something every time: {before:?}");
}
