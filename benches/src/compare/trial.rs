//! A trial: contenders that do the same work in turn.

/// Which way a figure is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// What a contender is to the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// taut as it is by default: what ratios are of.
    Taut,
    /// taut with another setting.
    Variant,
    /// Another stack: what ratios are to.
    Peer,
    /// A bare library that does a part of the work: nobody can be better, and no ratio is to it.
    Limit,
}

/// A figure of each round.
#[derive(Debug, Clone)]
pub(crate) struct Metric {
    pub(crate) case: String,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
}

impl Metric {
    pub(crate) fn lower(case: impl Into<String>, unit: &'static str) -> Self {
        Self { case: case.into(), unit, better: Better::Lower }
    }

    pub(crate) fn higher(case: impl Into<String>, unit: &'static str) -> Self {
        Self { case: case.into(), unit, better: Better::Higher }
    }
}

/// What one round said: a figure for each metric, or why there is none.
pub(crate) type Round = Result<Vec<f64>, String>;

/// Something that does the work.
pub(crate) struct Contender<'a> {
    pub(crate) name: String,
    pub(crate) standing: Standing,
    round: Box<dyn FnMut() -> Round + 'a>,
}

/// Contenders, and what they are measured by.
pub(crate) struct Trial<'a> {
    pub(crate) metrics: Vec<Metric>,
    rounds: usize,
    contenders: Vec<Contender<'a>>,
}

/// The figures of a contender, a list for each metric; or why it has none.
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) standing: Standing,
    pub(crate) figures: Result<Vec<Vec<f64>>, String>,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(rounds: usize, metrics: Vec<Metric>) -> Self {
        Self { metrics, rounds, contenders: Vec::new() }
    }

    /// A contender that gives a figure for each metric.
    pub(crate) fn enter(
        &mut self,
        standing: Standing,
        name: impl Into<String>,
        round: impl FnMut() -> Round + 'a,
    ) {
        self.contenders.push(Contender { name: name.into(), standing, round: Box::new(round) });
    }

    /// A contender of a trial with one metric that cannot fail.
    pub(crate) fn time(
        &mut self,
        standing: Standing,
        name: impl Into<String>,
        mut round: impl FnMut() -> f64 + 'a,
    ) {
        self.enter(standing, name, move || Ok(vec![round()]));
    }

    /// Runs all contenders in turn: once to warm up, then `rounds` times. A contender that fails is out.
    pub(crate) fn run(mut self, rounds: Option<usize>) -> (Vec<Metric>, Vec<Outcome>) {
        let rounds = rounds.unwrap_or(self.rounds).max(1);
        let mut outcomes: Vec<Outcome> = (self.contenders.iter())
            .map(|contender| Outcome {
                name: contender.name.clone(),
                standing: contender.standing,
                figures: Ok(vec![Vec::with_capacity(rounds); self.metrics.len()]),
            })
            .collect();
        let warm_up = rounds > 5;
        for round in 0..rounds + usize::from(warm_up) {
            for (contender, outcome) in self.contenders.iter_mut().zip(&mut outcomes) {
                let Ok(figures) = &mut outcome.figures else { continue };
                match (contender.round)() {
                    Err(reason) => outcome.figures = Err(reason),
                    Ok(_) if warm_up && round == 0 => {}
                    Ok(values) => figures.iter_mut().zip(values).for_each(|(list, value)| list.push(value)),
                }
            }
        }
        (self.metrics, outcomes)
    }
}
