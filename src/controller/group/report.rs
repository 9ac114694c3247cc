//! The only place that writes a group's status, and its events. `Ready` is summarised here, once;
//! nothing is written when nothing changed.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;

use crate::api::ScimGroupStatus;
use crate::api::common::PlanStatus;
use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::group::MemberCounts;
use crate::controller::counts::Whose;
use crate::controller::events::Said;
use crate::controller::group::Pass;
use crate::controller::live::{Connection, GroupOutcome, State};
use crate::controller::status::Wrote;
use crate::domain::conditions::{Outlook, Verdict, merge, summary, with_summary};
use crate::domain::group::{MembersEcho, ObservedGroup, Resolved};

/// Everything that status says of one pass.
pub struct Report {
    pub(super) id: Option<String>,
    pub(super) adopted: bool,
    pub(super) applied_members: Vec<String>,
    pub(super) members: Option<MemberCounts>,
    pub(super) unresolved: Vec<String>,
    pub(super) plan: Option<PlanStatus>,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) state: State,
    pub(super) retry_on_listing: bool,
    pub(super) event: Option<Said>,
    /// The backend was brought in step with this generation.
    pub(super) acted: bool,
}

impl Report {
    pub(super) fn base(pass: &Pass<'_>, verdicts: Vec<Verdict>, state: State) -> Self {
        // A pass may have written some of its status before it ends.
        let last = pass.status();
        Self {
            id: last.id,
            adopted: last.adopted,
            applied_members: last.applied_members,
            members: pass.before.members,
            unresolved: pass.before.unresolved.clone(),
            plan: None,
            verdicts,
            state,
            retry_on_listing: false,
            event: None,
            acted: false,
        }
    }

    /// A broken rule: the backend never hears of it.
    pub fn invalid(pass: &Pass<'_>, valid: Verdict) -> Self {
        let (reason, message) = (valid.reason, valid.message.clone());
        let ready = Verdict::no(C::Ready, Reason::Invalid, message.clone());
        let verdicts = with_summary(vec![valid], ready, Outlook::Stuck);
        let mut report = Self::base(pass, verdicts, State::Invalid);
        report.event = Some(Said::provision(true, reason.as_str(), message));
        report
    }

    /// `suspend: true`.
    pub fn suspended(pass: &Pass<'_>) -> Self {
        let why = "spec.suspend: the group is left alone";
        let ready = Verdict::no(C::Ready, Reason::Suspended, why);
        let verdicts = with_summary(Vec::new(), ready, Outlook::Settled);
        Self::base(pass, verdicts, State::InStep)
    }

    /// The connection cannot be used.
    pub fn connection_not_ready(pass: &Pass<'_>) -> Self {
        let key = &pass.connection_key;
        let why = format!("ScimConnection {key} is not ready; its conditions say why");
        Self::waiting(pass, Reason::ConnectionNotReady, why)
    }

    /// Something has to happen first.
    pub fn waiting(pass: &Pass<'_>, reason: Reason, why: impl Into<String>) -> Self {
        let ready = Verdict::no(C::Ready, reason, why);
        let verdicts = with_summary(Vec::new(), ready, Outlook::Moving);
        Self::base(pass, verdicts, State::Failing)
    }

    pub(super) fn trouble(
        pass: &Pass<'_>,
        trouble: Vec<Verdict>,
        ready: Verdict,
        outlook: Outlook,
    ) -> Self {
        let mut verdicts = vec![accepted()];
        verdicts.extend(trouble);
        Self::base(pass, with_summary(verdicts, ready, outlook), State::Failing)
    }

    pub(super) fn seen(
        &mut self,
        connection: &Connection,
        group: &ObservedGroup,
        resolved: &Resolved,
    ) {
        let current = group.members.clone().unwrap_or_default();
        self.members = Some(resolved.counted(&current));
        self.unresolved.clone_from(&resolved.unresolved);
        self.id = Some(group.id.clone());
        self.applied_members = match connection.group_side().echo() {
            // Nobody else could tell who was added.
            MembersEcho::NotReturned => current.into_iter().collect(),
            _ => Vec::new(),
        };
    }
}

pub(super) fn accepted() -> Verdict {
    let why = "every rule of the profile is met";
    Verdict::yes(C::Valid, Reason::Accepted, why)
}

/// Writes a report, if it differs from the last status.
///
/// # Errors
/// When the API server does not take it.
pub async fn write(
    pass: &Pass<'_>,
    connection: Option<&Connection>,
    report: Report,
) -> Result<(), kube::Error> {
    let Report {
        id,
        adopted,
        applied_members,
        members,
        unresolved,
        plan,
        verdicts,
        state,
        retry_on_listing,
        event,
        acted,
    } = report;
    let last = pass.status();
    let found_here = id.is_some() && (id != last.id || acted);
    if let Some(connection) = connection {
        let outcome = GroupOutcome {
            state,
            reason: summary(&verdicts),
            id: id.clone(),
            retry_on_listing,
        };
        let changed = connection.note_group(&pass.key, Some(outcome));
        // How members are removed, for one, is not to be tried again after a restart.
        if changed | connection.group_side().take_news() {
            pass.context.recount(&connection.key);
        }
    }
    let generation = pass.group.metadata.generation;
    // What has an id is created; until then what was begun stays known.
    let creating = pass.begun_to_create().filter(|_| !acted);
    let next = ScimGroupStatus {
        id,
        creating,
        endpoint_hash: if found_here {
            pass.endpoint_hash.clone()
        } else {
            last.endpoint_hash.clone()
        },
        observed_generation: generation,
        synced_generation: if acted {
            generation
        } else {
            pass.before.synced_generation
        },
        adopted,
        members,
        unresolved,
        applied_members,
        plan,
        last_handled_reconcile_at: pass.request(),
        conditions: merge(
            &pass.before.conditions,
            verdicts,
            generation,
            &Time(jiff::Timestamp::now()),
        ),
    };
    let now = next.conditions.clone();
    let recorded = next.id.is_some();
    let statuses = &pass.context.group_statuses;
    let wrote = statuses
        .write(&pass.held, pass.lane(), pass.group, next)
        .await?;
    if recorded
        && last.id.is_none()
        && wrote == Wrote::Written
        && let Some(connection) = connection
    {
        let declared = pass.group.metadata.creation_timestamp.as_ref();
        connection.counts.is_there(Whose::Group, declared);
    }
    if recorded && wrote != Wrote::Gone {
        pass.context.group_pasts.forget(&pass.uid);
    }
    if wrote == Wrote::Written {
        let object = pass.group.object_ref(&());
        let before = &pass.before.conditions;
        pass.held.events.tell(object, before, &now, event);
    }
    Ok(())
}

/// Marks, or unmarks, that a create is begun whose group could not be recognised by externalId. In
/// status, where nobody who may only write specs can forge it.
///
/// # Errors
/// When the API server does not take it.
pub async fn mark_creating(pass: &Pass<'_>, creating: Option<String>) -> Result<(), kube::Error> {
    amend(pass, |status| status.creating = creating).await
}

/// Writes down that a group was taken over, before anything is written to it: whatever happens then, a
/// group that somebody else made is not deleted as one of ours.
///
/// # Errors
/// When the API server does not take it.
pub async fn mark_adopted(pass: &Pass<'_>, id: &str) -> Result<(), kube::Error> {
    amend(pass, |status| {
        status.adopted = true;
        status.id = Some(id.to_owned());
        status.endpoint_hash.clone_from(&pass.endpoint_hash);
    })
    .await
}

/// Writes down who was added, where nobody else could tell, and the pass ends without a report.
///
/// # Errors
/// When the API server does not take it.
pub async fn record_applied(
    pass: &Pass<'_>,
    members: &BTreeSet<String>,
) -> Result<(), kube::Error> {
    amend(pass, |status| {
        status.applied_members = members.iter().cloned().collect();
    })
    .await
}

async fn amend(
    pass: &Pass<'_>,
    change: impl FnOnce(&mut ScimGroupStatus),
) -> Result<(), kube::Error> {
    let statuses = &pass.context.group_statuses;
    statuses.amend(&pass.held, pass.group, change).await
}
