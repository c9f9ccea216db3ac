//! The comparison with other stacks: `cargo run --release -p taut-benches --features peers --bin compare -- GROUP`.
//!
//! Each group is a file in `groups/`. A group makes [`Trial`](trial::Trial)s: contenders that do the same work in turn, round
//! after round, so that a machine that slows down slows all of them. What other stacks need to be driven is in
//! `peers/`, a file each. What is printed is in `report.rs`. See `benches/README.md`.
#![allow(clippy::disallowed_methods, reason = "a measurement reads clocks")]
#![allow(clippy::disallowed_types, reason = "nothing here has to repeat")]

mod clock;
mod groups;
mod peers;
mod report;
mod trial;

use std::process::{Command, ExitCode};

use report::{Format, Report};

const USAGE: &str = "usage: compare GROUP [--json] [--rounds N]
GROUP: srtp sctp stun sdp rtp dtls stack setup memory, or all";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).collect::<Vec<_>>();
    if arguments.first().is_some_and(|first| first == "--child") {
        return groups::child::main(arguments.get(1..).unwrap_or_default());
    }
    let json = take(&mut arguments, |argument| argument == "--json").is_some();
    // The tables are Markdown with or without it.
    take(&mut arguments, |argument| argument == "--markdown");
    let rounds = take(&mut arguments, |argument| argument == "--rounds").map(|at| arguments.remove(at));
    let rounds = rounds.and_then(|text| text.parse().ok());
    let [group] = &arguments[..] else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    if group == "all" {
        return all(json);
    }
    let mut report = Report::new(group, if json { Format::Json } else { Format::Markdown }, rounds);
    match groups::run(group, &mut report) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

/// Removes the first argument that fits, and says where it was.
fn take(arguments: &mut Vec<String>, fits: impl Fn(&str) -> bool) -> Option<usize> {
    let at = arguments.iter().position(|argument| fits(argument))?;
    arguments.remove(at);
    Some(at)
}

/// All groups one after the other, a process each, so that none inherits the heap and the threads of another.
fn all(json: bool) -> ExitCode {
    let mut failed = false;
    for group in groups::NAMES {
        let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
        command.arg(group).args(json.then_some("--json"));
        failed |= !command.status().is_ok_and(|status| status.success());
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
