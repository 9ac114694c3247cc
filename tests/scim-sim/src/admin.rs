//! `/_sim/`: the backend's own view, for demonstrations with curl. It needs no token.
//!
//! GET users, groups, requests, faults, dialect · POST users, faults, dialect · PUT token ·
//! PATCH users/{id} and groups/{id} · DELETE users/{id}, requests. A POST of switches replaces all of
//! them, so `{}` switches every fault off; a PATCH is a JSON merge patch (RFC 7396).

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::schema::Resource;
use crate::shared::{Shared, document};

/// The tokens accepted from now on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    token: Option<String>,
    #[serde(default)]
    tokens: Vec<String>,
}

/// Answers a request below `/_sim/`.
pub(crate) fn answer(shared: &Shared, method: &Method, path: &str, body: &Bytes) -> Response {
    let (head, id) = match path.split_once('/') {
        Some((head, id)) => (head, Some(id)),
        None => (path, None),
    };
    let result = match (method.as_str(), head, id) {
        ("GET", "users", None) => Ok(Value::Array(shared.documents(Resource::User))),
        ("GET", "users", Some(id)) => one_user(shared, id),
        ("GET", "groups", None) => Ok(Value::Array(shared.documents(Resource::Group))),
        ("GET", "requests", None) => {
            let log = shared.log();
            Ok(json!({"counts": log.counts(), "requests": log.entries()}))
        }
        ("GET", "faults", None) => Ok(json!(shared.faults.get())),
        ("GET", "dialect", None) => Ok(json!(shared.dialect.get())),
        ("POST", "users", None) => parse::<Map<String, Value>>(body)
            .map(|user| json!({"id": shared.insert(Resource::User, Value::Object(user))})),
        ("POST", "faults", None) => parse(body).map(|faults| {
            shared.faults.set(faults);
            json!(shared.faults.get())
        }),
        ("POST", "dialect", None) => parse(body).map(|dialect| {
            shared.dialect.set(dialect);
            json!(shared.dialect.get())
        }),
        ("PUT", "token", None) => parse::<Tokens>(body).map(|Tokens { token, mut tokens }| {
            tokens.extend(token);
            let accepted = tokens.len();
            shared.set_tokens(tokens);
            json!({"accepted": accepted})
        }),
        ("PATCH", "users", Some(id)) => parse::<Value>(body).and_then(|patch| {
            shared.edit(Resource::User, id, |user| merge(user, &patch));
            one_user(shared, id)
        }),
        ("PATCH", "groups", Some(id)) => parse::<Value>(body).and_then(|patch| {
            let found = shared.edit(Resource::Group, id, |group| merge(group, &patch));
            found.then_some(Value::Null).ok_or_else(not_found)
        }),
        ("DELETE", "users", Some(id)) => shared
            .remove(Resource::User, id)
            .then_some(Value::Null)
            .ok_or_else(not_found),
        ("DELETE", "requests", None) => {
            shared.log().clear();
            Ok(Value::Null)
        }
        _ => Err(not_found()),
    };
    let (status, value) = match result {
        Ok(Value::Null) => (StatusCode::NO_CONTENT, Value::Null),
        Ok(value) => (StatusCode::OK, value),
        Err((status, detail)) => (status, json!({"error": detail})),
    };
    let text = if value.is_null() {
        String::new()
    } else {
        format!("{value:#}\n")
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

type Refusal = (StatusCode, String);

fn one_user(shared: &Shared, id: &str) -> Result<Value, Refusal> {
    shared
        .read()
        .users
        .get(id)
        .map(document)
        .ok_or_else(not_found)
}

fn not_found() -> Refusal {
    (StatusCode::NOT_FOUND, "there is nothing here".to_owned())
}

fn parse<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

/// A JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}
