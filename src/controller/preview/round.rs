//! What follows from looks at users together: the guard decides on all who would leave, and whatever would be done counts
//! as done for whoever is looked at after them.

use std::sync::Arc;

use kube::runtime::watcher::Event;
use serde_json::Value;

use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::{ScimConnection, ScimUser};
use crate::controller::index::Key;
use crate::controller::live::Outcome;
use crate::controller::preview::stage::Stage;
use crate::controller::preview::users::pass;
use crate::controller::preview::{Action, Step, groups};
use crate::controller::{guard, scope};
use crate::domain::guard::{Answer, Deprovisioning, Limit, Scope};

/// One look at everybody whom it concerns, and what follows from all of them together.
#[derive(Default)]
pub(super) struct Round {
    leaving: Vec<(usize, Arc<ScimUser>, Deprovisioning)>,
    looked_at: Vec<usize>,
}

impl Round {
    /// One was looked at, whose step stands there.
    pub(super) fn take(&mut self, at: usize, user: Arc<ScimUser>, asks: Option<Deprovisioning>) {
        self.looked_at.push(at);
        if let Some(action) = asks {
            self.leaving.push((at, user, action));
        }
    }

    /// Has the guard decide, and takes for done what would be.
    pub(super) async fn end(self, stage: &mut Stage, steps: &mut [Step]) {
        decide(stage, steps, &self.leaving).await;
        for at in self.looked_at {
            is_done(stage, &steps[at]);
        }
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
        let pass = pass(stage, user, &key);
        let ending = scope::of(pass.context, user);
        let scope = ending.map_or(Scope::Alone, |ending| ending.scope);
        guard::ask(&pass, &stage.connection, action, scope)
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
        let answer = ask(user, *action);
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

/// Whoever would be created has an account, and whoever would go is gone, for whoever comes after.
fn is_done(stage: &mut Stage, step: &Step) {
    let key = Key::new(&*step.namespace, &*step.name);
    match step.action {
        Action::Create => {
            let outcome = Outcome::in_step(Some(groups::planned(&key)));
            stage.connection.note(&key, Some(outcome));
        }
        Action::Archive | Action::Delete | Action::Release => {
            let going = stage.context.kept(&key).filter(|kept| kept.is_going);
            let Some(kept) = going else {
                return;
            };
            if let Some(id) = stage.connection.id_of(&key) {
                has_left(stage, &id, step.action);
                stage.left.insert(id, key.clone());
            }
            stage.context.index(|index| index.remove(&key));
            stage.connection.note(&key, None);
            let gone = Event::Delete((*kept).clone());
            stage.users.apply_watcher_event(&gone);
        }
        _ => {}
    }
}

/// The account of somebody who has gone, as it would be.
fn has_left(stage: &Stage, id: &str, action: Action) {
    let mut directory = stage.connection.directory();
    match action {
        Action::Delete => directory.remove(id),
        Action::Archive => {
            if let Some(mut account) = directory.last_known(id) {
                account.active = Some(false);
                let off = Value::Bool(false);
                account.attributes.insert("active".into(), off);
                directory.put(account);
            }
        }
        _ => {}
    }
}
