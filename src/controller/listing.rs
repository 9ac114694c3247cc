//! The paged listing of a backend: what the directory learns from it, and whom that concerns.

use std::time::{Duration, Instant};

use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::connection::ScimConnectionSpec;
use crate::controller::connection::{Trouble, trouble};
use crate::controller::context::jitter;
use crate::controller::live::{Connection, Memory, Woken};
use crate::domain::conditions::Verdict;
use crate::domain::names;
use crate::domain::observed::Observed;
use crate::domain::profile::Profile;
use crate::scim::{Client, ListingOptions, ResourceKind, list_all};

/// Lists the users, and says who has to look.
///
/// # Errors
/// When the backend cannot be listed.
pub async fn listing(
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
        accounts.extend(page.iter().filter_map(|r| Observed::read(r, profile)))
    })
    .await;
    let listing = result.map_err(|error| trouble(&error))?;
    let difference = connection
        .directory()
        .finish_listing(mark, accounts, listing.complete);
    memory.listed = Some(Instant::now());
    memory.incomplete = if listing.complete {
        (0, None)
    } else {
        let row = memory.incomplete.0;
        let wait = crate::domain::retry::backoff(row, interval(spec), jitter());
        (row + 1, Some(wait))
    };
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
    let outcomes = connection.outcomes();
    let changed: std::collections::HashSet<&String> = difference
        .changed
        .iter()
        .chain(&difference.missing)
        .collect();
    let touched = outcomes.iter().filter(|(_, o)| {
        o.retry_on_listing || o.id.as_ref().is_some_and(|id| changed.contains(id))
    });
    let mut woken = connection.listing_done();
    woken.extend(Woken::users(touched.map(|(key, _)| key.clone())));
    Ok(woken)
}

fn interval(spec: &ScimConnectionSpec) -> Duration {
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
