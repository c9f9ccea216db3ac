//! Stage: what is reported of a source (RFC 3550 sections 6.4.1 and A.3).

use std::time::Instant;

use taut_rtp::Ssrc;
use taut_rtp::rtcp::{ReportBlock, SenderReport};
use taut_sansio::time::ntp_middle;

use super::clock::Clock;
use super::sequence::Sequence;
use crate::report::{ntp_to_unix, to_short};
use crate::stats::RemoteOutbound;

/// What the last reports said, ours and the sender's.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    expected_before: u64,
    received_before: u64,
    last_sender_report: Option<(u32, Instant)>,
    remote: Option<RemoteOutbound>,
}

impl Reporter {
    /// The source started anew.
    pub(crate) fn restart(&mut self) {
        (self.expected_before, self.received_before) = (0, 0);
    }

    pub(crate) fn on_sender_report(&mut self, now: Instant, report: &SenderReport) {
        self.last_sender_report = Some((ntp_middle(report.ntp), now));
        self.remote = Some(RemoteOutbound {
            at: now,
            remote_timestamp: ntp_to_unix(report.ntp),
            packets_sent: report.packet_count,
            bytes_sent: report.octet_count,
            reports_sent: self.remote.map_or(0, |remote| remote.reports_sent) + 1,
        });
    }

    pub(crate) fn remote(&self) -> Option<RemoteOutbound> {
        self.remote
    }

    /// True if packets came since the last block.
    pub(crate) fn has_news(&self, sequence: &Sequence) -> bool {
        sequence.received() != self.received_before
    }

    /// The block of the next report.
    pub(crate) fn block(
        &mut self,
        now: Instant,
        ssrc: u32,
        sequence: &Sequence,
        clock: &Clock,
    ) -> ReportBlock {
        let (expected, received) = (sequence.expected(), sequence.received());
        let expected_interval = expected.saturating_sub(self.expected_before);
        let received_interval = received.saturating_sub(self.received_before);
        (self.expected_before, self.received_before) = (expected, received);
        let lost_interval = expected_interval.saturating_sub(received_interval);
        let fraction = (lost_interval * 256).checked_div(expected_interval).unwrap_or(0).min(255);
        let (last_sender_report, delay_since_last) = match self.last_sender_report {
            Some((middle, at)) => (middle, to_short(now.saturating_duration_since(at))),
            None => (0, 0),
        };
        ReportBlock {
            ssrc: Ssrc::new(ssrc),
            fraction_lost: fraction as u8, // at most 255
            cumulative_lost: lost(sequence).clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: sequence.extended_highest(),
            jitter: clock.jitter_units(),
            last_sender_report,
            delay_since_last,
        }
    }
}

/// Packets expected less those received.
pub(crate) fn lost(sequence: &Sequence) -> i64 {
    let expected = i64::try_from(sequence.expected()).unwrap_or(i64::MAX);
    expected.saturating_sub(i64::try_from(sequence.received()).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use std::time::Duration;

    use taut_rtp::SequenceNumber;

    use super::*;

    #[test]
    fn blocks_count_as_the_rfc_does() {
        let now = Instant::now();
        let (mut reporter, mut sequence, clock) = (Reporter::default(), Sequence::new(), Clock::new(90_000));
        for value in [100, 101, 103, 104, 104, 107] {
            sequence.accept(SequenceNumber::new(value));
        }
        let block = reporter.block(now, 7, &sequence, &clock);
        // Expected 8, received 6 with the duplicate.
        assert_eq!((block.cumulative_lost, block.fraction_lost), (2, 64));
        assert_eq!(block.highest_sequence, 107);
        assert!(!reporter.has_news(&sequence));
        sequence.accept(SequenceNumber::new(108));
        sequence.accept(SequenceNumber::new(108));
        let block = reporter.block(now, 7, &sequence, &clock);
        assert_eq!((block.cumulative_lost, block.fraction_lost), (1, 0), "never a negative fraction");
    }

    #[test]
    fn the_delay_since_the_last_report_is_told() {
        let now = Instant::now();
        let (mut reporter, sequence, clock) = (Reporter::default(), Sequence::new(), Clock::new(90_000));
        let report = SenderReport { ntp: 0x1111_2222_3333_4444, packet_count: 5, ..SenderReport::default() };
        reporter.on_sender_report(now, &report);
        let block = reporter.block(now + Duration::from_millis(1_500), 7, &sequence, &clock);
        assert_eq!(block.last_sender_report, 0x2222_3333);
        assert_eq!(block.delay_since_last, 0x1_8000);
        assert_eq!(reporter.remote().map(|remote| (remote.packets_sent, remote.reports_sent)), Some((5, 1)));
    }
}
