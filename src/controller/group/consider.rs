//! What is to be done for one group, and why nothing may be: observe, resolve and plan, without a write. The
//! reconciler acts on it, and a preview shows it.

use crate::api::connection::AdoptionMatch;
use crate::controller::group::act::Applied;
use crate::controller::group::members::{self, Declared};
use crate::controller::group::side::Listed;
use crate::controller::group::{Pass, observe};
use crate::controller::guard;
use crate::controller::live::{Connection, Ready};
use crate::directory::ExternalIdEcho;
use crate::domain::group::{
    self, DesiredGroup, GroupKnowledge, GroupPlan, MembersEcho, ObservedGroup, Resolved, plan_group,
};
use crate::domain::identity::{AdoptionPolicy, Identity, Wanted, identify};
use crate::scim::ScimError;

/// What is to be done for a group whose spec breaks no rule.
pub enum Considered {
    /// This.
    Planned {
        /// What.
        plan: GroupPlan,
        /// Who belongs to it.
        resolved: Resolved,
        /// More of them will have an account soon.
        on_their_way: bool,
        /// The group is taken over by it.
        newly: bool,
    },
    /// Nothing, for this reason.
    Stands(Applied),
}

/// Looks at which group it is at the backend and who is in it, and plans.
pub async fn consider(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    desired: &DesiredGroup,
    spec_changed: bool,
) -> Considered {
    let side = connection.group_side();
    match side.listed() {
        Listed::Done => {}
        Listed::NotYet => {
            connection.ask_for_groups(pass.key.clone());
            pass.context.wake_connection(&connection.key);
            return Considered::Stands(Applied::Later);
        }
        Listed::Unsupported => {
            return Considered::Stands(Applied::Unsupported("the backend offers no groups"));
        }
        Listed::Failed(why) => return Considered::Stands(Applied::Waiting(why)),
    }
    let written_down = &pass.before.applied_members;
    if side.echo() == MembersEcho::Unknown && !written_down.is_empty() && pass.recorded().is_some()
    {
        // Learned before a restart, and written down for want of anybody else who could tell.
        side.set_echo(MembersEcho::NotReturned);
    }
    let candidates = match observe::candidates(pass, connection, ready, desired).await {
        Ok(Some(candidates)) => candidates,
        Ok(None) => {
            pass.context.wake_connection(&connection.key);
            let why = "a create may have been applied; the next listing of the backend tells";
            return Considered::Stands(Applied::Waiting(why.into()));
        }
        Err(error) => return Considered::Stands(Applied::Failed(error)),
    };
    let spec = &pass.group.spec;
    let adoption = &ready.spec.adoption.r#match;
    let policy = AdoptionPolicy {
        external_id: adoption.contains(&AdoptionMatch::ExternalId),
        name: adoption.contains(&AdoptionMatch::DisplayName),
        by_id: pass.adopts().is_some(),
        explicit_external_id: spec.external_id.is_some(),
    };
    let mut identity = identify(&Wanted::from(desired), candidates, policy);
    if let Identity::Ours(group) | Identity::Adopted(group) = &mut identity
        && group.members.is_none()
    {
        match known_members(pass, connection, ready, group).await {
            Ok(true) => {}
            Ok(false) => return Considered::Stands(Applied::LookAgain),
            Err(error) => return Considered::Stands(Applied::Failed(error)),
        }
    }
    let newly = matches!(identity, Identity::Adopted(_)) && pass.recorded().is_none();
    let Declared {
        members,
        on_their_way,
    } = members::declared(pass, connection);
    let hidden = match &identity {
        Identity::Ours(group) | Identity::Adopted(group) => group.members.as_ref(),
        _ => None,
    };
    let hidden = hidden.map(|current| members::hidden(pass, connection, ready, current));
    let resolved = group::resolve(members.into_iter().chain(hidden.into_iter().flatten()));
    let knowledge = GroupKnowledge {
        external_id_echoed: connection.groups_of(ready).external_id_echo()
            == ExternalIdEcho::Echoed,
        spec_changed,
        members_changed: side.wanted_of(&pass.key) != Some(fingerprint(&resolved)),
        applied: None,
    };
    let plan = plan_group(desired, &resolved, spec.membership, identity, knowledge);
    Considered::Planned {
        plan,
        resolved,
        on_their_way,
        newly,
    }
}

/// Why nothing is done yet, or ever, where something would be.
pub fn not_yet(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    plan: &GroupPlan,
) -> Option<Applied> {
    match plan {
        GroupPlan::Create if !connection.groups_of(ready).complete() => Some(Applied::Waiting(
            "the listing of the backend's groups is not complete; creating now could make a second one".into(),
        )),
        GroupPlan::Create if pass.before.id.is_some() && connection.loss().blocks() => {
            Some(Applied::Waiting(guard::LOST.into()))
        }
        GroupPlan::Update { .. } if !ready.patch => Some(Applied::Unsupported(
            "the backend offers no PATCH, and a group is never replaced whole",
        )),
        _ => None,
    }
}

/// Whether the members of a group are known, into the group; false when the group is gone. A backend
/// that does not return them is believed what we have written down.
async fn known_members(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    group: &mut ObservedGroup,
) -> Result<bool, ScimError> {
    if connection.group_side().echo() == MembersEcho::NotReturned {
        // Of another backend they say nothing of this one.
        let known = pass.recorded().is_some();
        let last = pass.status().applied_members;
        group.members = Some(last.into_iter().filter(|_| known).collect());
        connection.groups_of(ready).put(group.clone());
        return Ok(true);
    }
    let Some(seen) = observe::look(connection, ready, &group.id).await? else {
        return Ok(false);
    };
    *group = seen;
    Ok(true)
}

/// Tells one set of wanted members from another, within one run of the operator.
pub fn fingerprint(resolved: &Resolved) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    resolved.wanted.hash(&mut hasher);
    hasher.finish()
}
