//! The paged listing of a backend: what the directory learns from it, and whom that concerns.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::connection::ScimConnectionSpec;
use crate::controller::context::{Context, jitter};
use crate::controller::group::side::Listed;
use crate::controller::live::{Connection, Woken};
use crate::controller::loss;
use crate::controller::memory::Memory;
use crate::controller::trouble::{Trouble, trouble};
use crate::directory::Stored;
use crate::domain::conditions::Verdict;
use crate::domain::group::ObservedGroup;
use crate::domain::names;
use crate::domain::observed::Observed;
use crate::domain::profile::Profile;
use crate::scim::{Client, ListingOptions, ResourceKind, ScimError, list_all};

/// Lists the users, and says who has to look.
///
/// # Errors
/// When the backend cannot be listed.
pub async fn listing(
    context: &Context,
    connection: &Connection,
    memory: &mut Memory,
    client: &Client,
    profile: &Profile,
    spec: &ScimConnectionSpec,
) -> Result<Woken, Trouble> {
    let mark = connection.directory().begin_listing();
    let mut accounts = Vec::new();
    let options = ListingOptions {
        page_size: spec.dialect.page_size,
        ..ListingOptions::default()
    };
    let result = list_all(client, ResourceKind::User, &options, |page| {
        let read = page.iter().filter_map(|r| Observed::read(r, profile));
        accounts.extend(read.map(Stored::new));
    })
    .await;
    let listing = result.map_err(|error| trouble(&error))?;
    let recorded = if listing.complete {
        loss::recorded(context, connection, spec).await
    } else {
        Vec::new()
    };
    let (difference, missing) = {
        let mut directory = connection.directory();
        let difference = directory.finish_listing(mark, accounts, listing.complete);
        // Under the same lock: whoever looks now sees both what is missing and what that means.
        let missing = if listing.complete {
            loss::judge(context, connection, &directory, recorded, spec)
        } else {
            Vec::new()
        };
        (difference, missing)
    };
    loss::ask_for(connection, client, &missing).await;
    memory.listed = Some(Instant::now());
    if listing.complete {
        memory.incomplete = (0, None);
    } else {
        sooner(memory, spec);
    }
    memory.directory_verdict = Some(if listing.complete {
        memory.last_full_sync = Some(jiff::Timestamp::now());
        Verdict::yes(
            C::DirectoryComplete,
            Reason::Complete,
            "every account was listed",
        )
    } else {
        let why = listing.reason.unwrap_or("the listing ended early");
        Verdict::no(
            C::DirectoryComplete,
            Reason::Truncated,
            format!("{why}; nothing is deprovisioned or created until a listing is complete"),
        )
    });
    // Drift costs what changed, not what exists: only owners of changed accounts are woken, and
    // those whose trouble a change at the backend may have ended.
    let changed: HashSet<&String> = difference
        .changed
        .iter()
        .chain(&difference.missing)
        .collect();
    let mut users = connection.users_listed();
    connection.outcomes(|all| {
        let touched = all.iter().filter(|(_, o)| {
            o.retry_on_listing || o.id.as_ref().is_some_and(|id| changed.contains(id))
        });
        users.extend(touched.map(|(key, _)| key.clone()));
    });
    Ok(Woken::users(users))
}

/// Lists the groups, without their members, and says who has to look. Whatever a backend has against
/// listing groups is no trouble of its users.
///
/// # Errors
/// When the backend cannot be asked at all.
pub async fn list_groups(
    connection: &Connection,
    memory: &mut Memory,
    client: &Client,
    spec: &ScimConnectionSpec,
) -> Result<Woken, Trouble> {
    let side = connection.group_side();
    let mark = side.mirror().begin_listing();
    let mut groups = Vec::new();
    let options = ListingOptions {
        page_size: spec.dialect.page_size,
        excluded: vec!["members".into()],
        ..ListingOptions::default()
    };
    let result = list_all(client, ResourceKind::Group, &options, |page| {
        groups.extend(page.iter().filter_map(|r| ObservedGroup::read(r, false)))
    })
    .await;
    let listing = match result {
        Ok(listing) => listing,
        Err(ScimError::NotImplemented) => {
            side.set_listed(Listed::Unsupported);
            memory.groups_again = None;
            return Ok(Woken::groups(connection.groups_listed()));
        }
        // A token that is refused, or a backend that is not there, is everybody's trouble.
        Err(
            error @ (ScimError::Unauthorized
            | ScimError::Connect(_)
            | ScimError::AddressRefused
            | ScimError::Closed),
        ) => return Err(trouble(&error)),
        Err(error) => {
            side.set_listed(Listed::Failed(format!(
                "the groups cannot be listed: {error}"
            )));
            groups_again(memory, spec);
            return Ok(Woken::groups(connection.groups_listed()));
        }
    };
    if !side.stamps_are_trusted() {
        groups.iter_mut().for_each(|group| group.stamp = None);
    }
    let groups = groups.into_iter().map(Stored::new).collect();
    let difference = side.mirror().finish_listing(mark, groups, listing.complete);
    side.set_listed(Listed::Done);
    if listing.complete {
        memory.groups_again = None;
    } else {
        groups_again(memory, spec);
    }
    let changed: HashSet<&String> = difference
        .changed
        .iter()
        .chain(&difference.missing)
        .collect();
    let mut groups = connection.groups_listed();
    let outcomes = connection.group_outcomes();
    let touched = outcomes.iter().filter(|(_, o)| {
        o.retry_on_listing || o.id.as_ref().is_some_and(|id| changed.contains(id))
    });
    groups.extend(touched.map(|(key, _)| key.clone()));
    Ok(Woken::groups(groups))
}

/// Has the next listing come sooner than the interval, ever less so.
fn sooner(memory: &mut Memory, spec: &ScimConnectionSpec) {
    let row = memory.incomplete.0;
    let wait = crate::domain::retry::backoff(row, interval(spec), jitter());
    memory.incomplete = (row + 1, Some(wait));
}

/// Has the groups, and only them, listed again before the interval is over, ever less so.
fn groups_again(memory: &mut Memory, spec: &ScimConnectionSpec) {
    let row = memory.groups_again.map_or(0, |(row, _)| row);
    let wait = crate::domain::retry::backoff(row, interval(spec), jitter());
    memory.groups_again = Some((row + 1, Instant::now() + wait));
}

/// How often the backend is listed.
pub fn interval(spec: &ScimConnectionSpec) -> Duration {
    Duration::from_secs(
        names::duration_seconds(&spec.sync.interval)
            .unwrap_or(1800)
            .max(1),
    )
}

/// How long after one listing the next is due: sooner after one that was not complete, since nothing
/// is created or deprovisioned until then.
pub fn listing_wait(memory: &Memory, spec: &ScimConnectionSpec) -> Duration {
    let (_, sooner) = memory.incomplete;
    let interval = interval(spec);
    sooner.map_or(interval, |sooner| sooner.min(interval))
}
