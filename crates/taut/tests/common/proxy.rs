//! A small proxy on loopback, of either kind, for the tests of TURN over TCP and TLS.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use taut::ProxyKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Connects whoever asks.
    Open,
    /// Connects who says that he is ann, with the password p@ss:word.
    Guarded,
    /// Connects nobody.
    Closed,
    /// Says something else.
    Babbling,
    /// Says nothing and hangs up.
    Rude,
}

/// A running proxy. Dropping it stops it from accepting.
pub(crate) struct TestProxy {
    pub(crate) address: SocketAddr,
    connected: Arc<AtomicUsize>,
    task: tokio::task::AbortHandle,
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestProxy {
    pub(crate) async fn start(kind: ProxyKind, manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connected = Arc::new(AtomicUsize::new(0));
        let count = connected.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = count.clone();
                tokio::spawn(async move {
                    let _ = match kind {
                        ProxyKind::Socks5 => socks(stream, manner, &count).await,
                        _ => http(stream, manner, &count).await,
                    };
                });
            }
        });
        Self { address, connected, task: task.abort_handle() }
    }

    /// How many streams went through it.
    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Ordering::SeqCst)
    }
}

async fn carry(mut client: TcpStream, target: SocketAddr, yes: &[u8], count: &AtomicUsize) -> io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    client.write_all(yes).await?;
    count.fetch_add(1, Ordering::SeqCst);
    copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}

async fn http(mut client: TcpStream, manner: Manner, count: &AtomicUsize) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let target: SocketAddr =
        head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap().parse().expect("an address");
    // ann:p@ss:word
    let known = head.contains("\r\nProxy-Authorization: Basic YW5uOnBAc3M6d29yZA==\r\n");
    match manner {
        Manner::Guarded if !known => {
            client.write_all(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\nwho?").await
        }
        // In pieces, as networks may deliver it.
        Manner::Open | Manner::Guarded => {
            client.write_all(b"HTTP/1.1 200 Conn").await?;
            client.flush().await?;
            carry(client, target, b"ection established\r\nVia: test\r\n\r\n", count).await
        }
        Manner::Closed => client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await,
        // Never comes to an end.
        Manner::Babbling => loop {
            client.write_all(b"HTTP/1.1 200 OK\r\nA: b\r\n").await?;
        },
        Manner::Rude => Ok(()),
    }
}

async fn socks(mut client: TcpStream, manner: Manner, count: &AtomicUsize) -> io::Result<()> {
    let [5, methods] = [client.read_u8().await?, client.read_u8().await?] else { panic!("not SOCKS5") };
    let mut offered = vec![0; usize::from(methods)];
    client.read_exact(&mut offered).await?;
    match manner {
        Manner::Rude => return Ok(()),
        Manner::Babbling => return client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
        Manner::Guarded if !offered.contains(&2) => return client.write_all(&[5, 0xff]).await,
        Manner::Guarded => {
            client.write_all(&[5, 2]).await?;
            assert_eq!(client.read_u8().await?, 1);
            let mut texts = Vec::new();
            for _ in 0..2 {
                let mut text = vec![0; usize::from(client.read_u8().await?)];
                client.read_exact(&mut text).await?;
                texts.push(text);
            }
            let known = texts == [&b"ann"[..], b"p@ss:word"];
            client.write_all(&[1, u8::from(!known)]).await?;
            if !known {
                return Ok(());
            }
        }
        Manner::Open | Manner::Closed => client.write_all(&[5, 0]).await?,
    }
    let mut request = [0; 10];
    client.read_exact(&mut request).await?;
    let [5, 1, 0, 1, a, b, c, d, high, low] = request else { panic!("not CONNECT to IPv4: {request:?}") };
    let target = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])));
    match manner {
        Manner::Closed => client.write_all(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]).await,
        _ => carry(client, target, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0], count).await,
    }
}
