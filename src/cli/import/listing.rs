//! The accounts and groups of a backend, page after page, with a bar where somebody watches.

use std::io::IsTerminal as _;
use std::ops::ControlFlow;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::filter::{Comparison, Match};
use crate::cli::Failure;
use crate::cli::backend::Backend;
use crate::domain::group::ObservedGroup;
use crate::domain::observed::Observed;
use crate::scim::{ListQuery, ListingOptions, ResourceKind, ScimError, list_all};

/// Why a listing was ended that had enough.
const ENOUGH: &str = "--limit was reached";

/// Which of them are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// A SCIM filter.
    pub filter: Option<&'a str>,
    /// So many at most.
    pub limit: Option<usize>,
}

/// What was listed.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// Those that match, as far as is known.
    pub all: Vec<T>,
    /// How many came that surely do not match.
    pub not_matching: usize,
    /// Why it is not everything, where it is not, and nobody asked for less.
    pub incomplete_because: Option<&'static str>,
    /// What else is to be known of it.
    pub notes: Vec<String>,
}

impl<T> Listed<T> {
    fn nothing(note: &str) -> Self {
        Self {
            all: Vec::new(),
            not_matching: 0,
            incomplete_because: None,
            notes: vec![note.to_owned()],
        }
    }
}

/// The accounts.
///
/// # Errors
/// When the backend cannot be listed.
pub async fn users(backend: &Backend, wanted: Wanted<'_>) -> Result<Listed<Observed>, Failure> {
    let read = |resource: &Value| Observed::read(resource, &backend.profile);
    listed(backend, ResourceKind::User, wanted, read)
        .await
        .map_err(|e| failed("accounts", wanted, e))
}

/// The groups, each with its members; none where the backend has no groups.
///
/// # Errors
/// When the backend cannot be listed, or a group not be read.
pub async fn groups(
    backend: &Backend,
    wanted: Wanted<'_>,
) -> Result<Listed<ObservedGroup>, Failure> {
    let read = |resource: &Value| ObservedGroup::read(resource, false);
    let mut found = match listed(backend, ResourceKind::Group, wanted, read).await {
        Err(ScimError::NotImplemented) => {
            return Ok(Listed::nothing("the backend offers no groups"));
        }
        found => found.map_err(|e| failed("groups", wanted, e))?,
    };
    // Some backends list a group without its members, and none shows who is in one with nobody in it.
    let unknown = found.all.iter().filter(|g| g.members.is_none()).count();
    let bar = bar(Some(unknown as u64), "reading groups");
    for group in &mut found.all {
        if group.members.is_some() {
            continue;
        }
        bar.inc(1);
        let seen = backend.client.get(ResourceKind::Group, &group.id).await;
        let seen = seen.map_err(|e| Failure::of(format!("reading group {}", group.id), e))?;
        if let Some(seen) = ObservedGroup::read(&seen, true) {
            *group = seen;
        }
    }
    bar.finish_and_clear();
    Ok(found)
}

fn failed(what: &str, wanted: Wanted<'_>, error: ScimError) -> Failure {
    let rejected = matches!(error, ScimError::BadRequest { .. });
    match wanted.filter {
        Some(_) if rejected => Failure::of(format!("the filter of {what}"), error),
        _ => Failure::of(format!("listing {what}"), error),
    }
}

async fn listed<T>(
    backend: &Backend,
    kind: ResourceKind,
    wanted: Wanted<'_>,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Listed<T>, ScimError> {
    let comparison = wanted.filter.and_then(Comparison::read);
    let by_backend = listed_by(backend, kind, wanted, wanted.filter, &read).await;
    match by_backend {
        // Some understand `eq` alone, and a few nothing: what can be evaluated here needs no backend that can.
        Err(ScimError::BadRequest { .. }) if comparison.is_some() => {
            let mut all = listed_by(backend, kind, wanted, None, &read).await?;
            let what = kind.endpoint();
            all.notes.push(format!(
                "{what}: the backend refused the filter, so that it was evaluated here, over all that there is"
            ));
            Ok(all)
        }
        answered => answered,
    }
}

/// The same, where the backend is asked with `asked`, whatever is wanted.
async fn listed_by<T>(
    backend: &Backend,
    kind: ResourceKind,
    wanted: Wanted<'_>,
    asked: Option<&str>,
    read: &impl Fn(&Value) -> Option<T>,
) -> Result<Listed<T>, ScimError> {
    let Wanted { filter, limit } = wanted;
    let comparison = filter.and_then(Comparison::read);
    let mut found: Vec<(Match, T)> = Vec::new();
    let mut not_matching = 0;
    let bar = bar(total(backend, kind, asked).await, "listing");
    let options = ListingOptions {
        page_size: backend.connection.spec.dialect.page_size,
        filter: asked.map(str::to_owned),
        ..ListingOptions::default()
    };
    let listing = list_all(&backend.client, kind, &options, |page| {
        bar.inc(page.len() as u64);
        for resource in &page {
            let matches = comparison.as_ref().map_or(Match::Yes, |c| c.of(resource));
            match (matches, read(resource)) {
                (Match::No, _) => not_matching += 1,
                (matches, Some(one)) => found.push((matches, one)),
                (_, None) => {}
            }
            if limit.is_some_and(|limit| found.len() >= limit) {
                return ControlFlow::Break(ENOUGH);
            }
        }
        ControlFlow::Continue(())
    })
    .await;
    bar.finish_and_clear();
    let listing = listing?;
    let mut notes = Vec::new();
    // Where some show a value, whoever shows none has none.
    let shown = not_matching > 0 || found.iter().any(|(m, _)| *m == Match::Yes);
    let checked = comparison.is_some() && (shown || found.is_empty());
    if checked {
        let before = found.len();
        found.retain(|(matches, _)| *matches == Match::Yes);
        not_matching += before - found.len();
    }
    let what = kind.endpoint();
    if filter.is_some() && !checked {
        notes.push(format!("{what}: the filter is the backend's to understand: what it answered is taken for what matches"));
    }
    if not_matching > 0 && asked.is_some() {
        notes.push(format!(
            "{what}: the backend answered with {not_matching} that do not match the filter"
        ));
    }
    if listing.reason == Some(ENOUGH) {
        notes.push(format!("{what}: {ENOUGH}; there may be more"));
    }
    Ok(Listed {
        all: found.into_iter().map(|(_, one)| one).collect(),
        not_matching,
        incomplete_because: listing.reason.filter(|reason| *reason != ENOUGH),
        notes,
    })
}

/// How many there are, where a bar is to show it: one request more.
async fn total(backend: &Backend, kind: ResourceKind, filter: Option<&str>) -> Option<u64> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let query = ListQuery {
        filter: filter.map(str::to_owned),
        ..ListQuery::first(1)
    };
    // What is wrong shows at the listing itself.
    backend.client.list(kind, &query).await.ok()?.total
}

/// A bar on standard error; indicatif draws none where that is no terminal.
fn bar(total: Option<u64>, doing: &'static str) -> ProgressBar {
    let template = match total {
        Some(_) => "{msg} {wide_bar} {human_pos}/{human_len} {eta}",
        None => "{spinner} {msg} {human_pos}",
    };
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let style = ProgressStyle::with_template(template);
    let bar = match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    bar.with_message(doing)
}
