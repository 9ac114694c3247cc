//! What a server says about itself (RFC 7644 §4, RFC 7643 §5 to §7).
//!
//! A hint, never a promise: everything here is read leniently, has a default,
//! and its absence blocks nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::scim::client::Client;
use crate::scim::error::{ErrorClass, ScimError};
use crate::scim::path::AttributePath;
use crate::scim::types::{Page, lenient_bool, lenient_u64, member};

/// What discovery found. It never fails as a whole.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// What the server offers; the defaults where it does not say.
    pub capabilities: Capabilities,
    /// Whether there was a ServiceProviderConfig.
    pub found: bool,
    /// Why there was none, or why discovery stopped early.
    pub error: Option<ScimError>,
    /// The names of the resource types, such as `User`; `None` where unknown.
    pub resource_types: Option<Vec<String>>,
    /// What the schemas say of attributes; `None` where unknown.
    pub schemas: Option<Schemas>,
}

impl Discovery {
    /// Whether trouble that may pass kept the server from answering, so that
    /// it is worth asking again soon.
    #[must_use]
    pub fn cut_short(&self) -> bool {
        self.error.as_ref().is_some_and(is_hopeless)
    }
}

/// The ServiceProviderConfig (RFC 7643 §5), as far as it changes what we do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// PATCH; true unless denied.
    pub patch: bool,
    /// Bulk and its limits; `None` unless offered.
    pub bulk: Option<Bulk>,
    /// Entity tags.
    pub etag: bool,
    /// Filters; true unless denied.
    pub filter: bool,
    /// The most resources a reply holds; `None` where unknown. A zero, which
    /// some servers report, is unknown.
    pub filter_max_results: Option<u32>,
    /// Sorting.
    pub sort: bool,
    /// Paging by cursor (RFC 9865 §4).
    pub cursor_paging: bool,
}

/// The limits of Bulk (RFC 7643 §5); `None` where not given, or zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bulk {
    /// The most operations a request holds.
    pub max_operations: Option<u32>,
    /// The largest request, in bytes.
    pub max_payload_size: Option<u64>,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            patch: true,
            bulk: None,
            etag: false,
            filter: true,
            filter_max_results: None,
            sort: false,
            cursor_paging: false,
        }
    }
}

impl Capabilities {
    /// Reads a ServiceProviderConfig.
    #[must_use]
    pub fn of(config: &Value) -> Self {
        let supported = |name: &str| {
            // `{"supported": true}`, or the bare boolean some servers send.
            let value = member(config, name)?;
            lenient_bool(member(value, "supported").unwrap_or(value))
        };
        let number = |name: &str, field: &str| {
            member(member(config, name)?, field)
                .and_then(lenient_u64)
                .filter(|value| *value > 0)
        };
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let cursor = member(config, "pagination").and_then(|paging| member(paging, "cursor"));
        Self {
            patch: supported("patch").unwrap_or(true),
            bulk: supported("bulk").unwrap_or(false).then(|| Bulk {
                max_operations: number("bulk", "maxOperations").map(small),
                max_payload_size: number("bulk", "maxPayloadSize"),
            }),
            etag: supported("etag").unwrap_or(false),
            filter: supported("filter").unwrap_or(true),
            filter_max_results: number("filter", "maxResults").map(small),
            sort: supported("sort").unwrap_or(false),
            cursor_paging: cursor.and_then(lenient_bool).unwrap_or(false),
        }
    }
}

/// What the schemas say of attributes (RFC 7643 §7), by canonical path in
/// lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schemas(BTreeMap<String, AttributeFacts>);

/// What a schema says of one attribute; the RFC's defaults where it is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeFacts {
    /// Whether values are compared by case.
    pub case_exact: bool,
    /// Whether a create must have it.
    pub required: bool,
    /// Whether it is a list.
    pub multi_valued: bool,
    /// Whether it can be written: `mutability` is not `readOnly`.
    pub writable: bool,
    /// Whether it can be written once only: `mutability` is `immutable`.
    pub immutable: bool,
    /// Whether it ever comes back: `returned` is not `never`, `mutability` not
    /// `writeOnly`.
    pub readable: bool,
}

/// The most attributes kept, so that no server fills our memory.
const MAX_ATTRIBUTES: usize = 2_000;

impl Schemas {
    /// Reads the Schemas endpoint: a list, an array or a single schema.
    /// `None` where no schema is in it.
    #[must_use]
    pub fn of(document: Value) -> Option<Self> {
        let mut facts = BTreeMap::new();
        for schema in items(document) {
            let urn = member(&schema, "id")
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_lowercase();
            let core = urn.is_empty() || urn.starts_with("urn:ietf:params:scim:schemas:core:");
            let prefix = if core {
                String::new()
            } else {
                format!("{urn}:")
            };
            for attribute in list(&schema, "attributes") {
                let Some(name) = record(&mut facts, &prefix, attribute) else {
                    continue;
                };
                let inner = format!("{prefix}{name}.");
                for sub in list(attribute, "subAttributes") {
                    record(&mut facts, &inner, sub);
                }
            }
        }
        (!facts.is_empty()).then_some(Self(facts))
    }

    /// What is said of the attribute at a path; `None` where nothing is.
    #[must_use]
    pub fn attribute(&self, path: &AttributePath) -> Option<AttributeFacts> {
        let plain = AttributePath {
            selector: None,
            ..path.clone()
        };
        self.0.get(&plain.to_string().to_lowercase()).copied()
    }
}

/// Keeps the facts of one attribute; answers its name.
fn record(
    facts: &mut BTreeMap<String, AttributeFacts>,
    prefix: &str,
    attribute: &Value,
) -> Option<String> {
    let name = member(attribute, "name")?.as_str()?.to_lowercase();
    if facts.len() >= MAX_ATTRIBUTES {
        return None;
    }
    let flag = |field: &str| {
        member(attribute, field)
            .and_then(lenient_bool)
            .unwrap_or(false)
    };
    let is = |field: &str, value: &str| {
        member(attribute, field)
            .and_then(Value::as_str)
            .is_some_and(|text| text.eq_ignore_ascii_case(value))
    };
    let known = AttributeFacts {
        case_exact: flag("caseExact"),
        required: flag("required"),
        multi_valued: flag("multiValued"),
        writable: !is("mutability", "readOnly"),
        immutable: is("mutability", "immutable"),
        readable: !is("returned", "never") && !is("mutability", "writeOnly"),
    };
    // Group and User share names; the first schema to name one is kept.
    facts.entry(format!("{prefix}{name}")).or_insert(known);
    Some(name)
}

impl Client {
    /// Asks the server about itself: up to three requests. Stops at the first
    /// failure that the next request would share, and never fails.
    pub async fn discover(&self) -> Discovery {
        let mut discovery = Discovery::default();
        match self.document("ServiceProviderConfig").await {
            Ok(config) if config.is_object() => {
                discovery.found = true;
                discovery.capabilities = Capabilities::of(&config);
            }
            Ok(_) => {
                discovery.error = Some(ScimError::NotScim {
                    why: "an object was expected",
                })
            }
            Err(error) => {
                let hopeless = is_hopeless(&error);
                discovery.error = Some(error);
                if hopeless {
                    return discovery;
                }
            }
        }
        match self.document("ResourceTypes").await {
            Ok(types) => discovery.resource_types = names(types),
            Err(error) if is_hopeless(&error) => {
                discovery.error.get_or_insert(error);
                return discovery;
            }
            Err(_) => {}
        }
        if let Ok(schemas) = self.document("Schemas").await {
            discovery.schemas = Schemas::of(schemas);
        }
        discovery
    }
}

/// Whether the next request would fail the same way. A document that is not
/// there, or not SCIM, says nothing about the others.
fn is_hopeless(error: &ScimError) -> bool {
    match error.class() {
        ErrorClass::Authentication
        | ErrorClass::Transient
        | ErrorClass::RateLimited
        | ErrorClass::Closed => true,
        ErrorClass::Unreachable => !matches!(error, ScimError::NotScim { .. }),
        ErrorClass::Conflict
        | ErrorClass::Gone
        | ErrorClass::Rejected
        | ErrorClass::Unsupported => false,
    }
}

pub(crate) fn names(document: Value) -> Option<Vec<String>> {
    let names: Vec<String> = items(document)
        .iter()
        .filter_map(|kind| member(kind, "name").and_then(Value::as_str))
        .map(str::to_owned)
        .collect();
    (!names.is_empty()).then_some(names)
}

/// The entries of a list in any of the forms seen: a ListResponse, an array, a
/// single entry.
fn items(document: Value) -> Vec<Value> {
    if member(&document, "Resources").is_none() && document.is_object() {
        return vec![document];
    }
    Page::from_value(document)
        .map(|page| page.resources)
        .unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    member(value, name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
