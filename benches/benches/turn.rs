//! The TURN server: what relaying a datagram of 1,200 octets costs, each way, among many allocations. The socket calls are
//! not in it, the copy to where the datagram leaves from is.
#![allow(missing_docs, reason = "criterion makes the functions")]
#![allow(clippy::disallowed_methods, reason = "a starting point in time is needed")]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use taut_sansio::net::{Path, Received, Transport};
use taut_sansio::rng::Rng;
use taut_sansio::time::WallClock;
use taut_turn::server::{Event, Server, ServerConfig};
use taut_turn::{Client, ClientConfig, Credentials};

const LISTENS: &str = "203.0.113.1:3478";
const PEER: &str = "198.51.100.7:5000";

fn moved(path: Path) -> Path {
    Path { local: path.remote, remote: path.local, ..path }
}

/// Exchanges what there is between a client and the server.
fn settle(server: &mut Server, client: &mut Client, now: Instant) {
    let mut out = Vec::new();
    while let Some(transmit) = client.poll_transmit(now, 1, &mut out) {
        let meta = Received { at: now, path: moved(transmit.path), ecn: None };
        server.handle_datagram(meta, BytesMut::from(&out[..]));
        while let Some(event) = server.poll_event() {
            if let Event::Bind(relay) = event {
                server.handle_bound(now, relay, Ok(()));
            }
        }
        out.clear();
        while let Some(transmit) = server.poll_transmit(now, 1, &mut out) {
            let meta = Received { at: now, path: moved(transmit.path), ecn: None };
            client.handle_datagram(meta, BytesMut::from(&out[..]));
            out.clear();
        }
    }
}

fn relay(c: &mut Criterion) {
    let peer: SocketAddr = PEER.parse().unwrap();
    let mut group = c.benchmark_group("turn server");
    group.throughput(Throughput::Elements(1));
    for allocations in [1u16, 1_000] {
        let now = Instant::now();
        let config = ServerConfig::default()
            .with_user("ann", "secret")
            .with_relay(IpAddr::from([203, 0, 113, 2]))
            .with_unauthenticated_per_second(1_000_000)
            .with_max_allocations_per_user(10_000);
        let clock = WallClock { instant: now, unix: Duration::from_secs(1_700_000_000) };
        let mut server = Server::new(config, clock, Rng::from_u64(1)).unwrap();
        let mut clients = Vec::new();
        for port in 0..allocations {
            let local = SocketAddr::from(([192, 0, 2, 1], 5_000 + port));
            let config = ClientConfig::default().with_credentials(Credentials::new("ann", "secret"));
            let rng = Rng::from_u64(u64::from(port));
            let mut client = Client::new(now, config, Transport::Udp, local, LISTENS.parse().unwrap(), rng);
            settle(&mut server, &mut client, now);
            client.bind(now, peer);
            settle(&mut server, &mut client, now);
            clients.push(client);
        }
        let client = &mut clients[usize::from(allocations) / 2];
        let relayed = client.relayed()[0];
        let mut channel_data = Vec::new();
        let envelope = client.open(peer, &mut channel_data).unwrap();
        channel_data.resize(channel_data.len() + 1_200, 7);
        client.seal(envelope, &mut channel_data).unwrap();
        assert_eq!(channel_data.len(), 1_204, "on a channel");
        let from_client = moved(client.path().unwrap());
        let mut out = Vec::with_capacity(2_000);
        let mut run = |name: &str, path: Path, datagram: &[u8], expected: usize| {
            group.bench_function(format!("{name}, {allocations} allocations"), |b| {
                b.iter_batched(
                    || BytesMut::from(datagram),
                    |datagram| {
                        out.clear();
                        server.handle_datagram(Received { at: now, path, ecn: None }, datagram);
                        let transmit = server.poll_transmit(now, 1, &mut out).unwrap();
                        assert_eq!(transmit.len, expected);
                    },
                    BatchSize::SmallInput,
                );
            });
        };
        run("client to peer", from_client, &channel_data, 1_200);
        run("peer to client", Path::udp(relayed, peer), &channel_data[4..], 1_204);
    }
    group.finish();
}

criterion_group!(benches, relay);
criterion_main!(benches);
