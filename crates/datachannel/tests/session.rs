//! Channels between two sessions: opening, messages, closing, bounds.

mod common;

use std::time::Duration;

use common::*;
use taut_datachannel::*;
use taut_netsim::{Link, Loss};

#[test]
fn public_types_are_send_sync_debug() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<Session>();
    check::<Channel>();
    check::<Config>();
    check::<Event>();
    check::<Stats>();
}

#[test]
fn messages_sent_before_the_start_arrive_first_and_in_order() {
    let mut net = Net::new(1, clean());
    let chat = net.open_a(ChannelInit::new("chat").with_protocol("v1"));
    assert_eq!(net.a().session.channel(chat).unwrap().stream_id(), None);
    net.send_a(chat, "one");
    net.send_a(chat, vec![2; 5_000]);
    net.send_a(chat, "");
    net.send_a(chat, Vec::new());
    assert_eq!(net.a().session.channel(chat).unwrap().buffered_amount(), 5_003);
    assert_eq!(net.a().session.channel(chat).unwrap().state(), ChannelState::Connecting);
    net.start();
    assert!(net.until(|_, b| b.received() == 4));
    let id = net.b().incoming()[0];
    let expected =
        [Message::text("one"), Message::binary(vec![2; 5_000]), Message::text(""), Message::binary(vec![])];
    assert_eq!(net.b().messages[&id], expected);
    let channel = net.b().session.channel(id).unwrap();
    assert_eq!((channel.label(), channel.protocol(), channel.stream_id()), ("chat", "v1", Some(0)));
    assert!(channel.ordered() && !channel.negotiated());
    assert_eq!((channel.messages_received(), channel.bytes_received()), (4, 5_003));
    let channel = net.a().session.channel(chat).unwrap();
    assert_eq!((channel.buffered_amount(), channel.state()), (0, ChannelState::Open));
    assert_eq!(net.a().events, [Event::Connected, Event::Open(chat), Event::BufferedAmountLow(chat)]);
    let b = net.b();
    assert_eq!(b.events[..3], [Event::Connected, Event::Incoming(id), Event::Open(id)]);
    assert_eq!(b.events[3], Event::Readable(id));
}

#[test]
fn parity_follows_the_role_and_both_open_at_once() {
    let mut net = Net::new(2, clean());
    let a: Vec<_> = (0..5).map(|i| net.open_a(ChannelInit::new(format!("a{i}")))).collect();
    let b: Vec<_> = (0..5).map(|i| net.open_b(ChannelInit::new(format!("b{i}")))).collect();
    net.start();
    assert!(net.until(|a, b| a.incoming().len() == 5 && b.incoming().len() == 5));
    let streams = |end: &End, ids: &[ChannelId]| -> Vec<u16> {
        ids.iter().map(|&id| end.session.channel(id).unwrap().stream_id().unwrap()).collect()
    };
    assert_eq!(streams(net.a(), &a), [0, 2, 4, 6, 8]);
    assert_eq!(streams(net.b(), &b), [1, 3, 5, 7, 9]);
}

#[test]
fn channel_kinds_are_told() {
    let mut net = Net::connected(3, clean());
    net.open_a(ChannelInit::new("u").with_ordered(false));
    net.open_a(ChannelInit::new("r").with_max_retransmits(3));
    net.open_a(ChannelInit::new("t").with_ordered(false).with_max_packet_life_time(1_500 * MS));
    assert!(net.until(|_, b| b.incoming().len() == 3));
    let ids = net.b().incoming();
    let session = &net.b().session;
    let [u, r, t] = [0, 1, 2].map(|i| session.channel(ids[i]).unwrap());
    assert!(!u.ordered() && r.ordered() && !t.ordered());
    assert_eq!((r.max_retransmits(), r.max_packet_life_time()), (Some(3), None));
    assert_eq!(t.max_packet_life_time(), Some(1_500 * MS));
    let both = ChannelInit::new("x").with_max_retransmits(1).with_max_packet_life_time(MS);
    let now = net.world.now();
    assert_eq!(net.a().session.open(now, both), Err(OpenError::BothLimits));
    let long = ChannelInit::new("x".repeat(65_536));
    assert_eq!(net.a().session.open(now, long), Err(OpenError::TooLong));
    net.open_a(ChannelInit::new("y".repeat(65_535)).with_protocol("z".repeat(65_535)));
    assert!(net.until(|_, b| b.incoming().len() == 4), "the longest OPEN arrives");
}

#[test]
fn negotiated_channels_say_nothing() {
    let mut net = Net::new(4, clean());
    let init = ChannelInit::new("n").with_negotiated(7);
    let (a, b) = (net.open_a(init.clone()), net.open_b(init.clone()));
    let now = net.world.now();
    assert_eq!(net.a().session.open(now, init), Err(OpenError::IdInUse));
    let none = ChannelInit::new("n").with_negotiated(65_535);
    assert_eq!(net.a().session.open(now, none), Err(OpenError::InvalidId));
    net.send_a(a, "hello");
    net.start();
    assert!(net.until(|_, end| end.received() == 1));
    net.send_b(b, "back");
    assert!(net.until(|end, _| end.received() == 1));
    assert!(net.a().incoming().is_empty() && net.b().incoming().is_empty());
}

#[test]
fn closing_flushes_and_ids_are_used_again_after_both_resets() {
    let mut net = Net::connected(5, clean());
    for round in 0..5 {
        let id = net.open_a(ChannelInit::new("c").with_negotiated(12));
        let other = net.open_b(ChannelInit::new("c").with_negotiated(12));
        for i in 0..20 {
            net.send_a(id, vec![i; 10_000]);
        }
        net.send_b(other, "last words");
        net.world.run_for(30 * MS);
        net.close_a(id);
        net.close_a(id);
        let now = net.world.now();
        assert_eq!(net.a().session.send(now, id, "late".into()), Err(SendError::Closed));
        assert!(net.until(|a, b| a.saw(Event::Closed(id)) && b.saw(Event::Closed(other))), "{round}");
        assert_eq!(net.b().messages[&other].len(), 20);
        assert!(net.a().session.channel(id).is_none());
        let position = |event| net.world.node(net.b).events.iter().position(|e| *e == event).unwrap();
        assert!(position(Event::Closing(other)) < position(Event::Closed(other)));
    }
    let stats = net.a().session.stats();
    assert_eq!((stats.channels_opened, stats.channels_closed), (5, 5));
}

#[test]
fn seeds_of_loss_reordering_and_duplication() {
    for seed in 0..60 {
        let link = Link::default()
            .latency(15 * MS)
            .jitter(10 * MS)
            .loss(Loss::Random((seed % 5) as f64 * 0.05))
            .reorder(0.1, 30 * MS)
            .duplicate(0.05);
        let mut net = Net::new(seed, link);
        let a: Vec<_> =
            (0..4).map(|i| net.open_a(ChannelInit::new(format!("{i}")).with_ordered(i % 2 == 0))).collect();
        let b = net.open_b(ChannelInit::new("b"));
        net.start();
        for i in 0..25u8 {
            for &id in &a {
                net.send_a(id, vec![i; 1 + usize::from(i) * 150]);
            }
            net.send_b(b, format!("{i}"));
            net.world.run_for(3 * MS);
        }
        for id in a.clone() {
            net.close_a(id);
        }
        let now = net.world.now();
        net.b().session.close_channel(now, b);
        let over = |end: &End| end.events.iter().filter(|e| matches!(e, Event::Closed(_))).count() == 5;
        assert!(net.until(|a, b| over(a) && over(b)), "seed {seed}: {:?}", net.a().events);
        let ids = net.b().incoming();
        assert_eq!(ids.len(), 4, "seed {seed}");
        for id in ids {
            let mut numbers: Vec<u8> = Vec::new();
            for message in &net.b().messages[&id] {
                assert_eq!(message.data.len(), 1 + usize::from(message.data[0]) * 150);
                assert!(message.data.iter().all(|&octet| octet == message.data[0]), "seed {seed}: torn");
                numbers.push(message.data[0]);
            }
            if !net.b().ordered[&id] {
                numbers.sort_unstable();
            }
            assert_eq!(numbers, (0..25).collect::<Vec<_>>(), "seed {seed}");
        }
        let texts: Vec<_> =
            net.a().messages.values().flatten().map(|m| m.as_text().unwrap().to_owned()).collect();
        assert_eq!(texts, (0..25).map(|i| i.to_string()).collect::<Vec<_>>(), "seed {seed}");
        assert!(net.a().session.channels().next().is_none() && net.b().session.channels().next().is_none());
    }
}

#[test]
fn sizes_are_limited_both_ways() {
    let mut net = Net::with(6, clean(), Config::default().with_max_message_size(1_000));
    let id = net.open_a(ChannelInit::new("x"));
    let small = net.open_a(ChannelInit::new("y"));
    // A believes that B takes more than it does.
    net.start_with(2_000);
    assert!(net.until(|_, b| b.incoming().len() == 2));
    let now = net.world.now();
    let refused = net.a().session.send(now, id, vec![0; 2_001].into());
    assert_eq!(refused, Err(SendError::TooLarge));
    net.send_a(id, vec![0; 1_000]);
    net.send_a(id, vec![0; 1_001]);
    net.send_a(small, vec![0; 1_000]);
    assert!(net.until(|a, _| a.saw(Event::Closed(id))), "the channel is closed");
    assert_eq!(net.b().session.stats().oversized, 1);
    assert_eq!(net.b().received(), 2);
    net.send_a(small, "still here");
    assert!(net.until(|_, b| b.received() == 3));
}

#[test]
fn buffered_amount_and_its_event() {
    let mut net = Net::connected(7, clean());
    let id = net.open_a(ChannelInit::new("x"));
    net.a().session.set_buffered_amount_low_threshold(id, 50_000);
    for _ in 0..20 {
        net.send_a(id, vec![0; 10_000]);
    }
    assert_eq!(net.a().session.channel(id).unwrap().buffered_amount(), 200_000, "OPEN does not count");
    assert!(net.until(|a, _| a.saw(Event::BufferedAmountLow(id))));
    let amount = net.a().session.channel(id).unwrap().buffered_amount();
    assert!(amount <= 50_000, "{amount}");
    assert!(net.until(|_, b| b.received() == 20));
    let low = net.a().events.iter().filter(|e| **e == Event::BufferedAmountLow(id)).count();
    assert_eq!(low, 1, "on crossing only");
}

#[test]
fn the_send_buffer_is_bounded_before_and_after_the_start() {
    let mut net = Net::with(8, clean(), Config::default().with_send_buffer(100_000));
    let id = net.open_a(ChannelInit::new("x"));
    let now = net.world.now();
    let fill = |net: &mut Net| {
        let mut taken = 0;
        while net.a().session.send(now, id, vec![0; 1_000].into()).is_ok() {
            taken += 1;
        }
        assert_eq!(net.a().session.send(now, id, vec![0; 1_000].into()), Err(SendError::Full));
        taken
    };
    let before = fill(&mut net);
    assert!((90..=94).contains(&before), "{before}");
    net.start();
    assert!(net.until(|_, b| b.received() == before));
    let after = fill(&mut net);
    assert!(after >= before, "{after}");
    assert!(net.until(|_, b| b.received() == before + after));
}

#[test]
fn an_unread_channel_holds_its_window_and_others_go_on() {
    let config = Config::default().with_receive_buffer(400_000).with_send_buffer(8 << 20);
    let mut net = Net::with(9, clean(), config);
    net.start();
    let id = net.open_a(ChannelInit::new("bulk"));
    net.b().reads = false;
    for _ in 0..200 {
        net.send_a(id, vec![7; 1_000]);
    }
    net.world.run_for(Duration::from_secs(5));
    let stats = net.b().session.stats();
    assert!(stats.unread <= 120_000, "a quarter of the buffer: {}", stats.unread);
    assert!(stats.association.unread > 50_000, "the rest stays in the association");
    // Another channel, opened later, works.
    let other = net.open_a(ChannelInit::new("other"));
    net.send_a(other, "through");
    assert!(net.until(|_, b| b.incoming().len() == 2));
    net.world.run_for(Duration::from_secs(1));
    let incoming = net.b().incoming();
    assert_eq!(net.b().session.poll_message(incoming[1]), Some(Message::text("through")));
    // Much more than all buffers: nothing grows beyond them.
    for _ in 0..3_000 {
        net.send_a(id, vec![7; 1_000]);
    }
    net.world.run_for(Duration::from_secs(60));
    let stats = net.b().session.stats();
    assert!(stats.unread + stats.association.unread <= 600_000);
    net.b().reads = true;
    assert!(net.until(|_, b| b.received() == 3_200));
}

#[test]
fn many_channels_that_are_not_read_stay_within_the_buffer() {
    let config = Config::default().with_receive_buffer(200_000).with_send_buffer(8 << 20);
    let mut net = Net::with(10, clean(), config);
    net.start();
    net.b().reads = false;
    let ids: Vec<_> = (0..50).map(|i| net.open_a(ChannelInit::new(format!("{i}")))).collect();
    for _ in 0..3 {
        for &id in &ids {
            net.send_a(id, vec![1; 10_000]);
        }
    }
    net.world.run_for(Duration::from_secs(30));
    let stats = net.b().session.stats();
    assert!(stats.unread <= 200_000 + 11_000, "{}", stats.unread);
    net.b().reads = true;
    assert!(net.until(|_, b| b.received() == 150));
}

#[test]
fn a_reset_waits_until_everything_was_read() {
    let config = Config::default().with_receive_buffer(100_000);
    let mut net = Net::with(11, clean(), config);
    net.start();
    net.b().reads = false;
    let id = net.open_a(ChannelInit::new("x"));
    for _ in 0..60 {
        net.send_a(id, vec![1; 1_000]);
    }
    net.world.run_for(Duration::from_secs(1));
    net.close_a(id);
    net.world.run_for(Duration::from_secs(5));
    let other = net.b().incoming()[0];
    assert!(net.b().saw(Event::Closing(other)) && !net.b().saw(Event::Closed(other)));
    assert!(!net.b().saw(Event::Complete(other)), "not all was read");
    net.b().reads = true;
    assert!(net.until(|a, b| a.saw(Event::Closed(id)) && b.saw(Event::Closed(other))));
    assert_eq!(net.b().received(), 60, "nothing is lost");
    assert!(net.a().saw(Event::Complete(id)) && net.b().saw(Event::Complete(other)));
}

#[test]
fn the_end_of_the_session_closes_all_channels() {
    let mut net = Net::connected(12, clean());
    let id = net.open_a(ChannelInit::new("x"));
    net.send_a(id, "last");
    assert!(net.until(|_, b| b.incoming().len() == 1));
    let now = net.world.now();
    net.a().session.shutdown(now);
    let other = net.b().incoming()[0];
    assert!(net.until(|a, b| a.saw(Event::Closed(id)) && b.saw(Event::Closed(other))));
    assert_eq!(net.b().received(), 1);
    assert!(matches!(net.a().events.last(), Some(Event::Disconnected(_))));
    assert_eq!(net.a().session.open(now, ChannelInit::new("y")), Err(OpenError::Closed));

    let mut net = Net::connected(13, clean());
    let id = net.open_a(ChannelInit::new("x"));
    let now = net.world.now();
    net.a().session.handle_transport_closed(now);
    net.world.run_for(MS);
    let end = [Event::Closed(id), Event::Disconnected(CloseReason::Transport)];
    assert!(net.a().events.ends_with(&end) && !net.a().saw(Event::Complete(id)));
}

#[test]
fn ids_run_out_with_an_error_and_come_back() {
    let mut net = Net::with(14, clean(), Config::default().with_max_incoming_channels(40_000));
    net.start();
    assert!(net.until(|a, b| a.saw(Event::Connected) && b.saw(Event::Connected)));
    let now = net.world.now();
    let mut ids = Vec::new();
    let refused = loop {
        match net.a().session.open(now, ChannelInit::new("")) {
            Ok(id) => ids.push(id),
            Err(error) => break error,
        }
    };
    assert_eq!((ids.len(), refused), (32_768, OpenError::Exhausted));
    assert!(net.until(|_, b| b.incoming().len() == 32_768));
    let id = ids[100];
    net.close_a(id);
    assert!(net.until(|a, _| a.saw(Event::Closed(id))));
    let again = net.open_a(ChannelInit::new("again"));
    assert_eq!(net.a().session.channel(again).unwrap().stream_id(), Some(200));
    assert!(net.until(|_, b| b.incoming().len() == 32_769));
}

#[test]
fn opening_and_closing_for_ever_leaks_nothing() {
    open_and_close(clean(), 40);
}

/// As the issue has it, with some loss; slow without optimization.
#[test]
#[ignore = "200,000 channels take a while"]
fn two_hundred_thousand_channels_open_and_close() {
    open_and_close(clean().latency(MS).loss(Loss::Random(0.01)), 800);
}

/// Opens and closes 250 channels at a time, each with one message.
fn open_and_close(link: Link, rounds: u64) {
    let mut net = Net::connected(15, link);
    net.b().reads = true;
    for round in 0..rounds {
        let ids: Vec<_> = (0..250).map(|_| net.open_a(ChannelInit::new("x"))).collect();
        for &id in &ids {
            net.send_a(id, "m");
            net.close_a(id);
        }
        let last = ids[249];
        let closed = |end: &End| end.events.iter().filter(|e| matches!(e, Event::Closed(_))).count();
        assert!(
            net.until(|a, b| a.saw(Event::Closed(last)) && closed(a) == 250 && closed(b) == 250),
            "{round}"
        );
        assert_eq!(net.b().received(), 250, "{round}");
        net.a().events.clear();
        net.b().events.clear();
        net.b().messages.clear();
    }
    let now = net.world.now();
    net.a().session.handle_timeout(now);
    net.b().session.handle_timeout(now);
    assert!(net.a().session.channels().next().is_none());
    assert!(net.b().session.channels().next().is_none());
    assert_eq!(net.a().session.stats().channels_closed, rounds * 250);
    assert_eq!(net.a().session.stats().association.queued + net.b().session.stats().association.unread, 0);
}

#[test]
fn a_narrow_path_is_filled_and_not_flooded() {
    let narrow = clean().latency(30 * MS).rate(2_000_000).queue(30_000);
    let mut net = Net::connected(16, narrow);
    let id = net.open_a(ChannelInit::new("bulk"));
    for _ in 0..100 {
        net.send_a(id, vec![7; 10_000]);
    }
    let start = net.world.now();
    assert!(net.until(|_, b| b.received() == 100));
    let took = net.world.now() - start;
    // 1 MB takes 4.0 s at the least.
    let stats = net.a().session.stats().association;
    assert!(took < 5_000 * MS, "{took:?}");
    // What slow start pours over the brim of the queue is sent again, and nothing else.
    assert!(stats.retransmissions * 8 < stats.data_sent, "{stats:?}");
    assert!(stats.probes <= 2 && stats.timeouts == 0, "losses of a queue show without them: {stats:?}");
    let twice = net.b().session.stats().association.duplicate_tsns;
    assert!(twice <= 2, "{twice} chunks were sent again for nothing");
}

#[test]
fn a_path_that_loses_a_fifth_goes_on() {
    for seed in 0..5 {
        let mut net = Net::connected(seed, Link::default().latency(140 * MS).loss(Loss::Random(0.2)));
        let id = net.open_a(ChannelInit::new("bulk"));
        for _ in 0..40 {
            net.send_a(id, vec![7; 10_000]);
        }
        let start = net.world.now();
        assert!(net.until(|_, b| b.received() == 40));
        let took = net.world.now() - start;
        assert!(took < Duration::from_secs(75), "seed {seed}: {took:?}");
    }
}

#[test]
fn what_was_acknowledged_is_read_after_the_end_too() {
    for shuts_down in [true, false] {
        let mut net = Net::with(14, clean(), Config::default().with_receive_buffer(1 << 20));
        net.start();
        net.b().reads = false;
        let id = net.open_a(ChannelInit::new("x"));
        let other = net.open_a(ChannelInit::new("y"));
        for _ in 0..30 {
            net.send_a(id, vec![1; 16_000]);
            net.send_a(other, vec![2; 4_000]);
        }
        net.world.run_for(Duration::from_secs(5));
        let association = net.a().session.stats().association;
        assert_eq!((association.queued, association.in_flight), (0, 0), "everything is there");
        assert!(net.b().session.stats().association.unread > 100_000, "and not all of it was taken");
        let now = net.world.now();
        if shuts_down {
            net.a().session.shutdown(now);
            assert!(net.until(|_, b| matches!(b.events.last(), Some(Event::Disconnected(_)))));
        } else {
            net.b().session.handle_transport_closed(now);
            net.b().drain();
            assert_eq!(net.b().events.last(), Some(&Event::Disconnected(CloseReason::Transport)));
        }
        net.b().reads = true;
        net.b().drain();
        assert_eq!(net.b().received(), 60, "nothing is lost");
    }
}

#[test]
fn reading_a_closed_channel_does_not_wake_the_one_that_has_its_stream_now() {
    let config = Config::default().with_receive_buffer(400_000);
    let mut net = Net::with(15, clean(), config);
    net.start();
    net.b().reads = false;
    let init = ChannelInit::new("x").with_negotiated(7);
    let (id, there) = (net.open_a(init.clone()), net.open_b(init.clone()));
    // So many that the channel pauses with the last of them.
    (0..94).for_each(|_| net.send_a(id, vec![1; 1_000]));
    net.world.run_for(Duration::from_secs(2));
    net.close_a(id);
    assert!(net.until(|a, b| a.saw(Event::Closed(id)) && b.saw(Event::Closed(there))));
    let (id, next) = (net.open_a(init.clone()), net.open_b(init));
    (0..200).for_each(|_| net.send_a(id, vec![2; 1_000]));
    net.world.run_for(Duration::from_secs(2));
    assert!(net.b().session.channel(next).unwrap().unread() < 100_000);
    while net.b().session.poll_message(there).is_some() {}
    net.world.run_for(Duration::from_secs(2));
    assert!(net.b().session.channel(next).unwrap().unread() < 100_000, "it is paused still");
    net.b().reads = true;
    net.b().drain();
    assert!(net.until(|_, b| b.messages.get(&next).is_some_and(|messages| messages.len() == 200)));
}

#[test]
fn the_size_that_the_other_side_takes_holds_for_what_was_sent_before_it_was_known() {
    for negotiated in [true, false] {
        let mut net = Net::new(16, clean());
        let mut init = ChannelInit::new("x");
        init.negotiated = negotiated.then_some(3);
        if negotiated {
            net.open_b(init.clone());
        }
        let id = net.open_a(init);
        net.send_a(id, vec![1; 100_001]);
        net.send_a(id, "small");
        net.start_with(100_000);
        assert!(net.until(|_, b| b.received() > 0));
        net.world.run_for(Duration::from_secs(1));
        let sizes: Vec<usize> =
            net.b().messages.values().flatten().map(|message| message.data.len()).collect();
        assert_eq!(sizes, [5], "{negotiated}");
        assert_eq!(net.a().session.stats().oversized, 1);
        assert_eq!(net.a().session.channel(id).unwrap().buffered_amount(), 0);
    }
}

#[test]
fn a_message_that_cannot_go_makes_the_buffered_amount_fall_like_any_other() {
    let mut net = Net::new(17, clean());
    let id = net.open_a(ChannelInit::new("x"));
    net.send_a(id, vec![1; 100_001]);
    net.start_with(100_000);
    net.world.run_for(Duration::from_secs(1));
    assert_eq!(net.a().session.channel(id).unwrap().buffered_amount(), 0);
    assert!(net.a().saw(Event::BufferedAmountLow(id)));
}
