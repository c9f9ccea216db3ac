//! Protection and its removal, against the bare AEAD as the limit.
#![allow(missing_docs, reason = "criterion makes the functions")]

use std::hint::black_box;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use taut_benches::rtp_packet;
use taut_srtp::{Inbound, Outbound, Profile};

const PROFILES: [Profile; 3] = [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::Aes128CmSha1_80];

/// Packets of one run: fewer than the replay window and the wrap.
const RUN: usize = 256;

fn contexts(profile: Profile) -> (Outbound, Inbound) {
    let key = vec![1; profile.key_len()];
    let salt = vec![2; profile.salt_len()];
    (Outbound::new(profile, &key, &salt).unwrap(), Inbound::new(profile, &key, &salt).unwrap())
}

fn protect(c: &mut Criterion) {
    let mut group = c.benchmark_group("srtp protect");
    group.throughput(Throughput::Elements(RUN as u64));
    for profile in PROFILES {
        for payload in [160, 1_100] {
            let packets: Vec<Vec<u8>> = (0..RUN).map(|n| rtp_packet(n as u16, payload)).collect();
            group.bench_function(format!("{profile:?} {payload}"), |b| {
                b.iter_batched_ref(
                    || (contexts(profile).0, Vec::with_capacity(2_000)),
                    |(outbound, out)| {
                        for packet in &packets {
                            out.clear();
                            out.extend_from_slice(packet);
                            outbound.protect_rtp(out, 0).unwrap();
                        }
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    for payload in [160, 1_100] {
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[1; 16]).unwrap());
        let plain = rtp_packet(0, payload);
        group.bench_function(format!("limit: bare AES-128-GCM {payload}"), |b| {
            b.iter_batched_ref(
                || plain.clone(),
                |data| {
                    for n in 0..RUN {
                        let mut nonce = [0; 12];
                        nonce[..8].copy_from_slice(&n.to_be_bytes());
                        let (header, body) = data.split_at_mut(12);
                        let nonce = Nonce::assume_unique_for_key(nonce);
                        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*header), body).unwrap();
                        let _ = black_box(tag);
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn unprotect(c: &mut Criterion) {
    let mut group = c.benchmark_group("srtp unprotect");
    group.throughput(Throughput::Elements(RUN as u64));
    for profile in PROFILES {
        for payload in [160, 1_100] {
            let (mut outbound, _) = contexts(profile);
            let packets: Vec<BytesMut> = (0..RUN)
                .map(|n| {
                    let mut out = rtp_packet(n as u16, payload);
                    outbound.protect_rtp(&mut out, 0).unwrap();
                    BytesMut::from(&out[..])
                })
                .collect();
            group.bench_function(format!("{profile:?} {payload}"), |b| {
                b.iter_batched_ref(
                    || (contexts(profile).1, packets.clone()),
                    |(inbound, packets)| {
                        for packet in packets {
                            inbound.unprotect_rtp(packet).unwrap();
                        }
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, protect, unprotect);
criterion_main!(benches);
