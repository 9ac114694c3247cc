//! The way of a request: who may ask, which fault strikes, what is done, how it is answered.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use serde_json::Value;

use crate::connection::KillSwitch;
use crate::discovery::discover;
use crate::error::ScimError;
use crate::operations::{self, Context, Outcome};
use crate::projection::Projection;
use crate::reply::{SCIM_JSON, respond};
use crate::request::{Endpoint, Query};
use crate::request_log::LoggedRequest;
use crate::shared::Shared;
use crate::{Faults, admin, spoil};

const BODY_LIMIT: usize = 64 * 1_048_576;

/// The service of a simulator.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

/// What befalls one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    Nothing,
    Refuse { status: u16, applied: bool },
    LoseReply,
}

pub(crate) async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<KillSwitch>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return respond(
            &Faults::default(),
            Err(ScimError::new(413, "the body is too large")),
        );
    };
    if let Some(path) = parts.uri.path().strip_prefix("/_sim/") {
        return admin::answer(&shared, &parts.method, path, &body);
    }
    let below_base = parts.uri.path().strip_prefix(shared.base_path.as_str());
    let Some(path) = below_base.filter(|path| path.is_empty() || path.starts_with('/')) else {
        return respond(&Faults::default(), Err(ScimError::not_found()));
    };
    let endpoint = Endpoint::parse(path);
    let record = |status: u16| {
        let request = LoggedRequest {
            method: parts.method.as_str().to_owned(),
            path: path.to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            status,
        };
        shared.log().record(endpoint.label(), request);
    };
    let faults = shared.faults.get();
    if faults.latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(faults.latency_ms)).await;
    }
    if faults.hang {
        record(0);
        return std::future::pending().await;
    }
    let response = match answer(&shared, &faults, &parts, &endpoint, &body) {
        Some(response) => response,
        None => {
            record(0);
            connection.cut();
            return Response::new(Body::empty());
        }
    };
    record(response.status().as_u16());
    response
}

/// The answer to a request; `None` when it gets lost after the work was done.
fn answer(
    shared: &Shared,
    faults: &Faults,
    parts: &Parts,
    endpoint: &Endpoint,
    body: &Bytes,
) -> Option<Response> {
    let is_read = parts.method == Method::GET || matches!(endpoint, Endpoint::Search(_));
    if faults.not_scim {
        let mut page = Response::new(Body::from(spoil::HTML_PAGE));
        page.headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
        return Some(page);
    }
    if faults.unauthorized || !is_authorized(shared, &parts.headers) {
        let refusal = ScimError::new(401, "the bearer token is missing or not accepted");
        return Some(respond(faults, Err(refusal)));
    }
    let strike = strike(shared, is_read);
    if let Strike::Refuse {
        status,
        applied: false,
    } = strike
    {
        return Some(respond(
            faults,
            Err(ScimError::new(status, "refused by a fault switch")),
        ));
    }
    if let Some(mib) = faults.giant_reply_mib.filter(|_| is_read) {
        let mut reply = Response::new(spoil::giant(mib));
        reply
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(SCIM_JSON));
        return Some(reply);
    }
    let result = perform(shared, faults, parts, endpoint, body);
    match strike {
        Strike::Nothing => Some(respond(faults, result)),
        Strike::Refuse { status, .. } => Some(respond(
            faults,
            Err(ScimError::new(status, "refused by a fault switch")),
        )),
        Strike::LoseReply => None,
    }
}

fn is_authorized(shared: &Shared, headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    value
        .and_then(|value| value.split_once(' '))
        .is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer") && shared.accepts(token.trim())
        })
}

/// Decides which fault strikes, and counts it down.
fn strike(shared: &Shared, is_read: bool) -> Strike {
    shared.faults.update(|faults| {
        let over_quota = faults
            .rate_limit_per_second
            .is_some_and(|n| !shared.take_quota(n));
        if over_quota {
            return Strike::Refuse {
                status: 429,
                applied: false,
            };
        }
        if take(&mut faults.throttle_next) {
            return Strike::Refuse {
                status: 429,
                applied: faults.throttle_applied && !is_read,
            };
        }
        if is_read {
            if take(&mut faults.fail_reads_next.n) {
                return Strike::Refuse {
                    status: faults.fail_reads_next.status,
                    applied: false,
                };
            }
            return Strike::Nothing;
        }
        if take(&mut faults.fail_next.n) {
            let failure = faults.fail_next;
            return Strike::Refuse {
                status: failure.status,
                applied: failure.applied,
            };
        }
        if take(&mut faults.drop_reply_after_commit) {
            return Strike::LoseReply;
        }
        Strike::Nothing
    })
}

/// Which fault strikes within one Bulk request, counted down as well.
fn bulk_strike(shared: &Shared) -> operations::BulkStrike {
    shared.faults.update(|faults| operations::BulkStrike {
        loses_first: take(&mut faults.bulk_loses_result),
        fails_last: take(&mut faults.bulk_fail_last.n)
            .then_some((faults.bulk_fail_last.status, faults.bulk_fail_last.applied)),
    })
}

fn take(counter: &mut u32) -> bool {
    let any = *counter > 0;
    *counter = counter.saturating_sub(1);
    any
}

fn perform(
    shared: &Shared,
    faults: &Faults,
    parts: &Parts,
    endpoint: &Endpoint,
    body: &Bytes,
) -> Result<Outcome, ScimError> {
    let dialect = shared.dialect.get();
    let text = |name: header::HeaderName| parts.headers.get(name).and_then(|v| v.to_str().ok());
    let context = Context {
        faults,
        dialect: &dialect,
        base_url: &shared.base_url,
        page_cap: shared.page_cap,
        if_match: text(header::IF_MATCH),
        if_none_match: text(header::IF_NONE_MATCH),
    };
    let query = Query::from_url(parts.uri.query().unwrap_or_default())?;
    if parts.method == Method::GET {
        return match endpoint {
            Endpoint::Collection(resource) => {
                operations::list(&shared.read(), &context, *resource, &query)
            }
            Endpoint::Item(resource, id) => {
                operations::get(&shared.read(), &context, *resource, id, &query)
            }
            endpoint if endpoint.is_discovery() => {
                discover(shared, faults, &dialect, endpoint, &query)
            }
            Endpoint::Unknown => Err(ScimError::not_found()),
            _ => Err(ScimError::new(
                405,
                "the endpoint does not have this method",
            )),
        };
    }
    let document = if parts.method == Method::DELETE {
        Value::Null
    } else {
        read_body(faults, text(header::CONTENT_TYPE), body)?
    };
    match (&parts.method, endpoint) {
        (&Method::POST, Endpoint::Search(resource)) => {
            let query = Query::from_search(&document)?;
            operations::list(&shared.read(), &context, *resource, &query)
        }
        (&Method::POST, Endpoint::Bulk) => {
            let strike = bulk_strike(shared);
            operations::bulk(&mut shared.write(), &context, &document, body.len(), strike)
        }
        (method, endpoint) => {
            let projection = match endpoint {
                Endpoint::Collection(resource) | Endpoint::Item(resource, _) => {
                    Projection::parse(*resource, &query.attributes, &query.excluded_attributes)?
                }
                _ => Projection::All,
            };
            let method = method.as_str();
            let store = &mut shared.write();
            operations::change(store, &context, method, endpoint, &document, &projection)
        }
    }
}

/// The body as JSON (RFC 7644 §3.1).
fn read_body(
    faults: &Faults,
    content_type: Option<&str>,
    body: &Bytes,
) -> Result<Value, ScimError> {
    let media_type = content_type
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    let media_type = media_type.trim().to_ascii_lowercase();
    let accepted =
        media_type == "application/json" || (media_type == SCIM_JSON && !faults.refuse_scim_json);
    if !accepted {
        return Err(ScimError::new(415, "the media type is not supported"));
    }
    if faults
        .max_body_bytes
        .is_some_and(|limit| body.len() > limit)
    {
        return Err(ScimError::new(413, "the body is too large"));
    }
    serde_json::from_slice(body).map_err(|_| ScimError::invalid_syntax("the body is no JSON"))
}
