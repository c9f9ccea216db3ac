//! Bounds that only the inside shows: what waits and what is remembered, whatever comes from outside.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_datachannel::{ChannelInit, Message};
use taut_media::{Codec, Frame, Kind, Mode};
use taut_sansio::net::{Path, Received};
use taut_sansio::rng::Rng;
use taut_sansio::time::WallClock;

use crate::{Config, ConnectionState, Event, Peer, TrackInfo};

const MS: Duration = Duration::from_millis(1);

/// Two peers on a wire that loses nothing.
struct Pair {
    now: Instant,
    peers: [Peer; 2],
}

fn address(side: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, side as u8 + 1], 4000))
}

impl Pair {
    fn new() -> Self {
        Self::with(&Config::default())
    }

    fn with(config: &Config) -> Self {
        let now = Instant::now();
        let clock = WallClock { instant: now, unix: Duration::from_secs(1_800_000_000) };
        let peer = |side: usize| {
            let mut peer = Peer::new(config.clone(), clock, [side as u8; 32]).expect("a peer");
            peer.add_local_address(now, address(side));
            peer
        };
        Self { now, peers: [peer(0), peer(1)] }
    }

    fn negotiate(&mut self) {
        let [a, b] = &mut self.peers;
        a.set_local_description(self.now, None).expect("an offer");
        b.set_remote_description(self.now, a.local_description().expect("it is set")).expect("taken");
        b.set_local_description(self.now, None).expect("an answer");
        a.set_remote_description(self.now, b.local_description().expect("it is set")).expect("taken");
    }

    /// Carries what both sides have to say, for a while.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
            for peer in &mut self.peers {
                while let Some(event) = peer.poll_event() {
                    drop(event);
                }
            }
        }
    }

    fn step(&mut self) {
        self.step_with(|_, _| true);
    }

    /// Carries those datagrams of a side that `passes` lets through.
    fn step_with(&mut self, passes: impl Fn(usize, &[u8]) -> bool) {
        for side in [0, 1] {
            let mut out = Vec::new();
            while let Some(transmit) = self.peers[side].poll_transmit(self.now, 1, &mut out) {
                let path = Path::udp(transmit.path.remote, transmit.path.local);
                let meta = Received { at: self.now, path, ecn: None };
                if passes(side, &out) {
                    self.peers[1 - side].handle_datagram(meta, BytesMut::from(&out[..]));
                }
                out.clear();
            }
        }
        self.now += 5 * MS;
        for peer in &mut self.peers {
            peer.handle_timeout(self.now);
        }
    }

    fn connect(&mut self) {
        for _ in 0..100 {
            self.run(20 * MS);
            if self.peers.iter().all(|peer| peer.connection_state() == ConnectionState::Connected) {
                return;
            }
        }
        panic!("not connected");
    }

    /// What is remembered of media and events by both sides.
    fn tables(&self) -> Vec<usize> {
        let sizes = |peer: &Peer| {
            let (sections, ssrcs) = peer.transport.demux.sizes();
            let descriptions = [peer.local_description(), peer.remote_description()];
            let text: usize =
                descriptions.into_iter().flatten().map(|description| description.sdp.len()).sum();
            [
                sections,
                ssrcs,
                peer.receive_modes.len(),
                peer.events.len(),
                peer.transceivers().count(),
                peer.transport.data.channels().count(),
                text / 100,
            ]
        };
        self.peers.iter().flat_map(sizes).collect()
    }
}

#[test]
fn sctp_leaves_out_its_checksum_where_that_is_configured() {
    for zero in [true, false] {
        let mut pair = Pair::with(&Config::default().with_data_zero_checksum(zero));
        let channel =
            pair.peers[0].create_data_channel(pair.now, ChannelInit::new("data")).expect("a channel");
        pair.negotiate();
        pair.connect();
        pair.run(100 * MS);
        pair.peers[0].send(pair.now, channel, Message::text("hi")).expect("it is open");
        let mut packet = Vec::new();
        let length = pair.peers[0].transport.data.poll_transmit(pair.now, 1_000, &mut packet);
        assert!(length.is_some_and(|length| length > 12));
        assert_eq!(packet[8..12] == [0; 4], zero);
    }
}

#[test]
fn a_thousand_renegotiations_leave_nothing_behind() {
    let mut pair = Pair::new();
    pair.peers[0].create_data_channel(pair.now, ChannelInit::new("kept")).expect("a channel");
    pair.negotiate();
    pair.connect();
    let mut settled = Vec::new();
    for round in 0..1_000 {
        let track = TrackInfo::new(format!("track-{round}"), Kind::Video);
        let id = pair.peers[0].add_track(pair.now, track, vec!["stream".into()]).expect("a transceiver");
        pair.peers[0].set_receive_mode(id, Mode::Packets);
        let channel =
            pair.peers[0].create_data_channel(pair.now, ChannelInit::new("passing")).expect("one more");
        pair.negotiate();
        if round % 10 == 0 {
            let frame = Frame::new(Codec::Vp8, vec![0x10; 100], round * 33 * MS).with_keyframe(true);
            pair.peers[0].send_frame(pair.now, id, frame).expect("negotiated to send");
        }
        pair.run(20 * MS);
        pair.peers[0].close_channel(pair.now, channel);
        pair.peers[0].stop_transceiver(pair.now, id).expect("it is there");
        pair.negotiate();
        pair.run(20 * MS);
        if round == 20 {
            pair.run(2_000 * MS);
            settled = pair.tables();
        }
    }
    pair.run(2_000 * MS);
    let after = pair.tables();
    for (before, after) in settled.iter().zip(&after) {
        assert!(after <= &(before + 1), "{settled:?} became {after:?}", after = pair.tables());
    }
    assert_eq!(pair.peers[0].connection_state(), ConnectionState::Connected);
}

#[test]
fn what_waits_for_a_driver_that_does_not_poll_is_bounded() {
    let mut pair = Pair::new();
    pair.peers[0].create_data_channel(pair.now, ChannelInit::new("kept")).expect("a channel");
    pair.peers[0].add_track(pair.now, TrackInfo::new("v", Kind::Video), vec![]).expect("a transceiver");
    pair.negotiate();
    pair.connect();
    // The other side opens and closes channels without end, and nobody asks for the events.
    let mut datagrams = 0;
    for round in 0u64.. {
        let opened: Vec<_> = (0..200)
            .filter_map(|_| pair.peers[1].create_data_channel(pair.now, ChannelInit::new("flood")).ok())
            .collect();
        for _ in 0..6 {
            pair.step();
        }
        for channel in opened {
            pair.peers[1].close_channel(pair.now, channel);
        }
        for _ in 0..6 {
            pair.step();
        }
        while pair.peers[1].poll_event().is_some() {}
        assert!(pair.peers[0].events.len() < 5_000, "{} events", pair.peers[0].events.len());
        datagrams = pair.peers[0].transport_stats().packets_received;
        if pair.peers[0].transport_stats().dropped_full > 0 || round > 500 {
            break;
        }
    }
    assert!(pair.peers[0].transport_stats().dropped_full > 0, "{datagrams} datagrams do not fill it");
    let mut rng = Rng::from_u64(1);
    for number in 0..100_000u32 {
        let from =
            if number.is_multiple_of(2) { address(1) } else { SocketAddr::from((rng.array::<4>(), 9)) };
        let meta = Received { at: pair.now, path: Path::udp(address(0), from), ecn: None };
        pair.peers[0].handle_datagram(meta, BytesMut::from(&rng.array::<60>()[..]));
        assert!(pair.peers[0].events.len() < 5_000);
    }
    // A driver that polls again goes on.
    while pair.peers[0].poll_event().is_some() {}
    let before = pair.peers[0].transport_stats().packets_received;
    pair.run(5_000 * MS);
    assert!(pair.peers[0].transport_stats().packets_received > before);
    assert_eq!(pair.peers[0].connection_state(), ConnectionState::Connected);
}

#[test]
fn random_datagrams_make_no_events() {
    let mut pair = Pair::new();
    pair.peers[0].create_data_channel(pair.now, ChannelInit::new("kept")).expect("a channel");
    pair.negotiate();
    pair.connect();
    pair.run(100 * MS);
    let mut rng = Rng::from_u64(2);
    for number in 0..100_000u32 {
        let from =
            if number.is_multiple_of(2) { address(1) } else { SocketAddr::from((rng.array::<4>(), 9)) };
        let meta = Received { at: pair.now, path: Path::udp(address(0), from), ecn: None };
        let mut datagram = rng.array::<48>();
        datagram[0] = [0, 1, 20, 22, 23, 128, 144][number as usize % 7];
        pair.peers[0].handle_datagram(meta, BytesMut::from(&datagram[..]));
    }
    assert_eq!(pair.peers[0].poll_event(), None::<Event>);
}

#[test]
fn the_first_flight_waits_until_its_path_is_validated() {
    let mut pair = Pair::new();
    pair.peers[0].create_data_channel(pair.now, ChannelInit::new("x")).expect("a channel");
    pair.negotiate();
    // No answer to a check of the offerer arrives: it knows that the other side is the true one, not that it can be
    // reached. The answerer knows both, and begins the handshake.
    let is_answer = |side: usize, datagram: &[u8]| side == 1 && datagram.starts_with(&[1, 1]);
    for _ in 0..200 {
        pair.step_with(|side, datagram| !is_answer(side, datagram));
        if pair.peers[0].transport.holds() {
            break;
        }
    }
    assert!(pair.peers[0].transport.holds(), "the flight is kept");
    assert_eq!(pair.peers[0].transport_stats().packets_received, 0, "and nothing of it looked at");
    assert_eq!(pair.peers[0].transport.dtls.stats().datagrams_sent, 0);
    // The path is validated: the flight is answered at once, it need not come again.
    for _ in 0..200 {
        pair.step_with(|side, datagram| side == 0 || matches!(datagram, [0..=3, ..]));
        if !pair.peers[0].transport.holds() {
            break;
        }
    }
    assert!(!pair.peers[0].transport.holds(), "the flight is handed on");
    pair.step_with(|side, datagram| side == 0 || matches!(datagram, [0..=3, ..]));
    assert!(pair.peers[0].transport.dtls.stats().datagrams_sent > 0);
    pair.connect();
}
