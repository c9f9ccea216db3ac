//! `/session/{id}/recording`: what the client of a session sends, recorded; `/recording/{name}`: the files.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tower_http::services::ServeFile;

use super::problem;
use super::session::{find, unknown};
use crate::serve::recordings::{Error, Named, Progress, Tape};
use crate::serve::sessions::{SessionId, Sessions};

/// The routes of recordings.
pub(super) fn routes() -> Router<Sessions> {
    Router::new()
        .route("/session/{id}/recording", get(state).post(start).delete(end))
        .route("/recording/{name}", get(fetch))
}

/// `GET`: the recording that goes on.
async fn state(State(sessions): State<Sessions>, Path(id): Path<String>) -> Response {
    match running(&sessions, &id) {
        Some(tape) => describe(StatusCode::OK, &tape),
        None => none(),
    }
}

/// `POST`: begins.
async fn start(State(sessions): State<Sessions>, Path(id): Path<String>) -> Response {
    let (Some(pc), Ok(session)) = (find(&sessions, &id), id.parse()) else { return unknown() };
    match sessions.recordings().start(session, &pc) {
        Ok(tape) => describe(StatusCode::CREATED, &tape),
        Err(error @ (Error::Running | Error::Nothing)) => problem(StatusCode::CONFLICT, &error.to_string()),
        Err(error @ Error::Full) => problem(StatusCode::INSUFFICIENT_STORAGE, &error.to_string()),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// `DELETE`: ends. The files stay.
async fn end(State(sessions): State<Sessions>, Path(id): Path<String>) -> Response {
    match running(&sessions, &id) {
        Some(tape) => match tape.end().await {
            Progress::Failed(reason) => problem(StatusCode::INTERNAL_SERVER_ERROR, &reason),
            _ => describe(StatusCode::OK, &tape),
        },
        None => none(),
    }
}

fn running(sessions: &Sessions, id: &str) -> Option<Tape> {
    sessions.recordings().running(id.parse::<SessionId>().ok()?)
}

fn none() -> Response {
    problem(StatusCode::NOT_FOUND, "there is no such session, or it is not being recorded")
}

fn describe(status: StatusCode, tape: &Tape) -> Response {
    let address = |file: Option<&Named>| file.map(|file| format!("/recording/{}", file.name));
    let recording = match tape.progress() {
        Progress::Complete(recording) => recording,
        _ => Default::default(),
    };
    let body = json!({
        "video": address(tape.video()),
        "audio": address(tape.audio()),
        "pictures": recording.pictures,
        "sounds": recording.sounds,
        "seconds": recording.sound_length.as_secs_f64(),
    });
    (status, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

/// A file of a recording that has ended.
async fn fetch(State(sessions): State<Sessions>, Path(name): Path<String>, request: Request) -> Response {
    let Some((tape, file)) = sessions.recordings().file(&name) else {
        return problem(StatusCode::NOT_FOUND, "there is no such recording");
    };
    if matches!(tape.progress(), Progress::Running) {
        return problem(StatusCode::CONFLICT, "the recording goes on; end it first");
    }
    match ServeFile::new(&file.path).try_call(request).await {
        Ok(response) => {
            let mut response = response.into_response();
            let is_video = name.ends_with(".ivf");
            let (kind, disposition) = if is_video {
                ("video/x-ivf", "attachment; filename=\"call.ivf\"")
            } else {
                ("audio/ogg", "attachment; filename=\"call.ogg\"")
            };
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
            response
        }
        Err(error) => {
            problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("the file cannot be read: {error}"))
        }
    }
}
