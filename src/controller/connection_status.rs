//! The status of a ScimConnection: counts from the outcomes of its users, conditions from its run.
//! Nothing is written when nothing changed.

use std::collections::HashMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;

use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::connection::{
    CapabilitiesStatus, GroupCounts, Mode, ScimConnection, ScimConnectionStatus, UserCounts,
};
use crate::controller::context::Context;
use crate::controller::index::Key;
use crate::controller::live::{Connection, GroupOutcome, Outcome, Phase, State};
use crate::controller::memory::Memory;
use crate::controller::status::{self, Wrote};
use crate::controller::trouble::Trouble;
use crate::controller::{guard, loss};
use crate::directory::ExternalIdEcho;
use crate::domain::conditions::{Outlook, Verdict, merge, with_summary};
use crate::domain::group::{MembersEcho, Removal};
use crate::domain::names;

/// How status says that a backend does not return `externalId`.
const NOT_ECHOED: &str = "NotEchoed";

/// What a run of the connection came to.
#[derive(Clone, Copy)]
pub enum Run<'a> {
    /// Users can be worked on.
    Up,
    /// The first listing is under way.
    Listing,
    /// `spec.suspend`.
    Suspended,
    /// Something is in the way.
    Down(&'a Trouble),
}

/// Takes up what was learned of this backend before a restart, so that nothing is tried again that once
/// went wrong.
pub fn remember(object: &ScimConnection, connection: &Connection) {
    connection.group_side().forget();
    let made = object.meta().creation_timestamp.as_ref();
    let made = made.map_or(jiff::Timestamp::MAX, |made| made.0);
    connection.set_untouched(is_untouched(object).then_some(made));
    let Some(status) = &object.status else {
        return;
    };
    let here = names::endpoint_hash(&object.spec.endpoint);
    if let (Some(capabilities), true) = (
        &status.capabilities,
        status.endpoint_hash.as_ref() == Some(&here),
    ) {
        let side = connection.group_side();
        side.set_removal(Removal::parse(&capabilities.member_removal));
        side.set_echo(MembersEcho::parse(&capabilities.members));
        // Not that it is returned: whoever relies on that has to have seen it, and a listing shows it.
        if capabilities.external_id == NOT_ECHOED {
            connection.directory().external_id_was_dropped();
        }
    }
}

/// Whether the status proves that nothing was ever begun at the backend: before that, it says what the backend
/// can do.
pub fn is_untouched(object: &ScimConnection) -> bool {
    let status = object.status.as_ref();
    status.is_none_or(|s| s.capabilities.is_none() && s.last_full_sync.is_none())
}

/// Writes the status, if it differs from the last.
///
/// # Errors
/// When the API server does not take it.
pub async fn report(
    object: &ScimConnection,
    context: &Context,
    connection: &Connection,
    memory: &mut Memory,
    run: Run<'_>,
) -> Result<Wrote, kube::Error> {
    let before = memory
        .reported
        .clone()
        .or_else(|| object.status.clone())
        .unwrap_or_default();
    // Looked at once: who comes out meanwhile is counted the next time, and not half.
    let (counts, looked_at) = counts(context, connection);
    // Before they are listed there seem to be none, and all of none were looked at.
    if !memory.counted
        && context.users_are_known()
        && looked_at >= context.index(|index| index.looked_after(&connection.key))
        && matches!(connection.phase(), Phase::Ready(_))
    {
        memory.counted = true;
        // The guard has to know as well.
        context.recount(&connection.key);
        tracing::info!(connection = %connection_label(object), users = counts.desired, "every user was looked at");
    }
    let outcomes = connection.group_outcomes();
    memory.groups_counted |= every_group_was_looked_at(context, connection, &outcomes);
    let groups = group_counts(context, connection, &outcomes);
    let held_plan = guard::held_plan(connection, before.held_plan.as_ref());
    let held = guard::verdict(connection, held_plan.as_ref()).or_else(|| memory.leaving.clone());
    let verdicts = verdicts(object, memory, held, run);
    let now = Time(jiff::Timestamp::now());
    let here = Some(names::endpoint_hash(&object.spec.endpoint));
    let next = ScimConnectionStatus {
        observed_generation: object.meta().generation,
        endpoint_hash: here.clone(),
        capabilities: memory.discovery.as_ref().map_or(
            // What was said of another backend is not said of this one.
            before
                .capabilities
                .clone()
                .filter(|_| before.endpoint_hash == here),
            |(discovery, _)| {
                let capabilities = &discovery.capabilities;
                Some(CapabilitiesStatus {
                    discovered: discovery.found,
                    patch: capabilities.patch,
                    bulk: capabilities.bulk.is_some(),
                    filter: capabilities.filter,
                    etag: capabilities.etag,
                    external_id: match connection.directory().external_id_echo() {
                        ExternalIdEcho::Unknown => "Unknown",
                        ExternalIdEcho::Echoed => "Echoed",
                        ExternalIdEcho::NotEchoed => NOT_ECHOED,
                    }
                    .into(),
                    member_removal: connection.group_side().removal().as_str().into(),
                    members: connection.group_side().echo().as_str().into(),
                })
            },
        ),
        users: if memory.counted || before.users.is_none() {
            Some(counts)
        } else {
            before.users
        },
        groups: if memory.groups_counted || before.groups.is_none() {
            groups
        } else {
            before.groups
        },
        missing_accounts: loss::status(connection),
        approved_plan: guard::approved_plan(connection),
        held_plan,
        deprovisioned: guard::deprovisioned(connection),
        under_way: guard::under_way(connection),
        last_full_sync: memory
            .last_full_sync
            .map(Time)
            .or_else(|| before.last_full_sync.clone()),
        last_handled_reconcile_at: memory
            .answered
            .clone()
            .or_else(|| before.last_handled_reconcile_at.clone()),
        conditions: merge(&before.conditions, verdicts, object.meta().generation, &now),
    };
    if next == before {
        return Ok(Wrote::Unchanged);
    }
    announce(object, connection, &before, &next);
    let wrote = status::patch(&connection.held.client, object, &before, &next, None).await?;
    if wrote == Wrote::Written {
        memory.reported = Some(next);
    }
    Ok(wrote)
}

fn verdicts(
    object: &ScimConnection,
    memory: &Memory,
    held: Option<Verdict>,
    run: Run<'_>,
) -> Vec<Verdict> {
    let lost = held.clone().filter(|v| v.reason == Reason::BackendChanged);
    let mut all: Vec<Verdict> = held.into_iter().collect();
    if object.spec.insecure {
        all.push(Verdict::yes(
            C::Insecure,
            Reason::PlainHttp,
            "spec.insecure: the token and personal data may travel in clear text",
        ));
    }
    if let Run::Suspended = run {
        let ready = Verdict::no(
            C::Ready,
            Reason::Suspended,
            "spec.suspend: no request is sent",
        );
        return with_summary(all, ready, Outlook::Settled);
    }
    match run {
        Run::Listing | Run::Suspended => {
            let why = "the first listing of the backend is under way";
            all.extend([C::Authenticated, C::Reachable].map(|kind| {
                Verdict::unknown(kind, Reason::Unknown, "not known before the first answer")
            }));
            all.push(Verdict::unknown(C::DirectoryComplete, Reason::Listing, why));
            let ready = Verdict::no(C::Ready, Reason::Pending, why);
            with_summary(all, ready, Outlook::Moving)
        }
        Run::Up => {
            all.push(Verdict::yes(
                C::Authenticated,
                Reason::TokenAccepted,
                "the backend accepts the token",
            ));
            all.push(Verdict::yes(
                C::Reachable,
                Reason::Connected,
                "the backend answers in SCIM",
            ));
            all.extend(memory.directory_verdict.clone());
            let ready = match &memory.directory_verdict {
                Some(verdict) if verdict.status == "False" => {
                    Verdict::no(C::Ready, verdict.reason, verdict.message.clone())
                }
                _ if let Some(lost) = &lost => {
                    Verdict::no(C::Ready, lost.reason, lost.message.clone())
                }
                _ if object.spec.mode == Mode::DryRun => Verdict::yes(
                    C::Ready,
                    Reason::DryRun,
                    "connected; plans are shown, nothing is written",
                ),
                _ => Verdict::yes(C::Ready, Reason::Connected, "connected"),
            };
            let outlook = if ready.status == "True" {
                Outlook::Settled
            } else if lost.is_some() {
                Outlook::Stuck
            } else {
                Outlook::Moving
            };
            with_summary(all, ready, outlook)
        }
        Run::Down(trouble) => {
            let first = trouble
                .first()
                .cloned()
                .unwrap_or_else(|| Verdict::no(C::Reachable, Reason::Unknown, "not asked yet"));
            let authenticated = first.kind == C::Authenticated;
            all.push(if authenticated {
                first.clone()
            } else {
                Verdict::unknown(
                    C::Authenticated,
                    Reason::Unknown,
                    "not known while the backend cannot be asked",
                )
            });
            let reachable = match (authenticated, first.reason) {
                (true, Reason::Unauthorized) => {
                    Verdict::yes(C::Reachable, Reason::Connected, "the backend answers")
                }
                (true, _) => Verdict::unknown(
                    C::Reachable,
                    Reason::Unknown,
                    "not asked: there is no usable token",
                ),
                (false, _) if first.kind == C::Reachable => first.clone(),
                (false, _) => Verdict::unknown(C::Reachable, Reason::Unknown, "not asked"),
            };
            all.push(reachable);
            all.extend(memory.directory_verdict.clone());
            if first.kind == C::Valid {
                all.push(first.clone());
            }
            // A token, a bundle or a mapping waits for a human; the rest passes by itself.
            let human = matches!(
                first.reason,
                Reason::SecretNotFound
                    | Reason::KeyNotFound
                    | Reason::TokenMalformed
                    | Reason::Unauthorized
                    | Reason::NotScim
                    | Reason::EndpointRefused
                    | Reason::CaBundleInvalid
                    | Reason::SpecInvalid
            );
            with_summary(
                all,
                Verdict::no(C::Ready, first.reason, first.message),
                if human {
                    Outlook::Stuck
                } else {
                    Outlook::Moving
                },
            )
        }
    }
}

/// The counts, and how many users they are of.
fn counts(context: &Context, connection: &Connection) -> (UserCounts, usize) {
    let declared = context.index(|index| index.member_count(&connection.key));
    let accounts = u32::try_from(connection.directory().len()).unwrap_or(u32::MAX);
    let mut counts = UserCounts {
        desired: u32::try_from(declared).unwrap_or(u32::MAX),
        provisioned: 0,
        archived: 0,
        invalid: 0,
        failing: 0,
        unmanaged: 0,
    };
    let looked_at = connection.outcomes(|all| {
        for outcome in all.values() {
            let Outcome {
                state,
                id,
                archived,
                ..
            } = outcome;
            counts.provisioned += u32::from(id.is_some());
            counts.archived += u32::from(*archived && id.is_some());
            counts.invalid += u32::from(*state == State::Invalid);
            counts.failing += u32::from(*state == State::Failing);
        }
        all.len()
    });
    counts.unmanaged = accounts.saturating_sub(counts.provisioned);
    (counts, looked_at)
}

/// Whether the counts of groups are whole: not before it is known which there are, and each has come out
/// somehow.
fn every_group_was_looked_at(
    context: &Context,
    connection: &Connection,
    outcomes: &HashMap<Key, GroupOutcome>,
) -> bool {
    let declared = context.groups_index(|index| index.groups_of(&connection.key).len());
    context.groups_are_known()
        && matches!(connection.phase(), Phase::Ready(_))
        && outcomes.len() >= declared
}

/// The counts of groups, where there are any.
fn group_counts(
    context: &Context,
    connection: &Connection,
    outcomes: &HashMap<Key, GroupOutcome>,
) -> Option<GroupCounts> {
    let declared = context.groups_index(|index| index.groups_of(&connection.key).len());
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let count = |test: &dyn Fn(&GroupOutcome) -> bool| {
        number(outcomes.values().filter(|o| test(o)).count())
    };
    let provisioned = count(&|o| o.id.is_some());
    (declared > 0 || !outcomes.is_empty()).then(|| GroupCounts {
        desired: number(declared),
        provisioned,
        invalid: count(&|o| o.state == State::Invalid),
        failing: count(&|o| o.state == State::Failing),
        unmanaged: number(connection.groups().len()).saturating_sub(provisioned),
    })
}

fn announce(
    object: &ScimConnection,
    connection: &Connection,
    before: &ScimConnectionStatus,
    next: &ScimConnectionStatus,
) {
    let ready = |status: &ScimConnectionStatus| {
        status
            .conditions
            .iter()
            .find(|c| c.type_ == "Ready")
            .map(|c| (c.status.clone(), c.reason.clone()))
    };
    let (old, new) = (ready(before), ready(next));
    if old == new || new.as_ref().is_some_and(|(_, reason)| reason == "Pending") {
        return;
    }
    let Some(condition) = next.conditions.iter().find(|c| c.type_ == "Ready") else {
        return;
    };
    tracing::info!(connection = %connection_label(object), ready = condition.status, reason = condition.reason, "connection");
    let reference = object.object_ref(&());
    if condition.status == "True" || condition.reason == "Suspended" {
        connection.held.events.normal(
            reference,
            &condition.reason,
            "Connect",
            condition.message.clone(),
        );
    } else {
        connection.held.events.warning(
            reference,
            &condition.reason,
            "Connect",
            condition.message.clone(),
        );
    }
}

fn connection_label(object: &ScimConnection) -> String {
    crate::controller::connection::label(object)
}
