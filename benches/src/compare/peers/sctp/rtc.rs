//! rtc-sctp, of webrtc-rs.

use std::sync::Arc;

use rtc_sctp::{Chunks, ClientConfig, EndpointConfig, Payload, ServerConfig, Stream, TransportConfig};

use super::MTU;
use super::endpoint::{address, endpoint};

type Config = TransportConfig;

endpoint!(rtc_sctp, Rtc, "rtc-sctp");

fn new(work: &Work) -> (Endpoint, Config) {
    let mut config = TransportConfig::default();
    if let Some(window) = work.window {
        config = config.with_max_receive_buffer_size(window as u32);
    }
    let mut endpoint = EndpointConfig::new();
    // A common header of 12 octets and a DATA header of 16.
    endpoint.max_payload_size((MTU - 28) as u32);
    let server = ServerConfig::new(config.clone());
    let endpoint = Endpoint::new(address(), Default::default(), Arc::new(endpoint), Some(Arc::new(server)));
    (endpoint, config)
}

fn connect(
    endpoint: &mut Endpoint,
    now: Instant,
    transport: &Config,
) -> Option<(AssociationHandle, Association)> {
    endpoint.connect(now, ClientConfig::new(transport.clone()), address()).ok()
}

fn handle(
    endpoint: &mut Endpoint,
    now: Instant,
    packet: Bytes,
) -> Option<(AssociationHandle, DatagramEvent)> {
    endpoint.handle(now, address(), None, packet)
}

fn packets(_: &mut Endpoint, association: Option<&mut Association>, now: Instant) -> Vec<Bytes> {
    match association.and_then(|association| association.poll_transmit(now)).map(|transmit| transmit.message)
    {
        Some(Payload::RawEncode(packets)) => packets,
        _ => Vec::new(),
    }
}

fn write(stream: &mut Stream<'_>, now: Instant, message: &Bytes) -> Result<(), String> {
    let written = stream.write_chunk_with_ppi(now, message, PayloadProtocolIdentifier::Binary);
    written.map(|_| ()).map_err(|error| error.to_string())
}

/// One copy, as its data channels do.
fn read(chunks: &Chunks) -> Option<usize> {
    chunks.to_payload(usize::MAX).ok().map(|message| message.len())
}
