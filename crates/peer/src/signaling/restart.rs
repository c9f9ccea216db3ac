//! ICE restarts (RFC 8839 section 4.4.1.1, RFC 8829 sections 5.2.2 and 5.3.1, W3C section 4.4.3 `restartIce`): which credentials a
//! description has, and what a change of them means.
//!
//! Local credentials change with a local offer that was set, and change back when it is rolled back; or with the answer to a remote
//! offer that restarts. Remote credentials change with an answer of either side, never before.

use taut_ice::Credentials;
use taut_sdp::Session;

use super::config::{LocalTransport, OfferOptions};
use super::effect::Effect;
use super::remote::{RemoteTransport, transport_section};
use super::state::State;

/// The ufrags of local descriptions. The transport always has the one that is in use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LocalIce {
    /// That of the last exchange that was completed.
    agreed: Option<String>,
    /// That of a local description that waits for the end of its exchange.
    pending: Option<String>,
    /// Those that the application wants to be replaced (W3C `[[LocalIceCredentialsToReplace]]`).
    to_replace: Vec<String>,
    /// An offer is wanted for it.
    wanted: bool,
}

impl LocalIce {
    fn in_use(&self) -> Option<&String> {
        self.pending.as_ref().or(self.agreed.as_ref())
    }

    /// True while a local description that restarts waits for the end of its exchange.
    pub(super) fn is_restarting(&self) -> bool {
        self.agreed.is_some() && self.in_use() != self.agreed.as_ref()
    }

    /// True until an exchange has done what the application wants.
    pub(super) fn wants_restart(&self) -> bool {
        self.wanted
    }

    /// The application wants other credentials than all that were signalled so far.
    pub(super) fn want_restart(&mut self) {
        self.need_restart();
        self.wanted = !self.to_replace.is_empty();
    }

    /// The next offer has other credentials, but none is asked for.
    pub(super) fn need_restart(&mut self) {
        self.to_replace = [&self.agreed, &self.pending].into_iter().flatten().cloned().collect();
    }

    /// A local description was set.
    pub(super) fn set(&mut self, local: &Session) {
        let media = transport_section(local).and_then(|index| local.media.get(index));
        if let Some(ufrag) = media.and_then(|media| media.ice_ufrag()) {
            self.pending = Some(ufrag.to_owned());
        }
    }

    /// The answer takes nothing: there is no transport to restart.
    pub(super) fn refuse(&mut self) {
        self.pending = None;
        self.replaced();
    }

    fn replaced(&mut self) {
        self.to_replace.clear();
        self.wanted = false;
    }

    /// The exchange is taken back.
    pub(super) fn roll_back(&mut self) {
        self.pending = None;
    }

    /// The exchange is complete.
    pub(super) fn complete(&mut self) {
        self.agreed = self.pending.take().or(self.agreed.take());
        if self.agreed.as_ref().is_none_or(|agreed| !self.to_replace.contains(agreed)) {
            self.replaced();
        }
    }
}

/// The credentials of an offer. Before the first exchange is complete there is nothing to replace.
pub(super) fn of_offer<'a>(
    state: &State,
    local: &'a LocalTransport,
    options: OfferOptions,
) -> &'a Credentials {
    let wanted = options.ice_restart || state.ice.to_replace.contains(&local.credentials.ufrag);
    if wanted && state.ice.agreed.is_some() { &local.next_credentials } else { &local.credentials }
}

/// The credentials of an answer: others than before if the offer restarts.
pub(super) fn of_answer<'a>(
    state: &State,
    local: &'a LocalTransport,
    offer: Option<&RemoteTransport>,
) -> &'a Credentials {
    match offer {
        Some(offer) if is_restart(state, offer) => &local.next_credentials,
        _ => &local.credentials,
    }
}

/// True if the credentials of a remote description are not those that the transport has.
pub(super) fn is_restart(state: &State, remote: &RemoteTransport) -> bool {
    state.transport.as_ref().is_some_and(|established| {
        let before = &established.parameters;
        before.remote_ufrag != remote.ufrag || before.remote_pwd != remote.pwd
    })
}

/// What a change of the local credentials means.
pub(super) fn effect(old: &LocalIce, new: &LocalIce) -> Option<Effect> {
    let agreed = old.agreed.as_ref();
    if agreed.is_none() || old.in_use() == new.in_use() {
        return None;
    }
    Some(if new.in_use() == agreed { Effect::RollBackIceRestart } else { Effect::RestartIce })
}
