//! The walls between the crates: which may use which, and which third-party crates each may use. The rules are those of
//! `ARCHITECTURE.md`, section 2; a change there and a change here belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// For each crate: what it may use of the workspace, and of others.
const RULES: &[(&str, &[&str], &[&str])] = &[
    // The vocabulary.
    ("taut-sansio", &[], &["bytes", "rand", "thiserror"]),
    // One protocol each.
    ("taut-sdp", &["taut-sansio"], &["bytes", "thiserror", "tracing"]),
    (
        "taut-stun",
        &["taut-sansio"],
        &["bytes", "crc32fast", "hmac", "md-5", "sha1", "sha2", "thiserror", "tracing"],
    ),
    ("taut-mdns", &["taut-sansio"], &["bytes", "thiserror", "tracing"]),
    ("taut-rtp", &["taut-sansio"], &["bytes", "thiserror", "tracing"]),
    ("taut-sctp", &["taut-sansio"], &["bytes", "crc-fast", "hmac", "sha2", "thiserror", "tracing"]),
    (
        "taut-dtls",
        &["taut-sansio"],
        &[
            "aws-lc-rs",
            "bytes",
            "dimpl",
            "foreign-types",
            "openssl",
            "openssl-sys",
            "pem",
            "rcgen",
            "thiserror",
            "tracing",
        ],
    ),
    ("taut-container", &["taut-sansio"], &["bytes", "thiserror"]),
    // On top of one other.
    (
        "taut-srtp",
        &["taut-sansio", "taut-rtp"],
        &["aes", "aws-lc-rs", "bytes", "ctr", "hmac", "sha1", "thiserror", "tracing"],
    ),
    ("taut-datachannel", &["taut-sansio", "taut-sctp"], &["bytes", "thiserror", "tracing"]),
    ("taut-media", &["taut-sansio", "taut-rtp"], &["bytes", "thiserror", "tracing"]),
    ("taut-turn", &["taut-sansio", "taut-stun"], &["base64", "bytes", "thiserror", "tracing"]),
    ("taut-ice", &["taut-sansio", "taut-stun", "taut-turn", "taut-mdns"], &["bytes", "thiserror", "tracing"]),
    // The composition.
    (
        "taut-peer",
        &[
            "taut-sansio",
            "taut-sdp",
            "taut-stun",
            "taut-mdns",
            "taut-ice",
            "taut-dtls",
            "taut-rtp",
            "taut-srtp",
            "taut-sctp",
            "taut-datachannel",
            "taut-media",
        ],
        &["bytes", "thiserror", "tracing"],
    ),
    // The facade: the only crate that does I/O.
    (
        "taut",
        &["taut-sansio", "taut-peer", "taut-mdns", "taut-stun", "taut-turn", "taut-container"],
        &[
            "base64",
            "bytes",
            "futures-core",
            "futures-sink",
            "getrandom",
            "httparse",
            "if-addrs",
            "quinn-udp",
            "rustix",
            "rustls-native-certs",
            "socket2",
            "thiserror",
            "tokio",
            "tokio-rustls",
            "tokio-socks",
            "tracing",
        ],
    ),
    // The binary: an HTTP server and a command line on the facade alone.
    (
        "taut-cli",
        &["taut"],
        &[
            "axum",
            "bytes",
            "clap",
            "getrandom",
            "hyper",
            "hyper-util",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tower-http",
            "tracing",
            "tracing-subscriber",
        ],
    ),
];

/// Crates that only test code may use.
const TEST_ONLY: &[&str] = &["taut-netsim", "taut-tests", "taut-benches"];

/// What a crate of the workspace uses.
#[derive(Debug, Default)]
struct Uses {
    ours: BTreeSet<String>,
    others: BTreeSet<String>,
    tests: BTreeSet<String>,
}

/// Every crate of the workspace, as cargo sees it.
fn workspace() -> BTreeMap<String, Uses> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(taut_tests::workspace::root())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let names: BTreeSet<String> = packages.iter().map(|package| text(&package["name"])).collect();

    let mut workspace = BTreeMap::new();
    for package in packages {
        let mut uses = Uses::default();
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let name = text(&dependency["name"]);
            if dependency["kind"].as_str() == Some("dev") {
                uses.tests.insert(name);
            } else if names.contains(&name) {
                uses.ours.insert(name);
            } else {
                uses.others.insert(name);
            }
        }
        workspace.insert(text(&package["name"]), uses);
    }
    workspace
}

#[test]
fn every_crate_uses_only_what_lies_below_it() {
    let workspace = workspace();
    for (name, uses) in &workspace {
        let Some((_, ours, others)) = RULES.iter().find(|(rule, _, _)| rule == name) else {
            assert!(
                TEST_ONLY.contains(&name.as_str()),
                "{name} has no rule: give it its place in the layers"
            );
            continue;
        };
        let check = |used: &BTreeSet<String>, allowed: &[&str]| {
            let wrong: Vec<_> = used.iter().filter(|used| !allowed.contains(&used.as_str())).collect();
            assert!(wrong.is_empty(), "{name} must not depend on {wrong:?}");
        };
        check(&uses.ours, ours);
        check(&uses.others, others);
    }
    for (name, ours, _) in RULES {
        assert!(workspace.contains_key(*name), "there is a rule for {name}, which does not exist");
        for other in *ours {
            assert!(
                RULES.iter().any(|(rule, _, _)| rule == other),
                "{name} may use {other}, which has no rule"
            );
        }
    }
}

/// The rules themselves allow no way round: each crate stands below those that use it.
#[test]
fn the_rules_go_downward() {
    let place = |name: &str| RULES.iter().position(|(rule, _, _)| *rule == name);
    for (name, ours, _) in RULES {
        for other in *ours {
            assert!(place(other) < place(name), "{other} must stand before {name}");
        }
    }
}

#[test]
fn test_code_uses_the_layers_below_and_the_simulated_network() {
    for (name, uses) in workspace() {
        let Some((_, ours, _)) = RULES.iter().find(|(rule, _, _)| *rule == name) else {
            continue;
        };
        for other in uses.tests.iter().filter(|other| other.starts_with("taut")) {
            let fine = other == "taut-netsim" || ours.contains(&other.as_str());
            assert!(fine, "the tests of {name} must not depend on {other}");
        }
    }
}

#[test]
fn the_simulated_network_knows_the_vocabulary_alone() {
    let workspace = workspace();
    let netsim = &workspace["taut-netsim"];
    assert_eq!(netsim.ours, BTreeSet::from(["taut-sansio".to_owned()]));
    assert!(netsim.others.iter().all(|other| other == "bytes"), "{:?}", netsim.others);
}
