//! SCTP: two associations in memory, in virtual time, on one thread; the figures are those of both ends together.
//!
//! One ordered reliable stream, packets of at most 1,200 octets. The application keeps a ceiling of octets in the sender's
//! buffer. What arrives is counted, messages and octets, before a figure counts.

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
    volume: usize,
    /// Octets in the sender's buffer at most.
    pub(crate) ceiling: usize,
    /// The receive window, if not that which the stack has by default.
    pub(crate) window: Option<usize>,
    link: Link,
}

/// What came of it.
struct Done {
    /// Processor time of both ends.
    spent: Duration,
    /// Virtual time.
    taken: Duration,
}

impl Work {
    fn new(message: usize, volume: usize) -> Self {
        let message = Bytes::from(vec![7; message]);
        Self { message, volume, ceiling: CEILING, window: None, link: Link::default() }
    }

    /// Milliseconds of processor time a MiB.
    fn cost(&self, done: &Done) -> f64 {
        done.spent.as_secs_f64() * 1e3 / (self.volume as f64 / f64::from(1 << 20))
    }

    /// Megabytes of messages a second of virtual time.
    fn goodput(&self, done: &Done) -> f64 {
        self.volume as f64 / 1e6 / done.taken.as_secs_f64()
    }
}

pub(crate) fn run(report: &mut Report) {
    for (name, message) in [("1 KiB", 1 << 10), ("16 KiB", 16 << 10), ("256 KiB", 256 << 10)] {
        let work = Work::new(message, 8 << 20);
        enter(
            report,
            Metric::lower(format!("no loss, no delay, {name} messages"), "ms CPU/MiB"),
            &work,
            cost,
        );
    }
    for (name, ceiling) in [("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("4 MiB", 4 << 20)] {
        let mut work = Work::new(16 << 10, 16 << 20);
        work.ceiling = ceiling;
        work.window = Some(5 << 20);
        work.link = Link::default().latency(Duration::from_millis(2));
        let case = format!("{name} buffered (RTT 4 ms, window 5 MiB)");
        enter(report, Metric::lower(case, "ms CPU/MiB"), &work, cost);
    }
    let mut work = Work::new(16 << 10, 16 << 20);
    work.link = Link::default().latency(Duration::from_millis(20)).rate(100_000_000).loss(0.01);
    enter(report, Metric::higher("RTT 40 ms, 100 Mbit/s, 1 % loss", "MB/s"), &work, goodput);
    work.link = Link::default().latency(Duration::from_millis(20)).rate(100_000_000);
    enter(report, Metric::higher("RTT 40 ms, 100 Mbit/s, queue 500 kB", "MB/s"), &work, goodput);
    work.ceiling = 4 << 20;
    work.link = Link::default().latency(Duration::from_millis(20));
    enter(report, Metric::higher("RTT 40 ms, no limit, 4 MiB buffered", "MB/s"), &work, goodput);
}

fn cost(work: &Work, done: &Done) -> f64 {
    work.cost(done)
}

fn goodput(work: &Work, done: &Done) -> f64 {
    work.goodput(done)
}

/// All contenders do this work. Each round has its own seed of losses, the same for all.
fn enter(report: &mut Report, metric: Metric, work: &Work, figure: fn(&Work, &Done) -> f64) {
    let mut trial = Trial::new(ROUNDS, vec![metric]);
    enter_one::<contenders::taut::Taut>(&mut trial, Taut, work, figure);
    if work.link.is_direct() {
        enter_one::<contenders::taut::ZeroChecksum>(&mut trial, Variant, work, figure);
    } else {
        enter_one::<contenders::taut::NewReno>(&mut trial, Variant, work, figure);
        enter_one::<contenders::taut::Bbr>(&mut trial, Variant, work, figure);
    }
    enter_one::<contenders::rtc::Rtc>(&mut trial, Peer, work, figure);
    enter_one::<contenders::proto::Proto>(&mut trial, Peer, work, figure);
    enter_one::<contenders::dcsctp::Published>(&mut trial, Peer, work, figure);
    #[cfg(feature = "peers-c")]
    enter_one::<contenders::usrsctp::UsrSctp>(&mut trial, Peer, work, figure);
    #[cfg(not(feature = "peers-c"))]
    report.missing("usrsctp", crate::peers::WITHOUT_C);
    report.run(trial);
}

fn enter_one<'a, C: Contender>(
    trial: &mut Trial<'a>,
    standing: Standing,
    work: &'a Work,
    figure: fn(&Work, &Done) -> f64,
) {
    let mut seed = 0;
    trial.enter(standing, C::NAME, move || {
        seed += 1;
        let (mut sender, mut receiver) = C::pair(work);
        let done = transfer(work, seed, &mut sender, &mut receiver)?;
        Ok(vec![figure(work, &done)])
    });
}

/// How long a transfer may take, in virtual time.
const PATIENCE: Duration = Duration::from_secs(600);

/// Connects two ends, sends all messages, and counts what arrives.
fn transfer(work: &Work, seed: u64, sender: &mut impl End, receiver: &mut impl End) -> Result<Done, String> {
    let start = Instant::now();
    let mut wire = link::Wire::new(&work.link, seed, start);
    sender.connect(start);
    while !(sender.established() && receiver.established()) {
        wire.step(sender, receiver)?;
    }
    let messages = work.volume / work.message.len();
    let (mut unsent, mut whole, mut octets) = (messages, 0, 0);
    let (begun, spent) = (wire.now, clock::thread());
    while octets < work.volume {
        while unsent > 0 && sender.buffered() + work.message.len() <= work.ceiling.max(work.message.len()) {
            if !sender.write(wire.now, &work.message)? {
                break;
            }
            unsent -= 1;
        }
        wire.step(sender, receiver)?;
        while let Some((length, end)) = receiver.read(wire.now) {
            octets += length;
            whole += usize::from(end);
        }
        if wire.now - begun > PATIENCE {
            return Err(format!("{octets} octets of {} after {PATIENCE:?}", work.volume));
        }
    }
    let done = Done { spent: clock::thread() - spent, taken: wire.now - begun };
    if (whole, octets) != (messages, work.volume) {
        return Err(format!(
            "{whole} messages of {octets} octets arrived, not {messages} of {}",
            work.volume
        ));
    }
    Ok(done)
}
