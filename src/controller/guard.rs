//! The guard of a connection at work: who asks it, what its reconciler decides and writes down, and what
//! status says of it. The decisions are `domain::guard`'s.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt};

use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::connection::{Deprovisioned, HeldPlan, MissingAccounts, Mode, ScimConnectionSpec};
use crate::api::{ANNOTATION_APPROVE_PLAN, ScimConnection, ScimUser};
use crate::controller::context::Context;
use crate::controller::index::Key;
use crate::controller::live::Connection;
use crate::controller::loss;
use crate::controller::scope;
use crate::controller::user::Pass;
use crate::domain::conditions::Verdict;
use crate::domain::guard::{Answer, Case, Deprovisioning, Halt, Limit, Remembered, Scope};
use crate::domain::names;

/// Why a deprovisioning is held, for the one who is held.
const HELD: &str = "the deprovisioning guard holds this for approval; the connection's heldPlan says what, and how to approve it";
const HALTED: &str =
    "nobody is deprovisioned at the moment; the connection's condition DeprovisioningHeld says why";
/// Why an account that was recorded and is missing is not made anew, nor taken for gone.
pub const LOST: &str = "what was recorded of it is missing at the backend, as others are; the connection's condition DeprovisioningHeld says what that means, and how to approve it";

/// Why nothing is done, for the one who is held.
pub fn why(answer: Answer) -> &'static str {
    match answer {
        Answer::Halted => HALTED,
        Answer::Go | Answer::Wait | Answer::Held => HELD,
    }
}

/// How many of those that are let go at once are written down; whoever is beyond would ask again.
const UNDER_WAY: usize = 10_000;

/// Asks whether the person of this pass may be deprovisioned now. Whoever has to wait is woken when it
/// is decided.
pub fn ask(
    pass: &Pass<'_>,
    connection: &Connection,
    action: Deprovisioning,
    scope: Scope,
) -> Answer {
    let case = case(&pass.key, &pass.uid, action);
    let answer = connection.guard().ask(&case, scope);
    if matches!(answer, Answer::Wait | Answer::Halted) {
        pass.context.wake_connection(&connection.key);
    }
    answer
}

/// The person of this pass is deprovisioned, or is to stay.
pub fn done(pass: &Pass<'_>, connection: &Connection) {
    if withdraw(connection, &pass.key, &pass.uid) {
        pass.context.recount(&connection.key);
    }
}

/// Nobody asks for this one any more; true when that changes what is written down.
pub fn withdraw(connection: &Connection, user: &Key, uid: &str) -> bool {
    let case = case(user, uid, Deprovisioning::Archive);
    connection.guard().withdraw(&case)
}

fn case(user: &Key, uid: &str, action: Deprovisioning) -> Case {
    Case {
        namespace: user.namespace.to_string(),
        name: user.name.to_string(),
        uid: uid.to_owned(),
        action,
    }
}

/// Decides on everybody who asked, and on an approval; what comes of it is told after it is written down.
pub async fn decide(
    object: &ScimConnection,
    context: &Context,
    connection: &Connection,
    counted: bool,
) {
    let asked = connection.guard().is_asked();
    // Looked at now, since its own watch may come after those of what it takes along.
    let kind_ends = asked && scope::kind_ends::<ScimUser>(context).await;
    // Whoever is archived already cannot go again, and makes no room for others.
    let (now, undecided) = connection.outcomes(|all| {
        let active = all.values().filter(|o| o.id.is_some() && !o.archived);
        (active.count(), all.values().any(|o| o.undecided))
    });
    // After a start not everybody was looked at yet.
    let known = object.status.as_ref().and_then(|s| s.users);
    let known = known
        .filter(|_| !counted)
        .map_or(0, |users| users.provisioned.saturating_sub(users.archived));
    let provisioned = u32::try_from(now).unwrap_or(u32::MAX).max(known);
    let seconds = context.seconds();
    let is_there = |case: &Case| {
        let key = Key::new(&*case.namespace, &*case.name);
        context.is_declared(&key)
    };
    let approval = object.annotations().get(ANNOTATION_APPROVE_PLAN);
    let approval = approval.map(String::as_str);
    let recognised = connection.loss().approve(approval);
    let halt = if connection.loss().blocks() {
        Halt::Stop
    } else if connection.directory().complete() {
        Halt::No
    } else {
        Halt::Hold
    };
    let mut guard = connection.guard();
    guard.keep(is_there);
    let resumed = guard.halt(halt);
    guard.decide(limit(&object.spec), provisioned, seconds, kind_ends);
    // Without a whole listing, or in DryRun, not everybody asks who would go; and when that is over, not
    // everybody has at once.
    let everybody_asked = counted && !undecided;
    if everybody_asked && halt == Halt::No && object.spec.mode == Mode::Enforce {
        guard.everybody_asked();
    }
    let released = guard.approve(approval);
    drop(guard);
    tell(context, resumed);
    if recognised {
        context.wake(context.everyone_of(&connection.key));
        let note = "what the backend lacks is made anew by approval".to_owned();
        let reference = object.object_ref(&());
        connection
            .held
            .events
            .normal(reference, "PlanApproved", "Provision", note);
    }
    if released > 0 {
        let note = format!("{released} users are deprovisioned by approval");
        let reference = object.object_ref(&());
        connection
            .held
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

/// What the spec lets go.
pub fn limit(spec: &ScimConnectionSpec) -> Limit {
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
        let reason = status
            .conditions
            .iter()
            .find(|c| c.type_ == C::DeprovisioningHeld.as_str());
        // What was held only until a listing is complete is decided on anew.
        let anew = reason.is_some_and(|c| c.reason == Reason::Truncated.as_str());
        let here = status.endpoint_hash == Some(names::endpoint_hash(&object.spec.endpoint));
        let held = status.held_plan.as_ref().filter(|_| !anew);
        let spent = status.deprovisioned.iter();
        let spent = spent.map(|entry| (entry.at.0.as_second(), entry.count));
        connection.guard().restore(Remembered {
            spent: spent.collect(),
            held: held.map(|plan| plan.hash.clone()),
            approved: status.approved_plan.clone(),
            under_way: status.under_way.iter().filter(|_| here).cloned().collect(),
        });
        loss::restore(
            connection,
            status.missing_accounts.as_ref().filter(|_| here),
        );
    }
}

/// `DeprovisioningHeld`, while something is held: what has to be seen to first.
pub fn verdict(connection: &Connection, plan: Option<&HeldPlan>) -> Option<Verdict> {
    let held = |reason, why: String| Some(Verdict::yes(C::DeprovisioningHeld, reason, why));
    if connection.loss().blocks()
        && let Some(MissingAccounts { hash, count, .. }) = loss::status(connection)
    {
        return held(
            Reason::BackendChanged,
            format!(
                "accounts that ScimUsers have recorded are not at this backend ({count}): another tenant, a token that sees less, or a backend that was reset; nothing is made anew and nobody is deprovisioned until they are there again; the annotation {ANNOTATION_APPROVE_PLAN}={hash} has them made anew"
            ),
        );
    }
    if let Some(HeldPlan { count, hash, .. }) = plan {
        let approve = if hash.is_empty() {
            "once that is applied, the connection's status has the hash that approves them".into()
        } else {
            format!("the annotation {ANNOTATION_APPROVE_PLAN}={hash} approves exactly these")
        };
        let (by_halt, by_scope) = {
            let guard = connection.guard();
            (guard.only_by_halt(), guard.only_scopes_end())
        };
        return if by_halt {
            held(
                Reason::Truncated,
                format!(
                    "{count} users wait to be archived or deleted until a listing of the backend is complete; {approve}"
                ),
            )
        } else if by_scope {
            held(
                Reason::ScopeTerminating,
                format!(
                    "{count} users would be archived or deleted because their namespace or their kind is being deleted; {approve}, and without it they are released with their accounts left as they are"
                ),
            )
        } else {
            held(
                Reason::GuardExceeded,
                format!(
                    "{count} users would be archived or deleted beyond spec.deprovisionGuard; {approve}"
                ),
            )
        };
    }
    None
}
