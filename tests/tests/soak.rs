//! Hundreds of sessions come to `taut serve` and go, and nothing of them stays.
//!
//! The client is the crate `taut` itself. The server's memory is its resident set (`VmRSS`), read when it holds no session
//! and after it has not changed for some seconds; glibc is told by its environment to use one arena and to give free
//! pages back at once, so that the figure is what the program holds and not what its allocator keeps for later.
//! Linux only, and only with `TAUT_INTEROP`, because it takes a while.

#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use taut::{
    Codec, Configuration, DataChannelInit, DtlsEngine, Event, Events, Frame, Kind, Loopback, MediaStream,
    MediaStreamTrack, Message, PeerConnection, SdpType, SessionDescription,
};
use taut_tests::http::{Response, request};
use taut_tests::interop::turn;
use taut_tests::process::Server;
use taut_tests::workspace;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

/// How long one step of a session may take, in a debug build on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// How many sessions run at the same time.
const AT_ONCE: usize = 8;

/// How many sessions come before its memory is first read, and how many after that.
const WARM_UP: usize = 100;
const SESSIONS: usize = 500;

/// What the server may hold more than before, of what it held: 2 %.
const MORE: f64 = 0.02;

/// What leaks grows every time; what an allocator keeps, or a busy machine holds up, does not.
const ROUNDS: usize = 4;

/// What the server has of the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holdings {
    memory_kb: u64,
    files: usize,
    threads: usize,
}

impl Holdings {
    fn of(id: u32) -> Self {
        let entries =
            |what: &str| fs::read_dir(format!("/proc/{id}/{what}")).expect("the server runs").count();
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("the server runs");
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident set");
        let memory_kb = memory.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        Self { memory_kb, files: entries("fd"), threads: entries("task") }
    }

    /// The figures once they have not changed for three seconds.
    async fn settled(id: u32) -> Self {
        let (mut last, mut since) = (Self::of(id), Instant::now());
        while since.elapsed() < Duration::from_secs(3) {
            sleep(Duration::from_millis(200)).await;
            let now = Self::of(id);
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        last
    }
}

async fn ask(authority: String, method: &'static str, path: String, body: String) -> Response {
    spawn_blocking(move || {
        request(&authority, method, &path, &[("Content-Type", "application/sdp")], body.as_bytes())
    })
    .await
    .expect("a request does not panic")
}

/// Awaits with the limit.
async fn within<F: Future>(what: &str, future: F) -> F::Output {
    timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}"))
}

/// One session: it connects, a message and some pictures come back, and it ends in one of three ways.
async fn session(authority: String, engine: DtlsEngine, number: usize) {
    let configuration = Configuration::default().with_loopback(Loopback::Always).with_dtls_engine(engine);
    let (pc, mut events) = PeerConnection::new(configuration).expect("a connection");
    let channel = pc.create_data_channel("soak", DataChannelInit::default()).expect("a channel");
    let track = MediaStreamTrack::new(Kind::Video);
    pc.add_track(&track, &[&MediaStream::new([])]).expect("a sender");
    pc.set_local_description(None).await.expect("an offer");
    pc.gathering_complete().await;
    let offer = pc.local_description().expect("an offer").sdp;
    let created = ask(authority.clone(), "POST", "/echo".to_owned(), offer).await;
    assert_eq!(created.status, 201, "{}", created.body);
    let location = created.header("location").expect("a location").to_owned();
    let answer = SessionDescription::new(SdpType::Answer, created.body.as_str());
    pc.set_remote_description(answer).await.expect("the answer is taken");
    within("a connection", pc.connected()).await.expect("a connection comes about");

    let message = Message::binary(vec![7; 20_000]);
    within("a message", channel.send(message.clone())).await.expect("the message is taken");
    assert_eq!(within("its echo", channel.recv()).await, Some(message));
    within("a picture", picture_comes_back(&track, &mut events)).await;

    match number % 3 {
        0 => assert_eq!(ask(authority, "DELETE", location, String::new()).await.status, 200),
        1 => pc.close().await,
        _ => {
            pc.close().await; // and the session may be gone already
            assert!([200, 404].contains(&ask(authority, "DELETE", location, String::new()).await.status));
        }
    }
    pc.close().await;
}

/// Sends pictures until one is back.
async fn picture_comes_back(track: &MediaStreamTrack, events: &mut Events) {
    let back = loop {
        if let Event::Track(event) = events.recv().await.expect("the connection lives") {
            break event.track;
        }
    };
    // The head of a VP8 key frame of 16 by 16 pixels; nobody decodes it.
    let mut data = vec![0x10, 0, 0, 0x9d, 0x01, 0x2a, 16, 0, 16, 0];
    data.resize(3_000, 0);
    let data = Bytes::from(data);
    let sending = async {
        for count in 0.. {
            let presentation = Duration::from_millis(33) * count;
            let mut frame = Frame::new(Codec::Vp8, data.clone(), presentation);
            frame.keyframe = true;
            track.write_frame(&frame).expect("the frame is taken");
            sleep(Duration::from_millis(33)).await;
        }
    };
    tokio::select! {
        () = sending => {}
        packet = back.recv_rtp() => assert!(packet.is_some(), "the track ended"),
    }
}

/// Many sessions, some at the same time; then waits until the server has freed the last one.
async fn sessions(server: &Server, engine: DtlsEngine, count: usize) {
    let authority = server.authority().to_owned();
    let mut running = JoinSet::new();
    for number in 0..count {
        if running.len() >= AT_ONCE {
            running.join_next().await.expect("some run").expect("a session goes well");
        }
        running.spawn(session(authority.clone(), engine, number));
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("a session goes well");
    }
    let freed = async {
        while ask(authority.clone(), "GET", "/sessions".to_owned(), String::new()).await.body.trim()
            != r#"{"open":0}"#
        {
            sleep(Duration::from_millis(100)).await;
        }
    };
    within("every session is freed", freed).await;
}

async fn leave_nothing(engine: DtlsEngine) {
    let Some(_turn) = turn("soak") else { return };
    let quiet = ["env", "MALLOC_ARENA_MAX=1", "MALLOC_TRIM_THRESHOLD_=0", "MALLOC_MMAP_THRESHOLD_=65536"];
    let server = Server::start_with(&quiet, workspace::taut(), &["--dtls", &engine.to_string()]);
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();

    sessions(&server, engine, WARM_UP).await;
    let mut before = Holdings::settled(server.id()).await;
    for round in 1..=ROUNDS {
        sessions(&server, engine, SESSIONS).await;
        let after = Holdings::settled(server.id()).await;
        println!("{engine}: {before:?}, and after {SESSIONS} more sessions {after:?}");
        let grown = after.memory_kb as f64 / before.memory_kb as f64 - 1.0;
        let same = (after.files, after.threads) == (before.files, before.threads);
        if same && grown <= MORE {
            break;
        }
        assert!(
            round < ROUNDS,
            "the server has grown every time, now by {:.1} %: {before:?}, {after:?}",
            grown * 100.0
        );
        before = after;
    }

    // This side made as many connections, in this very process.
    let left = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(left <= tasks, "{left} tasks are left, of {tasks} at the beginning");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_with_openssl_come_and_go() {
    leave_nothing(DtlsEngine::OpenSsl).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_with_dimpl_come_and_go() {
    leave_nothing(DtlsEngine::Dimpl).await;
}
