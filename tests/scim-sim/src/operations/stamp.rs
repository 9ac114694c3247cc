//! What the server adds to a document: `id`, `schemas`, `meta` (RFC 7643 §3.1).

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::schema::{ENTERPRISE_URN, Resource};
use crate::store::{Row, Store};

/// Completes a new document with an id of its own or a fresh one.
pub(crate) fn complete(
    store: &mut Store,
    resource: Resource,
    mut document: Map<String, Value>,
    base_url: &str,
) -> Map<String, Value> {
    let id = match document.get("id").and_then(Value::as_str) {
        Some(id) => id.to_owned(),
        None => store.issue_id(),
    };
    let now = now();
    let meta = json!({
        "resourceType": resource.name(),
        "created": now,
        "lastModified": now,
        "location": format!("{base_url}{}/{}", resource.endpoint(), encode(&id)),
    });
    document.insert("schemas".to_owned(), schemas(resource, &document));
    document.insert("id".to_owned(), id.into());
    document.insert("meta".to_owned(), meta);
    document
}

/// Gives a changed document the identity of the row it replaces, and the time of the change.
pub(crate) fn touch(
    resource: Resource,
    old: &Row,
    mut document: Map<String, Value>,
) -> Map<String, Value> {
    for name in ["id", "meta"] {
        if let Some(value) = old.body.get(name) {
            document.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(Value::Object(meta)) = document.get_mut("meta") {
        meta.insert("lastModified".to_owned(), now().into());
    }
    document.insert("schemas".to_owned(), schemas(resource, &document));
    document
}

fn schemas(resource: Resource, document: &Map<String, Value>) -> Value {
    if document.contains_key(ENTERPRISE_URN) {
        json!([resource.urn(), ENTERPRISE_URN])
    } else {
        json!([resource.urn()])
    }
}

fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// Percent-encodes what may not stand in a path segment.
fn encode(id: &str) -> String {
    let mut encoded = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
