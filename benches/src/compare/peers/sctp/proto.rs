//! sctp-proto, of str0m.

use std::sync::Arc;

use sctp_proto::{Chunks, ClientConfig, EndpointConfig, Payload, ServerConfig, Stream, TransportConfig};

use super::MTU;
use super::endpoint::{address, endpoint};

type Config = Arc<TransportConfig>;

endpoint!(sctp_proto, Proto, "sctp-proto (str0m)");

fn new(work: &Work) -> (Endpoint, Config) {
    let mut config =
        TransportConfig::default().with_max_send_message_size(1 << 20).with_max_receive_message_size(1 << 20);
    if let Some(window) = work.window {
        config = config.with_max_receive_buffer_size(window as u32);
    }
    let config = Arc::new(config);
    let mut endpoint = EndpointConfig::new();
    // A common header of 12 octets and a DATA header of 16.
    endpoint.max_payload_size((MTU - 28) as u32);
    let mut server = ServerConfig::new();
    server.transport = Arc::clone(&config);
    (Endpoint::new(Arc::new(endpoint), Some(Arc::new(server))), config)
}

fn connect(
    endpoint: &mut Endpoint,
    _now: Instant,
    transport: &Config,
) -> Option<(AssociationHandle, Association)> {
    let mut config = ClientConfig::new();
    config.transport = Arc::clone(transport);
    endpoint.connect(config, address()).ok()
}

fn handle(
    endpoint: &mut Endpoint,
    now: Instant,
    packet: Bytes,
) -> Option<(AssociationHandle, DatagramEvent)> {
    endpoint.handle(now, address(), None, None, packet)
}

fn packets(endpoint: &mut Endpoint, association: Option<&mut Association>, now: Instant) -> Vec<Bytes> {
    let mut packets = Vec::new();
    let answers = std::iter::from_fn(|| endpoint.poll_transmit());
    for transmit in answers.chain(association.and_then(|association| association.poll_transmit(now))) {
        if let Payload::RawEncode(encoded) = transmit.payload {
            packets.extend(encoded);
        }
    }
    packets
}

fn write(stream: &mut Stream<'_>, _now: Instant, message: &Bytes) -> Result<(), String> {
    let written = stream.write_sctp(message, PayloadProtocolIdentifier::Binary);
    written.map(|_| ()).map_err(|error| error.to_string())
}

/// One copy, as str0m does.
fn read(chunks: &Chunks) -> Option<usize> {
    let mut message = vec![0; chunks.len()];
    chunks.read(&mut message).ok()
}
