//! What is printed: a Markdown table with a row a contender, or a line of JSON a case.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::trial::{Better, Metric, Outcome, Standing, Trial};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Markdown,
    Json,
}

/// Where trials are run and told.
pub(crate) struct Report {
    group: String,
    format: Format,
    rounds: Option<usize>,
    /// Peers that take no part in this group, and why.
    missing: BTreeMap<String, String>,
    /// What stands below the table.
    remarks: Vec<String>,
    headed: bool,
}

/// The figures of one contender for one metric.
struct Row<'a> {
    name: &'a str,
    standing: Standing,
    median: f64,
    min: f64,
    max: f64,
}

impl Report {
    pub(crate) fn new(group: &str, format: Format, rounds: Option<usize>) -> Self {
        Self {
            group: group.into(),
            format,
            rounds,
            missing: BTreeMap::new(),
            remarks: Vec::new(),
            headed: false,
        }
    }

    /// Says that a peer takes no part, and why.
    pub(crate) fn missing(&mut self, name: &str, reason: &str) {
        self.missing.insert(name.into(), reason.into());
    }

    /// Says something below the table.
    pub(crate) fn remark(&mut self, text: String) {
        self.remarks.push(text);
    }

    /// Runs a trial and tells its figures.
    pub(crate) fn run(&mut self, trial: Trial<'_>) {
        let (metrics, outcomes) = trial.run(self.rounds);
        for outcome in &outcomes {
            if let Err(reason) = &outcome.figures {
                let case = metrics.first().map_or("", |metric| &metric.case);
                self.missing.insert(outcome.name.clone(), format!("failed in \"{case}\": {reason}"));
            }
        }
        for (at, metric) in metrics.iter().enumerate() {
            let rows: Vec<Row<'_>> = outcomes.iter().filter_map(|outcome| Row::new(outcome, at)).collect();
            match self.format {
                Format::Markdown => self.markdown(metric, &rows),
                Format::Json => println!("{}", self.json(metric, &rows)),
            }
        }
    }

    /// The line of a case.
    fn json(&self, metric: &Metric, rows: &[Row<'_>]) -> Value {
        let of = |standing| -> Map<String, Value> {
            let chosen = rows.iter().filter(|row| row.standing == standing);
            chosen.map(|row| (row.name.to_owned(), json!(row.median))).collect()
        };
        let taut = rows.iter().find(|row| row.standing == Standing::Taut);
        let best = best(metric, rows);
        let spread: Map<String, Value> =
            rows.iter().map(|row| (row.name.to_owned(), json!([row.min, row.max]))).collect();
        json!({
            "group": self.group,
            "case": metric.case,
            "unit": metric.unit,
            "better": match metric.better { Better::Lower => "lower", Better::Higher => "higher" },
            "taut": taut.map(|row| row.median),
            "peers": of(Standing::Peer),
            "best_peer": best.map(|row| row.name),
            "ratio": taut.zip(best).map(|(taut, best)| taut.median / best.median),
            "variants": of(Standing::Variant),
            "limits": of(Standing::Limit),
            "min_max": spread,
            "not_built": self.missing,
        })
    }

    fn markdown(&mut self, metric: &Metric, rows: &[Row<'_>]) {
        if !self.headed {
            self.headed = true;
            println!("\n## `{}`\n", self.group);
            println!("{}\n", machine());
            println!("| case | contender | median | min..max | taut / it |\n|---|---|---|---|---|");
        }
        let taut = rows.iter().find(|row| row.standing == Standing::Taut);
        let best = best(metric, rows).map(|row| row.name);
        let arrow = match metric.better {
            Better::Lower => "lower is better",
            Better::Higher => "higher is better",
        };
        let mut case = format!("**{}**, {}, {arrow}", metric.case, metric.unit);
        for row in rows {
            let name = match row.standing {
                Standing::Limit => format!("_limit: {}_", row.name),
                Standing::Peer if Some(row.name) == best => format!("**{}**", row.name),
                _ => row.name.to_owned(),
            };
            let ratio = match taut {
                Some(taut) if row.standing != Standing::Taut => number(taut.median / row.median),
                _ => String::new(),
            };
            let (median, min, max) = (number(row.median), number(row.min), number(row.max));
            println!("| {} | {name} | {median} | {min}..{max} | {ratio} |", std::mem::take(&mut case));
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let missing = self.missing.iter().map(|(name, reason)| format!("{name} has no figure: {reason}"));
        let lines: Vec<String> =
            self.remarks.drain(..).chain(missing).map(|line| format!("- {line}")).collect();
        match self.format {
            _ if lines.is_empty() => {}
            Format::Markdown => println!("\n{}", lines.join("\n")),
            Format::Json => eprintln!("{}", lines.join("\n")),
        }
    }
}

impl<'a> Row<'a> {
    fn new(outcome: &'a Outcome, metric: usize) -> Option<Self> {
        let mut figures = outcome.figures.as_ref().ok()?.get(metric)?.clone();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median = if figures.len().is_multiple_of(2) {
            (figures[middle - 1] + figures[middle]) / 2.0
        } else {
            figures[middle]
        };
        Some(Self { name: &outcome.name, standing: outcome.standing, median, min, max })
    }
}

/// The best peer of a case.
fn best<'a, 'b>(metric: &Metric, rows: &'b [Row<'a>]) -> Option<&'b Row<'a>> {
    let peers = rows.iter().filter(|row| row.standing == Standing::Peer);
    match metric.better {
        Better::Lower => peers.min_by(|a, b| a.median.total_cmp(&b.median)),
        Better::Higher => peers.max_by(|a, b| a.median.total_cmp(&b.median)),
    }
}

/// Three digits.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// When, on what, how busy, and against which versions.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let information = read("/proc/cpuinfo");
    let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let versions: Vec<String> = crate::peers::versions().collect();
    format!(
        "{}, {cores} x {}, Linux {}, load average {}. {}.",
        utc(),
        model.map_or("?", |(_, name)| name),
        read("/proc/sys/kernel/osrelease").trim(),
        load.join(" "),
        versions.join(", "),
    )
}

/// Date and time (the algorithm of Howard Hinnant's `civil_from_days`).
fn utc() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400 + 719_468, since.as_secs() % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", seconds / 3600, seconds / 60 % 60)
}
