//! Reads an offer of a browser, lists what it says, leaves VP8 as the only video codec, and writes it again.
//!
//! ```console
//! $ cargo run -p taut-sdp --example sdp            # an offer of Chromium
//! $ cargo run -p taut-sdp --example sdp -- FILE
//! ```

use std::error::Error;

use taut_sdp::{Attribute, Format, Media, MediaKind, Session};

/// An offer of audio, video and data.
const CHROMIUM: &str = include_str!("../tests/data/captured/chromium-156-offer-av-data.sdp");

fn main() -> Result<(), Box<dyn Error>> {
    let text = std::env::args().nth(1).map_or(Ok(CHROMIUM.to_owned()), std::fs::read_to_string)?;

    // An error names the line.
    let mut session = Session::parse(&text)?;
    for media in &session.media {
        describe(&session, media);
    }

    let is_video = |media: &Media| media.kind == MediaKind::Video;
    session.media.iter_mut().filter(|media| is_video(media)).for_each(|media| keep_only(media, "VP8"));
    println!("\nwhat is left of the video:");
    session.media.iter().filter(|media| is_video(media)).for_each(|media| describe(&session, media));

    // What was not touched is written as it was read, attributes that this crate does not know included.
    let written = session.to_string();
    println!("\n{} lines became {}", text.lines().count(), written.lines().count());
    assert_eq!(Session::parse(&written)?, session);
    assert!(written.lines().all(|line| line.starts_with("m=video") || text.lines().any(|old| old == line)));
    Ok(())
}

/// Prints a section, and its codecs in the order of preference.
fn describe(session: &Session, media: &Media) {
    println!("{} {}: {}", media.mid().unwrap_or("-"), media.kind, session.direction(media));
    for payload_type in media.payload_types() {
        let Some(map) = media.rtpmaps().find(|map| map.payload_type == payload_type) else { continue };
        let parameters = media.fmtp(payload_type).map_or("", |fmtp| &fmtp.parameters);
        let feedback: Vec<_> = media.rtcp_feedback(payload_type).map(|feedback| feedback.as_str()).collect();
        println!("  {map} {parameters} [{}]", feedback.join(", "));
    }
}

/// Removes all codecs but this one, and the retransmission of this one (RFC 4588).
fn keep_only(media: &mut Media, codec: &str) {
    let mut kept: Vec<u8> = media.rtpmaps().filter(|map| map.is(codec)).map(|map| map.payload_type).collect();
    let repairs = |payload_type: &u8| {
        let original = media.fmtp(*payload_type).and_then(|fmtp| fmtp.get("apt"));
        original.and_then(|apt| apt.parse().ok()).is_some_and(|apt: u8| kept.contains(&apt))
    };
    let repairs: Vec<u8> = media.payload_types().filter(repairs).collect();
    kept.extend(repairs);

    media.formats.retain(|format| matches!(format, Format::PayloadType(number) if kept.contains(number)));
    media.attributes.retain(|attribute| match attribute {
        Attribute::RtpMap(map) => kept.contains(&map.payload_type),
        Attribute::Fmtp(fmtp) => kept.contains(&fmtp.payload_type),
        Attribute::RtcpFeedback(feedback) => kept.iter().any(|number| feedback.applies_to(*number)),
        _ => true,
    });
}
