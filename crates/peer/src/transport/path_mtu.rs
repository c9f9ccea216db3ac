//! How large packets of data may be on a path: what its layers take away of it (RFC 8899 section 6.2.3).

use std::time::Instant;

use taut_sansio::net::Path;

use super::{Security, Transport};

/// Octets of headers (RFC 768, RFC 791 without options, RFC 8200).
const UDP_HEADER: usize = 8;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

impl Transport {
    /// Tells data channels how large their packets may be on this path, when it is another one or adds more or less to each.
    pub(super) fn measure(&mut self, now: Instant, path: &Path, outer: &Path) {
        if !matches!(self.security, Security::Established(_)) {
            return;
        }
        let overhead = self.ice.relay_overhead(path) + self.dtls.overhead();
        if self.measured == Some((*path, overhead)) {
            return;
        }
        self.measured = Some((*path, overhead));
        let ip = if outer.remote.is_ipv4() { IPV4_HEADER } else { IPV6_HEADER };
        let (mtu, max_mtu) = (self.mtu.saturating_sub(overhead), self.data_mtu.saturating_sub(overhead));
        self.data.set_path_mtu(now, mtu, max_mtu, overhead + UDP_HEADER + ip);
    }
}
