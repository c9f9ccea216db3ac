//! Contenders that run in a process of their own: a runtime, threads, or the heap of one would disturb the others.

use std::process::{Command, ExitCode};

use crate::clock;
use crate::peers::stack::{self, Stack};
use crate::trial::Standing::{self, Peer, Taut, Variant};

/// The whole stacks, by the name under which a child is started.
pub(super) const STACKS: &[(Standing, &str)] = &[
    (Taut, "taut"),
    (Variant, "taut, dimpl"),
    (Peer, "webrtc-rs"),
    (Peer, "str0m"),
    (Peer, "str0m, 1 MiB buffer"),
    #[cfg(feature = "peers-c")]
    (Peer, "libdatachannel"),
];

/// Whole stacks that are not there, and why.
pub(super) const MISSING: &[(&str, &str)] = &[
    #[cfg(not(feature = "peers-c"))]
    ("libdatachannel", crate::peers::WITHOUT_C),
    ("Pion", "no part of this tool, as it is written in Go"),
    ("libwebrtc", "no part of this tool, as there is no package to build it from"),
];

/// Runs this program again for one stack, and reads the numbers of the line it prints.
pub(super) fn run(stack: &str, work: &[&str]) -> Result<Vec<f64>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program).arg("--child").arg(stack).args(work).output();
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        return Err(format!("{}: {}", output.status, last.unwrap_or_default()));
    }
    let numbers = text.lines().last().unwrap_or_default().split_whitespace().map(str::parse);
    numbers.collect::<Result<_, _>>().map_err(|_| format!("the child said {text:?}"))
}

/// What the child does.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some((name, work)) = arguments.split_first() else { return ExitCode::FAILURE };
    let done = match *name {
        "taut" => serve::<stack::taut::Default>(work),
        "taut, dimpl" => serve::<stack::taut::Dimpl>(work),
        "webrtc-rs" => serve::<stack::webrtc::WebRtc>(work),
        "str0m" => serve::<stack::str0m::Str0m>(work),
        "str0m, 1 MiB buffer" => serve::<stack::str0m::LargeBuffer>(work),
        #[cfg(feature = "peers-c")]
        "libdatachannel" => serve::<stack::libdatachannel::LibDataChannel>(work),
        other => Err(format!("no stack is named {other:?}")),
    };
    match done {
        Ok(numbers) => {
            let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
            println!("{}", numbers.join(" "));
            // Whatever is still open ends with the process, at once.
            std::process::exit(0);
        }
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

fn serve<S: Stack>(work: &[&str]) -> Result<Vec<f64>, String> {
    let number = |text: &&str| text.parse::<usize>().map_err(|error| error.to_string());
    match work {
        ["bulk", size, count] => bulk::<S>(number(size)?, number(count)?),
        ["setup", count] => setup::<S>(number(count)?),
        ["idle", count] => idle::<S>(number(count)?),
        _ => Err("unknown work".into()),
    }
}

/// Megabytes a second, milliseconds of processor time a MiB, messages a second.
fn bulk<S: Stack>(size: usize, count: usize) -> Result<Vec<f64>, String> {
    let mut stack = S::new()?;
    let (mut pair, _) = stack.connect()?;
    // The windows open first.
    stack.bulk(&mut pair, size, (count / 8).max(1))?;
    let (start, spent) = (std::time::Instant::now(), clock::process());
    stack.bulk(&mut pair, size, count)?;
    let (taken, spent) = (start.elapsed().as_secs_f64(), clock::process() - spent);
    let octets = (size * count) as f64;
    let mebibytes = octets / f64::from(1 << 20);
    Ok(vec![octets / 1e6 / taken, spent.as_secs_f64() * 1e3 / mebibytes, count as f64 / taken])
}

/// The median of the milliseconds from `createOffer` to the open channel, and those of processor time for a pair.
fn setup<S: Stack>(count: usize) -> Result<Vec<f64>, String> {
    let mut stack = S::new()?;
    // The first one pays for what is made once.
    drop(stack.connect()?);
    let mut taken = Vec::with_capacity(count);
    let mut spent = 0.0;
    for _ in 0..count {
        let start = clock::process();
        let (pair, time) = stack.connect()?;
        spent += (clock::process() - start).as_secs_f64() * 1e3;
        taken.push(time.as_secs_f64() * 1e3);
        drop(pair);
    }
    taken.sort_by(f64::total_cmp);
    Ok(vec![taken[count / 2], spent / count as f64])
}

/// KiB of resident memory for each of `count` pairs that are connected and idle.
fn idle<S: Stack>(count: usize) -> Result<Vec<f64>, String> {
    let mut stack = S::new()?;
    // What is made once: tables, a certificate, threads.
    let first = stack.connect()?;
    let before = resident()?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        pairs.push(stack.connect()?);
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
    let after = resident()?;
    drop((first, pairs));
    Ok(vec![(after - before) / count as f64])
}

/// KiB of resident memory of this process.
fn resident() -> Result<f64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let number = line.trim().trim_end_matches(" kB").trim();
    number.parse().map_err(|_| format!("VmRSS is {line:?}"))
}
