//! Goodput over loss, round trip and controller, as a snapshot: a change in behaviour shows as a difference in
//! `tests/grid.txt`. `TAUT_BLESS=1 cargo test -p taut-sctp --test grid` writes it anew.

mod net;

use std::fmt::Write;
use std::time::Duration;

use net::{Line, Plan, run};
use taut_sctp::CongestionAlgorithm::{Bbr, Cubic, NewReno};

const MS: Duration = Duration::from_millis(1);

/// Short enough for a test: 5 Mbit/s, four seconds after two.
fn cell(controller: taut_sctp::CongestionAlgorithm, loss: f64, rtt: u32) -> f64 {
    let line = Line { rate: 5_000_000, rtt: rtt * MS, queue: 100 * MS, loss };
    let plan = Plan { seed: 1, line, flows: vec![controller], warm_up: 2_000 * MS, time: 4_000 * MS };
    run(&plan).goodput[0] * 8.0 / 1e6
}

#[test]
fn goodput_is_what_it_was() {
    let mut grid =
        String::from("Mbit/s of 5, four seconds after two, a queue of 100 ms; by round trip in ms\n\n");
    for (name, controller) in [("NewReno", NewReno), ("CUBIC", Cubic), ("BBR", Bbr)] {
        let _ = writeln!(grid, "{name:<8} {:>6} {:>6} {:>6} {:>6} {:>6}", 1, 20, 50, 100, 300);
        for loss in [0.0, 0.001, 0.01, 0.03, 0.1] {
            let _ = write!(grid, "{:>6} %", loss * 100.0);
            for rtt in [1, 20, 50, 100, 300] {
                let _ = write!(grid, " {:>6.2}", cell(controller, loss, rtt));
            }
            grid.push('\n');
        }
        grid.push('\n');
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grid.txt");
    if std::env::var_os("TAUT_BLESS").is_some() {
        std::fs::write(path, &grid).expect("the snapshot can be written");
    }
    let before = std::fs::read_to_string(path).expect("the snapshot is there");
    assert!(grid == before, "goodput has changed:\n{grid}\nbefore:\n{before}");
}
