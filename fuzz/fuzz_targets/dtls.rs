//! A session, client or server, against datagrams of anybody.
#![no_main]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use taut_dtls::{Certificate, Config, HashAlgorithm, Role, Session};

fuzz_target!(|input: (bool, Vec<Vec<u8>>)| {
    static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
    let certificate = CERTIFICATE
        .get_or_init(|| Certificate::generate(Duration::from_secs(1_700_000_000)).expect("a certificate"));
    let (client, datagrams) = input;
    let mut now = Instant::now();
    let mut session = Session::new(&Config::default(), certificate, now).expect("a session");
    let role = if client { Role::Client } else { Role::Server };
    session.start(now, role, vec![certificate.fingerprint(HashAlgorithm::Sha256)], None);
    let mut out = Vec::new();
    for datagram in datagrams {
        session.handle_packet(now, BytesMut::from(&datagram[..]));
        assert!(session.poll_plaintext().is_none(), "nobody was verified");
        while session.poll_transmit(now, 1_200, &mut out).is_some() {}
        while session.poll_event().is_some() {}
        out.clear();
        now += Duration::from_millis(20);
        session.handle_timeout(now);
    }
});
