//! Descriptions of real endpoints (`data/captured`, see its README) and of RFC examples (`data/rfc`).
#![allow(clippy::disallowed_methods, reason = "the linear-time test reads a clock")]

use std::fs;
use std::time::{Duration, Instant};

use taut_sdp::{Attribute, Feedback, MediaKind, ParseError, Session, Setup};

fn corpus() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["captured", "rfc"] {
        let path = format!("{}/tests/data/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in fs::read_dir(path).expect("the folder of test data") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "sdp") {
                let text = fs::read_to_string(&path).expect("a text file");
                files.push((path.display().to_string(), text));
            }
        }
    }
    assert_eq!(files.len(), 23 + 97, "the whole corpus");
    files.sort();
    files
}

#[test]
fn every_file_is_read_and_written_back() {
    let mut exact = 0;
    let mut inexact = Vec::new();
    for (name, text) in corpus() {
        let session = Session::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let written = session.to_string();
        assert_eq!(Session::parse(&written).as_ref(), Ok(&session), "{name}");
        if written == text {
            exact += 1;
            continue;
        }
        // What is not written as it came differs in blanks and separators alone.
        let plain = |text: &str| {
            let mut lines: Vec<String> = text
                .lines()
                .map(|l| l.replace([' ', ','], "").to_ascii_lowercase())
                .filter(|l| !l.is_empty())
                .collect();
            lines.sort();
            lines
        };
        assert_eq!(plain(&written), plain(&text), "{name}");
        inexact.push(name.rsplit('/').next().unwrap_or_default().to_owned());
    }
    assert_eq!(exact + inexact.len(), 120);
    assert_eq!(inexact, INEXACT);
}

/// Commas between ICE options (libdatachannel), blanks at line ends (Pion), `t=` before `c=` (RFC 3264).
const INEXACT: &[&str] = &["node-datachannel-0.33-offer.sdp", "pion-3.1.56-offer.sdp", "rfc3264-01.sdp"];

#[test]
fn line_ends_and_order_do_not_matter() {
    for (name, text) in corpus() {
        let session = Session::parse(&text).expect("read before");
        let lf = text.replace("\r\n", "\n");
        assert_eq!(Session::parse(&lf).as_ref(), Ok(&session), "{name}");
        assert_eq!(Session::parse(lf.trim_end()).as_ref(), Ok(&session), "{name}");
        assert_eq!(Session::parse(&text.replace("\r\n", "\r\n\r\n")).as_ref(), Ok(&session), "{name}");
    }
}

#[test]
fn chromium_offer_in_detail() {
    let text = include_str!("data/captured/chromium-156-offer-av-data.sdp");
    let session = Session::parse(text).expect("an offer");
    assert_eq!(session.origin.session_id, 992_594_034_457_004_768);
    assert!(session.has(&Attribute::ExtmapAllowMixed));
    let group = session.groups().next().expect("a group");
    assert!(group.is_bundle() && group.mids == ["0", "1", "2"]);
    let [audio, video, data] = &session.media[..] else { panic!("three sections") };
    assert_eq!((&audio.kind, audio.port, audio.mid()), (&MediaKind::Audio, 53_585, Some("0")));
    assert_eq!(audio.payload_types().collect::<Vec<_>>(), [111, 63, 9, 0, 8, 13, 110, 126]);
    assert_eq!(audio.fmtp(111).and_then(|fmtp| fmtp.get("useinbandfec")), Some("1"));
    assert_eq!(audio.ssrcs(), [1_627_221_906]);
    assert_eq!(audio.setup(), Some(Setup::ActPass));
    assert_eq!(audio.ice_ufrag(), Some("XURd"));
    assert_eq!(audio.ice_pwd(), Some("SfceYp+E+hC8Ch5xZQaFEVCM"));
    assert_eq!(audio.candidates().count(), 4);
    assert_eq!(audio.fingerprints().next().map(|print| print.value.len()), Some(32));
    assert_eq!(video.rtpmaps().count(), 23);
    assert_eq!(video.fmtp(97).and_then(|fmtp| fmtp.get("apt")), Some("96"));
    let feedback: Vec<_> = video.rtcp_feedback(96).cloned().collect();
    let expected =
        [Feedback::GoogRemb, Feedback::TransportCc, Feedback::CcmFir, Feedback::Nack, Feedback::NackPli];
    assert_eq!(feedback, expected);
    assert_eq!(video.extmaps().map(|extmap| extmap.id).max(), Some(14));
    assert_eq!(video.source_groups().next().map(|group| group.ssrcs.len()), Some(2));
    assert_eq!(video.msids().count(), 1);
    assert_eq!((data.sctp_port(), data.max_message_size()), (Some(5000), Some(262_144)));
    // Every attribute of it but those that nobody reads is typed.
    let other: Vec<_> = session
        .attributes
        .iter()
        .chain(session.media.iter().flat_map(|media| &media.attributes))
        .filter(|attribute| matches!(attribute, Attribute::Other { .. }))
        .map(Attribute::name)
        .collect();
    assert_eq!(other, ["msid-semantic", "rtcp-xr", "rtcp-xr"]);
}

#[test]
fn every_prefix_and_every_changed_octet_is_read_or_refused() {
    for (name, text) in corpus().iter().filter(|(_, text)| text.len() < 700) {
        for end in 0..text.len() {
            if let Some(Ok(session)) = text.get(..end).map(Session::parse) {
                assert_eq!(Session::parse(&session.to_string()), Ok(session), "{name} to {end}");
            }
        }
        for place in 0..text.len() {
            let change = [1u8, 0x10, 0x1F][place % 3];
            let mut octets = text.clone().into_bytes();
            octets[place] ^= change;
            if let Some(Ok(session)) = std::str::from_utf8(&octets).ok().map(Session::parse) {
                assert_eq!(
                    Session::parse(&session.to_string()),
                    Ok(session),
                    "{name} at {place} by {change}"
                );
            }
        }
    }
}

#[test]
fn time_is_linear_in_the_text() {
    let head = "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\n";
    let shapes: [(&str, &dyn Fn(usize) -> String); 5] = [
        ("one long value", &|n| format!("{head}a=x:{}", " x".repeat(n / 2))),
        ("many groups", &|n| format!("{head}a=group:BUNDLE{}", " x".repeat(n / 2))),
        ("many simulcast streams", &|n| format!("{head}a=simulcast:send x{}", ";x".repeat(n / 2))),
        ("many empty lines", &|n| format!("{head}{}", "\r\n".repeat(n / 2))),
        ("many sections", &|n| {
            let section = format!("m=audio 9 RTP/AVP 0\n{}", "a=rtpmap:0 PCMU/8000\n".repeat(60));
            format!("{head}{}", section.repeat(n / section.len()))
        }),
    ];
    // Eight times the text takes eight times the time; with a quadratic parser it would take 64 times.
    let fastest = |text: &str, name: &str| {
        let run = || {
            let begin = Instant::now();
            let result: Result<Session, ParseError> = Session::parse(text);
            assert!(result.is_ok(), "{name}: {result:?}");
            begin.elapsed()
        };
        (0..4).map(|_| run()).min().unwrap_or_default()
    };
    // On a busy machine some tries are slow by accident; all of them only if the parser is.
    const TRIES: usize = 20;
    for (name, shape) in shapes {
        let texts = [shape(1 << 16), shape(1 << 19)];
        let mut tries = (0..TRIES).map(|_| texts.each_ref().map(|text| fastest(text, name)));
        let linear = tries.any(|[small, large]| large < (small + Duration::from_millis(1)) * 32);
        assert!(linear, "{name}");
    }
}
