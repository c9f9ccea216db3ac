//! Files of calls whose frames come in by arithmetic.

use std::io::Cursor;
use std::time::{Duration, Instant};

use bytes::Bytes;
use taut_container::{ivf, ogg};

use super::*;

const MS: Duration = Duration::from_millis(1);

/// The sender's wall clock when its media time is zero.
const WALL: Duration = Duration::from_secs(1_700_000_000);

/// A track on its way: when its frames are captured, how long they take, and since when its clock is reported.
#[derive(Debug, Clone, Copy)]
struct Way {
    begin: Instant,
    delay: Duration,
    /// The media time of the first packet of the track.
    first: Duration,
    reported: Duration,
}

impl Way {
    fn frame(&self, codec: Codec, data: Vec<u8>, at: Duration) -> Frame {
        let mut frame = Frame::new(codec, data, at.saturating_sub(self.first));
        frame.received = Some(self.begin + at + self.delay);
        frame.captured = (at >= self.reported).then_some(WALL + at);
        frame
    }

    /// A picture whose data say when it was taken.
    fn picture(&self, at: Duration, keyframe: bool) -> Frame {
        let head = if keyframe { [0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 48, 0] } else { [0x11; 10] };
        let data = [&head[..], &(at.as_micros() as u64).to_be_bytes()].concat();
        self.frame(Codec::Vp8, data, at).with_keyframe(keyframe)
    }

    fn sound(&self, at: Duration) -> Frame {
        self.frame(Codec::Opus, [&[0xfc][..], &(at.as_micros() as u64).to_be_bytes()].concat(), at)
    }
}

/// The time that a picture or sound says.
fn mark(data: &[u8]) -> Duration {
    Duration::from_micros(u64::from_be_bytes(data[data.len() - 8..].try_into().unwrap()))
}

/// What was recorded: of each picture and sound its mark and its time in the file.
struct Files {
    pictures: Vec<(Duration, Duration)>,
    sounds: Vec<(Duration, f64)>,
    header: ivf::Header,
    silence: usize,
    recording: Recording,
}

/// Records frames in the order in which they come.
fn record(mut frames: Vec<Frame>) -> Files {
    frames.sort_by_key(|frame| frame.received);
    let (mut video, mut audio) = (Cursor::new(Vec::new()), Cursor::new(Vec::new()));
    let mut recorder = Recorder::new(&mut video, &mut audio);
    frames.iter().for_each(|frame| {
        let _ = recorder.record(frame).unwrap();
    });
    let recording = recorder.finish().unwrap();
    let mut reader = ivf::Reader::new(Bytes::from(video.into_inner())).unwrap();
    let header = *reader.header();
    let pictures = std::iter::from_fn(|| reader.next_frame()).map(Result::unwrap);
    let pictures = pictures.map(|frame| (mark(&frame.data), frame.timestamp)).collect();
    let mut reader = ogg::OpusReader::new(Bytes::from(audio.into_inner())).unwrap();
    let skip = f64::from(reader.head().pre_skip) / 48_000.0;
    let packets: Vec<_> = std::iter::from_fn(|| reader.next_packet()).map(Result::unwrap).collect();
    let is_silence = |packet: &&ogg::OpusPacket| packet.data.len() == 3;
    let silence = packets.iter().filter(is_silence).count();
    let sounds = packets.iter().filter(|packet| !is_silence(packet));
    let sounds = sounds.map(|packet| (mark(&packet.data), packet.timestamp.as_secs_f64() - skip)).collect();
    Files { pictures, sounds, header, silence, recording }
}

impl Files {
    /// How far picture and sound of the same moment are apart at worst, in seconds, by the times in the files; but for the
    /// second picture, which is a sixtieth of a second further.
    fn apart(&self) -> f64 {
        let origin = self.pictures[0].0.as_secs_f64() - self.pictures[0].1.as_secs_f64();
        let off = |mark: Duration, time: f64| (mark.as_secs_f64() - time - origin).abs();
        let video = self.pictures.iter().enumerate().filter(|(at, _)| *at != 1);
        let video = video.map(|(_, (mark, time))| off(*mark, time.as_secs_f64()));
        let audio = self.sounds.iter().map(|(mark, time)| off(*mark, *time));
        video.fold(0.0, f64::max) + audio.fold(0.0, f64::max)
    }
}

/// A call of some seconds: key frames at these pictures, sound ahead of pictures by 150 ms on the way.
fn call(seconds: u64, keyframes: &[u64], reported: Duration) -> Vec<Frame> {
    let begin = Instant::now();
    let video = Way { begin, delay: 190 * MS, first: 70 * MS, reported };
    let audio = Way { begin, delay: 40 * MS, first: Duration::ZERO, reported: reported / 2 };
    let pictures = (0..seconds * 30).map(|i| (i, 70 * MS + Duration::from_secs(i) / 30));
    let pictures = pictures.map(|(i, at)| video.picture(at, keyframes.contains(&i)));
    let sounds = (0..seconds * 50).map(|i| audio.sound(Duration::from_millis(i * 20)));
    pictures.chain(sounds).collect()
}

#[test]
fn both_files_begin_with_the_key_frame_and_stay_in_step() {
    let files = record(call(5, &[4], Duration::ZERO));
    let zero = 70 * MS + Duration::from_secs(4) / 30;
    assert!(files.pictures[0].0.abs_diff(zero) < MS && files.pictures[0].1 == Duration::ZERO);
    let first = files.sounds[0];
    assert!(first.0 <= zero && first.0 + 20 * MS > zero, "the packet in which the moment is: {first:?}");
    assert!(files.apart() < 0.012, "{}", files.apart());
    assert_eq!((files.header.width, files.header.height, files.header.frames), (64, 48, 292));
    assert_eq!((files.silence, files.recording.pictures, files.recording.sounds), (0, 146, 240));
}

#[test]
fn what_came_before_the_first_report_is_in_step_too() {
    let files = record(call(5, &[0], Duration::from_secs(2)));
    assert_eq!(files.pictures.len(), 150);
    assert!(files.apart() < 0.012, "{}", files.apart());
}

#[test]
fn without_reports_the_arrival_counts() {
    let files = record(call(8, &[0], Duration::MAX));
    assert_eq!(files.pictures.len(), 240);
    // Nobody can know of the 150 ms that pictures take longer.
    assert!((files.apart() - 0.15).abs() < 0.025, "{}", files.apart());
}

#[test]
fn gaps_become_silence_and_pictures_wait_for_a_key_frame() {
    let mut frames = call(6, &[0, 100], Duration::ZERO);
    let lost =
        |frame: &Frame, from: u64, to: u64| (from..to).contains(&(mark(&frame.data).as_millis() as u64));
    let kind = |frame: &Frame| frame.codec.kind();
    frames.retain(|frame| {
        kind(frame) != Kind::Audio || !(lost(frame, 1_000, 1_060) || lost(frame, 2_000, 4_000))
    });
    frames.retain(|frame| kind(frame) != Kind::Video || !lost(frame, 1_500, 1_600));
    let next =
        frames.iter_mut().find(|frame| kind(frame) == Kind::Video && lost(frame, 1_600, 1_640)).unwrap();
    next.contiguous = false;
    let files = record(frames);
    assert!(files.apart() < 0.025, "{}", files.apart());
    assert_eq!(files.silence, 3 + 100);
    let marks: Vec<_> = files.pictures.iter().map(|(mark, _)| mark.as_millis()).collect();
    assert!(
        !marks.iter().any(|mark| (1_500..3_400).contains(mark)),
        "nothing that cannot be decoded: {marks:?}"
    );
    assert!(marks.last() > Some(&6_000));
}

#[test]
fn a_recording_asks_for_key_frames_until_it_has_one() {
    let way = Way { begin: Instant::now(), delay: 10 * MS, first: Duration::ZERO, reported: Duration::ZERO };
    let mut recorder = Recorder::new(Cursor::new(Vec::new()), None);
    assert_eq!(recorder.record(&way.picture(MS, false)).unwrap(), Wanted::KeyFrame);
    assert_eq!(recorder.record(&way.picture(34 * MS, true)).unwrap(), Wanted::Nothing);
    assert_eq!(recorder.record(&way.picture(67 * MS, false)).unwrap(), Wanted::Nothing);
    let broken = Frame { contiguous: false, ..way.picture(200 * MS, false) };
    assert_eq!(recorder.record(&broken).unwrap(), Wanted::KeyFrame);
    assert_eq!(recorder.record(&way.picture(233 * MS, false)).unwrap(), Wanted::KeyFrame);
    assert_eq!(recorder.record(&way.picture(266 * MS, true)).unwrap(), Wanted::Nothing);
    assert_eq!(recorder.record(&way.sound(300 * MS)).unwrap(), Wanted::Nothing, "there is no file for it");
    assert_eq!(recorder.finish().unwrap(), Recording { pictures: 3, ..Recording::default() });
}

#[test]
fn sound_alone_begins_after_a_while() {
    let mut frames = call(8, &[], Duration::ZERO);
    frames.retain(|frame| frame.codec.kind() == Kind::Audio);
    let (mut video, mut audio) = (Cursor::new(Vec::new()), Cursor::new(Vec::new()));
    let mut recorder = Recorder::new(&mut video, &mut audio);
    frames.iter().for_each(|frame| {
        let _ = recorder.record(frame).unwrap();
    });
    let recording = recorder.finish().unwrap();
    assert_eq!((recording.pictures, recording.sounds, recording.sound_length), (0, 400, 8_000 * MS));
    assert!(video.into_inner().is_empty());
}

#[test]
fn a_clock_that_jumps_moves_nothing_and_cannot_fill_a_disk() {
    let mut frames = call(4, &[0], Duration::ZERO);
    for frame in &mut frames {
        let at = mark(&frame.data);
        if at > 2_000 * MS {
            frame.captured = Some(WALL + at + Duration::from_secs(1 << 40));
        }
    }
    let files = record(frames);
    assert_eq!(files.silence, 0);
    assert!(files.apart() < 0.012, "{}", files.apart());
    assert!(files.recording.sound_length < 4_100 * MS);
}

#[test]
fn clocks_that_drift_are_followed() {
    // The sound card is 0.1 % fast: 20 s of it are 20 ms more than the wall clock says.
    let way = Way { begin: Instant::now(), delay: 20 * MS, first: Duration::ZERO, reported: Duration::ZERO };
    let pictures = (0..1_800).map(|i| way.picture(Duration::from_secs(i) / 30, i == 0));
    let sounds = (0..3_003).map(|i| way.sound(Duration::from_micros(i * 19_980)));
    let files = record(pictures.chain(sounds).collect());
    assert!(files.apart() < 0.025, "{}", files.apart());
    assert_eq!(files.pictures.len(), 1_800);
}

#[test]
fn what_waits_is_bounded() {
    let way = Way { begin: Instant::now(), delay: MS, first: Duration::ZERO, reported: Duration::MAX };
    let mut recorder = Recorder::new(Cursor::new(Vec::new()), Cursor::new(Vec::new()));
    let large = Frame { data: vec![0x11; 1 << 20].into(), ..way.picture(MS, false) };
    for _ in 0..16 {
        assert!(matches!(recorder.state, State::Waiting(_)));
        assert_eq!(recorder.record(&large).unwrap(), Wanted::KeyFrame);
    }
    assert!(matches!(recorder.state, State::Recording { .. }));

    // Small ones count too.
    let mut recorder = Recorder::new(Cursor::new(Vec::new()), Cursor::new(Vec::new()));
    let mut count = 0;
    while matches!(recorder.state, State::Waiting(_)) {
        let _ = recorder.record(&way.sound(MS)).unwrap();
        count += 1;
        assert!(count < 300_000);
    }
}
