//! Replies read leniently: list pages and the few attributes every caller
//! needs. Everything else of a resource stays a JSON value.
//!
//! A typed model would be lost at the first numeric id or missing list;
//! what a server bends is accepted here, and judged nowhere.

use serde_json::{Map, Value};

use crate::scim::endpoint::MAX_ID_LENGTH;

/// The resource types the operator provisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceKind {
    /// RFC 7643 §4.1.
    User,
    /// RFC 7643 §4.2.
    Group,
}

impl ResourceKind {
    /// The endpoint below the base URL (RFC 7644 §3.2).
    #[must_use]
    pub fn endpoint(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
        }
    }

    /// The URN of the core schema.
    #[must_use]
    pub fn schema(self) -> &'static str {
        match self {
            Self::User => "urn:ietf:params:scim:schemas:core:2.0:User",
            Self::Group => "urn:ietf:params:scim:schemas:core:2.0:Group",
        }
    }
}

/// One page of a listing (RFC 7644 §3.4.2, RFC 9865 §2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// `totalResults`, where given.
    pub total: Option<u64>,
    /// `startIndex`, 1-based; 1 where the server does not say.
    pub start_index: u64,
    /// `itemsPerPage`, where given. Never relied upon.
    pub items_per_page: Option<u64>,
    /// The resources of the page.
    pub resources: Vec<Value>,
    /// `nextCursor`, where given and not empty.
    pub next_cursor: Option<String>,
}

impl Page {
    /// Reads a ListResponse. Missing or null `Resources` are none; numbers may
    /// be strings; a bare array is taken for its resources.
    ///
    /// # Errors
    /// Says why, where the value is not a list in any of these forms.
    pub fn from_value(value: Value) -> Result<Self, &'static str> {
        let mut object = match value {
            Value::Array(resources) => {
                return Ok(Self {
                    start_index: 1,
                    resources,
                    ..Self::default()
                });
            }
            Value::Object(object) => object,
            _ => return Err("a list was expected"),
        };
        let total = find(&object, "totalResults").and_then(lenient_u64);
        let resources = take(&mut object, "Resources");
        if total.is_none() && resources.is_none() && !is_list_response(&object) {
            return Err("a list was expected");
        }
        let resources = match resources {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(resources)) => resources,
            Some(_) => return Err("`Resources` is not an array"),
        };
        Ok(Self {
            total,
            start_index: find(&object, "startIndex")
                .and_then(lenient_u64)
                .unwrap_or(1),
            items_per_page: find(&object, "itemsPerPage").and_then(lenient_u64),
            resources,
            next_cursor: find(&object, "nextCursor")
                .and_then(Value::as_str)
                .filter(|cursor| !cursor.is_empty())
                .map(str::to_owned),
        })
    }
}

fn is_list_response(object: &Map<String, Value>) -> bool {
    find(object, "schemas")
        .and_then(Value::as_array)
        .is_some_and(|schemas| {
            schemas
                .iter()
                .filter_map(Value::as_str)
                .any(|schema| schema.to_ascii_lowercase().ends_with(":listresponse"))
        })
}

/// The `id` of a resource (RFC 7643 §3.1). A numeric id is accepted; an empty
/// one is none, and so is one of more than 1,024 bytes, by which nothing could
/// be asked for.
#[must_use]
pub fn id_of(resource: &Value) -> Option<String> {
    match member(resource, "id")? {
        Value::String(id) if (1..=MAX_ID_LENGTH).contains(&id.len()) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// The `userName` of a user.
#[must_use]
pub fn user_name_of(resource: &Value) -> Option<&str> {
    text(resource, "userName")
}

/// The `displayName` of a group or user.
#[must_use]
pub fn display_name_of(resource: &Value) -> Option<&str> {
    text(resource, "displayName")
}

/// The `externalId` of a resource (RFC 7643 §3.1). Opaque; never a number of
/// ours, so a number is no externalId.
#[must_use]
pub fn external_id_of(resource: &Value) -> Option<&str> {
    text(resource, "externalId")
}

/// The `active` of a user; `None` where absent or not a boolean.
#[must_use]
pub fn active_of(resource: &Value) -> Option<bool> {
    member(resource, "active").and_then(lenient_bool)
}

/// The `meta.version` of a resource: its entity tag (RFC 7644 §3.14).
#[must_use]
pub fn version_of(resource: &Value) -> Option<&str> {
    member(resource, "meta").and_then(|meta| text(meta, "version"))
}

/// The `meta.lastModified` of a resource, as the server spells it (RFC 7643 §3.1).
#[must_use]
pub fn last_modified_of(resource: &Value) -> Option<&str> {
    member(resource, "meta").and_then(|meta| text(meta, "lastModified"))
}

/// A boolean, also where spelled as the string `"True"` or `"false"`.
#[must_use]
pub fn lenient_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A count, also where spelled as a string or with a fraction of zero.
#[must_use]
pub fn lenient_u64(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| {
            let float = number.as_f64()?;
            // Exact for every count a listing could ever have.
            (float >= 0.0 && float.fract() == 0.0 && float < 9e15).then_some(float as u64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The member of an object by its name, ignoring case (RFC 7643 §2.1).
#[must_use]
pub fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    find(value.as_object()?, name)
}

/// As [`member`], of a map.
#[must_use]
pub fn find<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| {
        object
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

/// The spelling of a member's name in this object, or the given one.
pub(crate) fn spelling(object: &Map<String, Value>, name: &str) -> String {
    if object.contains_key(name) {
        return name.to_owned();
    }
    object
        .keys()
        .find(|key| key.eq_ignore_ascii_case(name))
        .cloned()
        .unwrap_or_else(|| name.to_owned())
}

fn take(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let key = spelling(object, name);
    object.remove(&key)
}

fn text<'a>(resource: &'a Value, name: &str) -> Option<&'a str> {
    member(resource, name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}
