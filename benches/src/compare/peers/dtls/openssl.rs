//! OpenSSL through the crate `openssl` and nothing else: the limit of the engine OpenSSL. It uses its own timer, which
//! never runs here, as nothing is lost.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Instant;

use openssl::pkey::PKey;
use openssl::ssl::{ErrorCode, Ssl, SslContext, SslMethod, SslOptions, SslStream, SslVerifyMode};
use openssl::x509::X509;

use super::{Contender, Identity};

pub(crate) struct OpenSsl {
    context: SslContext,
}

impl OpenSsl {
    pub(crate) fn new(identity: &Identity) -> Self {
        let mut builder = SslContext::builder(SslMethod::dtls()).expect("a context");
        builder
            .set_certificate(&X509::from_der(&identity.der).expect("a certificate"))
            .expect("a certificate");
        builder.set_private_key(&PKey::private_key_from_pkcs8(&identity.key).expect("a key")).expect("a key");
        builder.set_tlsext_use_srtp("SRTP_AEAD_AES_128_GCM").expect("a profile");
        builder.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, |_, _| true);
        builder.set_options(SslOptions::NO_TICKET | SslOptions::NO_QUERY_MTU);
        builder.set_cipher_list("ECDHE-ECDSA-AES128-GCM-SHA256").expect("a suite");
        builder.set_groups_list("X25519:P-256").expect("groups");
        Self { context: builder.build() }
    }
}

impl Contender for OpenSsl {
    type End = End;

    fn pair(&self, _now: Instant) -> (End, End) {
        let end = |client| {
            let mut ssl = Ssl::new(&self.context).expect("a connection");
            ssl.set_mtu(1_200).expect("an MTU");
            if client {
                ssl.set_connect_state();
            } else {
                ssl.set_accept_state();
            }
            let wire = Wire::default();
            let stream = SslStream::new(ssl, wire.clone()).expect("a stream");
            let mut end = End { stream, wire, connected: false, buffer: vec![0; 2_048] };
            if client {
                end.shake_hands().expect("it begins");
            }
            end
        };
        (end(true), end(false))
    }
}

/// Datagrams in memory.
#[derive(Clone, Default)]
struct Wire(Rc<RefCell<Datagrams>>);

#[derive(Default)]
struct Datagrams {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.0.borrow_mut().incoming.pop_front().ok_or(ErrorKind::WouldBlock)?;
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Ok(datagram.len())
    }
}

impl Write for Wire {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().outgoing.push_back(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) struct End {
    stream: SslStream<Wire>,
    wire: Wire,
    connected: bool,
    buffer: Vec<u8>,
}

impl End {
    fn shake_hands(&mut self) -> Result<(), String> {
        match self.stream.do_handshake() {
            Ok(()) => {
                let mut keys = [0; 56];
                let exported =
                    self.stream.ssl().export_keying_material(&mut keys, "EXTRACTOR-dtls_srtp", None);
                exported.map_err(|error| error.to_string())?;
                self.connected = true;
                Ok(())
            }
            Err(error) if error.code() == ErrorCode::WANT_READ => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl super::End for End {
    fn handle_packet(&mut self, _now: Instant, packet: Vec<u8>) -> Result<(), String> {
        self.wire.0.borrow_mut().incoming.push_back(packet);
        if self.connected { Ok(()) } else { self.shake_hands() }
    }

    fn transmit(&mut self, _now: Instant) -> Option<Vec<u8>> {
        self.wire.0.borrow_mut().outgoing.pop_front()
    }

    fn connected(&self) -> bool {
        self.connected
    }

    fn send(&mut self, _now: Instant, plaintext: &[u8]) -> Result<(), String> {
        self.stream.ssl_write(plaintext).map(|_| ()).map_err(|error| error.to_string())
    }

    fn receive(&mut self) -> Option<usize> {
        self.stream.ssl_read(&mut self.buffer).ok()
    }
}
