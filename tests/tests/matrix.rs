//! Chromium, Firefox and aiortc against `taut serve`, with each DTLS engine: each task, with the client offering and
//! answering.
//!
//! A client connects many times in a row to every cell of the matrix, in both DTLS roles, and data and media must flow each
//! time. The table of what was seen is printed (`-- --nocapture`). See `taut_tests::interop` for what it needs.

#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use taut_tests::interop::{Level, install_browser_driver, python_with_aiortc, turn};
use taut_tests::namespace::Namespace;
use taut_tests::process::{Server, output, text, through};
use taut_tests::workspace;

/// The cells: what the server does, and which side the client takes.
const CELLS: [(&str, &str); 4] =
    [("echo", "offers"), ("echo", "answers"), ("clip", "offers"), ("clip", "answers")];

/// The DTLS engines of the server.
const ENGINES: [&str; 2] = ["openssl", "dimpl"];

/// How many messages the first connection of a cell carries, of 1 to 60,000 bytes.
const MESSAGES: u64 = 120;

/// The frames a second that the clip has, and how many of them must be decoded at least.
const CLIP: f64 = 30.0;
const CLIP_DECODED: f64 = 29.0;

/// How much is asked of a cell.
struct Plan {
    connects: u64,
    seconds: u64,
    /// How long all cells of a client may take.
    limit: Duration,
}

impl Plan {
    fn of(level: Level) -> Self {
        match level {
            Level::Some => Self { connects: 3, seconds: 3, limit: Duration::from_secs(900) },
            Level::Full => Self { connects: 20, seconds: 10, limit: Duration::from_secs(1_800) },
        }
    }
}

/// Runs the cells with one client and each engine; prints the table, then fails if anything in it is wrong.
fn matrix(client: &str, prepare: fn(&[&str]) -> Command) {
    let Some(turn) = turn(client) else { return };
    let wrong: Vec<String> =
        ENGINES.iter().flat_map(|engine| cells(client, engine, turn.level, prepare)).collect();
    assert!(wrong.is_empty(), "{client}: {wrong:#?}");
}

/// Runs the cells; gives what is wrong with them.
fn cells(client: &str, engine: &str, level: Level, prepare: fn(&[&str]) -> Command) -> Vec<String> {
    let plan = Plan::of(level);
    let namespace = Namespace::new().expect("TAUT_INTEROP needs root and iproute2");
    let launcher = namespace.launcher();
    let mut command = prepare(&launcher);
    let server = Server::start_with(&launcher, workspace::taut(), &["--dtls", engine]);
    let cells: Vec<Value> = CELLS.iter().map(|(task, role)| json!({ "task": task, "role": role })).collect();
    let options = json!({
        "url": server.url,
        "directory": workspace::temporary().join("browser"),
        "addresses": "hidden",
        "connects": plan.connects,
        "messages": MESSAGES,
        "seconds": plan.seconds,
        "cells": cells,
    });
    let ended = output(command.arg(options.to_string()), plan.limit);
    let said = text(&ended);
    let results: Vec<Value> = said
        .lines()
        .filter_map(|line| line.strip_prefix("CELL "))
        .map(|line| serde_json::from_str(line).expect("a cell is JSON"))
        .collect();
    let mut wrong = Vec::new();
    if !ended.status.success() || results.len() != cells.len() {
        wrong.push(format!("{engine}: the client failed:\n{said}"));
    }
    for result in &results {
        println!("{}", row(client, engine, result));
        wrong.extend(
            complaints(client, result, &plan, level).into_iter().map(|what| format!("{engine}: {what}")),
        );
    }
    wrong
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// A row of the table.
fn row(client: &str, engine: &str, cell: &Value) -> String {
    let mut times: Vec<u64> =
        cell["milliseconds"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    times.sort_unstable();
    let video = &cell["video"];
    format!(
        "| {client} | {engine} | {} {} | {} connected, median {} ms, at most {} ms | DTLS {} | {} messages | {:.2} frames per second of \
         media, {:.2} of the clock, {} packets lost |",
        cell["task"].as_str().unwrap_or("?"),
        cell["role"].as_str().unwrap_or("?"),
        cell["connected"],
        times.get(times.len() / 2).unwrap_or(&0),
        times.last().unwrap_or(&0),
        cell["setups"],
        cell["messages"],
        number(&video["decoded"]) / number(&video["media"]),
        number(&video["decoded"]) / number(&video["clock"]),
        video["lost"],
    )
}

/// What is wrong with a cell.
fn complaints(client: &str, cell: &Value, plan: &Plan, level: Level) -> Vec<String> {
    let mut wrong: Vec<String> =
        cell["failures"].as_array().into_iter().flatten().map(|failure| format!("{failure}")).collect();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{what}: {cell}"));
        }
    };
    check(cell["connected"] == plan.connects, "not every connection came about");
    check(cell["messages"] == MESSAGES, "not every message came back");
    check(cell["setups"].as_object().is_some_and(|roles| roles.len() == 2), "one DTLS role only");
    let (video, audio) = (&cell["video"], &cell["audio"]);
    let (decoded, media, clock) =
        (number(&video["decoded"]), number(&video["media"]), number(&video["clock"]));
    // How much of real time must be kept up with: less where the machine may be busy.
    let pace = if level == Level::Full { 1.0 } else { 0.2 };
    if cell["task"] == "clip" {
        // Per second of media time: a busy machine that decodes late is no reason to fail, a frame that is lost is.
        check(
            decoded / media >= CLIP_DECODED && decoded / media <= CLIP + 1.0,
            "frames of the clip are missing",
        );
        check(media >= 0.8 * pace * clock, "the clip does not play");
        if level == Level::Full {
            check(decoded / clock >= CLIP_DECODED, "the clip does not play at full speed");
        }
    } else {
        check(decoded >= 10.0 * pace * clock, "the picture does not move");
    }
    check(number(&audio["packets"]) >= 40.0 * pace * number(&audio["clock"]), "sound is missing");
    // Firefox sends silence: without a sound device it runs no AudioContext. The demo page hears its fake microphone.
    let silent = client == "firefox" && cell["task"] == "echo";
    check(silent || number(&audio["energy"]) > 0.0001, "the sound is silent");
    wrong
}

fn browser(name: &str, launcher: &[&str]) -> Command {
    install_browser_driver();
    let mut command = through(launcher, Path::new("node"));
    command.args(["run.mjs", name, "matrix"]).current_dir(workspace::browser_scenarios());
    command
}

#[test]
fn chromium() {
    matrix("chromium", |launcher| browser("chromium", launcher));
}

#[test]
fn firefox() {
    matrix("firefox", |launcher| browser("firefox", launcher));
}

#[test]
fn aiortc() {
    matrix("aiortc", |launcher| {
        let mut command = through(launcher, python_with_aiortc());
        command.arg(workspace::aiortc().join("client.py"));
        command
    });
}
