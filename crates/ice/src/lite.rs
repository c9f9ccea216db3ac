//! A lite agent (RFC 8445 section 2.5): it answers, and takes what the other side nominates for valid.
//!
//! It asks nothing itself, so the checks of the other side are what keeps consent: without one for
//! [`Config::consent_expiry`](crate::Config::consent_expiry) it lapses.

use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::consent::Consent;
use crate::pair::{Pair, PairId, Valid, Wish};

/// The longest time between two consent requests of a full agent (RFC 7675 section 5.1).
const LONGEST_INTERVAL: Duration = Duration::from_secs(6);

impl Agent {
    /// An authenticated check came to a lite agent (RFC 8445 section 7.3.2).
    pub(crate) fn on_check_as_lite(&mut self, now: Instant, id: PairId, wish: Wish) {
        let consent = Consent::new(now, &mut self.rng);
        let wish = if self.is_forsaken(now) { Wish::Nominate } else { wish };
        let Some(pair) = self.checklist.get_mut(id) else { return };
        let (path, host) = (pair.path, pair.local);
        if let Some(valid) = pair.valid_mut() {
            valid.consent.refreshed(now, now);
        } else if wish == Wish::Nominate {
            self.make_valid(id, Valid { mapped: host, consent, recheck: None, nominated: false });
        }
        self.add_route(path);
        if wish == Wish::Nominate {
            self.on_nominated(id);
        }
    }

    /// True if the nominated pair has fallen silent: a NAT may have changed its mapping, and the other side, which sees nothing
    /// of that, does not nominate again.
    fn is_forsaken(&self, now: Instant) -> bool {
        let selected = self.selected.and_then(|id| self.checklist.get(id));
        selected.and_then(|pair| self.falls_silent_at(pair)).is_some_and(|at| at <= now)
    }

    /// When the state of a lite agent becomes disconnected if no check comes.
    pub(crate) fn falls_silent_at(&self, pair: &Pair) -> Option<Instant> {
        self.overdue_at(pair)?.checked_add(self.config.disconnected_after)
    }

    /// When the next check of the other side should have come.
    pub(crate) fn overdue_at(&self, pair: &Pair) -> Option<Instant> {
        pair.valid()?.consent.last_answer.checked_add(LONGEST_INTERVAL)
    }
}
