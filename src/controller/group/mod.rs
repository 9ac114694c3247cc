//! The reconciler of ScimGroup: validate → observe → plan → act → report, as for a user. `act` and
//! `farewell` alone write to the backend, `report` alone writes status.

pub mod act;
pub mod consider;
pub mod farewell;
pub mod index;
pub mod members;
pub mod observe;
pub mod outcome;
pub mod report;
pub mod side;
pub mod write;

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;

use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::connection::{Mode, ScimConnectionSpec};
use crate::api::{ScimGroup, ScimGroupStatus};
use crate::controller::consider::not_let_in;
use crate::controller::context::Context;
use crate::controller::index::Key;
use crate::controller::live::{Connection, Phase, Ready};
use crate::controller::roster::{Held, Post};
use crate::controller::{connection, connection_end, finalizer, refusal, scope, slots};
use crate::domain::conditions::Verdict;
use crate::domain::group::validate_group;
use crate::domain::names;
use crate::domain::record::Record;
use crate::domain::validate::sentence;
use crate::scim::Lane;

use act::Applied;
use report::Report;

/// How often one pass looks again without having written anything new. More is a backend that does not
/// keep what it is told.
const ROUNDS: usize = 8;
/// So many changes in one pass, and only [`ROUNDS`] more: a backend that undoes each would otherwise keep
/// it busy for ever.
const MOST_PROGRESS: usize = 20_000;
/// How long additions are gathered while more members are on their way.
const GATHER: Duration = Duration::from_secs(5);

/// What one pass works on.
pub struct Pass<'a> {
    /// The resource as the watch last saw it.
    pub group: &'a ScimGroup,
    /// Its namespace and name.
    pub key: Key,
    /// Its uid.
    pub uid: String,
    /// The status that was last written.
    pub before: ScimGroupStatus,
    /// The connection's spec, where there is a connection.
    pub connection_spec: Option<ScimConnectionSpec>,
    /// Which backend the connection leads to now, where there is a connection.
    pub endpoint_hash: Option<String>,
    /// The connection that it names.
    pub connection_key: Key,
    /// What every reconciler shares.
    pub context: &'a Context,
    /// What the pass writes by.
    pub held: Held,
}

/// Brings one group up to date.
///
/// # Errors
/// When the API server cannot be written to.
pub async fn reconcile(
    group: Arc<ScimGroup>,
    context: Arc<Context>,
) -> Result<Action, kube::Error> {
    let key = Key::of(&*group);
    if context.unreadable.contains::<ScimGroup>(&key) {
        return Ok(Action::await_change());
    }
    let connection_key = index::connection_of(&group);
    let Some(Post { held, connection }) = context.post(&connection_key) else {
        // Another replica's, or nobody knows yet. All of a connection are woken when it becomes ours.
        return Ok(Action::await_change());
    };
    // What was handed over may be from before it became ours; what the watch has now is not.
    let Some(group) = context.group(&key) else {
        return Ok(Action::await_change());
    };
    if !context.users_are_known() {
        // A selector over half of the users would remove the other half.
        return Ok(Action::requeue(Duration::from_millis(200)));
    }
    let spec = connection.as_ref().and_then(|c| c.spec());
    let pass = Pass {
        key,
        uid: group.uid().unwrap_or_default(),
        before: context.group_statuses.last(&*group),
        endpoint_hash: spec.as_ref().map(|s| names::endpoint_hash(&s.endpoint)),
        connection_spec: spec,
        connection_key,
        group: &group,
        context: &context,
        held,
    };
    if let Some(action) = farewell::exit(&pass, connection.as_deref()).await? {
        return Ok(action);
    }
    let line = connection.clone();
    let line = line
        .as_ref()
        .map_or(&context.orphan_group_slots, |c| &c.group_slots);
    let lane = pass.lane();
    let Some(_slot) = line.take(&pass.key, lane, |next| context.wake_groups([next])) else {
        return Ok(scope::at_the_latest(
            &context,
            &*group,
            Action::await_change(),
        ));
    };
    if group.metadata.deletion_timestamp.is_some() {
        return farewell::part(&pass, connection.as_deref()).await;
    }
    let Some(connection) = connection else {
        let (reason, message) = connection_end::missing(&context, &pass.connection_key);
        return pass.stop(None, reason, message).await;
    };
    if pass.connection_spec.is_none() {
        return Ok(Action::await_change());
    }
    if !pass.lets_in(&pass.key.namespace) {
        let message = not_let_in(&pass.connection_key);
        let reason = Reason::ConnectionNotAllowed;
        return pass.stop(Some(&connection), reason, message).await;
    }
    if group.spec.suspend {
        finalizer::free(&context, &pass.held, &*group).await?;
        let report = Report::suspended(&pass);
        report::write(&pass, Some(&connection), report).await?;
        return Ok(Action::await_change());
    }
    match connection.phase_for_group(&pass.key) {
        Phase::Ready(ready) => work(&pass, &connection, &ready.in_lane(lane)).await,
        Phase::Starting => Ok(Action::await_change()),
        Phase::NotReady(_) => {
            // Told once to groups that are not in step; all others keep what they have (R10).
            if !pass.is_in_step() {
                let report = Report::connection_not_ready(&pass);
                report::write(&pass, Some(&connection), report).await?;
            }
            Ok(Action::await_change())
        }
    }
}

async fn work(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
) -> Result<Action, kube::Error> {
    let spec = &pass.group.spec;
    let Pass { key, .. } = pass;
    let desired = match validate_group(spec, &ready.owner_id, &key.namespace, &key.name) {
        Ok(desired) => desired,
        Err(violations) => {
            let message = sentence(&violations);
            return pass
                .stop(Some(connection), Reason::SpecInvalid, message)
                .await;
        }
    };
    if ready.spec.mode == Mode::Enforce
        && finalizer::begin(pass.context, &pass.held, pass.group).await?
            == finalizer::Ensured::Raced
    {
        return Ok(Action::requeue(Duration::from_millis(50)));
    }
    if ready.spec.mode == Mode::DryRun {
        finalizer::free(pass.context, &pass.held, pass.group).await?;
    }
    let mut written = act::Written::default();
    let mut applied = Applied::LookAgain;
    let mut idle = 0;
    while matches!(applied, Applied::LookAgain) && idle < ROUNDS {
        let before = written.progress();
        applied = act::step(pass, connection, ready, &desired, &mut written).await?;
        // Members that come and go are no end in themselves.
        idle = if written.progress() > before && written.progress() < MOST_PROGRESS {
            0
        } else {
            idle + 1
        };
    }
    if let Applied::Failed(error) = &applied
        && crate::controller::outcome::is_the_connections(error)
        && !connection.serves(ready)
    {
        // Sent away, or answered to a token or an endpoint of before: what is in force now decides.
        return Ok(Action::requeue(Duration::from_millis(50)));
    }
    outcome::applied(pass, connection, applied, &written).await
}

impl Pass<'_> {
    /// Ends the pass with a broken rule.
    async fn stop(
        &self,
        connection: Option<&Connection>,
        reason: Reason,
        message: String,
    ) -> Result<Action, kube::Error> {
        if connection.is_some() || !self.context.sees(&self.connection_key.namespace) {
            // What has no connection may wait for it to come; and goes without one.
            finalizer::free(self.context, &self.held, self.group).await?;
        }
        let report = Report::invalid(self, Verdict::no(C::Valid, reason, message));
        report::write(self, connection, report).await?;
        Ok(Action::await_change())
    }

    /// Whether the connection lets resources of `namespace` in.
    pub fn lets_in(&self, namespace: &str) -> bool {
        self.connection_spec.as_ref().is_some_and(|spec| {
            let home = &self.connection_key.namespace;
            self.context
                .allows(&spec.allowed_namespaces, home, namespace)
        })
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
        let adopt = self.group.spec.adopt.as_ref().map(|adopt| &*adopt.id);
        let generation = self.group.metadata.generation;
        self.record()
            .adopts(adopt, self.endpoint_hash.as_deref(), generation)
    }

    /// The status as it is now: a pass may write some of it before it ends.
    pub fn status(&self) -> ScimGroupStatus {
        self.context.group_statuses.last(self.group)
    }

    /// The hash of the name that a create was begun by, whose outcome is not recorded.
    pub fn begun_to_create(&self) -> Option<String> {
        self.status().creating
    }

    /// Whether the group was not yet brought in step with this spec, at this backend.
    pub fn spec_changed(&self) -> bool {
        self.before.synced_generation != self.group.metadata.generation || self.recorded().is_none()
    }

    /// Where it stands in line.
    pub fn lane(&self) -> Lane {
        let ScimGroupStatus {
            synced_generation,
            last_handled_reconcile_at,
            ..
        } = &self.before;
        slots::lane_of(
            self.group,
            *synced_generation,
            last_handled_reconcile_at.as_deref(),
            false,
        )
    }

    /// Whether what was last reported is that this generation is in step.
    pub fn is_in_step(&self) -> bool {
        let ready = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
            c.type_ == C::Ready.as_str() && c.status == "True"
        };
        self.before.observed_generation == self.group.metadata.generation
            && self.before.conditions.iter().any(ready)
    }

    /// The reconcile request that this pass answers.
    pub fn request(&self) -> Option<String> {
        connection::requested(self.group).or_else(|| self.before.last_handled_reconcile_at.clone())
    }
}

/// How long to wait after the API server refused a write.
pub fn on_error(group: Arc<ScimGroup>, error: &kube::Error, context: Arc<Context>) -> Action {
    tracing::debug!(group = %Key::of(&*group), error = refusal::told(error), "the API server did not take a write");
    Action::requeue(context.next_wait(&group.uid().unwrap_or_default()))
}
