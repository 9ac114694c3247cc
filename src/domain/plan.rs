//! What is to be done for one user. The operator acts on it, DryRun shows it, and it explains itself.

use std::collections::BTreeSet;

use super::diff::{self, Change, Knowledge};
use super::identity::Identity;
use super::observed::Observed;
use super::profile::Profile;
use super::validate::Desired;
use crate::api::common::{DeletionPolicy, PlanStatus};

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// The account equals the spec.
    Noop(Observed),
    /// There is no account yet.
    Create,
    /// The account differs.
    Update {
        /// The account as last seen.
        account: Observed,
        /// What differs.
        changes: Vec<Change>,
        /// Why.
        cause: Cause,
    },
    /// Somebody else's account stands in the way; the identity says how.
    Blocked(Identity<Observed>),
}

/// Why an account is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The spec changed.
    Spec,
    /// The backend changed.
    Drift,
    /// The account has just been taken over.
    Adoption,
}

/// What becomes of an account whose resource is deleted.
#[derive(Clone, Debug, PartialEq)]
pub enum Farewell {
    /// Set `active: false`.
    Archive(Observed),
    /// SCIM DELETE.
    Delete(Observed),
    /// Nothing to do at the backend.
    Forget,
}

/// Plans for a user that is wanted.
pub fn plan(
    desired: &Desired,
    identity: Identity<Observed>,
    profile: &Profile,
    knowledge: Knowledge<'_>,
) -> Plan {
    let (account, adopted) = match identity.taken() {
        Ok(taken) => taken,
        Err(Identity::Nobody) => return Plan::Create,
        Err(blocked) => return Plan::Blocked(blocked),
    };
    let changes = diff::changes(desired, &account, profile, knowledge);
    if changes.is_empty() {
        return Plan::Noop(account);
    }
    // What was never written before, such as a manager whose id is known only now, is no drift.
    let written_before = changes
        .iter()
        .all(|change| knowledge.managed.contains(&change.attribute));
    let cause = match (adopted, knowledge.spec_changed || !written_before) {
        (true, _) => Cause::Adoption,
        (false, true) => Cause::Spec,
        (false, false) => Cause::Drift,
    };
    Plan::Update {
        account,
        changes,
        cause,
    }
}

/// Plans for a user that is deleted; an account that is gone or archived already needs nothing.
pub fn farewell(policy: DeletionPolicy, account: Option<Observed>) -> Farewell {
    match (policy, account) {
        (DeletionPolicy::Retain, _) | (_, None) => Farewell::Forget,
        (DeletionPolicy::Archive, Some(account)) if account.active == Some(false) => {
            Farewell::Forget
        }
        (DeletionPolicy::Archive, Some(account)) => Farewell::Archive(account),
        (DeletionPolicy::Delete, Some(account)) => Farewell::Delete(account),
    }
}

impl Plan {
    /// The word for `status.plan.action`.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Noop(_) => "Noop",
            Self::Create => "Create",
            Self::Update {
                cause: Cause::Adoption,
                ..
            } => "Adopt",
            Self::Update { changes, .. } => match changes
                .iter()
                .find(|c| c.attribute == "active")
                .and_then(|c| c.to.as_ref())
            {
                Some(serde_json::Value::Bool(true)) => "Reactivate",
                Some(serde_json::Value::Bool(false)) => "Archive",
                _ => "Update",
            },
            Self::Blocked(_) => "Wait",
        }
    }

    /// Whether somebody who is active would be archived.
    pub fn archives(&self) -> bool {
        let Self::Update {
            account, changes, ..
        } = self
        else {
            return false;
        };
        let off = |change: &Change| {
            change.attribute == "active" && change.to == Some(serde_json::Value::Bool(false))
        };
        account.active != Some(false) && changes.iter().any(off)
    }

    /// What status shows; `None` when nothing is to be done.
    pub fn status(&self, desired: &Desired) -> Option<PlanStatus> {
        let attributes: BTreeSet<String> = match self {
            Self::Noop(_) => return None,
            Self::Create => desired.attributes.keys().cloned().collect(),
            Self::Update { changes, .. } => changes.iter().map(|c| c.attribute.clone()).collect(),
            Self::Blocked(_) => BTreeSet::new(),
        };
        Some(PlanStatus {
            action: self.action().into(),
            attributes: attributes.into_iter().collect(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
