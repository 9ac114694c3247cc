//! Answers what the server is and can do (RFC 7644 §4).

use serde_json::{Value, json};

use crate::error::ScimError;
use crate::operations::{LIST_URN, Outcome};
use crate::request::{Endpoint, Query};
use crate::schema::{resource_types, schemas, service_provider_config};
use crate::shared::Shared;
use crate::{Dialect, Faults};

/// One discovery document, or the list of them.
///
/// # Errors
/// 403 for a filter, 404 for an unknown document or when discovery is switched off.
pub(crate) fn discover(
    shared: &Shared,
    faults: &Faults,
    dialect: &Dialect,
    endpoint: &Endpoint,
    query: &Query,
) -> Result<Outcome, ScimError> {
    if faults.no_discovery {
        return Err(ScimError::not_found());
    }
    if query.filter.is_some() {
        return Err(ScimError::new(403, "discovery takes no filter")); // RFC 7644 §4
    }
    let base_url = &shared.base_url;
    let (documents, key) = match endpoint {
        Endpoint::ResourceTypes(key) => (resource_types(base_url), key),
        Endpoint::Schemas(key) => (schemas(base_url), key),
        _ => {
            let config = service_provider_config(dialect, faults, shared.page_cap, base_url);
            return Ok(Outcome::document(200, &config));
        }
    };
    match key {
        Some(key) => {
            let found = documents
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(key));
            found
                .map(|(_, document)| Outcome::document(200, document))
                .ok_or_else(ScimError::not_found)
        }
        None => {
            let documents: Vec<Value> = documents.into_iter().map(|(_, found)| found).collect();
            let total = documents.len();
            Ok(Outcome::document(
                200,
                &json!({
                    "schemas": [LIST_URN], "totalResults": total, "startIndex": 1,
                    "itemsPerPage": total, "Resources": documents,
                }),
            ))
        }
    }
}
