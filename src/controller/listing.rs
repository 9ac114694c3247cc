//! The paged listing of a backend: what the directory learns from it, and whom that concerns.

use std::collections::HashSet;
use std::ops::ControlFlow;
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

/// What one listing may take in memory, in bytes: 256 MiB, which is ten times a hundred thousand usual accounts. A
/// backend that has its accounts grow without end stops its own listing, and not the operator.
const MAX_MEMORY: usize = 256 * 1024 * 1024;

/// What is left of the memory of a listing.
struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(MAX_MEMORY)
    }
}

impl Room {
    fn take(&mut self, bytes: usize) -> ControlFlow<&'static str> {
        match self.0.checked_sub(bytes) {
            Some(left) => {
                self.0 = left;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break("the accounts take more than 256 MiB of memory"),
        }
    }
}

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
    let (mut accounts, mut room) = (Vec::new(), Room::default());
    let options = ListingOptions {
        page_size: spec.dialect.page_size,
        ..ListingOptions::default()
    };
    let result = list_all(client, ResourceKind::User, &options, |page| {
        let read = page.iter().filter_map(|r| Observed::read(r, profile));
        let first = accounts.len();
        accounts.extend(read.map(Stored::new));
        room.take(accounts[first..].iter().map(Stored::size).sum())
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
    let (mut groups, mut room) = (Vec::new(), Room::default());
    let options = ListingOptions {
        page_size: spec.dialect.page_size,
        excluded: vec!["members".into()],
        ..ListingOptions::default()
    };
    let result = list_all(client, ResourceKind::Group, &options, |page| {
        let first = groups.len();
        groups.extend(page.iter().filter_map(|r| ObservedGroup::read(r, false)));
        let size = |group: &ObservedGroup| serde_json::to_vec(group).map_or(0, |json| json.len());
        room.take(groups[first..].iter().map(size).sum())
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Accounts with very long names, and nothing in them that packs well.
    #[test]
    fn accounts_without_end_end_the_listing() {
        const LONG: usize = 256 * 1024;
        let profile = Profile::resolve(crate::api::connection::Profile::RFC7643, &[]).unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        // Less than there is, for the sake of time.
        let (mut room, mut taken) = (Room(MAX_MEMORY / 64), 0);
        let ended = loop {
            let name: String = std::iter::repeat_with(|| random.alphanumeric())
                .take(LONG)
                .collect();
            let account = json!({"id": taken.to_string(), "userName": name});
            let stored = Stored::new(Observed::read(&account, &profile).unwrap());
            assert!(stored.size() >= LONG, "{}", stored.size());
            if let ControlFlow::Break(why) = room.take(stored.size()) {
                break why;
            }
            taken += 1;
            assert!(taken * LONG <= MAX_MEMORY / 64, "it never ends");
        };
        assert!(taken > 2 && ended.contains("256 MiB"), "{taken}: {ended}");
    }

    #[test]
    fn a_hundred_thousand_usual_accounts_have_room() {
        let profile = Profile::resolve(crate::api::connection::Profile::CybSafe, &[]).unwrap();
        let account = json!({
            "id": "0f8fad5b-d9cb-469f-a165-70867728950e", "externalId": "scim-operator:identity/scim:identity/ada",
            "userName": "ada.lovelace@example.com", "active": true,
            "name": {"givenName": "Ada", "familyName": "Lovelace"},
            "emails": [{"type": "work", "value": "ada.lovelace@example.com", "primary": true}],
            "phoneNumbers": [{"type": "mobile", "value": "+447700900123"}],
            "addresses": [{"type": "work", "country": "GB"}], "preferredLanguage": "en-GB"
        });
        let stored = Stored::new(Observed::read(&account, &profile).unwrap());
        assert!(
            stored.size() * 100_000 < MAX_MEMORY / 4,
            "{}",
            stored.size()
        );
    }
}
