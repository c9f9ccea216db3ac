//! A connection with everything that can happen to it, drawn from a seed, and what has to hold meanwhile.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use taut_ice::{
    Agent, Candidate, Config, Credentials, Event, MAX_LOCAL_CANDIDATES, MAX_REMOTE_CANDIDATES, Role, State,
};
use taut_netsim::{Link, Loss, NodeId};
use taut_sansio::rng::Rng;

use super::{Net, PORT, ms, secs};

/// How often the life is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How long a side may stay connected after the other one has failed: a consent request is due within 6 s; it is answered with an
/// error, or its silence is noticed after 5 s; and the request, or its answers, may be lost.
const CONNECTED_ALONE: Duration = Duration::from_secs(20);

/// How long it may be before it has failed, too.
const ALIVE_ALONE: Duration = Duration::from_secs(60);

/// Within this time a side follows the other one to another pair: three requests for consent are missing on the pair before.
const FOLLOWS: Duration = Duration::from_secs(20);

/// The most addresses of a side.
const MAX_ADDRESSES: usize = 8;

/// An even number of addresses has both families.
fn address(side: usize, n: usize) -> String {
    let ip = if side == 0 { [192, 0, 2] } else { [198, 51, 100] };
    if n.is_multiple_of(2) {
        format!("{}.{}.{}.{}", ip[0], ip[1], ip[2], n + 1)
    } else {
        format!("2001:db8:{side}::{n}")
    }
}

/// What is known of one connection while it lives.
pub struct Life {
    pub net: Net,
    seed: u64,
    rng: Rng,
    link: Link,
    /// The addresses that each side has.
    addresses: [Vec<String>; 2],
    next_address: [usize; 2],
    /// The second side is a lite agent.
    lite: bool,
    /// Whether the candidates of each side reach the other one; they follow the description.
    open: [bool; 2],
    /// Since when a side has lived without the other one.
    alone: [Option<Instant>; 2],
    restarts: u64,
    /// What happened, for the message of a failure.
    story: Vec<String>,
}

impl Life {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::from_u64(seed ^ 0x11fe);
        let loss = rng.unit() * 0.2;
        let link = Link::default()
            .latency(ms(u64::from(rng.below(150))))
            .jitter(ms(u64::from(rng.below(40))))
            .loss(if rng.below(2) == 0 { Loss::Random(loss) } else { Loss::bursts(loss, 2.0) })
            .reorder(0.1, ms(50))
            .duplicate(0.1);
        let lite = rng.below(8) == 0;
        let counts = [2 + 2 * rng.below(3) as usize, 2 + 2 * rng.below(2) as usize];
        let addresses = [0, 1].map(|side| (0..counts[side]).map(|n| address(side, n)).collect::<Vec<_>>());
        let [a, b] = [0, 1].map(|side: usize| addresses[side].iter().map(String::as_str).collect::<Vec<_>>());
        let config = Config::default().with_lite(lite);
        let mut net = Net::with_configs(seed, link.clone(), (&a, Config::default()), (&b, config));
        net.trickle = false;
        net.step = LOOK;
        let story = vec![format!("lite {lite}, {counts:?} addresses, loss {loss:.2}")];
        Self {
            net,
            seed,
            rng,
            link,
            addresses,
            next_address: counts,
            lite,
            open: [false; 2],
            alone: [None; 2],
            restarts: 0,
            story,
        }
    }

    fn id(&self, side: usize) -> NodeId {
        [self.net.a, self.net.b][side]
    }

    pub fn agent(&self, side: usize) -> &Agent {
        &self.net.peer(self.id(side)).agent
    }

    fn with<T>(&mut self, side: usize, command: impl FnOnce(&mut Agent, Instant) -> T) -> T {
        self.net.with(self.id(side), command)
    }

    fn tell(&mut self, what: String) {
        self.story.push(format!("{:?}: {what}", self.net.world.elapsed()));
    }

    /// What a failure says: what happened, and how it stands with both sides, candidates that lead nowhere left out.
    pub fn show(&self) -> String {
        let mut lines = vec![format!("seed {}", self.seed)];
        lines.extend(self.story.iter().cloned());
        let start = self.net.world.now() - self.net.world.elapsed();
        for side in [0, 1] {
            let peer = self.net.peer(self.id(side));
            let events = peer.events.iter().filter(|(_, event)| {
                matches!(
                    event,
                    Event::StateChanged(_)
                        | Event::SelectedPairChanged { .. }
                        | Event::CredentialsRetired { .. }
                )
            });
            lines.push(format!("side {side}, {:?}", peer.agent.role()));
            lines.extend(events.map(|(at, event)| format!("  {:?}: {event:?}", *at - start)));
            let report = peer.agent.report().to_string();
            let known = |line: &&str| !line.contains(" 203.0.113.");
            lines.extend(report.lines().filter(known).map(str::to_owned));
        }
        lines.join("\n")
    }

    // ---- time

    /// Lets time pass, candidates travelling, and looks again and again.
    pub fn run(&mut self, time: Duration) {
        let end = self.net.world.now() + time;
        loop {
            self.trickle();
            self.look();
            let left = end.saturating_duration_since(self.net.world.now());
            if left.is_zero() {
                return;
            }
            self.net.world.run_for(left.min(LOOK));
        }
    }

    fn pause(&mut self, most: u32) {
        let time = ms(u64::from(self.rng.below(most)));
        self.run(time);
    }

    fn trickle(&mut self) {
        for side in [0, 1] {
            if !self.open[side] {
                continue;
            }
            let (from, to) = (self.id(side), self.id(1 - side));
            for candidate in std::mem::take(&mut self.net.peer_mut(from).outbox) {
                let candidate = candidate.to_string().parse().expect("what was written parses");
                let _ = self.net.with(to, |agent, now| agent.add_remote_candidate(now, candidate));
            }
        }
    }

    /// What always has to hold.
    fn look(&mut self) {
        let states = [0, 1].map(|side| self.agent(side).state());
        let now = self.net.world.now();
        for side in [0, 1] {
            let agent = self.agent(side);
            assert!(agent.remote_candidates().count() <= 3 * MAX_REMOTE_CANDIDATES, "{}", self.show());
            assert!(agent.local_candidates().count() <= 3 * MAX_LOCAL_CANDIDATES, "{}", self.show());
            assert!(agent.pair_stats().len() <= 3 * Config::default().max_pairs, "{}", self.show());

            let connected = matches!(states[side], State::Connected | State::Completed);
            if states[1 - side] != State::Failed || states[side] == State::Failed {
                self.alone[side] = None;
            } else {
                let since = *self.alone[side].get_or_insert(now);
                let bound = if connected { CONNECTED_ALONE } else { ALIVE_ALONE };
                assert!(
                    now - since <= bound,
                    "{:?} while the other side has failed\n{}",
                    states[side],
                    self.show()
                );
            }
        }
    }

    /// Consent is asked for on one pair at a time, every 4 s at the most; a pair that is selected is asked at once.
    pub fn check_consent(&self) {
        for side in [0, 1] {
            let peer = self.net.peer(self.id(side));
            let selected = |event: &Event| matches!(event, Event::SelectedPairChanged { .. });
            let changes = peer.events.iter().filter(|(_, event)| selected(event)).count() as u64;
            let most = self.net.world.elapsed().as_secs() / 4 + changes + 1;
            let asked = peer.agent.stats().consent_requests_sent;
            assert!(asked <= most, "{asked} consent requests, {most} at most\n{}", self.show());
        }
    }

    // ---- signalling

    pub fn start(&mut self) {
        // Mostly as it should be, at times both the same.
        let roles = match self.rng.below(4) {
            0 => [Role::Controlling; 2],
            1 => [Role::Controlled; 2],
            _ => [Role::Controlling, Role::Controlled],
        };
        self.tell(format!("roles {roles:?}"));
        for side in [0, 1] {
            self.with(side, |agent, now| {
                agent.gather(now);
                agent.set_role(now, roles[side]);
            });
        }
        for side in [0, 1] {
            self.bogus(side);
        }
        let from = self.rng.below(2) as usize;
        self.describe(from);
        self.pause(400);
        self.describe(1 - from);
    }

    /// The other side learns of the credentials of this one, and then of its candidates.
    fn describe(&mut self, from: usize) {
        let credentials = self.agent(from).local_credentials().clone();
        let lite = self.lite && from == 1;
        self.with(1 - from, |agent, now| agent.set_remote_credentials(now, credentials, lite));
        self.open[from] = true;
        self.trickle();
    }

    /// An offer that restarts, and its answer.
    fn restart(&mut self, from: usize) {
        self.restarts += 1;
        self.begin_restart(from);
        self.pause(500);
        self.describe(from);
        self.pause(500);
        self.describe(1 - from);
    }

    fn begin_restart(&mut self, side: usize) {
        let id = self.id(side);
        self.net.peer_mut(id).outbox.clear();
        self.open[side] = false;
        self.with(side, |agent, now| agent.restart(now));
    }

    fn take_back(&mut self, side: usize) {
        let id = self.id(side);
        self.with(side, |agent, now| agent.roll_back_restart(now));
        // It tells again of its candidates, which the other side knows already.
        self.net.peer_mut(id).outbox.clear();
        self.open[side] = true;
    }

    /// Both offer a restart at once: one of them gives way, and takes its own back.
    fn glare(&mut self, from: usize) {
        self.restarts += 1;
        self.begin_restart(from);
        self.pause(100);
        self.begin_restart(1 - from);
        self.pause(300);
        self.take_back(1 - from);
        self.open[1 - from] = false;
        self.describe(from);
        self.pause(300);
        self.describe(1 - from);
    }

    /// A restart whose answer is that of somebody else; then one as it should be.
    fn mismatch(&mut self, from: usize) {
        self.restarts += 1;
        let wrong = Credentials { ufrag: "wrong".into(), pwd: "wrong-password-0123456789".into() };
        self.begin_restart(from);
        self.describe(from);
        self.open[1 - from] = false;
        self.with(from, |agent, now| agent.set_remote_credentials(now, wrong, false));
        self.pause(5_000);
        self.restart(1 - from);
    }

    /// Candidates that lead nowhere, up to two hundred.
    fn bogus(&mut self, side: usize) {
        for _ in 0..self.rng.below(201) {
            let (x, y) = (self.rng.below(250), self.rng.below(250));
            let ufrag = if self.rng.below(10) == 0 { " ufrag somebody" } else { "" };
            let text =
                format!("1 1 udp {} 203.0.113.{x} {} typ host{ufrag}", self.rng.below(1 << 31), 1000 + y);
            let candidate: Candidate = text.parse().expect("a candidate");
            let _ = self.with(side, |agent, now| agent.add_remote_candidate(now, candidate));
        }
    }

    // ---- what happens

    pub fn something(&mut self) {
        let side = self.rng.below(2) as usize;
        let what = self.rng.below(12);
        self.tell(format!("event {what}, side {side}"));
        match what {
            0 | 1 => self.outage(),
            2 => self.up(side),
            3 => self.down(side),
            4 => self.lose(side),
            5 => self.move_house(side),
            6 => self.restart(side),
            7 => self.glare(side),
            8 => {
                self.begin_restart(side);
                self.pause(600);
                self.take_back(side);
            }
            9 => self.mismatch(side),
            10 => self.bogus(side),
            _ => self.with(side, |agent, now| agent.end_of_remote_candidates(now)),
        }
        self.pause(3_000);
    }

    /// Nothing gets through for 1 to 60 s, in one direction or both.
    fn outage(&mut self) {
        let time = ms(1_000 + u64::from(self.rng.below(59_001)));
        let dead = self.link.clone().loss(Loss::Random(1.0));
        let (a, b) = (self.id(0), self.id(1));
        let which = self.rng.below(4);
        self.tell(format!("outage {which} of {time:?}"));
        match which {
            0 => self.net.world.set_link(a, b, dead),
            1 => self.net.world.set_link(b, a, dead),
            _ => self.net.world.set_default_link(dead),
        }
        self.run(time);
        self.net.world.set_default_link(self.link.clone());
    }

    /// Both families come and go together, so that the sides always have one in common.
    fn up(&mut self, side: usize) {
        for _ in 0..2 {
            if self.addresses[side].len() >= MAX_ADDRESSES {
                return;
            }
            let text = address(side, self.next_address[side]);
            self.next_address[side] += 1;
            let (id, ip): (_, IpAddr) = (self.id(side), text.parse().expect("an address"));
            self.net.world.add_address(id, ip);
            self.with(side, |agent, now| agent.add_local_address(now, SocketAddr::new(ip, PORT)));
            self.addresses[side].push(text);
        }
    }

    fn down(&mut self, side: usize) {
        if self.addresses[side].len() > 2 {
            self.remove(side, 2);
        }
    }

    fn remove(&mut self, side: usize, count: usize) {
        for _ in 0..count {
            let text = self.addresses[side].remove(0);
            let (id, ip): (_, IpAddr) = (self.id(side), text.parse().expect("an address"));
            self.net.world.remove_address(id, ip);
            self.with(side, |agent, now| agent.remove_local_address(now, SocketAddr::new(ip, PORT)));
        }
    }

    /// An address is lost for a while, and nobody says so.
    fn lose(&mut self, side: usize) {
        let n = self.rng.below(self.addresses[side].len() as u32) as usize;
        let (id, ip): (_, IpAddr) = (self.id(side), self.addresses[side][n].parse().expect("an address"));
        self.net.world.remove_address(id, ip);
        self.pause(40_000);
        self.net.world.add_address(id, ip);
    }

    /// From one network to another: all addresses go, and others come, before or a while after.
    fn move_house(&mut self, side: usize) {
        let before = self.addresses[side].len().min(MAX_ADDRESSES - 2);
        if self.rng.below(2) == 0 {
            self.up(side);
            self.pause(2_000);
            self.remove(side, before);
        } else {
            let all = self.addresses[side].len();
            self.remove(side, all);
            self.pause(20_000);
            self.up(side);
        }
    }

    // ---- the end

    /// Both use the same path.
    pub fn agrees(&self) -> bool {
        let paths = [0, 1].map(|side| self.agent(side).selected_path());
        let [Some(a), Some(b)] = paths else { return false };
        (a.local, a.remote) == (b.remote, b.local) && self.net.connected()
    }

    /// Runs until both agree, with a restart where a side has failed; `None` after `limit`.
    pub fn settle(&mut self, limit: Duration) -> Option<Duration> {
        let start = self.net.world.elapsed();
        self.tell("well".to_owned());
        while self.net.world.elapsed() - start < limit {
            let failed = [0, 1].into_iter().find(|side| self.agent(*side).state() == State::Failed);
            if let Some(side) = failed {
                self.tell(format!("side {side} has failed, and restarts"));
                self.restart(side);
            }
            if self.agrees() {
                return Some(self.net.world.elapsed() - start);
            }
            self.run(LOOK);
        }
        None
    }

    /// A minute in which nothing happens: consent at its rate, nobody fails, and both agree in the end.
    pub fn rest(&mut self) {
        let before = [0, 1].map(|side| self.agent(side).stats().consent_requests_sent);
        self.tell("rest".to_owned());
        self.run(secs(60));
        for side in [0, 1] {
            let asked = self.agent(side).stats().consent_requests_sent - before[side];
            let lite = self.lite && side == 1;
            let least = if lite { 0 } else { 9 };
            assert!(
                asked >= least && (!lite || asked == 0),
                "{asked} consent requests in a minute\n{}",
                self.show()
            );
            assert_ne!(self.agent(side).state(), State::Failed, "{}", self.show());
        }
        assert!(self.settle(FOLLOWS).is_some(), "after the rest\n{}", self.show());
        self.check_consent();
    }
}
