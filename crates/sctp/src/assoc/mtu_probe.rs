//! Probes of the path MTU: a HEARTBEAT, and a PAD chunk that fills the packet to the size that is asked about (RFC
//! 8899 section 6.2.1.2, RFC 4820). The answer is known by the number in it, under our HMAC, and not by a size that
//! it tells.

use std::time::Instant;

use crate::association::Association;
use crate::config::Config;
use crate::packet::parameter::parameter_kind;
use crate::packet::tlv::TLV_HEADER;
use crate::packet::{chunk_head, finish, kind, put_tlv};
use crate::path_mtu::Limits;
use crate::timer::Timer;

impl Association {
    /// The path is another one, or the layers below are: `mtu` is what every path carries
    /// ([`Config::mtu`](crate::Config::mtu)), `max_mtu` what is looked for at most (RFC 8899), both in octets of an
    /// SCTP packet, and `headers` what all layers below, IP included, add to one. Packets go on at `mtu`, and the
    /// search begins anew; if `max_mtu` is not larger there is none.
    pub fn set_path_mtu(&mut self, now: Instant, mtu: usize, max_mtu: usize, headers: usize) {
        let now = self.tick(now);
        self.config.mtu = mtu.clamp(Config::MTU_MIN, Config::MTU_MAX);
        self.path_mtu.set_limits(Limits::new(self.config.mtu, max_mtu.min(Config::MTU_MAX), headers));
        self.tx.set_mtu(self.config.mtu);
        self.settle(now);
    }

    /// Appends the probe of the path MTU that is due, if it has at most `room` octets, and returns its length. It is
    /// to be sent alone and without IP fragmentation; its loss means nothing but that it was too large. To be asked
    /// when [`poll_transmit`](Self::poll_transmit) has no more.
    pub fn poll_mtu_probe(&mut self, now: Instant, room: usize, out: &mut Vec<u8>) -> Option<usize> {
        let size = self.path_mtu.due().filter(|&size| size <= room && self.is_open())?;
        let now = self.tick(now);
        let start = out.len();
        self.header(self.remote.tag).write(out);
        let (number, info) = self.heartbeat_info();
        put_tlv(out, chunk_head(kind::HEARTBEAT, 0), |out| {
            put_tlv(out, parameter_kind::HEARTBEAT_INFO, |out| out.extend_from_slice(&info));
        });
        let padding = (start + size).saturating_sub(out.len() + TLV_HEADER);
        put_tlv(out, chunk_head(kind::PAD, 0), |out| out.resize(out.len() + padding, 0));
        if !self.is_bare() {
            finish(out, start);
        }
        self.path_mtu.on_sent(now, number, self.tx.rto());
        let length = out.len() - start;
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += length as u64;
        self.stats.mtu_probes += 1;
        self.arm_mtu_probe();
        Some(length)
    }

    /// Wakes the caller when the answer to a probe stays out.
    pub(crate) fn arm_mtu_probe(&mut self) {
        match self.path_mtu.timeout().filter(|_| self.is_open()) {
            Some(at) => self.timers.set(Timer::PathMtu, at),
            None => self.timers.stop(Timer::PathMtu),
        }
    }

    /// Looks whether large packets are swallowed, which only what became of data tells.
    pub(crate) fn settle_path_mtu(&mut self) {
        if self.tx.take_black_hole() {
            self.path_mtu.on_black_hole();
        }
        self.arm_mtu_probe();
    }
}
