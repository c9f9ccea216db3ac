//! RTP: the header of a packet with three one-byte extensions, parsed, and each extension looked at.

use std::hint::black_box;

use bytes::Bytes;
use rtc_shared::marshal::Unmarshal;
use taut_benches::rtp_packet_with_extensions;
use taut_rtp::{HeaderView, Packet};

use crate::clock::nanoseconds_each;
use crate::report::Report;
use crate::trial::Standing::{Peer, Taut, Variant};
use crate::trial::{Metric, Trial};

/// Packets of a round.
const COUNT: usize = 10_000;

const ROUNDS: usize = 31;

/// A round: `work` for each packet.
fn each(mut work: impl FnMut()) -> f64 {
    nanoseconds_each(COUNT, || (0..COUNT).for_each(|_| work()))
}

pub(crate) fn run(report: &mut Report) {
    let datagram = rtp_packet_with_extensions();
    let owned = Bytes::from(datagram.clone());
    header(report, &datagram, &owned);
    whole(report, &owned);
}

fn header(report: &mut Report, datagram: &[u8], owned: &Bytes) {
    let mut trial = Trial::new(ROUNDS, vec![Metric::lower("header and 3 extensions, parse", "ns")]);
    trial.time(Taut, "taut `HeaderView`", || {
        each(|| {
            let view = HeaderView::parse(black_box(datagram)).expect("it parses");
            let read = view.extensions().map(|(id, value)| usize::from(id) + value.len()).sum::<usize>();
            black_box((view.sequence(), view.timestamp(), view.ssrc(), read));
        })
    });
    trial.time(Peer, "rtc-rtp `Header`", || {
        each(|| {
            let mut slice = black_box(datagram);
            let header = rtc_rtp::header::Header::unmarshal(&mut slice).expect("it parses");
            let read =
                header.extensions.iter().map(|one| usize::from(one.id) + one.payload.len()).sum::<usize>();
            black_box((&header, read));
        })
    });
    trial.time(Peer, "rtc-rtp `Header` from `Bytes`", || {
        each(|| {
            let mut buffer = black_box(owned).clone();
            let header = rtc_rtp::header::Header::unmarshal(&mut buffer).expect("it parses");
            let read =
                header.extensions.iter().map(|one| usize::from(one.id) + one.payload.len()).sum::<usize>();
            black_box((&header, read));
        })
    });
    let known = str0m::rtp::ExtensionMap::standard();
    trial.time(Peer, "str0m (values decoded)", move || {
        each(|| {
            let header = str0m::rtp::RtpHeader::_parse(black_box(datagram), &known).expect("it parses");
            black_box(&header);
        })
    });
    report.run(trial);
}

fn whole(report: &mut Report, owned: &Bytes) {
    let mut trial = Trial::new(ROUNDS, vec![Metric::lower("packet of its own, parse", "ns")]);
    trial.time(Taut, "taut `Packet`", || {
        each(|| {
            black_box(Packet::parse(black_box(owned).clone()).expect("it parses"));
        })
    });
    trial.time(Peer, "rtc-rtp `Packet`", || {
        each(|| {
            let mut buffer = black_box(owned).clone();
            black_box(rtc_rtp::Packet::unmarshal(&mut buffer).expect("it parses"));
        })
    });
    trial.time(Variant, "taut, `Packet` and 3 extensions read", || {
        each(|| {
            let packet = Packet::parse(black_box(owned).clone()).expect("it parses");
            black_box(
                packet.extensions.iter().map(|(id, value)| usize::from(id) + value.len()).sum::<usize>(),
            );
        })
    });
    report.run(trial);
}
