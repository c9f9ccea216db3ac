//! Whole calls with every option of the configuration, each shown to matter, and with every mixture of contents.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Call, What, audio_frame, binary, body, video_frame};
use taut_netsim::Link;
use taut_peer::stats::TransportReport;
use taut_peer::{
    Certificate, ChannelId, ChannelInit, Config, ConnectionState, Direction, DtlsVersion, ErrorKind, Event,
    Host, IceServer, InterfaceAddress, Kind, Loopback, Peer, SendError, SrtpProfile, TrackInfo,
    TransceiverId, TransceiverInit,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn lan() -> Link {
    Link::default().latency(10 * MS)
}

/// What a call is made of, on the side that offers.
struct Contents {
    channel: Option<ChannelId>,
    video: Option<TransceiverId>,
    audio: Option<TransceiverId>,
}

/// Connects with all of data, video and audio that is asked for, by the letters `d`, `v` and `a`.
fn connect(call: &mut Call, contents: &str) -> Contents {
    let (now, a) = (call.now(), call.a);
    let mut track = |letter: char, id: &str, kind| {
        contents.contains(letter).then(|| {
            call.peer(a)
                .add_track(now, TrackInfo::new(id, kind), vec!["stream".into()])
                .expect("a transceiver")
        })
    };
    let (video, audio) = (track('v', "video", Kind::Video), track('a', "audio", Kind::Audio));
    let channel = contents
        .contains('d')
        .then(|| call.peer(a).create_data_channel(now, ChannelInit::new("data")).expect("a channel"));
    call.negotiate(a);
    assert!(call.connect(10 * SECOND), "not connected");
    Contents { channel, video, audio }
}

/// Sends everything there is from a to b and checks that it arrives.
fn exchange(call: &mut Call, contents: &Contents) {
    let (a, b) = (call.a, call.b);
    for number in 0..20 {
        let now = call.now();
        if let Some(video) = contents.video {
            call.peer(a).send_frame(now, video, video_frame(number)).expect("video is taken");
        }
        if let Some(audio) = contents.audio {
            call.peer(a).send_frame(now, audio, audio_frame(number)).expect("audio is taken");
        }
        if let Some(channel) = contents.channel {
            call.peer(a).send(now, channel, binary(body(number, 5_000))).expect("a message is taken");
        }
        call.run_for(20 * MS);
    }
    call.run_for(SECOND);
    let frames: Vec<usize> = call.side(b).frames.values().map(Vec::len).collect();
    let tracks = usize::from(contents.video.is_some()) + usize::from(contents.audio.is_some());
    assert_eq!(frames, vec![20; tracks]);
    assert_eq!(call.side(b).message_count(), if contents.channel.is_some() { 20 } else { 0 });
}

fn transport(call: &mut Call) -> TransportReport {
    let (now, a) = (call.now(), call.a);
    call.peer(a).stats(now).transport().expect("there is a transport").clone()
}

#[test]
fn every_mixture_of_contents() {
    for (seed, letters) in ["d", "a", "v", "av", "dv", "da", "dav"].into_iter().enumerate() {
        let mut call = Call::new(seed as u64, lan());
        let contents = connect(&mut call, letters);
        exchange(&mut call, &contents);
        let a = call.a;
        let rtp = call.side(a).count(What::Rtp) > 0;
        assert_eq!(rtp, letters != "d", "{letters}");
    }
}

#[test]
fn one_who_only_receives_sends_no_media() {
    let mut call = Call::new(10, lan());
    let (now, a, b) = (call.now(), call.a, call.b);
    let init = TransceiverInit::default().with_direction(Direction::RecvOnly);
    let ours = call.peer(a).add_transceiver(now, Kind::Video, init).unwrap();
    call.peer(b).add_track(now, TrackInfo::new("camera", Kind::Video), vec![]).unwrap();
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    let theirs = call.peer(b).transceivers().next().unwrap().id();
    for number in 0..30 {
        let now = call.now();
        call.peer(b).send_frame(now, theirs, video_frame(number)).unwrap();
        let refused = call.peer(a).send_frame(now, ours, video_frame(number)).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::InvalidState);
        call.run_for(33 * MS);
    }
    call.run_for(SECOND);
    assert_eq!(call.side(a).frames[&ours].len(), 30);
    assert_eq!(call.side(a).count(What::Rtp), 0);
    assert!(call.side(a).count(What::Rtcp) > 0, "it reports what it receives");
}

#[test]
fn dtls_1_2_and_1_3() {
    use DtlsVersion::{Dtls12, Dtls13};
    for (seed, (a, b, expected)) in [
        ((Dtls12, Dtls12), (Dtls12, Dtls13), "FEFD"),
        ((Dtls12, Dtls13), (Dtls12, Dtls12), "FEFD"),
        ((Dtls13, Dtls13), (Dtls12, Dtls13), "FEFC"),
        ((Dtls12, Dtls13), (Dtls13, Dtls13), "FEFC"),
    ]
    .into_iter()
    .enumerate()
    {
        let config = |(min, max)| Config::default().with_dtls_versions(min, max);
        let mut call = Call::with_configs(seed as u64, lan(), config(a), config(b));
        let contents = connect(&mut call, "dav");
        exchange(&mut call, &contents);
        assert_eq!(transport(&mut call).tls_version.as_deref(), Some(expected), "{a:?} {b:?}");
    }
}

#[test]
fn dtls_versions_with_nothing_in_common_fail() {
    let config = |version| Config::default().with_dtls_versions(version, version);
    let (a, b) = (config(DtlsVersion::Dtls12), config(DtlsVersion::Dtls13));
    let mut call = Call::with_configs(1, lan(), a, b);
    let (now, a) = (call.now(), call.a);
    call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    call.negotiate(a);
    assert!(!call.connect(5 * SECOND));
    assert!(call.run_until(60 * SECOND, |w, a, b| {
        [a, b].iter().all(|&id| w.node(id).peer.connection_state() == ConnectionState::Failed)
    }));
}

#[test]
fn either_side_is_the_dtls_client() {
    // The answerer chooses, and chooses to be the client unless the offer says otherwise.
    for (seed, (setup, offerer)) in [("actpass", "server"), ("active", "client")].into_iter().enumerate() {
        for version in [DtlsVersion::Dtls12, DtlsVersion::Dtls13] {
            let config = Config::default().with_dtls_versions(version, version);
            let mut call = Call::with_configs(seed as u64, lan(), config.clone(), config);
            let (now, a) = (call.now(), call.a);
            let video = call.peer(a).add_track(now, TrackInfo::new("v", Kind::Video), vec![]).unwrap();
            let channel = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
            let offer = |sdp: String| sdp.replace("a=setup:actpass", &format!("a=setup:{setup}"));
            call.negotiate_changed(a, offer, |answer| answer);
            assert!(call.connect(5 * SECOND));
            assert_eq!(transport(&mut call).dtls_role, Some(offerer));
            let contents = Contents { channel: Some(channel), video: Some(video), audio: None };
            exchange(&mut call, &contents);
            // Stream ids follow the role (RFC 8832 section 6): the client's are even.
            let stream = call.peer(a).channel(channel).unwrap().stream_id().unwrap();
            assert_eq!(stream.is_multiple_of(2), offerer == "client");
        }
    }
}

#[test]
fn only_keys_of_the_listed_srtp_profiles_are_used() {
    let profiles = [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmSha1_80];
    let mut agreed = 0;
    for (seed, profile) in profiles.into_iter().enumerate() {
        let config = Config::default().with_srtp_profiles(vec![profile]);
        let mut call = Call::with_configs(seed as u64, lan(), config.clone(), config);
        let contents = connect(&mut call, "dv");
        let report = transport(&mut call);
        if report.srtp_cipher.is_some() {
            agreed += 1;
            exchange(&mut call, &contents);
        } else {
            // The engine agreed on another one: its keys are not used.
            let (now, a) = (call.now(), call.a);
            let refused = call.peer(a).send_frame(now, contents.video.unwrap(), video_frame(0)).unwrap_err();
            assert_eq!(refused.kind, ErrorKind::InvalidState);
            exchange(&mut call, &Contents { video: None, ..contents });
            assert_eq!(call.side(a).count(What::Rtp) + call.side(a).count(What::Rtcp), 0);
        }
    }
    assert_eq!(agreed, 1, "the engine has one favourite");
}

#[test]
fn ipv6() {
    let sides = [("2001:db8::1", Config::default()), ("2001:db8::2", Config::default())];
    let mut call = Call::with_addresses(1, lan(), sides);
    let contents = connect(&mut call, "dav");
    exchange(&mut call, &contents);
    let (now, a) = (call.now(), call.a);
    assert!(call.peer(a).local_description().unwrap().sdp.contains("2001:db8::1"));
    assert!(call.peer(a).stats(now).selected_pair().is_some());
}

#[test]
fn no_datagram_is_larger_than_the_mtu() {
    for mtu in [576, 1_200, 1_400, 8_948] {
        let config = Config::default().with_mtu(mtu);
        let link = lan().mtu(mtu + 28);
        let mut call = Call::with_configs(mtu as u64, link, config.clone(), config);
        let contents = connect(&mut call, "dav");
        exchange(&mut call, &contents);
        // Packets of one frame are of equal length, so that only a large one fills them.
        let (now, a) = (call.now(), call.a);
        let mut frame = video_frame(0);
        frame.data = body(0, 80_000);
        call.peer(a).send_frame(now, contents.video.unwrap(), frame).unwrap();
        call.run_for(SECOND);
        let largest = |what| {
            let sent = &call.world.node(a).sent;
            sent.iter().filter(|sent| sent.what == what).map(|sent| sent.len).max().unwrap()
        };
        for what in [What::Dtls, What::Rtp] {
            let size = largest(what);
            assert!(size <= mtu, "{what:?} of {size} octets with an MTU of {mtu}");
            assert!(mtu == 8_948 || size + 60 > mtu, "{what:?} of {size} octets leaves {mtu} unused");
        }
    }
}

#[test]
fn the_largest_message_is_what_the_other_side_takes() {
    let config = Config::default().with_max_message_size(10_000);
    let mut call = Call::with_configs(1, lan(), Config::default(), config);
    let contents = connect(&mut call, "d");
    let (now, a, channel) = (call.now(), call.a, contents.channel.unwrap());
    assert_eq!(call.peer(a).send(now, channel, binary(body(0, 10_001))), Err(SendError::TooLarge));
    assert_eq!(call.peer(a).send(now, channel, binary(body(0, 10_000))), Ok(()));
    assert!(call.run_until(5 * SECOND, |w, _, b| w.node(b).message_count() == 1));
}

#[test]
fn the_send_buffer_is_as_large_as_configured() {
    let config = Config::default().with_data_send_buffer(50_000);
    let mut call = Call::with_configs(1, lan(), config, Config::default());
    let contents = connect(&mut call, "d");
    let (now, a, channel) = (call.now(), call.a, contents.channel.unwrap());
    let taken =
        (0..100).take_while(|n| call.peer(a).send(now, channel, binary(body(*n, 10_000))).is_ok()).count();
    assert!((4..=6).contains(&taken), "{taken} messages of 10,000 octets in 50,000");
    assert!(call.run_until(5 * SECOND, |w, _, b| w.node(b).message_count() == taken));
}

#[test]
fn the_receive_buffer_holds_the_other_side_back() {
    let mut waiting = Vec::new();
    for octets in [256 * 1024, 1024 * 1024] {
        let config = Config::default().with_data_receive_buffer(octets);
        let mut call = Call::with_configs(1, lan(), Config::default(), config);
        let contents = connect(&mut call, "d");
        let (now, a, b, channel) = (call.now(), call.a, call.b, contents.channel.unwrap());
        call.side(b).reading = false;
        for number in 0..200 {
            call.peer(a).send(now, channel, binary(body(number, 20_000))).unwrap();
        }
        call.run_for(20 * SECOND);
        let left = call.peer(a).channel(channel).unwrap().buffered_amount();
        waiting.push(200 * 20_000 - left);
    }
    assert!(waiting[0] <= 512 * 1024 && waiting[1] >= 768 * 1024 && waiting[1] <= 1536 * 1024, "{waiting:?}");
}

#[test]
fn the_certificate_is_the_configured_one() {
    let certificate = Certificate::generate(Duration::from_secs(1_700_000_000)).unwrap();
    let print = certificate.fingerprint(taut_dtls::HashAlgorithm::Sha256).to_string();
    let config = Config::default().with_certificate(certificate.clone());
    let mut call = Call::with_configs(1, lan(), config.clone(), Config::default());
    let contents = connect(&mut call, "dv");
    exchange(&mut call, &contents);
    let a = call.a;
    assert!(call.peer(a).local_description().unwrap().sdp.contains(&print));
    // One that has run out is refused.
    let mut clock = call.world.wall_clock();
    clock.unix = certificate.expires() + SECOND;
    assert_eq!(Peer::new(config, clock, [0; 32]).unwrap_err().kind, ErrorKind::InvalidAccess);
}

#[test]
fn loopback_is_an_option() {
    let call = Call::new(1, lan());
    let clock = call.world.wall_clock();
    let interface = |name: &str, index, address: &str, loopback| InterfaceAddress {
        name: name.into(),
        index,
        address: address.parse().unwrap(),
        loopback,
    };
    let both = [interface("lo", 1, "127.0.0.1", true), interface("eth0", 2, "10.0.0.1", false)];
    let selected = |loopback, interfaces: &[InterfaceAddress]| {
        let peer = Peer::new(Config::default().with_loopback(loopback), clock, [0; 32]).unwrap();
        peer.select_addresses(interfaces).len()
    };
    assert_eq!(selected(Loopback::Always, &both), 2);
    assert_eq!(selected(Loopback::Never, &both), 1);
    assert_eq!(selected(Loopback::Auto, &both), 1);
    assert_eq!(selected(Loopback::Auto, &both[..1]), 1);
    assert_eq!(selected(Loopback::Never, &both[..1]), 0);
}

#[test]
fn an_ice_server_is_asked() {
    let server = IceServer::parse("stun:stun.example:3479").unwrap();
    assert_eq!((server.host.clone(), server.port), (Host::Name("stun.example".into()), 3479));
    let ip = IceServer::parse("stun:10.0.0.9").unwrap();
    let config = Config::default().with_ice_server(server).with_ice_server(ip);
    let mut call = Call::with_configs(1, lan(), config, Config::default());
    let contents = connect(&mut call, "d");
    call.run_for(SECOND);
    let a = call.a;
    let asked = |call: &Call, address: &str| {
        let address = address.parse().unwrap();
        call.world.node(a).sent.iter().any(|sent| sent.remote == address && sent.what == What::Stun)
    };
    assert!(asked(&call, "10.0.0.9:3478"));
    let id = call.side(a).events.iter().find_map(|event| match event {
        Event::Resolve { id, host } if host == "stun.example" => Some(*id),
        _ => None,
    });
    let now = call.now();
    call.peer(a).handle_resolved(
        now,
        id.expect("the name is asked for"),
        Ok(vec!["10.0.0.8".parse().unwrap()]),
    );
    call.run_for(SECOND);
    assert!(asked(&call, "10.0.0.8:3479"));
    exchange(&mut call, &contents);
}
