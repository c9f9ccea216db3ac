//! The bundled clip. `assets/README.md` says what it shows and how it was made.

use std::time::Duration;

use bytes::Bytes;
use taut::container::{ivf, ogg};
use taut::{Codec, Frame};

const VIDEO: &[u8] = include_bytes!("../assets/clip.ivf");
const AUDIO: &[u8] = include_bytes!("../assets/clip.ogg");

/// Why the clip cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The picture.
    #[error("video: {0}")]
    Video(#[from] ivf::ParseError),
    /// The sound.
    #[error("audio: {0}")]
    Audio(#[from] ogg::ParseError),
}

/// The clip as frames: picture and sound of the same length.
#[derive(Debug)]
pub(crate) struct Clip {
    pub(crate) video: Part,
    pub(crate) audio: Part,
}

/// The frames of one track, and how long they take together.
#[derive(Debug)]
pub(crate) struct Part {
    frames: Vec<Frame>,
    length: Duration,
}

impl Clip {
    /// Reads the clip that is part of the binary.
    pub(crate) fn bundled() -> Result<Self, Error> {
        let video = Part::video(Bytes::from_static(VIDEO))?;
        let audio = Part::audio(Bytes::from_static(AUDIO), video.length)?;
        Ok(Self { video, audio })
    }
}

impl Part {
    fn video(file: Bytes) -> Result<Self, ivf::ParseError> {
        let mut reader = ivf::Reader::new(file)?;
        let mut frames = Vec::new();
        while let Some(frame) = reader.next_frame() {
            let ivf::Frame { timestamp, data } = frame?;
            // The lowest bit of a VP8 frame says that it is not a keyframe (RFC 6386 section 9.1).
            let keyframe = data.first().is_some_and(|first| first & 1 == 0);
            frames.push(Frame::new(Codec::Vp8, data, timestamp).with_keyframe(keyframe));
        }
        // All frames are shown equally long; the times in the file are rounded down.
        let last = frames.last().map_or(Duration::ZERO, |frame| frame.presentation);
        let gaps = u32::try_from(frames.len()).unwrap_or(u32::MAX).saturating_sub(1).max(1);
        let length = Duration::from_micros(((last + last / gaps).as_nanos().div_ceil(1_000)) as u64);
        Ok(Self { frames, length })
    }

    /// The sound, cut to `length`: the encoder adds a packet in which it comes to rest.
    fn audio(file: Bytes, length: Duration) -> Result<Self, ogg::ParseError> {
        let mut reader = ogg::OpusReader::new(file)?;
        let mut frames = Vec::new();
        while let Some(packet) = reader.next_packet() {
            let ogg::OpusPacket { data, timestamp, .. } = packet?;
            if timestamp < length {
                frames.push(Frame::new(Codec::Opus, data, timestamp));
            }
        }
        Ok(Self { frames, length })
    }

    /// The frames over and over, with times that go on.
    pub(crate) fn looped(&self) -> impl Iterator<Item = Frame> {
        (0..).flat_map(move |round| {
            self.frames.iter().map(move |frame| {
                let presentation = frame.presentation + self.length * round;
                Frame { presentation, ..frame.clone() }
            })
        })
    }

    /// How many frames there are.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// When the frame at a place of the endless sequence is shown: all are shown equally long.
    pub(crate) fn time(&self, place: u32) -> Duration {
        let nanos = self.length.as_nanos() * u128::from(place) / self.frames.len().max(1) as u128;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The frame at a place of the endless sequence, with the time of its place in the file.
    pub(crate) fn frame(&self, place: usize) -> Option<&Frame> {
        self.frames.get(place.checked_rem(self.frames.len())?)
    }

    /// The place of a frame with these bytes in the endless sequence, at `from` or after it.
    pub(crate) fn find(&self, data: &[u8], from: usize) -> Option<usize> {
        let len = self.frames.len();
        (from..from + len).find(|place| self.frames.get(place % len).is_some_and(|frame| frame.data == data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_and_sound_are_ten_seconds_long() {
        let clip = Clip::bundled().expect("the clip is readable");
        assert_eq!(clip.video.length, Duration::from_secs(10));
        assert_eq!(clip.audio.length, clip.video.length);
        assert_eq!((clip.video.frames.len(), clip.audio.frames.len()), (300, 500));
        let keyframes: Vec<usize> = (0..300).filter(|at| clip.video.frames[*at].keyframe).collect();
        assert_eq!(keyframes, [0, 60, 120, 180, 240]);
    }

    #[test]
    fn it_goes_on_without_a_jump() {
        let clip = Clip::bundled().expect("the clip is readable");
        for (part, step) in
            [(&clip.video, Duration::from_secs(1) / 30), (&clip.audio, Duration::from_millis(20))]
        {
            let times: Vec<Duration> = part.looped().take(1100).map(|frame| frame.presentation).collect();
            for pair in times.windows(2) {
                let gap = pair[1] - pair[0];
                assert!(gap.abs_diff(step) < Duration::from_millis(1), "{gap:?} for {step:?}");
            }
        }
    }

    #[test]
    fn a_frame_is_found_at_its_place_in_any_round() {
        let clip = Clip::bundled().expect("the clip is readable");
        let data = &clip.video.frames[7].data;
        assert_eq!(clip.video.find(data, 0), Some(7));
        assert_eq!(clip.video.find(data, 8), Some(307));
        assert_eq!(clip.video.find(b"something else", 8), None);
    }
}
