//! Applies an operation to the elements that a filter selects: `emails[type eq "work"].value`.

use scim_v2::filter::ValFilter;
use serde_json::{Map, Value};

use super::Verb;
use super::apply::{clear_primary, set};
use crate::error::ScimError;
use crate::filter::element_matches;
use crate::schema::{Attribute, capture_element, is_of_captured_type};

/// Applies to every matching element and tells whether there was one.
///
/// Add merges into the element, replace takes its place as a whole (RFC 7644 §3.5.2.3).
pub(super) fn apply_filtered(
    slot: &mut Map<String, Value>,
    attribute: &'static Attribute,
    filter: &ValFilter,
    sub: Option<&'static Attribute>,
    verb: Verb,
    value: &Value,
) -> Result<bool, ScimError> {
    let Some(Value::Array(old)) = slot.remove(attribute.name) else {
        return Ok(false);
    };
    let mut matched = Vec::with_capacity(old.len());
    for element in &old {
        matched.push(element_matches(attribute, element, filter)?);
    }
    let makes_primary = match sub {
        Some(sub) => sub.name == "primary" && value == true,
        None => value.get("primary") == Some(&Value::Bool(true)),
    };
    let mut kept = Vec::with_capacity(old.len());
    for (mut element, matches) in old.into_iter().zip(&matched) {
        if *matches {
            kept.extend(change(element, attribute, sub, verb, value)?);
        } else {
            if makes_primary {
                clear_primary(std::slice::from_mut(&mut element));
            }
            kept.push(element);
        }
    }
    if !kept.is_empty() {
        slot.insert(attribute.name.to_owned(), Value::Array(kept));
    }
    Ok(matched.contains(&true))
}

/// The element after the operation; `None` when it is gone.
fn change(
    mut element: Value,
    attribute: &'static Attribute,
    sub: Option<&'static Attribute>,
    verb: Verb,
    value: &Value,
) -> Result<Option<Value>, ScimError> {
    if let (Some(sub), Some(object)) = (sub, element.as_object_mut()) {
        set(object, attribute, sub, verb, value)?;
        return Ok((!object.is_empty()).then_some(element));
    }
    if verb == Verb::Remove {
        return Ok(None);
    }
    let captured = capture_element(attribute, value, attribute.name)?;
    let changed = match (verb, element, captured) {
        (Verb::Add, Value::Object(mut old), Some(Value::Object(new))) => {
            old.extend(new);
            Some(Value::Object(old))
        }
        (Verb::Add, element, None) => Some(element),
        (_, _, captured) => captured,
    };
    Ok(changed.filter(|element| is_of_captured_type(attribute, element)))
}
