//! From a request body to what CybSafe keeps: known attributes, in canonical spelling.
//!
//! Unknown attributes are dropped silently, known ones of the wrong type are refused. Whether
//! enough is there is decided in `rules`.

use serde_json::{Map, Value};

use super::{Attribute, ENTERPRISE_URN, Kind, Resource};
use crate::error::ScimError;

/// What is kept of a resource's body; read-only attributes are ignored (RFC 7644 §3.3, §3.5.1).
///
/// # Errors
/// 400 invalidValue for a wrong type, 400 invalidSyntax when `schemas` does not name the schemas
/// in use (RFC 7643 §3).
pub(crate) fn capture(resource: Resource, body: &Value) -> Result<Map<String, Value>, ScimError> {
    let Value::Object(body) = body else {
        return Err(ScimError::invalid_syntax("the body must be a JSON object"));
    };
    let mut kept = Map::new();
    for (name, value) in body {
        if name.eq_ignore_ascii_case(ENTERPRISE_URN) {
            if let Some(extension) = capture_extension(resource, value)? {
                kept.insert(ENTERPRISE_URN.to_owned(), extension);
            }
            continue;
        }
        let Some(attribute) = lookup(resource.attributes(), name)
            .or_else(|| lookup(resource.common(), name))
            .filter(|attribute| !attribute.read_only)
        else {
            continue;
        };
        if let Some(value) = capture_attribute(attribute, value, attribute.name)? {
            kept.insert(attribute.name.to_owned(), value);
        }
    }
    check_schemas(resource, body, &kept)?;
    Ok(kept)
}

/// The value of one attribute as it is kept; `None` when it is unassigned (RFC 7643 §2.5).
///
/// # Errors
/// 400 invalidValue, naming `path`, when the type is wrong.
pub(crate) fn capture_attribute(
    attribute: &Attribute,
    value: &Value,
    path: &str,
) -> Result<Option<Value>, ScimError> {
    if value.is_null() {
        return Ok(None);
    }
    if !attribute.multi_valued {
        return capture_element(attribute, value, path);
    }
    let Value::Array(elements) = value else {
        return Err(ScimError::invalid_value(format!("{path} must be an array")));
    };
    let mut kept = Vec::with_capacity(elements.len());
    for element in elements {
        if let Some(element) = capture_element(attribute, element, path)?
            && is_of_captured_type(attribute, &element)
        {
            kept.push(element);
        }
    }
    if kept
        .iter()
        .filter(|element| element["primary"] == true)
        .count()
        > 1
    {
        return Err(ScimError::invalid_value(format!(
            "{path} has more than one primary value"
        )));
    }
    Ok((!kept.is_empty()).then_some(Value::Array(kept)))
}

/// The attribute of this name; names are case-insensitive (RFC 7643 §2.1).
pub(crate) fn lookup(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes
        .iter()
        .find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// One value of an attribute, whatever its type; unknown sub-attributes are dropped.
///
/// # Errors
/// 400 invalidValue, naming `path`, when the type is wrong.
pub(crate) fn capture_element(
    attribute: &Attribute,
    value: &Value,
    path: &str,
) -> Result<Option<Value>, ScimError> {
    match (attribute.kind, value) {
        (_, Value::Null) => Ok(None),
        (Kind::Text, Value::String(_)) | (Kind::Boolean, Value::Bool(_)) => Ok(Some(value.clone())),
        (Kind::Complex(sub_attributes), Value::Object(object)) => {
            let mut kept = Map::new();
            for (name, value) in object {
                let Some(sub) = lookup(sub_attributes, name) else {
                    continue;
                };
                if let Some(value) = capture_attribute(sub, value, &format!("{path}.{}", sub.name))?
                {
                    let value = canonical_spelling(sub, value);
                    kept.insert(sub.name.to_owned(), value);
                }
            }
            Ok((!kept.is_empty()).then_some(Value::Object(kept)))
        }
        (Kind::Text, _) => Err(ScimError::invalid_value(format!("{path} must be a string"))),
        (Kind::Boolean, _) => Err(ScimError::invalid_value(format!(
            "{path} must be true or false"
        ))),
        (Kind::Complex(_), _) => Err(ScimError::invalid_value(format!(
            "{path} must be an object"
        ))),
    }
}

/// A `type` that differs only in case is the canonical one (it is not caseExact).
fn canonical_spelling(attribute: &Attribute, value: Value) -> Value {
    let Some(text) = value.as_str() else {
        return value;
    };
    let canonical = attribute
        .canonical
        .iter()
        .find(|known| known.eq_ignore_ascii_case(text));
    canonical.map_or(value.clone(), |known| Value::from(*known))
}

/// Whether an element has one of the types that are captured; true where types do not matter.
pub(crate) fn is_of_captured_type(attribute: &Attribute, element: &Value) -> bool {
    lookup(attribute.sub_attributes(), "type").is_none_or(|kind| {
        element["type"]
            .as_str()
            .is_some_and(|found| kind.canonical.contains(&found))
    })
}

fn capture_extension(resource: Resource, value: &Value) -> Result<Option<Value>, ScimError> {
    let extension = match value {
        Value::Null => return Ok(None),
        Value::Object(extension) => extension,
        _ => {
            return Err(ScimError::invalid_value(format!(
                "{ENTERPRISE_URN} must be an object"
            )));
        }
    };
    let mut kept = Map::new();
    for (name, value) in extension {
        let Some(attribute) = lookup(resource.extension(), name) else {
            continue;
        };
        let path = format!("{ENTERPRISE_URN}:{}", attribute.name);
        if let Some(value) = capture_attribute(attribute, value, &path)? {
            kept.insert(attribute.name.to_owned(), value);
        }
    }
    Ok((!kept.is_empty()).then_some(Value::Object(kept)))
}

fn check_schemas(
    resource: Resource,
    body: &Map<String, Value>,
    kept: &Map<String, Value>,
) -> Result<(), ScimError> {
    let listed = body
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("schemas"));
    let names = |urn: &str| {
        listed
            .and_then(|(_, value)| value.as_array())
            .is_some_and(|urns| {
                urns.iter().any(|listed| {
                    listed
                        .as_str()
                        .is_some_and(|listed| listed.eq_ignore_ascii_case(urn))
                })
            })
    };
    if !names(resource.urn()) {
        return Err(ScimError::invalid_syntax(format!(
            "schemas must name {}",
            resource.urn()
        )));
    }
    if kept.contains_key(ENTERPRISE_URN) && !names(ENTERPRISE_URN) {
        return Err(ScimError::invalid_syntax(format!(
            "schemas must name {ENTERPRISE_URN}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_documented_is_captured() {
        let body = json!({
            "schemas": [super::super::USER_URN, ENTERPRISE_URN],
            "id": "mine", "meta": {}, "nickName": "A", "USERNAME": "ada", "locale": null,
            "emails": [{"type": "home", "value": "h"}, {"type": "Work", "value": "w", "display": "d"}],
            "phoneNumbers": [],
            ENTERPRISE_URN: {"DEPARTMENT": "R&D", "costCenter": "7"},
        });
        let kept = capture(Resource::User, &body).unwrap();
        let expected = json!({
            "userName": "ada",
            "emails": [{"type": "work", "value": "w"}],
            ENTERPRISE_URN: {"department": "R&D"},
        });
        assert_eq!(Value::Object(kept), expected);
    }

    #[test]
    fn wrong_types_and_missing_schemas_are_refused() {
        let user = super::super::USER_URN;
        for (body, detail) in [
            (json!([]), "the body must be a JSON object"),
            (
                json!({"schemas": [user], "userName": 7}),
                "userName must be a string",
            ),
            (
                json!({"schemas": [user], "active": "True"}),
                "active must be true or false",
            ),
            (
                json!({"schemas": [user], "name": "Ada"}),
                "name must be an object",
            ),
            (
                json!({"schemas": [user], "emails": {}}),
                "emails must be an array",
            ),
            (
                json!({"schemas": [user], "name": {"givenName": 1}}),
                "name.givenName must be a string",
            ),
            (
                json!({"schemas": [user], "emails": [
                    {"type": "work", "value": "a", "primary": true},
                    {"type": "work", "value": "b", "primary": true}]}),
                "emails has more than one primary value",
            ),
            (
                json!({"userName": "a"}),
                "schemas must name urn:ietf:params:scim:schemas:core:2.0:User",
            ),
            (
                json!({"schemas": [user], ENTERPRISE_URN: {"division": "x"}}),
                "schemas must name urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            ),
        ] {
            assert_eq!(capture(Resource::User, &body).unwrap_err().detail, detail);
        }
    }
}
