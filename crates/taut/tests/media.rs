//! Tracks between two connections over loopback sockets.

mod common;

use std::time::Duration;

use common::{connected, negotiate, pair, within};
use taut::{
    Codec, Direction, ErrorKind, Event, Frame, Kind, MediaStream, MediaStreamTrack, RtpTransceiverInit,
    TrackEvent, TrackState,
};

fn track(event: Event) -> Option<TrackEvent> {
    if let Event::Track(event) = event { Some(event) } else { None }
}

/// A VP8 frame (RFC 6386 section 9.1) whose picture is nonsense but whose header is not.
fn picture(i: u32, keyframe: bool) -> Frame {
    let mut data = if keyframe { vec![0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0] } else { vec![0x11, 0, 0] };
    data.extend(i.to_be_bytes());
    data.resize(3_000, i as u8);
    Frame::new(Codec::Vp8, data, Duration::from_millis(u64::from(i) * 33)).with_keyframe(keyframe)
}

fn tone(i: u32) -> Frame {
    Frame::new(
        Codec::Opus,
        [&[0xfc][..], &i.to_be_bytes()].concat(),
        Duration::from_millis(u64::from(i) * 20),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_a_stream_arrive_as_they_were_written() {
    let (a, mut b) = pair();
    let stream = MediaStream::new([MediaStreamTrack::new(Kind::Video), MediaStreamTrack::new(Kind::Audio)]);
    let senders = a.pc.add_stream(&stream).unwrap();
    assert_eq!(senders.len(), 2);
    assert_eq!(a.pc.add_stream(&stream).unwrap_err().kind(), ErrorKind::InvalidAccess);
    negotiate(&a.pc, &b.pc).await;

    let video = b.event("the video track", track).await;
    let audio = b.event("the audio track", track).await;
    assert_eq!((video.track.kind(), audio.track.kind()), (Kind::Video, Kind::Audio));
    assert_eq!(video.streams, audio.streams, "one stream for both");
    assert_eq!(video.streams[0].id(), stream.id());
    assert_eq!(video.streams[0].tracks(), [video.track.clone(), audio.track.clone()]);
    assert_eq!(video.receiver.track(), Some(video.track.clone()));
    assert!(video.track.is_remote() && !video.track.muted());
    connected(&a.pc, &b.pc).await;

    let [picture_out, tone_out] = [&stream.tracks()[0], &stream.tracks()[1]];
    assert_eq!(picture_out.write_frame(&picture(0, false)).unwrap(), 0, "a sender begins with a key frame");
    within("a request", picture_out.keyframe_requested()).await.unwrap();
    let write = async {
        for i in 1..40 {
            assert_eq!(picture_out.write_frame(&picture(i, i == 1)).unwrap(), 1);
            assert_eq!(tone_out.write_frame(&tone(i)).unwrap(), 1);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let read = async {
        for i in 1..40 {
            let frame = video.track.recv_frame().await.unwrap();
            assert_eq!((frame.data, frame.keyframe), (picture(i, i == 1).data, i == 1), "picture {i}");
            assert_eq!(audio.track.recv_frame().await.unwrap().data, tone(i).data, "tone {i}");
        }
    };
    within("the frames", async { tokio::join!(write, read) }).await;

    video.receiver.request_keyframe();
    within("the request at the sender", senders[0].keyframe_requested()).await.unwrap();
    within("the request at the track", picture_out.keyframe_requested()).await.unwrap();

    a.pc.close().await;
    within("the end", video.track.ended()).await;
    assert_eq!(within("no more", video.track.recv_frame()).await, None);
    assert_eq!(picture_out.ready_state(), TrackState::Live, "a local track outlives a connection");
}

#[tokio::test]
async fn packets_are_forwarded_with_their_payload() {
    let (a, mut b) = pair();
    let source = MediaStreamTrack::new(Kind::Audio);
    a.pc.add_track(&source, &[]).unwrap();
    negotiate(&a.pc, &b.pc).await;
    let there = b.event("a track", track).await;
    connected(&a.pc, &b.pc).await;
    // Over there and back again.
    let back = there.transceiver.sender();
    assert_eq!(b.pc.add_track(&there.track, &[]).unwrap_err().kind(), ErrorKind::NotSupported);
    there.transceiver.set_direction(Direction::SendRecv).unwrap();
    back.replace_track(Some(&MediaStreamTrack::new(Kind::Audio))).await.unwrap();
    negotiate(&b.pc, &a.pc).await;
    let home = a.pc.transceivers()[0].receiver().track().unwrap();
    let forward = tokio::spawn(async move {
        while let Some(packet) = there.track.recv_rtp().await {
            back.send_rtp(packet).unwrap();
        }
    });
    let write = async {
        for i in 0..50 {
            source.write_frame(&tone(i)).unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let read = async {
        for i in 0..50 {
            assert_eq!(home.recv_rtp().await.unwrap().payload, tone(i).data, "packet {i}");
        }
    };
    within("the packets", async { tokio::join!(write, read) }).await;
    a.pc.close().await;
    within("the forwarder", forward).await.unwrap();
}

#[tokio::test]
async fn tracks_come_and_go_by_renegotiation_from_either_side() {
    let (mut a, mut b) = pair();
    let needed = |event| matches!(event, Event::NegotiationNeeded).then_some(());
    a.pc.add_transceiver(Kind::Audio, RtpTransceiverInit::default().with_direction(Direction::RecvOnly))
        .unwrap();
    a.event("negotiation is needed", needed).await;
    negotiate(&a.pc, &b.pc).await;
    connected(&a.pc, &b.pc).await;

    let source = MediaStreamTrack::new(Kind::Video);
    let sender = b.pc.add_track(&source, &[]).unwrap();
    b.event("negotiation is needed", needed).await;
    negotiate(&b.pc, &a.pc).await;
    let remote = a.event("the track", track).await.track;
    let mut i = 0;
    within("a frame", async {
        tokio::select! {
            frame = remote.recv_frame() => assert!(frame.unwrap().keyframe),
            () = async {
                loop {
                    source.write_frame(&picture(i, true)).unwrap();
                    i += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            } => {}
        }
    })
    .await;

    b.pc.remove_track(&sender).unwrap();
    assert_eq!(sender.track(), None);
    negotiate(&b.pc, &a.pc).await;
    within("muted", remote.until_muted(true)).await;
    assert_eq!(source.write_frame(&picture(0, true)).unwrap(), 0, "nobody sends it any more");

    a.pc.transceivers()[1].stop().unwrap();
    negotiate(&a.pc, &b.pc).await;
    within("ended", remote.ended()).await;
    assert_eq!(a.pc.transceivers().len(), 1);
}

#[tokio::test]
async fn one_track_can_be_sent_on_many_connections_and_replaced() {
    let source = MediaStreamTrack::new(Kind::Audio);
    let mut ends = Vec::new();
    for _ in 0..2 {
        let (a, mut b) = pair();
        let sender = a.pc.add_track(&source, &[]).unwrap();
        negotiate(&a.pc, &b.pc).await;
        connected(&a.pc, &b.pc).await;
        let remote = b.event("a track", track).await.track;
        ends.push((a, b, sender, remote));
    }
    let copy = source.clone_track().unwrap();
    assert_ne!((copy.id(), &copy), (source.id(), &source));
    assert_eq!(source.write_frame(&tone(1)).unwrap(), 2);
    for (_, _, _, remote) in &ends {
        assert_eq!(within("a frame", remote.recv_frame()).await.unwrap().data, tone(1).data);
    }
    ends[0].2.replace_track(None).await.unwrap();
    assert_eq!(source.write_frame(&tone(2)).unwrap(), 1);
    ends[0].2.replace_track(Some(&copy)).await.unwrap();
    assert_eq!(source.write_frame(&tone(3)).unwrap(), 2, "a clone has the same source");
    let wrong = MediaStreamTrack::new(Kind::Video);
    assert_eq!(ends[0].2.replace_track(Some(&wrong)).await.unwrap_err().kind(), ErrorKind::Type);

    source.stop();
    assert_eq!(copy.ready_state(), TrackState::Live);
    assert_eq!(source.write_frame(&tone(4)).unwrap_err().kind(), ErrorKind::InvalidState);
    assert_eq!(copy.write_frame(&tone(4)).unwrap(), 1);
    copy.set_enabled(false);
    assert_eq!(copy.write_frame(&tone(5)).unwrap(), 0);
}

#[tokio::test]
async fn a_generated_source_is_paced_and_ends() {
    let (a, mut b) = pair();
    let source = MediaStreamTrack::generate(Kind::Audio, (0..25).map(tone)).unwrap();
    a.pc.add_track(&source, &[]).unwrap();
    let begin = tokio::time::Instant::now();
    negotiate(&a.pc, &b.pc).await;
    let remote = b.event("a track", track).await.track;
    assert_eq!(
        within("a frame", remote.recv_frame()).await.unwrap().data,
        tone(0).data,
        "from the beginning"
    );
    for i in 1..25 {
        assert_eq!(within("a frame", remote.recv_frame()).await.unwrap().data, tone(i).data);
    }
    // The last one is due 480 ms after the first, and that one comes after the negotiation.
    assert!(begin.elapsed() > Duration::from_millis(450), "480 ms of sound took {:?}", begin.elapsed());
    within("the source ends", source.ended()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tap_reads_frames_beside_the_packets() {
    let (a, mut b) = pair();
    let source = MediaStreamTrack::new(Kind::Video);
    a.pc.add_track(&source, &[]).unwrap();
    negotiate(&a.pc, &b.pc).await;
    let there = b.event("a track", track).await;
    connected(&a.pc, &b.pc).await;
    assert_eq!(source.tap().unwrap_err().kind(), ErrorKind::NotSupported);
    let tap = there.track.tap().unwrap();
    assert_eq!(there.track.tap().unwrap_err().kind(), ErrorKind::InvalidState);
    // What overtakes the first packet is where a stream begins, so every picture can be decoded alone.
    let write = || {
        let source = &source;
        async move {
            for i in 0.. {
                assert_eq!(source.write_frame(&picture(i, true)).unwrap(), 1);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    let frames = async {
        let first = tap.recv().await.unwrap().data;
        let begin = (0..100).find(|i| picture(*i, true).data == first).expect("a picture that was written");
        for i in begin + 1..begin + 20 {
            assert_eq!(tap.recv().await.unwrap().data, picture(i, true).data, "picture {i}");
        }
    };
    let packets = |count: usize| {
        let track = &there.track;
        async move {
            let mut ends = 0;
            while ends < count {
                ends += usize::from(track.recv_rtp().await.unwrap().marker);
            }
        }
    };
    within("both", async {
        tokio::select! { () = write() => {}, _ = async { tokio::join!(frames, packets(20)) } => {} }
    })
    .await;
    drop(tap);
    within("packets alone", async {
        tokio::select! { () = write() => {}, () = packets(20) => {} }
    })
    .await;
    let tap = there.track.tap().unwrap();
    tap.request_keyframe();
    within("the request", source.keyframe_requested()).await.unwrap();
    a.pc.close().await;
    assert_eq!(within("the end", tap.recv()).await, None);
}

#[tokio::test]
async fn a_frame_that_no_sender_could_take_is_an_error() {
    let track = MediaStreamTrack::new(Kind::Audio);
    assert_eq!(track.write_frame(&tone(0)).unwrap(), 0, "nobody is there yet");
    assert_eq!(track.write_frame(&picture(0, true)).unwrap_err().kind(), ErrorKind::Type);
    let empty = Frame::new(Codec::Opus, Vec::new(), Duration::ZERO);
    assert_eq!(track.write_frame(&empty).unwrap_err().kind(), ErrorKind::Type);
}
