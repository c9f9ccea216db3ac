//! RFC 5769 and RFC 8489 appendix B.1, octet for octet, and what must not be believed of them.

use serde_json::Value;
use taut_stun::attribute::{
    AttributeType, IceControlled, Nonce, Priority, Realm, Software, UseCandidate, UserHash, Username,
    XorMappedAddress,
};
use taut_stun::{Algorithm, Builder, Class, Fingerprint, IntegrityError, Key, Message, Method, ParseError};

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn load(text: &str) -> Vec<Value> {
    serde_json::from_str::<Value>(text).unwrap()["vectors"].as_array().unwrap().clone()
}

fn rfc5769() -> Vec<Value> {
    load(include_str!("data/rfc5769-stun.json"))
}

fn hex_of(vector: &Value) -> Vec<u8> {
    octets(vector["hex"].as_str().unwrap())
}

fn key_of(vector: &Value) -> Key {
    match vector["key_md5_hex"].as_str() {
        Some(hex) => Key::from_bytes(&octets(hex)),
        None => Key::short_term(vector["password"].as_str().unwrap()),
    }
}

#[test]
fn rfc5769_messages_hold() {
    for vector in rfc5769() {
        let bytes = hex_of(&vector);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.verify(&key_of(&vector)), Ok(Algorithm::Sha1), "{}", vector["id"]);
        let expected = if vector["section"] == "2.4" { Fingerprint::Absent } else { Fingerprint::Good };
        assert_eq!(message.fingerprint(), expected, "{}", vector["id"]);
        assert_eq!(message.verify(&Key::short_term("wrong")), Err(IntegrityError::Mismatch));
        assert_eq!(message.transaction_id().0.to_vec(), octets(vector["transaction_id"].as_str().unwrap()));
        if let Some(text) = vector["software"].as_str() {
            assert_eq!(message.get::<Software<'_>>().unwrap().unwrap().text(), text);
        }
        if let Some(text) = vector["username"].as_str() {
            assert_eq!(message.get::<Username<'_>>().unwrap().unwrap().text(), text);
        }
        if let Some(mapped) = vector.get("xor_mapped_address") {
            let XorMappedAddress(address) = message.get().unwrap().unwrap();
            assert_eq!(address.ip().to_string(), mapped["ip"].as_str().unwrap());
            assert_eq!(u64::from(address.port()), mapped["port"].as_u64().unwrap());
        }
    }
}

#[test]
fn rfc5769_request_and_long_term_attributes() {
    let vectors = rfc5769();
    let bytes = hex_of(&vectors[0]);
    let request = Message::parse(&bytes).unwrap();
    assert!(request.is(Class::Request, Method::BINDING));
    assert_eq!(request.get(), Ok(Some(Priority(1_845_494_271))));
    assert_eq!(request.get(), Ok(Some(IceControlled(0x932f_f9b1_5126_3b36))));
    assert_eq!(request.get::<UseCandidate>(), Ok(None));
    let bytes = hex_of(&vectors[3]);
    let request = Message::parse(&bytes).unwrap();
    assert_eq!(request.get::<Realm<'_>>().unwrap().unwrap().text(), vectors[3]["realm"]);
    assert_eq!(request.get::<Nonce<'_>>().unwrap().unwrap().text(), vectors[3]["nonce"]);
}

#[test]
fn rfc5769_long_term_key_is_made_of_name_realm_and_password() {
    let vectors = rfc5769();
    let vector = &vectors[3];
    let field = |name: &str| vector[name].as_str().unwrap().to_owned();
    let key = Key::long_term_md5(&field("username"), &field("realm"), &field("password_after_saslprep"));
    let bytes = hex_of(vector);
    assert_eq!(Message::parse(&bytes).unwrap().verify(&key), Ok(Algorithm::Sha1));
}

#[test]
fn every_octet_before_the_integrity_is_protected() {
    for vector in rfc5769() {
        let (bytes, key) = (hex_of(&vector), key_of(&vector));
        let end = bytes.len() - if vector["section"] == "2.4" { 0 } else { 8 };
        for at in 0..end {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            if let Ok(message) = Message::parse(&damaged) {
                assert!(message.verify(&key).is_err(), "{} octet {at}", vector["id"]);
            }
        }
    }
}

#[test]
fn no_prefix_parses_and_none_panics() {
    for vector in rfc5769() {
        let bytes = hex_of(&vector);
        for end in 0..bytes.len() {
            assert!(Message::parse(&bytes[..end]).is_err());
        }
    }
}

#[test]
fn rfc5769_request_is_written_as_printed_but_for_its_padding() {
    // The RFC pads with spaces; zeros are sent here, so compare what the fields say.
    let vector = &rfc5769()[0];
    let (bytes, key) = (hex_of(vector), key_of(vector));
    let printed = Message::parse(&bytes).unwrap();
    let mut out = Vec::new();
    let length = Builder::new(&mut out, Class::Request, Method::BINDING, printed.transaction_id())
        .push(&Software::new("STUN test client"))
        .push(&Priority(1_845_494_271))
        .push(&IceControlled(0x932f_f9b1_5126_3b36))
        .push(&Username::new("evtj:h6vY"))
        .integrity(&key, Algorithm::Sha1)
        .fingerprint()
        .finish();
    assert_eq!(length, Some(bytes.len()));
    let written = Message::parse(&out).unwrap();
    assert!(written.attributes().eq(printed.attributes()));
    assert_eq!(written.verify(&key), Ok(Algorithm::Sha1));
    assert_eq!(written.fingerprint(), Fingerprint::Good);
}

#[test]
fn rfc8489_userhash_and_sha256() {
    let text = include_str!("data/rfc8489-stun-sha256.json");
    let parameters = serde_json::from_str::<Value>(text).unwrap()["parameters"].clone();
    let field = |name: &str| parameters[name].as_str().unwrap().to_owned();
    let key =
        Key::long_term_sha256(&field("username"), &field("realm"), &field("password_after_opaquestring"));
    let vectors = load(text);
    let printed = hex_of(&vectors[0]);
    assert_eq!(Message::parse(&printed).err(), Some(ParseError::BadLength), "the RFC's own is defective");
    let bytes = hex_of(&vectors[1]);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.verify(&key), Ok(Algorithm::Sha256));
    assert_eq!(message.get(), Ok(Some(UserHash::of(&field("username"), &field("realm")))));
    assert_eq!(message.get::<Nonce<'_>>().unwrap().unwrap().text(), field("nonce"));
    assert_eq!(message.verify(&Key::short_term("TheMatrIX")), Err(IntegrityError::Mismatch));
}

/// A request with `extra` after the integrity attribute.
fn with_tail(key: &Key, algorithm: Algorithm, extra: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let id = taut_stun::TransactionId([4; 12]);
    let builder = Builder::new(&mut out, Class::Request, Method::BINDING, id).push(&Username::new("a:b"));
    builder.integrity(key, algorithm).finish().unwrap();
    out.extend_from_slice(extra);
    let length = (out.len() - 20) as u16;
    out[2..4].copy_from_slice(&length.to_be_bytes());
    out
}

#[test]
fn attributes_after_the_integrity_do_not_exist() {
    let key = Key::short_term("password");
    let use_candidate = [0x00, 0x25, 0, 0];
    let bytes = with_tail(&key, Algorithm::Sha1, &use_candidate);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.verify(&key), Ok(Algorithm::Sha1));
    assert_eq!(message.get::<UseCandidate>(), Ok(None));
    assert_eq!(message.attributes().count(), 1);
    let unknown_required = [0x77, 0x77, 0, 0];
    let bytes = with_tail(&key, Algorithm::Sha1, &unknown_required);
    assert_eq!(Message::parse(&bytes).unwrap().unknown_required(&[AttributeType::USERNAME]).count(), 0);
    // A second integrity attribute is one of those, too.
    for (algorithm, kind, length) in [(Algorithm::Sha1, 0x08, 20), (Algorithm::Sha256, 0x1c, 32)] {
        let second = [vec![0, kind, 0, length], vec![0; length.into()]].concat();
        let bytes = with_tail(&key, algorithm, &second);
        assert_eq!(Message::parse(&bytes).unwrap().verify(&key), Ok(algorithm));
    }
}

#[test]
fn a_stronger_integrity_after_the_weaker_one_decides() {
    let key = Key::short_term("password");
    let bytes = with_tail(&key, Algorithm::Sha1, &[&[0x00, 0x1c, 0, 32][..], &[0; 32]].concat());
    assert_eq!(Message::parse(&bytes).unwrap().verify(&key), Err(IntegrityError::Mismatch));
}

#[test]
fn integrity_values_of_a_wrong_length_do_not_hold() {
    let key = Key::short_term("password");
    for (kind, lengths) in [(0x08u8, &[0u8, 4, 16, 24][..]), (0x1c, &[0, 4, 12, 17, 36])] {
        for &length in lengths {
            let padded = usize::from(length).next_multiple_of(4);
            let mut bytes =
                [&[0, 1, 0, (4 + padded) as u8][..], &0x2112_A442u32.to_be_bytes(), &[1; 12]].concat();
            bytes.extend_from_slice(&[0, kind, 0, length]);
            bytes.resize(bytes.len() + padded, 0);
            let message = Message::parse(&bytes).unwrap();
            assert_eq!(message.verify(&key), Err(IntegrityError::Mismatch), "{kind:x} {length}");
        }
    }
    let bare = [&[0, 1, 0, 0][..], &0x2112_A442u32.to_be_bytes(), &[1; 12]].concat();
    assert_eq!(Message::parse(&bare).unwrap().verify(&key), Err(IntegrityError::Missing));
}

#[test]
fn a_truncated_integrity_holds_from_sixteen_octets_on_in_steps_of_four() {
    use hmac::{Hmac, KeyInit, Mac};
    let key = Key::short_term("password");
    for length in 4..=32u8 {
        let mut bytes = [&[0, 1, 0, 4 + length][..], &0x2112_A442u32.to_be_bytes(), &[1; 12]].concat();
        let mac = Hmac::<sha2::Sha256>::new_from_slice(b"password").unwrap().chain_update(&bytes);
        bytes.extend_from_slice(&[0, 0x1c, 0, length]);
        bytes.extend(mac.finalize().into_bytes().iter().take(usize::from(length)));
        let padded = length.next_multiple_of(4);
        bytes.resize(24 + usize::from(padded), 0);
        bytes[3] = 4 + padded;
        let expected = match length {
            16 | 20 | 24 | 28 | 32 => Ok(Algorithm::Sha256),
            _ => Err(IntegrityError::Mismatch),
        };
        assert_eq!(Message::parse(&bytes).unwrap().verify(&key), expected, "{length}");
    }
}

#[test]
fn unknown_required_attributes_are_named() {
    let mut out = Vec::new();
    let id = taut_stun::TransactionId([4; 12]);
    let builder = Builder::new(&mut out, Class::Request, Method::BINDING, id);
    let _ = builder.push(&Username::new("a:b")).push(&Priority(1)).push(&IceControlled(1)).finish();
    let message = Message::parse(&out).unwrap();
    let unknown: Vec<_> = message.unknown_required(&[AttributeType::USERNAME]).collect();
    assert_eq!(unknown, [AttributeType::PRIORITY]);
}

#[test]
fn everything_is_send_sync_and_debug() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<taut_stun::binding::Client>();
    check::<Key>();
    check::<Message<'_>>();
    check::<taut_stun::Transaction>();
    check::<Builder<'_>>();
}
