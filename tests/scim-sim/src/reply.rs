//! From an outcome or a refusal to an HTTP response.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::error::ScimError;
use crate::operations::Outcome;
use crate::{Faults, spoil};

/// The media type of every reply (RFC 7644 §3.1).
pub(crate) const SCIM_JSON: &str = "application/scim+json";

/// The response, with the faults that touch headers or the pace of the body.
pub(crate) fn respond(faults: &Faults, result: Result<Outcome, ScimError>) -> Response {
    let outcome = result.unwrap_or_else(|error| Outcome::document(error.status, &error.document()));
    let Outcome {
        status,
        location,
        etag,
        body,
    } = outcome;
    let has_body = body.is_some();
    let body = match (body, faults.slow_drip_ms) {
        (None, _) => Body::empty(),
        (Some(body), None) => Body::from(body),
        (Some(body), Some(pause)) => spoil::drip(body, Duration::from_millis(pause)),
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if has_body && !faults.no_content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SCIM_JSON));
    }
    if status == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let retry_after = faults
        .retry_after
        .clone()
        .filter(|_| matches!(status, 429 | 503));
    for (name, value) in [
        (header::LOCATION, location),
        (header::ETAG, etag),
        (header::RETRY_AFTER, retry_after),
    ] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    response
}
