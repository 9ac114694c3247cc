//! What a change of what is declared comes to, where no cluster tells what came of that which was declared before: it is
//! taken for applied, and everybody whom the backend shows to be in it is known as a status would know them.
//!
//! Not known is what only time brings: what the guard has spent, which spellings of its own a backend keeps, and who
//! had an account once and has none now.

use std::collections::HashMap;

use kube::{Resource, ResourceExt};

use crate::api::conditions::Reason;
use crate::api::connection::AdoptionMatch;
use crate::api::{FINALIZER, ScimGroup, ScimGroupStatus, ScimUser, ScimUserStatus};
use crate::controller::consider::{self, Considered};
use crate::controller::group::consider::Considered as ConsideredGroup;
use crate::controller::index::Key;
use crate::controller::live::{Outcome, State};
use crate::controller::outcome::is_the_connections;
use crate::controller::preview::stage::Stage;
use crate::controller::preview::{Action, Before, Given, Preview, Step, groups, played, users};
use crate::controller::trouble::{Trouble, trouble};
use crate::controller::{farewell, group, user};
use crate::domain::group::{GroupPlan, validate_group};
use crate::domain::leaver::Leaver;
use crate::domain::plan::Plan;
use crate::scim::ScimError;

/// What would be done, and what of that would be done without the change as well.
///
/// # Errors
/// When the connection cannot be worked with.
pub async fn compared(mut given: Given, mut before: Before) -> Result<Preview, Trouble> {
    let stage = Stage::set(as_applied(&given, &before)).await?;
    let known = Known::of(&stage).await?;
    let seen = stage.seen();
    known.write(&mut before.users, &mut before.groups);
    known.write(&mut given.users, &mut given.groups);
    let due = played(Stage::facing(of(&given, &before), Some(&seen)).await?).await?;
    let mut preview = played(Stage::facing(given, Some(&seen)).await?).await?;
    let due: HashMap<_, &Step> = due.steps.iter().map(|step| (step.name(), step)).collect();
    for step in &mut preview.steps {
        step.is_due = step.action != Action::Nothing
            && due.get(&step.name()).is_some_and(|due| **due == *step);
    }
    Ok(preview)
}

/// The same backend, with what was declared before.
fn of(given: &Given, before: &Before) -> Given {
    let Before {
        connection,
        users,
        groups,
        namespaces,
    } = before.clone();
    Given {
        connection,
        client: given.client.clone(),
        users,
        groups,
        namespaces,
        before: None,
    }
}

/// The same, where whoever bears the `externalId` that a spec has for itself is its account: the operator, that made
/// the account so, would know it by its id.
fn as_applied(given: &Given, before: &Before) -> Given {
    let mut given = of(given, before);
    let matches = &mut given.connection.spec.adoption.r#match;
    if !matches.contains(&AdoptionMatch::ExternalId) {
        matches.push(AdoptionMatch::ExternalId);
    }
    given
}

/// What statuses would say.
struct Known {
    users: HashMap<Key, ScimUserStatus>,
    groups: HashMap<Key, ScimGroupStatus>,
}

impl Known {
    async fn of(stage: &Stage) -> Result<Self, Trouble> {
        let home = &stage.connection.key;
        let mut known = Self {
            users: HashMap::new(),
            groups: HashMap::new(),
        };
        let mut keys = stage.context.index(|index| index.members_of(home));
        keys.sort();
        for key in keys {
            let Some(user) = stage.context.user(&key) else {
                continue;
            };
            let Some(pass) = users::pass(stage, &user, &key) else {
                continue;
            };
            let status = or_nobody(of_user(&pass, stage).await)?;
            if let Some(status) = status {
                note(stage, &key, &status);
                known.users.insert(key, status);
            }
        }
        let mut keys = stage.context.groups_index(|index| index.groups_of(home));
        keys.sort();
        for key in keys {
            let Some(group) = stage.context.group(&key) else {
                continue;
            };
            let Some(pass) = groups::pass(stage, &group, &key) else {
                continue;
            };
            let status = or_nobody(of_group(&pass, stage).await)?;
            known.groups.extend(status.map(|status| (key, status)));
        }
        Ok(known)
    }

    /// Writes them on whom they are of, who is bound to the backend by that.
    fn write(&self, users: &mut [ScimUser], groups: &mut [ScimGroup]) {
        for user in users {
            if let Some(status) = self.users.get(&Key::of(user)) {
                user.status = Some(status.clone());
                bind(user);
            }
        }
        for group in groups {
            if let Some(status) = self.groups.get(&Key::of(group)) {
                group.status = Some(status.clone());
                bind(group);
            }
        }
    }
}

fn bind(object: &mut impl Resource) {
    object.finalizers_mut().push(FINALIZER.to_owned());
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

/// Nobody who comes after is given the same account.
fn note(stage: &Stage, key: &Key, status: &ScimUserStatus) {
    let outcome = Outcome {
        state: State::InStep,
        reason: Reason::Synced,
        id: status.id.clone(),
        archived: false,
        retry_on_listing: false,
        retry_soon: false,
        undecided: false,
    };
    stage.connection.note(key, Some(outcome));
}

/// Of whoever has an account. That of a spec that breaks a rule is known by its mark alone.
async fn of_user(
    pass: &user::Pass<'_>,
    stage: &Stage,
) -> Result<Option<ScimUserStatus>, ScimError> {
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
    Ok(Some(ScimUserStatus {
        id: Some(account.id),
        endpoint_hash: pass.endpoint_hash.clone(),
        observed_generation: generation,
        synced_generation: generation,
        profile_hash: Some(ready.profile_hash.clone()),
        managed_attributes,
        ..ScimUserStatus::default()
    }))
}

/// Of a group that is there. Whether it was taken over by policy once is not seen, and it is told to be deleted
/// where it would be left.
async fn of_group(
    pass: &group::Pass<'_>,
    stage: &Stage,
) -> Result<Option<ScimGroupStatus>, ScimError> {
    let (connection, ready) = (&stage.connection, &stage.ready);
    let (key, spec) = (&pass.key, &pass.group.spec);
    if !pass.lets_in(&key.namespace) {
        return Ok(None);
    }
    let group = match validate_group(spec, &ready.owner_id, &key.namespace, &key.name) {
        Ok(desired) => match groups::considered(pass, stage, &desired).await {
            ConsideredGroup::Planned {
                plan: GroupPlan::Noop(group) | GroupPlan::Update { group, .. },
                ..
            } => group,
            _ => return Ok(None),
        },
        Err(_) => match group::farewell::find(pass, connection, ready).await? {
            Some(Leaver::One(group)) => group,
            _ => return Ok(None),
        },
    };
    let generation = pass.group.metadata.generation;
    Ok(Some(ScimGroupStatus {
        id: Some(group.id),
        endpoint_hash: pass.endpoint_hash.clone(),
        observed_generation: generation,
        synced_generation: generation,
        adopted: spec.adopt.is_some(),
        ..ScimGroupStatus::default()
    }))
}
