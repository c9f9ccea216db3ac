//! Recording what comes in: pictures to an IVF file, sound to an Ogg file, in step.

mod audio;
mod timeline;
mod video;

use std::collections::VecDeque;
use std::io::{self, Seek, Write};
use std::time::Duration;

use taut_peer::{Codec, Frame, Kind};

use audio::AudioFile;
use timeline::{Clock, Timeline, nanos};
use video::VideoFile;

/// How long a recording waits for its first key frame, for both tracks, and for the sender to report its clock. Reports
/// come every few seconds (RFC 3550 section 6.2).
const PATIENCE: Duration = Duration::from_secs(6);

/// The most octets of memory for the frames that wait meanwhile; with more, nothing is waited for.
const MAX_WAITING: usize = 16 * 1024 * 1024;

/// Writes a call to files: VP8 to IVF, Opus to Ogg.
///
/// Both files begin at the same moment, that of the first key frame, and have the same time from there on: the sender's
/// wall clock, as its reports give it, or without reports the time of arrival. So a player that is given the two has them
/// in step. What is lost on the way is missing at its place, and the pictures go on with a key frame, which
/// [`record`](Self::record) asks for; the sound is silent there. Where there is no video within six seconds, the sound
/// begins alone.
///
/// It does no more I/O than writing, and reads no clock: frames bring their times. A file whose recording breaks off is
/// complete up to there.
///
/// ```no_run
/// # async fn example(video: taut::MediaStreamTrack, receiver: taut::RtpReceiver) -> std::io::Result<()> {
/// use std::fs::File;
/// use taut::{Recorder, Wanted};
///
/// let mut recorder = Recorder::new(File::create("call.ivf")?, File::create("call.ogg")?);
/// while let Some(frame) = video.recv_frame().await {
///     if recorder.record(&frame)? == Wanted::KeyFrame {
///         receiver.request_keyframe();
///     }
/// }
/// println!("{:?}", recorder.finish()?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Recorder<W> {
    video: Option<Track<VideoFile<W>>>,
    audio: Option<Track<AudioFile<W>>>,
    state: State,
}

#[derive(Debug)]
struct Track<F> {
    file: F,
    timeline: Option<Timeline>,
}

#[derive(Debug)]
enum State {
    /// Frames wait for the beginning.
    Waiting(Waiting),
    /// The time zero of the files, on the clock of the timelines.
    Recording { clock: Clock, zero: i128 },
}

/// What waits, and what is known of it.
#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Frame>,
    octets: usize,
    keyframe: bool,
    video_captured: bool,
    audio_captured: bool,
}

impl Waiting {
    fn push(&mut self, frame: Frame) {
        self.octets += size_of::<Frame>() + frame.data.len();
        self.keyframe |= is_key_picture(&frame);
        match frame.codec.kind() {
            Kind::Video => self.video_captured |= frame.captured.is_some(),
            Kind::Audio => self.audio_captured |= frame.captured.is_some(),
        }
        self.frames.push_back(frame);
    }

    /// From the first to the last frame.
    fn time(&self) -> Duration {
        let at = |frame: Option<&Frame>| frame.and_then(|frame| frame.received);
        match (at(self.frames.front()), at(self.frames.back())) {
            (Some(first), Some(last)) => last.saturating_duration_since(first),
            _ => Duration::ZERO,
        }
    }
}

/// What the recording needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Wanted {
    /// Nothing.
    Nothing,
    /// A key frame: without one no picture can be written.
    KeyFrame,
}

/// What was recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recording {
    /// The pictures in the video file.
    pub pictures: u64,
    /// The packets in the audio file, without those of silence that fill gaps.
    pub sounds: u64,
    /// How long the audio file plays.
    pub sound_length: Duration,
}

impl<W: Write + Seek> Recorder<W> {
    /// A recorder that writes pictures to the one and sound to the other; frames for which there is no file are not
    /// recorded. Nothing is written before the first frame.
    pub fn new(video: impl Into<Option<W>>, audio: impl Into<Option<W>>) -> Self {
        Self {
            video: video.into().map(|out| Track { file: VideoFile::new(out), timeline: None }),
            audio: audio.into().map(|out| Track { file: AudioFile::new(out), timeline: None }),
            state: State::Waiting(Waiting::default()),
        }
    }

    /// Takes a received frame of one of the two tracks, in the order of its track. Of frames that were not received
    /// ([`Frame::received`]) nobody knows the time: they are not recorded.
    ///
    /// # Errors
    ///
    /// What writing gives. The recording is over then.
    pub fn record(&mut self, frame: &Frame) -> io::Result<Wanted> {
        let expected = match frame.codec.kind() {
            Kind::Video => self.video.is_some(),
            Kind::Audio => self.audio.is_some(),
        };
        if expected && frame.received.is_some() {
            match &mut self.state {
                State::Waiting(waiting) => {
                    waiting.push(frame.clone());
                    self.begin_if_ready()?;
                }
                State::Recording { .. } => self.write(frame)?,
            }
        }
        Ok(if self.needs_keyframe() { Wanted::KeyFrame } else { Wanted::Nothing })
    }

    /// Completes the files. What has waited until now is written.
    ///
    /// # Errors
    ///
    /// What writing gives.
    pub fn finish(mut self) -> io::Result<Recording> {
        self.begin()?;
        let mut recording = Recording::default();
        if let Some(track) = self.video {
            recording.pictures = track.file.pictures();
            track.file.finish()?;
        }
        if let Some(track) = self.audio {
            (recording.sounds, recording.sound_length) = (track.file.packets(), track.file.length());
            track.file.finish()?;
        }
        Ok(recording)
    }

    /// While it waits, a key frame that waits too is enough.
    fn needs_keyframe(&self) -> bool {
        match (&self.video, &self.state) {
            (None, _) => false,
            (Some(_), State::Waiting(waiting)) => !waiting.keyframe,
            (Some(track), State::Recording { .. }) => track.file.needs_keyframe(),
        }
    }

    fn begin_if_ready(&mut self) -> io::Result<()> {
        let State::Waiting(waiting) = &self.state else { return Ok(()) };
        let video = self.video.is_none() || (waiting.video_captured && waiting.keyframe);
        let audio = self.audio.is_none() || waiting.audio_captured;
        if (video && audio) || waiting.time() >= PATIENCE || waiting.octets >= MAX_WAITING {
            self.begin()
        } else {
            Ok(())
        }
    }

    /// Begins with the first key frame that waits, or with the first sound.
    fn begin(&mut self) -> io::Result<()> {
        let State::Waiting(waiting) = &mut self.state else { return Ok(()) };
        let mut frames = std::mem::take(waiting).frames;
        settle(&mut frames);
        let Some(first) = frames.iter().find(|f| is_key_picture(f)).or(frames.front()) else { return Ok(()) };
        let clock = match first.received {
            Some(at) if frames.iter().any(|frame| frame.captured.is_none()) => Clock::Arrival(at),
            _ => Clock::Captured,
        };
        let zero = match clock {
            Clock::Captured => first.captured.map_or(0, nanos),
            Clock::Arrival(_) => 0,
        };
        self.state = State::Recording { clock, zero };
        frames.iter().try_for_each(|frame| self.write(frame))
    }

    fn write(&mut self, frame: &Frame) -> io::Result<()> {
        let State::Recording { clock, zero } = self.state else { return Ok(()) };
        match (frame.codec, &mut self.video, &mut self.audio) {
            (Codec::Vp8, Some(track), _) => {
                let timeline = track.timeline.get_or_insert_with(|| Timeline::new(clock, frame));
                let Some(time) = timeline.time(frame) else { return Ok(()) };
                // Those before the first key frame cannot be shown.
                let Ok(time) = u64::try_from(time - zero) else { return Ok(()) };
                track.file.write(Duration::from_nanos(time), frame)
            }
            (Codec::Opus, _, Some(track)) => {
                let timeline = track.timeline.get_or_insert_with(|| Timeline::new(clock, frame));
                timeline.time(frame).map_or(Ok(()), |time| track.file.write(time - zero, &frame.data))
            }
            _ => Ok(()),
        }
    }
}

fn is_key_picture(frame: &Frame) -> bool {
    frame.codec.kind() == Kind::Video && frame.keyframe
}

/// Gives the sender's time to the frames that came before its first report: the media time since then is known.
fn settle(frames: &mut VecDeque<Frame>) {
    for kind in [Kind::Video, Kind::Audio] {
        let of_kind = |frame: &&mut Frame| frame.codec.kind() == kind;
        let Some((wall, media)) = frames
            .iter()
            .filter(|frame| frame.codec.kind() == kind)
            .find_map(|frame| Some((frame.captured?, frame.presentation)))
        else {
            continue;
        };
        for frame in frames.iter_mut().filter(of_kind).take_while(|frame| frame.captured.is_none()) {
            frame.captured = wall.checked_sub(media.saturating_sub(frame.presentation));
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests;
