//! A TURN server: requests with the right password and any content, junk, data from peers, time.
#![no_main]

use std::time::Instant;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use taut_fuzz::turn::{LISTENS, address, poll_server, server};
use taut_fuzz::{OPERATIONS, change, time};
use taut_sansio::net::{Path, Received, Transport};
use taut_stun::attribute::{
    AdditionalAddressFamily, AddressFamily, ChannelNumber, Data, EvenPort, Lifetime, Nonce, Priority, Realm,
    RequestedAddressFamily, RequestedTransport, Username, XorPeerAddress,
};
use taut_stun::{Algorithm, Builder, Class, Key, Message, Method, TransactionId};

/// A message of a client that knows the password.
fn write(nonce: &str, kind: u8, argument: u16, octets: &[u8]) -> Vec<u8> {
    let at = |n: usize| octets.get(n).copied().unwrap_or(0);
    let number = |n: usize| u16::from_be_bytes([at(n), at(n + 1)]);
    let methods = [
        Method::ALLOCATE,
        Method::REFRESH,
        Method::CREATE_PERMISSION,
        Method::CHANNEL_BIND,
        Method::SEND,
        Method::BINDING,
        Method::DATA,
        Method::new(0x7f),
    ];
    let method = methods[usize::from(kind) % methods.len()];
    let class = if method == Method::SEND { Class::Indication } else { Class::Request };
    let mut out = Vec::new();
    let mut builder = Builder::new(&mut out, class, method, TransactionId([at(0); 12]));
    if argument & 1 != 0 {
        builder = builder.push(&RequestedTransport(if at(1) == 0 { 17 } else { at(1) }));
    }
    if argument & 2 != 0 {
        builder = builder.push(&Lifetime(u32::from(number(2))));
    }
    if argument & 4 != 0 {
        builder = builder.push(&XorPeerAddress(address(number(4))));
    }
    if argument & 8 != 0 {
        builder = builder.push(&ChannelNumber(0x4000 + (number(6) & 0x1003)));
    }
    if argument & 16 != 0 {
        builder = builder.push(&Data(octets));
    }
    let family = if at(8) & 1 == 0 { AddressFamily::V4 } else { AddressFamily::V6 };
    if argument & 32 != 0 {
        builder = builder.push(&RequestedAddressFamily(family));
    }
    if argument & 64 != 0 {
        builder = builder.push(&AdditionalAddressFamily(family));
    }
    if argument & 128 != 0 {
        builder = builder.push(&EvenPort { reserve_next: at(9) & 1 != 0 });
    }
    if argument & 256 != 0 {
        builder = builder.push(&XorPeerAddress(address(number(10))));
    }
    if argument & 512 != 0 {
        builder = builder.push(&Priority(1));
    }
    if class == Class::Request && argument & 1024 == 0 {
        let key = Key::long_term_md5("ann", "taut", "secret");
        builder = builder.push(&Username::new("ann")).push(&Realm::new("taut")).push(&Nonce::new(nonce));
        builder = builder.integrity(&key, Algorithm::Sha1);
    }
    let _ = builder.finish();
    out
}

fuzz_target!(|operations: Vec<(u8, u16, Vec<u8>)>| {
    let mut now = Instant::now();
    let mut server = server(now, 1);
    let mut nonce = String::new();
    let mut relays = Vec::new();
    for (operation, argument, octets) in operations.into_iter().take(OPERATIONS) {
        let client = std::net::SocketAddr::from(([192, 0, 2, 1], 4_000 + u16::from(operation >> 5)));
        let transport = if operation >> 5 == 7 { Transport::Tcp } else { Transport::Udp };
        let path = Path { transport, local: LISTENS.into(), remote: client };
        let meta = Received { at: now, path, ecn: None };
        let mut given = 0;
        match operation & 0x1f {
            0..=15 => {
                let mut message = write(&nonce, operation & 7, argument, &octets);
                if operation & 8 != 0 {
                    change(&mut message, octets.get(..3).unwrap_or_default());
                }
                given = message.len();
                server.handle_datagram(meta, BytesMut::from(&message[..]));
            }
            16..=19 => {
                given = octets.len();
                server.handle_datagram(meta, BytesMut::from(&octets[..]));
            }
            20..=22 => {
                let mut data = vec![0x40, (argument & 3) as u8, 0, octets.len().min(200) as u8];
                data.extend_from_slice(&octets);
                server.handle_datagram(meta, BytesMut::from(&data[..]));
            }
            23..=26 => {
                if let Some(relay) = relays.get(usize::from(argument & 7) % relays.len().max(1)) {
                    let path = Path::udp(*relay, address(argument));
                    server
                        .handle_datagram(Received { at: now, path, ecn: None }, BytesMut::from(&octets[..]));
                }
            }
            27 => server.handle_disconnected(now, path),
            28 => server.handle_writable(path, argument & 1 == 0),
            _ => now += time(argument),
        }
        for _ in 0..2 {
            server.handle_timeout(now);
        }
        assert!(server.poll_timeout().is_none_or(|at| at > now), "a timeout in the past");
        let sent = poll_server(&mut server, now, argument & 0x4000 == 0);
        assert!(server.allocations() <= 6);
        for (to, answer) in sent {
            let Ok(message) = Message::parse(&answer) else { continue };
            if message.class() == Class::Error && !message.has_integrity() && transport == Transport::Udp {
                assert!(answer.len() <= 3 * given, "{} for {given}", answer.len());
            }
            if to == path
                && let Ok(Some(fresh)) = message.get::<Nonce<'_>>()
            {
                nonce = fresh.text().to_owned();
            }
            if let Ok(Some(relayed)) = message.get::<taut_stun::attribute::XorRelayedAddress>() {
                relays.push(relayed.0);
            }
        }
    }
});
