//! A packet trace that Wireshark reads: the pcap format with nanoseconds, link type RAW (101), with made-up IP and
//! UDP headers around each datagram.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// Octets of the headers of UDP and IPv4.
pub(crate) const HEADER_V4: usize = 28;
/// Octets of the headers of UDP and IPv6.
pub(crate) const HEADER_V6: usize = 48;

const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const LINKTYPE_RAW: u32 = 101;
const UDP: u8 = 17;

/// A trace being written.
#[derive(Debug)]
pub(crate) struct Pcap {
    file: BufWriter<File>,
}

impl Pcap {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&file_header())?;
        Ok(Self { file })
    }

    /// Adds a datagram; `time` is since the Unix epoch.
    pub(crate) fn record(
        &mut self,
        time: Duration,
        source: SocketAddr,
        destination: SocketAddr,
        datagram: &[u8],
    ) {
        let packet = packet(source, destination, datagram);
        let mut header = Vec::with_capacity(16);
        for field in [time.as_secs() as u32, time.subsec_nanos(), packet.len() as u32, packet.len() as u32] {
            header.extend_from_slice(&field.to_le_bytes());
        }
        // A trace is a help for debugging: a full disk must not fail the test.
        let _ = self.file.write_all(&header).and_then(|()| self.file.write_all(&packet));
    }

    pub(crate) fn flush(&mut self) {
        let _ = self.file.flush();
    }
}

fn file_header() -> Vec<u8> {
    let mut out = MAGIC_NANOSECONDS.to_le_bytes().to_vec();
    out.extend_from_slice(&2u16.to_le_bytes());
    out.extend_from_slice(&4u16.to_le_bytes());
    for field in [0, 0, 0x0004_0000, LINKTYPE_RAW] {
        out.extend_from_slice(&u32::to_le_bytes(field));
    }
    out
}

/// The IP packet around a datagram.
fn packet(source: SocketAddr, destination: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    let udp_len = datagram.len() + 8;
    let mut udp = Vec::with_capacity(udp_len);
    udp.extend_from_slice(&source.port().to_be_bytes());
    udp.extend_from_slice(&destination.port().to_be_bytes());
    udp.extend_from_slice(&(udp_len as u16).to_be_bytes());
    udp.extend_from_slice(&[0, 0]);
    udp.extend_from_slice(datagram);
    let (mut out, pseudo) = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut ip = vec![0x45, 0];
            ip.extend_from_slice(&((udp_len + 20) as u16).to_be_bytes());
            ip.extend_from_slice(&[0, 0, 0x40, 0, 64, UDP, 0, 0]);
            ip.extend_from_slice(&from.octets());
            ip.extend_from_slice(&to.octets());
            let sum = checksum(&[&ip]);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
            let mut pseudo = ip[12..20].to_vec();
            pseudo.extend_from_slice(&[0, UDP]);
            pseudo.extend_from_slice(&(udp_len as u16).to_be_bytes());
            (ip, pseudo)
        }
        (from, to) => {
            let mut ip = vec![0x60, 0, 0, 0];
            ip.extend_from_slice(&(udp_len as u16).to_be_bytes());
            ip.extend_from_slice(&[UDP, 64]);
            ip.extend_from_slice(&as_v6(from));
            ip.extend_from_slice(&as_v6(to));
            let mut pseudo = ip[8..40].to_vec();
            pseudo.extend_from_slice(&(udp_len as u32).to_be_bytes());
            pseudo.extend_from_slice(&[0, 0, 0, UDP]);
            (ip, pseudo)
        }
    };
    let sum = match checksum(&[&pseudo, &udp]) {
        0 => 0xffff,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(&udp);
    out
}

fn as_v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The internet checksum (RFC 1071) over parts, all but the last of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_verify() {
        // The example of RFC 1071 section 3.
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        let v4 = packet("192.0.2.1:7".parse().unwrap(), "192.0.2.2:9".parse().unwrap(), b"abc");
        assert_eq!(v4.len(), HEADER_V4 + 3);
        assert_eq!(checksum(&[&v4[..20]]), 0);
        let pseudo = [&v4[12..20], &[0, 17, 0, 11][..]].concat();
        assert_eq!(checksum(&[&pseudo, &v4[20..]]), 0);
        let v6 = packet("[2001:db8::1]:7".parse().unwrap(), "[2001:db8::2]:9".parse().unwrap(), b"abcd");
        assert_eq!(v6.len(), HEADER_V6 + 4);
        let pseudo = [&v6[8..40], &[0, 0, 0, 12, 0, 0, 0, 17][..]].concat();
        assert_eq!(checksum(&[&pseudo, &v6[40..]]), 0);
    }

    #[test]
    fn a_trace_has_the_header_and_the_records() {
        let path = std::env::temp_dir().join(format!("taut-netsim-{}.pcap", std::process::id()));
        let mut pcap = Pcap::create(&path).unwrap();
        let (a, b) = ("192.0.2.1:7".parse().unwrap(), "192.0.2.2:9".parse().unwrap());
        pcap.record(Duration::new(5, 6), a, b, b"abc");
        pcap.flush();
        let octets = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(octets[..4], [0x4d, 0x3c, 0xb2, 0xa1]);
        assert_eq!(octets[20..24], [101, 0, 0, 0]);
        assert_eq!(octets[24..40], [5, 0, 0, 0, 6, 0, 0, 0, 31, 0, 0, 0, 31, 0, 0, 0]);
        assert_eq!(octets.len(), 24 + 16 + 31);
    }
}
