//! The peer behind `POST /clip`: it plays the bundled clip, over and over.

use std::time::Duration;

use taut::{Direction, Frame, Kind, MediaStream, MediaStreamTrack, PeerConnection, RtpTransceiverInit};
use tokio::time::{Instant, sleep_until};

use super::session::Refusal;
use crate::clip::{Clip, Part};

/// A player that is later than this has been asleep, as a laptop is: it goes on from now and hurries after nothing.
const ASLEEP: Duration = Duration::from_millis(500);

/// Plays to a client that has made an offer, on the first section of each kind.
pub(super) fn answer(pc: &PeerConnection) -> Result<(), Refusal> {
    let offered: Vec<Kind> =
        pc.transceivers().iter().filter(|t| !t.is_stopped()).map(|t| t.sender().kind()).collect();
    let tracks = Tracks::default();
    for track in [&tracks.video, &tracks.audio] {
        if offered.contains(&track.kind()) {
            let sender = pc.add_track(track, &[&tracks.stream]).map_err(Refusal::Setup)?;
            let transceivers = pc.transceivers();
            // Just added: there is a transceiver of this sender.
            for transceiver in transceivers.iter().filter(|transceiver| transceiver.sender() == sender) {
                transceiver.set_direction(Direction::SendOnly).map_err(Refusal::Setup)?;
            }
        }
    }
    tracks.play_on(pc.clone())
}

/// Offers to play to a client.
pub(super) fn offer(pc: &PeerConnection) -> Result<(), Refusal> {
    let tracks = Tracks::default();
    for track in [&tracks.audio, &tracks.video] {
        let init =
            RtpTransceiverInit::default().with_direction(Direction::SendOnly).with_stream(&tracks.stream);
        pc.add_transceiver(track, init).map_err(Refusal::Setup)?;
    }
    tracks.play_on(pc.clone())
}

/// Whether something can be played, once both descriptions are there.
pub(super) fn is_taken(pc: &PeerConnection) -> bool {
    let sends = |direction| matches!(direction, Some(Direction::SendOnly | Direction::SendRecv));
    pc.transceivers().iter().any(|transceiver| sends(transceiver.current_direction()))
}

/// What the clip is played on.
struct Tracks {
    video: MediaStreamTrack,
    audio: MediaStreamTrack,
    stream: MediaStream,
}

impl Default for Tracks {
    fn default() -> Self {
        let (video, audio) = (MediaStreamTrack::new(Kind::Video), MediaStreamTrack::new(Kind::Audio));
        let stream = MediaStream::new([video.clone(), audio.clone()]);
        Self { video, audio, stream }
    }
}

impl Tracks {
    /// Plays from the moment of the connection to its end.
    fn play_on(self, pc: PeerConnection) -> Result<(), Refusal> {
        let clip = Clip::bundled()?;
        tokio::spawn(async move {
            if pc.connected().await.is_ok() {
                tokio::select! {
                    () = self.play(Player::new(clip)) => {}
                    () = pc.closed() => {}
                }
            }
        });
        Ok(())
    }

    async fn play(&self, mut player: Player) {
        let mut begin = Instant::now();
        loop {
            tokio::select! {
                biased;
                request = self.video.keyframe_requested() => match request {
                    Some(()) => player.jump(),
                    None => return,
                },
                () = sleep_until(begin + player.due()) => {
                    let late = Instant::now().saturating_duration_since(begin + player.due());
                    begin += if late > ASLEEP { late } else { Duration::ZERO };
                    let Some(frame) = player.next() else { return };
                    let track = if frame.codec.kind() == Kind::Video { &self.video } else { &self.audio };
                    // A frame that nobody takes is lost, as on any network; the next ones ask for a key frame.
                    if track.write_frame(&frame).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// Which frame is next, and when. Time goes on evenly on both tracks; what is shown may jump to a key frame, and the sound
/// with it.
struct Player {
    clip: Clip,
    video: Position,
    audio: Position,
}

/// The next frame of a part: its number since the beginning, which makes its time, and how far ahead of that the
/// place in the clip is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    number: u32,
    ahead: usize,
}

impl Position {
    fn due(self, part: &Part) -> Duration {
        part.time(self.number)
    }

    fn place(self, part: &Part) -> usize {
        (self.number as usize + self.ahead) % part.len().max(1)
    }
}

impl Player {
    fn new(clip: Clip) -> Self {
        Self { clip, video: Position::default(), audio: Position::default() }
    }

    /// When the next frame is to be sent, from the beginning.
    fn due(&self) -> Duration {
        self.video.due(&self.clip.video).min(self.audio.due(&self.clip.audio))
    }

    /// The next frame; `None` only for a clip without any.
    fn next(&mut self) -> Option<Frame> {
        let (video, audio) = (self.video.due(&self.clip.video), self.audio.due(&self.clip.audio));
        let (part, position) = if video <= audio {
            (&self.clip.video, &mut self.video)
        } else {
            (&self.clip.audio, &mut self.audio)
        };
        let frame = part.frame(position.place(part))?;
        let frame = Frame { presentation: position.due(part), ..frame.clone() };
        position.number += 1;
        Some(frame)
    }

    /// Goes on with the next key frame of the clip, and the sound of that moment.
    fn jump(&mut self) {
        let (video, audio) = (&self.clip.video, &self.clip.audio);
        let place = self.video.place(video);
        let is_keyframe = |place: &usize| video.frame(*place).is_some_and(|frame| frame.keyframe);
        let Some(target) = (place..place + video.len()).find(is_keyframe) else { return };
        self.video.ahead = (self.video.ahead + target - place) % video.len();
        // The same distance in frames of sound, to the nearest.
        self.audio.ahead = (self.video.ahead * audio.len() + video.len() / 2) / video.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player() -> Player {
        Player::new(Clip::bundled().expect("the clip is readable"))
    }

    /// The next frames of a kind.
    fn next_of(player: &mut Player, kind: Kind, count: usize) -> Vec<Frame> {
        std::iter::from_fn(|| player.next()).filter(|frame| frame.codec.kind() == kind).take(count).collect()
    }

    /// Where in the clip a frame is.
    fn place(player: &Player, frame: &Frame) -> usize {
        let part = if frame.codec.kind() == Kind::Video { &player.clip.video } else { &player.clip.audio };
        part.find(&frame.data, 0).expect("a frame of the clip")
    }

    #[test]
    fn it_plays_thirty_pictures_a_second_for_ever_and_the_sound_keeps_step() {
        let mut player = player();
        let (mut video, mut audio, mut before) = (0u32, 0u32, Duration::ZERO);
        while player.due() < Duration::from_secs(25) {
            let due = player.due();
            let frame = player.next().expect("a frame");
            assert!(frame.presentation == due && due >= before);
            before = due;
            *if frame.codec.kind() == Kind::Video { &mut video } else { &mut audio } += 1;
        }
        assert!((749..=751).contains(&video) && (1249..=1251).contains(&audio), "{video} {audio}");
    }

    #[test]
    fn the_first_picture_is_a_key_frame_and_so_is_the_first_after_a_request() {
        let mut player = player();
        let first = next_of(&mut player, Kind::Video, 8);
        assert!(first[0].keyframe && !first[7].keyframe);
        player.jump();
        let next = next_of(&mut player, Kind::Video, 2);
        assert!(next[0].keyframe, "at once, and not when the clip has one");
        assert_eq!(place(&player, &next[0]), 60);
        assert_eq!(place(&player, &next[1]), 61, "and on from there");
        let step = next[0].presentation - first[7].presentation;
        assert!(step.abs_diff(Duration::from_secs(1) / 30) < Duration::from_millis(1), "{step:?}");
    }

    #[test]
    fn the_sound_jumps_with_the_picture_and_stays_even() {
        let mut player = player();
        let before = next_of(&mut player, Kind::Audio, 310).pop().expect("a frame");
        for _ in 0..7 {
            player.jump();
            next_of(&mut player, Kind::Video, 11);
        }
        let after = next_of(&mut player, Kind::Audio, 1).remove(0);
        assert_eq!((after.presentation - before.presentation).as_millis() % 20, 0);
        let picture = next_of(&mut player, Kind::Video, 1).remove(0);
        let sound = next_of(&mut player, Kind::Audio, 1).remove(0);
        let clip_time =
            |frame: &Frame, step: f64| place(&player, frame) as f64 * step - frame.presentation.as_secs_f64();
        let apart = (clip_time(&picture, 1.0 / 30.0) - clip_time(&sound, 0.02)).rem_euclid(10.0);
        assert!(apart.min(10.0 - apart) < 0.012, "{apart} s apart");
    }

    #[test]
    fn a_request_at_a_key_frame_repeats_nothing() {
        let mut player = player();
        player.jump();
        assert_eq!((player.video, player.audio), (Position::default(), Position::default()));
    }
}
