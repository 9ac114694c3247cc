//! Who of a connection's users and groups is not in step, or is archived, and why. Whoever is in step and active leaves
//! nothing here, so that a hundred thousand of them take no memory.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde::Serialize;

use crate::api::{ConditionType, Reason};
use crate::cli::kinds::Seen;
use crate::cli::tame::tame;

/// What is the matter with somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Matter {
    /// A rule is broken.
    Invalid,
    /// The backend has archived who is declared active.
    ArchivedByBackend,
    /// The guard waits for approval.
    Held,
    /// Neither in step nor any of these: conflicts, failures, waiting.
    Failing,
    /// In step, and archived as it was asked for.
    Archived,
}

impl Matter {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] = [
        Self::Invalid,
        Self::ArchivedByBackend,
        Self::Held,
        Self::Failing,
        Self::Archived,
    ];

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::ArchivedByBackend => "archived by the backend",
            Self::Held => "held by the guard",
            Self::Failing => "failing or waiting",
            Self::Archived => "archived",
        }
    }
}

/// Somebody, what is the matter, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `namespace/name`.
    pub name: String,
    /// A reason of the API.
    pub reason: String,
    /// Why, in the operator's words.
    pub message: String,
}

/// Those of one kind who are not in step.
#[derive(Clone, Debug, Default)]
pub struct Roll(BTreeMap<String, (Matter, Finding)>);

/// Those with one matter: how many, and the first of them by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Section {
    /// All of them.
    pub count: usize,
    /// The first.
    pub first: Vec<Finding>,
}

/// Those of one kind, by what is the matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sections {
    /// [`Matter::Invalid`].
    pub invalid: Section,
    /// [`Matter::ArchivedByBackend`].
    pub archived_by_backend: Section,
    /// [`Matter::Held`].
    pub held: Section,
    /// [`Matter::Failing`].
    pub failing: Section,
    /// [`Matter::Archived`].
    pub archived: Section,
}

impl Sections {
    /// The one of a matter.
    pub fn of(&self, matter: Matter) -> &Section {
        match matter {
            Matter::Invalid => &self.invalid,
            Matter::ArchivedByBackend => &self.archived_by_backend,
            Matter::Held => &self.held,
            Matter::Failing => &self.failing,
            Matter::Archived => &self.archived,
        }
    }

    fn of_mut(&mut self, matter: Matter) -> &mut Section {
        match matter {
            Matter::Invalid => &mut self.invalid,
            Matter::ArchivedByBackend => &mut self.archived_by_backend,
            Matter::Held => &mut self.held,
            Matter::Failing => &mut self.failing,
            Matter::Archived => &mut self.archived,
        }
    }
}

impl Roll {
    /// Takes in how somebody is now.
    pub fn take(&mut self, seen: &Seen) {
        let name = name(seen);
        match judge(seen) {
            Some((matter, finding)) => {
                self.0.insert(name, (matter, finding));
            }
            None => {
                self.0.remove(&name);
            }
        }
    }

    /// Somebody is not there any more.
    pub fn forget(&mut self, seen: &Seen) {
        self.0.remove(&name(seen));
    }

    /// By what is the matter, at most so many each by name.
    pub fn sections(&self, limit: usize) -> Sections {
        let mut sections = Sections::default();
        for (matter, finding) in self.0.values() {
            let section = sections.of_mut(*matter);
            section.count += 1;
            if section.first.len() < limit {
                section.first.push(finding.clone());
            }
        }
        sections
    }
}

/// Whether an object is of the connection of that name there: its reference may name a namespace, or mean its own.
pub fn is_of(seen: &Seen, namespace: &str, name: &str) -> bool {
    let reference = seen.spec.connection_ref.as_ref();
    reference.is_some_and(|reference| {
        let own = seen.metadata.namespace.as_deref();
        let named = reference.namespace.as_deref().or(own);
        reference.name == name && named == Some(namespace)
    })
}

fn name(seen: &Seen) -> String {
    let namespace = seen.metadata.namespace.as_deref().unwrap_or_default();
    format!("{namespace}/{}", seen.name_any())
}

/// What is the matter with somebody, by the conditions; `None` where nothing is, or where it is left alone on purpose.
fn judge(seen: &Seen) -> Option<(Matter, Finding)> {
    let conditions = seen.status.as_ref().map(|status| &*status.conditions);
    let of = |kind: ConditionType| {
        let mut all = conditions.into_iter().flatten();
        all.find(|c| c.type_ == kind.as_str())
    };
    let finding = |reason: &str, message: &str| Finding {
        name: name(seen),
        reason: tame(reason),
        message: tame(message),
    };
    let Some(ready) = of(ConditionType::Ready) else {
        let why = finding(
            Reason::Unknown.as_str(),
            "the operator has not looked at it yet",
        );
        return Some((Matter::Failing, why));
    };
    if ready.status == "True" {
        let is_of_this_spec = ready.observed_generation == seen.metadata.generation;
        let pending = "the operator has not looked at the newest spec yet";
        let why = finding(Reason::Pending.as_str(), pending);
        if !is_of_this_spec {
            return Some((Matter::Failing, why));
        }
        let archived = of(ConditionType::Archived).filter(|c| c.status == "True")?;
        let why = finding(&archived.reason, &archived.message);
        return Some((Matter::Archived, why));
    }
    // What the summary sums up says more, where it says anything.
    let because = |kind: ConditionType| -> &Condition {
        of(kind).filter(|c| c.status == "False").unwrap_or(ready)
    };
    let (matter, why) = match Reason::parse(&ready.reason) {
        Some(Reason::Suspended | Reason::DryRun) => return None,
        Some(Reason::Invalid) => (Matter::Invalid, because(ConditionType::Valid)),
        Some(Reason::ArchivedByBackend) => (Matter::ArchivedByBackend, ready),
        Some(Reason::DeprovisioningHeld) => (Matter::Held, ready),
        Some(Reason::Conflict) => (Matter::Failing, because(ConditionType::Synced)),
        _ => (Matter::Failing, ready),
    };
    Some((matter, finding(&why.reason, &why.message)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Somebody with these conditions, each as type, status, reason.
    pub fn somebody(name: &str, conditions: &[(&str, &str, &str)]) -> Seen {
        let conditions = conditions.iter();
        let conditions: Vec<Value> = conditions
            .map(|(kind, status, reason)| {
                let message = format!("why {kind} is {reason}");
                json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 2, "lastTransitionTime": "2026-01-01T00:00:00Z"})
            })
            .collect();
        let object = json!({
            "metadata": {"name": name, "namespace": "identity", "generation": 2},
            "spec": {"connectionRef": {"name": "scim"}},
            "status": {"conditions": conditions}
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn each_is_found_by_the_reason_that_says_most() {
        for (conditions, expected) in [
            (vec![("Ready", "True", "Synced")], None),
            (
                vec![("Ready", "True", "Synced"), ("Archived", "False", "Active")],
                None,
            ),
            (
                vec![
                    ("Ready", "True", "Synced"),
                    ("Archived", "True", "Requested"),
                ],
                Some((Matter::Archived, "Requested")),
            ),
            (vec![("Ready", "False", "Suspended")], None),
            (vec![("Ready", "False", "DryRun")], None),
            (
                vec![
                    ("Ready", "False", "Invalid"),
                    ("Valid", "False", "DuplicateUserName"),
                ],
                Some((Matter::Invalid, "DuplicateUserName")),
            ),
            (
                vec![
                    ("Ready", "False", "ArchivedByBackend"),
                    ("Archived", "True", "ByBackend"),
                ],
                Some((Matter::ArchivedByBackend, "ArchivedByBackend")),
            ),
            (
                vec![("Ready", "False", "DeprovisioningHeld")],
                Some((Matter::Held, "DeprovisioningHeld")),
            ),
            (
                vec![
                    ("Ready", "False", "Conflict"),
                    ("Synced", "False", "OwnedByOther"),
                ],
                Some((Matter::Failing, "OwnedByOther")),
            ),
            (
                vec![("Ready", "False", "ConnectionNotReady")],
                Some((Matter::Failing, "ConnectionNotReady")),
            ),
            (
                vec![("Ready", "False", "OfAnotherVersion")],
                Some((Matter::Failing, "OfAnotherVersion")),
            ),
            (vec![], Some((Matter::Failing, "Unknown"))),
        ] {
            let found = judge(&somebody("ada", &conditions));
            let found = found.as_ref().map(|(matter, f)| (*matter, &*f.reason));
            assert_eq!(found, expected, "{conditions:?}");
        }
    }

    #[test]
    fn who_was_ready_by_an_older_spec_waits() {
        let mut seen = somebody("ada", &[("Ready", "True", "Synced")]);
        seen.metadata.generation = Some(3);
        let (matter, finding) = judge(&seen).unwrap();
        assert_eq!((matter, &*finding.reason), (Matter::Failing, "Pending"));
    }

    #[test]
    fn a_roll_follows_what_becomes_of_somebody() {
        let mut roll = Roll::default();
        let count = |roll: &Roll| Matter::ALL.map(|matter| roll.sections(1).of(matter).count);
        for name in ["ada", "eve", "grace"] {
            roll.take(&somebody(name, &[("Ready", "False", "Invalid")]));
        }
        assert_eq!(count(&roll), [3, 0, 0, 0, 0]);
        assert_eq!(roll.sections(1).invalid.first.len(), 1);
        roll.take(&somebody(
            "eve",
            &[("Ready", "False", "DeprovisioningHeld")],
        ));
        roll.take(&somebody("ada", &[("Ready", "True", "Synced")]));
        assert_eq!(count(&roll), [1, 0, 1, 0, 0]);
        roll.forget(&somebody("grace", &[]));
        assert_eq!(count(&roll), [0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_reference_without_a_namespace_means_its_own() {
        let own = somebody("ada", &[]);
        assert!(is_of(&own, "identity", "scim"));
        assert!(!is_of(&own, "elsewhere", "scim"));
        assert!(!is_of(&own, "identity", "other"));
        let mut other = somebody("ada", &[]);
        other.metadata.namespace = Some("team".into());
        assert!(!is_of(&other, "identity", "scim"));
        other.spec.connection_ref.as_mut().unwrap().namespace = Some("identity".into());
        assert!(is_of(&other, "identity", "scim"));
    }
}
