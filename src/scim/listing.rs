//! The listing of a whole collection, page after page (RFC 7644 §3.4.2.4,
//! RFC 9865), and an honest word on whether it was all of it.
//!
//! Guarantees: every resource is delivered once (by id); the number of pages and
//! of resources is bounded, and so is the time; `complete` is said only where
//! the count and the pages agree.
//!
//! Caveats: on an error, pages already delivered stay delivered. Absence from
//! even a complete listing is no proof of deletion.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::scim::client::{Client, ListQuery, Start};
use crate::scim::detail::ScimType;
use crate::scim::error::{ErrorClass, ScimError};
use crate::scim::types::{Page, ResourceKind, id_of};

/// The most tries of one page after failures that may pass.
const MAX_TRIES: u32 = 4;

/// The longest cursor that is followed, in bytes: all of a listing are remembered, and travel in a URL.
const MAX_CURSOR: usize = 4096;

/// How a collection is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingOptions {
    /// Resources a page to ask for. Halved where replies are too large.
    pub page_size: u32,
    /// The most pages to ask for.
    pub max_pages: u32,
    /// The most resources to take: no further page is asked for then.
    pub max_resources: u64,
    /// The longest that it may take; a page that is under way is still waited for.
    pub max_time: Duration,
    /// Asks for paging by cursor from the start. A cursor the server offers by
    /// itself is followed in any case.
    pub cursor: bool,
    /// The attributes wanted; empty for the server's default set.
    pub attributes: Vec<String>,
    /// The attributes not wanted.
    pub excluded: Vec<String>,
    /// Which resources are asked for, as [`ListQuery::filter`].
    pub filter: Option<String>,
}

impl Default for ListingOptions {
    /// 100 a page, at most 10,000 pages, a million resources and a day, by index, all attributes.
    fn default() -> Self {
        Self {
            page_size: 100,
            max_pages: 10_000,
            max_resources: 1_000_000,
            // A bound on what never ends, not on what is slow: a listing that is cut short begins at its first page
            // again, and nobody is deprovisioned meanwhile. 10,000 pages at one request a second take three hours.
            max_time: Duration::from_secs(24 * 60 * 60),
            cursor: false,
            attributes: Vec::new(),
            excluded: Vec::new(),
            filter: None,
        }
    }
}

/// What a listing came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Whether it was everything, as far as the server can be believed.
    pub complete: bool,
    /// The server's last `totalResults`.
    pub total: Option<u64>,
    /// Resources delivered, each once.
    pub received: u64,
    /// Pages read.
    pub pages: u32,
    /// Why it is not complete.
    pub reason: Option<&'static str>,
}

/// Lists a collection. `on_page` gets the resources of each page that no
/// earlier page had, and may break the listing off, saying why.
///
/// A page is asked for again after failures that may pass; the limiter waits
/// where the server asks for it. An expired cursor starts the listing over,
/// once.
///
/// # Errors
/// The first [`ScimError`] that does not pass.
pub async fn list_all(
    client: &Client,
    kind: ResourceKind,
    options: &ListingOptions,
    mut on_page: impl FnMut(Vec<Value>) -> ControlFlow<&'static str>,
) -> Result<Listing, ScimError> {
    let mut walk = Walk::new(options);
    let begun = Instant::now();
    let reason = loop {
        if walk.pages >= options.max_pages {
            break Some("the limit of pages was reached");
        }
        if walk.received() >= options.max_resources {
            break Some("the limit of resources was reached");
        }
        if begun.elapsed() >= options.max_time {
            break Some("the limit of time was reached");
        }
        let page = match walk.fetch(client, kind).await {
            Err(ref error) if walk.restart_after(error) => continue,
            // Some servers refuse to look behind the end.
            Err(ScimError::BadRequest { .. }) if walk.probing => break walk.verdict(true),
            page => page?,
        };
        let (fresh, step) = walk.take(page);
        if !fresh.is_empty()
            && let ControlFlow::Break(reason) = on_page(fresh)
        {
            break Some(reason);
        }
        if let Step::End(reason) = step {
            break reason;
        }
    };
    Ok(Listing {
        complete: reason.is_none(),
        total: walk.total,
        received: walk.received(),
        pages: walk.pages,
        reason,
    })
}

enum Step {
    Next,
    End(Option<&'static str>),
}

/// A listing under way.
struct Walk {
    query: ListQuery,
    first: Start,
    seen: HashSet<String>,
    cursors: HashSet<String>,
    total: Option<u64>,
    pages: u32,
    /// The next page is asked for only to see whether the total is true.
    probing: bool,
    restarted: bool,
    shrank: bool,
    nameless: bool,
}

impl Walk {
    fn new(options: &ListingOptions) -> Self {
        let ListingOptions {
            page_size,
            max_pages: _,
            max_resources: _,
            max_time: _,
            cursor,
            attributes,
            excluded,
            filter,
        } = options;
        let first = if *cursor {
            Start::Cursor(None)
        } else {
            Start::Index(1)
        };
        Self {
            query: ListQuery {
                start: first.clone(),
                count: (*page_size).max(1),
                attributes: attributes.clone(),
                excluded: excluded.clone(),
                filter: filter.clone(),
            },
            first,
            seen: HashSet::new(),
            cursors: HashSet::new(),
            total: None,
            pages: 0,
            probing: false,
            restarted: false,
            shrank: false,
            nameless: false,
        }
    }

    fn received(&self) -> u64 {
        self.seen.len() as u64
    }

    /// Asks for the next page, again where that may help.
    async fn fetch(&mut self, client: &Client, kind: ResourceKind) -> Result<Page, ScimError> {
        let mut tries = 1;
        loop {
            let error = match client.list(kind, &self.query).await {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            if asks_for_less(&error) && self.query.count > 1 {
                self.query.count /= 2;
                continue;
            }
            match error.class() {
                // The limiter has been told, and waits.
                ErrorClass::RateLimited if tries < MAX_TRIES => {}
                ErrorClass::Transient if tries < MAX_TRIES => {
                    tokio::time::sleep(Duration::from_millis(250 << tries)).await;
                }
                _ => return Err(error),
            }
            tries += 1;
        }
    }

    /// Whether the error is that of a lost cursor (RFC 9865 §2.1), and the
    /// walk was set back to its start.
    fn restart_after(&mut self, error: &ScimError) -> bool {
        let lost = matches!(
            error.scim_type(),
            Some(ScimType::ExpiredCursor | ScimType::InvalidCursor)
        ) && matches!(self.query.start, Start::Cursor(Some(_)));
        if !lost || self.restarted {
            return false;
        }
        self.restarted = true;
        self.query.start = self.first.clone();
        self.cursors.clear();
        true
    }

    /// Takes a page in: what is new in it, and how to go on.
    fn take(&mut self, page: Page) -> (Vec<Value>, Step) {
        let Page {
            total,
            start_index: _,
            items_per_page: _,
            resources,
            next_cursor,
        } = page;
        let is_first = self.query.start == self.first;
        let length = resources.len() as u64;
        let before = self.received();
        let fresh: Vec<Value> = resources
            .into_iter()
            .filter(|resource| match id_of(resource) {
                Some(id) => self.seen.insert(id),
                None => {
                    self.nameless = true;
                    false
                }
            })
            .collect();
        let news = self.received() - before;
        let moved = total.is_some() && total != self.total;
        // What an empty page behind the end says of the total is not believed.
        if is_first || length > 0 {
            let known = if is_first { None } else { self.total };
            self.shrank |= matches!((total, known), (Some(new), Some(old)) if new < old);
            self.total = total.or(self.total);
        }
        self.pages += 1;
        let step = match (next_cursor, &self.query.start) {
            (Some(cursor), _) => self.follow(cursor),
            (None, Start::Cursor(Some(_))) => Step::End(self.verdict(true)),
            (None, Start::Cursor(None)) => self.advance(1, length, news, moved),
            (None, &Start::Index(index)) => self.advance(index, length, news, moved),
        };
        (fresh, step)
    }

    fn follow(&mut self, cursor: String) -> Step {
        if cursor.len() > MAX_CURSOR {
            return Step::End(Some("a cursor is longer than 4096 bytes"));
        }
        if !self.cursors.insert(cursor.clone()) {
            return Step::End(Some("the server repeats a cursor"));
        }
        self.query.start = Start::Cursor(Some(cursor));
        Step::Next
    }

    /// Goes on by index: by as many as came, however many were asked for.
    fn advance(&mut self, index: u64, length: u64, news: u64, moved: bool) -> Step {
        if length == 0 || news == 0 {
            return Step::End(self.verdict(length == 0));
        }
        self.query.start = Start::Index(index + length);
        self.probing = false;
        if self.total == Some(self.received()) {
            // A total that appeared or moved with a full page may be the size
            // of the page rather than of the collection. Caps are round.
            let full = length >= u64::from(self.query.count) || length.is_multiple_of(10);
            if !(moved && full) {
                return Step::End(self.verdict(true));
            }
            self.probing = true;
        }
        Step::Next
    }

    /// Why the listing is not complete, if it is not. `ended` says whether the
    /// server showed an end, rather than repeating itself.
    fn verdict(&self, ended: bool) -> Option<&'static str> {
        match self.total {
            _ if self.nameless => {
                Some("a resource has no id, or one that is longer than 1024 bytes")
            }
            _ if self.shrank => Some("totalResults shrank during the listing"),
            Some(total) if self.received() < total => {
                Some("fewer resources came than totalResults says")
            }
            Some(total) if self.received() > total => {
                Some("more resources came than totalResults says")
            }
            None if !ended => Some("without totalResults, the server repeats its pages"),
            Some(_) | None => None,
        }
    }
}

/// Whether a smaller page may succeed.
fn asks_for_less(error: &ScimError) -> bool {
    matches!(error, ScimError::ReplyTooLarge | ScimError::PayloadTooLarge)
        || matches!(
            error.scim_type(),
            Some(ScimType::TooMany | ScimType::InvalidCount)
        )
}
