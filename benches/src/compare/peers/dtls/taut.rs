//! taut-dtls: an engine behind the record filter and the check of the fingerprint.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use taut_dtls::{Certificate, Config, Engine, HashAlgorithm, Role, State, Version};

use super::{Contender, Identity};

pub(crate) struct Session {
    config: Config,
    certificate: Certificate,
}

impl Session {
    pub(crate) fn by_default(identity: &Identity) -> Self {
        Self { config: Config::default(), certificate: identity.certificate.clone() }
    }

    pub(crate) fn dimpl_12(identity: &Identity) -> Self {
        Self::dimpl(identity, Version::Dtls12)
    }

    pub(crate) fn dimpl_13(identity: &Identity) -> Self {
        Self::dimpl(identity, Version::Dtls13)
    }

    fn dimpl(identity: &Identity, version: Version) -> Self {
        let config = Config::default().with_engine(Engine::Dimpl).with_versions(version, version);
        Self { config, certificate: identity.certificate.clone() }
    }
}

impl Contender for Session {
    type End = End;

    fn pair(&self, now: Instant) -> (End, End) {
        let end = |role| {
            let mut session =
                taut_dtls::Session::new(&self.config, &self.certificate, now).expect("a session");
            session.start(now, role, vec![self.certificate.fingerprint(HashAlgorithm::Sha256)], None);
            End { session, records: VecDeque::new(), opened: VecDeque::new() }
        };
        (end(Role::Client), end(Role::Server))
    }
}

pub(crate) struct End {
    session: taut_dtls::Session,
    records: VecDeque<Vec<u8>>,
    opened: VecDeque<Bytes>,
}

impl super::End for End {
    fn handle_packet(&mut self, now: Instant, packet: Vec<u8>) -> Result<(), String> {
        // A `Vec` becomes a `Bytes`, and that a `BytesMut`, without a copy.
        let packet = Bytes::from(packet).try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        self.session.handle_packet(now, packet);
        while self.session.poll_event().is_some() {}
        self.opened.extend(std::iter::from_fn(|| self.session.poll_plaintext()));
        Ok(())
    }

    fn transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        if let Some(record) = self.records.pop_front() {
            return Some(record);
        }
        let mut out = Vec::with_capacity(1_400);
        self.session.poll_transmit(now, 1_400, &mut out).map(|_| out)
    }

    fn connected(&self) -> bool {
        self.session.state() == State::Connected
    }

    fn send(&mut self, now: Instant, plaintext: &[u8]) -> Result<(), String> {
        let mut out = Vec::with_capacity(1_400);
        self.session.seal(now, plaintext, &mut out).map_err(|error| error.to_string())?;
        self.records.push_back(out);
        Ok(())
    }

    fn receive(&mut self) -> Option<usize> {
        self.opened.pop_front().map(|record| record.len())
    }
}
