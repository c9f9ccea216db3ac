//! The other stacks: what it takes to drive them, a file each.

pub(crate) mod dtls;
pub(crate) mod sctp;
pub(crate) mod stack;

/// The versions that this program was built with, as the lock file has them.
pub(crate) fn versions() -> impl Iterator<Item = String> {
    const NAMES: &[&str] = &[
        "aws-lc-rs",
        "datachannel-sys",
        "dcsctp",
        "dimpl",
        "is",
        "openssl-src",
        "ring",
        "rtc-sctp",
        "sctp-proto",
        "srtp",
        "str0m",
        "stun-types",
        "webrtc",
        "webrtc-sdp",
    ];
    let lock = include_str!("../../../../Cargo.lock");
    let packages = lock.split("[[package]]").filter_map(|package| {
        let field = |name| package.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix('"'));
        Some((field("name = \"")?, field("version = \"")?))
    });
    packages.filter(|(name, _)| NAMES.contains(name)).map(|(name, version)| format!("{name} {version}"))
}

/// Why a peer in C or C++ is not there.
#[cfg(not(feature = "peers-c"))]
pub(crate) const WITHOUT_C: &str = "compiled without the feature `peers-c` (it needs libclang and cmake)";
