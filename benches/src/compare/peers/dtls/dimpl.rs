//! dimpl as str0m uses it, without a filter and without a look at the certificate.

use std::sync::Arc;
use std::time::Instant;

use dimpl::{Config, Dtls, DtlsCertificate, Output};

use super::{Contender, Identity};

/// `Dtls::new_12` or `Dtls::new_13`.
type Make = fn(Arc<Config>, DtlsCertificate, Instant) -> Dtls;

pub(crate) struct Dimpl {
    config: Arc<Config>,
    certificate: DtlsCertificate,
    make: Make,
}

impl Dimpl {
    pub(crate) fn new(identity: &Identity, make: Make) -> Self {
        let config = Config::builder().mtu(1_200).require_client_certificate(true).use_server_cookie(false);
        let config = Arc::new(config.build().expect("a configuration"));
        let certificate =
            DtlsCertificate { certificate: identity.der.clone(), private_key: identity.key.clone() };
        Self { config, certificate, make }
    }
}

impl Contender for Dimpl {
    type End = End;

    fn pair(&self, now: Instant) -> (End, End) {
        let end = |active| {
            let mut dtls = (self.make)(Arc::clone(&self.config), self.certificate.clone(), now);
            dtls.set_active(active);
            dtls.handle_timeout(now).expect("it begins");
            End { dtls, connected: false, opened: Vec::new(), buffer: vec![0; 2_048] }
        };
        (end(true), end(false))
    }
}

pub(crate) struct End {
    dtls: Dtls,
    connected: bool,
    opened: Vec<usize>,
    buffer: Vec<u8>,
}

impl super::End for End {
    fn handle_packet(&mut self, now: Instant, packet: Vec<u8>) -> Result<(), String> {
        self.dtls.handle_timeout(now).map_err(|error| error.to_string())?;
        self.dtls.handle_packet(&packet).map_err(|error| error.to_string())
    }

    fn transmit(&mut self, _now: Instant) -> Option<Vec<u8>> {
        loop {
            match self.dtls.poll_output(&mut self.buffer) {
                Output::Packet(packet) => return Some(packet.to_vec()),
                Output::Timeout(_) => return None,
                Output::Connected => self.connected = true,
                Output::ApplicationData(data) => {
                    // One copy, as whoever keeps it needs.
                    let data = std::hint::black_box(data.to_vec());
                    self.opened.push(data.len());
                }
                Output::BufferTooSmall { needed } => self.buffer.resize(needed, 0),
                _ => {}
            }
        }
    }

    fn connected(&self) -> bool {
        self.connected
    }

    fn send(&mut self, _now: Instant, plaintext: &[u8]) -> Result<(), String> {
        self.dtls.send_application_data(plaintext).map(|_| ()).map_err(|error| error.to_string())
    }

    fn receive(&mut self) -> Option<usize> {
        if self.opened.is_empty() {
            let sent = self.transmit(Instant::now());
            debug_assert!(sent.is_none());
        }
        self.opened.pop()
    }
}
