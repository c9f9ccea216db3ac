//! Statistics: every field that is declared is filled by a call.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Call, body};
use taut_netsim::{Link, Loss};
use taut_peer::stats::{Stats, StatsReport};
use taut_peer::{
    ChannelInit, ChannelState, Codec, DtlsRole, DtlsTransportState, Frame, IceConnectionState, IceRole, Kind,
    Message, MessageKind, TrackInfo,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn reports() -> (StatsReport, StatsReport) {
    let mut call = Call::new(11, Link::default().latency(20 * MS).loss(Loss::Random(0.03)));
    let (now, a, b) = (call.now(), call.a, call.b);
    let id = call.peer(a).create_data_channel(now, ChannelInit::new("stats")).unwrap();
    let video = call.peer(a).add_track(now, TrackInfo::new("v", Kind::Video), vec!["s".into()]).unwrap();
    call.negotiate(a);
    assert!(call.connect(10 * SECOND));
    for number in 0..200 {
        let mut data = body(number, 3_000).to_vec();
        data[0] = if number == 0 { 0x10 } else { 0x11 };
        let now = call.now();
        let frame = Frame::new(Codec::Vp8, data, number as u32 * 33 * MS);
        call.peer(a).send_frame(now, video, frame).unwrap();
        let message = Message { kind: MessageKind::Binary, data: Bytes::from(vec![1; 1_000]) };
        call.peer(a).send(now, id, message).unwrap();
        call.run_for(33 * MS);
    }
    let now = call.now();
    (call.peer(a).stats(now), call.peer(b).stats(now))
}

fn find<T>(report: &StatsReport, pick: impl Fn(&Stats) -> Option<T>) -> T {
    report.iter().find_map(|(_, stats)| pick(stats)).expect("the entry exists")
}

#[test]
fn every_entry_of_a_call_is_there_and_filled() {
    let (sender, _) = reports();

    let transport = sender.transport().unwrap();
    assert!(transport.packets_sent > 600 && transport.bytes_sent > 600_000);
    assert!(transport.packets_received > 100 && transport.bytes_received > 5_000);
    assert_eq!(transport.ice_role, IceRole::Controlling);
    assert!(matches!(transport.ice_state, IceConnectionState::Connected | IceConnectionState::Completed));
    assert_eq!(transport.dtls_state, DtlsTransportState::Connected);
    assert!(matches!(transport.dtls_role, Some(DtlsRole::Server | DtlsRole::Client)));
    let of_openssl = common::config().dtls_engine == taut_peer::DtlsEngine::OpenSsl;
    assert_eq!(transport.tls_version.as_deref(), Some(if of_openssl { "FEFD" } else { "FEFC" }));
    assert!(transport.dtls_cipher.is_some_and(|cipher| cipher.starts_with("TLS_")));
    assert!(transport.srtp_cipher.is_some_and(|cipher| cipher.starts_with("SRTP_")));
    assert!(transport.selected_candidate_pair_changes >= 1);
    assert!(!transport.ice_local_username_fragment.is_empty());
    assert!(transport.sctp_congestion_window > 0);
    let rtt = transport.sctp_smoothed_round_trip_time.unwrap();
    assert!(rtt >= 40 * MS && rtt < 200 * MS, "{rtt:?}");
    for certificate in [&transport.local_certificate_id, transport.remote_certificate_id.as_ref().unwrap()] {
        let Some(Stats::Certificate(entry)) = sender.get(certificate) else {
            panic!("no entry {certificate}")
        };
        assert_eq!((entry.fingerprint_algorithm.as_str(), entry.fingerprint.len()), ("sha-256", 95));
        assert!(!entry.der.is_empty());
    }

    let pair = sender.selected_pair().unwrap();
    assert_eq!((pair.state, pair.nominated), ("succeeded", true));
    assert!(pair.requests_sent > 0 && pair.responses_received > 0);
    assert!(pair.requests_received > 0 && pair.responses_sent > 0);
    assert!(pair.current_round_trip_time.unwrap() >= 40 * MS);
    assert!(pair.total_round_trip_time >= 40 * MS && pair.priority > 0);
    let Some(Stats::LocalCandidate(local)) = sender.get(&pair.local_candidate_id) else { panic!() };
    assert_eq!((local.address.as_str(), local.protocol.as_str()), ("10.0.0.1:4000", "udp"));
    assert_eq!(local.candidate_type, "host");
    assert!(matches!(sender.get(&pair.remote_candidate_id), Some(Stats::RemoteCandidate(_))));
}

#[test]
fn media_and_data_are_counted_on_both_sides() {
    let (sender, receiver) = reports();
    let outbound = sender.outbound_rtp().next().unwrap();
    assert_eq!((sender.outbound_rtp().count(), sender.inbound_rtp().count()), (1, 0));
    assert_eq!((outbound.kind, outbound.mid.as_deref()), (Kind::Video, Some("0")));
    assert_eq!(outbound.stream.frames_sent, 200);
    assert_eq!(outbound.stream.key_frames_sent, 1);
    assert!(outbound.stream.packets_sent >= 600 && outbound.stream.nack_count > 0);
    assert!(outbound.stream.retransmitted_packets_sent > 0);
    let Some(Stats::Codec(codec)) = sender.get(outbound.codec_id.as_deref().unwrap()) else { panic!() };
    assert_eq!((codec.mime_type.as_str(), codec.clock_rate), ("video/VP8", 90_000));
    let remote = find(&sender, |s| if let Stats::RemoteInboundRtp(r) = s { Some(r.clone()) } else { None });
    assert_eq!(remote.ssrc, outbound.stream.ssrc);
    // Reports tell time in units of 1/65,536 s (RFC 3550 section 6.4.1).
    let rtt = remote.report.round_trip_time.unwrap();
    assert!(rtt + MS >= 40 * MS && rtt < 200 * MS, "{rtt:?}");

    let inbound = receiver.inbound_rtp().next().unwrap();
    assert_eq!((inbound.kind, inbound.track_identifier.as_str()), (Kind::Video, "v"));
    assert!(inbound.stream.frames_received >= 195);
    assert!(inbound.stream.packets_repaired > 0 && inbound.stream.nack_count > 0);
    assert_eq!(inbound.stream.ssrc, outbound.stream.ssrc);
    let reported =
        find(&receiver, |s| if let Stats::RemoteOutboundRtp(r) = s { Some(r.clone()) } else { None });
    assert!(reported.report.packets_sent > 0 && reported.report.reports_sent > 0);
    assert!(receiver.get(&reported.local_id).is_some());

    for (report, sent, received) in [(&sender, 200, 0), (&receiver, 0, 200)] {
        let channel = find(report, |s| if let Stats::DataChannel(r) = s { Some(r.clone()) } else { None });
        assert_eq!((channel.label.as_str(), channel.state), ("stats", ChannelState::Open));
        assert!(channel.data_channel_identifier.is_some());
        assert_eq!(channel.messages_sent, sent);
        assert_eq!(channel.bytes_sent, sent * 1_000);
        assert!(
            channel.messages_received >= received - received / 20 && channel.messages_received <= received
        );
        let connection = find(report, |s| if let Stats::PeerConnection(r) = s { Some(*r) } else { None });
        assert_eq!((connection.data_channels_opened, connection.data_channels_closed), (1, 0));
        assert!(connection.timestamp > Duration::ZERO);
    }
}

#[test]
fn packets_of_our_own_that_cannot_be_protected_are_counted() {
    let (mut call, _) = common::pair(12);
    let (now, a, b) = (call.now(), call.a, call.b);
    let [video, remote] = [a, b].map(|side| call.peer(side).transceivers().next().unwrap().id());
    call.peer(b).set_receive_mode(remote, taut_peer::Mode::Packets);
    // A forwarder hands over a packet so late that SRTP cannot tell any more whether its index was used: the replay
    // window has 128 (RFC 3711 section 3.3.2).
    for sequence in [0, 300, 100, 301] {
        let packet = taut_peer::rtp::Packet {
            payload_type: taut_peer::rtp::PayloadType::new(96),
            sequence: taut_peer::rtp::SequenceNumber::new(sequence),
            ssrc: taut_peer::rtp::Ssrc::new(3),
            payload: Bytes::from_static(&[0x10, 0, 0, 0]),
            ..Default::default()
        };
        call.peer(a).send_rtp(now, video, packet).unwrap();
    }
    call.run_for(SECOND);
    assert_eq!(call.peer(a).transport_stats().dropped_unprotected, 1);
    let mut received = Vec::new();
    while let Some(packet) = call.peer(b).poll_rtp(remote) {
        received.push(packet.sequence);
    }
    // It is missed there, and comes as a retransmission, which has a source of its own.
    let first = received[0];
    assert_eq!(received, [first, first + 100, first + 300, first + 301]);
}
