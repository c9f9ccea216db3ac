//! Parsers: what every packet, check and description costs.
#![allow(missing_docs, reason = "criterion makes the functions")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use taut_benches::{OFFER, PASSWORD, rtp_packet_with_extensions, stun_request};
use taut_rtp::{HeaderView, Packet};
use taut_sdp::Session;
use taut_stun::{Key, Message};

fn sdp(c: &mut Criterion) {
    let mut group = c.benchmark_group("sdp");
    group.throughput(Throughput::Bytes(OFFER.len() as u64));
    group.bench_function("parse an offer", |b| b.iter(|| Session::parse(black_box(OFFER)).unwrap()));
    let session = Session::parse(OFFER).unwrap();
    group.bench_function("write an offer", |b| b.iter(|| black_box(&session).to_string()));
    group.finish();
}

fn rtp(c: &mut Criterion) {
    let datagram = rtp_packet_with_extensions();
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
    let key = Key::short_term(PASSWORD);
    let request = stun_request();
    let mut group = c.benchmark_group("stun");
    group.bench_function("parse", |b| b.iter(|| Message::parse(black_box(&request)).unwrap().class()));
    group.bench_function("parse and integrity", |b| {
        b.iter(|| Message::parse(black_box(&request)).unwrap().verify(&key).unwrap());
    });
    group.finish();
}

criterion_group!(benches, sdp, rtp, stun);
criterion_main!(benches);
