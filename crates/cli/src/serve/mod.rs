//! The live demo: an HTTP server with the demo page, a peer that echoes and a peer that plays a clip.

mod clip;
mod disk;
mod echo;
mod fragments;
mod http;
mod recordings;
mod session;
mod sessions;
mod settings;
mod stats;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, lookup_host};

use self::sessions::Sessions;
use self::settings::Settings;
use crate::args::ServeArguments;

/// How long open connections and sessions may take to end after Ctrl-C.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why the server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What the user gave is no address.
    #[error("cannot listen on '{0}': give an IP address and a port, such as 127.0.0.1:8080")]
    Address(String),
    /// The port is taken.
    #[error(
        "cannot listen on {0}: the port is busy; end the other program or choose another port with --listen"
    )]
    Busy(SocketAddr),
    /// The operating system refuses for another reason.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// No session can be made like this.
    #[error("cannot serve: {0}")]
    Configuration(taut::Error),
    /// The folder for recordings cannot be made.
    #[error("cannot record to {0}: {1}")]
    Record(String, io::Error),
    /// The socket does not say its address.
    #[error("the server stopped: {0}")]
    Serve(io::Error),
    /// Nothing can be named by chance.
    #[error("cannot serve: the system gives no random bytes")]
    Random,
}

/// Opens the listening socket.
pub(crate) async fn bind(address: &str) -> Result<TcpListener, Error> {
    let mut found = lookup_host(address).await.map_err(|_| Error::Address(address.to_owned()))?;
    let address = found.next().ok_or_else(|| Error::Address(address.to_owned()))?;
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Error::Busy(address),
        _ => Error::Listen(address, error),
    })
}

/// Serves until Ctrl-C, then ends every session.
pub(crate) async fn run(listener: TcpListener, arguments: &ServeArguments) -> Result<(), Error> {
    let address = listener.local_addr().map_err(Error::Serve)?;
    if let Some(folder) = &arguments.record {
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::Record(folder.display().to_string(), error))?;
    }
    let settings = Settings::new(arguments, address).map_err(Error::Configuration)?;
    // What every session would be refused for is said now.
    settings.connect().map_err(Error::Configuration)?;
    let sessions = Sessions::new(settings).map_err(|_| Error::Random)?;
    let mut end = pin!(end_signal());
    // Once polled it listens, so that whoever hears of the server can end it.
    if poll_fn(|context| Poll::Ready(end.as_mut().poll(context).is_ready())).await {
        return Ok(());
    }
    crate::print(&format!("The live demo is on {} (Ctrl-C ends it)\n", url(address)));

    tokio::select! {
        () = http::serve(listener, sessions.clone()) => {}
        () = end => {}
    }
    let _ = tokio::time::timeout(GOODBYE, sessions.close_all()).await;
    Ok(())
}

/// The address to type into a browser on this machine.
fn url(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("http://127.0.0.1:{}/", v4.port()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("http://[::1]:{}/", v6.port()),
        other => format!("http://{other}/"),
    }
}

/// Waits for Ctrl-C, or what else asks a server to end.
async fn end_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                () = ctrl_c() => {}
            }
            return;
        }
    }
    ctrl_c().await;
}

/// Waits for Ctrl-C; where it cannot be listened for, for ever (the system's default then ends the process).
async fn ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_to_open_is_one_that_a_browser_can_reach() {
        let cases = [
            ("127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("0.0.0.0:81", "http://127.0.0.1:81/"),
            ("[::]:82", "http://[::1]:82/"),
            ("[fd77::1]:83", "http://[fd77::1]:83/"),
        ];
        for (address, expected) in cases {
            assert_eq!(url(address.parse().expect("an address")), expected);
        }
    }
}
