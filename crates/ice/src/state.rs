//! What follows from the tables: the pair in use and the state, in the words of the W3C API (webrtc-pc section 5.6.4).

use std::time::Instant;

use crate::agent::Agent;
use crate::event::{Event, GatheringState, State};

impl State {
    /// True for states that are not left, but by a restart from the first.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Closed)
    }
}

impl Agent {
    /// Draws the consequences of whatever changed: consent, names, nomination, the pair in use, older generations, the
    /// state.
    pub(crate) fn reconcile(&mut self, now: Instant) {
        if self.state == State::Closed {
            // There is nothing to draw from it, but the end of the allocations.
            let _ = self.advance_relays(now);
            return;
        }
        // First: pairs may go with a relay.
        let _ = self.advance_relays(now);
        self.advance_streams(now);
        self.expire_consent(now);
        self.advance_naming(now);
        self.advance_nomination(now);
        self.retire_superseded(now);
        self.settle_doubts(now);
        self.select(now);
        self.seek_other_ways(now);
        self.advance_gathering(now);
        let state = self.compute_state(now);
        self.set_state(state);
    }

    fn select(&mut self, now: Instant) {
        let chosen = if self.state == State::Failed { None } else { self.choose(now) };
        if self.selected == chosen {
            return;
        }
        self.selected = chosen;
        let Some(pair) = chosen.and_then(|id| self.checklist.get(id)) else { return };
        let (path, generation) = (pair.path, pair.generation);
        if let Some(generation) = self.generations.get_mut(generation) {
            generation.connected = true;
        }
        self.bind_channel(now, &path);
        self.events.push_back(Event::SelectedPairChanged { path });
    }

    fn compute_state(&self, now: Instant) -> State {
        if self.state.is_final() {
            return self.state;
        }
        let current = self.generations.current();
        if let Some(pair) = self.selected.and_then(|id| self.checklist.get(id)) {
            let silent = self.disconnects_at(pair).is_some_and(|at| at <= now);
            let restarting = pair.generation != current.id;
            let all_known = current.remote_done && self.gathering_state() == GatheringState::Complete;
            return match (silent, restarting) {
                (false, false) if pair.is_nominated() && all_known => State::Completed,
                (false, _) => State::Connected,
                (true, false) => State::Disconnected,
                // "Effectively forgetting that connectivity was previously lost."
                (true, true) => State::Checking,
            };
        }
        if current.connected {
            // Other ways have been tried since the one in use fell silent: checks that are still out, which may take as long
            // again, keep nobody waiting (RFC 7675 section 5.1). Where its address was removed there is time for that.
            let adrift = current.adrift.is_some_and(|until| until > now);
            return if adrift { State::Disconnected } else { State::Failed };
        }
        let hope = self.naming.is_busy() || self.checklist.of(current.id).any(|(_, pair)| pair.is_hopeful());
        let impatient = current.patience.is_some_and(|until| until <= now);
        match hope {
            false if impatient || self.is_crowded_out() => State::Failed,
            _ if self.can_check() && self.checklist.of(current.id).next().is_some() => State::Checking,
            // The pair of an older generation is lost, and the other side has not said anything of the restart.
            _ if self.state != State::New => State::Checking,
            _ => State::New,
        }
    }

    pub(crate) fn set_state(&mut self, state: State) {
        if self.state == state {
            return;
        }
        self.state = state;
        self.events.push_back(Event::StateChanged(state));
        if state == State::Failed {
            self.gathering.stop();
            self.naming.stop();
        }
    }
}
