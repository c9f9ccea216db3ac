//! The groups, a file each.

use crate::report::Report;

pub(crate) mod child;
mod dtls;
mod memory;
mod rtp;
pub(crate) mod sctp;
mod sdp;
mod setup;
mod srtp;
mod stack;
mod stun;

/// All groups, in the order of `all`.
pub(crate) const NAMES: [&str; 9] =
    ["srtp", "sctp", "stun", "sdp", "rtp", "dtls", "stack", "setup", "memory"];

/// Runs a group.
pub(crate) fn run(group: &str, report: &mut Report) -> Result<(), String> {
    match group {
        "srtp" => srtp::run(report),
        "sctp" => sctp::run(report),
        "stun" => stun::run(report),
        "sdp" => sdp::run(report),
        "rtp" => rtp::run(report),
        "dtls" => dtls::run(report),
        "stack" => stack::run(report),
        "setup" => setup::run(report),
        "memory" => memory::run(report),
        other => return Err(format!("no group is named {other:?}")),
    }
    Ok(())
}
