//! The result of a local call: as one JSON object, as a table, and as a verdict.

use std::fmt;

use serde::Serialize;

/// What a local call came to. The field names are the keys of the JSON object; what was not reached is `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Report {
    /// From making the two connections until both were connected, in milliseconds.
    pub(crate) connected_ms: Option<f64>,
    /// From making the two connections until the first video frame was received, in milliseconds.
    pub(crate) first_frame_ms: Option<f64>,
    /// Frames of the clip that were sent.
    pub(crate) video_frames_sent: u64,
    /// Frames that were received, each equal to the one that was sent.
    pub(crate) video_frames_received: u64,
    /// Packets of the clip's sound that were sent.
    pub(crate) audio_packets_sent: u64,
    /// Packets of sound that were received, each equal to the one that was sent.
    pub(crate) audio_packets_received: u64,
    /// Data-channel messages that were sent, in both directions.
    pub(crate) messages_sent: u64,
    /// Data-channel messages that were received, in order and equal to what was sent.
    pub(crate) messages_received: u64,
    /// How fast the data channel carried large messages one way, in 10⁶ bytes a second.
    pub(crate) data_mb_per_s: Option<f64>,
    /// The round-trip time of the selected candidate pair, in milliseconds.
    pub(crate) rtt_ms: Option<f64>,
    /// The negotiated DTLS version.
    pub(crate) dtls_version: Option<String>,
    /// The negotiated DTLS cipher suite.
    pub(crate) dtls_cipher: Option<String>,
    /// The negotiated SRTP protection profile.
    pub(crate) srtp_profile: Option<String>,
    /// The candidate pair that carried everything.
    pub(crate) candidate_pair: Option<String>,
}

impl Report {
    /// What was lost, in words; `None` when nothing was, and something was sent.
    pub(crate) fn losses(&self) -> Option<String> {
        let counts = [
            ("video frames", self.video_frames_sent, self.video_frames_received),
            ("audio packets", self.audio_packets_sent, self.audio_packets_received),
            ("messages", self.messages_sent, self.messages_received),
        ];
        let lost: Vec<String> = counts
            .into_iter()
            .filter_map(|(what, sent, received)| match sent {
                0 => Some(format!("no {what} were sent")),
                _ if sent != received => Some(format!("{received} of {sent} {what} arrived")),
                _ => None,
            })
            .collect();
        (!lost.is_empty()).then(|| lost.join(", "))
    }

    /// The report as one JSON object.
    pub(crate) fn to_json(&self) -> String {
        // Numbers and strings under fixed keys: nothing that serde_json could refuse.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The table for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured =
            |value: Option<f64>, unit| value.map_or("-".to_owned(), |value| format!("{value} {unit}"));
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let counted = |sent: u64, received: u64, unit| {
            format!("{sent} {unit} sent, {received} received, {} lost", sent.saturating_sub(received))
        };
        let rows = [
            ("Connected after", measured(self.connected_ms, "ms")),
            ("First frame after", measured(self.first_frame_ms, "ms")),
            ("Video", counted(self.video_frames_sent, self.video_frames_received, "frames")),
            ("Audio", counted(self.audio_packets_sent, self.audio_packets_received, "packets")),
            ("Messages", counted(self.messages_sent, self.messages_received, "messages")),
            ("Data channel", measured(self.data_mb_per_s, "MB/s")),
            ("Round trip", measured(self.rtt_ms, "ms")),
            ("DTLS", format!("{}, {}", text(&self.dtls_version), text(&self.dtls_cipher))),
            ("SRTP", text(&self.srtp_profile)),
            ("Candidate pair", text(&self.candidate_pair)),
        ];
        for (name, value) in rows {
            writeln!(f, "  {name:<18} {value}")?;
        }
        Ok(())
    }
}

/// A measured value with three digits that mean something, and no more than two decimals.
pub(crate) fn rounded(value: f64) -> f64 {
    if value.abs() >= 100.0 { value.round() } else { (value * 100.0).round() / 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean() -> Report {
        Report {
            video_frames_sent: 150,
            video_frames_received: 150,
            audio_packets_sent: 250,
            audio_packets_received: 250,
            messages_sent: 10,
            messages_received: 10,
            ..Report::default()
        }
    }

    #[test]
    fn what_was_lost_is_named() {
        assert_eq!(clean().losses(), None);
        let report =
            Report { audio_packets_received: 249, messages_sent: 0, messages_received: 0, ..clean() };
        assert_eq!(
            report.losses().as_deref(),
            Some("249 of 250 audio packets arrived, no messages were sent")
        );
    }

    #[test]
    fn the_keys_are_those_that_scripts_rely_on() {
        let json = clean().to_json();
        let keys: Vec<&str> = json.split('"').skip(1).step_by(2).collect();
        let expected = "connected_ms first_frame_ms video_frames_sent video_frames_received audio_packets_sent \
                        audio_packets_received messages_sent messages_received data_mb_per_s rtt_ms dtls_version \
                        dtls_cipher srtp_profile candidate_pair";
        assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([rounded(1234.567), rounded(12.3456), rounded(0.126)], [1235.0, 12.35, 0.13]);
    }
}
