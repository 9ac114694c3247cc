//! What is to be done for one group. The operator acts on it, DryRun shows it, and it explains itself.

use std::collections::BTreeSet;

use super::delta::{Delta, delta};
use super::members::Resolved;
use super::patch::GroupChanges;
use super::{DesiredGroup, ObservedGroup};
use crate::api::common::PlanStatus;
use crate::api::group::{GroupDeletionPolicy, Membership};
use crate::domain::identity::Identity;
use crate::domain::plan::Cause;

/// What is known beside the two states.
#[derive(Clone, Copy, Debug)]
pub struct GroupKnowledge<'a> {
    /// The backend was seen to return `externalId` of groups. Where it never does, the mark is
    /// written when the spec changes and never reported as drift.
    pub external_id_echoed: bool,
    /// The spec has changed since the group was last in step.
    pub spec_changed: bool,
    /// The members that are wanted are not those of when the group was last in step: somebody got
    /// an account, or a label. What follows from it is no drift.
    pub members_changed: bool,
    /// The members that we added, where the backend does not return members; they count in place
    /// of what it shows.
    pub applied: Option<&'a BTreeSet<String>>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupPlan {
    /// The group equals the spec, as far as its members have accounts.
    Noop(ObservedGroup),
    /// There is no group yet.
    Create,
    /// The group differs.
    Update {
        /// The group as last seen.
        group: ObservedGroup,
        /// What differs of its own attributes.
        changes: GroupChanges,
        /// What differs of its members.
        delta: Delta,
        /// Why.
        cause: Cause,
    },
    /// Somebody else's group stands in the way; the identity says how.
    Blocked(Identity<ObservedGroup>),
    /// Nobody knows who is in the group: it has to be read by its id, and planned for again.
    Look(ObservedGroup),
}

/// What becomes of a group whose resource is deleted.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupFarewell {
    /// SCIM DELETE.
    Delete(ObservedGroup),
    /// Nothing to do at the backend.
    Forget,
}

/// Plans for a group that is wanted.
pub fn plan_group(
    desired: &DesiredGroup,
    members: &Resolved,
    membership: Membership,
    identity: Identity<ObservedGroup>,
    knowledge: GroupKnowledge<'_>,
) -> GroupPlan {
    let (group, adopted) = match identity.taken() {
        Ok(taken) => taken,
        Err(Identity::Nobody) => return GroupPlan::Create,
        Err(blocked) => return GroupPlan::Blocked(blocked),
    };
    let current = knowledge.applied.or(group.members.as_ref());
    let Some(current) = current else {
        return GroupPlan::Look(group);
    };
    let delta = delta(&members.wanted, current, membership, members.all());
    let changes = changes(desired, &group, knowledge);
    if changes.is_empty() && delta.is_empty() {
        return GroupPlan::Noop(group);
    }
    let declared = knowledge.spec_changed || (knowledge.members_changed && !delta.is_empty());
    let cause = match (adopted, declared) {
        (true, _) => Cause::Adoption,
        (false, true) => Cause::Spec,
        (false, false) => Cause::Drift,
    };
    GroupPlan::Update {
        group,
        changes,
        delta,
        cause,
    }
}

/// What differs of the group's own attributes. A displayName is compared exactly: it is there to be
/// read, and who changes its case means it, though RFC 7643 §8.7.1 does not tell the two apart.
fn changes(
    desired: &DesiredGroup,
    group: &ObservedGroup,
    knowledge: GroupKnowledge<'_>,
) -> GroupChanges {
    let differs = |wanted: &str, seen: Option<&str>, observable: bool| match seen {
        Some(seen) => seen != wanted,
        None => observable || knowledge.spec_changed,
    };
    let name = group.display_name.as_deref();
    let mark = group.external_id.as_deref();
    let wants_mark = differs(&desired.external_id, mark, knowledge.external_id_echoed);
    GroupChanges {
        // RFC 7643 §4.2 requires a displayName: a backend that shows none shows it never.
        display_name: differs(&desired.display_name, name, false)
            .then(|| desired.display_name.clone()),
        external_id: wants_mark.then(|| desired.external_id.clone()),
        marked: mark.is_some(),
    }
}

/// Plans for a group that is deleted. By default a group that we created is deleted, and one that
/// was there before is left to whoever made it. Groups have no archived state.
pub fn farewell_group(
    policy: Option<GroupDeletionPolicy>,
    adopted: bool,
    group: Option<ObservedGroup>,
) -> GroupFarewell {
    let policy = policy.unwrap_or(if adopted {
        GroupDeletionPolicy::Retain
    } else {
        GroupDeletionPolicy::Delete
    });
    match (policy, group) {
        (GroupDeletionPolicy::Delete, Some(group)) => GroupFarewell::Delete(group),
        (GroupDeletionPolicy::Delete, None) | (GroupDeletionPolicy::Retain, _) => {
            GroupFarewell::Forget
        }
    }
}

impl GroupPlan {
    /// The word for `status.plan.action`.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Noop(_) => "Noop",
            Self::Create => "Create",
            Self::Update {
                cause: Cause::Adoption,
                ..
            } => "Adopt",
            Self::Update { .. } => "Update",
            Self::Blocked(_) | Self::Look(_) => "Wait",
        }
    }

    /// What status shows; `None` when nothing is to be done.
    pub fn status(&self, members: &Resolved) -> Option<PlanStatus> {
        let (name, mark, who) = match self {
            Self::Noop(_) => return None,
            Self::Create => (true, true, !members.wanted.is_empty()),
            Self::Update { changes, delta, .. } => (
                changes.display_name.is_some(),
                changes.external_id.is_some(),
                !delta.is_empty(),
            ),
            Self::Blocked(_) | Self::Look(_) => (false, false, false),
        };
        let all = [
            ("displayName", name),
            ("externalId", mark),
            ("members", who),
        ];
        let named = all.into_iter().filter(|(_, differs)| *differs);
        Some(PlanStatus {
            action: self.action().into(),
            attributes: named.map(|(attribute, _)| attribute.into()).collect(),
        })
    }
}
