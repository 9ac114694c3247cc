//! Applies one operation to a document, attribute by attribute.

use std::collections::HashSet;

use scim_v2::filter::{AttrPath, PatchPath};
use serde_json::{Map, Value};

use super::filtered::apply_filtered;
use super::{Operation, Verb};
use crate::error::ScimError;
use crate::schema::{
    Attribute, ENTERPRISE_URN, Resource, Target, capture_attribute, locate, lookup,
};

/// What a server may do one way or the other while it patches.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PatchRules {
    pub(crate) remove_without_match_fails: bool,
    pub(crate) requires_path: bool,
}

/// Applies the operation to `document`; attributes CybSafe does not know are left alone silently.
///
/// # Errors
/// 400 with mutability, noTarget, invalidPath, invalidFilter or invalidValue; `document` may then
/// be half changed and must be thrown away.
pub(crate) fn apply(
    resource: Resource,
    document: &mut Map<String, Value>,
    operation: &Operation,
    rules: PatchRules,
) -> Result<(), ScimError> {
    let verb = operation.verb;
    let value = operation.value.as_ref().unwrap_or(&Value::Null);
    match &operation.path {
        None if rules.requires_path => Err(ScimError::no_target("an operation needs a path")),
        None => {
            let Value::Object(members) = value else {
                return Err(ScimError::invalid_value(
                    "without a path the value must be an object",
                ));
            };
            apply_members(resource, document, verb, members)
        }
        Some(PatchPath::Attr(path)) => match find(resource, path, None)? {
            None => Ok(()),
            Some(Target::Extension) => apply_extension(resource, document, verb, value),
            Some(Target::Attribute {
                in_extension,
                attribute,
                sub,
            }) => {
                let slot = container(document, in_extension)?;
                match sub {
                    None => apply_attribute(slot, attribute, verb, value),
                    Some(sub) => apply_sub(slot, attribute, sub, verb, value),
                }
            }
        },
        Some(PatchPath::Value(path)) => {
            let sub_name = path.sub_attr.as_deref();
            let Some(Target::Attribute {
                in_extension,
                attribute,
                sub,
            }) = find(resource, &path.attr, sub_name)?
            else {
                return Ok(());
            };
            if !attribute.multi_valued {
                return Err(ScimError::invalid_path(
                    "only a multi-valued attribute takes a filter",
                ));
            }
            let slot = container(document, in_extension)?;
            let matched = apply_filtered(slot, attribute, &path.filter, sub, verb, value)?;
            if !matched && (verb != Verb::Remove || rules.remove_without_match_fails) {
                let detail = format!("the filter on {} matches nothing", attribute.name);
                return Err(ScimError::no_target(detail));
            }
            Ok(())
        }
    }
}

/// The target of a path, refusing what only the server may write.
fn find(
    resource: Resource,
    path: &AttrPath,
    sub_attr: Option<&str>,
) -> Result<Option<Target>, ScimError> {
    let mut path = path.clone();
    if let Some(sub_attr) = sub_attr {
        path.sub_attr = Some(sub_attr.to_owned());
    }
    let target = locate(resource, &path);
    match target {
        Some(Target::Attribute { attribute, .. }) if attribute.read_only => Err(
            ScimError::mutability(format!("{} is read-only", attribute.name)),
        ),
        target => Ok(target),
    }
}

fn apply_members(
    resource: Resource,
    document: &mut Map<String, Value>,
    verb: Verb,
    members: &Map<String, Value>,
) -> Result<(), ScimError> {
    for (name, value) in members {
        if name.eq_ignore_ascii_case(ENTERPRISE_URN) {
            apply_extension(resource, document, verb, value)?;
        } else if let Some(attribute) = lookup(resource.attributes(), name)
            .or_else(|| lookup(resource.common(), name).filter(|attribute| !attribute.read_only))
        {
            apply_attribute(document, attribute, verb, value)?;
        }
    }
    Ok(())
}

fn apply_extension(
    resource: Resource,
    document: &mut Map<String, Value>,
    verb: Verb,
    value: &Value,
) -> Result<(), ScimError> {
    let Value::Object(members) = value else {
        if verb == Verb::Remove || value.is_null() {
            document.remove(ENTERPRISE_URN);
            return Ok(());
        }
        return Err(ScimError::invalid_value(format!(
            "{ENTERPRISE_URN} must be an object"
        )));
    };
    let slot = container(document, true)?;
    for (name, value) in members {
        if let Some(attribute) = lookup(resource.extension(), name) {
            apply_attribute(slot, attribute, verb, value)?;
        }
    }
    Ok(())
}

/// Add merges and appends, replace replaces; the sub-attributes a replace does not name stay
/// (RFC 7644 §3.5.2.3).
fn apply_attribute(
    slot: &mut Map<String, Value>,
    attribute: &'static Attribute,
    verb: Verb,
    value: &Value,
) -> Result<(), ScimError> {
    if verb == Verb::Remove {
        slot.remove(attribute.name);
        return Ok(());
    }
    let wrapped;
    let value = if attribute.multi_valued && value.is_object() {
        wrapped = Value::Array(vec![value.clone()]);
        &wrapped
    } else {
        value
    };
    let Some(captured) = capture_attribute(attribute, value, attribute.name)? else {
        let clears = value.is_null() || value.is_array();
        if verb == Verb::Replace && clears {
            slot.remove(attribute.name);
        }
        return Ok(());
    };
    match (slot.get_mut(attribute.name), captured) {
        (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
        (Some(Value::Array(old)), Value::Array(new)) if verb == Verb::Add => append(old, new),
        (_, captured) => {
            slot.insert(attribute.name.to_owned(), captured);
        }
    }
    Ok(())
}

/// Appends what is not there yet; a new primary value takes the mark from the old one.
fn append(old: &mut Vec<Value>, new: Vec<Value>) {
    if new.iter().any(|element| element["primary"] == true) {
        clear_primary(old);
    }
    // A set keeps adding to large groups linear.
    let mut known: HashSet<String> = old.iter().map(Value::to_string).collect();
    old.extend(
        new.into_iter()
            .filter(|element| known.insert(element.to_string())),
    );
}

pub(super) fn clear_primary(elements: &mut [Value]) {
    for element in elements.iter_mut().filter_map(Value::as_object_mut) {
        if element.contains_key("primary") {
            element.insert("primary".to_owned(), Value::Bool(false));
        }
    }
}

fn apply_sub(
    slot: &mut Map<String, Value>,
    attribute: &'static Attribute,
    sub: &'static Attribute,
    verb: Verb,
    value: &Value,
) -> Result<(), ScimError> {
    if attribute.multi_valued {
        let elements = slot.get_mut(attribute.name).and_then(Value::as_array_mut);
        let Some(elements) = elements else {
            if verb == Verb::Remove {
                return Ok(());
            }
            let detail = format!("{} has no value", attribute.name);
            return Err(ScimError::no_target(detail));
        };
        for element in elements.iter_mut().filter_map(Value::as_object_mut) {
            set(element, attribute, sub, verb, value)?;
        }
        return Ok(());
    }
    let object = slot
        .entry(attribute.name)
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(object) = object.as_object_mut() {
        set(object, attribute, sub, verb, value)?;
        if object.is_empty() {
            slot.remove(attribute.name);
        }
    }
    Ok(())
}

pub(super) fn set(
    object: &mut Map<String, Value>,
    attribute: &Attribute,
    sub: &'static Attribute,
    verb: Verb,
    value: &Value,
) -> Result<(), ScimError> {
    let path = format!("{}.{}", attribute.name, sub.name);
    let captured = match verb {
        Verb::Remove => None,
        Verb::Add | Verb::Replace => capture_attribute(sub, value, &path)?,
    };
    match captured {
        Some(captured) => object.insert(sub.name.to_owned(), captured),
        None => object.remove(sub.name),
    };
    Ok(())
}

/// Where the attributes of the core or of the extension live.
fn container(
    document: &mut Map<String, Value>,
    in_extension: bool,
) -> Result<&mut Map<String, Value>, ScimError> {
    if !in_extension {
        return Ok(document);
    }
    document
        .entry(ENTERPRISE_URN)
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
        .ok_or_else(|| ScimError::new(500, "the stored extension is no object"))
}
