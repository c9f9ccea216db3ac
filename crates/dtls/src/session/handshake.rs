//! The handshake: hellos, the versions they lead to, and the check of the fingerprint at its end.

use std::time::Instant;

use bytes::BytesMut;

use super::drive::packets;
use super::{MIN_FIRST_TIMEOUT, Session, State, Verified};
use crate::config::{Role, Version};
use crate::engine::{Engine, Failure, Start, offers};
use crate::filter::{Hello, HelloKind, Side};
use crate::hello::{self, ClientHello, ServerHello};
use crate::peer::{CloseReason, Event, SrtpKeys, VerifiedPeer};

/// ClientHellos that may replace the one being answered.
const MAX_REPLACED: u32 = 8;

impl Session {
    pub(super) fn make_engine(&self, start: Start, now: Instant) -> Result<Engine, Failure> {
        Engine::new(&self.config, start, &self.certificate, self.handshake.first_timeout, now)
    }

    pub(super) fn become_client(&mut self, now: Instant) {
        self.handshake.side = Side::Client;
        self.filter.restart(Side::Client);
        self.handshake.certificate = None;
        let (min, max) = self.config.version_range();
        match self.make_engine(Start::Client { min, max }, now) {
            Ok(engine) => {
                self.engine = Some(engine);
                self.drain(now, &mut BytesMut::new());
            }
            Err(failure) => self.on_failure(now, failure),
        }
    }

    /// True when what was held behind the message may follow it.
    pub(super) fn on_hello(&mut self, now: Instant, hello: Hello) -> bool {
        match hello.kind {
            HelloKind::Server(chosen) => self.on_server_hello(now, chosen, &hello.record),
            HelloKind::Client(offer) => {
                self.on_client_hello(now, &offer, &hello);
                false
            }
        }
    }

    pub(super) fn on_server_hello(&mut self, now: Instant, chosen: ServerHello, record: &[u8]) -> bool {
        let (min, max) = self.config.version_range();
        match chosen {
            _ if self.engine.is_none() => {
                if let ServerHello::Chosen { random, .. } = chosen {
                    self.filter.refuse(random);
                }
                self.filter.stats.stale_hello += 1;
                return false;
            }
            ServerHello::Verify if min == Version::Dtls12 => self.filter.expect_another_hello(),
            ServerHello::Retry if max == Version::Dtls13 => self.filter.expect_another_hello(),
            ServerHello::Chosen { random, .. } if self.filter.is_refused(&random) => {
                self.filter.stats.stale_hello += 1;
                return false;
            }
            ServerHello::Chosen { version, cipher_suite, random }
                if (min..=max).contains(&version)
                    && offers(self.config.engine, cipher_suite)
                    && (cipher_suite >> 8 == 0x13) == (version == Version::Dtls13) =>
            {
                self.filter.choose(version);
                self.filter.set_cipher_suite(cipher_suite);
                // When its handshake dies, it is not followed again.
                self.filter.refuse(random);
            }
            _ => {
                self.filter.stats.rejected_hello += 1;
                return false;
            }
        }
        self.deliver(now, record);
        matches!(chosen, ServerHello::Chosen { .. })
    }

    pub(super) fn on_client_hello(&mut self, now: Instant, offer: &ClientHello, hello: &Hello) {
        if self.handshake.side == Side::Client {
            // Both sides found nobody and became clients: the larger random stays one.
            if self.filter.own_random().is_none_or(|own| own >= offer.random) {
                self.filter.stats.stale_hello += 1;
                return;
            }
            self.handshake.side = Side::Server;
            self.engine = None;
            self.outgoing.clear();
            self.filter.restart(Side::Server);
        }
        let same = self.handshake.client_random == Some(offer.random);
        if self.engine.is_some() && (same || hello.message_seq > 0) {
            let wait = self.handshake.last_hello.and_then(|last| last.checked_add(MIN_FIRST_TIMEOUT));
            let second = hello.message_seq > self.handshake.hello_seq;
            if !second && wait.is_some_and(|until| now < until) {
                self.filter.stats.stale_hello += 1;
                return;
            }
            self.handshake.last_hello = Some(now);
            self.handshake.hello_seq = hello.message_seq;
            return self.deliver(now, &hello.record);
        }
        let replaces = self.engine.is_some();
        if replaces && (self.filter.answered() || self.handshake.replaced >= MAX_REPLACED) {
            self.filter.stats.stale_hello += 1;
            return;
        }
        self.accept_client_hello(now, offer, hello, replaces);
    }

    pub(super) fn accept_client_hello(
        &mut self,
        now: Instant,
        offer: &ClientHello,
        hello: &Hello,
        replaces: bool,
    ) {
        let (min, max) = self.config.version_range();
        let version = if offer.offers_13 && max == Version::Dtls13 {
            Version::Dtls13
        } else if offer.offers_12 && min == Version::Dtls12 {
            Version::Dtls12
        } else {
            self.filter.stats.rejected_hello += 1;
            return;
        };
        let engine = self.make_engine(Start::Server(version), now).and_then(|mut engine| {
            engine.handle_packet(now, &hello.record)?;
            let flight = packets(&mut engine);
            Ok((engine, flight))
        });
        // An engine that has no answer was not given a hello that it can read.
        let Some((engine, flight)) = engine.ok().filter(|(_, flight)| !flight.is_empty()) else {
            // Nobody has authenticated it, so it changes nothing.
            self.filter.stats.rejected_hello += 1;
            return;
        };
        if replaces {
            self.handshake.replaced += 1;
            self.filter.restart(Side::Server);
            self.outgoing.clear();
        }
        self.handshake.auto_deadline = None;
        self.handshake.client_random = Some(offer.random);
        self.handshake.last_hello = Some(now);
        self.handshake.hello_seq = hello.message_seq;
        self.engine = Some(engine);
        self.filter.choose(version);
        for packet in flight {
            self.on_packet(now, packet);
        }
        self.drain(now, &mut BytesMut::new());
    }

    /// The engine has finished: the one place where the fingerprint is checked. The other side has proven by now that
    /// it owns the key of the certificate it showed, so a certificate that does not match is its own.
    pub(super) fn on_done(&mut self, now: Instant) {
        let certificate = self.handshake.certificate.take();
        let remote = &self.handshake.remote;
        let Some(certificate) =
            certificate.filter(|der| remote.iter().any(|fingerprint| fingerprint.matches(der)))
        else {
            self.plaintext.clear();
            self.say_goodbye(now);
            self.plaintext.clear();
            return self.end(State::Failed, CloseReason::FingerprintMismatch);
        };
        let Some(version) = self.engine.as_ref().and_then(Engine::version) else { return };
        let is_client = self.handshake.side == Side::Client;
        let role = if is_client { Role::Client } else { Role::Server };
        let suite = self.filter.cipher_suite().unwrap_or_default();
        let cipher_suite = hello::cipher_suite_name(suite);
        let keys = self.handshake.keys.take();
        let srtp = keys.and_then(|(profile, material)| SrtpKeys::cut(profile, is_client, &material));
        let overhead = match version {
            Version::Dtls12 => 13 + hello::protection_overhead(suite),
            Version::Dtls13 => 5 + 1 + 16,
        };
        self.state = State::Connected;
        self.verified =
            Some(Verified { role, version, cipher_suite, certificate: certificate.clone(), overhead });
        self.filter.connect(version);
        let peer = VerifiedPeer { srtp, certificate, role, version, cipher_suite };
        self.events.extend(self.handshake.key_log.take().map(Event::KeyLog));
        self.events.push_back(Event::Connected(peer));
        for record in self.filter.take_future() {
            self.receive_connected(now, BytesMut::from(record.as_slice()));
        }
    }
}
