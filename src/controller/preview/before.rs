//! What a change of what is declared comes to, where no cluster tells what came of that which was declared before: it is
//! taken for applied.
//!
//! Not known is what only time brings: what the guard has spent, which spellings of its own a backend keeps, and who
//! had an account once and has none now.

use std::collections::{HashMap, HashSet};

use kube::Resource;
use kube::core::object::HasSpec;

use crate::api::ScimConnection;
use crate::api::connection::{AdoptionMatch, Mode};
use crate::controller::counts::Whose;
use crate::controller::index::Key;
use crate::controller::preview::known::Known;
use crate::controller::preview::stage::Stage;
use crate::controller::preview::{Action, Before, Given, Preview, Statuses, Step, played};
use crate::controller::trouble::Trouble;

/// Of whoever bears no mark of ours, and was told to be taken over by nobody.
const UNPROVEN: &str = "if the operator made the account, or took it over: here it is known by its externalId or name alone";

/// What would be done, and what of that would be done without the change as well.
///
/// # Errors
/// When the connection cannot be worked with.
pub async fn compared(mut given: Given, mut before: Before) -> Result<Preview, Trouble> {
    let stage = as_applied(&given, &before).await?;
    let same_users = same(&before.users, &given.users);
    let same_groups = same(&before.groups, &given.groups);
    let mut unproven = HashSet::new();
    if before.connection.spec.mode == Mode::Enforce {
        let known = Known::of(&stage).await?;
        known.write(&mut before.users, &mut before.groups);
        known.write(&mut given.users, &mut given.groups);
        let matches = &before.connection.spec.adoption.r#match;
        if !matches.contains(&AdoptionMatch::ExternalId) {
            unproven = known.unproven;
        }
    }
    let seen = stage.seen();
    let due = if works(&before.connection) || !works(&given.connection) {
        let stage = Stage::facing(of(&given, &before), Some(&seen)).await?;
        played(stage).await?.steps
    } else {
        // The change lets the connection work: without it nothing is done.
        Vec::new()
    };
    let mut preview = played(Stage::facing(given, Some(&seen)).await?).await?;
    let due: HashMap<_, &Step> = due.iter().map(|step| (step.name(), step)).collect();
    for step in &mut preview.steps {
        let key = Key::new(&*step.namespace, &*step.name);
        // Whoever edits a resource is told what becomes of it, be it what would become of it anyway.
        let untouched = match step.whose {
            Whose::User => same_users.contains(&key),
            Whose::Group => same_groups.contains(&key),
        };
        step.is_due = step.action != Action::Nothing
            && untouched
            && due.get(&step.name()).is_some_and(|due| **due == *step);
        let leaves = [Action::Archive, Action::Delete].contains(&step.action);
        if leaves && step.whose == Whose::User && unproven.contains(&key) {
            step.why.get_or_insert_with(|| UNPROVEN.into());
        }
    }
    Ok(preview)
}

fn works(connection: &ScimConnection) -> bool {
    connection.spec.mode == Mode::Enforce && !connection.spec.suspend
}

/// Those of which the change changes nothing.
fn same<K>(before: &[K], after: &[K]) -> HashSet<Key>
where
    K: Resource + HasSpec<Spec: PartialEq>,
{
    let old: HashMap<Key, &K> = before.iter().map(|one| (Key::of(one), one)).collect();
    let is_same = |one: &&K| {
        old.get(&Key::of(*one)).is_some_and(|old| {
            let (now, then) = (one.meta(), old.meta());
            old.spec() == one.spec()
                && now.labels == then.labels
                && now.annotations == then.annotations
                && now.deletion_timestamp == then.deletion_timestamp
        })
    };
    after.iter().filter(is_same).map(Key::of).collect()
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
        statuses: Statuses::Unknown,
    }
}

/// The same, where whoever bears the `externalId` that a spec has for itself is its account: the operator, that made
/// the account so, would know it by its id. Where the backend shows nobody's, the name has to do.
async fn as_applied(given: &Given, before: &Before) -> Result<Stage, Trouble> {
    let by = |also: &[AdoptionMatch]| {
        let mut given = of(given, before);
        given.connection.spec.adoption.r#match.extend(also);
        given
    };
    let stage = Stage::set(by(&[AdoptionMatch::ExternalId])).await?;
    let no_user = {
        let directory = stage.connection.directory();
        !directory.is_empty() && directory.sightings().all(|a| a.external_id.is_none())
    };
    let no_group = {
        let mirror = stage.connection.group_side().mirror();
        !mirror.is_empty() && mirror.sightings().all(|g| g.external_id.is_none())
    };
    let mut also = vec![AdoptionMatch::ExternalId];
    also.extend(no_user.then_some(AdoptionMatch::UserName));
    also.extend(no_group.then_some(AdoptionMatch::DisplayName));
    if also.len() == 1 {
        return Ok(stage);
    }
    Stage::facing(by(&also), Some(&stage.seen())).await
}
