//! A session with receivers and senders: RTP, RTCP and commands of any kind.
#![no_main]

use std::time::{Duration, Instant};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use taut_fuzz::{Machine, OPERATIONS, drain, settle, time};
use taut_media::{
    Codec, CodecConfig, Config, Frame, Kind, Mode, ReceiverConfig, ReceiverId, SenderConfig, SenderId,
    Session,
};
use taut_rtp::{Extensions, Packet, PayloadType, SequenceNumber, Ssrc};
use taut_sansio::rng::Rng;
use taut_sansio::time::WallClock;

const IDS: [u32; 3] = [0, 1, 2];

struct Side(Session);

impl Machine for Side {
    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn poll(&mut self, now: Instant) {
        let mut out = Vec::new();
        drain(|| self.0.poll_rtcp(now, 1_200, &mut out).is_some());
        drain(|| {
            out.clear();
            let sent = self.0.poll_rtp(now, 1_200, &mut out);
            assert!(out.len() <= 1_200);
            assert_eq!(sent.unwrap_or(0), out.len());
            assert!(
                out.is_empty() || Packet::parse(Bytes::copy_from_slice(&out)).is_ok(),
                "it does not parse"
            );
            sent.is_some()
        });
        drain(|| self.0.poll_event().is_some());
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }
}

fn codecs(kind: Kind) -> Vec<CodecConfig> {
    match kind {
        Kind::Video => vec![CodecConfig::new(Codec::Vp8, 96).with_rtx(97).with_nack(true).with_pli(true)],
        Kind::Audio => vec![CodecConfig::new(Codec::Opus, 111)],
    }
}

fn session(flags: u8, now: Instant) -> Side {
    let clock = WallClock { instant: now, unix: Duration::from_secs(1_700_000_000) };
    let config = Config::default().with_cname("fuzz").with_reduced_size(flags & 1 != 0);
    let mut session = Session::new(config, clock, Rng::from_u64(1));
    for (id, kind) in [(0, Kind::Video), (1, Kind::Audio)] {
        let mode = if flags & 2 == 0 { Mode::Frames } else { Mode::Packets };
        let mut receiver = ReceiverConfig::new(kind).with_codecs(codecs(kind)).with_mode(mode);
        if flags & 4 != 0 {
            receiver = receiver.with_ssrcs(vec![(id, Some(id + 10))]);
        }
        session.set_receiver(now, ReceiverId(id), receiver);
        let mut sender = SenderConfig::new(kind, 20 + id).with_codecs(codecs(kind)).with_mid(1, "0");
        if flags & 8 != 0 {
            sender = sender.with_rtx_ssrc(30 + id);
        }
        session.set_sender(now, SenderId(id), sender);
        if flags & 16 != 0 {
            let frame = Frame::new(codecs(kind)[0].codec, vec![0; 3_000 >> (id * 2)], Duration::ZERO);
            let _ = session.send_frame(now, SenderId(id), frame.with_keyframe(true));
        }
    }
    Side(session)
}

/// A packet from an argument and octets: the first five are sequence number, time and source.
fn packet(kind: Kind, argument: u16, octets: &[u8]) -> Packet {
    let (head, payload) = octets.split_at(octets.len().min(5));
    let at = |n: usize| head.get(n).copied().unwrap_or(0);
    let payload_types = if kind == Kind::Video { [96, 97, 96, 98] } else { [111, 111, 111, 0] };
    Packet {
        marker: argument & 4 != 0,
        payload_type: PayloadType::new(payload_types[usize::from(argument & 3)]),
        // Near to each other or anywhere.
        sequence: SequenceNumber::new(if argument & 8 == 0 {
            argument >> 8
        } else {
            u16::from_be_bytes([at(0), at(1)])
        }),
        timestamp: if argument & 16 == 0 {
            u32::from(argument >> 8) * 3_000
        } else {
            u32::from_be_bytes([at(2), at(3), at(4), 0])
        },
        ssrc: Ssrc::new(if argument & 32 == 0 { 0 } else { u32::from(at(4)) % 24 }),
        csrc: Vec::new(),
        extensions: Extensions::default(),
        padding: 0,
        payload: Bytes::copy_from_slice(payload),
    }
}

/// An RTCP packet around octets: a type and a right length.
fn feedback(argument: u16, octets: &[u8]) -> Vec<u8> {
    let [count, kind] = argument.to_be_bytes();
    let words = octets.len().div_ceil(4);
    let mut out = vec![0x80 | count & 0x1f, 200 + kind % 8];
    out.extend_from_slice(&(words as u16).to_be_bytes());
    out.extend_from_slice(octets);
    out.resize(4 + 4 * words, 0);
    out
}

fuzz_target!(|input: (u8, Vec<(u8, u16, Vec<u8>)>)| {
    let (flags, operations) = input;
    let mut now = Instant::now();
    let mut side = session(flags, now);
    settle(&mut side, now);
    for (operation, argument, octets) in operations.into_iter().take(OPERATIONS) {
        let session = &mut side.0;
        let id = IDS[usize::from(operation >> 5) % IDS.len()];
        let kind = if id == 0 { Kind::Video } else { Kind::Audio };
        match operation & 0x1f {
            0..=7 => session.handle_rtp(now, ReceiverId(id), packet(kind, argument, &octets)),
            8..=9 => {
                let Ok(packet) = Packet::parse(octets.into()) else { continue };
                session.handle_rtp(now, ReceiverId(id), packet);
            }
            10..=14 => session.handle_rtcp(now, feedback(argument, &octets).into()),
            15 => session.handle_rtcp(now, octets.into()),
            16..=17 => now += time(argument),
            18 => now = now.max(session.poll_timeout().unwrap_or(now)),
            19..=20 => {
                let frame =
                    Frame::new(codecs(kind)[0].codec, octets, Duration::from_millis(u64::from(argument)));
                let _ = session.send_frame(now, SenderId(id), frame);
            }
            21..=22 => {
                let _ = session.send_packet(now, SenderId(id), packet(kind, argument, &octets));
            }
            23 => session.request_keyframe(now, ReceiverId(id)),
            24 => session.set_mode(
                ReceiverId(id),
                match argument % 3 {
                    0 => Mode::Frames,
                    1 => Mode::Packets,
                    _ => Mode::Both,
                },
            ),
            25 => session.set_path_rtt(time(argument)),
            26 => session.remove_receiver(now, ReceiverId(id)),
            27 => session.remove_sender(now, SenderId(id)),
            28 => {
                let config = ReceiverConfig::new(kind).with_codecs(codecs(kind));
                session.set_receiver(
                    now,
                    ReceiverId(id),
                    config.with_ssrcs(vec![(u32::from(argument % 24), None)]),
                );
            }
            29 => {
                let config = SenderConfig::new(kind, u32::from(argument % 24)).with_codecs(codecs(kind));
                session.set_sender(now, SenderId(id), config);
            }
            30 => {
                drain(|| session.poll_frame(ReceiverId(id)).is_some());
                drain(|| session.poll_packet(ReceiverId(id)).is_some());
            }
            _ => {
                let _ = (session.receiver_stats(ReceiverId(id)), session.sender_stats(SenderId(id)));
            }
        }
        settle(&mut side, now);
    }
});
