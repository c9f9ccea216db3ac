//! Streams from media files: VP8 in IVF, Opus in Ogg.

use std::time::Duration;

use bytes::Bytes;
use taut_container::{ivf, ogg};
use taut_peer::{Codec, Frame, Kind};

use crate::error::{Error, ErrorKind};
use crate::media_stream::MediaStream;
use crate::source::{self, Frames};

/// The code of VP8 in IVF.
const VP8: [u8; 4] = *b"VP80";

/// The time of a picture when a file has only one.
const ONE_PICTURE: Duration = Duration::from_millis(40);

/// How files are played.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileOptions {
    /// Whether it begins again at its end. By default the tracks end there.
    pub repeat: bool,
}

impl FileOptions {
    /// Sets whether it begins again at its end.
    #[must_use]
    pub fn with_repeat(mut self, repeat: bool) -> Self {
        self.repeat = repeat;
        self
    }
}

/// The frames of a file, and how long it plays.
struct Clip {
    kind: Kind,
    frames: Vec<Frame>,
    length: Duration,
}

impl MediaStream {
    /// A local stream that plays a video file (VP8 in IVF), an audio file (Opus in Ogg), or both in step. It waits for
    /// the first sender that is connected, and then plays in real time. Needs a tokio runtime, where a task runs until
    /// the files or all tracks have ended. Nothing is encoded: who comes later, or asks for a key frame, has no picture
    /// until the next key frame of the file.
    ///
    /// # Errors
    ///
    /// `Syntax` for a malformed file, `NotSupported` for a video codec other than VP8, `Type` without any file or for a
    /// file without media, `InvalidState` outside a tokio runtime.
    pub fn from_ivf_ogg(
        video: impl Into<Option<Bytes>>,
        audio: impl Into<Option<Bytes>>,
        options: FileOptions,
    ) -> Result<Self, Error> {
        let video = video.into().map(read_ivf).transpose()?;
        let audio = audio.into().map(read_ogg).transpose()?;
        let clips: Vec<Clip> = video.into_iter().chain(audio).collect();
        if clips.is_empty() {
            return Err(Error::new(ErrorKind::Type, "a stream needs at least one file"));
        }
        // Both begin again together, or they would drift apart.
        let period = clips.iter().map(|clip| clip.length).max().unwrap_or_default();
        let feeds = clips.into_iter().map(|clip| (clip.kind, play(clip.frames, period, options))).collect();
        Ok(Self::new(source::start(feeds)?))
    }
}

fn play(frames: Vec<Frame>, period: Duration, options: FileOptions) -> Frames {
    if !options.repeat {
        return Box::new(frames.into_iter());
    }
    let rounds = (0u32..).map(move |round| period.saturating_mul(round));
    Box::new(rounds.flat_map(move |offset| {
        let later = move |mut frame: Frame| {
            frame.presentation = frame.presentation.saturating_add(offset);
            frame
        };
        frames.clone().into_iter().map(later)
    }))
}

fn read_ivf(file: Bytes) -> Result<Clip, Error> {
    let syntax = |error: ivf::ParseError| Error::new(ErrorKind::Syntax, format!("the video file: {error}"));
    let mut reader = ivf::Reader::new(file).map_err(syntax)?;
    if reader.header().fourcc != VP8 {
        let name = String::from_utf8_lossy(&reader.header().fourcc).into_owned();
        return Err(Error::new(
            ErrorKind::NotSupported,
            format!("the video file has the codec {name:?}, not VP8"),
        ));
    }
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame() {
        let ivf::Frame { timestamp, data } = frame.map_err(syntax)?;
        // The lowest bit of a VP8 frame says that it is not a key frame (RFC 6386 section 9.1).
        let keyframe = data.first().is_some_and(|first| first & 1 == 0);
        frames.push(Frame::new(Codec::Vp8, data, timestamp).with_keyframe(keyframe));
    }
    let length = match frames.as_slice() {
        [] => return Err(Error::new(ErrorKind::Type, "the video file has no pictures")),
        [only] => only.presentation + ONE_PICTURE,
        [.., before, last] => {
            last.presentation.saturating_add(last.presentation.saturating_sub(before.presentation))
        }
    };
    Ok(Clip { kind: Kind::Video, frames, length })
}

fn read_ogg(file: Bytes) -> Result<Clip, Error> {
    let syntax = |error: ogg::ParseError| Error::new(ErrorKind::Syntax, format!("the audio file: {error}"));
    let mut reader = ogg::OpusReader::new(file).map_err(syntax)?;
    let (mut frames, mut length) = (Vec::new(), Duration::ZERO);
    while let Some(packet) = reader.next_packet() {
        let packet = packet.map_err(syntax)?;
        length = packet.timestamp.saturating_add(packet.duration());
        frames.push(Frame::new(Codec::Opus, packet.data, packet.timestamp));
    }
    if frames.is_empty() {
        return Err(Error::new(ErrorKind::Type, "the audio file has no sound"));
    }
    Ok(Clip { kind: Kind::Audio, frames, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video() -> Bytes {
        let time_base = ivf::TimeBase::new(1, 25).unwrap();
        let header = ivf::Header { fourcc: VP8, width: 16, height: 16, time_base, frames: 3 };
        let mut out = Vec::new();
        let mut writer = ivf::Writer::new(header, &mut out);
        for i in 0..3u8 {
            writer.write_frame(Duration::from_millis(u64::from(i) * 40), &[i.min(1), i], &mut out).unwrap();
        }
        out.into()
    }

    #[test]
    fn a_video_file_becomes_frames() {
        let clip = read_ivf(video()).unwrap();
        assert_eq!(clip.length, Duration::from_millis(120));
        assert_eq!(clip.frames.len(), 3);
        let keyframes: Vec<_> = clip.frames.iter().map(|frame| frame.keyframe).collect();
        assert_eq!(keyframes, [true, false, false]);
    }

    #[test]
    fn repeated_frames_go_on_in_time() {
        let clip = read_ivf(video()).unwrap();
        let period = Duration::from_millis(125);
        let times: Vec<_> = play(clip.frames, period, FileOptions::default().with_repeat(true))
            .take(7)
            .map(|frame| frame.presentation.as_millis())
            .collect();
        assert_eq!(times, [0, 40, 80, 125, 165, 205, 250]);
    }

    #[tokio::test]
    async fn bad_files_are_precise_errors() {
        let error = |video: &'static [u8]| {
            MediaStream::from_ivf_ogg(Bytes::from_static(video), None, FileOptions::default()).unwrap_err()
        };
        assert_eq!(error(b"RIFF").kind(), ErrorKind::Syntax);
        let none = MediaStream::from_ivf_ogg(None, None, FileOptions::default()).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::Type);
        let ogg =
            MediaStream::from_ivf_ogg(None, Bytes::from_static(b"OggS"), FileOptions::default()).unwrap_err();
        assert_eq!(ogg.kind(), ErrorKind::Syntax);
        let mut other = video().to_vec();
        other[8..12].copy_from_slice(b"AV01");
        let error = MediaStream::from_ivf_ogg(Bytes::from(other), None, FileOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSupported);
        assert!(error.message().contains("AV01"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_nobody_plays_any_more_has_no_task() {
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let before = tasks();
        let stream =
            MediaStream::from_ivf_ogg(video(), None, FileOptions::default().with_repeat(true)).unwrap();
        assert_eq!(tasks(), before + 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(tasks(), before + 1, "it waits for its first sender");
        let other = stream.tracks()[0].clone_track().unwrap();
        stream.stop();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(tasks(), before + 1, "a clone keeps the source");
        drop((stream, other));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(tasks(), before);
    }
}
