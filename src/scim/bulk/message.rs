//! The messages of Bulk (RFC 7644 §3.7): the request that carries several creates, and what an answer
//! says of each of them. Nothing here sends anything.
//!
//! Guarantees, whatever the answer is: each operation comes to one outcome at most, that of the one
//! result which bears its `bulkId`; an id goes to one operation only; nothing panics.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::scim::client::{Created, Located};
use crate::scim::error::ScimError;
use crate::scim::reply::{Body, Reply, Target};
use crate::scim::types::{ResourceKind, external_id_of, id_of, member};

const REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

/// The longest id that is believed, in bytes; no longer one could be put into a URL.
const MAX_ID_LENGTH: usize = 1024;

/// What an answer says of one operation.
pub(super) type Outcome = Result<Created, ScimError>;

/// A BulkRequest. `failOnErrors` is left out, so that the failure of one costs no other.
#[derive(Serialize)]
pub(super) struct Request<'a> {
    schemas: [&'static str; 1],
    #[serde(rename = "Operations")]
    operations: Vec<&'a Value>,
}

impl<'a> Request<'a> {
    /// The request that carries these.
    pub fn of(operations: Vec<&'a Value>) -> Self {
        Self {
            schemas: [REQUEST],
            operations,
        }
    }
}

/// The create of a resource, as an operation.
pub(super) fn create(kind: ResourceKind, bulk_id: &str, body: &Value) -> Value {
    json!({"method": "POST", "path": format!("/{}", kind.endpoint()), "bulkId": bulk_id, "data": body})
}

/// The length of a value as it is sent, in bytes.
pub(super) fn size_of(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |bytes| bytes.len())
}

/// What an answer says of each of these operations, in their order; nothing of those whose result is
/// missing, unreadable, there twice, or somebody else's. `None` where it speaks of none of them: it is
/// no answer to this request.
pub(super) fn outcomes(answer: &Value, asked: &[&Value]) -> Option<Vec<Option<Outcome>>> {
    let results = member(answer, "Operations")?.as_array()?;
    let mut by_bulk_id: HashMap<String, Vec<&Value>> = HashMap::new();
    for result in results {
        if let Some(bulk_id) = member(result, "bulkId").and_then(text) {
            by_bulk_id.entry(bulk_id).or_default().push(result);
        }
    }
    let of = |operation: &&Value| by_bulk_id.get(bulk_id_of(operation));
    if !asked.iter().any(|operation| of(operation).is_some()) {
        return None;
    }
    let mut outcomes: Vec<Option<Outcome>> = asked
        .iter()
        .map(|operation| match of(operation)?.as_slice() {
            [result] => read(result, operation),
            // Two results for one operation: no telling which of them is true.
            _ => None,
        })
        .collect();
    withhold_what_is_not_theirs(&mut outcomes, asked);
    Some(outcomes)
}

fn bulk_id_of(operation: &Value) -> &str {
    operation["bulkId"].as_str().unwrap_or_default()
}

/// One result, as the answer to a single request would have been read.
fn read(result: &Value, operation: &Value) -> Option<Outcome> {
    let reply = Reply {
        status: status_of(member(result, "status")?)?,
        retry_after: None,
        body: match member(result, "response") {
            None | Some(Value::Null) => Body::Empty,
            Some(response) => Body::Json(response.clone()),
        },
    };
    let created = reply.success(Target::Collection).and_then(|reply| {
        let status = reply.status;
        let location = member(result, "location").and_then(Value::as_str);
        let id = location.and_then(|location| id_at(location, operation["path"].as_str()?));
        let version = member(result, "version").and_then(Value::as_str);
        Ok(Created {
            status,
            resource: reply.resource()?,
            located: id.map(|id| Located {
                id,
                version: version.map(str::to_owned),
            }),
        })
    });
    Some(created)
}

/// Two accounts of one id, or one that bears the mark of another operation, were dealt out wrongly:
/// nobody gets them, and each is looked for.
fn withhold_what_is_not_theirs(outcomes: &mut [Option<Outcome>], asked: &[&Value]) {
    let mut given: HashMap<String, u32> = HashMap::new();
    for created in outcomes.iter().flatten().flatten() {
        if let Some(id) = created.id() {
            *given.entry(id).or_default() += 1;
        }
    }
    let marks: HashMap<&str, usize> = asked
        .iter()
        .enumerate()
        .filter_map(|(at, operation)| Some((external_id_of(&operation["data"])?, at)))
        .collect();
    for (at, outcome) in outcomes.iter_mut().enumerate() {
        let Some(Ok(created)) = outcome else { continue };
        let shared = created.id().is_some_and(|id| given.get(&id) > Some(&1));
        let mark = created.resource.as_ref().and_then(external_id_of);
        let of_another = mark
            .and_then(|mark| marks.get(mark))
            .is_some_and(|owner| *owner != at);
        if shared || of_another {
            *outcome = None;
        }
    }
}

/// A status as it is seen: `"201"`, `201`, `"201 Created"`, `{"code": "201"}`.
fn status_of(value: &Value) -> Option<u16> {
    let code = match value {
        Value::Object(_) => member(value, "code")?,
        value => value,
    };
    let status = match code {
        Value::Number(number) => u16::try_from(number.as_u64()?).ok()?,
        Value::String(text) => text.split_ascii_whitespace().next()?.parse().ok()?,
        _ => return None,
    };
    (100..600).contains(&status).then_some(status)
}

/// The id at the end of a location, absolute or not: the segment after that of the collection.
fn id_at(location: &str, collection: &str) -> Option<String> {
    let path = location.split(['?', '#']).next()?.trim_end_matches('/');
    let (before, id) = path.rsplit_once('/')?;
    let above = before.rsplit('/').next()?;
    if !above.eq_ignore_ascii_case(collection.trim_matches('/')) {
        return None;
    }
    let id = decoded(id)?;
    (!matches!(&*id, "" | "." | "..") && id.len() <= MAX_ID_LENGTH).then_some(id)
}

/// What a segment says without its percent-encoding; `None` where that is malformed.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A text, also where it was made a number on the way.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl Created {
    /// The id of what was created, where the answer says it in any way.
    fn id(&self) -> Option<String> {
        let shown = self.resource.as_ref().and_then(id_of);
        shown.or_else(|| self.located.as_ref().map(|located| located.id.clone()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
