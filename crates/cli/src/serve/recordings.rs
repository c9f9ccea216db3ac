//! Recordings of what clients send: files in a folder, written while a session runs, and kept to be fetched.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taut::{Frame, FrameTap, Kind, PeerConnection, Recorder, Recording, Wanted};
use tokio::sync::{mpsc, watch};

use super::disk::{Disk, Share};
use super::sessions::{OpenError, SessionId};

/// The most recordings that can be fetched; the oldest is forgotten, and its files with it unless they are in a folder that
/// the user named.
const MAX_KEPT: usize = 100;

/// The most frames that wait for the disk; further ones are lost to the recording.
const MAX_WAITING: usize = 512;

/// Why a recording cannot begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There is one.
    #[error("the session is being recorded")]
    Running,
    /// The others have taken what recordings may take.
    #[error("the recordings have reached --record-limit")]
    Full,
    /// There is nothing to record.
    #[error("the client sends neither audio nor video")]
    Nothing,
    /// The folder or a file cannot be made.
    #[error("the recording cannot be written: {0}")]
    Write(#[from] io::Error),
    /// The connection refused.
    #[error("the tracks cannot be read: {0}")]
    Tap(#[from] taut::Error),
}

/// How far a recording is.
#[derive(Clone, Debug)]
pub(super) enum Progress {
    /// It goes on.
    Running,
    /// Its files are complete.
    Complete(Recording),
    /// Something was wrong with the disk.
    Failed(String),
}

/// A recording.
#[derive(Clone, Debug)]
pub(super) struct Tape {
    session: SessionId,
    video: Option<Named>,
    audio: Option<Named>,
    stop: Arc<watch::Sender<bool>>,
    progress: watch::Receiver<Progress>,
    share: Arc<Share>,
}

/// A file, and what it is called in the folder and in addresses.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// All recordings; a cheap handle.
#[derive(Clone, Debug)]
pub(super) struct Recordings {
    folder: Arc<Folder>,
    disk: Disk,
    tapes: Arc<Mutex<VecDeque<Tape>>>,
}

/// Where the files go.
#[derive(Debug)]
enum Folder {
    /// As the user said; files stay.
    Named(PathBuf),
    /// A folder of this process, made when it is needed, and removed at the end.
    Temporary(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Named(path) | Self::Temporary(path) => path,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Self::Temporary(path) = self {
            let _ = fs::remove_dir_all(path); // It may never have been made.
        }
    }
}

impl Recordings {
    /// Recordings to a folder; without one, to a temporary folder that ends with the server. Together they take no more than
    /// `limit` octets; in the temporary folder the oldest go then.
    ///
    /// The temporary folder is named by chance, so that no other user of the machine can have made it before.
    pub(super) fn new(folder: Option<PathBuf>, limit: u64) -> Result<Self, OpenError> {
        let folder = match folder {
            Some(folder) => Folder::Named(folder),
            None => {
                let name = format!("taut-recordings-{}", SessionId::draw()?);
                Folder::Temporary(std::env::temp_dir().join(name))
            }
        };
        Ok(Self { folder: Arc::new(folder), disk: Disk::new(limit), tapes: Arc::default() })
    }

    /// Begins to record what the client of a session sends, its first track of each kind.
    pub(super) fn start(&self, session: SessionId, pc: &PeerConnection) -> Result<Tape, Error> {
        if self.running(session).is_some() {
            return Err(Error::Running);
        }
        let (video, audio) = (tap(pc, Kind::Video)?, tap(pc, Kind::Audio)?);
        if video.is_none() && audio.is_none() {
            return Err(Error::Nothing);
        }
        let share = self.share().ok_or(Error::Full)?;
        let begun = self.begin(session, video, audio, share.clone());
        if begun.is_err() {
            share.give_back();
        }
        begun
    }

    /// Makes the files, and writes what the taps give.
    fn begin(
        &self,
        session: SessionId,
        video: Option<Arc<FrameTap>>,
        audio: Option<Arc<FrameTap>>,
        share: Arc<Share>,
    ) -> Result<Tape, Error> {
        make_folder(&self.folder)?;
        // Named by chance, as the sessions are: who has the name may fetch the file.
        let id = SessionId::draw().map_err(|error| Error::Write(io::Error::other(error)))?;
        let named = |is_there: bool, extension: &str| {
            let name = format!("{id}.{extension}");
            is_there.then(|| Named { path: self.folder.path().join(&name), name })
        };
        let (stop, stopped) = watch::channel(false);
        let (report, progress) = watch::channel(Progress::Running);
        let tape = Tape {
            session,
            video: named(video.is_some(), "ivf"),
            audio: named(audio.is_some(), "ogg"),
            stop: Arc::new(stop),
            progress,
            share: share.clone(),
        };
        if !self.keep(tape.clone()) {
            return Err(Error::Running);
        }
        let create =
            |named: &Option<Named>| named.as_ref().map(|named| File::create_new(&named.path)).transpose();
        match create(&tape.video).and_then(|video| Ok((video, create(&tape.audio)?))) {
            Ok(files) => run(video, audio, files, share, (stopped, report)),
            Err(error) => {
                report.send_replace(Progress::Failed(error.to_string()));
                return Err(error.into());
            }
        }
        Ok(tape)
    }

    /// The recording of a session that goes on.
    pub(super) fn running(&self, session: SessionId) -> Option<Tape> {
        self.tapes().iter().find(|tape| tape.session == session && tape.is_running()).cloned()
    }

    /// The file of this name, and the recording that it belongs to.
    pub(super) fn file(&self, name: &str) -> Option<(Tape, Named)> {
        let find = |tape: &Tape| tape.files().find(|file| file.name == name).cloned();
        self.tapes().iter().find_map(|tape| Some((tape.clone(), find(tape)?)))
    }

    /// Waits until all recordings are complete, of sessions that have ended.
    pub(super) async fn complete(&self) {
        let all: Vec<Tape> = self.tapes().iter().cloned().collect();
        for tape in all {
            tape.end().await;
        }
    }

    fn is_temporary(&self) -> bool {
        matches!(*self.folder, Folder::Temporary(_))
    }

    /// A share of the disk for one more recording. In the temporary folder the oldest recordings make place for it.
    fn share(&self) -> Option<Arc<Share>> {
        let mut tapes = self.tapes();
        while self.is_temporary() && self.disk.is_short() && self.forget_oldest(&mut tapes) {}
        self.disk.share()
    }

    /// Remembers a recording; false if its session has one already, whatever was seen before.
    fn keep(&self, tape: Tape) -> bool {
        let mut tapes = self.tapes();
        if tapes.iter().any(|other| other.session == tape.session && other.is_running()) {
            return false;
        }
        tapes.push_back(tape);
        while tapes.len() > MAX_KEPT && self.forget_oldest(&mut tapes) {}
        true
    }

    /// Forgets the oldest recording that has ended, and its files with it unless they are the user's; false without one.
    fn forget_oldest(&self, tapes: &mut VecDeque<Tape>) -> bool {
        let oldest = tapes.iter().position(|tape| !tape.is_running());
        let Some(oldest) = oldest.and_then(|oldest| tapes.remove(oldest)) else { return false };
        if self.is_temporary() {
            oldest.files().for_each(|file| drop(fs::remove_file(&file.path)));
            oldest.share.give_back();
        }
        true
    }

    fn tapes(&self) -> MutexGuard<'_, VecDeque<Tape>> {
        self.tapes.lock().unwrap_or_else(PoisonError::into_inner) // The list is whole between any two calls on it.
    }
}

impl Tape {
    pub(super) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    pub(super) fn video(&self) -> Option<&Named> {
        self.video.as_ref()
    }

    pub(super) fn audio(&self) -> Option<&Named> {
        self.audio.as_ref()
    }

    fn files(&self) -> impl Iterator<Item = &Named> {
        self.video.iter().chain(&self.audio)
    }

    fn is_running(&self) -> bool {
        matches!(*self.progress.borrow(), Progress::Running)
    }

    /// Ends it, and waits until its files are complete.
    pub(super) async fn end(&self) -> Progress {
        self.stop.send_replace(true);
        let mut progress = self.progress.clone();
        let _ = progress.wait_for(|progress| !matches!(progress, Progress::Running)).await;
        self.progress()
    }
}

/// Reads the first track of a kind that the client sends.
fn tap(pc: &PeerConnection, kind: Kind) -> Result<Option<Arc<FrameTap>>, taut::Error> {
    let receives =
        |direction| matches!(direction, Some(taut::Direction::RecvOnly | taut::Direction::SendRecv));
    let transceivers = pc.transceivers();
    let found = transceivers.iter().find(|t| t.receiver().kind() == kind && receives(t.current_direction()));
    let track = found.and_then(|transceiver| transceiver.receiver().track());
    track.map(|track| track.tap().map(Arc::new)).transpose()
}

fn make_folder(folder: &Folder) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    if matches!(folder, Folder::Temporary(_)) {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder.path())
}

/// Hands the frames of the taps to a thread that writes, until they or the recording end.
fn run(
    video: Option<Arc<FrameTap>>,
    audio: Option<Arc<FrameTap>>,
    files: (Option<File>, Option<File>),
    share: Arc<Share>,
    (stopped, report): (watch::Receiver<bool>, watch::Sender<Progress>),
) {
    let (to_disk, frames) = mpsc::channel(MAX_WAITING);
    for tap in video.iter().chain(&audio) {
        tokio::spawn(read(tap.clone(), to_disk.clone(), stopped.clone()));
    }
    tokio::task::spawn_blocking(move || {
        let progress = match write(frames, files, video.as_deref(), &share) {
            Ok(recording) => Progress::Complete(recording),
            Err(error) => Progress::Failed(error.to_string()),
        };
        drop((video, audio));
        report.send_replace(progress);
    });
}

async fn read(tap: Arc<FrameTap>, to_disk: mpsc::Sender<Frame>, mut stopped: watch::Receiver<bool>) {
    let mut lost = false;
    loop {
        let frame = tokio::select! {
            frame = tap.recv() => frame,
            _ = stopped.wait_for(|stopped| *stopped) => None,
        };
        let Some(mut frame) = frame else { return };
        frame.contiguous &= !lost;
        match to_disk.try_send(frame) {
            Ok(()) => lost = false,
            Err(mpsc::error::TrySendError::Full(_)) => lost = true,
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

fn write(
    mut frames: mpsc::Receiver<Frame>,
    (video, audio): (Option<File>, Option<File>),
    keyframes: Option<&FrameTap>,
    share: &Share,
) -> io::Result<Recording> {
    let mut recorder: Recorder<BufWriter<File>> =
        Recorder::new(video.map(BufWriter::new), audio.map(BufWriter::new));
    while let Some(frame) = frames.blocking_recv() {
        if !share.take(frame.data.len() as u64) {
            break;
        }
        if let (Wanted::KeyFrame, Some(tap)) = (recorder.record(&frame)?, keyframes) {
            tap.request_keyframe();
        }
    }
    recorder.finish()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use std::time::{Duration, Instant};

    use taut::Codec;

    use super::super::disk::OVERHEAD;
    use super::*;

    /// A recording that is over, with a file in the folder.
    fn tape(recordings: &Recordings, number: usize) -> Tape {
        let name = format!("{number}.ivf");
        let path = recordings.folder.path().join(&name);
        File::create_new(&path).expect("a new file");
        let (stop, _) = watch::channel(false);
        let (_, progress) = watch::channel(Progress::Complete(Recording::default()));
        let session = SessionId::draw().expect("randomness");
        let (video, stop) = (Some(Named { name, path }), Arc::new(stop));
        let share = recordings.disk.share().expect("room");
        Tape { session, video, audio: None, stop, progress, share }
    }

    /// A folder that ends with its test.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Self {
            let name = format!("taut-test-{}", SessionId::draw().expect("randomness"));
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).expect("a folder");
            Self(path)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_oldest_is_forgotten_and_its_files_stay_only_where_the_user_wanted_them() {
        for (kind, left) in [(Folder::Temporary as fn(_) -> _, MAX_KEPT), (Folder::Named, MAX_KEPT + 20)] {
            let place = Place::new();
            let path = &place.0;
            let folder = Arc::new(kind(path.clone()));
            let recordings = Recordings { folder, disk: Disk::new(u64::MAX), tapes: Arc::default() };
            assert!((0..MAX_KEPT + 20).all(|number| recordings.keep(tape(&recordings, number))));
            assert_eq!(recordings.tapes().len(), MAX_KEPT);
            assert!(recordings.file("19.ivf").is_none() && recordings.file("20.ivf").is_some());
            assert_eq!(fs::read_dir(path).expect("the folder").count(), left);
            drop(recordings);
            assert_eq!(path.exists(), left > MAX_KEPT, "a temporary folder goes with the server");
        }
    }

    #[test]
    fn what_is_full_takes_no_more_and_a_temporary_folder_loses_the_oldest() {
        for (kind, left) in [(Folder::Temporary as fn(_) -> _, 1..8), (Folder::Named, 8..9)] {
            let place = Place::new();
            let folder = Arc::new(kind(place.0.clone()));
            let recordings = Recordings { folder, disk: Disk::new(8 * OVERHEAD), tapes: Arc::default() };
            let mut number = 0;
            while number < 20
                && recordings.share().is_some_and(|share| {
                    share.give_back();
                    true
                })
            {
                assert!(recordings.keep(tape(&recordings, number)));
                number += 1;
            }
            assert_eq!(number, if recordings.is_temporary() { 20 } else { 8 });
            assert!(left.contains(&fs::read_dir(&place.0).expect("the folder").count()));
        }
    }

    #[test]
    fn two_requests_at_once_begin_one_recording() {
        let place = Place::new();
        let folder = Arc::new(Folder::Temporary(place.0.clone()));
        let recordings = Recordings { folder, disk: Disk::new(u64::MAX), tapes: Arc::default() };
        let (first, mut second) = (tape(&recordings, 0), tape(&recordings, 1));
        let (report, progress) = watch::channel(Progress::Running);
        second.session = first.session;
        assert!(recordings.keep(Tape { progress, ..first }));
        assert!(!recordings.keep(second.clone()));
        report.send_replace(Progress::Complete(Recording::default()));
        assert!(recordings.keep(second));
    }

    #[test]
    fn a_temporary_folder_cannot_be_foreseen() {
        let new = || Recordings::new(None, 0).expect("randomness");
        let (one, other) = (new(), new());
        assert_ne!(one.folder.path(), other.folder.path());
        make_folder(&one.folder).expect("a folder");
        let path = one.folder.path().to_owned();
        drop(other);
        assert!(path.exists());
        drop(one);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_recording_ends_at_its_limit() {
        let place = Place::new();
        let (to_disk, frames) = mpsc::channel(MAX_WAITING);
        for number in 0..100 {
            let mut frame = Frame::new(Codec::Vp8, vec![0x10; 1_000], Duration::from_millis(number * 33));
            frame.keyframe = true;
            frame.received = Some(Instant::now());
            to_disk.try_send(frame).expect("room");
        }
        let video = File::create(place.0.join("video.ivf")).expect("a file");
        let share = Disk::new(OVERHEAD + 50_000).share().expect("room");
        let write = tokio::task::spawn_blocking(move || write(frames, (Some(video), None), None, &share));
        assert_eq!(write.await.expect("no panic").expect("no error").pictures, 50);
        assert!(fs::metadata(place.0.join("video.ivf")).expect("the file").len() < 52_000);
        assert!(to_disk.is_closed(), "nobody waits for the rest");
    }
}
