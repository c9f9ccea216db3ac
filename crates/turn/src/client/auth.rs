//! The long-term mechanism, the client's side (RFC 8489 section 9.2).

use taut_stun::attribute::{Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, UserHash, Username};
use taut_stun::{Algorithm, Builder, Key, Message};

use crate::Credentials;

/// How long a realm or a nonce may be (RFC 8489 sections 14.9 and 14.10: fewer than 128 characters, 763 octets).
const MAX_TEXT: usize = 763;

/// What the server told with 401 or 438, and the key made of it.
#[derive(Debug)]
struct Challenge {
    realm: String,
    nonce: String,
    algorithms: Option<PasswordAlgorithms>,
    password: PasswordAlgorithm,
    key: Key,
}

/// Why a challenge leads to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChallengeError {
    /// As if it had not come.
    Malformed,
    /// None of the algorithms is known.
    UnknownAlgorithm,
}

/// What a challenge changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    /// The nonce, perhaps.
    Nonce,
    /// The realm or the algorithm, and so the key.
    Key,
}

/// The state of the mechanism towards one server.
#[derive(Debug)]
pub(crate) struct Auth {
    credentials: Credentials,
    /// Those to begin anew with.
    next: Option<Credentials>,
    challenge: Option<Challenge>,
}

impl Auth {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self { credentials, next: None, challenge: None }
    }

    /// From the next beginning on, these.
    pub(crate) fn set_next(&mut self, credentials: Credentials) {
        self.next = Some(credentials).filter(|next| *next != self.credentials);
    }

    /// Begins anew: the next request is a first one.
    pub(crate) fn reset(&mut self) {
        if let Some(next) = self.next.take() {
            self.credentials = next;
        }
        self.challenge = None;
    }

    /// Begins anew if there are other credentials; false if there are none.
    pub(crate) fn renew(&mut self) -> bool {
        let other = self.next.is_some();
        if other {
            self.reset();
        }
        other
    }

    /// True if requests carry credentials.
    pub(crate) fn is_challenged(&self) -> bool {
        self.challenge.is_some()
    }

    /// Takes the realm and nonce of a 401 or 438.
    pub(crate) fn take(&mut self, message: &Message<'_>) -> Result<Changed, ChallengeError> {
        let malformed = |_| ChallengeError::Malformed;
        let nonce = message.get::<Nonce<'_>>().map_err(malformed)?.ok_or(ChallengeError::Malformed)?;
        let algorithms = message.get::<PasswordAlgorithms>().map_err(malformed)?;
        let old = self.challenge.as_ref();
        // Section 9.2.5: the list was stripped on the way, to make the client use a weaker key; and after one list all requests are
        // protected with SHA-256.
        let listed = nonce.has_password_algorithms() || old.is_some_and(|old| old.algorithms.is_some());
        if listed && algorithms.is_none() {
            return Err(ChallengeError::Malformed);
        }
        let realm = match message.get::<Realm<'_>>().map_err(malformed)? {
            Some(realm) => realm.text(),
            None => old.map(|old| old.realm.as_str()).ok_or(ChallengeError::Malformed)?,
        };
        if realm.len() > MAX_TEXT || nonce.text().len() > MAX_TEXT {
            return Err(ChallengeError::Malformed);
        }
        let password = match &algorithms {
            None => PasswordAlgorithm::Md5,
            Some(list) => list
                .iter()
                .find(|known| !matches!(known, PasswordAlgorithm::Unknown(_)))
                .ok_or(ChallengeError::UnknownAlgorithm)?,
        };
        let same = old.is_some_and(|old| old.realm == realm && old.password == password);
        let Credentials { username, password: secret } = &self.credentials;
        let key = match (old, password) {
            (Some(old), _) if same => old.key.clone(),
            (_, PasswordAlgorithm::Sha256) => Key::long_term_sha256(username, realm, secret),
            _ => Key::long_term_md5(username, realm, secret),
        };
        let (realm, nonce) = (realm.to_owned(), nonce.text().to_owned());
        self.challenge = Some(Challenge { realm, nonce, algorithms, password, key });
        Ok(if same { Changed::Nonce } else { Changed::Key })
    }

    /// Adds the credentials, once the server has asked for them, and finishes the message.
    pub(crate) fn finish(&self, builder: Builder<'_>) -> Option<usize> {
        let Some(challenge) = &self.challenge else { return builder.fingerprint().finish() };
        let nonce = Nonce::new(&challenge.nonce);
        let username = &self.credentials.username;
        let builder = if nonce.has_username_anonymity() {
            builder.push(&UserHash::of(username, &challenge.realm))
        } else {
            builder.push(&Username::new(username))
        };
        let mut builder = builder.push(&Realm::new(&challenge.realm)).push(&nonce);
        if let Some(algorithms) = &challenge.algorithms {
            builder = builder.push(algorithms).push(&challenge.password);
        }
        builder.integrity(&challenge.key, challenge.algorithm()).fingerprint().finish()
    }

    /// True if an answer to a request with credentials has the integrity that it must have: of the same kind as the
    /// request's, so that nobody can make it weaker.
    pub(crate) fn verify(&self, message: &Message<'_>) -> bool {
        self.challenge
            .as_ref()
            .is_some_and(|challenge| message.verify(&challenge.key) == Ok(challenge.algorithm()))
    }
}

impl Challenge {
    /// Section 9.2.5: once there was a list of algorithms, everything is protected with SHA-256.
    fn algorithm(&self) -> Algorithm {
        if self.algorithms.is_some() { Algorithm::Sha256 } else { Algorithm::Sha1 }
    }
}
