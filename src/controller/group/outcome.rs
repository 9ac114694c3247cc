//! What became of a pass over a group, in words: the conditions and events of each way that it can
//! end, and when to come back. The writing itself is `report`'s.

use std::time::Duration;

use kube::runtime::controller::Action;

use crate::api::common::PlanStatus;
use crate::api::conditions::{ConditionType as C, Reason};
use crate::controller::counts::{Change, Whose};
use crate::controller::events::Said;
use crate::controller::failures;
use crate::controller::group::Pass;
use crate::controller::group::act::{self, Applied, GATHERING, Written};
use crate::controller::group::consider::fingerprint;
use crate::controller::group::report::{Report, accepted, write};
use crate::controller::live::{Connection, State};
use crate::controller::outcome;
use crate::directory::Known;
use crate::domain::conditions::{Outlook, Verdict, with_summary};
use crate::domain::group::{MembersEcho, ObservedGroup, Resolved};
use crate::domain::retry::{Consequence, consequence};
use crate::scim::ScimError;

/// Reports what became of a pass, and says when to come back.
///
/// # Errors
/// When the API server does not take the status.
pub async fn applied(
    pass: &Pass<'_>,
    connection: &Connection,
    applied: Applied,
    written: &Written,
) -> Result<Action, kube::Error> {
    let again = || Action::requeue(pass.context.next_wait(&pass.uid));
    let (mut report, action) = match applied {
        Applied::Later => return Ok(Action::await_change()),
        Applied::Gathering => return Ok(Action::requeue(GATHERING)),
        Applied::Done { group, resolved } => {
            pass.context.settled(&pass.uid);
            if written.progress() > 0 && connection.worked() {
                pass.context.wake_connection(&connection.key);
            }
            let report = done(pass, connection, &group, &resolved, written);
            connection
                .group_side()
                .set_wanted(&pass.key, fingerprint(&resolved));
            write(pass, Some(connection), report).await?;
            return Ok(Action::await_change());
        }
        Applied::Shown { plan, resolved } => {
            let action = plan.action();
            let why = format!("the connection is in mode DryRun; planned: {action}");
            let ready = Verdict::no(C::Ready, Reason::DryRun, why);
            let verdicts = vec![accepted(), resolved.verdict.clone()];
            let mut report = Report::base(
                pass,
                with_summary(verdicts, ready, Outlook::Settled),
                State::Failing,
            );
            report.plan = plan.status(&resolved);
            report.members = Some(resolved.counts);
            report.unresolved = resolved.unresolved;
            (report, Action::await_change())
        }
        Applied::Blocked(identity) => {
            let (reason, why) = outcome::blocked(&identity, "group");
            let synced = Verdict::no(C::Synced, reason, why.clone());
            let ready = Verdict::no(C::Ready, Reason::Conflict, why.clone());
            let mut report = Report::trouble(pass, vec![synced], ready, Outlook::Stuck);
            report.plan = Some(PlanStatus {
                action: "Wait".into(),
                attributes: vec![],
            });
            report.retry_on_listing = true;
            report.event = Some(Said::provision(true, reason.as_str(), why));
            (report, Action::await_change())
        }
        Applied::Waiting(why) => {
            let ready = Verdict::no(C::Ready, Reason::Pending, why);
            let mut report = Report::trouble(pass, vec![], ready, Outlook::Moving);
            report.retry_on_listing = true;
            (report, Action::await_change())
        }
        Applied::Unsupported(why) => {
            let valid = Verdict::no(C::Valid, Reason::RejectedByBackend, why);
            let mut report = Report::invalid(pass, valid);
            report.retry_on_listing = true;
            (report, Action::await_change())
        }
        Applied::Refused {
            group,
            resolved,
            why,
        } => {
            let synced = Verdict::no(C::Synced, Reason::RequestFailed, why.clone());
            let ready = Verdict::no(C::Ready, Reason::Pending, why);
            let verdicts = vec![synced, resolved.verdict.clone()];
            let mut report = Report::trouble(pass, verdicts, ready, Outlook::Stuck);
            report.seen(connection, &group, &resolved);
            (report, again())
        }
        Applied::LookAgain => {
            let why = "the backend does not keep what is written; it is tried again";
            let synced = Verdict::no(C::Synced, Reason::RequestFailed, why);
            let ready = Verdict::no(C::Ready, Reason::Pending, why);
            let report = Report::trouble(pass, vec![synced], ready, Outlook::Moving);
            (report, again())
        }
        Applied::Failed(error) => match failed(pass, connection, &error) {
            Failure::Quiet(action) => return Ok(action),
            Failure::Told(report) => {
                let asked = error.retry_after().unwrap_or_default();
                let wait = asked.min(outcome::LONGEST_PAUSE) + pass.context.next_wait(&pass.uid);
                (*report, Action::requeue(wait))
            }
            Failure::ForGood(report) => (*report, Action::await_change()),
        },
    };
    if connection.group_side().echo() == MembersEcho::NotReturned
        && let Some(id) = &report.id
        && let Known::Present(group) = connection.groups().by_id(id)
        && let Some(members) = group.members
    {
        // Half of a change may be done: what was added is written down all the same.
        report.applied_members = members.into_iter().collect();
    }
    write(pass, Some(connection), report).await?;
    Ok(action)
}

fn done(
    pass: &Pass<'_>,
    connection: &Connection,
    group: &ObservedGroup,
    resolved: &Resolved,
    written: &Written,
) -> Report {
    let reason = act::reason(written);
    // A pass that only confirmed keeps the word for what was done last.
    let kept = pass
        .before
        .conditions
        .iter()
        .find(|c| c.type_ == C::Synced.as_str() && c.status == "True");
    let said = said(written);
    let change = match reason {
        Reason::Created => Some(Change::Created),
        Reason::Adopted => Some(Change::Adopted),
        Reason::DriftCorrected => Some(Change::DriftCorrected),
        Reason::Updated => Some(Change::Updated),
        _ => None,
    };
    if let Some(change) = change {
        connection.counts.changed(Whose::Group, change);
    }
    let synced = match (reason, kept) {
        (Reason::UpToDate, Some(old)) => Verdict::yes(
            C::Synced,
            Reason::parse(&old.reason).unwrap_or(reason),
            old.message.clone(),
        ),
        (Reason::UpToDate, None) => Verdict::yes(C::Synced, reason, "the group equals the spec"),
        _ => Verdict::yes(C::Synced, reason, said.clone()),
    };
    let members = resolved.verdict.clone();
    let (ready, outlook) = if members.status == "True" {
        (
            Verdict::yes(C::Ready, Reason::Synced, "provisioned"),
            Outlook::Settled,
        )
    } else {
        let outlook = if members.reason == Reason::MembersPending {
            Outlook::Moving
        } else {
            Outlook::Stuck
        };
        let why = format!(
            "provisioned; nobody is removed until every member has an account: {}",
            members.message
        );
        (Verdict::no(C::Ready, Reason::Pending, why), outlook)
    };
    let state = if outlook == Outlook::Settled {
        State::InStep
    } else {
        State::Failing
    };
    let verdicts = with_summary(vec![accepted(), synced, members], ready, outlook);
    let mut report = Report::base(pass, verdicts, state);
    report.seen(connection, group, resolved);
    report.event =
        (reason != Reason::UpToDate).then(|| Said::provision(false, reason.as_str(), said));
    report.adopted |= written.adopted;
    report.acted = true;
    report
}

/// What was written, without names or values.
fn said(written: &Written) -> String {
    let mut parts: Vec<String> = written.attributes.iter().cloned().collect();
    if written.added > 0 {
        parts.push(format!("{} members added", written.added));
    }
    if written.removed > 0 {
        parts.push(format!("{} members removed", written.removed));
    }
    match (parts.is_empty(), written.created) {
        (true, _) => "the group was taken over as it is".into(),
        (false, true) => format!("the group was created: {}", parts.join(", ")),
        (false, false) => format!("written: {}", parts.join(", ")),
    }
}

enum Failure {
    /// Nothing to say of the group.
    Quiet(Action),
    /// Told, and tried again.
    Told(Box<Report>),
    /// Told, and tried again only when something changes.
    ForGood(Box<Report>),
}

fn failed(pass: &Pass<'_>, connection: &Connection, error: &ScimError) -> Failure {
    failures::count(pass.context, connection, &pass.uid, error);
    let message = error.to_string();
    let told = |reason: Reason, outlook: Outlook| {
        let synced = Verdict::no(C::Synced, reason, message.clone());
        let ready = Verdict::no(C::Ready, Reason::Pending, message.clone());
        Box::new(Report::trouble(pass, vec![synced], ready, outlook))
    };
    match consequence(error.class(), pass.context.tries(&pass.uid)) {
        Consequence::LookAgain => Failure::Quiet(Action::requeue(Duration::from_millis(50))),
        Consequence::AskConnection { told: aloud } => {
            connection.suspect();
            pass.context.wake_connection(&connection.key);
            if aloud {
                Failure::Told(told(Reason::RequestFailed, Outlook::Moving))
            } else {
                Failure::Quiet(Action::requeue(pass.context.next_wait(&pass.uid)))
            }
        }
        Consequence::TryAgain(reason) => Failure::Told(told(reason, Outlook::Moving)),
        Consequence::Taken => {
            let mut report = told(Reason::OwnedByOther, Outlook::Stuck);
            report.retry_on_listing = true;
            Failure::ForGood(report)
        }
        Consequence::Refused => {
            let valid = Verdict::no(C::Valid, Reason::RejectedByBackend, message);
            let mut report = Report::invalid(pass, valid);
            report.retry_on_listing = true;
            Failure::ForGood(Box::new(report))
        }
    }
}
