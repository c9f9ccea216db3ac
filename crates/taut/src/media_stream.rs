//! Streams: tracks that belong together (W3C Media Capture and Streams, `MediaStream`, section 4.2).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use taut_peer::{Kind, Transceiver};

use crate::connection::{Handle, State};
use crate::ids;
use crate::track::MediaStreamTrack;

/// A set of tracks that are played together. Clones are handles of the same stream.
#[derive(Clone)]
pub struct MediaStream {
    core: Arc<StreamCore>,
}

/// A stream without its handles.
#[derive(Debug)]
pub(crate) struct StreamCore {
    id: String,
    tracks: Mutex<Vec<MediaStreamTrack>>,
}

impl MediaStream {
    /// A stream of these tracks.
    pub fn new(tracks: impl IntoIterator<Item = MediaStreamTrack>) -> Self {
        let stream = Self::with_id(ids::uuid());
        tracks.into_iter().for_each(|track| stream.add_track(track));
        stream
    }

    fn with_id(id: String) -> Self {
        Self { core: Arc::new(StreamCore { id, tracks: Mutex::default() }) }
    }

    /// The stream of the other side with this id: the one that the application holds, or a new one, with all tracks
    /// that the other side has put into it.
    pub(crate) fn remote(state: &mut State, id: &str, connection: &Handle) -> Self {
        let stream = match state.streams.get(id).and_then(Weak::upgrade) {
            Some(core) => Self { core },
            None => {
                let stream = Self::with_id(id.to_owned());
                state.streams.retain(|_, stream| stream.strong_count() > 0);
                state.streams.insert(id.to_owned(), Arc::downgrade(&stream.core));
                stream
            }
        };
        let is_member =
            |transceiver: &&Transceiver| transceiver.receiver_streams().iter().any(|name| name == id);
        let members: Vec<_> = state.peer.transceivers().filter(is_member).map(Transceiver::id).collect();
        for track in members.into_iter().filter_map(|transceiver| state.receiver(transceiver)) {
            stream.add_track(MediaStreamTrack::remote(track, connection.clone()));
        }
        stream
    }

    /// The id, which the other side sees.
    pub fn id(&self) -> &str {
        &self.core.id
    }

    /// The tracks, in the order in which they were added.
    pub fn tracks(&self) -> Vec<MediaStreamTrack> {
        self.lock().clone()
    }

    /// The tracks of one kind.
    pub fn tracks_of(&self, kind: Kind) -> Vec<MediaStreamTrack> {
        self.lock().iter().filter(|track| track.kind() == kind).cloned().collect()
    }

    /// The track with this id.
    pub fn track(&self, id: &str) -> Option<MediaStreamTrack> {
        self.lock().iter().find(|track| track.id() == id).cloned()
    }

    /// Adds a track, if the stream does not have it.
    pub fn add_track(&self, track: MediaStreamTrack) {
        let mut tracks = self.lock();
        if !tracks.contains(&track) {
            tracks.push(track);
        }
    }

    /// Removes a track.
    pub fn remove_track(&self, track: &MediaStreamTrack) {
        let removed: Vec<_> = self.lock().extract_if(.., |old| old == track).collect();
        // A handle of a connection is dropped only after the lock.
        drop(removed);
    }

    /// Ends all tracks.
    pub fn stop(&self) {
        self.tracks().iter().for_each(MediaStreamTrack::stop);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<MediaStreamTrack>> {
        // The list is consistent after every statement.
        self.core.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for MediaStream {
    /// True for handles of the same stream.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }
}

impl Eq for MediaStream {}

impl std::fmt::Debug for MediaStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaStream").field("id", &self.id()).field("tracks", &self.tracks()).finish()
    }
}
