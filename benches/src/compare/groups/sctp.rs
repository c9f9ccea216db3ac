//! SCTP: two associations in memory, in virtual time, on one thread; the figures are those of both ends together.
//!
//! One ordered reliable stream, packets of at most 1,200 octets. The application keeps a ceiling of octets in the sender's
//! buffer. What arrives is counted, messages and octets, before a figure counts. taut is BBR by default.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::clock;
use crate::peers::sctp::{self as contenders, Contender, End};
use crate::report::Report;
use crate::trial::Standing::{Peer, Taut, Variant};
use crate::trial::{Metric, Standing, Trial};
use link::Link;

mod link;

/// What the application keeps in the buffer if a case does not say otherwise.
const CEILING: usize = 1 << 20;

const ROUNDS: usize = 7;

/// What is sent, how, and over what.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) message: Bytes,
    extent: Extent,
    /// Octets in the sender's buffer at most.
    pub(crate) ceiling: usize,
    /// The receive window, if not that which the stack has by default.
    pub(crate) window: Option<usize>,
    link: Link,
    rounds: usize,
}

/// How much is sent.
#[derive(Clone, Copy)]
enum Extent {
    /// So many octets, all of which are to arrive.
    Volume(usize),
    /// As much as goes. What arrives in `time` counts, after a `warm_up`.
    Time { warm_up: Duration, time: Duration },
}

impl Extent {
    /// Octets to send.
    fn octets(self) -> usize {
        match self {
            Self::Volume(volume) => volume,
            Self::Time { .. } => usize::MAX,
        }
    }

    /// What passes before anything is measured.
    fn warm_up(self) -> Duration {
        match self {
            Self::Volume(_) => Duration::ZERO,
            Self::Time { warm_up, .. } => warm_up,
        }
    }

    fn is_over(self, elapsed: Duration, octets: usize) -> bool {
        match self {
            Self::Volume(volume) => octets >= volume,
            Self::Time { warm_up, time } => elapsed >= warm_up + time,
        }
    }
}

/// What came of it.
struct Done {
    /// Processor time of both ends.
    spent: Duration,
    /// Virtual time that is measured.
    taken: Duration,
    /// Octets of messages that arrived in it.
    octets: usize,
    /// Expiries of the retransmission timer of the sender, if it tells them.
    timeouts: Option<u64>,
}

impl Work {
    fn new(message: usize, volume: usize) -> Self {
        let message = Bytes::from(vec![7; message]);
        let extent = Extent::Volume(volume);
        Self { message, extent, ceiling: CEILING, window: None, link: Link::default(), rounds: ROUNDS }
    }

    /// As much as goes for `seconds`, after three, with buffers that stop nobody.
    fn timed(seconds: u64, link: Link, rounds: usize) -> Self {
        let extent = Extent::Time { warm_up: Duration::from_secs(3), time: Duration::from_secs(seconds) };
        let (ceiling, window) = (12 << 20, Some(16 << 20));
        Self { extent, ceiling, window, link, rounds, ..Self::new(16 << 10, 0) }
    }

    /// What arrived has to be whole, and all of it.
    fn check(&self, whole: usize, octets: usize) -> Result<(), String> {
        let all = match self.extent {
            Extent::Volume(volume) => octets == volume,
            Extent::Time { .. } => true,
        };
        if all && whole == octets / self.message.len() {
            return Ok(());
        }
        Err(format!("{whole} messages of {octets} octets arrived"))
    }
}

/// The figures of a round.
type Figures = fn(&Work, &Done) -> Vec<f64>;

/// Milliseconds of processor time a MiB.
fn cost(_: &Work, done: &Done) -> Vec<f64> {
    vec![done.spent.as_secs_f64() * 1e3 / (done.octets as f64 / f64::from(1 << 20))]
}

/// Megabytes of messages a second of virtual time.
fn goodput(_: &Work, done: &Done) -> Vec<f64> {
    vec![done.octets as f64 / 1e6 / done.taken.as_secs_f64()]
}

/// The same, and how much of the rate of the link it is.
fn goodput_and_share(work: &Work, done: &Done) -> Vec<f64> {
    let mut figures = goodput(work, done);
    let share = figures[0] * 8e6 / work.link.bits() as f64;
    figures.push(share * 100.0);
    figures
}

pub(crate) fn run(report: &mut Report) {
    for (name, message) in [("1 KiB", 1 << 10), ("16 KiB", 16 << 10), ("256 KiB", 256 << 10)] {
        let work = Work::new(message, 8 << 20);
        let metric = Metric::lower(format!("no loss, no delay, {name} messages"), "ms CPU/MiB");
        enter(report, vec![metric], &work, cost);
    }
    for (name, ceiling) in [("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("4 MiB", 4 << 20)] {
        let mut work = Work::new(16 << 10, 16 << 20);
        work.ceiling = ceiling;
        work.window = Some(5 << 20);
        work.link = Link::default().latency(Duration::from_millis(2));
        let case = format!("{name} buffered (RTT 4 ms, window 5 MiB)");
        enter(report, vec![Metric::lower(case, "ms CPU/MiB")], &work, cost);
    }
    transfers(report);
    rates(report);
}

/// How long 16 MiB take, from the first packet on.
fn transfers(report: &mut Report) {
    let far = Link::default().latency(Duration::from_millis(20));
    let metric = |case: &str| vec![Metric::higher(case, "MB/s")];
    let mut work = Work::new(16 << 10, 16 << 20);
    work.link = far.clone().rate(100_000_000).loss(0.01);
    work.rounds = 20;
    enter(report, metric("RTT 40 ms, 100 Mbit/s, 1 % loss"), &work, goodput);
    work.link = far.clone().rate(100_000_000);
    work.rounds = ROUNDS;
    enter(report, metric("RTT 40 ms, 100 Mbit/s, queue 500 kB"), &work, goodput);
    work.ceiling = 4 << 20;
    work.link = far;
    enter(report, metric("RTT 40 ms, no limit, 4 MiB buffered"), &work, goodput);
}

/// What goes in the long run, over links with a queue of one bandwidth-delay product.
fn rates(report: &mut Report) {
    let link = |rtt: u64, mbit: u64| {
        let rtt = Duration::from_millis(rtt);
        Link::default().latency(rtt / 2).queue(rtt).rate(mbit * 1_000_000)
    };
    let mut enter = |case: &str, work: &Work| {
        let share = Metric::higher(format!("{case}, of the link"), "%");
        enter(report, vec![Metric::higher(case, "MB/s"), share], work, goodput_and_share);
    };
    enter("RTT 40 ms, 100 Mbit/s, 1 % loss, 10 s after 3", &Work::timed(10, link(40, 100).loss(0.01), 20));
    enter(
        "RTT 100 ms, 100 Mbit/s, 0.1 % loss, 20 s after 3",
        &Work::timed(20, link(100, 100).loss(0.001), 5),
    );
    enter("RTT 40 ms, 1 Gbit/s, queue 5 MB, 10 s after 3", &Work::timed(10, link(40, 1_000), 1));
}

/// Timeouts of each run, by contender.
type Timeouts = RefCell<BTreeMap<&'static str, Vec<u64>>>;

/// All contenders do this work. Each round has its own seed of losses, the same for all.
fn enter(report: &mut Report, metrics: Vec<Metric>, work: &Work, figures: Figures) {
    let case = metrics[0].case.clone();
    let timeouts = Timeouts::default();
    let mut trial = Trial::new(work.rounds, metrics);
    let entry = Entry { work, figures, timeouts: &timeouts };
    entry.enter::<contenders::taut::Taut>(&mut trial, Taut);
    if work.link.is_direct() {
        entry.enter::<contenders::taut::ZeroChecksum>(&mut trial, Variant);
    } else {
        entry.enter::<contenders::taut::NewReno>(&mut trial, Variant);
        entry.enter::<contenders::taut::Cubic>(&mut trial, Variant);
    }
    entry.enter::<contenders::rtc::Rtc>(&mut trial, Peer);
    entry.enter::<contenders::proto::Proto>(&mut trial, Peer);
    entry.enter::<contenders::dcsctp::Published>(&mut trial, Peer);
    #[cfg(feature = "peers-c")]
    entry.enter::<contenders::usrsctp::UsrSctp>(&mut trial, Peer);
    #[cfg(not(feature = "peers-c"))]
    report.missing("usrsctp", crate::peers::WITHOUT_C);
    report.run(trial);
    if work.link.is_lossy() {
        for (name, runs) in timeouts.take() {
            let (all, most) = (runs.iter().sum::<u64>(), runs.iter().max().copied().unwrap_or_default());
            let runs = runs.len();
            report.remark(format!("{case}: {name} had {all} timeouts in {runs} runs, at most {most} in one"));
        }
    }
}

/// What contenders are entered with.
#[derive(Clone, Copy)]
struct Entry<'a> {
    work: &'a Work,
    figures: Figures,
    timeouts: &'a Timeouts,
}

impl<'a> Entry<'a> {
    fn enter<C: Contender>(self, trial: &mut Trial<'a>, standing: Standing) {
        let Self { work, figures, timeouts } = self;
        let mut seed = 0;
        trial.enter(standing, C::NAME, move || {
            seed += 1;
            let (mut sender, mut receiver) = C::pair(work);
            let done = transfer(work, seed, &mut sender, &mut receiver)?;
            if let Some(count) = done.timeouts {
                timeouts.borrow_mut().entry(C::NAME).or_default().push(count);
            }
            Ok(figures(work, &done))
        });
    }
}

/// How long a transfer may take, in virtual time.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long it may take, in processor time: sctp-proto looks through all that is in flight for each packet.
const BUDGET: Duration = Duration::from_secs(60);

/// Connects two ends, sends messages, and counts what arrives.
fn transfer(work: &Work, seed: u64, sender: &mut impl End, receiver: &mut impl End) -> Result<Done, String> {
    let start = Instant::now();
    let mut wire = link::Wire::new(&work.link, seed, start);
    sender.connect(start);
    while !(sender.established() && receiver.established()) {
        wire.step(sender, receiver)?;
    }
    let mut unsent = work.extent.octets().div_ceil(work.message.len());
    let (mut whole, mut octets, mut steps) = (0, 0, 0_u32);
    let (begun, spent) = (wire.now, clock::thread());
    // Where what is measured begins.
    let mut from = work.extent.warm_up().is_zero().then_some((begun, 0));
    while !work.extent.is_over(wire.now - begun, octets) {
        while unsent > 0 && sender.buffered() + work.message.len() <= work.ceiling.max(work.message.len()) {
            if !sender.write(wire.now, &work.message)? {
                break;
            }
            unsent -= 1;
        }
        wire.step(sender, receiver)?;
        if wire.now - begun >= work.extent.warm_up() {
            from.get_or_insert((wire.now, octets));
        }
        while let Some((length, end)) = receiver.read(wire.now) {
            octets += length;
            whole += usize::from(end);
        }
        if wire.now - begun > PATIENCE {
            return Err(format!("{octets} octets after {PATIENCE:?}"));
        }
        steps = steps.wrapping_add(1);
        // Not each time, as to ask costs.
        if steps.is_multiple_of(1_024) && clock::thread() - spent > BUDGET {
            let elapsed = wire.now - begun;
            return Err(format!("{elapsed:.1?} of virtual time took {BUDGET:?} of the processor"));
        }
    }
    work.check(whole, octets)?;
    let (since, before) = from.unwrap_or((begun, 0));
    Ok(Done {
        spent: clock::thread() - spent,
        taken: wire.now - since,
        octets: octets - before,
        timeouts: sender.timeouts(),
    })
}
