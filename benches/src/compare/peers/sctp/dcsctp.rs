//! dcsctp, of libwebrtc, in Rust. As published it formats every packet as text for its log, whether it is logged or
//! not; no feature turns that off, so its processor time is mostly that. Without it, it would be near rtc-sctp.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use dcsctp::api::{
    DcSctpSocket, Message, Options, PpId, SendOptions, SocketEvent, SocketState, SocketTime, StreamId,
};

use super::{Contender, MTU};
use crate::groups::sctp::Work;

pub(crate) struct Published;

pub(crate) struct End {
    socket: Box<dyn DcSctpSocket>,
    epoch: Option<Instant>,
    packets: VecDeque<Bytes>,
}

impl Contender for Published {
    const NAME: &'static str = "dcsctp as published";
    type End = End;

    fn pair(work: &Work) -> (End, End) {
        (End::new(work), End::new(work))
    }
}

impl End {
    fn new(work: &Work) -> Self {
        let mut options = Options { mtu: MTU, ..Options::default() };
        if let Some(window) = work.window {
            options.max_receiver_window_buffer_size = window;
        }
        // So that the ceiling of the application is what counts.
        options.max_send_buffer_size = 16 << 20;
        options.per_stream_send_queue_limit = 16 << 20;
        Self { socket: dcsctp::new_socket("", &options), epoch: None, packets: VecDeque::new() }
    }

    fn advance(&mut self, now: Instant) {
        let epoch = *self.epoch.get_or_insert(now);
        self.socket.advance_time(SocketTime::zero() + now.saturating_duration_since(epoch));
    }

    fn events(&mut self) {
        while let Some(event) = self.socket.poll_event() {
            if let SocketEvent::SendPacket(packet) = event {
                self.packets.push_back(Bytes::from(packet));
            }
        }
    }
}

impl super::End for End {
    fn connect(&mut self, now: Instant) {
        self.advance(now);
        self.socket.connect();
    }

    fn established(&self) -> bool {
        self.socket.state() == SocketState::Connected
    }

    fn handle_packet(&mut self, now: Instant, packet: Bytes) {
        self.advance(now);
        self.socket.handle_input(&packet);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn transmit(&mut self, _now: Instant) -> Option<Bytes> {
        if self.packets.is_empty() {
            self.events();
        }
        self.packets.pop_front()
    }

    fn timeout(&self) -> Option<Instant> {
        // Without a timer it is the end of all time.
        self.epoch?.checked_add(self.socket.poll_timeout() - SocketTime::zero())
    }

    fn write(&mut self, now: Instant, message: &Bytes) -> Result<bool, String> {
        self.advance(now);
        let message = Message::new(StreamId(0), PpId(53), message.to_vec());
        self.socket
            .send(message, &SendOptions::default())
            .map(|()| true)
            .map_err(|error| format!("{error:?}"))
    }

    fn buffered(&mut self) -> usize {
        self.socket.buffered_amount(StreamId(0))
    }

    fn read(&mut self, _now: Instant) -> Option<(usize, bool)> {
        self.socket.get_next_message().map(|message| (message.payload.len(), true))
    }
}
