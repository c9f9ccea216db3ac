//! Set-up of whole stacks over loopback UDP: from `createOffer` until the channel of the offerer is open, the median of
//! 30 connections in one process; and processor time of both ends, making the connections included.

use super::child::{self, MISSING, STACKS};
use crate::report::Report;
use crate::trial::{Metric, Trial};

const ROUNDS: usize = 5;

/// Connections of a round.
const COUNT: &str = "30";

pub(crate) fn run(report: &mut Report) {
    MISSING.iter().for_each(|(name, reason)| report.missing(name, reason));
    report.missing("str0m, 1 MiB buffer", "the buffer makes no difference to this");
    let metrics =
        vec![Metric::lower("createOffer to open", "ms"), Metric::lower("a pair, both ends", "ms CPU")];
    let mut trial = Trial::new(ROUNDS, metrics);
    for (standing, stack) in STACKS.iter().filter(|(_, name)| !name.contains("buffer")) {
        trial.enter(*standing, *stack, move || child::run(stack, &["setup", COUNT]));
    }
    report.run(trial);
}
