//! Records a call: the video to an IVF file, the audio to an Ogg file, both from the same moment on, so that a player
//! that is given the two has them in step. The other side of the call is in this process too and plays the clip of this
//! repository; what was recorded is compared with the clip, frame by frame.
//!
//! ```console
//! $ cargo run -p taut --example record_call              # three seconds to a temporary folder
//! $ cargo run -p taut --example record_call -- FOLDER    # call.ivf and call.ogg stay there
//! ```

mod shared;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use shared::{CLIP, Failure, TemporaryFolder, connect, connection};
use taut::container::{ivf, ogg};
use taut::{Event, Events, FileOptions, Kind, MediaStream, Recorder, Recording, Wanted};
use tokio::sync::mpsc;
use tokio::time::sleep;

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
    println!("{:?} in {}", recording.await??, folder.display());

    let (sent, recorded) = (pictures(video)?, pictures(file(folder.join("call.ivf"))?)?);
    assert!(recorded.len() > 60 && sent.starts_with(&recorded), "call.ivf differs from the clip");
    let (sent, recorded) = (packets(audio)?, packets(file(folder.join("call.ogg"))?)?);
    let is_part = sent.windows(recorded.len().max(1)).any(|part| part == recorded);
    assert!(recorded.len() > 100 && is_part, "call.ogg differs from the clip");
    Ok(())
}

/// Records every track until the connection is closed. The recorder is one, and takes the frames as they come.
async fn record(mut events: Events, folder: PathBuf) -> Result<Recording, Failure> {
    let create = |name| File::create(folder.join(name)).map(BufWriter::new);
    let mut recorder = Recorder::new(create("call.ivf")?, create("call.ogg")?);
    let (to_recorder, mut frames) = mpsc::channel(64);
    let tracks = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let Event::Track(event) = event else { continue };
            let to_recorder = to_recorder.clone();
            tokio::spawn(async move {
                while let Some(frame) = event.track.recv_frame().await {
                    if to_recorder.send((frame, event.receiver.clone())).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    while let Some((frame, receiver)) = frames.recv().await {
        if recorder.record(&frame)? == Wanted::KeyFrame && receiver.kind() == Kind::Video {
            receiver.request_keyframe();
        }
    }
    tracks.await?;
    Ok(recorder.finish()?)
}

fn pictures(file: Bytes) -> Result<Vec<Bytes>, ivf::ParseError> {
    let mut reader = ivf::Reader::new(file)?;
    std::iter::from_fn(|| reader.next_frame()).map(|frame| Ok(frame?.data)).collect()
}

/// The packets of an Ogg file that hold sound: those of silence have three octets.
fn packets(file: Bytes) -> Result<Vec<Bytes>, ogg::ParseError> {
    let mut reader = ogg::OpusReader::new(file)?;
    let packets = std::iter::from_fn(|| reader.next_packet()).map(|packet| Ok(packet?.data));
    packets.filter(|packet| packet.as_ref().map_or(true, |data| data.len() > 3)).collect()
}
