//! The guard of a connection at work: who asks it, what its reconciler decides and writes down, and what
//! status says of it. The decisions are `domain::guard`'s.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt};

use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::connection::{Deprovisioned, HeldPlan, ScimConnectionSpec};
use crate::api::{ANNOTATION_APPROVE_PLAN, ScimConnection};
use crate::controller::context::Context;
use crate::controller::index::Key;
use crate::controller::live::Connection;
use crate::controller::user::Pass;
use crate::domain::conditions::Verdict;
use crate::domain::guard::{Answer, Case, Deprovisioning, Limit, Remembered};
use crate::domain::names;

/// Why a deprovisioning is held, for the one who is held.
pub const HELD: &str = "the deprovisioning guard holds this for approval; the connection's heldPlan says what, and how to approve it";

/// How many of those that are let go at once are written down; whoever is beyond would ask again.
const UNDER_WAY: usize = 10_000;

/// Asks whether the person of this pass may be deprovisioned now. Whoever has to wait is woken when it
/// is decided.
pub fn ask(pass: &Pass<'_>, connection: &Connection, action: Deprovisioning) -> Answer {
    let case = Case {
        namespace: pass.key.namespace.clone(),
        name: pass.key.name.clone(),
        uid: pass.uid.clone(),
        action,
    };
    let answer = connection.guard().ask(&case);
    if answer == Answer::Wait {
        pass.context.wake_connection(&connection.key);
    }
    answer
}

/// The person of this pass is deprovisioned, or is to stay.
pub fn done(pass: &Pass<'_>, connection: &Connection) {
    if connection.guard().withdraw(&pass.uid) {
        pass.context.recount(&connection.key);
    }
}

/// Decides on everybody who asked, and on an approval; what comes of it is told after it is written down.
pub fn decide(object: &ScimConnection, context: &Context, connection: &Connection, counted: bool) {
    let outcomes = connection.outcomes();
    // Whoever is archived already cannot go again, and makes no room for others.
    let now = outcomes
        .values()
        .filter(|o| o.id.is_some() && !o.archived)
        .count();
    // After a start not everybody was looked at yet.
    let known = object.status.as_ref().and_then(|s| s.users);
    let known = known
        .filter(|_| !counted)
        .map_or(0, |users| users.provisioned.saturating_sub(users.archived));
    let provisioned = u32::try_from(now).unwrap_or(u32::MAX).max(known);
    let seconds = jiff::Timestamp::now().as_second();
    let is_there = |case: &Case| {
        let key = Key::new(&*case.namespace, &*case.name);
        context.index(|index| index.is_declared(&key))
    };
    let mut guard = connection.guard();
    guard.keep(is_there);
    guard.decide(limit(&object.spec), provisioned, seconds);
    let approval = object.annotations().get(ANNOTATION_APPROVE_PLAN);
    let released = guard.approve(approval.map(String::as_str));
    drop(guard);
    if released > 0 {
        let note = format!("{released} users are deprovisioned by approval");
        let reference = object.object_ref(&());
        context
            .events
            .normal(reference, "PlanApproved", "Deprovision", note);
    }
}

/// Wakes those whose case was decided.
pub fn tell(context: &Context, cases: impl IntoIterator<Item = Case>) {
    let keys = cases
        .into_iter()
        .map(|case| Key::new(case.namespace, case.name));
    context.wake_users(keys);
}

fn limit(spec: &ScimConnectionSpec) -> Limit {
    let guard = &spec.deprovision_guard;
    Limit {
        max_percent: guard.max_percent,
        minimum: guard.minimum,
        window: names::duration_seconds(&guard.window)
            .unwrap_or(3600)
            .max(1),
    }
}

/// What is held, for status; after a restart what it said before, until the plan is whole again.
pub fn held_plan(connection: &Connection, before: Option<&HeldPlan>) -> Option<HeldPlan> {
    let guard = connection.guard();
    if guard.is_resuming() {
        return before.cloned();
    }
    let plan = guard.plan()?;
    Some(HeldPlan {
        hash: plan.hash,
        count: u32::try_from(plan.count).unwrap_or(u32::MAX),
        users: plan.first,
    })
}

/// The plan that was approved last, for status.
pub fn approved_plan(connection: &Connection) -> Option<String> {
    connection.guard().approved().map(str::to_owned)
}

/// What was spent, for status.
pub fn deprovisioned(connection: &Connection) -> Vec<Deprovisioned> {
    let guard = connection.guard();
    let spent = guard.spent().filter_map(|(at, count)| {
        let at = jiff::Timestamp::from_second(at).ok()?;
        Some(Deprovisioned {
            at: Time(at),
            count,
        })
    });
    spent.collect()
}

/// Who was let go and is not known to have gone, for status.
pub fn under_way(connection: &Connection) -> Vec<String> {
    let mut hashes: Vec<String> = connection.guard().under_way().collect();
    hashes.sort();
    hashes.truncate(UNDER_WAY);
    hashes
}

/// Takes up what was written down before a restart.
pub fn restore(object: &ScimConnection, connection: &Connection) {
    if let Some(status) = &object.status {
        let spent = status.deprovisioned.iter();
        let spent = spent.map(|entry| (entry.at.0.as_second(), entry.count));
        connection.guard().restore(Remembered {
            spent: spent.collect(),
            held: status.held_plan.as_ref().map(|plan| plan.hash.clone()),
            approved: status.approved_plan.clone(),
            under_way: status.under_way.iter().cloned().collect(),
        });
    }
}

/// `DeprovisioningHeld`, while something is held.
pub fn verdict(plan: &HeldPlan) -> Verdict {
    let HeldPlan { count, hash, .. } = plan;
    Verdict::yes(
        C::DeprovisioningHeld,
        Reason::GuardExceeded,
        format!(
            "{count} users would be archived or deleted beyond spec.deprovisionGuard; the annotation {ANNOTATION_APPROVE_PLAN}={hash} approves exactly these"
        ),
    )
}
