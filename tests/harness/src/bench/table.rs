//! What a run has measured, as a table for people and as JSON for machines.

use std::fmt::Write as _;

use serde::Serialize;

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What is aimed at, in words.
    pub target: String,
    /// What the servers can do at all, or what has to be spent in any case; none where there is no such.
    pub floor: Option<f64>,
    /// What the operator did, or spent.
    pub ours: f64,
    /// The unit of both.
    pub unit: &'static str,
    /// `ours` ÷ `floor`.
    pub ratio: Option<f64>,
    /// Whether the target is met.
    pub met: bool,
    /// How, and with what else.
    pub note: String,
}

impl Row {
    /// A figure that has to stay below, or above, a bound.
    pub fn bound(what: &str, target: &str, ours: f64, unit: &'static str, met: bool) -> Self {
        Self {
            what: what.to_owned(),
            target: target.to_owned(),
            floor: None,
            ours,
            unit,
            ratio: None,
            met,
            note: String::new(),
        }
    }

    /// A figure that is measured against a floor.
    #[must_use]
    pub fn beside(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self.ratio = Some(self.ours / floor);
        self
    }

    /// Says more.
    #[must_use]
    pub fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// The rows as a table in Markdown, so that a run can be pasted into the docs as it is.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| What | Target | Floor | Ours | Ratio | Met | Note |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let Row {
            what,
            target,
            floor,
            ours,
            unit,
            ratio,
            met,
            note,
        } = row;
        let floor = floor.map_or_else(
            || "–".to_owned(),
            |floor| format!("{} {unit}", short(floor)),
        );
        let ratio = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
        let met = if *met { "yes" } else { "**no**" };
        let ours = short(*ours);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {what} | {target} | {floor} | {ours} {unit} | {ratio} | {met} | {note} |"
        );
    }
    text
}

fn short(value: f64) -> String {
    match value.abs() {
        big if big >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
