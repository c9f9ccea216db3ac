//! A call in a simulated network, recorded: flashes and beeps of the same moment are at the same time in both files.
#![allow(clippy::disallowed_methods, reason = "tests")]

#[path = "../../peer/tests/common/mod.rs"]
mod simulation;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::time::Duration;

use bytes::Bytes;
use simulation::Call;
use taut::container::{ivf, ogg};
use taut::{Codec, Frame, Kind, Recorder};
use taut_netsim::{Link, Loss};
use taut_peer::TrackInfo;

const MS: Duration = Duration::from_millis(1);

/// A picture that flashes once a second, when it also is a key frame.
fn picture(number: u64) -> Frame {
    let flash = number.is_multiple_of(30);
    let head = if flash { [0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 48, 0] } else { [0x11; 10] };
    let data = [&head[..], &number.to_be_bytes(), &[if flash { 0xff } else { 0 }; 2_500]].concat();
    Frame::new(Codec::Vp8, data, Duration::from_secs(number) / 30).with_keyframe(flash)
}

/// A sound that beeps once a second.
fn sound(number: u64) -> Frame {
    let beep = number.is_multiple_of(50);
    let data = [&[0xfc][..], &number.to_be_bytes(), &[if beep { 0xff } else { 0 }; 60]].concat();
    Frame::new(Codec::Opus, data, 20 * MS * number as u32)
}

/// What came in on the other side, in that order.
fn frames_of_a_call(seconds: u64, link: Link) -> Vec<Frame> {
    let mut call = Call::new(7, link);
    let (a, b, now) = (call.a, call.b, call.now());
    let video = call.peer(a).add_track(now, TrackInfo::new("v", Kind::Video), vec![]).unwrap();
    let audio = call.peer(a).add_track(now, TrackInfo::new("a", Kind::Audio), vec![]).unwrap();
    call.negotiate(a);
    assert!(call.connect(Duration::from_secs(10)));
    let begun = call.now();
    let mut due = BTreeMap::new();
    due.extend((0..seconds * 30).map(|i| ((picture(i).presentation, 0), picture(i))));
    due.extend((0..seconds * 50).map(|i| ((sound(i).presentation, 1), sound(i))));
    for ((at, kind), frame) in due {
        let now = call.now();
        call.run_for((begun + at).saturating_duration_since(now));
        let (now, id) = (call.now(), if kind == 0 { video } else { audio });
        call.peer(a).send_frame(now, id, frame).unwrap();
    }
    call.run_for(Duration::from_secs(1));
    // Each track keeps its order: what waits for a frame that is sent again comes out after it.
    let mut frames = Vec::new();
    for track in std::mem::take(&mut call.side(b).frames).into_values() {
        let mut newest = None;
        for frame in track {
            newest = newest.max(frame.received);
            frames.push((newest, frame));
        }
    }
    frames.sort_by_key(|(out, _)| *out);
    frames.into_iter().map(|(_, frame)| frame).collect()
}

#[test]
fn flash_and_beep_are_recorded_together() {
    let link = Link::default().latency(60 * MS).jitter(25 * MS).loss(Loss::Random(0.02));
    let frames = frames_of_a_call(20, link);
    assert!(frames.iter().any(|frame| frame.captured.is_none()), "the first come before a report");
    let (mut video, mut audio) = (Cursor::new(Vec::new()), Cursor::new(Vec::new()));
    let mut recorder = Recorder::new(&mut video, &mut audio);
    for frame in &frames {
        let _ = recorder.record(frame).unwrap();
    }
    let recording = recorder.finish().unwrap();
    assert!(recording.pictures >= 590 && recording.sounds >= 950, "{recording:?}");
    assert!(recording.sound_length.abs_diff(Duration::from_secs(20)) < 100 * MS, "{recording:?}");

    let mut reader = ivf::Reader::new(Bytes::from(video.into_inner())).unwrap();
    let pictures = std::iter::from_fn(|| reader.next_frame()).map(Result::unwrap);
    let flashes: BTreeMap<u64, f64> = pictures
        .filter(|frame| frame.data.last() == Some(&0xff))
        .map(|frame| {
            (u64::from_be_bytes(frame.data[10..18].try_into().unwrap()) / 30, frame.timestamp.as_secs_f64())
        })
        .collect();
    let mut reader = ogg::OpusReader::new(Bytes::from(audio.into_inner())).unwrap();
    let skipped = f64::from(reader.head().pre_skip) / 48_000.0;
    let sounds = std::iter::from_fn(|| reader.next_packet()).map(Result::unwrap);
    let beeps: BTreeMap<u64, f64> = sounds
        .filter(|packet| packet.data.last() == Some(&0xff))
        .map(|packet| {
            (
                u64::from_be_bytes(packet.data[1..9].try_into().unwrap()) / 50,
                packet.timestamp.as_secs_f64() - skipped,
            )
        })
        .collect();
    let both: Vec<_> =
        flashes.iter().filter_map(|(second, flash)| Some((second, flash, beeps.get(second)?))).collect();
    assert!(both.len() >= 17, "{both:?}");
    for (second, flash, beep) in both {
        assert!(
            (flash - beep).abs() < 0.04,
            "in second {second} the flash is at {flash}, the beep at {beep}"
        );
        assert!((flash - *second as f64).abs() < 0.04, "second {second} is at {flash}");
    }
}
