//! The connections of clients, over HTTP/1.1 (RFC 9112).

use std::time::Duration;

use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use super::router;
use crate::serve::sessions::Sessions;

/// How long a connection may be without the whole head of a request, at its beginning and after each answer; then it is
/// closed. Else whoever opens many and says nothing would take all that the system gives.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// Takes every connection that comes, and answers its requests.
pub(in crate::serve) async fn serve(mut listener: TcpListener, sessions: Sessions) {
    let service = TowerToHyperService::new(router(sessions));
    loop {
        // It gets over errors by itself: where the system has no more connections, after a second.
        let (stream, _) = Listener::accept(&mut listener).await;
        let _ = stream.set_nodelay(true); // An answer that waits for Nagle is slow, not wrong.
        let service = service.clone();
        tokio::spawn(async move {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
            if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                tracing::trace!(%error, "a connection has ended");
            }
        });
    }
}
