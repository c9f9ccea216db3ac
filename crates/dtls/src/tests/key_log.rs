//! The key log: that what it says is the secret of the session on the wire.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;

use super::pair::{CLIENT, Pair, SERVER};
use super::{ENGINES, any};
use crate::record::{Fragment, Header, Record, handshake};
use crate::{CloseReason, Engine, Event};

/// The line that an end told.
fn line(pair: &Pair, end: usize) -> Option<&str> {
    let mut lines = pair.ends[end].events.iter().filter_map(|event| match event {
        Event::KeyLog(line) => Some(line.as_str()),
        _ => None,
    });
    let line = lines.next();
    assert_eq!(lines.next(), None);
    line
}

fn octets(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u32> = hexadecimal.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// The random of the hello of a kind that an end has sent (RFC 5246 section 7.4.1.2).
fn random_on_the_wire(pair: &Pair, end: usize, kind: u8) -> Vec<u8> {
    let messages = pair.ends[end].sent.iter().flat_map(|datagram| {
        let mut reader = taut_sansio::codec::Reader::new(datagram);
        std::iter::from_fn(move || Record::parse(&mut reader).ok())
    });
    let plain =
        messages.filter(|record| matches!(record.header, Header::Plain { content_type: 22, epoch: 0 }));
    let mut hellos = plain.filter_map(|record| {
        let fragment = Fragment::parse(&mut taut_sansio::codec::Reader::new(record.fragment)).ok()?;
        (fragment.kind == kind && fragment.offset == 0).then(|| fragment.body[2..34].to_vec())
    });
    hellos.next().unwrap()
}

/// The PRF of DTLS 1.2 with SHA-256 (RFC 5246 section 5), written from the RFC.
fn prf(secret: &[u8], label: &str, seed: &[u8], length: usize) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let seed = [label.as_bytes(), seed].concat();
    let (mut a, mut out) = (seed.clone(), Vec::new());
    while out.len() < length {
        a = hmac::sign(&key, &a).as_ref().to_vec();
        out.extend_from_slice(hmac::sign(&key, &[&a[..], &seed].concat()).as_ref());
    }
    out.truncate(length);
    out
}

/// Opens a record of AES-128-GCM (RFC 5288 section 3) with a write key and salt.
fn open(record: &[u8], key: &[u8], salt: &[u8]) -> Vec<u8> {
    let (header, body) = record.split_at(13);
    let (explicit, sealed) = body.split_at(8);
    let plain_length = (sealed.len() - 16) as u16;
    // Epoch and number, type, version, length.
    let aad = [&header[3..11], &header[..3], &plain_length.to_be_bytes()].concat();
    let nonce = Nonce::try_assume_unique_for_key(&[salt, explicit].concat()).unwrap();
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).unwrap());
    let mut sealed = sealed.to_vec();
    key.open_in_place(nonce, Aad::from(aad), &mut sealed).unwrap().to_vec()
}

/// The opposite, for a record of any type of epoch 1.
fn protect(content_type: u8, number: u64, plain: &[u8], key: &[u8], salt: &[u8]) -> Vec<u8> {
    let explicit = (1u64 << 48 | number).to_be_bytes();
    let start = [content_type, 0xfe, 0xfd];
    let aad = [&explicit[..], &start, &(plain.len() as u16).to_be_bytes()].concat();
    let nonce = Nonce::try_assume_unique_for_key(&[salt, &explicit].concat()).unwrap();
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).unwrap());
    let mut sealed = plain.to_vec();
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed).unwrap();
    let length = (sealed.len() as u16 + 8).to_be_bytes();
    [&start[..], &explicit, &length, &explicit, &sealed].concat()
}

/// The keys and salts of a connection whose end `logging` told its secret (RFC 5246 section 6.3): both keys, then both
/// salts, the client's first.
fn key_block(pair: &Pair, logging: usize) -> Vec<u8> {
    let line = line(pair, logging).unwrap();
    let ["CLIENT_RANDOM", random, secret] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let client_random = random_on_the_wire(pair, CLIENT, handshake::CLIENT_HELLO);
    assert_eq!(octets(random), client_random);
    let server_random = random_on_the_wire(pair, SERVER, handshake::SERVER_HELLO);
    let suite = pair.ends[CLIENT].session.cipher_suite();
    assert_eq!(suite, Some("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"), "as the PRF above");
    prf(&octets(secret), "key expansion", &[server_random, client_random].concat(), 40)
}

#[test]
fn a_fatal_alert_under_protection_ends_it_with_that_alert() {
    for &engine in ENGINES {
        let mut pair = Pair::with(5, &any(Engine::OpenSsl).with_key_log(), &any(engine));
        pair.start();
        assert!(pair.run_until(std::time::Duration::from_secs(5), Pair::connected));
        let block = key_block(&pair, CLIENT);
        // internal_error (RFC 5246 section 7.2.2).
        pair.inject(SERVER, &protect(21, 1_000, &[2, 80], &block[..16], &block[32..36]));
        pair.run(std::time::Duration::from_millis(1));
        let last = pair.ends[SERVER].events.last();
        assert_eq!(last, Some(&Event::Closed(CloseReason::Alert(80))), "{engine}");
    }
}

#[test]
fn the_line_opens_what_both_ends_send() {
    for &other in ENGINES {
        for logging in [CLIENT, SERVER] {
            let mut configs = [any(other), any(other)];
            configs[logging] = any(Engine::OpenSsl).with_key_log();
            let mut pair = Pair::with(1, &configs[CLIENT], &configs[SERVER]);
            pair.start();
            assert!(pair.run_until(std::time::Duration::from_secs(5), Pair::connected));
            assert_eq!(line(&pair, 1 - logging), None, "only who is asked");
            let block = key_block(&pair, logging);
            for (end, key, salt) in [(CLIENT, 0..16, 32..36), (SERVER, 16..32, 36..40)] {
                let mut record = Vec::new();
                pair.ends[end].session.seal(pair.now, b"a secret", &mut record).unwrap();
                assert_eq!(open(&record, &block[key], &block[salt]), b"a secret");
            }
        }
    }
}

#[test]
fn a_session_that_is_not_asked_tells_nothing() {
    let mut pair = Pair::of(Engine::OpenSsl, 2);
    pair.connect();
    assert_eq!((line(&pair, CLIENT), line(&pair, SERVER)), (None, None));
}

#[test]
fn a_session_whose_fingerprint_does_not_hold_tells_nothing() {
    let config = any(Engine::OpenSsl).with_key_log();
    let mut pair = Pair::with(3, &config, &config);
    let now = pair.now;
    let wrong = pair.ends[CLIENT].fingerprint();
    pair.ends[CLIENT].session.start(now, crate::Role::Client, vec![wrong], None);
    pair.start_as(SERVER, crate::Role::Server);
    pair.run(std::time::Duration::from_secs(31));
    assert_eq!(line(&pair, CLIENT), None);
    assert!(line(&pair, SERVER).is_some(), "it had no reason to refuse");
}
