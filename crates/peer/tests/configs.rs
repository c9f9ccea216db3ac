//! Whole calls with every option of the configuration, each shown to matter, and with every mixture of contents.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Call, What, audio_frame, binary, body, config, video_frame};
use taut_netsim::{Link, Loss};
use taut_peer::stats::TransportReport;
use taut_peer::{
    Certificate, ChannelId, ChannelInit, Config, ConnectionState, DataCongestion, DataScheduler, DataTiming,
    Direction, DtlsEngine, DtlsRole, DtlsVersion, ErrorKind, Event, Host, IceServer, InterfaceAddress, Kind,
    Loopback, Peer, Priority, SctpState, SendError, SrtpProfile, TrackInfo, TransceiverId, TransceiverInit,
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

/// What the engine of these tests speaks.
fn versions() -> &'static [DtlsVersion] {
    match config().dtls_engine {
        DtlsEngine::Dimpl => &[DtlsVersion::Dtls12, DtlsVersion::Dtls13],
        _ => &[DtlsVersion::Dtls12],
    }
}

#[test]
fn dtls_1_2_and_1_3() {
    let mut seed = 0;
    for &one in versions() {
        for &other in versions() {
            let up_to = |version| config().with_dtls_versions(DtlsVersion::Dtls12, version);
            let mut call = Call::with_configs(seed, lan(), up_to(one), up_to(other));
            let contents = connect(&mut call, "dav");
            exchange(&mut call, &contents);
            let expected = if one.min(other) == DtlsVersion::Dtls12 { "FEFD" } else { "FEFC" };
            assert_eq!(transport(&mut call).tls_version.as_deref(), Some(expected), "{one:?} {other:?}");
            // No older one either.
            if one > DtlsVersion::Dtls12 && other == DtlsVersion::Dtls12 {
                let only = config().with_dtls_versions(one, one);
                assert_failed(Call::with_configs(seed, lan(), only, up_to(other)));
            }
            seed += 1;
        }
    }
}

/// The two find each other, and have no DTLS version in common.
fn assert_failed(mut call: Call) {
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
    for (seed, (setup, offerer)) in
        [("actpass", DtlsRole::Server), ("active", DtlsRole::Client)].into_iter().enumerate()
    {
        for &version in versions() {
            let config = config().with_dtls_versions(version, version);
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
            assert_eq!(stream.is_multiple_of(2), offerer == DtlsRole::Client);
        }
    }
}

/// Why a peer with this configuration cannot be made.
fn refused(config: Config) -> Option<ErrorKind> {
    let clock = Call::new(1, lan()).world.wall_clock();
    Peer::new(config, clock, [0; 32]).err().map(|error| error.kind)
}

const PROFILES: [SrtpProfile; 3] =
    [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmSha1_80];

#[test]
fn only_the_listed_srtp_profiles_are_agreed_on() {
    if config().dtls_engine == DtlsEngine::Dimpl {
        // It cannot choose.
        for profiles in [&PROFILES[..], &PROFILES[..1], &[]] {
            let config = config().with_srtp_profiles(profiles.to_vec());
            assert_eq!(refused(config), Some(ErrorKind::NotSupported), "{profiles:?}");
        }
        return;
    }
    let names = ["SRTP_AEAD_AES_128_GCM", "SRTP_AEAD_AES_256_GCM", "SRTP_AES128_CM_HMAC_SHA1_80"];
    for (seed, (profile, name)) in PROFILES.into_iter().zip(names).enumerate() {
        let only = config().with_srtp_profiles(vec![profile]);
        let mut call = Call::with_configs(seed as u64, lan(), only, config());
        let contents = connect(&mut call, "dv");
        assert_eq!(transport(&mut call).srtp_cipher, Some(name));
        exchange(&mut call, &contents);
    }
    // Nothing in common: data flows, media does not.
    let [one, other] = [0, 1].map(|place| config().with_srtp_profiles(vec![PROFILES[place]]));
    let mut call = Call::with_configs(9, lan(), one, other);
    let contents = connect(&mut call, "dv");
    assert_eq!(transport(&mut call).srtp_cipher, None);
    let (now, a) = (call.now(), call.a);
    let refused = call.peer(a).send_frame(now, contents.video.unwrap(), video_frame(0)).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::InvalidState);
    exchange(&mut call, &Contents { video: None, ..contents });
    assert_eq!(call.side(a).count(What::Rtp) + call.side(a).count(What::Rtcp), 0);
}

#[test]
fn what_the_dtls_engine_cannot_do_is_refused() {
    let newest = *versions().last().unwrap();
    let turned = config().with_dtls_versions(DtlsVersion::Dtls13, DtlsVersion::Dtls12);
    assert_eq!(refused(turned), Some(ErrorKind::Range));
    let too_new = config().with_dtls_versions(DtlsVersion::Dtls12, DtlsVersion::Dtls13);
    let expected = (newest < DtlsVersion::Dtls13).then_some(ErrorKind::NotSupported);
    assert_eq!(refused(too_new), expected);
    let rsa = Certificate::generate_rsa(Call::new(1, lan()).world.wall_clock().unix).unwrap();
    let expected = (config().dtls_engine == DtlsEngine::Dimpl).then_some(ErrorKind::NotSupported);
    assert_eq!(refused(config().with_certificate(rsa)), expected);
    assert_eq!(refused(config().with_key_log("keys")), expected);
}

#[test]
fn the_key_log_is_told_when_it_is_asked_for() {
    if config().dtls_engine == DtlsEngine::Dimpl {
        return; // Refused, see above.
    }
    let mut call = Call::with_configs(1, lan(), config().with_key_log("keys"), config());
    connect(&mut call, "d");
    let (a, b) = (call.a, call.b);
    let lines = |call: &mut Call, side| {
        let events = call.side(side).events.iter();
        events
            .filter(|event| matches!(event, Event::KeyLog(line) if line.starts_with("CLIENT_RANDOM ")))
            .count()
    };
    assert_eq!((lines(&mut call, a), lines(&mut call, b)), (1, 0));
}

#[test]
fn ipv6() {
    let sides = [("2001:db8::1", config()), ("2001:db8::2", config())];
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
        let config = config().with_mtu(mtu).with_data_max_mtu(mtu);
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
    let config = config().with_max_message_size(10_000);
    let mut call = Call::with_configs(1, lan(), common::config(), config);
    let contents = connect(&mut call, "d");
    let (now, a, channel) = (call.now(), call.a, contents.channel.unwrap());
    assert_eq!(call.peer(a).send(now, channel, binary(body(0, 10_001))), Err(SendError::TooLarge));
    assert_eq!(call.peer(a).send(now, channel, binary(body(0, 10_000))), Ok(()));
    assert!(call.run_until(5 * SECOND, |w, _, b| w.node(b).message_count() == 1));
}

#[test]
fn the_send_buffer_is_as_large_as_configured() {
    let config = config().with_data_send_buffer(50_000);
    let mut call = Call::with_configs(1, lan(), config, common::config());
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
        let config = config().with_data_receive_buffer(octets);
        let mut call = Call::with_configs(1, lan(), common::config(), config);
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
fn data_is_sent_as_the_congestion_control_that_was_chosen_would() {
    // Where one packet in a hundred is lost, only one of them goes on as if nothing were.
    let arrived = |algorithm| {
        let link = Link::default().latency(MS * 20).loss(Loss::Random(0.01));
        let chosen = config().with_data_congestion(algorithm).with_data_max_mtu(0);
        let mut call = Call::with_configs(1, link, chosen, config());
        let contents = connect(&mut call, "d");
        let (now, a, b, channel) = (call.now(), call.a, call.b, contents.channel.unwrap());
        for number in 0..400 {
            call.peer(a).send(now, channel, binary(body(number, 20_000))).unwrap();
        }
        call.run_for(3 * SECOND);
        call.world.node(b).message_count()
    };
    let [reno, cubic, bbr] =
        [DataCongestion::NewReno, DataCongestion::Cubic, DataCongestion::Bbr].map(arrived);
    assert!(bbr > 3 * cubic.max(reno) && cubic != reno, "{reno} {cubic} {bbr}");
}

#[test]
fn data_channels_share_the_way_as_the_scheduler_that_was_chosen_says() {
    let waiting = |scheduler| {
        let link = Link::default().latency(MS * 20).rate(8_000_000).queue(40_000);
        let chosen = config().with_data_scheduler(scheduler);
        let mut call = Call::with_configs(1, link, chosen, config());
        connect(&mut call, "d");
        let (now, a) = (call.now(), call.a);
        let channels = [Priority::High, Priority::Low].map(|priority| {
            let init = ChannelInit::new("x").with_priority(priority);
            call.peer(a).create_data_channel(now, init).unwrap()
        });
        for number in 0..50 {
            for channel in channels {
                call.peer(a).send(now, channel, binary(body(number, 20_000))).unwrap();
            }
        }
        call.run_for(SECOND);
        channels.map(|channel| call.peer(a).channel(channel).unwrap().buffered_amount())
    };
    let [high, low] = waiting(DataScheduler::RoundRobin);
    assert!(high.abs_diff(low) < 50_000, "{high} {low}");
    let [high, low] = waiting(DataScheduler::Priority);
    assert!(high < 400_000 && low > 950_000, "{high} {low}");
    let [high, low] = waiting(DataScheduler::WeightedFair);
    assert!(high + 300_000 < low && low < 950_000, "{high} {low}");
}

#[test]
fn a_large_message_holds_up_others_only_where_they_are_not_mixed() {
    let time = |interleaving| {
        let link = Link::default().latency(MS * 20).rate(8_000_000).queue(40_000);
        let chosen = config().with_data_interleaving(interleaving);
        let mut call = Call::with_configs(1, link, chosen, config());
        let large = connect(&mut call, "d").channel.unwrap();
        let (now, a, b) = (call.now(), call.a, call.b);
        let small = call.peer(a).create_data_channel(now, ChannelInit::new("small")).unwrap();
        call.run_for(SECOND);
        let now = call.now();
        call.peer(a).send(now, large, binary(body(0, 200_000))).unwrap();
        call.run_for(20 * MS);
        let now = call.now();
        call.peer(a).send(now, small, binary(body(0, 100))).unwrap();
        assert!(
            call.run_until(5 * SECOND, |w, _, b| w.node(b).message_count() == 1 + usize::from(!interleaving))
        );
        assert_eq!(call.side(b).message_count() == 1, interleaving);
        call.now() - now
    };
    let (mixed, alone) = (time(true), time(false));
    assert!(mixed < 100 * MS && alone > 150 * MS, "{mixed:?} {alone:?}");
}

#[test]
fn data_channels_give_up_when_they_are_told_to() {
    let state = |timing| {
        let mut call = Call::with_configs(1, lan(), config().with_data_timing(timing), config());
        let channel = connect(&mut call, "d").channel.unwrap();
        let (a, b) = (call.a, call.b);
        call.run_for(SECOND);
        call.world.set_link(a, b, Link::default().loss(Loss::Random(1.0)));
        let now = call.now();
        call.peer(a).send(now, channel, binary(body(0, 100))).unwrap();
        // ICE goes on for 30 s.
        call.run_for(10 * SECOND);
        call.peer(a).sctp().map(|sctp| sctp.state)
    };
    assert_eq!(state(DataTiming::default().with_max_retransmits(1)), Some(SctpState::Closed));
    assert_eq!(state(DataTiming::default()), Some(SctpState::Connected));
}

#[test]
fn the_certificate_is_the_configured_one() {
    let certificate = Certificate::generate(Duration::from_secs(1_700_000_000)).unwrap();
    let print = certificate.fingerprint(taut_dtls::HashAlgorithm::Sha256).to_string();
    let config = config().with_certificate(certificate.clone());
    let mut call = Call::with_configs(1, lan(), config.clone(), common::config());
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
        let peer = Peer::new(config().with_loopback(loopback), clock, [0; 32]).unwrap();
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
    let config = config().with_ice_server(server).with_ice_server(ip);
    let mut call = Call::with_configs(1, lan(), config, common::config());
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

#[test]
fn a_pool_of_candidates_is_told_of_when_the_first_description_is_set() {
    use taut_peer::IceGatheringState;
    for pool in [0, 1] {
        let config = || config().with_ice_candidate_pool_size(pool);
        let mut call = Call::with_configs(1, lan(), config(), config());
        let (now, a) = (call.now(), call.a);
        let id = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
        call.run_for(SECOND);
        assert_eq!(call.peer(a).ice_gathering_state(), IceGatheringState::New);
        let told = |call: &mut Call| {
            call.side(a).events.iter().filter(|event| matches!(event, Event::IceCandidate(_))).count()
        };
        assert_eq!(told(&mut call), 0, "nobody is to know yet");
        // With a pool there is nothing left to do but to tell.
        let gathered = call.peer(a).ice_report().local.len();
        assert_eq!(gathered, if pool > 0 { 2 } else { 0 });
        let offer = call.peer(a).create_offer(now, Default::default()).unwrap();
        assert!(!offer.sdp.contains("a=candidate"));
        call.negotiate(a);
        assert_eq!(told(&mut call), 3, "one, its twin over TCP, and the end");
        assert!(call.peer(a).local_description().unwrap().sdp.contains("a=end-of-candidates"));
        assert!(call.connect(5 * SECOND));
        assert!(call.run_until(SECOND, |world, a, _| world.node(a).saw(&Event::ChannelOpen(id))));
    }
}
