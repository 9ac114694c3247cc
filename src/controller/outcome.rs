//! What became of a pass, in words: the conditions and events of each way that a plan can end, and
//! when to come back. The writing itself is `report`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::runtime::controller::Action;

use crate::api::common::PlanStatus;
use crate::api::conditions::{ConditionType as C, Reason};
use crate::controller::act::Applied;
use crate::controller::events::Said;
use crate::controller::failures;
use crate::controller::index::Key;
use crate::controller::live::{Connection, Outcome, State};
use crate::controller::report::{Report, archived_before, archived_seen, leaves, note, write};
use crate::controller::user::Pass;
use crate::domain::conditions::{Outlook, Verdict, with_summary};
use crate::domain::diff;
use crate::domain::identity::Identity;
use crate::domain::observed::Observed;
use crate::domain::retry::{Consequence, consequence};
use crate::domain::validate::Valid;
use crate::scim::{ErrorClass, ScimError};

/// The longest pause that a server can impose on one resource.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A connection that cannot be used: told once to users that nothing was said of yet, or whose spec
/// has changed since. All others keep what they have, so that an outage is one write, not thousands (R10).
///
/// # Errors
/// When the API server does not take the status.
pub async fn connection_not_ready(
    pass: &Pass<'_>,
    connection: &Connection,
    key: &Key,
) -> Result<Action, kube::Error> {
    let state = |report: &Report| report.outcome.clone();
    let ready = Verdict::no(
        C::Ready,
        Reason::ConnectionNotReady,
        format!("ScimConnection {key} is not ready; its conditions say why"),
    );
    let mut report = Report::base(
        pass,
        with_summary(
            archived_before(pass).into_iter().collect(),
            ready,
            Outlook::Moving,
        ),
        State::Failing,
    );
    report.acted = false;
    let conditions = &pass.before.conditions;
    let ready = conditions
        .iter()
        .find(|c| c.type_ == "Ready" && c.status == "True");
    if let Some(ready) = ready.filter(|_| pass.reported_on_this_generation()) {
        let outcome = Outcome {
            state: State::InStep,
            reason: Reason::parse(&ready.reason).unwrap_or(Reason::Unknown),
            ..state(&report)
        };
        note(pass, connection, outcome);
    } else {
        write(pass, Some(connection), report).await?;
    }
    Ok(Action::await_change())
}

/// What a pass knew when its plan was carried out.
pub struct End<'a> {
    /// The spec, as it was found valid.
    pub valid: &'a Valid,
    /// `validUntil` has passed.
    pub expired: bool,
    /// The manager whose account is still missing.
    pub pending_manager: Option<Key>,
    /// `Ready::profile_hash`.
    pub profile_hash: &'a str,
}

/// Reports what became of a plan, and says when to come back.
///
/// # Errors
/// When the API server does not take the status.
pub async fn applied(
    pass: &Pass<'_>,
    connection: &Connection,
    end: End<'_>,
    applied: Applied,
) -> Result<Action, kube::Error> {
    let End { valid, .. } = end;
    let accepted = if valid.warnings.is_empty() {
        Verdict::yes(
            C::Valid,
            Reason::Accepted,
            "every rule of the profile is met",
        )
    } else {
        Verdict::yes(
            C::Valid,
            Reason::AcceptedWithWarnings,
            valid.warnings.join("; "),
        )
    };
    match applied {
        Applied::Done {
            account,
            reason,
            attributes,
            differing,
        } => {
            let respelled = diff::respelled(&valid.desired, &account, &differing);
            let accepted = if respelled.is_empty() {
                accepted
            } else {
                let names: Vec<&str> = respelled.keys().map(String::as_str).collect();
                let why = format!(
                    "the backend keeps a spelling of its own of {}",
                    names.join(", ")
                );
                let mut all = valid.warnings.clone();
                all.push(why);
                Verdict::yes(C::Valid, Reason::AcceptedWithWarnings, all.join("; "))
            };
            let done_by = Done {
                account,
                reason,
                attributes,
                unkept: differing
                    .into_iter()
                    .filter(|name| diff::matters(name))
                    .collect(),
                respelled,
            };
            let report = done(pass, end, accepted, done_by);
            if reason != Reason::UpToDate && connection.worked() {
                pass.context.wake_connection(&connection.key);
            }
            // Not archived as told, or not reactivated: tried again soon, not at the next listing only.
            let retry = report.outcome.retry_soon;
            if !retry {
                pass.context.settled(&pass.uid);
            }
            write(pass, Some(connection), report).await?;
            Ok(if retry {
                Action::requeue(pass.context.next_wait(&pass.uid))
            } else {
                Action::await_change()
            })
        }
        Applied::Shown { plan } => {
            let action = plan.as_ref().map_or_else(String::new, |p| p.action.clone());
            let ready = Verdict::no(
                C::Ready,
                Reason::DryRun,
                format!("the connection is in mode DryRun; planned: {action}"),
            );
            let mut report = Report::base(
                pass,
                with_summary(vec![accepted], ready, Outlook::Settled),
                State::Failing,
            );
            report.plan = plan;
            report.outcome.undecided = leaves(pass);
            report.acted = false;
            write(pass, Some(connection), report).await?;
            Ok(Action::await_change())
        }
        Applied::Blocked(identity) => {
            let (reason, message) = blocked(&identity, "account");
            let synced = Verdict::no(C::Synced, reason, message.clone());
            let ready = Verdict::no(C::Ready, Reason::Conflict, message.clone());
            let mut report = Report::base(
                pass,
                with_summary(vec![accepted, synced], ready, Outlook::Stuck),
                State::Failing,
            );
            report.plan = Some(PlanStatus {
                action: "Wait".into(),
                attributes: vec![],
            });
            report.outcome.retry_on_listing = true;
            report.event = Some(Said::provision(true, reason.as_str(), message));
            report.acted = false;
            write(pass, Some(connection), report).await?;
            Ok(Action::await_change())
        }
        Applied::Waiting(why) => {
            let ready = Verdict::no(C::Ready, Reason::Pending, why);
            let mut report = Report::base(
                pass,
                with_summary(vec![accepted], ready, Outlook::Moving),
                State::Failing,
            );
            report.outcome.retry_on_listing = true;
            report.acted = false;
            write(pass, Some(connection), report).await?;
            Ok(Action::await_change())
        }
        Applied::Later => Ok(Action::await_change()),
        Applied::Held { plan, why } => {
            let ready = Verdict::no(C::Ready, Reason::DeprovisioningHeld, why);
            let mut report = trouble(pass, connection, vec![accepted], ready, Outlook::Stuck);
            report.plan = plan.map(|plan| PlanStatus {
                action: "Hold".into(),
                ..plan
            });
            write(pass, Some(connection), report).await?;
            Ok(Action::await_change())
        }
        Applied::LookAgain => Ok(Action::requeue(pass.context.next_wait(&pass.uid))),
        Applied::Failed(error) => failed(pass, connection, accepted, &error).await,
    }
}

/// What was done to an account.
struct Done {
    account: Observed,
    reason: Reason,
    attributes: Vec<String>,
    unkept: Vec<String>,
    respelled: BTreeMap<String, String>,
}

fn done(pass: &Pass<'_>, end: End<'_>, accepted: Verdict, done: Done) -> Report {
    let End {
        valid,
        expired,
        pending_manager,
        profile_hash,
    } = end;
    let Done {
        account,
        reason,
        attributes,
        unkept,
        respelled,
    } = done;
    let manager_waits = pending_manager.is_some();
    let wanted_active = valid.desired.active;
    let stays_archived = wanted_active && account.active == Some(false);
    let stays_active = !wanted_active && account.active == Some(true);
    // A pass that only confirmed keeps the word for what was done last.
    let kept = pass
        .before
        .conditions
        .iter()
        .find(|c| c.type_ == C::Synced.as_str() && c.status == "True");
    let (synced_reason, synced_message) = match (reason, kept) {
        (Reason::UpToDate, Some(old)) => (
            Reason::parse(&old.reason).unwrap_or(Reason::UpToDate),
            old.message.clone(),
        ),
        (Reason::UpToDate, None) => (reason, "the account equals the spec".to_owned()),
        (Reason::Created, _) => (reason, "the account was created".to_owned()),
        (_, _) if attributes.is_empty() => {
            (reason, "the account was taken over as it is".to_owned())
        }
        (_, _) => (reason, format!("written: {}", attributes.join(", "))),
    };
    let not_kept = format!(
        "written, and not kept by the backend: {}",
        unkept.join(", ")
    );
    let synced = if unkept.is_empty() {
        Verdict::yes(C::Synced, synced_reason, synced_message)
    } else {
        Verdict::no(C::Synced, Reason::RequestFailed, not_kept.clone())
    };
    let archived = match (wanted_active, stays_archived, expired) {
        _ if stays_active => Verdict::no(
            C::Archived,
            Reason::Active,
            "the backend keeps the account active although it is to be archived",
        ),
        (_, true, _) => Verdict::yes(
            C::Archived,
            Reason::ByBackend,
            "the backend keeps the account archived although the spec says active",
        ),
        (true, false, _) => Verdict::no(C::Archived, Reason::Active, "the account is active"),
        (false, _, true) => {
            Verdict::yes(C::Archived, Reason::Expired, "spec.validUntil has passed")
        }
        (false, _, false) => Verdict::yes(C::Archived, Reason::Requested, "spec.active is false"),
    };
    let is_archived = archived.status == "True";
    let (ready, outlook) = if stays_archived {
        (
            Verdict::no(
                C::Ready,
                Reason::ArchivedByBackend,
                archived.message.clone(),
            ),
            Outlook::Moving,
        )
    } else if !unkept.is_empty() {
        let outlook = if stays_active {
            Outlook::Moving
        } else {
            Outlook::Stuck
        };
        (
            Verdict::no(C::Ready, Reason::Pending, not_kept.clone()),
            outlook,
        )
    } else if let Some(manager) = pending_manager {
        let hidden = if pass.context.sees(&manager.namespace) {
            ""
        } else {
            ", in a namespace that this operator does not watch"
        };
        let message = format!(
            "provisioned; spec.enterprise.manager waits for ScimUser {manager} to have an account{hidden}"
        );
        (
            Verdict::no(C::Ready, Reason::Pending, message),
            Outlook::Moving,
        )
    } else {
        let message = if is_archived {
            "provisioned and archived"
        } else {
            "provisioned"
        };
        (
            Verdict::yes(C::Ready, Reason::Synced, message),
            Outlook::Settled,
        )
    };
    let event = match reason {
        _ if !unkept.is_empty() => Some(Said::provision(true, "RequestFailed", not_kept)),
        Reason::UpToDate => None,
        Reason::Created => Some(Said::provision(false, "Created", "the account was created")),
        Reason::Adopted => Some(Said::provision(
            false,
            "Adopted",
            "an existing account was taken over",
        )),
        other => {
            let note = format!("written: {}", attributes.join(", "));
            Some(Said::provision(false, other.as_str(), note))
        }
    };
    let mut managed: Vec<String> = valid.desired.attributes.keys().cloned().collect();
    let manager = "manager".to_owned();
    if manager_waits && pass.before.managed_attributes.contains(&manager) {
        // Ours still, though it is not known at the moment who it is to be.
        managed.push(manager);
    }
    managed.sort();
    Report {
        outcome: Outcome {
            state: outlook.state(),
            reason: ready.reason,
            id: Some(account.id.clone()),
            archived: is_archived,
            retry_on_listing: stays_archived || stays_active,
            retry_soon: stays_archived || stays_active,
            undecided: false,
        },
        id: Some(account.id),
        endpoint_hash: pass.endpoint_hash.clone(),
        profile_hash: Some(profile_hash.to_owned()),
        respelled,
        managed,
        plan: None,
        verdicts: with_summary(vec![accepted, synced, archived], ready, outlook),
        event,
        acted: true,
    }
}

/// Why nothing is written, in words; `what` is an account, or a group.
pub fn blocked<T>(identity: &Identity<T>, what: &str) -> (Reason, String) {
    match identity {
        Identity::OwnedByOther => (
            Reason::OwnedByOther,
            format!("the {what} of this name belongs to another resource or operator"),
        ),
        Identity::Ambiguous => (
            Reason::Ambiguous,
            format!(
                "more than one {what} matches; nothing is written until one is named by spec.adopt.id"
            ),
        ),
        _ => (
            Reason::AdoptionRequired,
            format!(
                "there is an existing {what} of this name or externalId; spec.adopt.id, or the connection's adoption policy, lets it be taken over"
            ),
        ),
    }
}

/// Trouble that may be the whole connection's: its own reconciler looks, and reports.
pub fn is_the_connections(error: &ScimError) -> bool {
    matches!(
        error.class(),
        ErrorClass::Authentication | ErrorClass::Unreachable | ErrorClass::Closed
    )
}

async fn failed(
    pass: &Pass<'_>,
    connection: &Connection,
    accepted: Verdict,
    error: &ScimError,
) -> Result<Action, kube::Error> {
    failures::count(pass.context, connection, &pass.uid, error);
    let message = error.to_string();
    let told = |reason: Reason, outlook: Outlook, ready: Reason, message: &str| {
        let synced = Verdict::no(C::Synced, reason, message);
        let ready = Verdict::no(C::Ready, ready, message);
        trouble(
            pass,
            connection,
            vec![accepted.clone(), synced],
            ready,
            outlook,
        )
    };
    let moving = |reason| told(reason, Outlook::Moving, Reason::Pending, &message);
    match consequence(error.class(), pass.context.tries(&pass.uid)) {
        Consequence::LookAgain => Ok(Action::requeue(Duration::from_millis(50))),
        Consequence::AskConnection { told } => {
            connection.suspect();
            pass.context.wake_connection(&connection.key);
            if told {
                write(pass, Some(connection), moving(Reason::RequestFailed)).await?;
            }
            Ok(Action::requeue(pass.context.next_wait(&pass.uid)))
        }
        Consequence::TryAgain(reason) => {
            write(pass, Some(connection), moving(reason)).await?;
            let asked = error.retry_after().unwrap_or_default();
            Ok(Action::requeue(
                asked.min(LONGEST_PAUSE) + pass.context.next_wait(&pass.uid),
            ))
        }
        Consequence::Taken => {
            let message =
                "the backend says that the userName is taken, by an account that it does not show";
            let mut report = told(
                Reason::OwnedByOther,
                Outlook::Stuck,
                Reason::Conflict,
                message,
            );
            report.outcome.retry_on_listing = true;
            report.event = Some(Said::provision(true, "Conflict", message));
            write(pass, Some(connection), report).await?;
            Ok(Action::await_change())
        }
        Consequence::Refused => {
            let valid = Verdict::no(C::Valid, Reason::RejectedByBackend, message);
            let mut report = Report::invalid(pass, valid, archived_seen(pass, connection));
            // A role that was lost at the backend and given back wakes nobody else.
            report.outcome.retry_on_listing = true;
            report.outcome.state = State::Invalid;
            write(pass, Some(connection), report).await?;
            Ok(Action::await_change())
        }
    }
}

/// A pass that failed with an account perhaps there.
fn trouble(
    pass: &Pass<'_>,
    connection: &Connection,
    mut verdicts: Vec<Verdict>,
    ready: Verdict,
    outlook: Outlook,
) -> Report {
    verdicts.extend(archived_seen(pass, connection));
    let mut report = Report::base(pass, with_summary(verdicts, ready, outlook), State::Failing);
    report.acted = false;
    report
}
