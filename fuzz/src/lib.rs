//! What the targets share: bounded polling, honest timers, and the checksum of SCTP.

pub mod streams;
pub mod turn;

use std::time::{Duration, Instant};

/// How often anything may be polled before it is said to never end.
pub const TURNS: usize = 10_000;

/// How many operations of an input are done; the rest is not looked at.
pub const OPERATIONS: usize = 64;

/// Runs `step` until it says `false`, which it must.
#[track_caller]
pub fn drain(mut step: impl FnMut() -> bool) {
    for _ in 0..TURNS {
        if !step() {
            return;
        }
    }
    panic!("polling does not end");
}

/// A machine with a clock.
pub trait Machine {
    /// Passes on the time.
    fn handle_timeout(&mut self, now: Instant);
    /// Polls everything until there is nothing.
    fn poll(&mut self, now: Instant);
    /// When it wants the time.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// Gives a machine the time and polls it. Its timeout may then be in the past once, and not twice in a row.
#[track_caller]
pub fn settle(machine: &mut impl Machine, now: Instant) {
    for _ in 0..2 {
        machine.handle_timeout(now);
        machine.poll(now);
        if machine.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
    }
    panic!("a timeout is in the past twice: {:?}", machine.poll_timeout().map(|at| now - at));
}

/// A time from two octets of an input: milliseconds, or seconds if the highest bit is set.
pub fn time(argument: u16) -> Duration {
    let number = u64::from(argument & 0x7fff);
    if argument & 0x8000 == 0 { Duration::from_millis(number) } else { Duration::from_secs(number % 120) }
}

/// CRC32c, a bit at a time (RFC 9260 appendix A).
pub fn crc32c(octets: &[u8]) -> u32 {
    !octets.iter().fold(!0, |crc, octet| {
        (0..8).fold(
            crc ^ u32::from(*octet),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    })
}

/// Puts the right checksum into an SCTP packet.
pub fn finish_sctp(packet: &mut [u8]) {
    if packet.len() >= 12 {
        packet[8..12].fill(0);
        let sum = crc32c(packet);
        packet[8..12].copy_from_slice(&sum.to_le_bytes());
    }
}

/// An SCTP packet with the right ports and checksum around any chunks.
pub fn sctp_packet(tag: u32, chunks: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x13, 0x88, 0x13, 0x88];
    packet.extend_from_slice(&tag.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    packet.extend_from_slice(chunks);
    finish_sctp(&mut packet);
    packet
}

/// Changes octets: every three of `changes` are a place and what is laid over it.
pub fn change(octets: &mut [u8], changes: &[u8]) {
    for change in changes.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]]));
        if !octets.is_empty() {
            let place = place % octets.len();
            octets[place] ^= change[2];
        }
    }
}

/// Loses every other packet of a queue.
pub fn lose<T>(queue: &mut std::collections::VecDeque<T>) {
    let mut number = 0;
    queue.retain(|_| {
        number += 1;
        number % 2 == 0
    });
}
