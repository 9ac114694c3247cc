//! The conditions of a user, summarised once: `Ready`, and the two of kstatus, follow from the rest.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::conditions::{ConditionType, Reason};

/// One condition before it has a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which condition.
    pub kind: ConditionType,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// Why, as a word.
    pub reason: Reason,
    /// Why, as a sentence without values, times or request ids.
    pub message: String,
}

impl Verdict {
    /// A condition that holds.
    pub fn yes(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: "True",
            reason,
            message: message.into(),
        }
    }

    /// A condition that does not hold.
    pub fn no(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: "False",
            reason,
            message: message.into(),
        }
    }

    /// A condition nobody can speak of yet.
    pub fn unknown(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: "Unknown",
            reason,
            message: message.into(),
        }
    }
}

/// Whether what is not Ready moves by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Ready, or suspended: nothing is under way.
    Settled,
    /// The operator is at it (kstatus `Reconciling`).
    Moving,
    /// Waits for a human (kstatus `Stalled`).
    Stuck,
}

/// `Ready` and, when True, `Reconciling` or `Stalled` behind the others.
pub fn with_summary(mut verdicts: Vec<Verdict>, ready: Verdict, outlook: Outlook) -> Vec<Verdict> {
    let (reason, message) = (ready.reason, ready.message.clone());
    verdicts.insert(0, ready);
    match outlook {
        Outlook::Settled => {}
        Outlook::Moving => verdicts.push(Verdict::yes(ConditionType::Reconciling, reason, message)),
        Outlook::Stuck => verdicts.push(Verdict::yes(ConditionType::Stalled, reason, message)),
    }
    verdicts
}

/// The reason of `Ready`, of verdicts that were summarised.
pub fn summary(verdicts: &[Verdict]) -> Reason {
    let ready = verdicts.iter().find(|v| v.kind == ConditionType::Ready);
    ready.map_or(Reason::Unknown, |ready| ready.reason)
}

/// The conditions to write: a condition whose status did not change keeps its transition time.
pub fn merge(
    before: &[Condition],
    verdicts: Vec<Verdict>,
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    let stamp = |verdict: Verdict| {
        let old = before
            .iter()
            .find(|c| c.type_ == verdict.kind.as_str() && c.status == verdict.status);
        Condition {
            type_: verdict.kind.as_str().into(),
            status: verdict.status.into(),
            reason: verdict.reason.as_str().into(),
            message: clip(verdict.message),
            observed_generation: generation,
            last_transition_time: old
                .map_or_else(|| now.clone(), |c| c.last_transition_time.clone()),
        }
    };
    verdicts.into_iter().map(stamp).collect()
}

/// The API server refuses messages over 32,768 characters; a person stops reading long before.
fn clip(message: String) -> String {
    const LIMIT: usize = 1024;
    if message.chars().count() <= LIMIT {
        return message;
    }
    let head: String = message.chars().take(LIMIT - 1).collect();
    format!("{head}…")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
