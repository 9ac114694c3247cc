//! A deleted ScimUser: archive, delete or leave the account, then let the resource go.

use std::time::Duration;

use kube::runtime::controller::Action;

use crate::api::common::DeletionPolicy;
use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::connection::Mode;
use crate::controller::failures;
use crate::controller::finalizer::{self, Word};
use crate::controller::index::Key;
use crate::controller::live::{Connection, Phase, Ready};
use crate::controller::outcome;
use crate::controller::past::Past;
use crate::controller::report::{self, Report};
use crate::controller::user::Pass;
use crate::controller::{act, connection_end, guard, observe, scope};
use crate::domain::conditions::Verdict;
use crate::domain::guard::{Answer, Deprovisioning, Scope};
use crate::domain::identity::is_orphaned;
use crate::domain::leaver::{Leaver, Traces, leaver};
use crate::domain::names;
use crate::domain::observed::Observed;
use crate::domain::plan::{self, Farewell};
use crate::scim::{ErrorClass, ListQuery, ResourceKind, ScimError};

/// Lets a deleted user go where its backend has no say in it. Before anything that could be waited for:
/// a backend that is gone must keep neither a resource nor a namespace.
///
/// # Errors
/// When the API server cannot be written to.
pub async fn exit(
    pass: &Pass<'_>,
    connection: Option<&Connection>,
) -> Result<Option<Action>, kube::Error> {
    if pass.user.metadata.deletion_timestamp.is_none() {
        return Ok(None);
    }
    if !finalizer::is_bound(pass.user) {
        return Ok(Some(Action::await_change()));
    }
    match word(pass, connection) {
        Some(word) => release(pass, connection, word).await.map(Some),
        None => Ok(None),
    }
}

/// What there is to say of a deleted user whose backend has no say in it; `None` where it has one.
pub fn word(pass: &Pass<'_>, connection: Option<&Connection>) -> Option<Word<'static>> {
    if !finalizer::owes(pass.context, pass.user) {
        Some(Word::done("Released", "nothing was begun at the backend"))
    } else if finalizer::is_abandoned(pass.user) {
        let note = "released by annotation; the account was left as it is";
        Some(Word::done("Abandoned", note))
    } else if policy(pass, connection) == Some(DeletionPolicy::Retain) {
        let note = "deletionPolicy Retain: the account was left as it is";
        Some(Word::done("Retained", note))
    } else if scope::of(pass.context, pass.user).is_some_and(|ending| ending.left.is_zero()) {
        Some(Word::undone(scope::LEFT))
    } else {
        None
    }
}

/// What is to become of the account of a deleted user.
pub fn policy(pass: &Pass<'_>, connection: Option<&Connection>) -> Option<DeletionPolicy> {
    let of_connection = || {
        let spec = connection.and_then(Connection::spec);
        spec.map(|spec| spec.deletion_policy)
    };
    pass.user.spec.deletion_policy.or_else(of_connection)
}

/// Parts with a deleted user.
///
/// # Errors
/// When the API server cannot be written to.
pub async fn part(pass: &Pass<'_>, connection: Option<&Connection>) -> Result<Action, kube::Error> {
    let ending = scope::of(pass.context, pass.user);
    let scope = ending.map_or(Scope::Alone, |ending| ending.scope);
    let action = part_by(pass, connection, policy(pass, connection), scope).await?;
    Ok(scope::at_the_latest(pass.context, pass.user, action))
}

async fn part_by(
    pass: &Pass<'_>,
    connection: Option<&Connection>,
    policy: Option<DeletionPolicy>,
    scope: Scope,
) -> Result<Action, kube::Error> {
    if connection.is_none()
        && let Some(action) =
            connection_end::look_again(pass.context, &Key::connection_of(pass.user)).await?
    {
        return Ok(action);
    }
    if finalizer::past(pass.context, pass.user) == Past::Unknown
        && let Some(word) = never_was(pass, connection).await
    {
        return release(pass, connection, word).await;
    }
    if pass.user.spec.suspend {
        let why = "deletion waits: spec.suspend leaves the account alone";
        let ready = Verdict::no(C::Ready, Reason::Suspended, why);
        report::write(pass, connection, Report::waiting_for_deletion(pass, ready)).await?;
        return Ok(Action::await_change());
    }
    let wait = |message: &str| {
        Report::waiting_for_deletion(
            pass,
            Verdict::no(C::Ready, Reason::ConnectionNotReady, message.to_owned()),
        )
    };
    let Some(connection) = connection else {
        let key = Key::connection_of(pass.user);
        let report = wait(&connection_end::waits(pass.context, &key, "account"));
        report::write(pass, None, report).await?;
        return Ok(Action::await_change());
    };
    match connection.phase_for(&pass.key) {
        Phase::Ready(ready) if ready.spec.mode == Mode::DryRun => {
            let report = Report::waiting_for_deletion(
                pass,
                Verdict::no(
                    C::Ready,
                    Reason::DryRun,
                    "deletion waits: the connection is in mode DryRun",
                ),
            );
            report::write(pass, Some(connection), report).await?;
            Ok(Action::await_change())
        }
        Phase::Ready(ready) => {
            let policy = policy.unwrap_or(DeletionPolicy::Archive);
            carry_out(pass, connection, &ready, policy, scope).await
        }
        Phase::Starting => Ok(Action::await_change()),
        Phase::NotReady(_) => {
            report::write(
                pass,
                Some(connection),
                wait("deletion waits for the connection to be ready"),
            )
            .await?;
            Ok(Action::await_change())
        }
    }
}

/// Whether a user of whom nothing is recorded can go without a write, though an earlier process may have
/// begun to create it: nobody who never had an account is kept by a suspension, a dry run or a connection
/// that does not exist.
async fn never_was(pass: &Pass<'_>, connection: Option<&Connection>) -> Option<Word<'static>> {
    let Some(connection) = connection else {
        // A connection stays for whoever may have an account: it went by force, or never was.
        let gone = connection_end::is_gone(pass.context, &Key::connection_of(pass.user));
        return gone.then(|| Word::undone(finalizer::UNRECORDED));
    };
    if let Some(since) = connection.untouched() {
        return Some(finalizer::untouched(pass.user, since));
    }
    let Phase::Ready(ready) = connection.phase_for(&pass.key) else {
        return None;
    };
    if !connection.directory_of(&ready).complete() {
        // Whoever waits is woken by the next listing, also those that are not to be written to.
        connection.wait(pass.key.clone());
        return None;
    }
    match find(pass, connection, &ready).await {
        Ok(Leaver::Nobody) => Some(Word::done("Released", "nothing was found at the backend")),
        _ => None,
    }
}

async fn carry_out(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    policy: DeletionPolicy,
    scope: Scope,
) -> Result<Action, kube::Error> {
    if pass.recorded().is_none() && !connection.directory().complete() {
        // Without a recorded id only the listing can say whether there is an account: letting go now
        // could leave a leaver in.
        connection.wait(pass.key.clone());
        let why = "deletion waits for a complete listing of the backend";
        let ready = Verdict::no(C::Ready, Reason::Pending, why);
        report::write(
            pass,
            Some(connection),
            Report::waiting_for_deletion(pass, ready),
        )
        .await?;
        return Ok(Action::await_change());
    }
    match observe::settle_create(pass, connection, ready).await {
        Ok(true) => {}
        Ok(false) => {
            pass.context.wake_connection(&connection.key);
            return Ok(Action::await_change());
        }
        Err(error) => return farewell_failed(pass, connection, ready, &error).await,
    }
    let account = match find(pass, connection, ready).await {
        Ok(Leaver::One(account)) => Some(account),
        Ok(Leaver::Nobody) => None,
        Ok(Leaver::Unclear(unclear)) => {
            // Letting go now could leave a leaver in.
            let ready = Verdict::no(C::Ready, Reason::Pending, unclear.why("account"));
            let report = Report::deletion_needs_a_person(pass, ready);
            report::write(pass, Some(connection), report).await?;
            connection.wait(pass.key.clone());
            return Ok(Action::await_change());
        }
        Err(error) => return farewell_failed(pass, connection, ready, &error).await,
    };
    if account.is_none() && pass.before.id.is_some() && connection.loss().blocks() {
        let held = Verdict::no(C::Ready, Reason::DeprovisioningHeld, guard::LOST);
        let mut report = Report::deletion_needs_a_person(pass, held);
        report.outcome.retry_on_listing = true;
        report::write(pass, Some(connection), report).await?;
        return Ok(Action::await_change());
    }
    let plan = plan::farewell(policy, account);
    let action = match &plan {
        Farewell::Forget => None,
        Farewell::Archive(_) => Some(Deprovisioning::Archive),
        Farewell::Delete(_) => Some(Deprovisioning::Delete),
    };
    match action.map(|action| guard::ask(pass, connection, action, scope)) {
        None | Some(Answer::Go) => {}
        Some(Answer::Wait) => return Ok(Action::await_change()),
        Some(answer @ (Answer::Held | Answer::Halted)) => {
            let why = guard::why(answer);
            let ready = Verdict::no(C::Ready, Reason::DeprovisioningHeld, why);
            let report = Report::deletion_needs_a_person(pass, ready);
            report::write(pass, Some(connection), report).await?;
            return Ok(Action::await_change());
        }
    }
    let (result, reason, note) = match plan {
        Farewell::Forget => (Ok(()), "Released", "nothing was left to do at the backend"),
        Farewell::Archive(account) => (
            act::archive(connection, ready, &account).await,
            "Archived",
            "deletionPolicy Archive: the account was archived",
        ),
        Farewell::Delete(account) => (
            act::delete(connection, ready, &account).await,
            "Deleted",
            "deletionPolicy Delete: the account was deleted",
        ),
    };
    match result {
        Ok(()) | Err(ScimError::NotFound) => {
            if action.is_some() && connection.worked() {
                pass.context.wake_connection(&connection.key);
            }
            release(pass, Some(connection), Word::done(reason, note)).await
        }
        Err(error) => farewell_failed(pass, connection, ready, &error).await,
    }
}

/// Archives the account of a resource that stays, but whose spec breaks some rule: what is wrong with a
/// telephone number must not keep a leaver in.
///
/// # Errors
/// When a request fails.
pub async fn archive_now(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
) -> Result<(), ScimError> {
    if pass.recorded().is_none() && !connection.directory_of(ready).complete() {
        return Ok(());
    }
    match find(pass, connection, ready).await? {
        Leaver::One(account)
            if account.active != Some(false)
                && guard::ask(pass, connection, Deprovisioning::Archive, Scope::Alone)
                    == Answer::Go =>
        {
            match act::archive(connection, ready, &account).await {
                Ok(()) => {}
                Err(ScimError::NotFound) => connection.directory_of(ready).remove(&account.id),
                Err(error) => return Err(error),
            }
            guard::done(pass, connection);
            Ok(())
        }
        Leaver::One(_) | Leaver::Nobody | Leaver::Unclear(_) => Ok(()),
    }
}

/// The account that is certainly this resource's, looked at just now where the directory could be wrong.
///
/// # Errors
/// When a request that would tell fails.
pub async fn find(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
) -> Result<Leaver<Observed>, ScimError> {
    let mark = names::external_id(&ready.owner_id, &pass.key.namespace, &pass.key.name);
    let mut recorded = None;
    if let Some(id) = pass.recorded() {
        recorded = observe::by_id(connection, ready, id).await?;
        if recorded.as_ref().is_some_and(|a| a.active == Some(false)) {
            // Archived, says a listing that may be a day old: somebody may have reactivated it.
            recorded = observe::look(connection, ready, id).await?;
        }
        if recorded.is_none() {
            // A gateway answers 404 as well: only a backend that lists its users is believed.
            let first = ListQuery::first(1);
            ready.client.list(ResourceKind::User, &first).await?;
        }
    }
    let was_recorded = recorded.is_some();
    let traces = {
        let directory = connection.directory_of(ready);
        Traces {
            recorded,
            marked: directory.by_external_id(&mark),
            begun: observe::begun(pass, &directory),
            recorded_elsewhere: pass.before.id.is_some() && pass.recorded().is_none(),
        }
    };
    let explicit = pass.user.spec.external_id.as_deref();
    let orphaned = |mark: &str| is_orphaned(&ready.owner_id, mark, observe::declared(pass));
    match leaver(traces, &mark, explicit, orphaned) {
        Leaver::One(account) if !was_recorded => {
            let seen = observe::look(connection, ready, &account.id).await?;
            Ok(seen.map_or(Leaver::Nobody, Leaver::One))
        }
        found => Ok(found),
    }
}

/// A deletion whose request failed.
///
/// # Errors
/// When the API server does not take the status.
async fn farewell_failed(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    error: &ScimError,
) -> Result<Action, kube::Error> {
    if error.class() == ErrorClass::Closed {
        return Ok(Action::requeue(Duration::from_millis(50)));
    }
    failures::count(pass.context, connection, &pass.uid, error);
    if outcome::is_the_connections(error) {
        if !connection.serves(ready) {
            return Ok(Action::requeue(Duration::from_millis(50)));
        }
        connection.suspect();
        pass.context.wake_connection(&connection.key);
        return Ok(Action::requeue(pass.context.next_wait(&pass.uid)));
    }
    let ready = Verdict::no(
        C::Ready,
        Reason::Pending,
        format!("deletion waits: {error}"),
    );
    report::write(
        pass,
        Some(connection),
        Report::waiting_for_deletion(pass, ready),
    )
    .await?;
    Ok(Action::requeue(pass.context.next_wait(&pass.uid)))
}

async fn release(
    pass: &Pass<'_>,
    connection: Option<&Connection>,
    word: Word<'_>,
) -> Result<Action, kube::Error> {
    if !finalizer::let_go(pass.context, &pass.held, pass.user, word).await? {
        return Ok(Action::requeue(Duration::from_millis(100)));
    }
    if let Some(connection) = connection {
        guard::done(pass, connection);
        connection.note(&pass.key, None);
        pass.context.recount(&connection.key);
    }
    pass.context.forget_user(&pass.uid);
    Ok(Action::await_change())
}
