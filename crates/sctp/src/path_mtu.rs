//! Which packet size the path carries: packetization layer path MTU discovery (RFC 8899; section 6.2.3 for SCTP over
//! DTLS).
//!
//! A search goes up from the base, which every path carries, over the sizes that links have in practice, and halves
//! what is left between what came through and what did not. A probe is a HEARTBEAT with a PAD chunk (RFC 4820): no
//! data is at stake, and its loss is no sign of congestion. Nothing is looked for before a full packet was sent, nor
//! without one once the time has come to look again: an idle association, and one of small messages, sends no probes.
//!
//! Chunks are cut for the base all the same, and a larger packet takes more of them: a chunk that was sent cannot be
//! cut again (RFC 9260 section 6.9), so that on a path that shrinks a larger one could only go on in IP fragments,
//! which many networks drop. With this nothing that is out ever needs a larger path than the base. That is also why
//! MIN_PLPMTU is BASE_PLPMTU here: in the error state packets go on at the base.

use std::time::{Duration, Instant};

/// How often a size is tried before it counts as too large (MAX_PROBES, RFC 8899 section 5.1.2).
pub(crate) const PROBES_MAX: usize = 3;

/// The least time for the answer to a probe (PROBE_TIMER, RFC 8899 section 5.1.1).
const PROBE_TIMER: Duration = Duration::from_secs(1);

/// When a search begins anew that has come to its end (PMTU_RAISE_TIMER, RFC 8899 section 5.1.1), or that lost the
/// base.
pub(crate) const RAISE_TIMER: Duration = Duration::from_secs(600);

/// How long larger packets are not tried again after the second black hole; doubled for each that follows. The first
/// may have been an outage, or another path.
const BLACK_HOLE_WAIT: Duration = Duration::from_secs(30);

/// MTUs of links in use, IP header included: the least of IPv6, tunnels, PPP over Ethernet, Ethernet, jumbo frames.
const LINKS: [usize; 6] = [1_280, 1_400, 1_460, 1_492, 1_500, 9_000];

/// How far a packet may stay below the base that is as full as it gets.
const FULL_SLACK: usize = 8;

/// Between what came through and what did not no size is tried when they are as near as this, or as this part.
const NEAR: usize = 16;
const NEAR_PART: usize = 16;

/// What the layers below allow, in octets of an SCTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// What every path carries (BASE_PLPMTU).
    pub(crate) base: usize,
    /// What is looked for at most (MAX_PLPMTU).
    pub(crate) max: usize,
    /// What all layers below add up to an IP packet.
    pub(crate) headers: usize,
}

impl Limits {
    /// SCTP packets have multiples of four octets; the largest size is not below the base.
    pub(crate) fn new(base: usize, max: usize, headers: usize) -> Self {
        Self { base: base & !3, max: max.max(base) & !3, headers }
    }
}

/// The probes of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Probe {
    size: usize,
    /// The numbers of those that are out, oldest first.
    numbers: [Option<u64>; PROBES_MAX],
    wait: Wait,
}

/// What a probe waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// To be sent.
    Due,
    /// To be answered, until then.
    Answer { until: Instant },
}

impl Probe {
    fn new(size: usize) -> Self {
        Self { size, numbers: [None; PROBES_MAX], wait: Wait::Due }
    }

    fn is_spent(&self) -> bool {
        self.numbers.iter().all(Option::is_some)
    }
}

/// The states of RFC 8899 section 5.2. Those without a probe wait for a full packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// DISABLED: nothing above the base is looked for.
    Disabled,
    /// BASE, not confirmed by a probe: data does that. The search begins at the first full packet, or later.
    Idle { from: Option<Instant> },
    /// BASE, after a black hole: a probe of that size must come through.
    Base(Probe),
    /// SEARCHING.
    Searching(Probe),
    /// SEARCH_COMPLETE, until then.
    Complete { until: Instant },
    /// ERROR: not even the base comes through; until then.
    Error { until: Instant },
}

/// The machine. It knows sizes and times; making and reading packets is the association's.
#[derive(Debug)]
pub(crate) struct PathMtu {
    limits: Limits,
    state: State,
    /// What packets may have now (PLPMTU).
    size: usize,
    /// The smallest size that did not come through in this search.
    failed: Option<usize>,
    /// Of this path, and of those before.
    black_holes: u32,
    black_holes_before: u32,
    lost: u64,
}

impl PathMtu {
    pub(crate) fn new(limits: Limits) -> Self {
        let state = if limits.max > limits.base { State::Idle { from: None } } else { State::Disabled };
        Self {
            limits,
            state,
            size: limits.base,
            failed: None,
            black_holes: 0,
            black_holes_before: 0,
            lost: 0,
        }
    }

    /// The path is another one: what is known of the old one is forgotten.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        let (lost, black_holes_before) = (self.lost, self.black_holes());
        *self = Self { lost, black_holes_before, ..Self::new(limits) };
    }

    /// What packets may have, in octets.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// A packet of so many octets was sent: if it is as large as the base, larger ones would be of use.
    pub(crate) fn on_packet(&mut self, now: Instant, octets: usize) {
        if octets + FULL_SLACK >= self.limits.base {
            self.on_full_packet(now);
        }
    }

    fn on_full_packet(&mut self, now: Instant) {
        match self.state {
            State::Idle { from } if from.is_none_or(|from| from <= now) => self.search(now),
            State::Complete { until } if until <= now => {
                self.failed = None;
                self.search(now);
            }
            State::Error { until } if until <= now => self.state = State::Base(Probe::new(self.limits.base)),
            _ => {}
        }
    }

    /// Goes on with the next size, if there is one.
    fn search(&mut self, now: Instant) {
        self.state = match self.candidate() {
            Some(size) => State::Searching(Probe::new(size)),
            None => State::Complete { until: now + RAISE_TIMER },
        };
    }

    /// The next size to try: the next common one, then the largest, then halves of what is left.
    fn candidate(&self) -> Option<usize> {
        let Limits { max, headers, .. } = self.limits;
        let end = self.failed.unwrap_or(max + 1);
        if self.failed.is_some() && end - self.size <= NEAR.max(self.size / NEAR_PART) {
            return None;
        }
        let links = LINKS.iter().filter_map(|link| link.checked_sub(headers)).map(|size| size & !3);
        let common = links.chain([max]).find(|&size| size > self.size && size < end);
        let half = ((self.size + end) / 2) & !3;
        common.or_else(|| (half > self.size && half < end).then_some(half))
    }

    fn probe(&self) -> Option<&Probe> {
        match &self.state {
            State::Base(probe) | State::Searching(probe) => Some(probe),
            _ => None,
        }
    }

    fn probe_mut(&mut self) -> Option<&mut Probe> {
        match &mut self.state {
            State::Base(probe) | State::Searching(probe) => Some(probe),
            _ => None,
        }
    }

    /// The size of the probe that is due.
    pub(crate) fn due(&self) -> Option<usize> {
        self.probe().filter(|probe| probe.wait == Wait::Due).map(|probe| probe.size)
    }

    /// The probe that was due is out, under this number; with the retransmission timeout of the moment, which is no
    /// less than a round trip.
    pub(crate) fn on_sent(&mut self, now: Instant, number: u64, rto: Duration) {
        let Some(probe) = self.probe_mut() else { return };
        if let Some(slot) = probe.numbers.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(number);
        }
        probe.wait = Wait::Answer { until: now + rto.max(PROBE_TIMER) };
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        match self.probe()?.wait {
            Wait::Answer { until } => Some(until),
            Wait::Due => None,
        }
    }

    /// The answer to a probe stayed out.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.timeout().is_none_or(|until| until > now) {
            return;
        }
        self.lost += 1;
        match &mut self.state {
            State::Base(probe) | State::Searching(probe) if !probe.is_spent() => probe.wait = Wait::Due,
            State::Base(_) => self.state = State::Error { until: now + RAISE_TIMER / 10 },
            State::Searching(probe) => {
                self.failed = Some(probe.size);
                self.search(now);
            }
            _ => {}
        }
    }

    /// The answer to a heartbeat of this number came, genuine. `false` if that was no probe that is out.
    pub(crate) fn on_answer(&mut self, now: Instant, number: u64) -> bool {
        if !self.probe().is_some_and(|probe| probe.numbers.contains(&Some(number))) {
            return false;
        }
        match self.state {
            State::Base(_) => {
                let wait = match self.black_holes {
                    0 | 1 => Duration::ZERO,
                    n => BLACK_HOLE_WAIT.saturating_mul(1 << (n - 2).min(16)).min(RAISE_TIMER),
                };
                self.state = State::Idle { from: Some(now + wait) };
            }
            State::Searching(probe) => {
                self.size = probe.size;
                self.search(now);
            }
            _ => {}
        }
        true
    }

    /// Packets larger than the base do not come through any more (RFC 8899 section 4.3). `false` if there were none.
    pub(crate) fn on_black_hole(&mut self) -> bool {
        if self.size <= self.limits.base {
            return false;
        }
        self.black_holes = self.black_holes.saturating_add(1);
        self.size = self.limits.base;
        self.failed = None;
        self.state = State::Base(Probe::new(self.limits.base));
        true
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn black_holes(&self) -> u32 {
        self.black_holes_before.saturating_add(self.black_holes)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const BASE: usize = 1_160;
    const HEADERS: usize = 68;
    const RTO: Duration = Duration::from_millis(400);

    /// A path that carries IP packets of so many octets, and what was asked of it.
    struct Run {
        mtu: PathMtu,
        now: Instant,
        path: usize,
        probes: usize,
    }

    impl Run {
        fn new(max: usize, path: usize) -> Self {
            let mtu = PathMtu::new(Limits::new(BASE, max, HEADERS));
            Self { mtu, now: Instant::now(), path, probes: 0 }
        }

        /// Until nothing is wanted any more; returns how long that took.
        fn settle(&mut self) -> Duration {
            let begin = self.now;
            self.mtu.on_full_packet(self.now);
            loop {
                if let Some(size) = self.mtu.due() {
                    self.probes += 1;
                    let number = self.probes as u64;
                    self.mtu.on_sent(self.now, number, RTO);
                    if size + HEADERS <= self.path {
                        self.now += Duration::from_millis(50);
                        assert!(self.mtu.on_answer(self.now, number));
                        self.mtu.on_full_packet(self.now);
                    }
                } else if let Some(at) = self.mtu.timeout() {
                    self.now = at;
                    self.mtu.handle_timeout(at);
                } else {
                    return self.now - begin;
                }
            }
        }
    }

    #[test]
    fn what_the_path_carries_is_found_with_a_bounded_number_of_probes() {
        for (path, found) in [
            (1_228, 1_228),
            (1_280, 1_280),
            (1_350, 1_280),
            (1_400, 1_400),
            (1_492, 1_492),
            (1_500, 1_500),
            (4_352, 4_000),
            (9_000, 9_000),
        ] {
            let mut run = Run::new(16_000, path);
            let time = run.settle();
            let size = run.mtu.size() + HEADERS;
            assert!(size <= path && size + 3 >= found, "{size} of {path}");
            assert!(run.probes <= 10 * PROBES_MAX, "{} probes for {path}", run.probes);
            assert!(time < Duration::from_secs(60), "{time:?} for {path}");
            let probes = run.probes;
            run.settle();
            assert_eq!(run.probes, probes, "nothing more is asked");
        }
    }

    #[test]
    fn it_looks_again_after_ten_minutes_and_not_without_a_full_packet() {
        let mut run = Run::new(2_000, 1_400);
        run.settle();
        assert_eq!(run.mtu.size() + HEADERS, 1_400);
        (run.path, run.probes) = (1_500, 0);
        run.now += RAISE_TIMER - Duration::from_secs(30);
        run.settle();
        assert_eq!(run.probes, 0, "too early");
        run.now += RAISE_TIMER;
        assert_eq!((run.mtu.due(), run.mtu.timeout()), (None, None), "nobody sends");
        run.settle();
        assert_eq!(run.mtu.size() + HEADERS, 1_500);
    }

    #[test]
    fn a_black_hole_leads_back_to_the_base_and_each_further_one_waits_longer() {
        let mut run = Run::new(1_432, 1_500);
        run.settle();
        let mut waits = Vec::new();
        for _ in 0..4 {
            assert!(run.mtu.on_black_hole() && run.mtu.size() == BASE);
            assert!(!run.mtu.on_black_hole(), "the base is no black hole");
            run.settle();
            let begin = run.now;
            while run.mtu.size() == BASE {
                run.now += Duration::from_secs(1);
                run.settle();
            }
            waits.push((run.now - begin).as_secs());
        }
        assert!(
            waits[0] == 0 && (29..=31).contains(&waits[1]) && (119..=121).contains(&waits[3]),
            "{waits:?}"
        );
        assert_eq!(run.mtu.black_holes(), 4);
        run.mtu.set_limits(Limits::new(BASE, 1_432, HEADERS));
        run.settle();
        run.mtu.on_black_hole();
        assert_eq!(run.mtu.black_holes(), 5, "on another path they are counted on");
    }

    #[test]
    fn without_the_base_it_waits_and_tries_that_again() {
        let mut run = Run::new(1_432, 1_500);
        run.settle();
        run.mtu.on_black_hole();
        (run.path, run.probes) = (600, 0);
        run.settle();
        assert!(matches!(run.mtu.state, State::Error { .. }) && run.probes == PROBES_MAX);
        assert_eq!(run.mtu.size(), BASE);
        run.path = 1_500;
        run.settle();
        assert_eq!(run.probes, PROBES_MAX, "not at once");
        run.now += RAISE_TIMER / 10;
        run.settle();
        assert_eq!(run.mtu.size() + HEADERS, 1_500);
    }

    #[test]
    fn only_the_numbers_that_are_out_are_answers() {
        let mut run = Run::new(1_432, 1_500);
        run.mtu.on_full_packet(run.now);
        run.mtu.on_sent(run.now, 7, RTO);
        assert!(!run.mtu.on_answer(run.now, 8) && run.mtu.size() == BASE);
        run.now += PROBE_TIMER;
        run.mtu.handle_timeout(run.now);
        run.mtu.on_sent(run.now, 9, RTO);
        assert!(run.mtu.on_answer(run.now, 7), "late, and still of this size");
        assert!(run.mtu.size() > BASE && !run.mtu.on_answer(run.now, 9), "once");
    }

    #[test]
    fn nothing_is_looked_for_where_there_is_nothing_to_find() {
        let mut run = Run::new(BASE, 9_000);
        run.settle();
        assert_eq!((run.probes, run.mtu.size()), (0, BASE));
    }
}
