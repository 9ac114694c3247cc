//! What would be done for users: one look at each, then the guard decides on all who would leave.

use std::sync::Arc;

use kube::ResourceExt;
use kube::runtime::watcher::Event;
use serde_json::Value;

use crate::api::common::DeletionPolicy;
use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::{ScimConnection, ScimUser};
use crate::controller::consider::{self, Considered, Stopped};
use crate::controller::counts::Whose;
use crate::controller::finalizer;
use crate::controller::index::Key;
use crate::controller::live::{Outcome, State};
use crate::controller::preview::stage::Stage;
use crate::controller::preview::{Action, Changed, Members, Step};
use crate::controller::trouble::{Trouble, trouble};
use crate::controller::user::Pass;
use crate::controller::{farewell, guard, outcome, report, scope};
use crate::domain::diff::Change;
use crate::domain::guard::{Answer, Deprovisioning, Limit, Scope};
use crate::domain::leaver::Leaver;
use crate::domain::names;
use crate::domain::observed::Observed;
use crate::domain::plan::{self, Cause, Farewell, Plan};
use crate::domain::validate::Desired;
use crate::scim::ScimError;

/// What one look came to.
struct Look {
    action: Action,
    changes: Vec<Changed>,
    why: Option<String>,
    /// The account as it is now.
    account: Option<Observed>,
    /// What the guard is asked for.
    asks: Option<Deprovisioning>,
    /// What others come to may change it: its manager has no account yet, or somebody who leaves
    /// claims its name, or has the account.
    depends: bool,
    state: State,
}

impl Look {
    fn at(action: Action) -> Self {
        Self {
            action,
            changes: Vec::new(),
            why: None,
            account: None,
            asks: None,
            depends: false,
            state: State::InStep,
        }
    }

    fn because(action: Action, why: impl Into<String>) -> Self {
        Self {
            why: Some(why.into()),
            ..Self::at(action)
        }
    }

    fn failed(error: &ScimError) -> Result<Self, Trouble> {
        if outcome::is_the_connections(error) {
            return Err(trouble(error));
        }
        Ok(Self::because(Action::Wait, error.to_string()))
    }
}

/// What would be done for every user of the connection.
///
/// # Errors
/// When the backend does not answer any more.
pub async fn steps(stage: &mut Stage) -> Result<Vec<Step>, Trouble> {
    let home = stage.connection.key.clone();
    let mut keys = stage.context.index(|index| index.members_of(&home));
    keys.sort();
    let (mut steps, mut leaving, mut created, mut again) = (vec![], vec![], vec![], vec![]);
    for key in keys {
        let Some(user) = stage.context.user(&key) else {
            continue;
        };
        let Some(pass) = pass(stage, &user, &key) else {
            continue;
        };
        let look = look(&pass, stage).await?;
        note(&pass, stage, &look);
        if let Some(action) = look.asks {
            leaving.push((steps.len(), user.clone(), action));
        }
        if look.action == Action::Create {
            created.push(key.clone());
        }
        if look.depends {
            again.push((steps.len(), user.clone()));
        }
        steps.push(step(&key, look));
    }
    decide(stage, &mut steps, &leaving).await;
    are_done(stage, &steps, created);
    // Whose manager has an account by now is given that as well; and whose name is free by now goes by it.
    let (mut leaving, mut created) = (vec![], vec![]);
    for (at, user) in again {
        let key = Key::of(&*user);
        if steps[at].action == Action::Hold {
            continue;
        }
        let Some(pass) = pass(stage, &user, &key) else {
            continue;
        };
        let look = look(&pass, stage).await?;
        note(&pass, stage, &look);
        if let Some(action) = look.asks {
            leaving.push((at, user.clone(), action));
        }
        if look.action == Action::Create {
            created.push(key.clone());
        }
        steps[at] = step(&key, look);
    }
    decide(stage, &mut steps, &leaving).await;
    are_done(stage, &[], created);
    Ok(steps)
}

fn step(key: &Key, look: Look) -> Step {
    Step {
        whose: Whose::User,
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        action: look.action,
        changes: look.changes,
        members: Members::default(),
        why: look.why,
    }
}

/// Has the guard decide on all who would leave: those who are held already stay so, and the others are let go as far as
/// the window allows.
async fn decide(
    stage: &Stage,
    steps: &mut [Step],
    leaving: &[(usize, Arc<ScimUser>, Deprovisioning)],
) {
    if leaving.is_empty() {
        return;
    }
    let ask = |user: &ScimUser, action: Deprovisioning| {
        let key = Key::of(user);
        let pass = pass(stage, user, &key)?;
        let ending = scope::of(pass.context, user);
        let scope = ending.map_or(Scope::Alone, |ending| ending.scope);
        Some(guard::ask(&pass, &stage.connection, action, scope))
    };
    let (held, new): (Vec<_>, Vec<_>) = leaving
        .iter()
        .partition(|(_, user, _)| holds(&stage.object) && is_held(user));
    for (_, user, action) in held {
        ask(user, *action);
    }
    let nobody = Limit {
        max_percent: 0,
        minimum: 0,
        ..guard::limit(&stage.object.spec)
    };
    let seconds = stage.context.seconds();
    stage.connection.guard().decide(nobody, 0, seconds, false);
    for (_, user, action) in new {
        ask(user, *action);
    }
    guard::decide(&stage.object, &stage.context, &stage.connection, true).await;
    stage.connection.guard().persisted();
    for (at, user, action) in leaving {
        let Some(answer) = ask(user, *action) else {
            continue;
        };
        if answer != Answer::Go {
            let step = &mut steps[*at];
            let would = step.action.as_str();
            step.action = Action::Hold;
            step.why = Some(format!("would {would}: {}", guard::why(answer)));
        }
    }
}

/// Whether what a connection holds is held until a person approves it. What waits for a listing, or for accounts that
/// are missing, is decided on anew.
fn holds(connection: &ScimConnection) -> bool {
    let status = connection.status.as_ref();
    let by_a_person = [Reason::GuardExceeded, Reason::ScopeTerminating].map(Reason::as_str);
    status.is_some_and(|status| {
        let mut held = status.conditions.iter();
        held.any(|c| c.type_ == C::DeprovisioningHeld.as_str() && by_a_person.contains(&&*c.reason))
    })
}

/// Whether a user's status says that the guard holds it.
fn is_held(user: &ScimUser) -> bool {
    let status = user.status.as_ref();
    let held = Reason::DeprovisioningHeld.as_str();
    status.is_some_and(|status| {
        let mut ready = status.conditions.iter();
        ready.any(|c| c.type_ == C::Ready.as_str() && c.reason == held)
    })
}

/// Those who would be created have an account, and those who would go are gone, for the groups that come after.
fn are_done(stage: &mut Stage, steps: &[Step], created: Vec<Key>) {
    for key in created {
        let outcome = Outcome {
            state: State::InStep,
            reason: Reason::Synced,
            id: Some(super::groups::planned(&key)),
            archived: false,
            retry_on_listing: false,
            retry_soon: false,
            undecided: false,
        };
        stage.connection.note(&key, Some(outcome));
    }
    let gone = [Action::Archive, Action::Delete, Action::Release];
    for step in steps.iter().filter(|step| gone.contains(&step.action)) {
        let key = Key::new(&*step.namespace, &*step.name);
        let Some(kept) = stage.context.kept(&key).filter(|kept| kept.is_going) else {
            continue;
        };
        has_left(stage, &key, step.action);
        stage.context.index(|index| index.remove(&key));
        stage.connection.note(&key, None);
        stage
            .users
            .apply_watcher_event(&Event::Delete((*kept).clone()));
    }
}

/// The account of somebody who has gone, as it would be.
fn has_left(stage: &Stage, key: &Key, action: Action) {
    let Some(id) = stage.connection.id_of(key) else {
        return;
    };
    let mut directory = stage.connection.directory();
    match action {
        Action::Delete => directory.remove(&id),
        Action::Archive => {
            if let Some(mut account) = directory.last_known(&id) {
                account.active = Some(false);
                let off = Value::Bool(false);
                account.attributes.insert("active".into(), off);
                directory.put(account);
            }
        }
        _ => {}
    }
}

fn pass<'a>(stage: &'a Stage, user: &'a ScimUser, key: &Key) -> Option<Pass<'a>> {
    let held = stage.context.post(&stage.connection.key)?.held;
    Some(Pass {
        user,
        key: key.clone(),
        uid: user.uid().unwrap_or_default(),
        before: stage.context.user_statuses.last(user),
        endpoint_hash: Some(names::endpoint_hash(&stage.object.spec.endpoint)),
        context: &stage.context,
        held,
        seen_stale: false.into(),
    })
}

/// How it came out, for the guard's share, for managers and for groups: as it is, not as it would be.
fn note(pass: &Pass<'_>, stage: &Stage, look: &Look) {
    let account = look.account.as_ref();
    let id = account.map(|account| account.id.clone());
    let outcome = Outcome {
        state: look.state,
        reason: Reason::Synced,
        id: id.or_else(|| pass.recorded().map(str::to_owned)),
        archived: account.map_or_else(
            || report::was_archived(pass),
            |account| account.active == Some(false),
        ),
        retry_on_listing: false,
        retry_soon: false,
        undecided: false,
    };
    stage.connection.note(&pass.key, Some(outcome));
}

async fn look(pass: &Pass<'_>, stage: &Stage) -> Result<Look, Trouble> {
    let (connection, ready) = (&stage.connection, &stage.ready);
    if pass.user.metadata.deletion_timestamp.is_some() {
        return leaving(pass, stage).await;
    }
    let allowed = &ready.spec.allowed_namespaces;
    let home = &connection.key.namespace;
    if !pass.context.allows(allowed, home, &pass.key.namespace) {
        let why = format!(
            "spec.connectionRef: ScimConnection {} does not allow resources of this namespace",
            connection.key
        );
        return Ok(invalid(why));
    }
    if pass.user.spec.suspend {
        let why = "spec.suspend: the account is left alone";
        return Ok(Look::because(Action::Suspended, why));
    }
    let judged = match consider::judge(pass, connection, ready, &ready.spec) {
        Ok(judged) => judged,
        Err(Stopped { valid, archives }) => {
            let stopped = Look {
                depends: valid.reason == Reason::DuplicateUserName,
                ..invalid(valid.message)
            };
            if !archives {
                return Ok(stopped);
            }
            return match farewell::find(pass, connection, ready).await {
                Ok(Leaver::One(account)) if account.active != Some(false) => Ok(Look {
                    why: stopped.why,
                    state: State::Invalid,
                    ..archiving(account)
                }),
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
    let complete = connection.directory().complete();
    let lost = pass.before.id.is_some() && connection.loss().blocks();
    let archives = plan.archives();
    let action = action(&plan);
    let blocked = matches!(plan, Plan::Blocked(_));
    let mut look = match plan {
        Plan::Noop(account) => Look {
            account: Some(account),
            ..Look::at(if adopted {
                Action::Adopt
            } else {
                Action::Nothing
            })
        },
        Plan::Create if !complete => Look::because(
            Action::Wait,
            "the listing of the backend is not complete; creating now could make a second account",
        ),
        Plan::Create if lost => Look::because(Action::Hold, guard::LOST),
        Plan::Create => Look {
            changes: made(desired),
            ..Look::at(Action::Create)
        },
        Plan::Update {
            account, changes, ..
        } => Look {
            changes: changes.iter().map(|c| changed(c, &account)).collect(),
            account: Some(account),
            asks: archives.then_some(Deprovisioning::Archive),
            ..Look::at(action)
        },
        Plan::Blocked(identity) => {
            let (_, why) = outcome::blocked(&identity, "account");
            Look::because(Action::Wait, why)
        }
    };
    look.depends = blocked || judged.pending_manager.is_some();
    Ok(look)
}

fn action(plan: &Plan) -> Action {
    match plan {
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
    Look {
        state: State::Invalid,
        ..Look::because(Action::Invalid, why)
    }
}

fn archiving(account: Observed) -> Look {
    Look {
        changes: vec![Changed {
            attribute: "active".into(),
            from: account.active.map(Value::Bool),
            to: Some(Value::Bool(false)),
        }],
        account: Some(account),
        asks: Some(Deprovisioning::Archive),
        ..Look::at(Action::Archive)
    }
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
        Farewell::Forget => Look::because(Action::Release, "nothing is left to do at the backend"),
        Farewell::Archive(account) => archiving(account),
        Farewell::Delete(account) => Look {
            account: Some(account),
            asks: Some(Deprovisioning::Delete),
            ..Look::at(Action::Delete)
        },
    })
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
