//! Parsers: what every packet, check and description costs.
#![allow(missing_docs, reason = "criterion makes the functions")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use taut_rtp::{Extensions, HeaderView, Packet, PayloadType, SequenceNumber, Ssrc};
use taut_sdp::Session;
use taut_stun::{Algorithm, Builder, Class, Key, Message, Method, TransactionId, attribute};

const OFFER: &str = include_str!("../../crates/sdp/tests/data/captured/chromium-156-offer-av-data.sdp");

fn sdp(c: &mut Criterion) {
    let mut group = c.benchmark_group("sdp");
    group.throughput(Throughput::Bytes(OFFER.len() as u64));
    group.bench_function("parse an offer", |b| b.iter(|| Session::parse(black_box(OFFER)).unwrap()));
    let session = Session::parse(OFFER).unwrap();
    group.bench_function("write an offer", |b| b.iter(|| black_box(&session).to_string()));
    group.finish();
}

fn rtp(c: &mut Criterion) {
    let extensions =
        Extensions::from_elements([(1, &b"0"[..]), (2, &[1, 2, 3][..]), (3, &[4, 5][..])]).unwrap();
    let packet = Packet {
        marker: true,
        payload_type: PayloadType::new(96),
        sequence: SequenceNumber::new(1),
        timestamp: 2,
        ssrc: Ssrc::new(3),
        csrc: Vec::new(),
        extensions,
        padding: 0,
        payload: Bytes::from_static(&[7; 1_100]),
    };
    let mut datagram = Vec::new();
    packet.write(&mut datagram);
    let owned = Bytes::from(datagram.clone());
    let mut group = c.benchmark_group("rtp");
    group.bench_function("header view, 3 extensions", |b| {
        b.iter(|| {
            let view = HeaderView::parse(black_box(&datagram)).unwrap();
            view.extensions().map(|(id, value)| usize::from(id) + value.len()).sum::<usize>()
        });
    });
    group.bench_function("packet", |b| b.iter(|| Packet::parse(black_box(owned.clone())).unwrap()));
    group.finish();
}

fn stun(c: &mut Criterion) {
    let key = Key::short_term("a password of twenty-four");
    let mut request = Vec::new();
    Builder::new(&mut request, Class::Request, Method::BINDING, TransactionId([7; 12]))
        .push(&attribute::Username::new("abcd:efgh"))
        .push(&attribute::Priority(1))
        .integrity(&key, Algorithm::Sha1)
        .fingerprint()
        .finish()
        .unwrap();
    let mut group = c.benchmark_group("stun");
    group.bench_function("parse", |b| b.iter(|| Message::parse(black_box(&request)).unwrap().class()));
    group.bench_function("parse and integrity", |b| {
        b.iter(|| Message::parse(black_box(&request)).unwrap().verify(&key).unwrap());
    });
    group.finish();
}

criterion_group!(benches, sdp, rtp, stun);
criterion_main!(benches);
