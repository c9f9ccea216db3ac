//! What the negotiation is given from outside.

use taut_dtls as dtls;
use taut_ice as ice;

/// The SCTP port that is written; RFC 8831 has no default, every implementation says this one.
pub(crate) const SCTP_PORT: u16 = 5000;

/// The settings of the negotiation. Media and data share one transport (`max-bundle`), and RTCP its port with RTP
/// (`require`): neither is an option.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignalingConfig {
    /// The largest data-channel message that is accepted, in octets (`a=max-message-size`).
    pub max_message_size: usize,
    /// The name of our RTP sources (`a=ssrc:… cname:`).
    pub cname: String,
    /// Whether we are a lite agent of ICE (`a=ice-lite`).
    pub ice_lite: bool,
}

impl Default for SignalingConfig {
    fn default() -> Self {
        Self { max_message_size: 256 * 1024, cname: "-".to_owned(), ice_lite: false }
    }
}

impl SignalingConfig {
    /// Sets the largest data-channel message that is accepted, in octets.
    #[must_use]
    pub fn with_max_message_size(mut self, octets: usize) -> Self {
        self.max_message_size = octets;
        self
    }

    /// Sets whether we are a lite agent of ICE.
    #[must_use]
    pub fn with_ice_lite(mut self, ice_lite: bool) -> Self {
        self.ice_lite = ice_lite;
        self
    }

    /// Sets the name of our RTP sources.
    #[must_use]
    pub fn with_cname(mut self, cname: impl Into<String>) -> Self {
        self.cname = cname.into();
        self
    }
}

/// What the transport contributes to a local description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTransport {
    /// `a=ice-ufrag` and `a=ice-pwd` of the ICE generation that the transport has.
    pub credentials: ice::Credentials,
    /// Those that it will have after an ICE restart.
    pub next_credentials: ice::Credentials,
    /// `a=fingerprint`, at least one.
    pub fingerprints: Vec<dtls::Fingerprint>,
    /// The candidates gathered so far, with or without `candidate:` in front. One that names another ufrag than a description
    /// has is left out there.
    pub candidates: Vec<String>,
    /// Whether there will be no more of the generation that the transport has.
    pub end_of_candidates: bool,
    /// The role in the DTLS association, once there is one.
    pub dtls_role: Option<dtls::Role>,
}

/// The options of an offer (W3C `RTCOfferOptions`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OfferOptions {
    /// Whether the offer restarts ICE: other credentials, and candidates gathered again (W3C `iceRestart`). Without a complete
    /// exchange before, there is nothing to restart.
    pub ice_restart: bool,
}

impl OfferOptions {
    /// Sets whether the offer restarts ICE.
    #[must_use]
    pub fn with_ice_restart(mut self, ice_restart: bool) -> Self {
        self.ice_restart = ice_restart;
        self
    }
}

/// How far an exchange of descriptions is (W3C `RTCSignalingState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SignalingState {
    /// No exchange is going on.
    #[default]
    Stable,
    /// A local offer waits for its answer.
    HaveLocalOffer,
    /// A remote offer waits for our answer.
    HaveRemoteOffer,
    /// A remote offer has our provisional answer.
    HaveLocalPranswer,
    /// A local offer has a provisional answer.
    HaveRemotePranswer,
    /// The connection is closed.
    Closed,
}
