//! The requests of RFC 7644 §3 that the operator makes, one method each.
//!
//! Each method sends one request (two after a 415) and retries nothing: what
//! an error means for the resource is its caller's to decide.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::scim::bulk::Batches;
use crate::scim::config::ClientConfig;
use crate::scim::discovery::Bulk;
use crate::scim::endpoint::{ConfigError, Endpoint};
use crate::scim::error::ScimError;
use crate::scim::http::{Call, Transport};
use crate::scim::limits::{Lane, Limiter};
use crate::scim::patch::Patch;
use crate::scim::reply::{Reply, Target};
use crate::scim::tally::{Operation, Tally};
use crate::scim::types::{Page, ResourceKind, id_of};

/// The most matches a lookup asks for. A filter that is ignored answers with
/// everybody, and one page of them is enough to see that.
const LOOKUP_COUNT: u32 = 100;

/// Where a page starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this index, counted from 1 (RFC 7644 §3.4.2.4).
    Index(u64),
    /// At this cursor; `None` for the first page by cursor (RFC 9865 §2).
    Cursor(Option<String>),
}

/// One page to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Where it starts.
    pub start: Start,
    /// How many resources to ask for; servers may send fewer.
    pub count: u32,
    /// The attributes wanted; empty for the server's default set.
    pub attributes: Vec<String>,
    /// The attributes not wanted; ignored where `attributes` is given, since
    /// RFC 7644 §3.4.2.5 allows one of the two.
    pub excluded: Vec<String>,
    /// Which resources are wanted (RFC 7644 §3.4.2.2); all where there is
    /// none. Servers ignore filters: what comes has to be looked at.
    pub filter: Option<String>,
}

impl ListQuery {
    /// The first page of this size, with the server's default attributes.
    #[must_use]
    pub fn first(count: u32) -> Self {
        Self {
            start: Start::Index(1),
            count,
            attributes: Vec::new(),
            excluded: Vec::new(),
            filter: None,
        }
    }
}

/// What a create came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    /// The resource as the server has it, where it said (with an id).
    pub resource: Option<Value>,
    /// 201; 200 where an existing resource was reactivated; 202 where the
    /// server will get to it (RFC 9967); 204 where it says no more.
    pub status: u16,
    /// Where it is, as the result of a Bulk operation says, which mostly has no
    /// resource.
    pub located: Option<Located>,
}

/// What is said of a resource that is not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its id.
    pub id: String,
    /// Its entity tag, where given.
    pub version: Option<String>,
}

/// A connection to one backend. Cheap to clone; clones share the limits.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    lane: Lane,
}

struct Inner {
    endpoint: Endpoint,
    transport: Transport,
    search_by_post: std::sync::atomic::AtomicBool,
    batches: Batches,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Checks a configuration and prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// As [`ConfigError`] says.
    pub fn new(config: ClientConfig) -> Result<Self, ConfigError> {
        let endpoint = Endpoint::parse(&config.endpoint, config.insecure, config.allow_local)?;
        let transport = Transport::new(&config, &endpoint)?;
        let search_by_post = config.search_by_post.into();
        Ok(Self {
            inner: Arc::new(Inner {
                endpoint,
                transport,
                search_by_post,
                batches: Batches::default(),
            }),
            lane: Lane::default(),
        })
    }

    /// The same connection, whose requests stand in this lane.
    #[must_use]
    pub fn in_lane(&self, lane: Lane) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            lane,
        }
    }

    /// One page of a collection (RFC 7644 §3.4.2).
    ///
    /// # Errors
    /// Any [`ScimError`]. A 404 for the first page means that there is no such
    /// collection: `NotImplemented` for groups, `NotScim` for users.
    pub async fn list(&self, kind: ResourceKind, query: &ListQuery) -> Result<Page, ScimError> {
        let ListQuery {
            start,
            count,
            attributes,
            excluded,
            filter,
        } = query;
        let first = matches!(start, Start::Index(0 | 1) | Start::Cursor(None));
        let mut parameters = vec![match start {
            Start::Index(index) => ("startIndex", index.to_string()),
            Start::Cursor(cursor) => ("cursor", cursor.clone().unwrap_or_default()),
        }];
        parameters.push(("count", count.to_string()));
        if !attributes.is_empty() {
            parameters.push(("attributes", attributes.join(",")));
        } else if !excluded.is_empty() {
            parameters.push(("excludedAttributes", excluded.join(",")));
        }
        if let Some(filter) = filter {
            parameters.push(("filter", filter.clone()));
        }
        let url = self.inner.endpoint.url(kind.endpoint(), &parameters)?;
        let reply = self
            .inner
            .transport
            .send(&Call::bare(Operation::List, url, self.lane))
            .await?;
        let page = match reply.success(Target::Collection) {
            Err(ScimError::BadRequest {
                status: 404 | 410, ..
            }) if first => {
                return Err(match kind {
                    ResourceKind::User => ScimError::NotScim {
                        why: "there is no Users collection at the endpoint",
                    },
                    ResourceKind::Group => ScimError::NotImplemented,
                });
            }
            reply => reply?.json()?,
        };
        Page::from_value(page).map_err(|why| ScimError::NotScim { why })
    }

    /// One resource by its id (RFC 7644 §3.4.1).
    ///
    /// # Errors
    /// Any [`ScimError`]; `NotFound` is believed only in the voice of a SCIM
    /// server.
    pub async fn get(&self, kind: ResourceKind, id: &str) -> Result<Value, ScimError> {
        let url = self.inner.endpoint.resource_url(kind.endpoint(), id)?;
        let reply = self
            .inner
            .transport
            .send(&Call::bare(Operation::Get, url, self.lane))
            .await?;
        let resource = reply.success(Target::Item)?.json()?;
        match id_of(&resource) {
            Some(_) => Ok(resource),
            None => Err(ScimError::NotScim {
                why: "the resource has no id",
            }),
        }
    }

    /// Lets creates of users that wait for the limits go together (RFC 7644
    /// §3.7) within these limits of the server; each goes alone where that is
    /// `None`, as it does at first. `connection` is named in the log.
    pub fn use_bulk(&self, offered: Option<Bulk>, connection: &str) {
        self.inner.batches.offer(offered, connection);
    }

    /// Creates a resource (RFC 7644 §3.3), with others where that is allowed by
    /// [`Client::use_bulk`].
    ///
    /// # Errors
    /// Any [`ScimError`]. Where [`ScimError::possibly_applied`], look the
    /// resource up before another create. The same goes where the future was
    /// dropped before it was done.
    pub async fn create(&self, kind: ResourceKind, body: &Value) -> Result<Created, ScimError> {
        let Inner {
            endpoint,
            transport,
            batches,
            ..
        } = &*self.inner;
        if kind == ResourceKind::User && batches.are_used() {
            return batches.create(transport, endpoint, body, self.lane).await;
        }
        let call = Call {
            operation: Operation::Create,
            method: Method::POST,
            url: endpoint.url(kind.endpoint(), &[])?,
            body: Some(body),
            if_match: None,
            lane: self.lane,
        };
        created(transport.send(&call).await?)
    }

    /// Changes a resource (RFC 7644 §3.5.2); answers its new state where the
    /// server says.
    ///
    /// # Errors
    /// Any [`ScimError`].
    pub async fn patch(
        &self,
        kind: ResourceKind,
        id: &str,
        patch: &Patch,
        if_match: Option<&str>,
    ) -> Result<Option<Value>, ScimError> {
        let url = self.inner.endpoint.resource_url(kind.endpoint(), id)?;
        let call = Call {
            operation: Operation::Update,
            method: Method::PATCH,
            url,
            body: Some(patch),
            if_match,
            lane: self.lane,
        };
        self.inner
            .transport
            .send(&call)
            .await?
            .success(Target::Item)?
            .resource()
    }

    /// Replaces a resource (RFC 7644 §3.5.1); answers its new state where the
    /// server says. Attributes left out may be cleared, so the body has to
    /// start from a GET.
    ///
    /// # Errors
    /// Any [`ScimError`].
    pub async fn replace(
        &self,
        kind: ResourceKind,
        id: &str,
        body: &Value,
        if_match: Option<&str>,
    ) -> Result<Option<Value>, ScimError> {
        let url = self.inner.endpoint.resource_url(kind.endpoint(), id)?;
        let call = Call {
            operation: Operation::Update,
            method: Method::PUT,
            url,
            body: Some(body),
            if_match,
            lane: self.lane,
        };
        self.inner
            .transport
            .send(&call)
            .await?
            .success(Target::Item)?
            .resource()
    }

    /// Deletes a resource (RFC 7644 §3.6). One that is not there is deleted.
    ///
    /// # Errors
    /// Any [`ScimError`] but `NotFound`.
    pub async fn delete(&self, kind: ResourceKind, id: &str) -> Result<(), ScimError> {
        let url = self.inner.endpoint.resource_url(kind.endpoint(), id)?;
        let reply = self
            .inner
            .transport
            .send(&Call::bare(Operation::Delete, url, self.lane))
            .await?;
        match reply.success(Target::Item) {
            Ok(_) | Err(ScimError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The first page of the resources whose attribute equals the value
    /// (RFC 7644 §3.4.2.2). Servers ignore filters: every match has to be
    /// checked again by the caller, and no match proves nothing.
    ///
    /// # Errors
    /// Any [`ScimError`]; a 404 is no match.
    pub async fn find(
        &self,
        kind: ResourceKind,
        attribute: &str,
        value: &str,
    ) -> Result<Vec<Value>, ScimError> {
        use std::sync::atomic::Ordering;
        // JSON's string syntax is the filter's (RFC 7644 §3.4.2.2).
        let filter = format!("{attribute} eq {}", Value::String(value.to_owned()));
        if self.inner.search_by_post.load(Ordering::Relaxed) {
            let reply = self.search(kind, &filter).await?;
            if !matches!(reply.status, 400 | 404 | 405 | 501) {
                return matches_of(reply);
            }
            self.inner.search_by_post.store(false, Ordering::Relaxed);
        }
        let parameters = [("filter", filter), ("count", LOOKUP_COUNT.to_string())];
        let url = self.inner.endpoint.url(kind.endpoint(), &parameters)?;
        matches_of(
            self.inner
                .transport
                .send(&Call::bare(Operation::Find, url, self.lane))
                .await?,
        )
    }

    async fn search(&self, kind: ResourceKind, filter: &str) -> Result<Reply, ScimError> {
        let url = self
            .inner
            .endpoint
            .url(&format!("{}/.search", kind.endpoint()), &[])?;
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "filter": filter,
            "count": LOOKUP_COUNT,
        });
        let call = Call {
            operation: Operation::Find,
            method: Method::POST,
            url,
            body: Some(&body),
            if_match: None,
            lane: self.lane,
        };
        self.inner.transport.send(&call).await
    }

    /// A discovery document below the base URL (RFC 7644 §4).
    pub(crate) async fn document(&self, name: &str) -> Result<Value, ScimError> {
        let url = self.inner.endpoint.url(name, &[])?;
        let reply = self
            .inner
            .transport
            .send(&Call::bare(Operation::Discover, url, self.lane))
            .await?;
        reply.success(Target::Collection)?.json()
    }

    /// Sends nothing any more: whoever waits for the limits, and whoever comes
    /// later, gets [`ScimError::Closed`]. What is in flight comes to its end.
    pub fn close(&self) {
        self.inner.transport.limiter().close();
    }

    /// Whether both are clones of one client.
    #[must_use]
    pub fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// What its requests came to.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        self.inner.transport.tally()
    }

    /// What holds its requests back.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        self.inner.transport.limiter()
    }

    /// How long requests are still held back at the server's wish.
    #[must_use]
    pub fn paused_for(&self) -> Option<Duration> {
        self.inner.transport.limiter().paused_for()
    }
}

/// What the answer to a POST says.
pub(crate) fn created(reply: Reply) -> Result<Created, ScimError> {
    let reply = reply.success(Target::Collection)?;
    Ok(Created {
        status: reply.status,
        resource: reply.resource()?,
        located: None,
    })
}

fn matches_of(reply: Reply) -> Result<Vec<Value>, ScimError> {
    match reply.success(Target::Collection) {
        Err(ScimError::BadRequest { status: 404, .. }) => Ok(Vec::new()),
        reply => Page::from_value(reply?.json()?)
            .map(|page| page.resources)
            .map_err(|why| ScimError::NotScim { why }),
    }
}
