//! The two peers of `taut serve`, called by taut itself over HTTP: both services, with the offer from either side, and
//! candidates by trickle. The headers are in `whip.rs`, browsers in `browser.rs`.

#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use taut::container::{ivf, ogg};
use taut::sdp::{Attribute, Fragment, Session as Description};
use taut::{
    Codec, Configuration, DataChannelInit, Direction, Event, Events, FileOptions, Frame, Kind, Loopback,
    MediaStream, MediaStreamTrack, Message, PeerConnection, RtpTransceiverInit, SessionDescription,
    TrackEvent,
};
use taut_tests::http::{Response, download, request};
use taut_tests::process::Server;
use taut_tests::scratch::Scratch;
use taut_tests::workspace;

const SDP: (&str, &str) = ("Content-Type", "application/sdp");
const FRAGMENT: (&str, &str) = ("Content-Type", "application/trickle-ice-sdpfrag");

/// How long anything may take, on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

fn start() -> Server {
    Server::start_with(&[], workspace::taut(), &[])
}

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

fn send(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    request(server.authority(), method, path, headers, body.as_bytes())
}

/// A client, and where its session is.
struct Client {
    pc: PeerConnection,
    events: Events,
    location: String,
    tag: String,
}

impl Client {
    fn connection() -> (PeerConnection, Events) {
        PeerConnection::new(Configuration::default().with_loopback(Loopback::Always)).expect("a connection")
    }

    /// Calls with an offer, whose candidates are in it.
    async fn call(server: &Server, path: &str, (pc, events): (PeerConnection, Events)) -> Self {
        pc.set_local_description(None).await.expect("an offer");
        pc.gathering_complete().await;
        let offer = pc.local_description().expect("it was set").sdp;
        let client = Self::created(server, path, (pc, events), &[SDP], &offer);
        let (mut client, answer) = client;
        client.pc.set_remote_description(SessionDescription::answer(answer)).await.expect("a good answer");
        client.until_connected().await;
        client
    }

    /// Calls without an offer, and answers the server's.
    async fn answer(server: &Server, path: &str, (pc, events): (PeerConnection, Events)) -> Self {
        let (mut client, offer) = Self::created(server, path, (pc, events), &[], "");
        let pc = &client.pc;
        pc.set_remote_description(SessionDescription::offer(offer)).await.expect("a good offer");
        for (transceiver, kind) in pc.transceivers().iter().zip([Kind::Audio, Kind::Video]) {
            assert_eq!(transceiver.sender().kind(), kind);
            pc.add_track(&MediaStreamTrack::new(kind), &[]).expect("a sender");
        }
        pc.set_local_description(None).await.expect("an answer");
        pc.gathering_complete().await;
        let answer = pc.local_description().expect("it was set").sdp;
        assert_eq!(send(server, "PATCH", &client.location, &[SDP], &answer).status, 204);
        client.until_connected().await;
        client
    }

    fn created(
        server: &Server,
        path: &str,
        (pc, events): (PeerConnection, Events),
        headers: &[(&str, &str)],
        body: &str,
    ) -> (Self, String) {
        let created = send(server, "POST", path, headers, body);
        assert_eq!(created.status, 201, "{created:?}");
        let header = |name: &str| created.header(name).expect(name).to_owned();
        (Self { pc, events, location: header("location"), tag: header("etag") }, created.body)
    }

    async fn until_connected(&mut self) {
        let connected = tokio::time::timeout(LIMIT, self.pc.connected()).await;
        connected.expect("in time").expect("connected");
    }

    /// The next thing of the events that `pick` takes.
    async fn event<T>(&mut self, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let search = async {
            loop {
                let event = self.events.recv().await.unwrap_or_else(|| panic!("no more events: {what}"));
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(LIMIT, search).await.unwrap_or_else(|_| panic!("timed out: {what}"))
    }

    async fn tracks(&mut self) -> [TrackEvent; 2] {
        let track = |event| if let Event::Track(event) = event { Some(event) } else { None };
        let tracks = [self.event("a track", track).await, self.event("a track", track).await];
        if tracks[0].track.kind() == Kind::Video {
            tracks
        } else {
            let [a, v] = tracks;
            [v, a]
        }
    }

    fn stats(&self, server: &Server) -> Vec<Value> {
        let stats = send(server, "GET", &format!("{}/stats", self.location), &[], "");
        assert_eq!(
            (stats.status, stats.header("content-type")),
            (200, Some("application/json")),
            "{stats:?}"
        );
        match serde_json::from_str(&stats.body).expect("JSON") {
            Value::Array(entries) => entries,
            other => panic!("no array: {other}"),
        }
    }

    async fn end(self, server: &Server) {
        assert_eq!(send(server, "DELETE", &self.location, &[], "").status, 200);
        tokio::time::timeout(LIMIT, self.pc.closed()).await.expect("DELETE says goodbye");
        assert_eq!(send(server, "GET", &format!("{}/stats", self.location), &[], "").status, 404);
        assert_eq!(send(server, "GET", "/sessions", &[], "").body.trim(), r#"{"open":0}"#);
    }
}

/// A client that sends a track of each kind, and has a channel.
fn talker() -> ((PeerConnection, Events), MediaStreamTrack, taut::DataChannel) {
    let (pc, events) = Client::connection();
    let video = MediaStreamTrack::new(Kind::Video);
    pc.add_track(&video, &[]).expect("a sender");
    pc.add_track(&MediaStreamTrack::new(Kind::Audio), &[]).expect("a sender");
    let channel = pc.create_data_channel("chat", DataChannelInit::default()).expect("a channel");
    ((pc, events), video, channel)
}

/// A key frame of VP8 as far as anybody on the way looks: its first octets.
fn picture(number: u8) -> Frame {
    let data = [&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 48, 0][..], &[number; 90]].concat();
    Frame::new(Codec::Vp8, data, Duration::from_millis(u64::from(number) * 33)).with_keyframe(true)
}

/// Sends pictures until one comes back, and some more.
async fn pictures_come_back(local: &MediaStreamTrack, remote: &TrackEvent) {
    let sent = async {
        for number in (0u8..=255).cycle() {
            let _ = local.write_frame(&picture(number));
            tokio::time::sleep(Duration::from_millis(33)).await;
        }
    };
    let received = async {
        let mut before = None;
        for _ in 0..20 {
            let frame = remote.track.recv_frame().await.expect("a frame");
            let number = *frame.data.last().expect("octets");
            assert_eq!(frame.data, picture(number).data, "as it was sent");
            assert!(before.is_none_or(|before: u8| before.wrapping_add(1) == number), "{before:?} {number}");
            before = Some(number);
        }
    };
    tokio::select! {
        () = sent => {}
        back = tokio::time::timeout(LIMIT, received) => back.expect("pictures come back in time"),
    }
}

/// Pictures and sounds come without a gap and no faster than they are shown, which is since `begun` at the earliest; the first
/// picture is a key frame, and a key frame comes when it is asked for.
async fn the_clip_plays(client: &mut Client, begun: Instant) {
    let [video, audio] = client.tracks().await;
    let next = async |track: &MediaStreamTrack| {
        let frame = tokio::time::timeout(LIMIT, track.recv_frame()).await;
        frame.expect("in time").expect("a frame")
    };
    assert!(next(&video.track).await.keyframe);
    let (mut pictures, mut sounds) = (Vec::new(), Vec::new());
    for _ in 0..60 {
        pictures.push(next(&video.track).await);
    }
    for _ in 0..100 {
        sounds.push(next(&audio.track).await);
    }
    assert!(pictures.iter().chain(&sounds).all(|frame| frame.contiguous));
    for (frames, expected) in [(&pictures, 33_333_333), (&sounds, 20_000_000)] {
        for pair in frames.windows(2) {
            let step = pair[1].presentation - pair[0].presentation;
            assert!(step.abs_diff(Duration::from_nanos(expected)) < Duration::from_millis(1), "{step:?}");
        }
    }
    assert!(begun.elapsed() > Duration::from_millis(1_900), "two seconds in {:?}", begun.elapsed());
    // The clip itself brings a key frame every two seconds: one that comes sooner was asked for.
    let key = async || {
        loop {
            let frame = next(&video.track).await;
            if frame.keyframe {
                return frame.presentation;
            }
        }
    };
    let mut before = key().await;
    let asked = async {
        loop {
            video.receiver.request_keyframe();
            let found = key().await;
            if found - before < Duration::from_millis(1_900) {
                return;
            }
            before = found;
        }
    };
    tokio::time::timeout(LIMIT, asked).await.expect("a key frame that was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_echo_of_an_offer() {
    let server = start();
    let (connection, video, channel) = talker();
    let mut client = Client::call(&server, "/echo", connection).await;
    channel.send(Message::text("Grüße")).await.expect("open");
    assert_eq!(tokio::time::timeout(LIMIT, channel.recv()).await, Ok(Some(Message::text("Grüße"))));
    let [back, _] = client.tracks().await;
    pictures_come_back(&video, &back).await;
    client.end(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_echo_of_an_answer() {
    let server = start();
    let mut client = Client::answer(&server, "/echo", Client::connection()).await;
    let [back, _] = client.tracks().await;
    let channel = client
        .event("a channel", |event| if let Event::DataChannel(c) = event { Some(c) } else { None })
        .await;
    assert_eq!(channel.label(), "echo");
    channel.send(Message::binary(vec![7; 70_000])).await.expect("open");
    assert_eq!(tokio::time::timeout(LIMIT, channel.recv()).await, Ok(Some(Message::binary(vec![7; 70_000]))));
    let own = client.pc.create_data_channel("mine", DataChannelInit::default()).expect("a channel");
    own.send(Message::text("mine")).await.expect("open");
    assert_eq!(tokio::time::timeout(LIMIT, own.recv()).await, Ok(Some(Message::text("mine"))));
    let video = back.transceiver.sender().track().expect("the track that answered");
    pictures_come_back(&video, &back).await;
    client.end(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clip_for_an_offer() {
    let server = start();
    let begun = Instant::now();
    let (pc, events) = Client::connection();
    for kind in [Kind::Video, Kind::Audio] {
        let init = RtpTransceiverInit::default().with_direction(Direction::RecvOnly);
        pc.add_transceiver(kind, init).expect("a transceiver");
    }
    let mut client = Client::call(&server, "/clip", (pc, events)).await;
    the_clip_plays(&mut client, begun).await;
    client.end(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clip_for_an_answer() {
    let server = start();
    let begun = Instant::now();
    let mut client = Client::answer(&server, "/clip", Client::connection()).await;
    the_clip_plays(&mut client, begun).await;

    let stats = client.stats(&server);
    let of = |kind: &str, media: &str| {
        let found =
            stats.iter().find(|entry| entry["type"] == kind && (media.is_empty() || entry["kind"] == media));
        found.unwrap_or_else(|| panic!("no {kind} of {media} in {stats:?}"))
    };
    assert!(of("outbound-rtp", "video")["framesSent"].as_u64() > Some(60), "{stats:?}");
    assert!(of("outbound-rtp", "audio")["bytesSent"].as_u64() > Some(1_000), "{stats:?}");
    let transport = of("transport", "");
    assert_eq!(
        (&transport["dtlsState"], &transport["iceRole"]),
        (&"connected".into(), &"controlling".into())
    );
    let pair =
        stats.iter().find(|entry| entry["id"] == transport["selectedCandidatePairId"]).expect("the pair");
    assert!(pair["currentRoundTripTime"].as_f64() > Some(0.0), "{pair}");
    let local = stats.iter().find(|entry| entry["id"] == pair["localCandidateId"]).expect("the candidate");
    assert!(local["address"].is_string() && local["port"].is_u64(), "{local}");
    let codec =
        stats.iter().find(|entry| entry["id"] == of("outbound-rtp", "video")["codecId"]).expect("the codec");
    assert_eq!(codec["mimeType"], "video/VP8");
    client.end(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_may_come_by_trickle_alone() {
    let server = start();
    let ((pc, events), _, channel) = talker();
    pc.set_local_description(None).await.expect("an offer");
    pc.gathering_complete().await;
    let whole = Description::parse(&pc.local_description().expect("it was set").sdp).expect("a description");
    // The offer goes without candidates, and the answer's are not used: only the trickled ones can connect.
    let mut bare = whole.clone();
    let is_candidate = |a: &Attribute| matches!(a, Attribute::Candidate(_) | Attribute::EndOfCandidates);
    bare.media.iter_mut().for_each(|media| media.attributes.retain(|attribute| !is_candidate(attribute)));
    let (mut client, answer) = Client::created(&server, "/echo", (pc, events), &[SDP], &bare.to_string());
    let mut answer = Description::parse(&answer).expect("a description");
    answer.media.iter_mut().for_each(|media| media.attributes.retain(|attribute| !is_candidate(attribute)));
    client
        .pc
        .set_remote_description(SessionDescription::answer(answer.to_string()))
        .await
        .expect("a good answer");

    let first = &whole.media[0];
    let candidates: Vec<&Attribute> =
        first.attributes.iter().filter(|attribute| is_candidate(attribute)).collect();
    assert!(candidates.len() > 1);
    for candidate in candidates {
        let credentials =
            first.attributes.iter().filter(|a| matches!(a, Attribute::IceUfrag(_) | Attribute::IcePwd(_)));
        let mut media = first.clone();
        media.attributes.retain(|attribute| matches!(attribute, Attribute::Mid(_)));
        media.attributes.push(candidate.clone());
        let fragment = Fragment { attributes: credentials.cloned().collect(), media: vec![media] };
        let headers = [FRAGMENT, ("If-Match", client.tag.as_str())];
        let taken = send(&server, "PATCH", &client.location, &headers, &fragment.to_string());
        assert_eq!(taken.status, 204, "{taken:?}");
    }
    client.until_connected().await;
    channel.send(Message::text("hello")).await.expect("open");
    assert_eq!(tokio::time::timeout(LIMIT, channel.recv()).await, Ok(Some(Message::text("hello"))));
    client.end(&server).await;
}

/// The restart of a session that a client asks for with `PATCH`, and the data channel across it. The remote description
/// becomes an answer, whatever it was.
async fn restarts(server: &Server, client: &mut Client, channel: &taut::DataChannel) {
    let offer =
        client.pc.create_offer(taut::OfferOptions::default().with_ice_restart(true)).await.expect("an offer");
    client.pc.set_local_description(offer).await.expect("it is set");
    client.pc.gathering_complete().await;
    let local =
        Description::parse(&client.pc.local_description().expect("it was set").sdp).expect("a description");
    let local_ufrag = local.media[0].ice_ufrag().map(str::to_owned);
    let of = |media: &taut::sdp::Media, keep: fn(&Attribute) -> bool| {
        media.attributes.iter().filter(move |a| keep(a)).cloned().collect::<Vec<_>>()
    };
    let mut media = local.media[0].clone();
    media.attributes =
        of(&media, |a| matches!(a, Attribute::Mid(_) | Attribute::Candidate(_) | Attribute::EndOfCandidates));
    let attributes = of(&local.media[0], |a| matches!(a, Attribute::IceUfrag(_) | Attribute::IcePwd(_)));
    let fragment = Fragment { attributes, media: vec![media] }.to_string();
    let patch = |if_match: &str| {
        send(server, "PATCH", &client.location, &[FRAGMENT, ("If-Match", if_match)], &fragment)
    };
    assert_eq!(patch("\"stale\"").status, 412);
    let restarted = patch("*");
    assert_eq!(
        (restarted.status, restarted.header("content-type")),
        (200, Some(FRAGMENT.1)),
        "{restarted:?}"
    );
    let tag = restarted.header("etag").expect("the new tag").to_owned();
    assert_ne!(tag, client.tag);
    assert_eq!(patch(&client.tag).status, 412, "the old ICE session is over");
    assert_eq!(patch(&tag).status, 204, "the same fragment is a trickle now");
    client.tag = tag;

    let theirs = Fragment::parse(&restarted.body).expect("a fragment");
    assert_eq!(client.tag, format!("\"{}\"", theirs.ice_ufrag().expect("a ufrag")));
    let mut remote =
        Description::parse(&client.pc.remote_description().expect("it was set").sdp).expect("a description");
    for media in &mut remote.media {
        media.attributes.retain(|a| {
            !matches!(
                a,
                Attribute::Candidate(_)
                    | Attribute::EndOfCandidates
                    | Attribute::IceUfrag(_)
                    | Attribute::IcePwd(_)
            )
        });
        media.attributes.extend(theirs.attributes.iter().cloned());
    }
    let candidates =
        theirs.media[0].attributes.iter().filter(|a| matches!(a, Attribute::Candidate(_))).cloned();
    remote.media[0].attributes.extend(candidates);
    let answer = remote.to_string().replace("a=setup:actpass", "a=setup:passive");
    client
        .pc
        .set_remote_description(SessionDescription::answer(answer))
        .await
        .expect("the restart is answered");
    for number in 0..20 {
        channel.send(Message::text(format!("after {number}"))).await.expect("open");
        let back = tokio::time::timeout(LIMIT, channel.recv()).await;
        assert_eq!(back, Ok(Some(Message::text(format!("after {number}")))));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.until_connected().await;
    let ufrag = client.pc.stats().await.transport().expect("a transport").ice_local_username_fragment.clone();
    assert_eq!(Some(ufrag.as_str()), local_ufrag.as_deref(), "the new ICE session carried them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_offered_restarts_ice() {
    let server = start();
    let (connection, _, channel) = talker();
    let mut client = Client::call(&server, "/echo", connection).await;
    channel.send(Message::text("before")).await.expect("open");
    assert_eq!(tokio::time::timeout(LIMIT, channel.recv()).await, Ok(Some(Message::text("before"))));
    restarts(&server, &mut client, &channel).await;
    client.end(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_answered_restarts_ice() {
    let server = start();
    let mut client = Client::answer(&server, "/echo", Client::connection()).await;
    let channel = client
        .event("a channel", |event| if let Event::DataChannel(c) = event { Some(c) } else { None })
        .await;
    restarts(&server, &mut client, &channel).await;
    restarts(&server, &mut client, &channel).await;
    client.end(&server).await;
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
