//! Reading one resource and listing many (RFC 7644 §3.4), with the ways in which lists lie.

use std::io::Write as _;

use super::{Context, Outcome};
use crate::error::ScimError;
use crate::filter::Conditions;
use crate::projection::Projection;
use crate::request::Query;
use crate::schema::Resource;
use crate::store::{Row, Store};

/// The schema URN of a list (RFC 7644 §3.4.2).
pub(crate) const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// GET of one resource; 304 when the client has this version.
pub(crate) fn get(
    store: &Store,
    context: &Context<'_>,
    resource: Resource,
    id: &str,
    query: &Query,
) -> Result<Outcome, ScimError> {
    let projection = Projection::parse(resource, &query.attributes, &query.excluded_attributes)?;
    let row = store
        .collection(resource)
        .get(id)
        .filter(|row| context.shows(resource, row));
    let row = row.ok_or_else(ScimError::not_found)?;
    let etag = context.style().etag(row);
    if let (Some(known), Some(etag)) = (context.if_none_match, &etag)
        && (known == "*" || known.contains(etag.as_str()))
    {
        return Ok(Outcome {
            status: 304,
            etag: Some(etag.clone()),
            ..Outcome::default()
        });
    }
    let outcome = context.outcome(200, resource, row, &projection);
    Ok(Outcome {
        location: None,
        ..outcome
    })
}

/// A page of resources, in the order of their creation.
pub(crate) fn list(
    store: &Store,
    context: &Context<'_>,
    resource: Resource,
    query: &Query,
) -> Result<Outcome, ScimError> {
    let faults = context.faults;
    let projection = Projection::parse(resource, &query.attributes, &query.excluded_attributes)?;
    let rows = store.collection(resource);
    let selected: Option<Vec<&Row>> = if faults.empty_list {
        Some(Vec::new())
    } else {
        let filter = query.filter.as_deref().filter(|_| !faults.ignore_filter);
        match filter {
            Some(filter) => {
                Some(Conditions::parse(resource, filter, context.dialect)?.select(rows, faults))
            }
            None if faults.inactive_users_404 => Some(rows.iter().collect()),
            None => None,
        }
    };
    let selected = selected.map(|mut selected| {
        selected.retain(|row| context.shows(resource, row));
        selected
    });
    let total = selected.as_ref().map_or(rows.len(), Vec::len);
    let window = Window::new(context, query);
    let page: Vec<&Row> = match selected {
        Some(selected) => selected
            .into_iter()
            .skip(window.skip)
            .take(window.take)
            .collect(),
        None => rows.iter().skip(window.skip).take(window.take).collect(),
    };
    Ok(Outcome {
        status: 200,
        body: Some(told(
            context,
            resource,
            total,
            window.skip,
            &page,
            &projection,
        )),
        ..Outcome::default()
    })
}

/// The part of a list that a page shows.
#[derive(Debug, Clone, Copy)]
struct Window {
    skip: usize,
    take: usize,
}

impl Window {
    fn new(context: &Context<'_>, query: &Query) -> Self {
        let start_index = query
            .start_index
            .filter(|_| !context.faults.ignore_start_index);
        let skip = usize::try_from(start_index.unwrap_or(1).max(1) - 1).unwrap_or(usize::MAX);
        let cap = context.page_cap;
        let count = query
            .count
            .map_or(cap, |count| usize::try_from(count).unwrap_or(0).min(cap));
        let left = context
            .faults
            .truncate_list
            .map_or(count, |end| end.saturating_sub(skip));
        Self {
            skip,
            take: count.min(left),
        }
    }
}

fn told(
    context: &Context<'_>,
    resource: Resource,
    total: usize,
    skip: usize,
    page: &[&Row],
    projection: &Projection,
) -> Vec<u8> {
    let total = if context.faults.lying_total {
        page.len()
    } else {
        total
    };
    let quote = if context.faults.wrong_types { "\"" } else { "" };
    let mut body = Vec::with_capacity(128 + page.len() * 1_024);
    let start_index = skip.saturating_add(1);
    let items = page.len();
    // Writing to memory does not fail.
    let _ = write!(
        body,
        "{{\"schemas\":[\"{LIST_URN}\"],\"totalResults\":{quote}{total}{quote},\
         \"startIndex\":{start_index},\"itemsPerPage\":{items}"
    );
    if !(page.is_empty() && context.faults.omit_empty_resources) {
        body.extend_from_slice(b",\"Resources\":[");
        for (at, row) in page.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            context.style().write(&mut body, resource, row, projection);
        }
        body.push(b']');
    }
    body.push(b'}');
    body
}
