//! What was done at one backend since this process works on it, for whoever watches the operator. Beside it
//! stands what the client counts (`scim::Tally`).

use std::array;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use crate::domain::diff;
use crate::domain::plan::Cause;
use crate::scim::Tally;

/// Upper bounds, in seconds, of how long it takes until what is declared is there: from a second to a day.
const UNTIL_THERE: [f64; 12] = [
    1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0,
];

/// Whose account it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A ScimUser's.
    User,
    /// A ScimGroup's.
    Group,
}

impl Whose {
    /// Both.
    pub const ALL: [Self; 2] = [Self::User, Self::Group];

    /// The kind, as Kubernetes says it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::User => "ScimUser",
            Self::Group => "ScimGroup",
        }
    }
}

/// What was done to an account or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Made.
    Created,
    /// Brought in step with another spec.
    Updated,
    /// Brought in step again after somebody else changed it.
    DriftCorrected,
    /// Taken over.
    Adopted,
    /// Made inactive.
    Archived,
    /// Made active again.
    Reactivated,
    /// Deleted.
    Deleted,
}

impl Change {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Created,
        Self::Updated,
        Self::DriftCorrected,
        Self::Adopted,
        Self::Archived,
        Self::Reactivated,
        Self::Deleted,
    ];

    /// A word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::DriftCorrected => "drift_corrected",
            Self::Adopted => "adopted",
            Self::Archived => "archived",
            Self::Reactivated => "reactivated",
            Self::Deleted => "deleted",
        }
    }

    /// What carrying out these changes to an account comes to, for this cause.
    pub fn of(cause: Cause, changes: &[diff::Change]) -> Self {
        let turns = |on: bool| {
            let mut active = changes.iter().filter(|change| change.attribute == "active");
            active.any(|change| change.to == Some(on.into()))
        };
        match cause {
            _ if turns(false) => Self::Archived,
            _ if turns(true) => Self::Reactivated,
            Cause::Spec => Self::Updated,
            Cause::Drift => Self::DriftCorrected,
            Cause::Adoption => Self::Adopted,
        }
    }
}

/// What was done at one backend.
#[derive(Debug)]
pub struct Counts {
    /// What it was asked.
    pub tally: Arc<Tally>,
    /// Lookups that the directory answered.
    pub saved: Counter,
    changes: [[Counter; Change::ALL.len()]; Whose::ALL.len()],
    until_there: [Histogram; Whose::ALL.len()],
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            tally: Arc::default(),
            saved: Counter::default(),
            changes: array::from_fn(|_| array::from_fn(|_| Counter::default())),
            until_there: array::from_fn(|_| Histogram::new(UNTIL_THERE)),
        }
    }
}

impl Counts {
    /// Something was done.
    pub fn changed(&self, whose: Whose, change: Change) {
        self.changes(whose, change).inc();
    }

    /// How often that was done.
    pub fn changes(&self, whose: Whose, change: Change) -> &Counter {
        &self.changes[whose as usize][change as usize]
    }

    /// What was declared then has an account for the first time.
    pub fn is_there(&self, whose: Whose, declared: Option<&Time>) {
        let Some(Time(declared)) = declared else {
            return;
        };
        let took = jiff::Timestamp::now().duration_since(*declared);
        let took = Duration::try_from(took).unwrap_or_default();
        self.until_there(whose).observe(took.as_secs_f64());
    }

    /// How long that took, in seconds.
    pub fn until_there(&self, whose: Whose) -> &Histogram {
        &self.until_there[whose as usize]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_whom_it_let_in_or_out_and_else_why() {
        let change = |attribute: &str, to: serde_json::Value| diff::Change {
            attribute: attribute.into(),
            path: "active".parse().unwrap(),
            unseen: false,
            to: Some(to),
        };
        let title = || change("title", "Countess".into());
        for (cause, changes, done) in [
            (Cause::Spec, vec![title()], Change::Updated),
            (Cause::Drift, vec![title()], Change::DriftCorrected),
            (Cause::Adoption, vec![title()], Change::Adopted),
            (
                Cause::Drift,
                vec![title(), change("active", false.into())],
                Change::Archived,
            ),
            (
                Cause::Adoption,
                vec![change("active", true.into())],
                Change::Reactivated,
            ),
        ] {
            assert_eq!(Change::of(cause, &changes), done, "{changes:?}");
        }
    }

    #[test]
    fn each_change_has_a_place_and_a_word_of_its_own() {
        let counts = Counts::default();
        for whose in Whose::ALL {
            for (number, change) in Change::ALL.into_iter().enumerate() {
                assert_eq!(change as usize, number);
                counts.changed(whose, change);
                assert_eq!(counts.changes(whose, change).get(), 1);
            }
        }
        let mut words = Change::ALL.map(Change::as_str);
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
