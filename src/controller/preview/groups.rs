//! What would be done for groups, once everybody has the account that they would have.

use std::collections::BTreeSet;

use kube::ResourceExt;
use serde_json::Value;

use crate::api::ScimGroup;
use crate::api::conditions::Reason;
use crate::controller::consider::not_let_in;
use crate::controller::counts::Whose;
use crate::controller::finalizer;
use crate::controller::group::act::Applied;
use crate::controller::group::consider::{Considered, consider, not_yet};
use crate::controller::group::{Pass, farewell};
use crate::controller::guard;
use crate::controller::index::Key;
use crate::controller::live::{GroupOutcome, State};
use crate::controller::outcome;
use crate::controller::preview::stage::Stage;
use crate::controller::preview::{Action, Changed, Members, OF_NOBODY, Step, look};
use crate::controller::trouble::Trouble;
use crate::domain::group::{
    self, Delta, DesiredGroup, GroupChanges, GroupFarewell, GroupPlan, ObservedGroup, Resolved,
};
use crate::domain::leaver::Leaver;
use crate::domain::names;
use crate::domain::plan::Cause;
use crate::domain::validate::sentence;

/// What an id of our making begins with: no backend gives one with a colon and a blank.
const PLANNED: &str = "planned: ";
/// A group whose members are not known is read, and planned for again; so often.
const LOOKS: usize = 3;

/// The id of somebody who would be created.
pub fn planned(key: &Key) -> String {
    format!("{PLANNED}{key}")
}

/// What is found of a group is its id.
type Look = look::Look<Option<String>>;

/// What would be done for every group of the connection.
///
/// # Errors
/// When the backend does not answer any more.
pub async fn steps(stage: &mut Stage) -> Result<Vec<Step>, Trouble> {
    let mut steps = Vec::new();
    for (key, group) in stage.groups() {
        let pass = pass(stage, &group, &key);
        let look = look_by(&pass, stage, &group).await?;
        let id = look.found.clone();
        let outcome = GroupOutcome {
            state: State::InStep,
            reason: Reason::Synced,
            id: id.or_else(|| pass.recorded().map(str::to_owned)),
            retry_on_listing: false,
        };
        stage.connection.note_group(&key, Some(outcome));
        steps.push(look.step(Whose::Group, &key));
    }
    Ok(steps)
}

pub(super) fn pass<'a>(stage: &'a Stage, group: &'a ScimGroup, key: &Key) -> Pass<'a> {
    Pass {
        key: key.clone(),
        uid: group.uid().unwrap_or_default(),
        before: stage.context.group_statuses.last(group),
        endpoint_hash: Some(names::endpoint_hash(&stage.object.spec.endpoint)),
        connection_spec: Some(stage.object.spec.clone()),
        connection_key: stage.connection.key.clone(),
        group,
        context: &stage.context,
        held: stage.held.clone(),
    }
}

async fn look_by(pass: &Pass<'_>, stage: &Stage, group: &ScimGroup) -> Result<Look, Trouble> {
    let (connection, ready) = (&stage.connection, &stage.ready);
    if group.metadata.deletion_timestamp.is_some() {
        return leaving(pass, stage).await;
    }
    if !pass.lets_in(&pass.key.namespace) {
        let why = not_let_in(&pass.connection_key);
        return Ok(Look::because(Action::Invalid, why));
    }
    if group.spec.suspend {
        let why = "spec.suspend: the group is left alone";
        return Ok(Look::because(Action::Suspended, why));
    }
    let Pass { key, .. } = pass;
    let judged = group::validate_group(&group.spec, &ready.owner_id, &key.namespace, &key.name);
    let desired = match judged {
        Ok(desired) => desired,
        Err(violations) => return Ok(Look::because(Action::Invalid, sentence(&violations))),
    };
    match considered(pass, stage, &desired).await {
        Considered::Stands(applied) => stands(applied),
        Considered::Planned {
            plan,
            resolved,
            newly,
            ..
        } => match not_yet(pass, connection, ready, &plan) {
            Some(applied) => stands(applied),
            None => Ok(told(stage, &desired, plan, &resolved, newly)),
        },
    }
}

/// What is to be done for it, once its members are known.
pub(super) async fn considered(
    pass: &Pass<'_>,
    stage: &Stage,
    desired: &DesiredGroup,
) -> Considered {
    let (connection, ready) = (&stage.connection, &stage.ready);
    for _ in 0..LOOKS {
        match consider(pass, connection, ready, desired, pass.spec_changed()).await {
            Considered::Stands(Applied::LookAgain) => {}
            Considered::Planned {
                plan: GroupPlan::Look(_),
                ..
            } => {}
            considered => return considered,
        }
    }
    let why = "who is in the group cannot be told";
    Considered::Stands(Applied::Waiting(why.into()))
}

fn stands(applied: Applied) -> Result<Look, Trouble> {
    match applied {
        Applied::Waiting(why) if why == guard::LOST => Ok(Look::because(Action::Hold, why)),
        Applied::Waiting(why) => Ok(Look::because(Action::Wait, why)),
        Applied::Unsupported(why) => Ok(Look::because(Action::Wait, why)),
        Applied::Failed(error) => Look::failed(&error),
        _ => Ok(Look::because(Action::Wait, "the groups are not listed yet")),
    }
}

fn told(
    stage: &Stage,
    desired: &DesiredGroup,
    plan: GroupPlan,
    resolved: &Resolved,
    newly: bool,
) -> Look {
    let named = |delta: Delta| Members {
        add: named(stage, delta.add),
        remove: named(stage, delta.remove),
        unresolved: resolved.unresolved_total,
    };
    match plan {
        GroupPlan::Noop(group) => Look {
            found: Some(group.id),
            members: named(Delta::default()),
            ..Look::at(if newly {
                Action::Adopt
            } else {
                Action::Nothing
            })
        },
        GroupPlan::Create => {
            let add = resolved.wanted.iter().cloned().collect();
            let all = Delta {
                add,
                remove: Vec::new(),
            };
            Look {
                changes: vec![
                    text("displayName", None, &desired.display_name),
                    text("externalId", None, &desired.external_id),
                ],
                members: named(all),
                ..Look::at(Action::Create)
            }
        }
        GroupPlan::Update {
            group,
            changes,
            delta,
            cause,
        } => Look {
            changes: changed(&group, changes),
            members: named(delta),
            found: Some(group.id),
            ..Look::at(match cause {
                Cause::Adoption => Action::Adopt,
                Cause::Spec => Action::Update,
                Cause::Drift => Action::Repair,
            })
        },
        GroupPlan::Blocked(identity) => {
            let (_, why) = outcome::blocked(&identity, "group");
            Look::because(Action::Wait, why)
        }
        GroupPlan::Look(_) => Look::because(Action::Wait, "who is in the group cannot be told"),
    }
}

fn text(attribute: &str, from: Option<&String>, to: &str) -> Changed {
    Changed {
        attribute: attribute.to_owned(),
        from: from.cloned().map(Value::String),
        to: Some(Value::String(to.to_owned())),
    }
}

fn changed(group: &ObservedGroup, changes: GroupChanges) -> Vec<Changed> {
    let GroupChanges {
        display_name,
        external_id,
        marked: _,
    } = changes;
    let name = display_name.map(|to| text("displayName", group.display_name.as_ref(), &to));
    let mark = external_id.map(|to| text("externalId", group.external_id.as_ref(), &to));
    name.into_iter().chain(mark).collect()
}

/// Members as their resources, where somebody of ours has the account, and else as the backend calls them.
fn named(stage: &Stage, ids: Vec<String>) -> Vec<String> {
    let whose = |id: &String| {
        if let Some(key) = id.strip_prefix(PLANNED) {
            return Some(key.to_owned());
        }
        if let Some(key) = stage.connection.holder_of(id) {
            return Some(key.to_string());
        }
        if let Some(key) = stage.left.get(id) {
            return Some(key.to_string());
        }
        // Whoever is gone already is known by the mark on the account.
        let account = stage.connection.directory().last_known(id)?;
        let (namespace, name) =
            names::resource_of_mark(&stage.ready.owner_id, account.external_id.as_deref()?)?;
        Some(format!("{namespace}/{name}"))
    };
    let named: BTreeSet<String> = ids
        .into_iter()
        .map(|id| whose(&id).unwrap_or_else(|| format!("{OF_NOBODY}{id}")))
        .collect();
    named.into_iter().collect()
}

/// Of a resource that is to go.
async fn leaving(pass: &Pass<'_>, stage: &Stage) -> Result<Look, Trouble> {
    let (connection, ready) = (&stage.connection, &stage.ready);
    if !finalizer::is_bound(pass.group) {
        let why = "it has no finalizer of ours: nothing was begun at the backend";
        return Ok(Look::because(Action::Release, why));
    }
    if let Some(word) = farewell::word(pass) {
        return Ok(Look::because(Action::Release, word.note));
    }
    if pass.group.spec.suspend {
        let why = "deletion waits: spec.suspend leaves the group alone";
        return Ok(Look::because(Action::Wait, why));
    }
    let found = match farewell::find(pass, connection, ready).await {
        Ok(Some(Leaver::One(group))) => Some(group),
        Ok(Some(Leaver::Nobody)) => None,
        Ok(Some(Leaver::Unclear(unclear))) => {
            return Ok(Look::because(Action::Wait, unclear.why("group")));
        }
        Ok(None) => {
            let why = "deletion waits for a complete listing of the backend's groups";
            return Ok(Look::because(Action::Wait, why));
        }
        Err(error) => return Look::failed(&error),
    };
    if found.is_none() && pass.before.id.is_some() && connection.loss().blocks() {
        return Ok(Look::because(Action::Hold, guard::LOST));
    }
    let policy = pass.group.spec.deletion_policy;
    Ok(
        match group::farewell_group(policy, pass.before.adopted, found) {
            GroupFarewell::Forget
                if stage.is_guessed && pass.recorded().is_none() && has_a_double(pass, stage) =>
            {
                Look::because(Action::Wait, look::WHOSE)
            }
            GroupFarewell::Forget => {
                Look::because(Action::Release, "nothing is left to do at the backend")
            }
            GroupFarewell::Delete(group) => Look {
                found: Some(group.id),
                ..Look::at(Action::Delete)
            },
        },
    )
}

/// Whether a group is at the backend that may be the one that goes, and is no other's.
fn has_a_double(pass: &Pass<'_>, stage: &Stage) -> bool {
    let (connection, spec) = (&stage.connection, &pass.group.spec);
    let mirror = connection.group_side().mirror();
    let marked = spec.external_id.iter();
    let marked = marked.flat_map(|mark| mirror.by_external_id(mark));
    let mut found = marked.chain(mirror.by_name(&spec.display_name));
    let outcomes = connection.group_outcomes();
    let is_anothers = |id: &str| {
        let mut others = outcomes.iter().filter(|(key, _)| **key != pass.key);
        others.any(|(_, outcome)| outcome.id.as_deref() == Some(id))
    };
    found.any(|group| !is_anothers(&group.id))
}
