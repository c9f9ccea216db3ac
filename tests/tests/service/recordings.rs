//! Recordings of calls, on request and of all calls.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use taut::container::{ivf, ogg};
use taut::{DataChannelInit, Events, FileOptions, MediaStream, PeerConnection};
use taut_tests::http::download;
use taut_tests::process::Server;
use taut_tests::scratch::Scratch;
use taut_tests::workspace;

use crate::client::{Client, LIMIT, send, start};

/// A client that sends the clip of this repository, and the clip: its pictures and its packets of sound.
fn player() -> ((PeerConnection, Events), [Vec<Bytes>; 2]) {
    let file = |name: &str| {
        let path = workspace::root().join("crates/cli/assets").join(name);
        Bytes::from(std::fs::read(path).expect("the clip"))
    };
    let (video, audio) = (file("clip.ivf"), file("clip.ogg"));
    let (pc, events) = Client::connection();
    let options = FileOptions::default().with_repeat(true);
    let stream = MediaStream::from_ivf_ogg(video.clone(), audio.clone(), options).expect("a stream");
    pc.add_stream(&stream).expect("senders");
    let data = |frames: Vec<(Bytes, f64)>| frames.into_iter().map(|(data, _)| data).collect();
    ((pc, events), [data(pictures(video)), data(sounds(audio))])
}

/// The pictures of a file, with their times in seconds.
fn pictures(file: Bytes) -> Vec<(Bytes, f64)> {
    let mut reader = ivf::Reader::new(file).expect("an IVF file");
    let frames = std::iter::from_fn(|| reader.next_frame()).map(|frame| frame.expect("a frame"));
    frames.map(|frame| (frame.data, frame.timestamp.as_secs_f64())).collect()
}

/// The packets of a file, with the times at which they are heard in seconds.
fn sounds(file: Bytes) -> Vec<(Bytes, f64)> {
    let mut reader = ogg::OpusReader::new(file).expect("an Ogg file");
    let skipped = f64::from(reader.head().pre_skip) / 48_000.0;
    let packets = std::iter::from_fn(|| reader.next_packet()).map(|packet| packet.expect("a packet"));
    packets.map(|packet| (packet.data, packet.timestamp.as_secs_f64() - skipped)).collect()
}

/// What is in a folder of one entry.
fn only_entry(folder: &Path) -> PathBuf {
    let mut entries =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let found = entries.next().expect("an entry");
    assert_eq!(entries.next(), None);
    found
}

/// Waits until a file that is being written has some seconds of the clip's pictures.
async fn recorded([pictures, _]: &[Vec<Bytes>; 2], file: &Path) {
    let clip: usize = pictures.iter().map(Bytes::len).sum();
    let written = || std::fs::metadata(file).map_or(0, |file| file.len());
    let begun = Instant::now();
    while written() < clip as u64 * 2 / 5 {
        assert!(begun.elapsed() < LIMIT, "{} octets of {} in {}", written(), clip, file.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A recording of the clip: it begins with a key frame, hardly anything is missing, and picture and sound are in step.
fn is_in_step(clip: &[Vec<Bytes>; 2], video: Bytes, audio: Bytes) {
    let (video, audio) = (pictures(video), sounds(audio));
    assert!(video.len() > 40 && audio.len() > 70, "{} {}", video.len(), audio.len());
    // The moment of the clip that the time zero of a file is.
    let zero = |clip: &[Bytes], recorded: &[(Bytes, f64)], step: f64| {
        let (data, time) = recorded.iter().find(|(data, _)| data.len() > 3).expect("a frame");
        let place = clip.iter().position(|frame| frame == data).expect("a frame of the clip");
        place as f64 * step - time
    };
    let [pictures, sounds] = clip;
    assert!(video[0].0[0] & 1 == 0 && video[0].1 == 0.0, "a key frame");
    let apart = zero(pictures, &video, 1.0 / 30.0) - zero(sounds, &audio, 0.02);
    assert!(apart.abs() < 0.04, "picture and sound are {apart} s apart");
    // On a busy machine some may come too late to be waited for; they leave a gap as long as they are.
    let steps: Vec<f64> = video.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    let missing: f64 = steps.iter().map(|step| (step * 30.0).round() - 1.0).sum();
    assert!(steps.iter().all(|step| *step > 0.0) && missing <= video.len() as f64 / 5.0, "{steps:.3?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_recorded_on_request() {
    let mut server = start();
    let (connection, clip) = player();
    let client = Client::call(&server, "/echo", connection).await;
    let recording = format!("{}/recording", client.location);
    assert_eq!(send(&server, "GET", &recording, &[], "").status, 404);
    assert_eq!(send(&server, "DELETE", &recording, &[], "").status, 404);
    for _ in 0..2 {
        let begun = send(&server, "POST", &recording, &[], "");
        assert_eq!(begun.status, 201, "{begun:?}");
        let addresses: Value = serde_json::from_str(&begun.body).expect("JSON");
        let [video, audio] =
            ["video", "audio"].map(|kind| addresses[kind].as_str().expect("an address").to_owned());
        assert_eq!(send(&server, "POST", &recording, &[], "").status, 409, "one at a time");
        assert_eq!(send(&server, "GET", &recording, &[], "").body, begun.body);
        assert_eq!(send(&server, "GET", &video, &[], "").status, 409, "it is not complete");
        // The server keeps it in a folder of its own, which nobody else may look into.
        let folder = only_entry(server.temporary.path());
        recorded(&clip, &folder.join(video.rsplit('/').next().expect("a name"))).await;
        let ended = send(&server, "DELETE", &recording, &[], "");
        assert_eq!(ended.status, 200, "{ended:?}");
        let ended: Value = serde_json::from_str(&ended.body).expect("JSON");
        assert!(ended["pictures"].as_u64() > Some(40) && ended["seconds"].as_f64() > Some(1.4), "{ended}");
        let fetch = |path: &str| download(server.authority(), path).into();
        is_in_step(&clip, fetch(&video), fetch(&audio));
    }
    assert_eq!(send(&server, "GET", "/recording/0.ivf", &[], "").status, 404);
    assert_eq!(send(&server, "POST", "/session/0/recording", &[], "").status, 404);
    let (silent, events) = Client::connection();
    silent.create_data_channel("chat", DataChannelInit::default()).expect("a channel");
    let other = Client::call(&server, "/echo", (silent, events)).await;
    assert_eq!(send(&server, "POST", &format!("{}/recording", other.location), &[], "").status, 409);
    assert_eq!(send(&server, "DELETE", &other.location, &[], "").status, 200);
    client.end(&server).await;
    // They go with the server.
    let asked = std::process::Command::new("kill").args(["-TERM", &server.id().to_string()]).status();
    assert!(
        asked.expect("kill starts").success() && server.ended(LIMIT).is_some(),
        "the server does not end"
    );
    assert_eq!(std::fs::read_dir(server.temporary.path()).expect("the folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_recorded_beyond_the_limit() {
    let folder = Scratch::new();
    let record = ["--record", folder.path().to_str().expect("a path"), "--record-limit", "0"];
    let server = Server::start_with(&[], workspace::taut(), &record);
    let client = Client::call(&server, "/echo", player().0).await;
    let refused = send(&server, "POST", &format!("{}/recording", client.location), &[], "");
    assert_eq!(refused.status, 507, "{refused:?}");
    // No goodbye is waited for: the server may not be connected yet where the client is.
    assert_eq!(send(&server, "DELETE", &client.location, &[], "").status, 200);
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_recorded_if_the_server_is_told_to() {
    let folder = Scratch::new();
    let record = ["--record", folder.path().to_str().expect("a path")];
    let server = Server::start_with(&[], workspace::taut(), &record);
    let (connection, clip) = player();
    let client = Client::call(&server, "/echo", connection).await;
    let files = || {
        let entries = std::fs::read_dir(folder.path()).into_iter().flatten();
        let mut files: Vec<_> = entries.map(|file| file.expect("a file").path()).collect();
        files.sort();
        files
    };
    let begun = Instant::now();
    while files().len() < 2 {
        assert!(begun.elapsed() < LIMIT, "{:?}", files());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    recorded(&clip, &files()[0]).await;
    client.end(&server).await;
    // The end of the session completes the files; a header with a length is the last thing that is written.
    let complete = || {
        files()
            .first()
            .and_then(|file| std::fs::read(file).ok())
            .is_some_and(|ivf| ivf.get(24..28).is_some_and(|length| length != [0; 4]))
    };
    let begun = Instant::now();
    while !complete() {
        assert!(begun.elapsed() < LIMIT, "{:?}", files());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let [video, audio] = files().try_into().expect("two files");
    assert!(video.extension().is_some_and(|e| e == "ivf") && audio.extension().is_some_and(|e| e == "ogg"));
    assert_eq!(video.file_stem(), audio.file_stem());
    drop(server); // and what is in the audio file is all there
    is_in_step(
        &clip,
        std::fs::read(video).expect("a file").into(),
        std::fs::read(audio).expect("a file").into(),
    );
}
