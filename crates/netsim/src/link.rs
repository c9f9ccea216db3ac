//! One direction between two nodes: what happens to a datagram on its way.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_sansio::net::Ecn;
use taut_sansio::rng::Rng;

use crate::loss::{Loss, LossState};

/// The properties of one direction between two nodes. The default loses nothing and takes no time.
///
/// A datagram passes the stages in this order: MTU, queue and rate, loss, corruption, latency and jitter,
/// reordering, duplication.
#[derive(Debug, Clone, Default)]
pub struct Link {
    latency: Duration,
    jitter: Duration,
    loss: Loss,
    reorder: Option<(f64, Duration)>,
    duplicate: f64,
    corrupt: f64,
    rate: Option<u64>,
    queue: Option<usize>,
    mark: Option<usize>,
    mtu: Option<usize>,
}

impl Link {
    /// How long every datagram takes.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Adds an even amount in `0..jitter`. It keeps the order, as a queue does; see [`reorder`](Self::reorder).
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Which datagrams are lost.
    pub fn loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// With `probability` a datagram comes `delay` later than it would, so that others overtake it.
    pub fn reorder(mut self, probability: f64, delay: Duration) -> Self {
        self.reorder = Some((probability, delay));
        self
    }

    /// With this probability a datagram comes twice.
    pub fn duplicate(mut self, probability: f64) -> Self {
        self.duplicate = probability;
        self
    }

    /// With this probability one bit of a datagram is flipped, as if its checksum had not seen it.
    pub fn corrupt(mut self, probability: f64) -> Self {
        self.corrupt = probability;
        self
    }

    /// The rate in bits per second, headers of IP and UDP included.
    pub fn rate(mut self, bits_per_second: u64) -> Self {
        self.rate = Some(bits_per_second);
        self
    }

    /// How many octets may wait for their turn at [`rate`](Self::rate); what comes above it is lost. Default: no bound.
    pub fn queue(mut self, octets: usize) -> Self {
        self.queue = Some(octets);
        self
    }

    /// Datagrams that find more than this many octets waiting are marked "congestion experienced", if they are
    /// ECN-capable (RFC 3168). Without it the mark passes unchanged.
    pub fn mark(mut self, octets: usize) -> Self {
        self.mark = Some(octets);
        self
    }

    /// The largest IP packet that passes, its header included; larger ones are lost silently.
    pub fn mtu(mut self, octets: usize) -> Self {
        self.mtu = Some(octets);
        self
    }
}

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is larger than the MTU.
    TooBig,
    /// The queue was full.
    QueueFull,
    /// The loss model took it.
    Lost,
    /// It comes.
    Arrives(Arrival),
}

/// When and how a datagram comes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) again: Option<Instant>,
    pub(crate) corrupted: bool,
    pub(crate) ecn: Option<Ecn>,
}

/// A link and what it remembers.
#[derive(Debug)]
pub(crate) struct LinkState {
    pub(crate) link: Link,
    rng: Rng,
    loss: LossState,
    busy_until: Option<Instant>,
    last_arrival: Option<Instant>,
}

impl LinkState {
    pub(crate) fn new(link: Link, rng: Rng) -> Self {
        Self { link, rng, loss: LossState::default(), busy_until: None, last_arrival: None }
    }

    /// Sends a datagram into the link. `header` is what IP and UDP add to it.
    pub(crate) fn carry(
        &mut self,
        now: Instant,
        datagram: &mut BytesMut,
        header: usize,
        ecn: Option<Ecn>,
    ) -> Fate {
        let size = datagram.len() + header;
        if self.link.mtu.is_some_and(|mtu| size > mtu) {
            return Fate::TooBig;
        }
        let Some((sent, marked)) = self.enqueue(now, size) else { return Fate::QueueFull };
        if self.loss.next(&self.link.loss, &mut self.rng, datagram) {
            return Fate::Lost;
        }
        let corrupted = self.corrupt(datagram);
        let at = self.arrival(sent);
        let again = self.happens(self.link.duplicate).then_some(at);
        Fate::Arrives(Arrival {
            at,
            again,
            corrupted,
            ecn: if marked && ecn.is_some() { Some(Ecn::Ce) } else { ecn },
        })
    }

    /// When the last bit has left, and whether the queue asks for a mark; `None` if the queue is full.
    fn enqueue(&mut self, now: Instant, size: usize) -> Option<(Instant, bool)> {
        let Some(rate) = self.link.rate else { return Some((now, false)) };
        let start = self.busy_until.map_or(now, |busy| busy.max(now));
        let waiting = octets_in(start.saturating_duration_since(now), rate);
        if self.link.queue.is_some_and(|queue| waiting + size > queue) {
            return None;
        }
        let sent = start + time_for(size, rate);
        self.busy_until = Some(sent);
        Some((sent, self.link.mark.is_some_and(|mark| waiting > mark)))
    }

    fn corrupt(&mut self, datagram: &mut BytesMut) -> bool {
        if datagram.is_empty() || !self.happens(self.link.corrupt) {
            return false;
        }
        let octet = self.rng.below(datagram.len() as u32) as usize;
        datagram[octet] ^= 1 << self.rng.below(8);
        true
    }

    fn arrival(&mut self, sent: Instant) -> Instant {
        let jitter = match self.link.jitter {
            Duration::ZERO => Duration::ZERO,
            jitter => jitter.mul_f64(self.rng.unit()),
        };
        let at = sent + self.link.latency + jitter;
        let at = self.last_arrival.map_or(at, |last| at.max(last));
        if let Some((probability, delay)) = self.link.reorder
            && self.happens(probability)
        {
            return at + delay;
        }
        self.last_arrival = Some(at);
        at
    }

    /// Draws nothing for what never happens, so that an unused property does not move the others.
    fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.unit() < probability
    }
}

fn time_for(octets: usize, rate: u64) -> Duration {
    let nanos = octets as u128 * 8 * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn octets_in(time: Duration, rate: u64) -> usize {
    usize::try_from(time.as_nanos() * u128::from(rate) / 8 / 1_000_000_000).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn state(link: Link) -> LinkState {
        LinkState::new(link, Rng::from_u64(1))
    }

    fn send(state: &mut LinkState, at: Instant, len: usize) -> Fate {
        state.carry(at, &mut BytesMut::zeroed(len), 28, None)
    }

    fn arrival(fate: Fate) -> Instant {
        match fate {
            Fate::Arrives(arrival) => arrival.at,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn latency_and_jitter_keep_the_order() {
        let now = Instant::now();
        let mut link = state(Link::default().latency(20 * MS).jitter(10 * MS));
        let times: Vec<_> = (0..10_000).map(|i| arrival(send(&mut link, now + i * MS, 10)) - now).collect();
        assert!(times.is_sorted());
        let delays: Vec<_> = times.iter().zip(0u32..).map(|(t, i)| *t - i * MS).collect();
        assert!(delays.iter().all(|d| (20 * MS..31 * MS).contains(d)));
        let mean = delays.iter().sum::<Duration>() / 10_000;
        assert!(mean > 25 * MS && mean < 29 * MS, "{mean:?}");
    }

    #[test]
    fn reordering_delays_its_share() {
        let now = Instant::now();
        let mut link = state(Link::default().latency(20 * MS).reorder(0.2, 5 * MS));
        let late =
            (0..10_000).filter(|&i| arrival(send(&mut link, now + i * MS, 10)) - now > (i + 20) * MS).count();
        assert!((1_800..2_200).contains(&late), "{late}");
    }

    #[test]
    fn duplication_and_corruption_have_their_rates() {
        let now = Instant::now();
        let mut link = state(Link::default().duplicate(0.1).corrupt(0.05));
        let (mut twice, mut flipped) = (0, 0);
        for _ in 0..10_000 {
            let mut datagram = BytesMut::zeroed(100);
            let Fate::Arrives(arrival) = link.carry(now, &mut datagram, 28, None) else {
                panic!("nothing is lost")
            };
            let bits: u32 = datagram.iter().map(|octet| octet.count_ones()).sum();
            assert_eq!(bits, u32::from(arrival.corrupted));
            twice += u32::from(arrival.again.is_some());
            flipped += bits;
        }
        assert!((900..1_100).contains(&twice), "{twice}");
        assert!((430..570).contains(&flipped), "{flipped}");
    }

    #[test]
    fn the_rate_spaces_datagrams_and_the_queue_is_bounded() {
        let now = Instant::now();
        // 972 + 28 octets at 1 Mbit/s are 8 ms each.
        let mut link = state(Link::default().latency(MS).rate(1_000_000).queue(3_000));
        let fates: Vec<_> = (0..5).map(|_| send(&mut link, now, 972)).collect();
        let times: Vec<_> = fates
            .into_iter()
            .filter_map(|fate| match fate {
                Fate::Arrives(arrival) => Some(arrival.at - now),
                Fate::QueueFull => None,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(times, [9 * MS, 17 * MS, 25 * MS]);
        assert_eq!(arrival(send(&mut link, now + 24 * MS, 972)) - now, 33 * MS, "the queue is empty again");
    }

    #[test]
    fn long_queues_are_marked_if_the_sender_can_see_it() {
        let now = Instant::now();
        let mut link = state(Link::default().rate(1_000_000).mark(1_500));
        let mut marks = vec![];
        for ecn in [Some(Ecn::Ect0), Some(Ecn::Ect0), Some(Ecn::Ect0), None] {
            let Fate::Arrives(arrival) = link.carry(now, &mut BytesMut::zeroed(972), 28, ecn) else {
                panic!()
            };
            marks.push(arrival.ecn);
        }
        assert_eq!(marks, [Some(Ecn::Ect0), Some(Ecn::Ect0), Some(Ecn::Ce), None]);
    }

    #[test]
    fn the_mtu_counts_the_headers() {
        let now = Instant::now();
        let mut link = state(Link::default().mtu(1_280));
        arrival(send(&mut link, now, 1_252));
        assert_eq!(send(&mut link, now, 1_253), Fate::TooBig);
    }
}
