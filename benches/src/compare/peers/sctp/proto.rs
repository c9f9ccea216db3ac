//! sctp-proto, of str0m.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Payload,
    PayloadProtocolIdentifier, ServerConfig, TransportConfig,
};

use super::{Contender, MTU};
use crate::groups::sctp::Work;

pub(crate) struct Proto;

/// An endpoint with one association.
pub(crate) struct End {
    endpoint: Endpoint,
    config: Arc<TransportConfig>,
    association: Option<(AssociationHandle, Association)>,
    packets: VecDeque<Bytes>,
}

/// Nothing looks at it.
fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 5_000))
}

impl Contender for Proto {
    const NAME: &'static str = "sctp-proto (str0m)";
    type End = End;

    fn pair(work: &Work) -> (End, End) {
        (End::new(work), End::new(work))
    }
}

impl End {
    fn new(work: &Work) -> Self {
        let mut config = TransportConfig::default()
            .with_max_send_message_size(1 << 20)
            .with_max_receive_message_size(1 << 20);
        if let Some(window) = work.window {
            config = config.with_max_receive_buffer_size(window as u32);
        }
        let config = Arc::new(config);
        let mut endpoint = EndpointConfig::new();
        // A common header of 12 octets and a DATA header of 16.
        endpoint.max_payload_size((MTU - 28) as u32);
        let mut server = ServerConfig::new();
        server.transport = Arc::clone(&config);
        let endpoint = Endpoint::new(Arc::new(endpoint), Some(Arc::new(server)));
        Self { endpoint, config, association: None, packets: VecDeque::new() }
    }

    fn association(&mut self) -> Option<&mut Association> {
        self.association.as_mut().map(|(_, association)| association)
    }

    fn events(&mut self) {
        while self.association().is_some_and(|association| association.poll().is_some()) {}
    }
}

impl super::End for End {
    fn connect(&mut self, _now: Instant) {
        let mut config = ClientConfig::new();
        config.transport = Arc::clone(&self.config);
        self.association = self.endpoint.connect(config, address()).ok();
    }

    fn established(&self) -> bool {
        self.association.as_ref().is_some_and(|(_, association)| !association.is_handshaking())
    }

    fn handle_packet(&mut self, now: Instant, packet: Bytes) {
        match self.endpoint.handle(now, address(), None, None, packet) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                self.association = Some((handle, association));
            }
            Some((_, DatagramEvent::AssociationEvent(event))) => {
                if let Some(association) = self.association() {
                    association.handle_event(event);
                }
            }
            _ => {}
        }
        self.events();
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(association) = self.association() {
            association.handle_timeout(now);
        }
        self.events();
    }

    fn transmit(&mut self, now: Instant) -> Option<Bytes> {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            if let Payload::RawEncode(packets) = transmit.payload {
                self.packets.extend(packets);
            }
        }
        if self.packets.is_empty()
            && let Some(association) = self.association()
            && let Some(transmit) = association.poll_transmit(now)
            && let Payload::RawEncode(packets) = transmit.payload
        {
            self.packets.extend(packets);
        }
        self.packets.pop_front()
    }

    fn timeout(&self) -> Option<Instant> {
        self.association.as_ref().and_then(|(_, association)| association.poll_timeout())
    }

    fn write(&mut self, _now: Instant, message: &Bytes) -> Result<bool, String> {
        let association = self.association().ok_or("no association")?;
        if association.stream(0).is_err() {
            association
                .open_stream(0, PayloadProtocolIdentifier::Binary)
                .map_err(|error| error.to_string())?;
        }
        let mut stream = association.stream(0).map_err(|error| error.to_string())?;
        let written = stream.write_sctp(message, PayloadProtocolIdentifier::Binary);
        written.map(|_| true).map_err(|error| error.to_string())
    }

    fn buffered(&mut self) -> usize {
        let stream = self.association().and_then(|association| association.stream(0).ok());
        stream.and_then(|stream| stream.buffered_amount().ok()).unwrap_or(0)
    }

    fn read(&mut self, _now: Instant) -> Option<(usize, bool)> {
        let mut stream = self.association()?.stream(0).ok()?;
        let chunks = stream.read().ok()??;
        // One copy, as str0m does.
        let mut message = vec![0; chunks.len()];
        let length = chunks.read(&mut message).ok()?;
        Some((length, true))
    }
}
