//! Two sessions with a network between them.
#![allow(clippy::disallowed_methods, reason = "tests may read the clock")]

mod beginning;
mod counters;
mod forwarding;
mod hostile;
mod options;
mod repair;
mod reports;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use taut_netsim::{Link, Node, NodeId, World};
use taut_rtp::Packet;
use taut_sansio::net::{Path, Received, Transmit};
use taut_sansio::rng::Rng;

use crate::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const VIDEO: u32 = 1;
const AUDIO: u32 = 2;
const VIDEO_SSRC: u32 = 0x1111_1111;
const RTX_SSRC: u32 = 0x2222_2222;
const AUDIO_SSRC: u32 = 0x3333_3333;

/// A session with a path, and what its application saw.
#[derive(Debug)]
struct Side {
    session: Session,
    path: Path,
    frames: Vec<Frame>,
    packets: Vec<Packet>,
    events: Vec<Event>,
    rtcp_sent: Vec<(Instant, Bytes)>,
    rtp_sent: Vec<Packet>,
}

impl Side {
    fn new(session: Session, local: SocketAddr, remote: SocketAddr) -> Self {
        let path = Path::udp(local, remote);
        Self {
            session,
            path,
            frames: vec![],
            packets: vec![],
            events: vec![],
            rtcp_sent: vec![],
            rtp_sent: vec![],
        }
    }

    fn fetch(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
            match event {
                Event::FrameReady(id) => {
                    self.frames.extend(std::iter::from_fn(|| self.session.poll_frame(id)))
                }
                Event::PacketReady(id) => {
                    self.packets.extend(std::iter::from_fn(|| self.session.poll_packet(id)))
                }
                _ => {}
            }
        }
    }

    fn count(&self, event: Event) -> usize {
        self.events.iter().filter(|other| **other == event).count()
    }
}

impl Node for Side {
    fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        if taut_rtp::is_rtcp(&datagram) {
            self.session.handle_rtcp(meta.at, datagram.freeze());
        } else if let Ok(packet) = Packet::parse(datagram.freeze()) {
            let audio = packet.payload_type.get() == 111;
            self.session.handle_rtp(meta.at, ReceiverId(if audio { AUDIO } else { VIDEO }), packet);
        }
        self.fetch();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
        self.fetch();
    }

    fn poll_transmit(&mut self, now: Instant, _max_segments: usize, out: &mut Vec<u8>) -> Option<Transmit> {
        let start = out.len();
        if let Some(len) = self.session.poll_rtcp(now, 1_200, out) {
            self.rtcp_sent.push((now, Bytes::copy_from_slice(&out[start..])));
            return Some(Transmit::single(self.path, len));
        }
        let len = self.session.poll_rtp(now, 1_200, out)?;
        self.rtp_sent.push(Packet::parse(Bytes::copy_from_slice(&out[start..])).unwrap());
        Some(Transmit::single(self.path, len))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }
}

/// What two sides agree on.
#[derive(Debug, Clone, Copy)]
struct Terms {
    nack: bool,
    rtx: bool,
    pli: bool,
}

const ALL: Terms = Terms { nack: true, rtx: true, pli: true };

impl Terms {
    fn vp8(self) -> CodecConfig {
        let vp8 = CodecConfig::new(Codec::Vp8, 96).with_nack(self.nack).with_pli(self.pli);
        if self.rtx { vp8.with_rtx(97) } else { vp8 }
    }

    fn sender(self) -> SenderConfig {
        let config =
            SenderConfig::new(Kind::Video, VIDEO_SSRC).with_codecs(vec![self.vp8()]).with_mid(4, "v");
        if self.rtx { config.with_rtx_ssrc(RTX_SSRC) } else { config }
    }
}

struct Pair {
    world: World<Side>,
    a: NodeId,
    b: NodeId,
    rng: Rng,
    sent: Vec<Frame>,
}

impl Pair {
    /// `a` sends video and audio, `b` receives; both know the other's terms.
    fn new(seed: u64, terms: Terms, link: Link) -> Self {
        let mut world = World::new(seed);
        let addresses: [SocketAddr; 2] =
            ["192.0.2.1:1000", "192.0.2.2:2000"].map(|text| text.parse().unwrap());
        let clock = world.wall_clock();
        let [a, b] = [0, 1].map(|i: usize| {
            let config = Config::default().with_cname(format!("side-{i}"));
            let session = Session::new(config, clock, world.rng().child());
            let side = Side::new(session, addresses[i], addresses[1 - i]);
            let ip: IpAddr = addresses[i].ip();
            world.add_node(side, &[ip])
        });
        world.set_default_link(link);
        let now = world.now();
        let opus = vec![CodecConfig::new(Codec::Opus, 111)];
        let audio = SenderConfig::new(Kind::Audio, AUDIO_SSRC).with_codecs(opus.clone()).with_mid(4, "a");
        let sender = &mut world.node_mut(a).session;
        sender.set_sender(now, SenderId(VIDEO), terms.sender());
        sender.set_sender(now, SenderId(AUDIO), audio);
        let receiver = &mut world.node_mut(b).session;
        let video = ReceiverConfig::new(Kind::Video).with_codecs(vec![terms.vp8()]);
        receiver.set_receiver(now, ReceiverId(VIDEO), video);
        receiver.set_receiver(now, ReceiverId(AUDIO), ReceiverConfig::new(Kind::Audio).with_codecs(opus));
        let rng = world.rng().child();
        Self { world, a, b, rng, sent: vec![] }
    }

    /// A picture of so many octets, at the time it is now.
    fn picture(&mut self, octets: usize, keyframe: bool) -> Frame {
        let mut data = vec![0; octets];
        self.rng.fill(&mut data);
        data[0] = if keyframe { data[0] & !1 } else { data[0] | 1 };
        Frame::new(Codec::Vp8, data, self.world.elapsed()).with_keyframe(keyframe)
    }

    fn send(&mut self, frame: Frame) {
        let now = self.world.now();
        let id = SenderId(if frame.codec == Codec::Vp8 { VIDEO } else { AUDIO });
        self.sent.push(frame.clone());
        self.world.node_mut(self.a).session.send_frame(now, id, frame).unwrap();
    }

    /// Sends so many pictures at 50 a second, with a keyframe first and where `a` was asked for one.
    fn stream(&mut self, pictures: usize) {
        let mut seen = self.world.node(self.a).count(Event::KeyframeRequested(SenderId(VIDEO)));
        for i in 0..pictures {
            let asked = self.world.node(self.a).count(Event::KeyframeRequested(SenderId(VIDEO)));
            let octets = 200 + self.rng.below(5_000) as usize;
            let picture = self.picture(octets, i == 0 || asked > seen);
            seen = asked;
            self.send(picture);
            self.world.run_for(20 * MS);
        }
    }

    /// Sends so many pictures at 50 a second that are not keyframes.
    fn pictures(&mut self, pictures: usize) {
        for _ in 0..pictures {
            let octets = 200 + self.rng.below(5_000) as usize;
            let picture = self.picture(octets, false);
            self.send(picture);
            self.world.run_for(20 * MS);
        }
    }

    fn stats(&self) -> ReceiverStats {
        self.world.node(self.b).session.receiver_stats(ReceiverId(VIDEO)).remove(0)
    }

    fn sender_stats(&self) -> SenderStats {
        self.world.node(self.a).session.sender_stats(SenderId(VIDEO)).unwrap()
    }

    /// Asserts that the frames that came are the ones that were sent, all, in order and unchanged.
    fn assert_all_arrived(&self) {
        let got = &self.world.node(self.b).frames;
        let wrong = got.iter().zip(&self.sent).position(|(got, sent)| got.data != sent.data);
        assert_eq!((got.len(), wrong), (self.sent.len(), None), "{:?}", self.stats());
        assert!(got.iter().all(|frame| frame.contiguous));
    }

    /// Asserts that the frames that came are some of those sent, in order, each once and unchanged.
    fn assert_subset_arrived(&self) {
        let mut sent = self.sent.iter();
        for frame in &self.world.node(self.b).frames {
            assert!(
                sent.any(|other| other.data == frame.data),
                "a frame is out of order, changed or doubled"
            );
        }
    }
}

#[test]
fn types_are_send_sync_debug() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<Session>();
    check::<Frame>();
    check::<ReceiverStats>();
    check::<SenderStats>();
}

#[test]
fn frames_go_through_a_clean_network() {
    let mut pair = Pair::new(1, ALL, Link::default().latency(20 * MS));
    pair.stream(100);
    pair.world.run_for(100 * MS);
    pair.assert_all_arrived();
    let frames = &pair.world.node(pair.b).frames;
    for (got, sent) in frames.iter().zip(&pair.sent) {
        assert_eq!(got.keyframe, sent.keyframe);
        assert_eq!(got.presentation, sent.presentation, "the first picture was at zero");
    }
    let received = frames[0].received.unwrap();
    assert_eq!(received - (pair.world.now() - pair.world.elapsed()), 20 * MS, "no delay is added");
    // The MID is there until the first report about the source.
    let sent = &pair.world.node(pair.a).rtp_sent;
    assert_eq!(sent[0].extensions.get(4), Some(&b"v"[..]));
    assert_eq!(sent.last().unwrap().extensions.get(4), None);
}

#[test]
fn a_frame_of_one_packet_is_not_copied() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.b).session;
    let datagram = Bytes::from([&[0x80, 0xe0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0x10][..], &[0; 40]].concat());
    let range = datagram.as_ptr_range();
    session.handle_rtp(now, ReceiverId(VIDEO), Packet::parse(datagram.clone()).unwrap());
    let frame = session.poll_frame(ReceiverId(VIDEO)).unwrap();
    assert!(range.contains(&frame.data.as_ptr()));
}

#[test]
fn audio_and_video_share_a_transport_and_a_clock() {
    let mut pair = Pair::new(2, ALL, Link::default().latency(20 * MS));
    for i in 0..150 {
        if i % 2 == 0 {
            let picture = pair.picture(900, i == 0);
            pair.send(picture);
        }
        let packet = Frame::new(Codec::Opus, vec![0xfc, i as u8], pair.world.elapsed());
        pair.send(packet);
        pair.world.run_for(20 * MS);
    }
    let frames = &pair.world.node(pair.b).frames;
    assert_eq!(frames.len(), 225);
    // The wall clock of the start is that of the world; what was captured together says so.
    let start = pair.world.wall_clock().unix;
    let late = frames.iter().filter(|frame| frame.captured.is_some());
    let mut seen = [0, 0];
    for frame in late {
        let captured = frame.captured.unwrap() - start;
        let error = captured.abs_diff(frame.presentation);
        assert!(error < MS, "{:?} {captured:?} {:?}", frame.codec, frame.presentation);
        seen[usize::from(frame.codec == Codec::Opus)] += 1;
    }
    assert!(seen[0] > 50 && seen[1] > 100, "{seen:?}");
}

#[test]
fn commands_say_what_is_wrong() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.a).session;
    let frame = |codec, octets: usize| Frame::new(codec, vec![0; octets], Duration::ZERO);
    assert_eq!(session.send_frame(now, SenderId(9), frame(Codec::Vp8, 1)), Err(SendError::UnknownSender));
    assert_eq!(session.send_frame(now, SenderId(VIDEO), frame(Codec::Opus, 1)), Err(SendError::Codec));
    assert_eq!(session.send_frame(now, SenderId(VIDEO), frame(Codec::Vp8, 0)), Err(SendError::Empty));
    assert_eq!(session.send_frame(now, SenderId(AUDIO), frame(Codec::Opus, 2_000)), Err(SendError::TooLarge));
    assert_eq!(
        session.send_frame(now, SenderId(VIDEO), frame(Codec::Vp8, 5 << 20)),
        Err(SendError::TooLarge)
    );
    let taken =
        (0..10).take_while(|_| session.send_frame(now, SenderId(VIDEO), frame(Codec::Vp8, 1 << 20)).is_ok());
    assert!((3..=5).contains(&taken.count()), "the queue is bounded");
    assert_eq!(session.send_frame(now, SenderId(VIDEO), frame(Codec::Vp8, 1)), Err(SendError::Full));
}

#[test]
fn packets_have_equal_sizes_and_fit() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let picture = pair.picture(10_000, true);
    pair.send(picture);
    pair.world.run_for(MS);
    let sizes: Vec<usize> = pair.world.node(pair.a).rtp_sent.iter().map(Packet::encoded_len).collect();
    assert_eq!(sizes.len(), 9);
    assert!(sizes.iter().all(|size| (1_100..=1_200).contains(size)), "{sizes:?}");
    assert!(sizes.windows(2).all(|pair| pair[0] >= pair[1]), "{sizes:?}");
}

#[test]
fn removed_senders_say_goodbye() {
    let mut pair = Pair::new(1, ALL, Link::default().latency(10 * MS));
    pair.stream(10);
    let now = pair.world.now();
    pair.world.node_mut(pair.a).session.remove_sender(now, SenderId(VIDEO));
    pair.world.node_mut(pair.a).session.remove_sender(now, SenderId(AUDIO));
    pair.world.run_for(50 * MS);
    let byes: Vec<_> =
        pair.world.node(pair.b).events.iter().filter(|e| matches!(e, Event::Bye(..))).collect();
    assert_eq!(byes, [&Event::Bye(ReceiverId(VIDEO), VIDEO_SSRC)], "who never sent says nothing");
    assert_eq!(pair.world.node(pair.a).session.poll_timeout(), None, "nothing is left to do");
}
