//! Proxies on the way to TURN servers: CONNECT of HTTP (RFC 9110 section 9.3.6), and SOCKS5 (RFC 1928) by the crate `tokio-socks`.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use taut_peer::{ConnectError, Host, Proxy, ProxyKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_socks::Error as SocksError;
use tokio_socks::tcp::Socks5Stream;

/// The most octets of an answer of an HTTP proxy, and the most header fields in it. With more it is none.
const MAX_ANSWER: usize = 8 << 10;
const MAX_FIELDS: usize = 64;

/// A stream to `server` through the proxy. The name of the proxy is resolved by the system.
pub(super) async fn connect(proxy: &Proxy, server: SocketAddr) -> Result<TcpStream, ConnectError> {
    let reached = match &proxy.host {
        Host::Name(name) => TcpStream::connect((name.as_str(), proxy.port)).await,
        Host::Ip(ip) => TcpStream::connect((*ip, proxy.port)).await,
    };
    let mut stream = reached.map_err(|error| {
        tracing::debug!(%error, "the proxy is not reached");
        ConnectError::ProxyUnreachable
    })?;
    let credentials = proxy.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
    match proxy.kind {
        ProxyKind::Http => {
            let request = request(server, credentials);
            stream.write_all(request.as_bytes()).await.map_err(|_| ConnectError::ProxyRefused)?;
            read_answer(&mut stream).await?;
            Ok(stream)
        }
        ProxyKind::Socks5 => socks(stream, server, credentials).await,
        // A kind that this driver does not know cannot be made without a change here.
        _ => Err(ConnectError::ProxyMalformed),
    }
}

fn request(server: SocketAddr, credentials: Option<(&str, &str)>) -> String {
    let mut request = format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n");
    if let Some((user, password)) = credentials {
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        request += &format!("Proxy-Authorization: Basic {encoded}\r\n");
    }
    request + "\r\n"
}

/// Reads the head of the answer. Nothing follows it before we have said something: a TURN server, and a TLS server, waits.
async fn read_answer(stream: &mut TcpStream) -> Result<(), ConnectError> {
    let mut answer = Vec::with_capacity(512);
    loop {
        let room = MAX_ANSWER.saturating_sub(answer.len());
        let length =
            stream.take(room as u64).read_buf(&mut answer).await.map_err(|_| ConnectError::ProxyRefused)?;
        if let Some(status) = parse_answer(&answer)? {
            tracing::debug!(status, "the proxy answers");
            return match status {
                200..=299 => Ok(()),
                407 => Err(ConnectError::ProxyUnauthorized),
                _ => Err(ConnectError::ProxyRefused),
            };
        }
        match length {
            0 if answer.len() < MAX_ANSWER => return Err(ConnectError::ProxyRefused),
            0 => return Err(ConnectError::ProxyMalformed),
            _ => {}
        }
    }
}

/// The status of a whole answer; `None` while more of it is to come.
fn parse_answer(answer: &[u8]) -> Result<Option<u16>, ConnectError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(answer) {
        Ok(httparse::Status::Partial) => Ok(None),
        // What comes after a refusal is its text.
        Ok(httparse::Status::Complete(head)) => match response.code {
            Some(200..=299) if head < answer.len() => Err(ConnectError::ProxyMalformed),
            code => code.map(Some).ok_or(ConnectError::ProxyMalformed),
        },
        Err(_) => Err(ConnectError::ProxyMalformed),
    }
}

async fn socks(
    stream: TcpStream,
    server: SocketAddr,
    credentials: Option<(&str, &str)>,
) -> Result<TcpStream, ConnectError> {
    let connected = match credentials {
        None => Socks5Stream::connect_with_socket(stream, server).await,
        Some((user, password)) => {
            Socks5Stream::connect_with_password_and_socket(stream, server, user, password).await
        }
    };
    connected.map(Socks5Stream::into_inner).map_err(|error| {
        tracing::debug!(%error, "the proxy refuses");
        match error {
            SocksError::NoAcceptableAuthMethods
            | SocksError::PasswordAuthFailure(_)
            | SocksError::AuthorizationRequired => ConnectError::ProxyUnauthorized,
            SocksError::InvalidResponseVersion
            | SocksError::UnknownAuthMethod
            | SocksError::InvalidReservedByte
            | SocksError::UnknownAddressType => ConnectError::ProxyMalformed,
            _ => ConnectError::ProxyRefused,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_read_to_its_end_and_not_beyond() {
        let good = b"HTTP/1.1 200 Connection established\r\nVia: a\r\n\r\n";
        for cut in 0..good.len() {
            assert_eq!(parse_answer(&good[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(parse_answer(good), Ok(Some(200)));
        assert_eq!(parse_answer(&[&good[..], b"x"].concat()), Err(ConnectError::ProxyMalformed));
        assert_eq!(parse_answer(b"HTTP/1.0 407 No\r\n\r\n<html>"), Ok(Some(407)));
        assert_eq!(parse_answer(b"SSH-2.0-x\r\n"), Err(ConnectError::ProxyMalformed));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(parse_answer(many.as_bytes()), Err(ConnectError::ProxyMalformed));
    }

    #[tokio::test]
    async fn an_answer_without_end_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut proxy, _) = listener.accept().await.unwrap();
        let babbling = tokio::spawn(async move {
            let _ = proxy.write_all(b"HTTP/1.1 200 OK\r\nVia: ").await;
            while proxy.write_all(&[b'a'; 1 << 10]).await.is_ok() {}
        });
        let answer = tokio::time::timeout(std::time::Duration::from_secs(60), read_answer(&mut stream)).await;
        assert_eq!(answer, Ok(Err(ConnectError::ProxyMalformed)));
        drop(stream);
        babbling.await.unwrap();
    }

    #[test]
    fn the_request_names_the_server_and_who_asks() {
        let server = "[2001:db8::1]:443".parse().unwrap();
        assert_eq!(
            request(server, Some(("Aladdin", "open sesame"))),
            "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\
             Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        );
        assert!(!request(server, None).contains("Authorization"));
    }
}
