//! SDP: the offer of a browser, parsed and written.

use std::hint::black_box;
use std::io::Cursor;

use taut_benches::OFFER;

use crate::clock::nanoseconds_each;
use crate::report::Report;
use crate::trial::Standing::{Limit, Peer, Taut};
use crate::trial::{Metric, Trial};

/// Offers of a round.
const COUNT: usize = 40;

const ROUNDS: usize = 31;

/// A round: `work` for each offer, in microseconds.
fn each(mut work: impl FnMut()) -> f64 {
    nanoseconds_each(COUNT, || (0..COUNT).for_each(|_| work())) / 1_000.0
}

pub(crate) fn run(report: &mut Report) {
    parse(report);
    write(report);
}

fn rtc() -> rtc_sdp::SessionDescription {
    rtc_sdp::SessionDescription::unmarshal(&mut Cursor::new(black_box(OFFER).as_bytes())).expect("it parses")
}

fn mozilla() -> webrtc_sdp::SdpSession {
    webrtc_sdp::parse_sdp(black_box(OFFER), false).expect("it parses")
}

fn str0m() -> Result<str0m::change::SdpOffer, String> {
    str0m::change::SdpOffer::from_sdp_string(black_box(OFFER)).map_err(|error| error.to_string())
}

fn parse(report: &mut Report) {
    let case = format!("offer of {} octets, parse", OFFER.len());
    let mut trial = Trial::new(ROUNDS, vec![Metric::lower(case, "us")]);
    trial.time(Taut, "taut", || {
        each(|| {
            black_box(taut_sdp::Session::parse(black_box(OFFER)).expect("it parses"));
        })
    });
    trial.time(Peer, "rtc-sdp (attributes stay text)", || {
        each(|| {
            black_box(rtc());
        })
    });
    trial.time(Peer, "webrtc-sdp (Mozilla)", || {
        each(|| {
            black_box(mozilla());
        })
    });
    trial.enter(Peer, "str0m", || {
        str0m()?;
        Ok(vec![each(|| {
            black_box(str0m().is_ok());
        })])
    });
    trial.time(Limit, "lines, split at the colon", || {
        each(|| {
            for line in black_box(OFFER).lines() {
                black_box(line.split_once(':'));
            }
        })
    });
    report.run(trial);
}

fn write(report: &mut Report) {
    let case = format!("offer of {} octets, write", OFFER.len());
    let mut trial = Trial::new(ROUNDS, vec![Metric::lower(case, "us")]);
    let session = taut_sdp::Session::parse(OFFER).expect("it parses");
    trial.time(Taut, "taut", move || {
        each(|| {
            black_box(black_box(&session).to_string());
        })
    });
    let session = rtc();
    trial.time(Peer, "rtc-sdp (attributes stay text)", move || {
        each(|| {
            black_box(black_box(&session).marshal());
        })
    });
    let session = mozilla();
    trial.time(Peer, "webrtc-sdp (Mozilla)", move || {
        each(|| {
            black_box(black_box(&session).to_string());
        })
    });
    let session = str0m();
    trial.enter(Peer, "str0m", move || {
        let session = session.as_ref().map_err(Clone::clone)?;
        Ok(vec![each(|| {
            black_box(black_box(session).to_sdp_string());
        })])
    });
    report.run(trial);
}
