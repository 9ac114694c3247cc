//! One group as the spec of a ScimGroup by which the operator takes it over and writes nothing; and what the operator
//! makes of that spec, by its own rules.
//!
//! Members are the ScimUsers that were written with it. One that was not is left out, and then nobody may be removed.

use std::collections::{BTreeMap, HashMap};

use super::schema::Schema;
use super::target::{Adoption, Mark, Standing, Target, all_of};
use crate::api::common::{Adopt, UserRef};
use crate::api::connection::AdoptionMatch;
use crate::api::group::{Member, Membership, ScimGroupSpec};
use crate::controller::outcome::blocked;
use crate::domain::group::{
    self, GroupKnowledge, GroupPlan, MemberPhase, MemberState, ObservedGroup, plan_group,
    validate_group,
};
use crate::domain::identity::{AdoptionPolicy, Candidates, Wanted, identify};
use crate::domain::names::fold_name;

/// A spec, and who of the group is not in it.
#[derive(Clone, Debug, PartialEq)]
pub struct BuiltGroup {
    /// The spec.
    pub spec: ScimGroupSpec,
    /// The ids of members that were not imported, sorted: they stay members, and the group is `AddOnly`.
    pub left_out: Vec<String>,
}

/// Every group that was listed, by what the connection's policy may take one over by.
#[derive(Clone, Debug, Default)]
pub struct Groups<'a> {
    by_mark: HashMap<&'a str, Vec<&'a ObservedGroup>>,
    by_name: HashMap<String, Vec<&'a ObservedGroup>>,
}

impl<'a> Groups<'a> {
    /// Of these.
    pub fn of(all: &'a [ObservedGroup]) -> Self {
        let mut groups = Self::default();
        for group in all {
            if let Some(mark) = group.external_id.as_deref() {
                groups.by_mark.entry(mark).or_default().push(group);
            }
            if let Some(name) = group.display_name.as_deref() {
                groups
                    .by_name
                    .entry(fold_name(name))
                    .or_default()
                    .push(group);
            }
        }
        groups
    }
}

/// The ScimUsers that were written: by the ids of their accounts, and these by their names.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    names: BTreeMap<String, String>,
    ids: BTreeMap<String, String>,
}

impl Imported {
    /// One more.
    pub fn insert(&mut self, id: String, name: String) {
        self.ids.insert(name.clone(), id.clone());
        self.names.insert(id, name);
    }

    /// The name of the ScimUser with that account.
    pub fn name_of(&self, id: &str) -> Option<&String> {
        self.names.get(id)
    }
}

/// The spec of a group.
pub fn spec_of(seen: &ObservedGroup, target: &Target<'_>, users: &Imported) -> BuiltGroup {
    let ids = seen.members.iter().flatten();
    let (known, left_out): (Vec<_>, Vec<_>) = ids.partition(|id| users.name_of(id).is_some());
    let mut names: Vec<&String> = known.iter().filter_map(|id| users.name_of(id)).collect();
    names.sort();
    let mark = target.mark(seen.external_id.as_deref());
    let own = matches!(mark, Mark::Own(_));
    let spec = ScimGroupSpec {
        connection_ref: target.connection.clone(),
        display_name: seen.display_name.clone().unwrap_or_default(),
        external_id: match mark {
            Mark::Foreign(mark) => Some(mark.to_owned()),
            _ => None,
        },
        members: names.into_iter().map(|name| member(name)).collect(),
        member_selector: None,
        membership: if left_out.is_empty() {
            Membership::Exact
        } else {
            Membership::AddOnly
        },
        deletion_policy: None,
        suspend: false,
        adopt: (target.adoption == Adoption::ById && !own).then(|| Adopt {
            id: seen.id.clone(),
        }),
    };
    BuiltGroup {
        spec,
        left_out: left_out.into_iter().cloned().collect(),
    }
}

fn member(name: &str) -> Member {
    Member {
        user_ref: UserRef {
            name: name.to_owned(),
            namespace: None,
        },
    }
}

/// What the operator would make of a spec for this group, once its members have their accounts.
pub fn standing_of(
    spec: &ScimGroupSpec,
    seen: &ObservedGroup,
    target: &Target<'_>,
    schema: &Schema,
    name: &str,
    users: &Imported,
    groups: &Groups<'_>,
) -> Standing {
    let stored = serde_json::to_value(spec).unwrap_or_default();
    let refused = schema.violations(&stored);
    let desired = match validate_group(spec, target.owner_id, target.namespace, name) {
        Ok(desired) if refused.is_empty() => desired,
        Ok(_) => return Standing::Invalid(all_of(refused, Vec::new())),
        Err(broken) => return Standing::Invalid(all_of(refused, broken)),
    };
    let mut candidates = Candidates::default();
    if let Some(adopt) = &spec.adopt {
        candidates.adopt = (adopt.id == seen.id).then(|| seen.clone());
    }
    let all = |found: Option<&Vec<&ObservedGroup>>| -> Vec<ObservedGroup> {
        found.into_iter().flatten().map(|g| (*g).clone()).collect()
    };
    candidates.by_external_id = all(groups.by_mark.get(desired.external_id.as_str()));
    candidates.by_name = all(groups.by_name.get(&fold_name(&desired.display_name)));
    let policy = AdoptionPolicy {
        external_id: target.adoption.allows(AdoptionMatch::ExternalId),
        name: target.adoption.allows(AdoptionMatch::DisplayName),
        by_id: spec.adopt.is_some(),
        explicit_external_id: spec.external_id.is_some(),
    };
    let identity = identify(&Wanted::from(&desired), candidates, policy);
    let members = spec.members.iter().map(|member| group::Member {
        key: format!("{}/{}", target.namespace, member.user_ref.name),
        state: MemberState {
            id: users.ids.get(&member.user_ref.name).cloned(),
            phase: MemberPhase::Settled,
            archived: false,
        },
    });
    let resolved = group::resolve(members);
    let knowledge = GroupKnowledge {
        external_id_echoed: true,
        spec_changed: true,
        members_changed: true,
        applied: None,
    };
    let plan = plan_group(&desired, &resolved, spec.membership, identity, knowledge);
    match &plan {
        GroupPlan::Noop(found) if found.id == seen.id => Standing::InStep,
        GroupPlan::Update { group, .. } if group.id == seen.id => {
            let status = plan.status(&resolved).unwrap_or_default();
            Standing::Writes(status.attributes)
        }
        GroupPlan::Blocked(identity) => Standing::Waits(blocked(identity, "group").0.as_str()),
        GroupPlan::Look(_) => Standing::Waits("nobody knows who is in the group"),
        GroupPlan::Noop(_) | GroupPlan::Update { .. } | GroupPlan::Create => {
            Standing::Waits("it is not this group that would be taken over")
        }
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
