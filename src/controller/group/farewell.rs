//! A deleted ScimGroup: delete or leave the group, then let the resource go.

use std::time::Duration;

use kube::runtime::controller::Action;

use crate::api::conditions::Reason;
use crate::api::connection::Mode;
use crate::api::group::GroupDeletionPolicy;
use crate::controller::finalizer::{self, Word};
use crate::controller::group::side::Listed;
use crate::controller::group::{Pass, act, observe, report};
use crate::controller::guard;
use crate::controller::live::{Connection, Phase, Ready};
use crate::controller::outcome;
use crate::controller::past::Past;
use crate::controller::scope;
use crate::controller::{connection_end, failures};
use crate::domain::group::{GroupFarewell, ObservedGroup, farewell_group};
use crate::domain::identity::is_orphaned;
use crate::domain::leaver::{Leaver, Traces, leaver};
use crate::domain::names;
use crate::scim::ScimError;
use report::Report;

/// Lets a deleted group go where its backend has no say in it.
///
/// # Errors
/// When the API server cannot be written to.
pub async fn exit(
    pass: &Pass<'_>,
    connection: Option<&Connection>,
) -> Result<Option<Action>, kube::Error> {
    let group = pass.group;
    if group.metadata.deletion_timestamp.is_none() {
        return Ok(None);
    }
    if !finalizer::is_bound(group) {
        return Ok(Some(Action::await_change()));
    }
    match word(pass) {
        Some(word) => release(pass, connection, word).await.map(Some),
        None => Ok(None),
    }
}

/// What there is to say of a deleted group whose backend has no say in it; `None` where it has one.
pub fn word(pass: &Pass<'_>) -> Option<Word<'static>> {
    let group = pass.group;
    let ending = scope::of(pass.context, group);
    // Nobody decided that a group goes whose namespace or kind goes, unless the spec says so.
    let by_default = pass.before.adopted || ending.is_some();
    let retained = group
        .spec
        .deletion_policy
        .map_or(by_default, |policy| policy == GroupDeletionPolicy::Retain);
    if !finalizer::owes(pass.context, group) {
        Some(Word::done("Released", "nothing was begun at the backend"))
    } else if finalizer::is_abandoned(group) {
        let why = "released by annotation; the group was left as it is";
        Some(Word::done("Abandoned", why))
    } else if retained && group.spec.deletion_policy.is_none() && ending.is_some() {
        let why = "its namespace or its kind is being deleted: the group was left as it is, since spec.deletionPolicy does not say Delete";
        Some(Word::done("Retained", why))
    } else if retained {
        let why = "deletionPolicy Retain: the group was left as it is";
        Some(Word::done("Retained", why))
    } else if ending.is_some_and(|ending| ending.left.is_zero()) {
        let why = "the group was left as it is: its namespace or its kind is being deleted, and it could not be deleted in time";
        Some(Word::undone(why))
    } else {
        None
    }
}

/// Parts with a deleted group.
///
/// # Errors
/// When the API server cannot be written to.
pub async fn part(pass: &Pass<'_>, connection: Option<&Connection>) -> Result<Action, kube::Error> {
    let action = part_by(pass, connection).await?;
    Ok(scope::at_the_latest(pass.context, pass.group, action))
}

async fn part_by(pass: &Pass<'_>, connection: Option<&Connection>) -> Result<Action, kube::Error> {
    let group = pass.group;
    let wait = async |reason: Reason, why: &str| {
        report::write(pass, connection, Report::waiting(pass, reason, why)).await?;
        Ok(Action::await_change())
    };
    if connection.is_none()
        && let Some(action) = connection_end::look_again(pass.context, &pass.connection_key).await?
    {
        return Ok(action);
    }
    if finalizer::past(pass.context, group) == Past::Unknown
        && let Some(word) = never_was(pass, connection).await
    {
        return release(pass, connection, word).await;
    }
    if group.spec.suspend {
        let why = "deletion waits: spec.suspend leaves the group alone";
        return wait(Reason::Suspended, why).await;
    }
    let Some(connection) = connection else {
        let why = connection_end::waits(pass.context, &pass.connection_key, "group");
        return wait(Reason::ConnectionNotReady, &why).await;
    };
    match connection.phase_for_group(&pass.key) {
        Phase::Ready(ready) if ready.spec.mode == Mode::DryRun => {
            let why = "deletion waits: the connection is in mode DryRun";
            wait(Reason::DryRun, why).await
        }
        Phase::Ready(ready) => carry_out(pass, connection, &ready).await,
        Phase::Starting => Ok(Action::await_change()),
        Phase::NotReady(_) => {
            let why = "deletion waits for the connection to be ready";
            wait(Reason::ConnectionNotReady, why).await
        }
    }
}

/// Whether a group of which nothing is recorded can go without a write, as a user can.
async fn never_was(pass: &Pass<'_>, connection: Option<&Connection>) -> Option<Word<'static>> {
    let Some(connection) = connection else {
        let gone = connection_end::is_gone(pass.context, &pass.connection_key);
        return gone.then(|| Word::undone(finalizer::UNRECORDED));
    };
    if let Some(since) = connection.untouched() {
        return Some(finalizer::untouched(pass.group, since));
    }
    let Phase::Ready(ready) = connection.phase_for_group(&pass.key) else {
        return None;
    };
    match find(pass, connection, &ready).await {
        Ok(Some(Leaver::Nobody)) => {
            Some(Word::done("Released", "nothing was found at the backend"))
        }
        Ok(None) => {
            connection.ask_for_groups(pass.key.clone());
            pass.context.wake_connection(&connection.key);
            None
        }
        _ => None,
    }
}

async fn carry_out(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
) -> Result<Action, kube::Error> {
    let found = match find(pass, connection, ready).await {
        Ok(Some(Leaver::One(group))) => Some(group),
        Ok(Some(Leaver::Nobody)) => None,
        Ok(None) => {
            // Without a recorded id only a listing can say whether there is a group.
            connection.ask_for_groups(pass.key.clone());
            pass.context.wake_connection(&connection.key);
            let why = "deletion waits for a complete listing of the backend's groups";
            let report = Report::waiting(pass, Reason::Pending, why);
            report::write(pass, Some(connection), report).await?;
            return Ok(Action::await_change());
        }
        Ok(Some(Leaver::Unclear(unclear))) => {
            let report = Report::waiting(pass, Reason::Pending, unclear.why("group"));
            report::write(pass, Some(connection), report).await?;
            connection.group_waits(pass.key.clone());
            return Ok(Action::await_change());
        }
        Err(error) => return failed(pass, connection, ready, &error).await,
    };
    if found.is_none() && pass.before.id.is_some() && connection.loss().blocks() {
        let mut report = Report::waiting(pass, Reason::DeprovisioningHeld, guard::LOST);
        report.retry_on_listing = true;
        report::write(pass, Some(connection), report).await?;
        return Ok(Action::await_change());
    }
    let plan = farewell_group(pass.group.spec.deletion_policy, pass.before.adopted, found);
    let (result, reason, note) = match plan {
        GroupFarewell::Forget => (Ok(()), "Released", "nothing was left to do at the backend"),
        GroupFarewell::Delete(_)
            if pass.group.spec.deletion_policy.is_none()
                && scope::ends_now(pass.context, pass.group).await? =>
        {
            // The next pass says so, or this one: the watch has not shown it yet.
            return Ok(Action::requeue(Duration::from_millis(200)));
        }
        GroupFarewell::Delete(group) => {
            let result = act::delete(connection, ready, &group).await;
            let note = "deletionPolicy Delete: the group was deleted";
            (result, "Deleted", note)
        }
    };
    match result {
        Ok(()) | Err(ScimError::NotFound) => {
            if reason == "Deleted" && connection.worked() {
                pass.context.wake_connection(&connection.key);
            }
            release(pass, Some(connection), Word::done(reason, note)).await
        }
        Err(error) => failed(pass, connection, ready, &error).await,
    }
}

/// The group that is certainly this resource's; `None` while only a listing could tell.
///
/// # Errors
/// When a request that would tell fails.
pub async fn find(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
) -> Result<Option<Leaver<ObservedGroup>>, ScimError> {
    let mark = names::external_id(&ready.owner_id, &pass.key.namespace, &pass.key.name);
    let mut recorded = None;
    if let Some(id) = pass.recorded() {
        recorded = observe::by_id(connection, ready, id).await?;
    }
    if recorded.is_none() {
        match connection.group_side().listed() {
            // Its 404 to an id is no evidence: everything answers so where there are no groups.
            Listed::Unsupported if pass.before.id.is_none() && pass.begun_to_create().is_none() => {
                return Ok(Some(Leaver::Nobody));
            }
            Listed::Done if connection.groups_of(ready).complete() => {}
            _ => return Ok(None),
        }
        if !observe::settle_create(pass, connection, ready).await? {
            return Ok(None);
        }
    }
    let traces = {
        let groups = connection.groups_of(ready);
        Traces {
            recorded,
            marked: groups.by_external_id(&mark),
            begun: observe::begun(pass, &groups),
            recorded_elsewhere: pass.before.id.is_some() && pass.recorded().is_none(),
        }
    };
    let explicit = pass.group.spec.external_id.as_deref();
    let orphaned = |mark: &str| is_orphaned(&ready.owner_id, mark, observe::declared(pass));
    Ok(Some(leaver(traces, &mark, explicit, orphaned)))
}

async fn failed(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    error: &ScimError,
) -> Result<Action, kube::Error> {
    failures::count(pass.context, connection, &pass.uid, error);
    if outcome::is_the_connections(error) {
        if !connection.serves(ready) {
            return Ok(Action::requeue(Duration::from_millis(50)));
        }
        connection.suspect();
        pass.context.wake_connection(&connection.key);
    } else {
        let why = format!("deletion waits: {error}");
        let report = Report::waiting(pass, Reason::Pending, why);
        report::write(pass, Some(connection), report).await?;
    }
    Ok(Action::requeue(pass.context.next_wait(&pass.uid)))
}

async fn release(
    pass: &Pass<'_>,
    connection: Option<&Connection>,
    word: Word<'_>,
) -> Result<Action, kube::Error> {
    if !finalizer::let_go(pass.context, &pass.held, pass.group, word).await? {
        return Ok(Action::requeue(Duration::from_millis(100)));
    }
    if let Some(connection) = connection {
        connection.note_group(&pass.key, None);
        pass.context.recount(&connection.key);
    }
    pass.context.forget_group(&pass.uid);
    Ok(Action::await_change())
}
