//! Resident memory of connected pairs that do nothing: 50 pairs in one process, both ends in it. The answerers share an
//! endpoint where a stack has such a thing. The first pair, and what is made once with it, does not count.

use super::child::{self, MISSING, STACKS};
use crate::report::Report;
use crate::trial::{Metric, Trial};

const ROUNDS: usize = 5;

/// Pairs of a round.
const COUNT: &str = "50";

pub(crate) fn run(report: &mut Report) {
    MISSING.iter().for_each(|(name, reason)| report.missing(name, reason));
    report.missing("str0m, 1 MiB buffer", "the buffer makes no difference to this");
    let mut trial =
        Trial::new(ROUNDS, vec![Metric::lower("an idle connected pair, both ends", "KiB resident")]);
    for (standing, stack) in STACKS.iter().filter(|(_, name)| !name.contains("buffer")) {
        trial.enter(*standing, *stack, move || child::run(stack, &["idle", COUNT]));
    }
    report.run(trial);
}
