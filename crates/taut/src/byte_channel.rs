//! Data channels as the traits of others: a stream of messages and a sink for them, and a stream of octets.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use taut_peer::{ChannelState, Message};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::data_channel::{DataChannel, Offer, SEND_LIMIT, channel_closed, io_error};
use crate::error::Error;

/// The largest message that is made of what is written: every peer takes it.
const WRITE_MAX: usize = 16 << 10;

/// As [`recv`](DataChannel::recv).
impl Stream for DataChannel {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.core().readable.poll_for(cx, || self.next_message())
    }
}

/// As [`send`](DataChannel::send). Each handle of a channel is a sink of its own, and keeps at most one message that the
/// channel has no room for. Flushing waits until the channel has taken it, closing closes the channel and waits until what
/// was sent has gone.
impl Sink<Message> for DataChannel {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_pending(cx))?;
        self.core().writable.poll_for(cx, || match self.ready_state() {
            ChannelState::Closing | ChannelState::Closed => Some(Err(channel_closed())),
            _ if self.buffered_amount() <= SEND_LIMIT => Some(Ok(())),
            _ => {
                self.connection().lock().full.insert(self.core().id);
                None
            }
        })
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        match self.offer(&message) {
            Ok(()) => Ok(()),
            Err(Offer::Full) => {
                self.pending = Some(message);
                Ok(())
            }
            Err(Offer::Refused(error)) => Err(error),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_pending(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_pending(cx))?;
        self.poll_closed(cx).map(Ok)
    }
}

impl DataChannel {
    /// Sends the message that waits in this handle.
    fn poll_pending(&mut self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        let Some(message) = self.pending.take() else { return Poll::Ready(Ok(())) };
        let result = self.core().writable.poll_for(cx, || match self.offer(&message) {
            Ok(()) => Some(Ok(())),
            Err(Offer::Full) => None,
            Err(Offer::Refused(error)) => Some(Err(error)),
        });
        if result.is_pending() {
            self.pending = Some(message);
        }
        result
    }

    fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        if matches!(self.ready_state(), ChannelState::Connecting | ChannelState::Open) {
            self.close();
        }
        self.core().changed.poll_for(cx, || (self.ready_state() == ChannelState::Closed).then_some(()))
    }

    /// A stream of octets: what is written goes out as binary messages of at most 16 KiB, and what the other side sends is
    /// read without its borders. Only for a channel that is reliable and ordered are they the same octets.
    pub fn into_bytes(self) -> ByteChannel {
        ByteChannel { channel: self, unread: Bytes::new() }
    }
}

/// A data channel as a stream of octets, from [`DataChannel::into_bytes`]. It reads to its end when the channel is closed,
/// and gives `UnexpectedEof` when the connection ends before, since then some may be missing. Shutting it down closes the
/// channel and waits until what was written has gone. Writing to a closed one gives `BrokenPipe`.
#[derive(Debug)]
pub struct ByteChannel {
    channel: DataChannel,
    unread: Bytes,
}

impl ByteChannel {
    /// The channel again. What was read of a message and not handed out is lost.
    pub fn into_inner(self) -> DataChannel {
        self.channel
    }
}

/// The connection ended, and not the channel.
fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before the data channel was closed")
}

impl AsyncRead for ByteChannel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.channel).poll_next(cx)) {
                Some(message) => self.unread = message.data,
                None if self.channel.closed_cleanly() => return Poll::Ready(Ok(())),
                None => return Poll::Ready(Err(cut_off())),
            }
        }
        let length = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteChannel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if octets.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut channel = Pin::new(&mut self.channel);
        ready!(channel.as_mut().poll_ready(cx)).map_err(io_error)?;
        let length = octets.len().min(WRITE_MAX);
        let message = Bytes::copy_from_slice(octets.get(..length).unwrap_or_default());
        channel.start_send(message.into()).map_err(io_error)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.channel).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.channel).poll_close(cx).map_err(io_error)
    }
}
