//! What is told at the end: a table, and the same as JSON.

use std::{fmt, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;

/// The runs of one scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its name.
    pub scenario: String,
    /// Requests of the run without a crash.
    pub requests: usize,
    /// Those of them at which the operator was to be killed.
    pub points: usize,
    /// Runs, three a point unless fewer modes were wanted.
    pub runs: usize,
    /// Runs in which the operator was killed, and everything held.
    pub converged: usize,
    /// Runs in which something did not hold.
    pub failed: usize,
    /// Runs in which the request never came.
    pub not_reached: usize,
    /// Remote objects too many.
    pub duplicates: usize,
    /// Strangers' objects that were written to.
    pub foreign_writes: usize,
    /// Writes when there was nothing to do.
    pub late_writes: usize,
}

impl Row {
    /// Before the first run.
    pub fn new(scenario: &str, requests: usize, points: usize) -> Row {
        Row {
            scenario: scenario.to_owned(),
            requests,
            points,
            ..Row::default()
        }
    }

    fn add(&mut self, other: &Row) {
        let Row {
            scenario: _,
            requests,
            points,
            runs,
            converged,
            failed,
            not_reached,
            duplicates,
            foreign_writes,
            late_writes,
        } = other;
        self.requests += requests;
        self.points += points;
        self.runs += runs;
        self.converged += converged;
        self.failed += failed;
        self.not_reached += not_reached;
        self.duplicates += duplicates;
        self.foreign_writes += foreign_writes;
        self.late_writes += late_writes;
    }
}

/// Something that did not hold in one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What `ONLY` has to say to see it again.
    pub point: String,
    /// At which request the operator was killed; empty where it was not.
    pub request: String,
    /// The rule.
    pub oracle: String,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure {
            point,
            request,
            oracle,
            what,
        } = self;
        write!(f, "FAILED {point} [{request}] {oracle}: {what}")
    }
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which requests were points: all, writes or reads.
    pub requests: String,
    /// One for each scenario.
    pub rows: Vec<Row>,
    /// Everything that did not hold.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub seconds: u64,
    /// What the operator logged in runs that failed, by point.
    #[serde(skip)]
    logs: Vec<(String, String)>,
}

impl Report {
    /// Before the first run.
    pub fn new(requests: &str) -> Report {
        Report {
            requests: requests.to_owned(),
            rows: Vec::new(),
            failures: Vec::new(),
            seconds: 0,
            logs: Vec::new(),
        }
    }

    /// Keeps what the operator logged in a run that failed.
    pub fn keep_log(&mut self, point: &str, log: &str) {
        self.logs.push((point.to_owned(), log.to_owned()));
    }

    /// What the operator logged in runs that failed, by point.
    pub fn logs(&self) -> &[(String, String)] {
        &self.logs
    }

    /// All scenarios together.
    pub fn total(&self) -> Row {
        let mut total = Row::new("total", 0, 0);
        self.rows.iter().for_each(|row| total.add(row));
        total
    }

    /// Whether everything held that was tried.
    pub fn holds(&self) -> bool {
        self.failures.is_empty()
    }

    /// Writes it as JSON, with the logs of failed runs beside it.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub fn keep(&self, directory: &Path) -> Result<()> {
        let path = directory.join("crash-points.json");
        let mut whole = serde_json::to_value(self)?;
        whole["total"] = serde_json::to_value(self.total())?;
        std::fs::write(&path, format!("{whole:#}\n"))
            .with_context(|| format!("writing {}", path.display()))?;
        let logs = directory.join("crash-points-logs");
        std::fs::remove_dir_all(&logs).ok();
        for (point, log) in &self.logs {
            std::fs::create_dir_all(&logs)?;
            std::fs::write(logs.join(format!("{}.log", point.replace(':', "-"))), log)?;
        }
        Ok(())
    }
}

/// The heads of the table's columns, and how a row fills them.
const HEADS: [&str; 10] = [
    "scenario",
    "requests",
    "points",
    "runs",
    "converged",
    "failed",
    "not reached",
    "duplicates",
    "foreign writes",
    "late writes",
];

impl Row {
    fn cells(&self) -> [String; 10] {
        let Row {
            scenario,
            requests,
            points,
            runs,
            converged,
            failed,
            not_reached,
            duplicates,
            foreign_writes,
            late_writes,
        } = self;
        let [a, b, c, d, e, f, g, h, i] = [
            requests,
            points,
            runs,
            converged,
            failed,
            not_reached,
            duplicates,
            foreign_writes,
            late_writes,
        ]
        .map(usize::to_string);
        [scenario.clone(), a, b, c, d, e, f, g, h, i]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        let rows = self.rows.iter().chain([&total]).map(Row::cells);
        for cells in std::iter::once(HEADS.map(str::to_owned)).chain(rows) {
            let widths = HEADS.map(|head| head.len().max(9));
            let cells = cells.iter().zip(widths);
            let line: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:>width$}"))
                .collect();
            writeln!(f, "{}", line.join("  "))?;
        }
        let Report {
            requests, seconds, ..
        } = self;
        writeln!(
            f,
            "points: {requests} requests; modes: before-forward, after-commit, after-reply; {seconds} s"
        )
    }
}
