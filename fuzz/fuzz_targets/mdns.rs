//! The querier and the responder against datagrams from anybody on the link, and commands in between.
#![no_main]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use taut_mdns::{GROUP_V4, MAX_NAMES, MAX_UNICAST, Querier, Responder};
use taut_sansio::rng::Rng;

/// A question for `n.local`.
fn question(name: u8, record_type: u8, class: u16) -> Vec<u8> {
    let label = name.to_string();
    let mut out = vec![0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, label.len() as u8];
    out.extend_from_slice(label.as_bytes());
    out.extend_from_slice(b"\x05local\0\0");
    out.push(record_type);
    out.extend_from_slice(&class.to_be_bytes());
    out
}

// Each step begins with what it is, a name and a port.
fuzz_target!(|steps: Vec<(u8, u8, u16, Vec<u8>)>| {
    let mut now = Instant::now();
    let mut querier = Querier::new(Rng::from_u64(1));
    let mut responder = Responder::new();
    querier.query(now, "0.local");
    responder.register("0.local", [192, 0, 2, 1].into()).expect("a name");
    for (step, name, number, octets) in steps {
        let port = if step & 8 == 0 { 5353 } else { number };
        let source = match step & 16 {
            0 => SocketAddr::from(([192, 0, 2, 9], port)),
            _ => SocketAddr::from(([0xfe80, 0, 0, 0, 0, 0, 0, 9], port)),
        };
        let text = format!("{name}.local");
        let first = octets.first().copied().unwrap_or(0);
        match step % 8 {
            0 | 1 => {
                querier.handle_datagram(now, &octets);
                responder.handle_datagram(now, source, &octets);
            }
            2 | 3 => responder.handle_datagram(now, source, &question(name, first, number)),
            4 => drop(querier.query(now, &text)),
            5 => drop(responder.register(&text, [192, 0, 2, first].into())),
            6 if name == 0 => responder.unregister_all(),
            6 => responder.unregister(&text),
            _ => {
                now += Duration::from_millis(number.into());
                querier.handle_timeout(now);
                responder.handle_timeout(now);
            }
        }
        let mut out = Vec::new();
        while querier.poll_transmit(now, &mut out).is_some() {}
        let mut sent = 0;
        out.clear();
        while responder.poll_transmit(now, &mut out).is_some() {
            // What is sent is a response, and is not answered in turn.
            let answer = std::mem::take(&mut out);
            responder.handle_datagram(now, GROUP_V4, &answer);
            querier.handle_datagram(now, &answer);
            sent += 1;
        }
        // In each of two groups two records of every name, and goodbyes.
        assert!(sent <= 6 * MAX_NAMES + MAX_UNICAST);
        assert!(responder.poll_timeout().is_none_or(|at| at > now), "what is due was sent");
        while querier.poll_event().is_some() {}
    }
});
