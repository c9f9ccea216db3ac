//! DTLS: both ends in memory on one thread. Certificates of ECDSA on P-256 on both sides, made once; SRTP keys are
//! negotiated; what a stack lets connections share (`SSL_CTX`, a configuration) is shared.

use std::time::Instant;

use crate::clock;
use crate::peers::dtls::{self as contenders, Contender, End};
use crate::report::Report;
use crate::trial::Standing::{Limit, Peer, Taut, Variant};
use crate::trial::{Metric, Round, Standing, Trial};

/// Handshakes of a round.
const HANDSHAKES: usize = 8;

/// Records of a round, in one direction.
const RECORDS: usize = 2_000;

/// The octets of a record.
const RECORD: [u8; 1_200] = [7; 1_200];

const ROUNDS: usize = 15;

pub(crate) fn run(report: &mut Report) {
    let mut trial = Trial::new(
        ROUNDS,
        vec![
            Metric::lower("handshake, both ends", "us CPU"),
            Metric::lower("record of 1,200 octets, write and read", "ns CPU"),
        ],
    );
    let identity = contenders::Identity::new();
    use contenders::taut::Session;
    enter(&mut trial, Taut, "taut (OpenSSL 1.2)", Session::by_default(&identity));
    enter(&mut trial, Variant, "taut, dimpl 1.2", Session::dimpl_12(&identity));
    enter(&mut trial, Variant, "taut, dimpl 1.3", Session::dimpl_13(&identity));
    enter(
        &mut trial,
        Peer,
        "dimpl 1.2 (str0m)",
        contenders::dimpl::Dimpl::new(&identity, dimpl::Dtls::new_12),
    );
    enter(
        &mut trial,
        Peer,
        "dimpl 1.3 (str0m)",
        contenders::dimpl::Dimpl::new(&identity, dimpl::Dtls::new_13),
    );
    enter(&mut trial, Peer, "rtc-dtls 1.2", contenders::rtc::Rtc::new());
    enter(
        &mut trial,
        Limit,
        "bare openssl 1.2, shared SSL_CTX",
        contenders::openssl::OpenSsl::new(&identity),
    );
    report.run(trial);
}

fn enter<'a, C: Contender + 'a>(trial: &mut Trial<'a>, standing: Standing, name: &str, contender: C) {
    trial.enter(standing, name, move || round(&contender));
}

fn round(contender: &impl Contender) -> Round {
    let now = Instant::now();
    let start = clock::thread();
    let mut last = None;
    for _ in 0..HANDSHAKES {
        let (mut client, mut server) = contender.pair(now);
        shake_hands(now, &mut client, &mut server)?;
        last = Some((client, server));
    }
    let handshake = (clock::thread() - start).as_secs_f64() * 1e6 / HANDSHAKES as f64;
    let (mut client, mut server) = last.ok_or("no handshake")?;
    let start = clock::thread();
    let mut arrived = 0;
    for _ in 0..RECORDS {
        client.send(now, &RECORD)?;
        while let Some(packet) = client.transmit(now) {
            server.handle_packet(now, packet)?;
        }
        while let Some(length) = server.receive() {
            arrived += length;
        }
    }
    let record = (clock::thread() - start).as_nanos() as f64 / RECORDS as f64;
    if arrived != RECORDS * RECORD.len() {
        return Err(format!("{arrived} octets arrived of {}", RECORDS * RECORD.len()));
    }
    Ok(vec![handshake, record])
}

fn shake_hands(now: Instant, client: &mut impl End, server: &mut impl End) -> Result<(), String> {
    for _ in 0..100 {
        while let Some(packet) = client.transmit(now) {
            server.handle_packet(now, packet)?;
        }
        while let Some(packet) = server.transmit(now) {
            client.handle_packet(now, packet)?;
        }
        if client.connected() && server.connected() {
            // What follows the handshake, such as an acknowledgement of DTLS 1.3.
            while let Some(packet) = client.transmit(now) {
                server.handle_packet(now, packet)?;
            }
            return Ok(());
        }
    }
    Err("the handshake did not end".into())
}
