//! rtc-dtls, of webrtc-rs.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;

use super::Contender;

pub(crate) struct Rtc {
    client: Arc<HandshakeConfig>,
    server: Arc<HandshakeConfig>,
}

/// Nothing looks at it.
fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 5_000))
}

impl Rtc {
    pub(crate) fn new() -> Self {
        let provider = rtc_stun::crypto::default_provider().expect("a provider");
        let certificate = Certificate::generate_self_signed(vec!["taut".to_owned()], provider.crypto());
        let certificate = certificate.expect("a certificate");
        let config = |client| {
            let builder = ConfigBuilder::default()
                .with_crypto_provider(provider.clone())
                .with_certificates(vec![certificate.clone()])
                .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm])
                .with_client_auth(ClientAuthType::RequireAnyClientCert)
                .with_insecure_skip_verify(true);
            Arc::new(builder.build(client, client.then(address)).expect("a configuration"))
        };
        Self { client: config(true), server: config(false) }
    }
}

impl Contender for Rtc {
    type End = End;

    fn pair(&self, now: Instant) -> (End, End) {
        let end = |server| End {
            endpoint: Endpoint::new(address(), Default::default(), server),
            connected: false,
            opened: VecDeque::new(),
        };
        let mut client = end(None);
        client.endpoint.connect(now, address(), Arc::clone(&self.client), None).expect("it begins");
        (client, end(Some(Arc::clone(&self.server))))
    }
}

pub(crate) struct End {
    endpoint: Endpoint,
    connected: bool,
    opened: VecDeque<BytesMut>,
}

impl super::End for End {
    fn handle_packet(&mut self, now: Instant, packet: Vec<u8>) -> Result<(), String> {
        let events = self.endpoint.read(now, address(), None, BytesMut::from(&packet[..]));
        for event in events.map_err(|error| error.to_string())? {
            match event {
                EndpointEvent::HandshakeComplete => self.connected = true,
                EndpointEvent::ApplicationData(data) => self.opened.push_back(data),
                _ => {}
            }
        }
        Ok(())
    }

    fn transmit(&mut self, _now: Instant) -> Option<Vec<u8>> {
        self.endpoint.poll_transmit().map(|transmit| transmit.message.into())
    }

    fn connected(&self) -> bool {
        self.connected
    }

    fn send(&mut self, now: Instant, plaintext: &[u8]) -> Result<(), String> {
        self.endpoint.write(now, address(), plaintext).map_err(|error| error.to_string())
    }

    fn receive(&mut self) -> Option<usize> {
        self.opened.pop_front().map(|data| data.len())
    }
}
