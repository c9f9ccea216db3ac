//! Where things are in the checkout, and how to build the binary under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The top of the checkout.
pub fn root() -> &'static Path {
    // The manifest of this package is one folder below the top.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package has a parent folder")
}

/// The folder with the browser scenarios.
pub fn browser_scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("browser")
}

/// The folder with the client on aiortc.
pub fn aiortc() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("aiortc")
}

/// Cargo's folder for what tests make, such as screenshots: `target/tmp`.
pub fn temporary() -> PathBuf {
    profile_dir().with_file_name("tmp")
}

/// The binary `taut`, built with the profile of the running test.
///
/// # Panics
///
/// When it cannot be built.
pub fn taut() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(build)
}

fn build() -> PathBuf {
    let profile_dir = profile_dir();
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let target_dir = profile_dir.parent().expect("the profile's folder is in the target folder");
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--package",
            "taut-cli",
            "--bin",
            "taut",
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(target_dir)
        .current_dir(root())
        .stdin(Stdio::null())
        .status()
        .expect("cargo starts");
    assert!(status.success(), "the binary taut does not build");
    profile_dir.join(format!("taut{}", std::env::consts::EXE_SUFFIX))
}

/// `target/debug` or `target/release`: the running test is in its folder `deps`.
fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().expect("the running test has a path");
    test.ancestors().nth(2).expect("the running test is in target/<profile>/deps").to_owned()
}
