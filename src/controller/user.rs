//! The reconciler of ScimUser: one pass through validate → observe → plan → act → report.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;

use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::connection::{Mode, ScimConnectionSpec};
use crate::api::{ScimUser, ScimUserStatus};
use crate::controller::act::{self, Applied};
use crate::controller::consider::{self, Considered, Judged, Stopped, Term};
use crate::controller::context::Context;
use crate::controller::index::Key;
use crate::controller::kept::KeptUser;
use crate::controller::live::{Connection, Phase, Ready, State};
use crate::controller::outcome;
use crate::controller::report::{self, Report};
use crate::controller::roster::{Held, Post};
use crate::controller::{
    connection, connection_end, farewell, finalizer, guard, refusal, scope, slots,
};
use crate::domain::conditions::{Outlook, Verdict};
use crate::domain::guard::{Answer, Deprovisioning, Scope};
use crate::domain::names;
use crate::domain::plan::Plan;
use crate::domain::record::Record;
use crate::scim::Lane;

/// What one pass works on.
pub struct Pass<'a> {
    /// The resource as the watch last saw it.
    pub user: &'a ScimUser,
    /// Its namespace and name.
    pub key: Key,
    /// Its uid.
    pub uid: String,
    /// The status that was last written.
    pub before: ScimUserStatus,
    /// Which backend the connection leads to now, where there is a connection.
    pub endpoint_hash: Option<String>,
    /// What every reconciler shares.
    pub context: &'a Context,
    /// What the pass writes by.
    pub held: Held,
    /// The account had changed under this pass once: a second time is a failure, not a loop.
    pub seen_stale: std::sync::atomic::AtomicBool,
}

/// Brings one user up to date.
///
/// # Errors
/// When the API server cannot be written to.
pub async fn reconcile(kept: Arc<KeptUser>, context: Arc<Context>) -> Result<Action, kube::Error> {
    let key = context.index(|index| index.same(Key::of(&*kept)));
    context.begun.tell(&key);
    if context.unreadable.contains::<ScimUser>(&key) {
        return Ok(Action::await_change());
    }
    let Some(connection_key) = context.index(|index| index.connection_of(&key)) else {
        return Ok(Action::await_change());
    };
    let Some(Post { held, connection }) = context.post(&connection_key) else {
        // Another replica's, or nobody knows yet. All of a connection are woken when it becomes ours.
        return Ok(Action::await_change());
    };
    // What was handed over may be from before it became ours; what the watch has now is not.
    let user = context.user(&key);
    let Some(user) = user.filter(|user| Key::connection_of(user) == connection_key) else {
        // Gone, or about to be seen as another one of that name, which has a pass of its own.
        return Ok(Action::await_change());
    };
    let spec = connection.as_ref().and_then(|c| c.spec());
    let pass = Pass {
        key,
        uid: user.uid().unwrap_or_default(),
        before: context.user_statuses.last(&*user),
        endpoint_hash: spec.as_ref().map(|s| names::endpoint_hash(&s.endpoint)),
        user: &user,
        context: &context,
        held,
        seen_stale: false.into(),
    };
    if let Some(action) = farewell::exit(&pass, connection.as_deref()).await? {
        return Ok(action);
    }
    let line = connection.clone();
    let line = line
        .as_ref()
        .map_or(&context.orphan_slots, |c| &c.user_slots);
    let lane = pass.lane();
    let Some(_slot) = line.take(&pass.key, lane, |next| context.wake_users([next])) else {
        return Ok(scope::at_the_latest(
            &context,
            &*user,
            Action::await_change(),
        ));
    };
    if user.metadata.deletion_timestamp.is_some() {
        return farewell::part(&pass, connection.as_deref()).await;
    }
    let Some(connection) = connection else {
        let (reason, message) = connection_end::missing(&context, &connection_key);
        return pass
            .stop(None, Verdict::no(C::Valid, reason, message))
            .await;
    };
    let Some(spec) = spec else {
        return Ok(Action::await_change());
    };
    if !context.allows(
        &spec.allowed_namespaces,
        &connection_key.namespace,
        &pass.key.namespace,
    ) {
        let message = consider::not_let_in(&connection_key);
        return pass
            .stop(
                Some(&connection),
                Verdict::no(C::Valid, Reason::ConnectionNotAllowed, message),
            )
            .await;
    }
    if user.spec.suspend {
        finalizer::free(&context, &pass.held, &*user).await?;
        return report::write(&pass, Some(&connection), Report::suspended(&pass))
            .await
            .map(|()| Action::await_change());
    }
    match connection.phase_for(&pass.key) {
        Phase::Ready(ready) => work(&pass, &connection, &ready.in_lane(lane), &spec).await,
        Phase::Starting => Ok(Action::await_change()),
        Phase::NotReady(_) => {
            outcome::connection_not_ready(&pass, &connection, &connection_key).await
        }
    }
}

async fn work(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    connection_spec: &ScimConnectionSpec,
) -> Result<Action, kube::Error> {
    let spec = &pass.user.spec;
    let Term { expires_in, .. } = Term::of(spec);
    let judged = match consider::judge(pass, connection, ready, connection_spec) {
        Ok(judged) => judged,
        Err(Stopped { valid, archives }) => {
            let archived = if archives && ready.spec.mode == Mode::Enforce {
                farewell::archive_now(pass, connection, ready).await
            } else {
                Ok(())
            };
            let action = pass.stop(Some(connection), valid).await?;
            return match archived {
                Ok(()) => Ok(wake_at_expiry(action, expires_in)),
                Err(error) => {
                    if outcome::is_the_connections(&error) && connection.serves(ready) {
                        connection.suspect();
                        pass.context.wake_connection(&connection.key);
                    }
                    Ok(Action::requeue(pass.context.next_wait(&pass.uid)))
                }
            };
        }
    };
    if ready.spec.mode == Mode::Enforce
        && finalizer::begin(pass.context, &pass.held, pass.user).await? == finalizer::Ensured::Raced
    {
        return Ok(Action::requeue(Duration::from_millis(50)));
    }
    if ready.spec.mode == Mode::DryRun {
        finalizer::free(pass.context, &pass.held, pass.user).await?;
    }
    let mut applied = step(pass, connection, ready, &judged).await?;
    if let Applied::LookAgain = applied {
        // The backend said that the name is taken, and the account is in the directory now.
        applied = step(pass, connection, ready, &judged).await?;
    }
    if let Applied::Failed(error) = &applied
        && outcome::is_the_connections(error)
        && !connection.serves(ready)
    {
        // Sent away, or answered to a token or an endpoint of before: what is in force now decides.
        return Ok(Action::requeue(Duration::from_millis(50)));
    }
    let end = outcome::End {
        valid: &judged.valid,
        expired: judged.expired,
        pending_manager: judged.pending_manager,
        profile_hash: &ready.profile_hash,
    };
    let action = outcome::applied(pass, connection, end, applied).await?;
    Ok(wake_at_expiry(action, expires_in))
}

fn wake_at_expiry(action: Action, expires_in: Option<jiff::SignedDuration>) -> Action {
    match expires_in {
        Some(left) if left.is_positive() => {
            soonest(action, Duration::try_from(left).unwrap_or(Duration::MAX))
        }
        _ => action,
    }
}

/// Requeues at `wait`, unless something sooner was asked for. An `Action` cannot be read, so the
/// later of the two is found by asking again when the sooner comes.
fn soonest(action: Action, wait: Duration) -> Action {
    if action == Action::await_change() {
        Action::requeue(wait.min(Duration::from_secs(24 * 3600)) + Duration::from_millis(10))
    } else {
        action
    }
}

/// Observe, plan, act: once.
async fn step(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    judged: &Judged,
) -> Result<Applied, kube::Error> {
    let valid = &judged.valid;
    let (plan, adopted) = match consider::consider(pass, connection, ready, judged).await {
        Considered::Planned { plan, adopted } => (plan, adopted),
        Considered::CannotTell(why) => {
            pass.context.wake_connection(&connection.key);
            return Ok(Applied::Waiting(why));
        }
        Considered::Failed(error) => return Ok(Applied::Failed(error)),
    };
    if ready.spec.mode == Mode::DryRun && !matches!(plan, Plan::Noop(_) | Plan::Blocked(_)) {
        return Ok(Applied::Shown {
            plan: plan.status(&valid.desired),
        });
    }
    if let Some(why) = consider::not_yet(pass, connection, &plan) {
        return Ok(Applied::Waiting(why));
    }
    if plan.archives() {
        match guard::ask(pass, connection, Deprovisioning::Archive, Scope::Alone) {
            Answer::Go => {}
            Answer::Wait => return Ok(Applied::Later),
            answer @ (Answer::Held | Answer::Halted) => {
                let plan = plan.status(&valid.desired);
                let why = guard::why(answer);
                return Ok(Applied::Held { plan, why });
            }
        }
    }
    let applied = act::apply(pass, connection, ready, valid, plan, adopted).await?;
    // An account that stays active against what it was told keeps its grant: trying again is free.
    if let Applied::Done { account, .. } = &applied
        && (valid.desired.active || account.active != Some(true))
    {
        guard::done(pass, connection);
    }
    Ok(applied)
}

impl Pass<'_> {
    /// Ends the pass with a broken rule.
    async fn stop(
        &self,
        connection: Option<&Connection>,
        valid: Verdict,
    ) -> Result<Action, kube::Error> {
        let connection_key = Key::connection_of(self.user);
        if connection.is_some() || !self.context.sees(&connection_key.namespace) {
            // Whose connection does not exist may wait for it to come; and goes without one.
            finalizer::free(self.context, &self.held, self.user).await?;
        }
        let archived = match connection {
            Some(connection) => report::archived_seen(self, connection),
            None => report::archived_before(self),
        };
        let report = Report::invalid(self, valid, archived);
        report::write(self, connection, report).await?;
        Ok(Action::await_change())
    }

    fn record(&self) -> Record<'_> {
        Record {
            id: self.before.id.as_deref(),
            endpoint_hash: self.before.endpoint_hash.as_deref(),
            synced_generation: self.before.synced_generation,
        }
    }

    /// The recorded id, where it is one of the backend that the connection leads to now.
    pub fn recorded(&self) -> Option<&str> {
        self.record().at(self.endpoint_hash.as_deref())
    }

    /// The id that `spec.adopt` names, as far as it is still to be taken over.
    pub fn adopts(&self) -> Option<&str> {
        let adopt = self.user.spec.adopt.as_ref().map(|adopt| &*adopt.id);
        let generation = self.user.metadata.generation;
        self.record()
            .adopts(adopt, self.endpoint_hash.as_deref(), generation)
    }

    /// The hash of the name that a create was begun by, whose outcome is not recorded: a pass may have
    /// written it.
    pub fn begun_to_create(&self) -> Option<String> {
        self.context.user_statuses.last(self.user).creating
    }

    /// Whether the conditions already speak of this generation.
    pub fn reported_on_this_generation(&self) -> bool {
        self.before.observed_generation == self.user.metadata.generation
            && !self.before.conditions.is_empty()
    }

    /// Where it stands in line. Whoever has to go and has not gone is never put off, whatever was in step.
    pub fn lane(&self) -> Lane {
        let must_go = report::leaves(self) && !report::was_archived(self);
        let ScimUserStatus {
            synced_generation,
            last_handled_reconcile_at,
            ..
        } = &self.before;
        slots::lane_of(
            self.user,
            *synced_generation,
            last_handled_reconcile_at.as_deref(),
            must_go,
        )
    }

    /// The reconcile request that this pass answers.
    pub fn request(&self) -> Option<String> {
        connection::requested(self.user).or_else(|| self.before.last_handled_reconcile_at.clone())
    }
}

/// How long to wait after the API server refused a write.
pub fn on_error(user: Arc<KeptUser>, error: &kube::Error, context: Arc<Context>) -> Action {
    tracing::debug!(user = %Key::of(&*user), error = refusal::told(error), "the API server did not take a write");
    Action::requeue(context.next_wait(&user.uid().unwrap_or_default()))
}

impl Outlook {
    /// The state that the connection counts.
    pub fn state(self) -> State {
        if self == Self::Settled {
            State::InStep
        } else {
            State::Failing
        }
    }
}
