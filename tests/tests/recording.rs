//! A call recorded by `taut serve --record`: ffmpeg decodes it without a complaint, and sound and picture are in step.
//!
//! The page flashes and beeps at the same moment once a second; the same is looked for in the files. See
//! `taut_tests::interop` for what it needs, and ffmpeg.

#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use taut_tests::beats::{apart, beeps, decoding_errors, flashes};
use taut_tests::interop::{install_browser_driver, turn};
use taut_tests::namespace::Namespace;
use taut_tests::process::{Server, output, text, through};
use taut_tests::workspace;

const LIMIT: Duration = Duration::from_secs(300);

/// How long the call is.
const SECONDS: usize = 20;

/// How far sound and picture may be apart, in seconds.
const APART: f64 = 0.040;

/// The only file of a folder with this ending.
fn only(folder: &Path, ending: &str) -> PathBuf {
    let entries = fs::read_dir(folder)
        .expect("the folder of the recording")
        .map(|entry| entry.expect("an entry").path());
    let found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
    let [path] = &found[..] else { panic!("not one .{ending} file: {found:?}") };
    path.clone()
}

#[test]
fn a_recorded_call_is_whole_and_in_step() {
    let Some(_turn) = turn("recording") else { return };
    install_browser_driver();
    let folder = workspace::temporary().join("recording");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    let namespace = Namespace::new().expect("TAUT_INTEROP needs root and iproute2");
    let launcher = namespace.launcher();
    let record = ["--record", folder.to_str().expect("a path of characters")];
    let mut server = Server::start_with(&launcher, workspace::taut(), &record);

    let options = json!({
        "url": server.url,
        "directory": workspace::temporary().join("browser"),
        "seconds": SECONDS,
    });
    let mut command = through(&launcher, Path::new("node"));
    command
        .args(["run.mjs", "chromium", "record", &options.to_string()])
        .current_dir(workspace::browser_scenarios());
    let ended = output(&mut command, LIMIT);
    print!("{}", text(&ended));
    assert!(ended.status.success(), "the call failed:\n{}", text(&ended));
    let asked = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().expect("kill starts");
    assert!(asked.success() && server.ended(LIMIT).is_some(), "the server does not end");

    let (video, audio) = (only(&folder, "ivf"), only(&folder, "ogg"));
    for path in [&video, &audio] {
        assert_eq!(decoding_errors(path), "", "ffmpeg complains about {}", path.display());
    }
    let (flashes, beeps) = (flashes(&video), beeps(&audio));
    let apart = apart(&flashes, &beeps);
    println!("flashes at {flashes:.3?} s\nbeeps at {beeps:.3?} s\nbeeps after flashes by {apart:.3?} s");
    assert!(apart.len() + 6 >= SECONDS, "beats are missing");
    let median = apart[apart.len() / 2];
    assert!(median.abs() <= APART, "sound and picture are {median:.3} s apart: {apart:.3?}");
}

/// The measure itself, on files that ffmpeg makes: in step, and with the sound 100 ms late.
#[test]
fn the_measure_sees_what_is_apart() {
    let Some(_turn) = turn("recording: the measure") else { return };
    let folder = workspace::temporary().join("beats");
    fs::create_dir_all(&folder).expect("a folder");
    let make = |source: &str, codec: &[&str], file: &str| {
        let path = folder.join(file);
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", source]).args(codec).arg(&path);
        let ended = output(&mut command, LIMIT);
        assert!(ended.status.success(), "{}", text(&ended));
        path
    };
    let white = "gte(t,1)*lt(mod(t,1),0.25)";
    let video = make(
        &format!("color=black:s=64x48:r=30:d=4,drawbox=c=white:t=fill:enable='{white}',format=yuv420p"),
        &["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"],
        "beats.ivf",
    );
    for late in [0.0, 0.1] {
        let tone = format!("0.7*sin(6283*t)*gte(t-{late},1)*lt(mod(t-{late},1),0.25)");
        let audio = make(&format!("aevalsrc='{tone}':s=48000:d=4"), &["-c:a", "libopus"], "beats.ogg");
        let apart = apart(&flashes(&video), &beeps(&audio));
        assert!(apart.len() == 3 && apart.iter().all(|d| (d - late).abs() < 0.002), "{late}: {apart:?}");
    }
}
