//! What would be done for users: one look at each, then the guard decides on all who would leave.

use kube::ResourceExt;
use serde_json::Value;

use crate::api::ScimUser;
use crate::api::common::DeletionPolicy;
use crate::api::conditions::Reason;
use crate::controller::consider::{self, Considered, Stopped};
use crate::controller::counts::Whose;
use crate::controller::finalizer;
use crate::controller::index::Key;
use crate::controller::live::{Outcome, State};
use crate::controller::observe::is_taken;
use crate::controller::preview::round::Round;
use crate::controller::preview::stage::Stage;
use crate::controller::preview::{Action, Changed, Step, look};
use crate::controller::trouble::Trouble;
use crate::controller::user::Pass;
use crate::controller::{farewell, guard, outcome, report};
use crate::domain::diff::Change;
use crate::domain::guard::Deprovisioning;
use crate::domain::leaver::Leaver;
use crate::domain::names;
use crate::domain::observed::Observed;
use crate::domain::plan::{self, Cause, Farewell, Plan};
use crate::domain::validate::Desired;

/// What is found of a user.
struct Found {
    /// The account as it is now.
    account: Option<Observed>,
    /// What the guard is asked for.
    asks: Option<Deprovisioning>,
    /// What others come to may change it: its manager has no account yet, or somebody who leaves
    /// claims its name, or has the account.
    depends: bool,
    state: State,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            account: None,
            asks: None,
            depends: false,
            state: State::InStep,
        }
    }
}

type Look = look::Look<Found>;

impl Look {
    /// Of this account.
    fn of(mut self, account: Observed) -> Self {
        self.found.account = Some(account);
        self
    }

    /// For which the guard is asked.
    fn asking(mut self, action: Option<Deprovisioning>) -> Self {
        self.found.asks = action;
        self
    }

    /// With these changes.
    fn changing(mut self, changes: Vec<Changed>) -> Self {
        self.changes = changes;
        self
    }
}

/// What would be done for every user of the connection.
///
/// # Errors
/// When the backend does not answer any more.
pub async fn steps(stage: &mut Stage) -> Result<Vec<Step>, Trouble> {
    let (mut steps, mut again) = (vec![], vec![]);
    let mut first = Round::default();
    for (key, user) in stage.users() {
        let look = look_at(stage, &user, &key).await?;
        if look.found.depends {
            again.push((steps.len(), key.clone()));
        }
        first.take(steps.len(), user, look.found.asks);
        steps.push(look.step(Whose::User, &key));
    }
    first.end(stage, &mut steps).await;
    // Whose manager has an account by now is given that as well; and whose name is free by now goes by it.
    let mut second = Round::default();
    for (at, key) in again {
        if steps[at].action == Action::Hold {
            continue;
        }
        let Some(user) = stage.context.user(&key) else {
            continue;
        };
        let look = look_at(stage, &user, &key).await?;
        second.take(at, user, look.found.asks);
        steps[at] = look.step(Whose::User, &key);
    }
    second.end(stage, &mut steps).await;
    Ok(steps)
}

async fn look_at(stage: &Stage, user: &ScimUser, key: &Key) -> Result<Look, Trouble> {
    let pass = pass(stage, user, key);
    let look = look_by(&pass, stage).await?;
    note(&pass, stage, &look);
    Ok(look)
}

pub(super) fn pass<'a>(stage: &'a Stage, user: &'a ScimUser, key: &Key) -> Pass<'a> {
    Pass {
        user,
        key: key.clone(),
        uid: user.uid().unwrap_or_default(),
        before: stage.context.user_statuses.last(user),
        endpoint_hash: Some(names::endpoint_hash(&stage.object.spec.endpoint)),
        context: &stage.context,
        held: stage.held.clone(),
        seen_stale: false.into(),
    }
}

/// Whether the connection lets its namespace in.
pub(super) fn is_let_in(pass: &Pass<'_>, stage: &Stage) -> bool {
    let allowed = &stage.ready.spec.allowed_namespaces;
    let home = &stage.connection.key.namespace;
    pass.context.allows(allowed, home, &pass.key.namespace)
}

/// How it came out, for the guard's share, for managers and for groups: as it is, not as it would be.
fn note(pass: &Pass<'_>, stage: &Stage, look: &Look) {
    let account = look.found.account.as_ref();
    let id = account.map(|account| account.id.clone());
    let id = id.or_else(|| pass.recorded().map(str::to_owned));
    let outcome = Outcome {
        state: look.found.state,
        archived: account.map_or_else(
            || report::was_archived(pass),
            |account| account.active == Some(false),
        ),
        ..Outcome::in_step(id)
    };
    stage.connection.note(&pass.key, Some(outcome));
}

async fn look_by(pass: &Pass<'_>, stage: &Stage) -> Result<Look, Trouble> {
    let (connection, ready) = (&stage.connection, &stage.ready);
    if pass.user.metadata.deletion_timestamp.is_some() {
        return leaving(pass, stage).await;
    }
    if !is_let_in(pass, stage) {
        return Ok(invalid(consider::not_let_in(&connection.key)));
    }
    if pass.user.spec.suspend {
        let why = "spec.suspend: the account is left alone";
        return Ok(Look::because(Action::Suspended, why));
    }
    let judged = match consider::judge(pass, connection, ready, &ready.spec) {
        Ok(judged) => judged,
        Err(Stopped { valid, archives }) => {
            let mut stopped = invalid(valid.message);
            stopped.found.depends = valid.reason == Reason::DuplicateUserName;
            if !archives {
                return Ok(stopped);
            }
            return match farewell::find(pass, connection, ready).await {
                Ok(Leaver::One(account)) if account.active != Some(false) => {
                    let mut archived = archiving(account);
                    (archived.why, archived.found.state) = (stopped.why, State::Invalid);
                    Ok(archived)
                }
                Ok(_) => Ok(stopped),
                Err(error) => Look::failed(&error),
            };
        }
    };
    let desired = &judged.valid.desired;
    let (plan, adopted) = match consider::consider(pass, connection, ready, &judged).await {
        Considered::Planned { plan, adopted } => (plan, adopted),
        Considered::CannotTell(why) => return Ok(Look::because(Action::Wait, why)),
        Considered::Failed(error) => return Look::failed(&error),
    };
    if let Some(why) = consider::not_yet(pass, connection, &plan) {
        let action = if why == guard::LOST {
            Action::Hold
        } else {
            Action::Wait
        };
        return Ok(Look::because(action, why));
    }
    let archives = plan.archives().then_some(Deprovisioning::Archive);
    let action = action(&plan, adopted);
    let blocked = matches!(plan, Plan::Blocked(_));
    let mut look = match plan {
        Plan::Noop(account) => Look::at(action).of(account),
        Plan::Create => Look::at(action).changing(made(desired)),
        Plan::Update {
            account, changes, ..
        } => {
            let changes = changes.iter().map(|c| changed(c, &account)).collect();
            Look::at(action)
                .changing(changes)
                .of(account)
                .asking(archives)
        }
        Plan::Blocked(identity) => {
            let (_, why) = outcome::blocked(&identity, "account");
            Look::because(Action::Wait, why)
        }
    };
    look.found.depends = blocked || judged.pending_manager.is_some();
    Ok(look)
}

fn action(plan: &Plan, adopted: bool) -> Action {
    match plan {
        Plan::Noop(_) if adopted => Action::Adopt,
        Plan::Noop(_) => Action::Nothing,
        Plan::Create => Action::Create,
        Plan::Blocked(_) => Action::Wait,
        Plan::Update { cause, .. } => match (plan.action(), cause) {
            ("Adopt", _) => Action::Adopt,
            ("Archive", _) => Action::Archive,
            ("Reactivate", _) => Action::Reactivate,
            (_, Cause::Drift) => Action::Repair,
            _ => Action::Update,
        },
    }
}

fn invalid(why: String) -> Look {
    let mut look = Look::because(Action::Invalid, why);
    look.found.state = State::Invalid;
    look
}

fn archiving(account: Observed) -> Look {
    let off = Changed {
        attribute: "active".into(),
        from: account.active.map(Value::Bool),
        to: Some(Value::Bool(false)),
    };
    Look::at(Action::Archive)
        .changing(vec![off])
        .of(account)
        .asking(Some(Deprovisioning::Archive))
}

/// Of a resource that is to go.
async fn leaving(pass: &Pass<'_>, stage: &Stage) -> Result<Look, Trouble> {
    let (connection, ready) = (&stage.connection, &stage.ready);
    if !finalizer::is_bound(pass.user) {
        let why = "it has no finalizer of ours: nothing was begun at the backend";
        return Ok(Look::because(Action::Release, why));
    }
    if let Some(word) = farewell::word(pass, Some(connection)) {
        return Ok(Look::because(Action::Release, word.note));
    }
    if pass.user.spec.suspend {
        let why = "deletion waits: spec.suspend leaves the account alone";
        return Ok(Look::because(Action::Wait, why));
    }
    if pass.recorded().is_none() && !connection.directory().complete() {
        let why = "deletion waits for a complete listing of the backend";
        return Ok(Look::because(Action::Wait, why));
    }
    let account = match farewell::find(pass, connection, ready).await {
        Ok(Leaver::One(account)) => Some(account),
        Ok(Leaver::Nobody) => None,
        Ok(Leaver::Unclear(unclear)) => {
            return Ok(Look::because(Action::Wait, unclear.why("account")));
        }
        Err(error) => return Look::failed(&error),
    };
    if account.is_none() && pass.before.id.is_some() && connection.loss().blocks() {
        return Ok(Look::because(Action::Hold, guard::LOST));
    }
    let policy = farewell::policy(pass, Some(connection)).unwrap_or(DeletionPolicy::Archive);
    Ok(match plan::farewell(policy, account) {
        Farewell::Forget if is_a_guess(pass, stage) && has_a_double(pass, stage) => {
            Look::because(Action::Wait, look::WHOSE)
        }
        Farewell::Forget => Look::because(Action::Release, "nothing is left to do at the backend"),
        Farewell::Archive(account) => archiving(account),
        Farewell::Delete(account) => Look::at(Action::Delete)
            .of(account)
            .asking(Some(Deprovisioning::Delete)),
    })
}

/// Whether nothing says which account it has, that in a cluster might be known.
fn is_a_guess(pass: &Pass<'_>, stage: &Stage) -> bool {
    stage.is_guessed && pass.recorded().is_none()
}

/// Whether somebody is at the backend who may be the one that goes, and is nobody else's.
fn has_a_double(pass: &Pass<'_>, stage: &Stage) -> bool {
    let (connection, spec) = (&stage.connection, &pass.user.spec);
    let found: Vec<Observed> = {
        let directory = connection.directory();
        let marked = spec
            .external_id
            .iter()
            .flat_map(|mark| directory.by_external_id(mark));
        let mut found: Vec<_> = marked.chain(directory.by_name(&spec.user_name)).collect();
        found.extend(
            spec.adopt
                .iter()
                .filter_map(|adopt| directory.last_known(&adopt.id)),
        );
        found
    };
    found
        .iter()
        .any(|account| !is_taken(pass, connection, &account.id))
}

fn made(desired: &Desired) -> Vec<Changed> {
    let attributes = desired.attributes.iter();
    let made = attributes.map(|(attribute, value)| Changed {
        attribute: attribute.clone(),
        from: None,
        to: Some(value.clone()),
    });
    made.collect()
}

fn changed(change: &Change, account: &Observed) -> Changed {
    let text = |text: &Option<String>| text.clone().map(Value::String);
    let from = match &*change.attribute {
        "userName" => text(&account.user_name),
        "externalId" => text(&account.external_id),
        "active" => account.active.map(Value::Bool),
        attribute => account.attributes.get(attribute).cloned(),
    };
    Changed {
        attribute: change.attribute.clone(),
        from,
        to: change.to.clone(),
    }
}
