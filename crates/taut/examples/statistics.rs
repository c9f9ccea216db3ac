//! Prints statistics of a call once a second, as `getStats()` gives them in a browser: rates are differences between two
//! reports. At the end every entry of the last report is named. The call is between two peers in this process; one
//! plays the clip of this repository to the other.
//!
//! ```console
//! $ cargo run -p taut --example statistics               # three seconds
//! $ cargo run -p taut --example statistics -- SECONDS
//! ```

mod shared;

use std::time::Duration;

use bytes::Bytes;
use shared::{CLIP, Failure, connect, connection};
use taut::stats::{InboundRtpReport, Stats};
use taut::{FileOptions, MediaStream, StatsReport};
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let seconds: u64 = std::env::args().nth(1).map_or(Ok(3), |number| number.parse())?;

    let ((player, _), (viewer, _)) = (connection()?, connection()?);
    let read = |name| std::fs::read(format!("{CLIP}/{name}")).map(Bytes::from);
    let forever = FileOptions::default().with_repeat(true);
    player.add_stream(&MediaStream::from_ivf_ogg(read("clip.ivf")?, read("clip.ogg")?, forever)?)?;
    connect(&player, &viewer).await?;
    // Unless somebody reads them, frames are dropped, and counted as that.
    for track in viewer.receivers().iter().filter_map(|receiver| receiver.track()) {
        tokio::spawn(async move { while track.recv_frame().await.is_some() {} });
    }

    let mut before = viewer.stats().await;
    for _ in 0..seconds {
        sleep(Duration::from_secs(1)).await;
        let now = viewer.stats().await;
        print_rates(&before, &now);
        before = now;
    }

    println!("\nwhat the viewer knows:");
    before.iter().for_each(|(id, stats)| println!("  {id}: {}", describe(stats)));
    let sent = player.stats().await;
    println!("what the player knows:");
    sent.iter().for_each(|(id, stats)| println!("  {id}: {}", describe(stats)));

    // Media goes only one way, and nothing of it is lost within a host.
    let streams: Vec<_> = before.iter().filter_map(inbound).collect();
    assert_eq!(streams.len(), 2);
    assert!(streams.iter().all(|(_, inbound)| inbound.stream.packets_lost == 0));
    let pair = before.selected_pair().ok_or("no pair is selected")?;
    assert!(pair.nominated && pair.current_round_trip_time.is_some());
    player.close().await;
    Ok(())
}

fn inbound<'a>((id, stats): (&'a str, &'a Stats)) -> Option<(&'a str, &'a InboundRtpReport)> {
    if let Stats::InboundRtp(inbound) = stats { Some((id, inbound)) } else { None }
}

/// One line for each stream that comes in. Entries have the same id in every report.
fn print_rates(before: &StatsReport, now: &StatsReport) {
    for (id, new) in now.iter().filter_map(inbound) {
        let Some(Stats::InboundRtp(old)) = before.get(id) else { continue };
        let seconds = new.timestamp.saturating_sub(old.timestamp).as_secs_f64();
        let (new_stream, old_stream) = (&new.stream, &old.stream);
        println!(
            "{:?}: {:6.1} kbit/s, {:4.1} frames/s, {} packets lost, jitter {:?}, buffered for {:?}",
            new.kind,
            (new_stream.bytes_received - old_stream.bytes_received) as f64 * 8e-3 / seconds,
            (new_stream.frames_received - old_stream.frames_received) as f64 / seconds,
            new_stream.packets_lost,
            new_stream.jitter,
            new_stream.jitter_buffer_delay / (new_stream.jitter_buffer_emitted_count as u32).max(1),
        );
    }
    let round_trip = now.selected_pair().and_then(|pair| pair.current_round_trip_time);
    println!("round trip {round_trip:?}");
}

/// The most telling fields of an entry. All others are fields too.
fn describe(stats: &Stats) -> String {
    match stats {
        Stats::Codec(codec) => format!("{} as payload type {}", codec.mime_type, codec.payload_type),
        Stats::InboundRtp(r) => format!("{:?} in, {} packets", r.kind, r.stream.packets_received),
        Stats::OutboundRtp(r) => format!("{:?} out, {} packets", r.kind, r.stream.packets_sent),
        Stats::RemoteInboundRtp(r) => format!("reported back, {} lost", r.report.packets_lost),
        Stats::RemoteOutboundRtp(r) => format!("reported as sent, {} packets", r.report.packets_sent),
        Stats::Transport(t) => format!("{:?} with {:?}", t.dtls_role, t.dtls_cipher),
        Stats::CandidatePair(pair) => format!("{}, nominated: {}", pair.state, pair.nominated),
        Stats::LocalCandidate(c) | Stats::RemoteCandidate(c) => format!("{} {}", c.candidate_type, c.address),
        Stats::DataChannel(channel) => format!("{} is {:?}", channel.label, channel.state),
        Stats::Certificate(certificate) => certificate.fingerprint.clone(),
        other => format!("{other:?}"),
    }
}
