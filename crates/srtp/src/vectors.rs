//! Vectors of whole packets, from master key to wire, and what reads them.

use bytes::BytesMut;
use serde_json::Value;

use crate::{Inbound, Outbound, Profile};

pub(crate) fn load(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub(crate) fn hex(value: &Value) -> Vec<u8> {
    let (pairs, rest) = value.as_str().unwrap().as_bytes().as_chunks::<2>();
    assert!(rest.is_empty());
    pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn ssrc(packet: &[u8], place: usize) -> u32 {
    u32::from_be_bytes(packet[place..place + 4].try_into().unwrap())
}

#[test]
fn libsrtp_packets() {
    let all = load(include_str!("../tests/data/libsrtp-packets.json"));
    let mut tested = 0;
    for vector in all["vectors"].as_array().unwrap() {
        let profile = match vector["profile"].as_str().unwrap() {
            "AES_CM_128_HMAC_SHA1_80" => Profile::Aes128CmSha1_80,
            "AEAD_AES_128_GCM" => Profile::AeadAes128Gcm,
            _ => continue, // AES-192 and AES-256 in counter mode are not profiles of DTLS-SRTP
        };
        let (key, salt) = (hex(&vector["master_key"]), hex(&vector["master_salt"]));
        let mut outbound = Outbound::new(profile, &key, &salt).unwrap();
        let mut inbound = Inbound::new(profile, &key, &salt).unwrap();
        if vector["rtp"].is_string() {
            assert_eq!(number(&vector["roc"]), 0);
            let plain = hex(&vector["rtp"]);
            let mut out = plain.clone();
            outbound.protect_rtp(&mut out, 0).unwrap();
            assert_eq!(out, hex(&vector["srtp"]), "{}", vector["id"]);
            let mut packet = BytesMut::from(&out[..]);
            inbound.unprotect_rtp(&mut packet).unwrap();
            assert_eq!(packet, plain);
        } else {
            assert_eq!(number(&vector["srtcp_index"]), 1);
            let plain = hex(&vector["rtcp"]);
            let mut out = plain.clone();
            outbound.protect_rtcp(&mut out, 0).unwrap();
            assert_eq!(out, hex(&vector["srtcp"]), "{}", vector["id"]);
            let mut packet = BytesMut::from(&out[..]);
            inbound.unprotect_rtcp(&mut packet).unwrap();
            assert_eq!(packet, plain);
        }
        tested += 1;
    }
    assert_eq!(tested, 4);
}

#[test]
fn rollover_counters() {
    let all = load(include_str!("../tests/data/computed-srtp-roc.json"));
    for (profile, name, field) in [
        (Profile::Aes128CmSha1_80, "cm", "aes_cm_128_hmac_sha1_80"),
        (Profile::AeadAes128Gcm, "gcm", "aead_aes_128_gcm"),
    ] {
        let key = hex(&all[format!("{name}_master_key")]);
        let salt = hex(&all[format!("{name}_master_salt")]);
        let mut outbound = Outbound::new(profile, &key, &salt).unwrap();
        let mut inbound = Inbound::new(profile, &key, &salt).unwrap();
        for vector in all["vectors"].as_array().unwrap() {
            let plain = hex(&vector["rtp"]);
            let (roc, sequence) = (number(&vector["roc"]), number(&vector["seq"]));
            // The first four follow one another across the wrap; the others begin somewhere.
            if roc > 1 {
                outbound.rtp.set_highest(ssrc(&plain, 8), ((roc << 16) | sequence) - 1);
                inbound.rtp.set_highest(ssrc(&plain, 8), ((roc << 16) | sequence) - 1);
            }
            let mut out = plain.clone();
            outbound.protect_rtp(&mut out, 0).unwrap();
            assert_eq!(out, hex(&vector[field]), "{name} {roc} {sequence}");
            let mut packet = BytesMut::from(&out[..]);
            inbound.unprotect_rtp(&mut packet).unwrap();
            assert_eq!(packet, plain);
            // A receiver that knows nothing follows it within the first turn, and into the second.
            let mut fresh = Inbound::new(profile, &key, &salt).unwrap();
            assert_eq!(fresh.unprotect_rtp(&mut BytesMut::from(&out[..])).is_ok(), roc < 2);
        }
    }
}
