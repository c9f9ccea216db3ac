//! Messages of a data channel that are written and read in parts, so that they are never in memory as a whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use taut_peer::{ChannelState, MessageKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::data_channel::{DataChannel, Offer, channel_closed, io_error};
use crate::error::{Error, ErrorKind};

/// The most octets that [`AsyncWrite`] takes at once.
const WRITE_MAX: usize = 64 << 10;

/// A message that is written in parts, from [`DataChannel::send_stream`].
///
/// It ends with [`finish`](Self::finish), or with `shutdown` as an `AsyncWrite`. One that is dropped before is given up: the
/// other side never sees it whole.
#[derive(Debug)]
pub struct MessageWriter {
    channel: DataChannel,
    ended: bool,
}

/// A message that is read in parts, from [`DataChannel::recv_stream`]. What is not read of it is thrown away when it is
/// dropped.
#[derive(Debug)]
pub struct MessageReader {
    parts: Parts,
    kind: MessageKind,
    /// What was taken from the channel and not from here.
    rest: Bytes,
    ended: bool,
}

/// As long as there is one, messages of the channel are read in parts.
#[derive(Debug)]
struct Parts(DataChannel);

impl Parts {
    fn of(channel: &DataChannel) -> Self {
        let id = channel.core().id;
        channel.connection().with(|state, now| state.peer.read_in_parts(now, id, true));
        Self(channel.clone())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let id = self.0.core().id;
        self.0.connection().with(|state, now| state.peer.read_in_parts(now, id, false));
        self.0.core().readable.fire();
    }
}

impl DataChannel {
    /// Begins a message that is written in parts. Waits until the channel is open and what was sent before has room; until
    /// the message ends, other sends on the channel wait. While the other side does not do I-DATA, a message that is
    /// written slowly holds up all channels.
    ///
    /// Cancel-safe: nothing was begun.
    ///
    /// # Errors
    ///
    /// `InvalidState` once the channel is closing or closed.
    pub async fn send_stream(&self, kind: MessageKind) -> Result<MessageWriter, Error> {
        self.opened().await?;
        self.attempt_until_taken(|| self.attempt(|peer, now, id| peer.begin_message(now, id, kind))).await?;
        Ok(MessageWriter { channel: self.clone(), ended: false })
    }

    /// The next message, to be read in parts as it comes, or `None` once the channel is closed and all its messages were
    /// taken. One reader at a time: [`recv`](Self::recv) goes on when this one is dropped.
    ///
    /// Cancel-safe: a message is either returned or still there.
    pub async fn recv_stream(&self) -> Option<MessageReader> {
        let parts = Parts::of(self);
        let first = || {
            let mut state = self.connection().lock();
            loop {
                match state.peer.poll_part(self.core().id) {
                    // The rest of one whose reader was dropped.
                    Some(part) if !part.begin => continue,
                    Some(part) => return Some(Some(part)),
                    None if self.state_in(&state) == ChannelState::Closed => return Some(None),
                    None => return None,
                }
            }
        };
        let first = self.core().readable.wait_for(first).await?;
        self.announce(first.data.len());
        Some(MessageReader { parts, kind: first.kind, rest: first.data, ended: first.end })
    }
}

impl MessageWriter {
    /// Adds to the message. Waits while more than 1 MiB waits in the channel's buffer.
    ///
    /// Cancel-safe: a part whose future was dropped before it returned was not taken.
    ///
    /// # Errors
    ///
    /// `InvalidState` once the channel is closing or closed, or the message given up because its time ran out; `Type` if
    /// the message would be larger than the other side takes. Then the part was not taken.
    pub async fn write(&mut self, part: impl Into<Bytes>) -> Result<(), Error> {
        let part = part.into();
        self.channel.attempt_until_taken(|| self.append(&part)).await
    }

    fn append(&self, part: &Bytes) -> Result<(), Offer> {
        self.channel.attempt(|peer, now, id| peer.append_message(now, id, part.clone()))
    }

    /// Ends the message.
    ///
    /// Cancel-safe: a message whose future was dropped before it returned is given up.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub async fn finish(mut self) -> Result<(), Error> {
        let channel = self.channel.clone();
        channel.attempt_until_taken(|| self.end()).await
    }

    fn end(&mut self) -> Result<(), Offer> {
        self.channel.attempt(|peer, now, id| peer.end_message(now, id))?;
        self.ended = true;
        Ok(())
    }

    fn poll(
        &mut self,
        cx: &Context<'_>,
        mut f: impl FnMut(&mut Self) -> Result<(), Offer>,
    ) -> Poll<io::Result<()>> {
        let channel = self.channel.clone();
        channel.core().writable.poll_for(cx, || match f(self) {
            Ok(()) => Some(Ok(())),
            Err(Offer::Full) => None,
            Err(Offer::Refused(error)) => Some(Err(io_error(error))),
        })
    }
}

impl Drop for MessageWriter {
    fn drop(&mut self) {
        if !self.ended {
            let id = self.channel.core().id;
            // There is nothing to give up once the channel is closed.
            let _ = self.channel.connection().with(|state, now| state.peer.cancel_message(now, id));
        }
    }
}

impl AsyncWrite for MessageWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let length = octets.len().min(WRITE_MAX);
        let part = Bytes::copy_from_slice(octets.get(..length).unwrap_or_default());
        ready!(self.poll(cx, |writer| writer.append(&part)))?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended { Poll::Ready(Ok(())) } else { self.poll(cx, Self::end) }
    }
}

impl MessageReader {
    /// What the octets are. A character of a text may be cut between two parts.
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The next part, never an empty one; `None` after the last.
    ///
    /// Cancel-safe: a part is either returned or still there.
    ///
    /// # Errors
    ///
    /// `Operation` if the other side gave the message up or it grew over the announced size, `InvalidState` if the channel
    /// closed before its end: what was read of it is of no use.
    pub async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        let channel = self.parts.0.clone();
        channel.core().readable.wait_for(|| self.next_part()).await
    }

    fn next_part(&mut self) -> Option<Result<Option<Bytes>, Error>> {
        loop {
            if !self.rest.is_empty() {
                return Some(Ok(Some(std::mem::take(&mut self.rest))));
            }
            if self.ended {
                return Some(Ok(None));
            }
            let channel = &self.parts.0;
            let mut state = channel.connection().lock();
            let Some(part) = state.peer.poll_part(channel.core().id) else {
                let closed = channel.state_in(&state) == ChannelState::Closed;
                return closed.then(|| Err(channel_closed()));
            };
            drop(state);
            channel.announce(part.data.len());
            if part.abandoned {
                let text = "the other side gave the message up, or it is too large";
                return Some(Err(Error::new(ErrorKind::Operation, text)));
            }
            self.ended = part.end;
            self.rest = part.data;
        }
    }
}

/// A message that ends too early is an error of reading.
fn read_error(error: Error) -> io::Error {
    match error.kind() {
        ErrorKind::InvalidState => io::Error::new(io::ErrorKind::UnexpectedEof, error),
        _ => io_error(error),
    }
}

impl AsyncRead for MessageReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let channel = self.parts.0.clone();
        let part = ready!(channel.core().readable.poll_for(cx, || self.next_part())).map_err(read_error)?;
        if let Some(mut part) = part {
            buf.put_slice(&part.split_to(part.len().min(buf.remaining())));
            self.rest = part;
        }
        Poll::Ready(Ok(()))
    }
}
