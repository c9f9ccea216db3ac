//! A peer that keeps to SCTP and to nothing above it: what it does is counted, and hurts nobody but itself.

use std::time::{Duration, Instant};

use bytes::Bytes;
use taut_datachannel::*;
use taut_sansio::rng::Rng;
use taut_sctp::{Association, Ordering, StreamId, WriteOptions};

const DCEP: u32 = 50;
const STRING: u32 = 51;
const BINARY: u32 = 53;
const ACK: &[u8] = &[2];

/// A session, which is the DTLS server and has the odd streams, and an association that is told what to say.
struct Rig {
    session: Session,
    peer: Association,
    now: Instant,
    events: Vec<Event>,
    /// Streams that were reset by the session.
    resets: Vec<u16>,
    /// Streams on which an ACK came.
    acks: Vec<u16>,
}

fn open(label: &str, unordered: bool) -> Vec<u8> {
    let mut out = vec![3, if unordered { 0x80 } else { 0 }, 1, 0, 0, 0, 0, 0];
    out.extend((label.len() as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend(label.as_bytes());
    out
}

impl Rig {
    #[allow(clippy::disallowed_methods, reason = "a starting point in time is needed")]
    fn new(config: Config) -> Self {
        let now = Instant::now();
        let mut session = Session::new(config, Rng::from_u64(1));
        let mut peer = Association::new(taut_sctp::Config::default(), Rng::from_u64(2));
        session.start(now, Role::Server, RemoteParameters { max_message_size: 100_000, port: 5000 });
        peer.connect(now);
        let mut rig = Self { session, peer, now, events: vec![], resets: vec![], acks: vec![] };
        rig.exchange();
        assert!(rig.session.is_connected());
        rig.events.clear();
        rig
    }

    /// Everything that is to be sent arrives, and timers have their time.
    fn exchange(&mut self) {
        for _ in 0..40 {
            self.now += Duration::from_millis(10);
            let now = self.now;
            self.session.handle_timeout(now);
            self.peer.handle_timeout(now);
            let mut out = Vec::new();
            loop {
                let sent = self.session.poll_transmit(now, 1200, &mut out);
                if sent.is_some() {
                    self.peer.handle_packet(now, Bytes::from(std::mem::take(&mut out)));
                }
                let answered = self.peer.poll_transmit(now, 1200, &mut out);
                if answered.is_some() {
                    self.session.handle_packet(now, Bytes::from(std::mem::take(&mut out)));
                }
                if sent.is_none() && answered.is_none() {
                    break;
                }
            }
            while let Some(chunk) = self.peer.poll_read(now) {
                if chunk.ppid == DCEP && chunk.bytes == ACK {
                    self.acks.push(chunk.stream.0);
                }
            }
            while let Some(event) = self.peer.poll_event() {
                if let taut_sctp::Event::IncomingReset(stream) = event {
                    self.resets.push(stream.0);
                }
            }
            while let Some(event) = self.session.poll_event() {
                self.events.push(event);
            }
        }
    }

    fn say(&mut self, stream: u16, ppid: u32, data: &[u8]) {
        let options = WriteOptions { ppid, ..WriteOptions::default() };
        self.peer.write(self.now, StreamId(stream), Bytes::copy_from_slice(data), &options).unwrap();
    }

    fn reset(&mut self, streams: impl Iterator<Item = u16>) {
        let streams: Vec<StreamId> = streams.map(StreamId).collect();
        self.peer.reset_streams(self.now, &streams).unwrap();
    }

    fn incoming(&self) -> Vec<ChannelId> {
        self.events
            .iter()
            .filter_map(|e| if let Event::Incoming(id) = e { Some(*id) } else { None })
            .collect()
    }

    fn closed(&self) -> usize {
        self.events.iter().filter(|e| matches!(e, Event::Closed(_))).count()
    }

    /// A new channel still works.
    fn check_alive(&mut self, stream: u16) {
        let before = self.incoming().len();
        self.say(stream, DCEP, &open("alive", false));
        self.say(stream, STRING, b"hello");
        self.exchange();
        let ids = self.incoming();
        assert_eq!(ids.len(), before + 1);
        assert_eq!(self.session.poll_message(ids[before]), Some(Message::text("hello")));
    }
}

#[test]
fn an_open_of_the_wrong_parity_is_reset_without_an_ack() {
    let mut rig = Rig::new(Config::default());
    rig.say(1, DCEP, &open("odd", false));
    rig.exchange();
    let stats = rig.session.stats();
    assert_eq!((stats.bad_dcep, stats.channels_opened, rig.events.len()), (1, 0, 0));
    assert_eq!((rig.resets.as_slice(), rig.acks.len()), (&[1][..], 0));
    // The stream can be used by the side it belongs to.
    for _ in 0..3 {
        rig.session.open(rig.now, ChannelInit::new("mine")).unwrap();
    }
    rig.exchange();
    assert_eq!(rig.session.stats().channels_opened, 3);
    rig.check_alive(2);
}

#[test]
fn a_second_open_closes_that_channel_and_no_other() {
    let mut rig = Rig::new(Config::default());
    for stream in [0, 2] {
        rig.say(stream, DCEP, &open("x", false));
    }
    rig.exchange();
    let ids = rig.incoming();
    rig.say(0, DCEP, &open("again", false));
    rig.exchange();
    assert_eq!(rig.session.stats().bad_dcep, 1);
    assert_eq!((rig.acks.as_slice(), rig.resets.as_slice()), (&[0, 2][..], &[0][..]));
    assert!(rig.events.contains(&Event::Closing(ids[0])));
    assert_eq!(rig.session.channel(ids[1]).unwrap().state(), ChannelState::Open);
    // Half closed until the other side resets too; then the stream is free.
    assert_eq!(rig.closed(), 0);
    rig.reset([0].into_iter());
    rig.exchange();
    assert!(rig.events.contains(&Event::Closed(ids[0])) && rig.closed() == 1);
    rig.check_alive(0);
}

#[test]
fn an_ack_that_answers_nothing_is_counted() {
    let mut rig = Rig::new(Config::default());
    rig.say(0, DCEP, &open("theirs", false));
    for stream in [0, 1, 4, 65_534] {
        rig.say(stream, DCEP, ACK);
    }
    rig.exchange();
    let stats = rig.session.stats();
    assert_eq!((stats.bad_dcep, stats.channels_opened, rig.closed()), (4, 1, 0));
    assert!(rig.resets.is_empty());
}

#[test]
fn malformed_dcep_is_reset_and_counted() {
    let bad: [&[u8]; 7] = [
        &[1],
        &[0xff],
        &[3, 0, 0],
        &[3, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0xff],
        &[3, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, b'x'],
        &[2, 0],
    ];
    let mut rig = Rig::new(Config::default());
    for (i, message) in bad.into_iter().enumerate() {
        rig.say(i as u16 * 2, DCEP, message);
    }
    rig.exchange();
    assert_eq!(rig.session.stats().bad_dcep, 7);
    assert_eq!((rig.resets.len(), rig.events.len()), (7, 0));
    rig.check_alive(20);
}

#[test]
fn data_before_its_open_waits_for_it() {
    let mut rig = Rig::new(Config::default());
    let unordered = WriteOptions { ppid: STRING, ordering: Ordering::Unordered, ..WriteOptions::default() };
    let now = rig.now;
    rig.peer.write(now, StreamId(0), Bytes::from_static(b"early"), &unordered).unwrap();
    rig.peer.write(now, StreamId(0), Bytes::from(vec![b'x'; 5_000]), &unordered).unwrap();
    rig.exchange();
    assert!(rig.events.is_empty());
    rig.say(0, DCEP, &open("late", true));
    rig.exchange();
    let id = rig.incoming()[0];
    assert_eq!(rig.session.poll_message(id), Some(Message::text("early")));
    assert_eq!(rig.session.poll_message(id).unwrap().data.len(), 5_000);
    assert_eq!(rig.session.stats().unknown_streams, 0);
    // The same for a channel that is negotiated a little later on this side.
    rig.say(9, BINARY, b"to come");
    rig.exchange();
    let id = rig.session.open(rig.now, ChannelInit::new("n").with_negotiated(9)).unwrap();
    assert_eq!(rig.session.poll_message(id), Some(Message::binary(&b"to come"[..])));
}

#[test]
fn data_that_no_channel_ever_wants_is_bounded() {
    let mut rig = Rig::new(Config::default());
    for i in 0..2_000 {
        rig.say(i, BINARY, &[1; 936]);
    }
    rig.exchange();
    // 1,000 octets with what a message costs: 262 fit into 256 KiB.
    assert_eq!(rig.session.stats().unknown_streams, 2_000 - 262);
    // A reset makes room.
    rig.reset(0..2_000);
    rig.exchange();
    assert_eq!(rig.session.stats().unknown_streams, 2_000);
    rig.say(4, BINARY, b"kept");
    rig.say(4, DCEP, &open("x", false));
    rig.exchange();
    let id = rig.incoming()[0];
    assert_eq!(rig.session.poll_message(id), Some(Message::binary(&b"kept"[..])));
}

#[test]
fn resets_of_streams_that_nobody_has_do_nothing() {
    let mut rig = Rig::new(Config::default());
    for _ in 0..5 {
        rig.reset(0..3_000);
        rig.exchange();
    }
    assert!(rig.events.is_empty() && rig.resets.is_empty());
    let stats = rig.session.stats();
    assert_eq!((stats.unknown_streams, stats.bad_dcep, stats.channels_closed), (0, 0, 0));
    rig.check_alive(0);
}

#[test]
fn channels_and_the_octets_of_their_names_are_bounded() {
    let mut rig = Rig::new(Config::default().with_max_incoming_channels(1_000));
    for i in 0..3_000 {
        rig.say(i * 2, DCEP, &open("", false));
    }
    rig.exchange();
    let stats = rig.session.stats();
    assert_eq!((stats.channels_opened, stats.channels_refused, stats.bad_dcep), (1_000, 2_000, 0));
    assert_eq!((rig.acks.len(), rig.incoming().len()), (1_000, 1_000));
    assert!(rig.resets.len() >= 256, "{}: as many as are kept in mind at once", rig.resets.len());

    let mut rig = Rig::new(Config::default());
    let label = "x".repeat(65_535);
    for i in 0..20 {
        rig.say(i * 2, DCEP, &open(&label, false));
    }
    rig.exchange();
    let stats = rig.session.stats();
    assert_eq!((stats.channels_opened, stats.channels_refused), (16, 4), "1 MiB");
    assert_eq!(rig.session.channel(rig.incoming()[0]).unwrap().label(), label);
    assert_eq!(rig.resets, [32, 34, 36, 38]);
    // Closing one makes room for another, once all of it was polled.
    rig.reset([0].into_iter());
    rig.exchange();
    assert_eq!(rig.closed(), 1);
    rig.say(40, DCEP, &open(&label, false));
    rig.exchange();
    assert_eq!(rig.session.stats().channels_opened, 17);
}

/// True if one of the chunks is a RE-CONFIG (RFC 6525 section 3.1).
fn has_reconfig(packet: &[u8]) -> bool {
    let mut chunks = &packet[12..];
    while let [kind, _, a, b, ..] = chunks {
        if *kind == 130 {
            return true;
        }
        chunks = &chunks[usize::from(u16::from_be_bytes([*a, *b])).next_multiple_of(4)..];
    }
    false
}

/// Refusing a channel resets its stream. Of a peer that never answers that, 256 streams are kept in mind.
#[test]
fn refusals_that_wait_for_their_reset_are_bounded() {
    let mut rig = Rig::new(Config::default());
    for stream in 0..600 {
        rig.say(stream, DCEP, &[0xff]);
    }
    for _ in 0..100 {
        rig.now += Duration::from_millis(10);
        let (now, mut out) = (rig.now, Vec::new());
        rig.session.handle_timeout(now);
        rig.peer.handle_timeout(now);
        while rig.peer.poll_transmit(now, 1200, &mut out).is_some() {
            rig.session.handle_packet(now, Bytes::from(std::mem::take(&mut out)));
        }
        while rig.session.poll_transmit(now, 1200, &mut out).is_some() {
            let packet = Bytes::from(std::mem::take(&mut out));
            if !has_reconfig(&packet) {
                rig.peer.handle_packet(now, packet);
            }
        }
    }
    assert_eq!(rig.session.stats().bad_dcep, 600);
    let now = rig.now;
    let mut open = |stream| rig.session.open(now, ChannelInit::new("n").with_negotiated(stream));
    assert_eq!((0..600).filter(|stream| open(*stream) == Err(OpenError::IdInUse)).count(), 256);
}

#[test]
fn a_dcep_message_is_given_up_as_soon_as_it_is_too_long() {
    // The header, and 65,535 octets of label and of protocol (RFC 8832 section 5.1).
    let longest = 12 + 2 * 65_535;
    for (octets, given_up) in [(longest, 0), (longest + 1, 1)] {
        let mut rig = Rig::new(Config::default());
        let options = WriteOptions { ppid: DCEP, ..WriteOptions::default() };
        rig.peer.begin_message(rig.now, StreamId(0), &options).unwrap();
        rig.peer.append_message(rig.now, StreamId(0), Bytes::from(vec![3; octets])).unwrap();
        rig.exchange();
        assert_eq!(rig.session.stats().bad_dcep, 0, "the end of it did not come");
        rig.peer.end_message(rig.now, StreamId(0)).unwrap();
        rig.exchange();
        // What is as long as it may be is read, makes no sense, and has its stream reset.
        assert_eq!((rig.session.stats().bad_dcep, rig.resets.len()), (1, 1 - given_up));
        rig.check_alive(2);
    }
    // It need not end for that: with DATA, a message is handed up as it grows (I-DATA: once half of the window is full).
    let mut rig = Rig::new(Config::default().with_interleaving(false));
    let options = WriteOptions { ppid: DCEP, ..WriteOptions::default() };
    rig.peer.begin_message(rig.now, StreamId(0), &options).unwrap();
    rig.peer.append_message(rig.now, StreamId(0), Bytes::from(vec![3; longest + 5_000])).unwrap();
    rig.exchange();
    assert_eq!(rig.session.stats().bad_dcep, 1);
}

#[test]
fn closed_channels_that_are_not_polled_count() {
    let mut rig = Rig::new(Config::default().with_max_incoming_channels(10));
    for round in 0..5 {
        for i in 0..10 {
            rig.say(i * 2, DCEP, &open("x", false));
            rig.say(i * 2, STRING, b"unread");
        }
        rig.exchange();
        rig.reset((0..10).map(|i| i * 2));
        rig.exchange();
        assert_eq!(rig.session.channels().count(), 10, "round {round}");
    }
    let stats = rig.session.stats();
    assert_eq!((stats.channels_opened, stats.channels_refused), (10, 40));
    assert_eq!(rig.closed(), 10);
    for id in rig.incoming() {
        assert_eq!(rig.session.poll_message(id), Some(Message::text("unread")));
        assert!(rig.session.channel(id).is_none(), "the last message was polled");
    }
    rig.reset((0..10).map(|i| i * 2));
    rig.exchange();
    rig.check_alive(100);
}

#[test]
fn protocols_that_are_not_known_and_odd_messages_are_counted() {
    let mut rig = Rig::new(Config::default().with_max_message_size(1_000));
    rig.say(0, DCEP, &open("x", false));
    for ppid in [0, 49, 52, 54, 55, u32::MAX] {
        rig.say(0, ppid, b"what");
        rig.say(0, ppid, &[0; 5_000]);
    }
    rig.say(0, STRING, &[0xff, 0xfe]);
    // An empty message is one octet, whatever it is, and says so.
    rig.say(0, 56, b"ignored");
    rig.exchange();
    let id = rig.incoming()[0];
    assert_eq!(rig.session.stats().unknown_protocols, 12);
    let not_utf8 = rig.session.poll_message(id).unwrap();
    assert_eq!((not_utf8.kind, not_utf8.as_text()), (MessageKind::Text, None));
    assert_eq!(rig.session.poll_message(id), Some(Message::text("")));
    assert_eq!(rig.session.poll_message(id), None);
    assert_eq!(rig.closed(), 0);
    // Too large: counted once, and the channel is closed.
    rig.say(0, BINARY, &[0; 50_000]);
    rig.say(0, BINARY, &[0; 10]);
    rig.exchange();
    assert_eq!(rig.session.stats().oversized, 1);
    assert!(rig.events.contains(&Event::Closing(id)) && rig.session.poll_message(id).is_none());
    assert_eq!(rig.resets, [0]);
}

#[test]
fn nothing_comes_after_close_and_the_buffered_amount_stays() {
    let mut rig = Rig::new(Config::default());
    rig.say(0, DCEP, &open("x", false));
    rig.say(0, STRING, b"before");
    rig.exchange();
    let id = rig.incoming()[0];
    let now = rig.now;
    rig.session.send(now, id, Message::binary(vec![0; 50_000])).unwrap();
    rig.session.close_channel(now, id);
    let channel = rig.session.channel(id).unwrap();
    assert_eq!((channel.state(), channel.buffered_amount()), (ChannelState::Closing, 50_000));
    assert_eq!(rig.session.send(now, id, "late".into()), Err(SendError::Closed));
    rig.say(0, STRING, b"after");
    // The peer's data arrives before our reset is even made.
    let mut out = Vec::new();
    while rig.peer.poll_transmit(now, 1200, &mut out).is_some() {
        rig.session.handle_packet(now, Bytes::from(std::mem::take(&mut out)));
    }
    assert_eq!(rig.session.poll_message(id), Some(Message::text("before")));
    assert_eq!(rig.session.poll_message(id), None);
    rig.exchange();
    assert_eq!(rig.session.channel(id).unwrap().buffered_amount(), 0, "what was sent before goes");
    assert_eq!(rig.resets, [0], "and then the reset");

    // Cut off with something in the buffer: it does not become zero.
    let mut rig = Rig::new(Config::default());
    let id = rig.session.open(rig.now, ChannelInit::new("x")).unwrap();
    rig.session.send(rig.now, id, Message::binary(vec![0; 50_000])).unwrap();
    rig.session.abort(rig.now);
    let channel = rig.session.channel(id).unwrap();
    assert_eq!((channel.state(), channel.buffered_amount()), (ChannelState::Closed, 50_000));
    rig.exchange();
    assert!(rig.events.contains(&Event::Closed(id)) && rig.session.channel(id).is_none());
}
