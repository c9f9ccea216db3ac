//! Congestion control in virtual time, over simulated links: the rows of the table in `RESULTS.md`, and a grid of
//! goodput over loss, round trip and controller.
//!
//! ```console
//! $ cargo bench -p taut-sctp --bench scenarios -- [ROW…]
//! ```
//!
//! Rows: `fast`, `lossy`, `long`, `share`, `delay`, `grid`; all of them without one.
#![allow(clippy::print_stdout, reason = "it prints a table")]

#[path = "../tests/net/mod.rs"]
mod net;

use std::time::Duration;

use net::{Line, Outcome, Plan, run};
use taut_sctp::CongestionAlgorithm::{self, Bbr, Cubic, NewReno};

const MS: Duration = Duration::from_millis(1);
const MBIT: u64 = 1_000_000;

const ALL: [(&str, CongestionAlgorithm); 3] = [("NewReno", NewReno), ("CUBIC", Cubic), ("BBR", Bbr)];

fn plan(line: Line, flows: &[CongestionAlgorithm], warm_up: u32, seconds: u32) -> Plan {
    Plan { seed: 1, line, flows: flows.to_vec(), warm_up: warm_up * 1_000 * MS, time: seconds * 1_000 * MS }
}

/// What came of a plan with each of some seeds.
fn outcomes(plan: &Plan, seeds: u64) -> Vec<Outcome> {
    (1..=seeds).map(|seed| run(&Plan { seed, ..plan.clone() })).collect()
}

/// The middle one of some seeds by goodput.
fn median(plan: &Plan, seeds: u64) -> Outcome {
    let mut all = outcomes(plan, seeds);
    all.sort_by(|a, b| a.goodput[0].total_cmp(&b.goodput[0]));
    all.swap_remove(all.len() / 2)
}

/// The one of some seeds with the longest queue.
fn slowest(plan: &Plan, seeds: u64) -> Outcome {
    let all = outcomes(plan, seeds).into_iter();
    all.max_by_key(|outcome| outcome.delay(0.95)).expect("there are seeds")
}

fn print(case: &str, name: &str, line: Line, outcome: &Outcome) {
    let stats = outcome.stats[0];
    println!(
        "| {case} | {name} | {:.2} MB/s | {:.1} % | {} | {} | {} ms |",
        outcome.goodput[0] / 1e6,
        outcome.share(line, 0) * 100.0,
        stats.timeouts,
        stats.retransmissions,
        outcome.delay(0.95).as_millis(),
    );
}

fn single(case: &str, line: Line, seeds: u64, warm_up: u32, seconds: u32) {
    for (name, algorithm) in ALL {
        let outcome = median(&plan(line, &[algorithm], warm_up, seconds), seeds);
        print(case, name, line, &outcome);
    }
}

/// The least that a flow may get of what both get with a queue of so many milliseconds, if there is a limit.
fn least_wanted(flows: &[CongestionAlgorithm], queue: u32) -> Option<f64> {
    match flows {
        [Bbr, Bbr] => Some(0.35),
        [Cubic, Cubic] => None,
        _ if queue > 100 => Some(0.10),
        _ => Some(0.25),
    }
}

/// The shares of the first flow, sorted.
fn shares(line: Line, flows: &[CongestionAlgorithm], seeds: u64) -> Vec<f64> {
    let outcomes = outcomes(&plan(line, flows, 0, 60), seeds);
    let share = |outcome: &Outcome| outcome.goodput[0] / outcome.goodput.iter().sum::<f64>();
    let mut shares: Vec<f64> = outcomes.iter().map(share).collect();
    shares.sort_by(f64::total_cmp);
    shares
}

fn share() {
    println!(
        "\n| 50 Mbit/s, 40 ms, 60 s, queue of | flows | median of the first | least of either | limit |"
    );
    println!("|---|---|---|---|---|");
    let pairs = [
        ("BBR + BBR", [Bbr, Bbr]),
        ("BBR, then CUBIC", [Bbr, Cubic]),
        ("CUBIC, then BBR", [Cubic, Bbr]),
        ("CUBIC + CUBIC", [Cubic, Cubic]),
    ];
    for queue in [20, 100, 400] {
        let line = Line { rate: 50 * MBIT, rtt: 40 * MS, queue: queue * MS, loss: 0.0 };
        for (name, flows) in &pairs {
            let shares = shares(line, flows, 5);
            let least = shares[0].min(1.0 - shares[shares.len() - 1]);
            let limit = match least_wanted(flows, queue) {
                Some(limit) if least < limit => format!("{:.0} %, **missed**", limit * 100.0),
                Some(limit) => format!("{:.0} %", limit * 100.0),
                None => String::new(),
            };
            let median = shares[shares.len() / 2];
            println!("| {queue} ms | {name} | {:.1} % | {:.1} % | {limit} |", median * 100.0, least * 100.0);
        }
    }
}

fn grid() {
    println!("\nMbit/s of 100 Mbit/s, 20 s after 10 s, a queue of 100 ms\n");
    println!("| controller | loss | 1 ms | 20 ms | 50 ms | 100 ms | 300 ms |\n|---|---|---|---|---|---|---|");
    for (name, algorithm) in ALL {
        for loss in [0.0, 0.001, 0.01, 0.03, 0.1] {
            print!("| {name} | {} % |", loss * 100.0);
            for rtt in [1, 20, 50, 100, 300] {
                let line = Line { rate: 100 * MBIT, rtt: rtt * MS, queue: 100 * MS, loss };
                let outcome = run(&plan(line, &[algorithm], 10, 20));
                print!(" {:.1} |", outcome.goodput[0] * 8.0 / 1e6);
            }
            println!();
        }
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wants = |row: &str| wanted.is_empty() || wanted.iter().any(|name| name == row);
    println!("| case | controller | goodput | of the link | timeouts | retransmissions | p95 of the queue |");
    println!("|---|---|---|---|---|---|---|");
    if wants("fast") {
        let line = Line { rate: 1_000 * MBIT, rtt: 40 * MS, queue: 40 * MS, loss: 0.0 };
        single("1 Gbit/s, 40 ms, no loss", line, 1, 3, 10);
    }
    if wants("lossy") {
        let line = Line { rate: 100 * MBIT, rtt: 40 * MS, queue: 40 * MS, loss: 0.01 };
        single("100 Mbit/s, 40 ms, 1 %", line, 20, 3, 10);
    }
    if wants("long") {
        let line = Line { rate: 100 * MBIT, rtt: 100 * MS, queue: 100 * MS, loss: 0.001 };
        single("100 Mbit/s, 100 ms, 0.1 %", line, 5, 3, 20);
    }
    if wants("delay") {
        let line = Line { rate: 20 * MBIT, rtt: 40 * MS, queue: 1_000 * MS, loss: 0.0 };
        for (name, algorithm) in ALL {
            let outcome = slowest(&plan(line, &[algorithm], 3, 30), 5);
            print("20 Mbit/s, 40 ms, a queue of 1 s", name, line, &outcome);
        }
    }
    if wants("share") {
        share();
    }
    if wants("grid") {
        grid();
    }
}
