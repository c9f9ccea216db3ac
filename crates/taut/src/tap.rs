//! The read-only tap: frames of a track whose packets somebody else reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use taut_peer::{Frame, Mode, Peer};

use crate::connection::Handle;
use crate::error::{Error, ErrorKind};
use crate::track::RemoteTrack;

/// The frames of a remote track, beside its packets; from [`MediaStreamTrack::tap`](crate::MediaStreamTrack::tap). Dropping
/// it ends the tap. It counts as a handle of the connection.
pub struct FrameTap {
    track: Arc<RemoteTrack>,
    connection: Handle,
}

impl FrameTap {
    pub(crate) fn new(track: Arc<RemoteTrack>, connection: Handle) -> Result<Self, Error> {
        if track.tapped.swap(true, Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::InvalidState, "the track has a tap"));
        }
        Ok(Self { track, connection })
    }

    /// The next whole frame, or `None` once the track has ended. Frames that are not read are dropped, the oldest first;
    /// the next one then is not [`contiguous`](Frame::contiguous).
    ///
    /// Cancel-safe: a frame is either returned or still there.
    pub async fn recv(&self) -> Option<Frame> {
        self.track.next(&self.connection, Mode::Both, Peer::poll_frame).await
    }

    /// Asks the other side for a key frame. Requests in quick succession are merged.
    pub fn request_keyframe(&self) {
        self.connection.with(|state, now| state.peer.request_keyframe(now, self.track.transceiver()));
    }
}

impl Drop for FrameTap {
    fn drop(&mut self) {
        self.track.tapped.store(false, Ordering::SeqCst);
        let mut state = self.connection.lock();
        state.peer.set_receive_mode(self.track.transceiver(), Mode::Packets);
        while state.peer.poll_frame(self.track.transceiver()).is_some() {}
    }
}

impl std::fmt::Debug for FrameTap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameTap").finish_non_exhaustive()
    }
}
