//! Looks into recorded files with ffmpeg: whether they decode, and when the picture flashes and the sound beeps.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::process::output;

/// How long ffmpeg may take with a recording of some seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// The samples a second that the sound is looked at with.
const RATE: f64 = 8_000.0;

/// Sound after this much silence, in seconds, is a new beep.
const SILENCE: f64 = 0.3;

fn ffmpeg(path: &Path, what: &[&str]) -> Output {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(path).args(what).arg("-");
    output(&mut command, LIMIT)
}

/// What ffmpeg complains about when it decodes a file; empty when it is whole.
pub fn decoding_errors(path: &Path) -> String {
    let ended = ffmpeg(path, &["-f", "null"]);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    if ended.status.success() || !said.is_empty() { said } else { format!("{}", ended.status) }
}

/// When a picture gets bright that was dark, in seconds from the beginning of the file.
pub fn flashes(path: &Path) -> Vec<f64> {
    const FILTER: &str = "signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-";
    let ended = ffmpeg(path, &["-vf", FILTER, "-fps_mode", "passthrough", "-f", "null"]);
    let (mut at, mut dark, mut found) = (0.0, true, Vec::new());
    for line in String::from_utf8_lossy(&ended.stdout).lines() {
        if let Some((_, time)) = line.split_once("pts_time:") {
            at = time.trim().parse().expect("a time");
        } else if let Some(value) = line.strip_prefix("lavfi.signalstats.YAVG=") {
            let bright = value.parse::<f64>().expect("a brightness") > 126.0;
            if bright && dark {
                found.push(at);
            }
            dark = !bright;
        }
    }
    found
}

/// When sound begins after silence, in seconds from the beginning of the file.
pub fn beeps(path: &Path) -> Vec<f64> {
    let rate = RATE.to_string();
    let ended = ffmpeg(path, &["-f", "s16le", "-ac", "1", "-ar", &rate]);
    let (mut last_sound, mut found) = (-1.0, Vec::new());
    for (number, sample) in ended.stdout.chunks_exact(2).enumerate() {
        let at = number as f64 / RATE;
        // An eighth of full scale: half of what the beep has when a codec smears its beginning.
        if i16::from_le_bytes([sample[0], sample[1]]).unsigned_abs() > 4_096 {
            if at - last_sound > SILENCE {
                found.push(at);
            }
            last_sound = at;
        }
    }
    found
}

/// For each flash, how much later its beep comes, in seconds; sorted. A flash without a beep within half a second has none.
pub fn apart(flashes: &[f64], beeps: &[f64]) -> Vec<f64> {
    let nearest = |flash: &f64| {
        beeps
            .iter()
            .map(|beep| beep - flash)
            .min_by(|a, b| a.abs().total_cmp(&b.abs()))
            .filter(|d| d.abs() < 0.5)
    };
    let mut apart: Vec<f64> = flashes.iter().filter_map(nearest).collect();
    apart.sort_by(f64::total_cmp);
    apart
}
