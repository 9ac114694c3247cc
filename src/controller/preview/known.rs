//! What the operator would know of what is declared, had it brought all of that in step: made up from what the backend
//! shows, where no cluster has it.

use std::collections::{HashMap, HashSet};

use crate::api::{ScimGroup, ScimGroupStatus, ScimUser, ScimUserStatus};
use crate::controller::consider::{self, Considered};
use crate::controller::group::consider::Considered as ConsideredGroup;
use crate::controller::index::Key;
use crate::controller::live::Outcome;
use crate::controller::outcome::is_the_connections;
use crate::controller::preview::stage::Stage;
use crate::controller::preview::{groups, users};
use crate::controller::trouble::{Trouble, trouble};
use crate::controller::{farewell, group, user};
use crate::domain::group::{GroupPlan, validate_group};
use crate::domain::leaver::Leaver;
use crate::domain::names;
use crate::domain::plan::Plan;
use crate::scim::ScimError;

/// What statuses would say, if what is declared were applied and in step.
pub struct Known {
    /// Whose account is known by their spec's `externalId`, or by name, and by nothing that only the operator writes.
    pub unproven: HashSet<Key>,
    users: HashMap<Key, ScimUserStatus>,
    groups: HashMap<Key, ScimGroupStatus>,
}

impl Known {
    /// Of everybody whom the backend shows to be in what is declared.
    ///
    /// # Errors
    /// When the backend does not answer any more.
    pub async fn of(stage: &Stage) -> Result<Self, Trouble> {
        let mut known = Self {
            unproven: HashSet::new(),
            users: HashMap::new(),
            groups: HashMap::new(),
        };
        for (key, user) in stage.users() {
            let pass = users::pass(stage, &user, &key);
            let Some((status, mark)) = or_nobody(of_user(&pass, stage).await)? else {
                continue;
            };
            // Nobody who comes after is given the same account.
            let outcome = Outcome::in_step(status.id.clone());
            stage.connection.note(&key, Some(outcome));
            let own = names::external_id(&stage.ready.owner_id, &key.namespace, &key.name);
            if user.spec.adopt.is_none() && mark != Some(own) {
                known.unproven.insert(key.clone());
            }
            known.users.insert(key, status);
        }
        let (mut wanted, mut shows_members) = (HashMap::new(), false);
        for (key, group) in stage.groups() {
            let pass = groups::pass(stage, &group, &key);
            let Some(found) = or_nobody(of_group(&pass, stage).await)? else {
                continue;
            };
            shows_members |= found.shows_members;
            wanted.insert(key.clone(), found.wanted);
            known.groups.insert(key, found.status);
        }
        if !shows_members {
            // A backend that returns nobody's: the operator keeps who it has added.
            let mut mirror = stage.connection.group_side().mirror();
            for (key, status) in &mut known.groups {
                status.applied_members = wanted.remove(key).unwrap_or_default();
                let group = status.id.as_deref().and_then(|id| mirror.last_known(id));
                if let Some(mut group) = group.filter(|_| !status.applied_members.is_empty()) {
                    group.members = None;
                    mirror.put(group);
                }
            }
        }
        Ok(known)
    }

    /// Writes them on whom they are of.
    pub fn write(&self, users: &mut [ScimUser], groups: &mut [ScimGroup]) {
        for user in users {
            if let Some(status) = self.users.get(&Key::of(user)) {
                user.status = Some(status.clone());
            }
        }
        for group in groups {
            if let Some(status) = self.groups.get(&Key::of(group)) {
                group.status = Some(status.clone());
            }
        }
    }
}

/// Of whom nothing can be told, nothing is known.
///
/// # Errors
/// Where nothing can be told of anybody.
fn or_nobody<T>(found: Result<Option<T>, ScimError>) -> Result<Option<T>, Trouble> {
    match found {
        Err(error) if is_the_connections(&error) => Err(trouble(&error)),
        found => Ok(found.unwrap_or_default()),
    }
}

/// Of whoever has an account, and the mark on it. That of a spec that breaks a rule is known by its mark alone.
async fn of_user(
    pass: &user::Pass<'_>,
    stage: &Stage,
) -> Result<Option<(ScimUserStatus, Option<String>)>, ScimError> {
    let (connection, ready) = (&stage.connection, &stage.ready);
    if !users::is_let_in(pass, stage) {
        return Ok(None);
    }
    let (account, managed_attributes) = match consider::judge(pass, connection, ready, &ready.spec)
    {
        Ok(judged) => match consider::consider(pass, connection, ready, &judged).await {
            Considered::Planned {
                plan: Plan::Noop(account) | Plan::Update { account, .. },
                ..
            } => {
                let manager = judged.pending_manager.map(|_| "manager".to_owned());
                let set = judged.valid.desired.attributes.into_keys().chain(manager);
                (account, set.collect())
            }
            Considered::Planned { .. } | Considered::CannotTell(_) => return Ok(None),
            Considered::Failed(error) => return Err(error),
        },
        Err(_) => match farewell::find(pass, connection, ready).await? {
            Leaver::One(account) => (account, Vec::new()),
            Leaver::Nobody | Leaver::Unclear(_) => return Ok(None),
        },
    };
    let generation = pass.user.metadata.generation;
    let status = ScimUserStatus {
        id: Some(account.id),
        endpoint_hash: pass.endpoint_hash.clone(),
        observed_generation: generation,
        synced_generation: generation,
        profile_hash: Some(ready.profile_hash.clone()),
        managed_attributes,
        ..ScimUserStatus::default()
    };
    Ok(Some((status, account.external_id)))
}

/// A group that is there.
struct Found {
    status: ScimGroupStatus,
    /// Ids of those who belong to it.
    wanted: Vec<String>,
    shows_members: bool,
}

/// Of a group that is there. Whether it was taken over by policy once is not seen, and it is told to be deleted
/// where it would be left.
async fn of_group(pass: &group::Pass<'_>, stage: &Stage) -> Result<Option<Found>, ScimError> {
    let (connection, ready) = (&stage.connection, &stage.ready);
    let (key, spec) = (&pass.key, &pass.group.spec);
    if !pass.lets_in(&key.namespace) {
        return Ok(None);
    }
    let (group, wanted) = match validate_group(spec, &ready.owner_id, &key.namespace, &key.name) {
        Ok(desired) => match groups::considered(pass, stage, &desired).await {
            ConsideredGroup::Planned {
                plan: GroupPlan::Noop(group) | GroupPlan::Update { group, .. },
                resolved,
                ..
            } => (group, resolved.wanted.into_iter().collect()),
            _ => return Ok(None),
        },
        Err(_) => match group::farewell::find(pass, connection, ready).await? {
            Some(Leaver::One(group)) => (group, Vec::new()),
            _ => return Ok(None),
        },
    };
    let generation = pass.group.metadata.generation;
    let status = ScimGroupStatus {
        id: Some(group.id),
        endpoint_hash: pass.endpoint_hash.clone(),
        observed_generation: generation,
        synced_generation: generation,
        adopted: spec.adopt.is_some(),
        ..ScimGroupStatus::default()
    };
    Ok(Some(Found {
        status,
        wanted,
        shows_members: group.members.is_some_and(|members| !members.is_empty()),
    }))
}
