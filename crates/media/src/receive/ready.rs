//! What waits for the application.

use std::collections::VecDeque;

use taut_rtp::Packet;

use crate::frame::Frame;
use crate::limits::{MAX_READY_FRAMES, MAX_READY_OCTETS, MAX_READY_PACKETS};

/// Frames and packets in order, for the application to fetch.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    frames: VecDeque<Frame>,
    packets: VecDeque<Packet>,
    octets: usize,
    news: News,
}

/// Which of them the application was not told of.
#[derive(Debug, Clone, Copy, Default)]
struct News {
    frames: bool,
    packets: bool,
}

impl Ready {
    pub(crate) fn push_frame(&mut self, mut frame: Frame) {
        let octets = frame.data.len();
        while self.is_full(octets) || self.frames.len() >= MAX_READY_FRAMES {
            if self.poll_frame().is_none() && self.poll_packet().is_none() {
                break;
            }
            match self.frames.front_mut() {
                Some(next) => next.contiguous = false,
                None => frame.contiguous = false,
            }
        }
        self.octets += octets;
        self.frames.push_back(frame);
        self.news.frames = true;
    }

    pub(crate) fn push_packet(&mut self, packet: Packet) {
        let octets = packet.payload.len();
        while self.is_full(octets) || self.packets.len() >= MAX_READY_PACKETS {
            if self.poll_packet().is_none() && self.poll_frame().is_none() {
                break;
            }
        }
        self.octets += octets;
        self.packets.push_back(packet);
        self.news.packets = true;
    }

    pub(crate) fn poll_frame(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.octets -= frame.data.len(); // added by push_frame
        Some(frame)
    }

    pub(crate) fn poll_packet(&mut self) -> Option<Packet> {
        let packet = self.packets.pop_front()?;
        self.octets -= packet.payload.len(); // added by push_packet
        Some(packet)
    }

    /// True once after frames came.
    pub(crate) fn take_frame_news(&mut self) -> bool {
        std::mem::take(&mut self.news.frames)
    }

    /// True once after packets came.
    pub(crate) fn take_packet_news(&mut self) -> bool {
        std::mem::take(&mut self.news.packets)
    }

    fn is_full(&self, more: usize) -> bool {
        self.octets + more > MAX_READY_OCTETS
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::config::Codec;

    #[test]
    fn the_oldest_frame_gives_way_and_the_gap_is_told() {
        let mut ready = Ready::default();
        for i in 0..MAX_READY_FRAMES as u64 + 3 {
            ready.push_frame(Frame::new(Codec::Vp8, Bytes::from_static(b"x"), Duration::from_secs(i)));
        }
        assert!(ready.take_frame_news() && !ready.take_frame_news());
        let first = ready.poll_frame().unwrap();
        assert_eq!((first.presentation, first.contiguous), (Duration::from_secs(3), false));
        assert!(ready.poll_frame().unwrap().contiguous);
    }

    #[test]
    fn octets_are_bounded_too() {
        let mut ready = Ready::default();
        for _ in 0..40 {
            ready.push_frame(Frame::new(Codec::Vp8, vec![0; 1 << 20], Duration::ZERO));
            ready.push_packet(Packet { payload: Bytes::from(vec![0; 1 << 16]), ..Packet::default() });
            assert!(ready.octets <= MAX_READY_OCTETS);
        }
        while ready.poll_frame().is_some() || ready.poll_packet().is_some() {}
        assert_eq!(ready.octets, 0);
    }
}
