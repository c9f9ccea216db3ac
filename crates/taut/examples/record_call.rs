//! Records a call: the video to an IVF file, the audio to an Ogg file, both from the same moment on, so that a player
//! that is given the two has them in step. The other side of the call is in this process too and plays the clip of this
//! repository; what was recorded is compared with the clip, frame by frame.
//!
//! ```console
//! $ cargo run -p taut --example record_call              # three seconds to a temporary folder
//! $ cargo run -p taut --example record_call -- FOLDER    # call.ivf and call.ogg stay there
//! ```

mod shared;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use shared::{CLIP, Failure, TemporaryFolder, connect, connection};
use taut::container::{ivf, ogg};
use taut::{Event, Events, FileOptions, Kind, MediaStream, TrackEvent};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// An Opus packet with an empty frame of 20 ms (RFC 6716 section 3.2.1): decoders conceal it.
const NOTHING: &[u8] = &[0xfc];

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let temporary = TemporaryFolder::new()?;
    let folder = std::env::args().nth(1).map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let ((caller, _), (recorder, events)) = (connection()?, connection()?);
    let file = |path: PathBuf| std::fs::read(path).map(Bytes::from);
    let (video, audio) = (file(Path::new(CLIP).join("clip.ivf"))?, file(Path::new(CLIP).join("clip.ogg"))?);
    caller.add_stream(&MediaStream::from_ivf_ogg(video.clone(), audio.clone(), FileOptions::default())?)?;
    connect(&caller, &recorder).await?;
    let recording = tokio::spawn(record(events, folder.clone()));
    sleep(Duration::from_secs(3)).await;
    caller.close().await;
    recording.await??;
    let (sent, recorded) = (pictures(video)?, pictures(file(folder.join("call.ivf"))?)?);
    assert!(recorded.len() > 60 && sent.starts_with(&recorded), "call.ivf differs from the clip");
    let (sent, recorded) = (packets(audio)?, packets(file(folder.join("call.ogg"))?)?);
    println!("{} packets of sound in {}", recorded.len(), folder.display());
    assert!(recorded.len() > 100 && sent.starts_with(&recorded), "call.ogg differs from the clip");
    Ok(())
}

/// Records every track until the connection is closed.
async fn record(mut events: Events, folder: PathBuf) -> Result<(), Failure> {
    let (begin, mut tracks) = (Instant::now(), JoinSet::new());
    while let Some(event) = events.recv().await {
        match event {
            Event::Track(event) if event.track.kind() == Kind::Video => {
                tracks.spawn(record_video(event, begin, folder.join("call.ivf")))
            }
            Event::Track(event) => tracks.spawn(record_audio(event, begin, folder.join("call.ogg"))),
            _ => continue,
        };
    }
    tracks.join_all().await.into_iter().collect()
}

async fn record_video(event: TrackEvent, begin: Instant, path: PathBuf) -> Result<(), Failure> {
    let time_base = ivf::TimeBase::new(1, 1_000).ok_or("no time base")?;
    let mut header = ivf::Header { fourcc: *b"VP80", width: 0, height: 0, time_base, frames: 0 };
    let (mut file, mut start, mut broken) = (Vec::new(), None, true);
    let mut writer = ivf::Writer::new(header, &mut file);
    while let Some(frame) = event.track.recv_frame().await {
        // The size of the picture is in a key frame (RFC 6386 section 9.1), below two bits of scaling.
        if let (true, [_, _, _, _, _, _, w0, w1, h0, h1, ..]) = (frame.keyframe, &frame.data[..]) {
            header.width = u16::from_le_bytes([*w0, *w1]) & 0x3fff;
            header.height = u16::from_le_bytes([*h0, *h1]) & 0x3fff;
        }
        // After a loss no picture is right until the next key frame.
        broken = !frame.keyframe && (broken || !frame.contiguous);
        if broken {
            event.receiver.request_keyframe();
            continue;
        }
        let start = *start.get_or_insert_with(|| begin.elapsed().saturating_sub(frame.presentation));
        writer.write_frame(start + frame.presentation, &frame.data, &mut file)?;
    }
    // The header is written again, now that all of it is known.
    let mut first = Vec::new();
    ivf::Header { frames: writer.finish().frames, ..header }.write(&mut first);
    file.splice(..first.len(), first);
    Ok(std::fs::write(path, file)?)
}

async fn record_audio(event: TrackEvent, begin: Instant, path: PathBuf) -> Result<(), Failure> {
    let (mut file, mut start, mut written) = (Vec::new(), None, Duration::ZERO);
    // A player skips nothing at the beginning, or the sound would be ahead of the picture.
    let head = ogg::OpusHead { pre_skip: 0, ..ogg::OpusHead::new(2) };
    let mut writer = ogg::OpusWriter::new(head, 1, &mut file);
    while let Some(frame) = event.track.recv_frame().await {
        let start = *start.get_or_insert_with(|| begin.elapsed().saturating_sub(frame.presentation));
        // The file has no times but the sum of its packets, of 20 ms in WebRTC: what is missing is filled.
        let step = Duration::from_millis(20);
        while written + step <= start + frame.presentation {
            writer.write_packet(NOTHING, &mut file)?;
            written += step;
        }
        writer.write_packet(&frame.data, &mut file)?;
        written += step;
    }
    writer.finish(&mut file);
    Ok(std::fs::write(path, file)?)
}

fn pictures(file: Bytes) -> Result<Vec<Bytes>, ivf::ParseError> {
    let mut reader = ivf::Reader::new(file)?;
    std::iter::from_fn(|| reader.next_frame()).map(|frame| Ok(frame?.data)).collect()
}

/// The packets of an Ogg file that hold sound.
fn packets(file: Bytes) -> Result<Vec<Bytes>, ogg::ParseError> {
    let mut reader = ogg::OpusReader::new(file)?;
    let packets = std::iter::from_fn(|| reader.next_packet()).map(|packet| Ok(packet?.data));
    packets.filter(|packet| packet.as_ref().map_or(true, |data| data != NOTHING)).collect()
}
