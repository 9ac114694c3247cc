//! The only place that writes a user's status, and its events. `Ready` is summarised here, once;
//! nothing is written when nothing changed.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt};

use crate::api::ScimUserStatus;
use crate::api::common::PlanStatus;
use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::user::ScimUserSpec;
use crate::controller::context::MemberChange;
use crate::controller::counts::Whose;
use crate::controller::events::Said;
use crate::controller::live::{Connection, Outcome, State};
use crate::controller::status::Wrote;
use crate::controller::user::Pass;
use crate::directory::Known;
use crate::domain::conditions::{Outlook, Verdict, merge, summary, with_summary};
use crate::domain::validate::valid_until;

/// Everything that status says of one pass.
pub struct Report {
    pub(super) id: Option<String>,
    pub(super) endpoint_hash: Option<String>,
    pub(super) profile_hash: Option<String>,
    pub(super) respelled: BTreeMap<String, String>,
    pub(super) managed: Vec<String>,
    pub(super) plan: Option<PlanStatus>,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) outcome: Outcome,
    /// An event to publish when the status is new: reason, action, note.
    pub(super) event: Option<Said>,
    /// The conditions speak of this generation. False keeps the old one, so that what was not done
    /// for the spec is still seen as not done.
    pub(super) acted: bool,
}

impl Report {
    pub(super) fn base(pass: &Pass<'_>, verdicts: Vec<Verdict>, state: State) -> Self {
        let outcome = Outcome {
            state,
            reason: summary(&verdicts),
            id: pass.recorded().map(str::to_owned),
            archived: verdicts
                .iter()
                .find(|v| v.kind == C::Archived)
                .map_or_else(|| was_archived(pass), |v| v.status == "True"),
            retry_on_listing: false,
            retry_soon: false,
            undecided: verdicts.iter().any(|v| v.kind == C::Reconciling) && leaves(pass),
        };
        Self {
            // Kept until the account is found at another backend: a change of the endpoint that was
            // a mistake must not cost what was known.
            id: pass.before.id.clone(),
            endpoint_hash: pass.before.endpoint_hash.clone(),
            profile_hash: pass.before.profile_hash.clone(),
            respelled: pass.before.respelled.clone(),
            managed: pass.before.managed_attributes.clone(),
            plan: None,
            verdicts,
            outcome,
            event: None,
            acted: true,
        }
    }

    /// A broken rule: the backend never hears of it.
    pub fn invalid(pass: &Pass<'_>, valid: Verdict, archived: Option<Verdict>) -> Self {
        let message = valid.message.clone();
        let ready = Verdict::no(C::Ready, Reason::Invalid, message.clone());
        let reason = valid.reason.as_str();
        let mut verdicts = vec![valid];
        verdicts.extend(archived);
        let mut report = Self::base(
            pass,
            with_summary(verdicts, ready, Outlook::Stuck),
            State::Invalid,
        );
        report.event = Some(Said {
            warning: true,
            reason,
            action: "Validate",
            note: message,
        });
        report.acted = false;
        report
    }

    /// `suspend: true`.
    pub fn suspended(pass: &Pass<'_>) -> Self {
        let ready = Verdict::no(
            C::Ready,
            Reason::Suspended,
            "spec.suspend: the account is left alone",
        );
        let verdicts = archived_before(pass).into_iter().collect();
        let mut report = Self::base(
            pass,
            with_summary(verdicts, ready, Outlook::Settled),
            State::InStep,
        );
        report.acted = false;
        report
    }

    /// A deletion that cannot be carried out yet.
    pub fn waiting_for_deletion(pass: &Pass<'_>, ready: Verdict) -> Self {
        Self::deletion(pass, ready, Outlook::Moving)
    }

    /// A deletion that waits for a human.
    pub fn deletion_needs_a_person(pass: &Pass<'_>, ready: Verdict) -> Self {
        Self::deletion(pass, ready, Outlook::Stuck)
    }

    fn deletion(pass: &Pass<'_>, ready: Verdict, outlook: Outlook) -> Self {
        let archived = archived_before(pass).into_iter().collect();
        let verdicts = with_summary(archived, ready, outlook);
        let mut report = Self::base(pass, verdicts, State::Failing);
        report.acted = false;
        report
    }
}

/// Whether the account is to be archived or deleted, as far as the resource says.
pub(super) fn leaves(pass: &Pass<'_>) -> bool {
    let spec = &pass.user.spec;
    let deleted = pass.user.metadata.deletion_timestamp.is_some();
    !spec.suspend && (deleted || !spec.active || expired(spec))
}

fn expired(spec: &ScimUserSpec) -> bool {
    valid_until(spec)
        .and_then(Result::ok)
        .is_some_and(|until| until <= jiff::Timestamp::now())
}

pub(super) fn was_archived(pass: &Pass<'_>) -> bool {
    pass.before
        .conditions
        .iter()
        .any(|c| c.type_ == C::Archived.as_str() && c.status == "True")
}

pub(super) fn archived_before(pass: &Pass<'_>) -> Option<Verdict> {
    let old = pass
        .before
        .conditions
        .iter()
        .find(|c| c.type_ == C::Archived.as_str())?;
    let reason = Reason::parse(&old.reason)?;
    Some(if old.status == "True" {
        Verdict::yes(C::Archived, reason, old.message.clone())
    } else {
        Verdict::no(C::Archived, reason, old.message.clone())
    })
}

/// Whether the account is archived, as the directory has it: what a pass has just done to it counts,
/// though the rest of it failed.
pub fn archived_seen(pass: &Pass<'_>, connection: &Connection) -> Option<Verdict> {
    let id = pass.recorded()?;
    let Known::Present(account) = connection.directory().by_id(id) else {
        return archived_before(pass);
    };
    let spec = &pass.user.spec;
    Some(match account.active? {
        true => Verdict::no(C::Archived, Reason::Active, "the account is active"),
        false if !spec.active => {
            Verdict::yes(C::Archived, Reason::Requested, "spec.active is false")
        }
        false if expired(spec) => {
            Verdict::yes(C::Archived, Reason::Expired, "spec.validUntil has passed")
        }
        false => Verdict::yes(
            C::Archived,
            Reason::ByBackend,
            "the backend keeps the account archived although the spec says active",
        ),
    })
}

pub(super) fn note(pass: &Pass<'_>, connection: &Connection, mut outcome: Outcome) {
    outcome.undecided &= !connection.guard().knows(&pass.uid);
    let new_id = outcome.id.is_some() && connection.id_of(&pass.key) != outcome.id;
    if connection.note(&pass.key, Some(outcome)) {
        pass.context.recount(&connection.key);
        pass.context.member_changed(MemberChange {
            connection: connection.key.clone(),
            user: pass.key.clone(),
            labels: vec![pass.user.labels().clone()],
        });
    }
    if new_id {
        pass.context
            .wake_users(pass.context.index(|index| index.reports_of(&pass.key)));
    }
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
        endpoint_hash,
        profile_hash,
        respelled,
        managed,
        plan,
        verdicts,
        outcome,
        event,
        acted,
    } = report;
    if let Some(connection) = connection {
        note(pass, connection, outcome);
    }
    let generation = pass.user.metadata.generation;
    // What has an id is created; until then what was begun stays known.
    let creating = pass.begun_to_create().filter(|_| !acted);
    let next = ScimUserStatus {
        id,
        endpoint_hash,
        creating,
        observed_generation: generation,
        synced_generation: if acted {
            generation
        } else {
            pass.before.synced_generation
        },
        profile_hash,
        respelled,
        managed_attributes: managed,
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
    let statuses = &pass.context.user_statuses;
    let wrote = statuses
        .write(&pass.held, pass.lane(), pass.user, next)
        .await?;
    if recorded
        && pass.before.id.is_none()
        && wrote == Wrote::Written
        && let Some(connection) = connection
    {
        let declared = pass.user.metadata.creation_timestamp.as_ref();
        connection.counts.is_there(Whose::User, declared);
    }
    if recorded && wrote != Wrote::Gone {
        pass.context.user_pasts.forget(&pass.uid);
    }
    if wrote == Wrote::Written {
        let object = pass.user.object_ref(&());
        let before = &pass.before.conditions;
        pass.held.events.tell(object, before, &now, event);
    }
    Ok(())
}

/// Marks, or unmarks, that a create is begun whose account could not be recognised by externalId. In
/// status, where nobody who may only write specs can forge it.
///
/// # Errors
/// When the API server does not take it.
pub async fn mark_creating(pass: &Pass<'_>, creating: Option<String>) -> Result<(), kube::Error> {
    let statuses = &pass.context.user_statuses;
    statuses
        .amend(&pass.held, pass.user, |s| s.creating = creating)
        .await
}
