//! How channels share the way: interleaving, priorities, and what the options of the session do.

mod common;

use std::time::Duration;

use common::*;
use taut_datachannel::*;
use taut_netsim::Link;

/// 20 Mbit/s, 10 ms each way, and a queue of 12 ms.
fn link() -> Link {
    clean().rate(20_000_000).queue(30_000)
}

/// How long a small message takes while another channel sends messages of this length.
fn delay_of_a_small_message(config: Config, length: usize) -> Duration {
    let mut net = Net::with(1, link(), config);
    net.start_with(0);
    let bulk = net.open_a(ChannelInit::new("bulk"));
    let chat = net.open_a(ChannelInit::new("chat"));
    net.send_a(chat, "hello");
    assert!(net.until(|_, b| b.received() == 1));
    let mut left = 100_000_000 / length;
    let start = net.world.now();
    let mut sent = None;
    loop {
        let now = net.world.now();
        while left > 0 && net.a().session.send(now, bulk, vec![1; length].into()).is_ok() {
            left -= 1;
        }
        if sent.is_none() && now > start + 300 * MS {
            net.send_a(chat, vec![2; 100]);
            sent = Some(now);
        }
        net.world.run_for(2 * MS);
        let done = net.b().messages.values().flatten().any(|message| message.data.len() == 100);
        if let Some(sent) = sent.filter(|_| done) {
            return net.world.now() - sent;
        }
        assert!(now < start + LIMIT);
    }
}

#[test]
fn a_hundred_megabytes_on_one_channel_do_not_delay_a_small_message_on_another() {
    let any = Config::default().with_max_message_size(0).with_send_buffer(128 << 20);
    // One message of 100 MB, and many of 64 KiB: 10 ms on the way, at most 12 in the queue, and a few packets.
    let one = delay_of_a_small_message(any.clone(), 100_000_000);
    assert!(one < 32 * MS, "{one:?}");
    let many = delay_of_a_small_message(Config::default(), 64 << 10);
    assert!(many < 32 * MS, "{many:?}");
    // Without I-DATA it waits for one message of 64 KiB, which takes 26 ms, and not for the others.
    let between = delay_of_a_small_message(Config::default().with_interleaving(false), 64 << 10);
    assert!(between < 32 * MS + 30 * MS, "{between:?}");
    let behind = delay_of_a_small_message(any.with_interleaving(false), 2_000_000);
    assert!(behind > 100 * MS, "the option matters: {behind:?}");
}

#[test]
fn a_priority_is_told_and_shares_the_way() {
    for (scheduler, least, most) in [
        (Scheduler::WeightedFair, 3.0, 5.0),
        (Scheduler::RoundRobin, 0.8, 1.25),
        (Scheduler::Priority, 10.0, 1e9),
    ] {
        let mut net = Net::with(2, link(), Config::default().with_scheduler(scheduler));
        let priorities = [Priority::High, Priority::Low, Priority::VeryLow, Priority::Medium];
        let ids = priorities
            .map(|priority| net.open_a(ChannelInit::new(format!("{priority:?}")).with_priority(priority)));
        net.start();
        assert!(net.until(|_, b| b.incoming().len() == 4));
        for there in net.b().incoming() {
            let channel = net.b().session.channel(there).unwrap();
            assert_eq!(channel.label(), format!("{:?}", channel.priority()));
        }
        for _ in 0..100 {
            net.send_a(ids[0], vec![0; 10_000]);
            net.send_a(ids[1], vec![1; 10_000]);
        }
        assert!(net.until(|_, b| b.received() >= 60));
        let count =
            |end: &End, fill| end.messages.values().flatten().filter(|m| m.data[0] == fill).count() as f64;
        let ratio = count(net.b(), 0) / count(net.b(), 1).max(1.0);
        assert!((least..=most).contains(&ratio), "{scheduler:?}: {ratio}");
    }
}

#[test]
fn packets_have_no_checksum_unless_it_is_wanted() {
    for wanted in [false, true] {
        let mut net = Net::with(3, clean(), Config::default().with_zero_checksum(!wanted));
        net.start();
        let id = net.open_a(ChannelInit::new("x"));
        assert!(net.until(|a, b| a.saw(Event::Connected) && b.saw(Event::Connected)));
        net.send_a(id, "m");
        let (now, mut out) = (net.world.now(), Vec::new());
        net.a().session.poll_transmit(now, 1_200, &mut out).unwrap();
        assert_eq!(out[8..12] != [0; 4], wanted);
    }
}
