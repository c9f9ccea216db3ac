//! DTLS implementations behind one small trait, a file each.

use std::time::{Duration, Instant};

pub(crate) mod dimpl;
pub(crate) mod openssl;
pub(crate) mod rtc;
pub(crate) mod taut;

/// One end of a connection.
pub(crate) trait End {
    fn handle_packet(&mut self, now: Instant, packet: Vec<u8>) -> Result<(), String>;
    /// The next datagram.
    fn transmit(&mut self, now: Instant) -> Option<Vec<u8>>;
    fn connected(&self) -> bool;
    /// Writes one record.
    fn send(&mut self, now: Instant, plaintext: &[u8]) -> Result<(), String>;
    /// The length of the next record that was opened.
    fn receive(&mut self) -> Option<usize>;
}

/// An implementation, with what its connections share.
pub(crate) trait Contender {
    type End: End;

    /// A client that has begun, and a server.
    fn pair(&self, now: Instant) -> (Self::End, Self::End);
}

/// The certificate of all ends.
pub(crate) struct Identity {
    pub(crate) certificate: taut_dtls::Certificate,
    /// X.509 in DER.
    pub(crate) der: Vec<u8>,
    /// PKCS #8 in DER.
    pub(crate) key: Vec<u8>,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let unix =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let certificate = taut_dtls::Certificate::generate(unix).expect("a certificate");
        let key =
            ::openssl::pkey::PKey::private_key_from_pem(certificate.to_pem().as_bytes()).expect("a key");
        let key = key.private_key_to_pkcs8().expect("a key");
        let der = certificate.der().to_vec();
        Self { certificate, der, key }
    }
}
