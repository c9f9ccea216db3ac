//! The data channel of whole stacks over loopback UDP: both ends in one process, a process a run. The sender keeps at
//! most 1 MiB buffered and goes on at 512 KiB. The time is on the wall, so what else the machine does is in it: a plain
//! UDP probe runs in turn with the stacks to show how much that is.

use std::net::UdpSocket;
use std::time::Instant;

use super::child::{self, MISSING, STACKS};
use crate::clock;
use crate::report::Report;
use crate::trial::Standing::Limit;
use crate::trial::{Metric, Round, Trial};

const ROUNDS: usize = 5;

/// Octets of a run, per size of messages.
const CASES: [(&str, usize, usize); 3] =
    [("1 KiB", 1 << 10, 16 << 20), ("16 KiB", 16 << 10, 32 << 20), ("64 KiB", 64 << 10, 32 << 20)];

/// The size and the number of the small messages.
const SMALL: (usize, usize) = (64, 40_000);

pub(crate) fn run(report: &mut Report) {
    MISSING.iter().for_each(|(name, reason)| report.missing(name, reason));
    for (name, size, volume) in CASES {
        let metrics = vec![
            Metric::higher(format!("{name} messages"), "MB/s"),
            Metric::lower(format!("{name} messages, both ends"), "ms CPU/MiB"),
        ];
        let mut trial = Trial::new(ROUNDS, metrics);
        for (standing, stack) in STACKS {
            trial.enter(*standing, *stack, move || bulk(stack, size, volume / size, [0, 1]));
        }
        trial.enter(Limit, "plain UDP, 1,200 octets, one thread", probe);
        report.run(trial);
    }
    let (size, count) = SMALL;
    let metrics = vec![
        Metric::higher("64-octet messages", "messages/s"),
        Metric::lower("64-octet messages, both ends", "ms CPU/MiB"),
    ];
    let mut trial = Trial::new(ROUNDS, metrics);
    for (standing, stack) in STACKS {
        trial.enter(*standing, *stack, move || bulk(stack, size, count, [2, 1]));
    }
    report.run(trial);
}

fn bulk(stack: &str, size: usize, count: usize, pick: [usize; 2]) -> Round {
    let figures = child::run(stack, &["bulk", &size.to_string(), &count.to_string()])?;
    pick.iter().map(|at| figures.get(*at).copied().ok_or_else(|| "a figure is missing".to_owned())).collect()
}

/// Megabytes a second and milliseconds a MiB of a loop of `send` and `recv`.
fn probe() -> Round {
    let text = |error: std::io::Error| error.to_string();
    let (one, other) = (UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("127.0.0.1:0"));
    let (one, other) = (one.map_err(text)?, other.map_err(text)?);
    one.connect(other.local_addr().map_err(text)?).map_err(text)?;
    let (packet, mut buffer) = ([7; 1_200], [0; 2_000]);
    let count = 30_000;
    let (start, spent) = (Instant::now(), clock::thread());
    for _ in 0..count {
        one.send(&packet).map_err(text)?;
        other.recv(&mut buffer).map_err(text)?;
    }
    let (taken, spent) = (start.elapsed().as_secs_f64(), (clock::thread() - spent).as_secs_f64());
    let octets = f64::from(count) * packet.len() as f64;
    Ok(vec![octets / 1e6 / taken, spent * 1e3 / (octets / f64::from(1 << 20))])
}
