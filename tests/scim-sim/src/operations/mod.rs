//! What the endpoint does: reads in `read`, writes in `write`, Bulk in `bulk`.
//!
//! Nothing here knows HTTP connections; a request comes in as an endpoint, a query and a body, and
//! leaves as an [`Outcome`] or a [`ScimError`].

mod bulk;
mod checks;
mod members;
mod read;
mod stamp;
mod write;

pub(crate) use bulk::{Strike as BulkStrike, bulk};
pub(crate) use read::LIST_URN;
pub(crate) use read::{get, list};
pub(crate) use stamp::{complete, touch};
pub(crate) use write::leave_groups;

use serde_json::Value;

use crate::error::ScimError;
use crate::projection::Projection;
use crate::render::{Style, write_json};
use crate::request::Endpoint;
use crate::schema::Resource;
use crate::store::{Row, Store};
use crate::{Dialect, Faults};

/// What an operation may look at besides the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) faults: &'a Faults,
    pub(crate) dialect: &'a Dialect,
    /// With a trailing slash; resources are located below it.
    pub(crate) base_url: &'a str,
    pub(crate) page_cap: usize,
    pub(crate) if_match: Option<&'a str>,
    pub(crate) if_none_match: Option<&'a str>,
}

/// A successful answer.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Outcome {
    /// An answer that carries a document other than a stored resource.
    pub(crate) fn document(status: u16, document: &Value) -> Self {
        let mut body = Vec::new();
        write_json(&mut body, document);
        Self {
            status,
            body: Some(body),
            ..Self::default()
        }
    }
}

impl Context<'_> {
    fn style(&self) -> Style<'_> {
        Style {
            faults: self.faults,
            dialect: self.dialect,
        }
    }

    /// Whether a resource can be read; archived users may hide.
    fn shows(&self, resource: Resource, row: &Row) -> bool {
        !(self.faults.inactive_users_404 && resource == Resource::User && !row.is_active())
    }

    /// An answer that carries the resource.
    fn outcome(
        &self,
        status: u16,
        resource: Resource,
        row: &Row,
        projection: &Projection,
    ) -> Outcome {
        let mut body = Vec::with_capacity(1_024);
        self.style().write(&mut body, resource, row, projection);
        let location = row
            .body
            .get("meta")
            .and_then(|meta| meta["location"].as_str());
        Outcome {
            status,
            location: location.map(str::to_owned),
            etag: self.style().etag(row),
            body: Some(body),
        }
    }
}

/// Carries out a write on one resource.
///
/// # Errors
/// Whatever the operation refuses; 405 for a method the endpoint does not have. The store is then
/// unchanged.
pub(crate) fn change(
    store: &mut Store,
    context: &Context<'_>,
    method: &str,
    endpoint: &Endpoint,
    body: &Value,
    projection: &Projection,
) -> Result<Outcome, ScimError> {
    match (method, endpoint) {
        ("POST", Endpoint::Collection(resource)) => {
            write::create(store, context, *resource, body, projection)
        }
        ("PUT", Endpoint::Item(resource, id)) => {
            write::replace(store, context, *resource, id, body, projection)
        }
        ("PATCH", Endpoint::Item(resource, id)) => {
            write::patch(store, context, *resource, id, body, projection)
        }
        ("DELETE", Endpoint::Item(resource, id)) => write::delete(store, context, *resource, id),
        (_, Endpoint::Unknown) => Err(ScimError::not_found()),
        _ => Err(ScimError::new(
            405,
            "the endpoint does not have this method",
        )),
    }
}
