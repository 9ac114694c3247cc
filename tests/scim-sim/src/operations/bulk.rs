//! Bulk (RFC 7644 §3.7): many writes in one request, each with a result of its own.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::{Context, Outcome, change};
use crate::error::ScimError;
use crate::faults::BulkStatus;
use crate::projection::Projection;
use crate::request::Endpoint;
use crate::store::Store;

const REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// What befalls one Bulk request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Strike {
    /// The result of the first operation is not told.
    pub(crate) loses_first: bool,
    /// The last operation is answered with this status; whether it is carried out.
    pub(crate) fails_last: Option<(u16, bool)>,
}

/// Carries out the operations in order, and stops after `failOnErrors` failures.
///
/// # Errors
/// 501 when Bulk is off, what a switch says, 413 above the limits, 400 invalidSyntax for another message, 400 invalidValue
/// for a bulkId that is there twice. An operation that fails is no error of the request.
pub(crate) fn bulk(
    store: &mut Store,
    context: &Context<'_>,
    body: &Value,
    payload_size: usize,
    strike: Strike,
) -> Result<Outcome, ScimError> {
    let limits = context
        .dialect
        .bulk
        .ok_or_else(|| ScimError::new(501, "Bulk is not supported"))?;
    if let Some(status) = context.faults.bulk_refused {
        return Err(ScimError::new(status, "refused by a fault switch"));
    }
    if payload_size > limits.max_payload_size {
        return Err(ScimError::new(413, "the request exceeds maxPayloadSize"));
    }
    let is_bulk = body["schemas"]
        .as_array()
        .is_some_and(|urns| urns.iter().any(|urn| urn == REQUEST_URN));
    let Some(operations) = body["Operations"].as_array().filter(|_| is_bulk) else {
        return Err(ScimError::invalid_syntax(format!(
            "the body must be a {REQUEST_URN}"
        )));
    };
    if operations.len() > limits.max_operations {
        return Err(ScimError::new(413, "the request exceeds maxOperations"));
    }
    let mut bulk_ids = HashSet::new();
    let given = operations.iter().filter_map(|o| o["bulkId"].as_str());
    if !given.into_iter().all(|bulk_id| bulk_ids.insert(bulk_id)) {
        return Err(ScimError::invalid_value("a bulkId is there twice"));
    }
    let tolerated = body["failOnErrors"].as_u64().unwrap_or(u64::MAX);
    let mut failures = 0;
    let mut created = HashMap::new();
    let mut results = Vec::with_capacity(operations.len());
    for (number, operation) in operations.iter().enumerate() {
        if failures >= tolerated {
            break;
        }
        let struck = strike.fails_last.filter(|_| number + 1 == operations.len());
        let (result, failed) = match struck {
            Some((status, false)) => (refused(operation, status), true),
            Some((status, true)) => {
                carry_out(store, context, operation, &mut created);
                (refused(operation, status), true)
            }
            None => carry_out(store, context, operation, &mut created),
        };
        failures += u64::from(failed);
        results.push(result);
    }
    if strike.loses_first && !results.is_empty() {
        results.remove(0);
    }
    if context.faults.bulk_reversed {
        results.reverse();
    }
    for result in &mut results {
        let status = result["status"].take();
        result["status"] = match context.faults.bulk_status {
            BulkStatus::Text => status,
            BulkStatus::Number => status.as_str().and_then(|s| s.parse::<u16>().ok()).into(),
            BulkStatus::Object => json!({"code": status}),
        };
    }
    Ok(Outcome::document(
        200,
        &json!({"schemas": [RESPONSE_URN], "Operations": results}),
    ))
}

/// The result of an operation that a switch had fail.
fn refused(operation: &Value, status: u16) -> Value {
    json!({
        "method": operation["method"], "bulkId": operation["bulkId"], "status": status.to_string(),
        "response": ScimError::new(status, "refused by a fault switch").document(),
    })
}

/// The result of one operation, and whether it failed.
fn carry_out(
    store: &mut Store,
    context: &Context<'_>,
    operation: &Value,
    created: &mut HashMap<String, String>,
) -> (Value, bool) {
    let method = operation["method"]
        .as_str()
        .unwrap_or_default()
        .to_ascii_uppercase();
    let bulk_id = operation["bulkId"].as_str();
    let mut result = Map::new();
    result.insert("method".to_owned(), method.clone().into());
    if let Some(bulk_id) = bulk_id {
        result.insert("bulkId".to_owned(), bulk_id.into());
    }
    let endpoint = Endpoint::parse(&resolve(
        operation["path"].as_str().unwrap_or_default(),
        created,
    ));
    let mut data = operation["data"].clone();
    resolve_all(&mut data, created);
    let done = if method == "POST" && bulk_id.is_none() {
        Err(ScimError::invalid_syntax("a POST needs a bulkId"))
    } else {
        let context = Context {
            if_match: operation["version"].as_str(),
            ..*context
        };
        change(store, &context, &method, &endpoint, &data, &Projection::All)
    };
    let (status, failed) = match done {
        Ok(outcome) => {
            let body = outcome
                .body
                .as_deref()
                .and_then(|b| serde_json::from_slice::<Value>(b).ok());
            let id = body.as_ref().and_then(|body| body["id"].as_str());
            if let (Some(bulk_id), Some(id)) = (bulk_id, id) {
                created.insert(bulk_id.to_owned(), id.to_owned());
            }
            let location = outcome.location.or_else(|| location(context, &endpoint));
            result.extend(location.map(|location| ("location".to_owned(), location.into())));
            result.extend(outcome.etag.map(|etag| ("version".to_owned(), etag.into())));
            if context.dialect.bulk_shows_resources {
                result.extend(body.map(|body| ("response".to_owned(), body)));
            }
            (outcome.status, false)
        }
        Err(error) => {
            result.extend(location(context, &endpoint).map(|l| ("location".to_owned(), l.into())));
            result.insert("response".to_owned(), error.document());
            (error.status, true)
        }
    };
    result.insert("status".to_owned(), status.to_string().into());
    (Value::Object(result), failed)
}

/// The location of an existing resource; required in results except for a failed POST.
fn location(context: &Context<'_>, endpoint: &Endpoint) -> Option<String> {
    match endpoint {
        Endpoint::Item(resource, id) => {
            Some(format!("{}{}/{id}", context.base_url, resource.endpoint()))
        }
        _ => None,
    }
}

/// Replaces `bulkId:x` by the id of what was created under it (RFC 7644 §3.7.2).
fn resolve(text: &str, created: &HashMap<String, String>) -> String {
    let Some(at) = text.find("bulkId:") else {
        return text.to_owned();
    };
    let (front, reference) = text.split_at(at);
    let known = reference
        .strip_prefix("bulkId:")
        .and_then(|bulk_id| created.get(bulk_id));
    known.map_or_else(|| text.to_owned(), |id| format!("{front}{id}"))
}

fn resolve_all(value: &mut Value, created: &HashMap<String, String>) {
    match value {
        Value::String(text) if text.starts_with("bulkId:") => *text = resolve(text, created),
        Value::Array(elements) => elements.iter_mut().for_each(|e| resolve_all(e, created)),
        Value::Object(object) => object.values_mut().for_each(|v| resolve_all(v, created)),
        _ => {}
    }
}
