//! The two peers of `taut serve`, called by taut itself over HTTP: both services, with the offer from either side, and
//! candidates by trickle. The headers are in `whip.rs`, browsers in `browser.rs`.

#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

mod client;
mod recordings;
mod restarts;

use std::time::{Duration, Instant};

use taut::sdp::{Attribute, Fragment, Session as Description};
use taut::{
    Codec, DataChannelInit, Direction, Event, Events, Frame, Kind, MediaStreamTrack, Message, PeerConnection,
    RtpTransceiverInit, SessionDescription, TrackEvent,
};

use self::client::{Client, FRAGMENT, LIMIT, SDP, send, start};

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
