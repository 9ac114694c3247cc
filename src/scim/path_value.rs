//! Reading, writing and clearing the value at an [`AttributePath`] in a SCIM
//! resource held as JSON.
//!
//! Names are looked up ignoring case (RFC 7643 §2.1), and so are types, since
//! servers rewrite both. Null, `[]`, `""` and `{}` are one state: no value
//! (RFC 7643 §2.5).

use serde_json::{Map, Value, json};

use crate::scim::path::AttributePath;
use crate::scim::types::{find, lenient_bool, spelling};

/// The core attributes that are lists of complex values (RFC 7643 §4.1.2,
/// §4.2), so that a path into one without a selector still builds a list.
const MULTI_VALUED: [&str; 10] = [
    "emails",
    "phoneNumbers",
    "ims",
    "photos",
    "addresses",
    "groups",
    "entitlements",
    "roles",
    "x509Certificates",
    "members",
];

impl AttributePath {
    /// The value at this path; `None` where there is none.
    ///
    /// Of several elements of the selected type the first with a value is
    /// read; without a selector, the primary element, else the first. A plain
    /// value where `value` is asked for is that value (a `manager` sent as a
    /// string).
    #[must_use]
    pub fn read<'a>(&self, resource: &'a Value) -> Option<&'a Value> {
        let attribute = self.attribute_of(resource)?;
        match (&self.selector, &self.sub) {
            (None, None) => present(attribute),
            (None, Some(sub)) => match attribute {
                Value::Array(items) => {
                    let primary = items.iter().find(|item| is_primary(item));
                    primary
                        .into_iter()
                        .chain(items)
                        .find_map(|item| sub_value(item, sub))
                }
                other => sub_value(other, sub),
            },
            (Some(selector), None) => elements(attribute, selector).find_map(present),
            (Some(selector), Some(sub)) => {
                elements(attribute, selector).find_map(|item| sub_value(item, sub))
            }
        }
    }

    /// Whether the container of the value is there: an element of the
    /// selected type, or, without a selector, the attribute.
    #[must_use]
    pub fn element_exists(&self, resource: &Value) -> bool {
        let Some(attribute) = self.attribute_of(resource) else {
            return false;
        };
        match &self.selector {
            Some(selector) => elements(attribute, selector).next().is_some(),
            None => present(attribute).is_some(),
        }
    }

    /// Whether an element of the selected type has a value in another
    /// sub-attribute than `known`. Without a selector there is no element.
    #[must_use]
    pub fn holds_more_than(&self, known: &[&str], resource: &Value) -> bool {
        let (Some(selector), Some(attribute)) = (&self.selector, self.attribute_of(resource))
        else {
            return false;
        };
        let more = |(name, value): (&String, &Value)| {
            present(value).is_some() && !known.iter().any(|sub| sub.eq_ignore_ascii_case(name))
        };
        elements(attribute, selector)
            .filter_map(Value::as_object)
            .any(|members| members.iter().any(more))
    }

    /// Sets the value at this path, creating what lies between: the extension
    /// object (named in `schemas`, where the resource has that list), the
    /// complex value, the element `{type: x}`. A value in the way that is of
    /// another shape is replaced.
    pub fn write(&self, resource: &mut Value, value: Value) {
        let Some(schema) = &self.schema else {
            self.write_attribute(object(resource), value);
            return;
        };
        let root = object(resource);
        declare(root, schema);
        let key = spelling(root, schema);
        self.write_attribute(object(root.entry(key).or_insert(Value::Null)), value);
    }

    /// Removes the value at this path, from every element it selects. An
    /// element left with nothing but `type` and `primary` goes too, and so do
    /// containers left empty.
    pub fn clear(&self, resource: &mut Value) {
        let Some(root) = resource.as_object_mut() else {
            return;
        };
        let Some(schema) = &self.schema else {
            self.clear_attribute(root);
            return;
        };
        let key = spelling(root, schema);
        let Some(extension) = root.get_mut(&key) else {
            return;
        };
        if let Some(members) = extension.as_object_mut() {
            self.clear_attribute(members);
        }
        if present(extension).is_none() {
            root.remove(&key);
            undeclare(root, schema);
        }
    }

    fn attribute_of<'a>(&self, resource: &'a Value) -> Option<&'a Value> {
        let root = resource.as_object()?;
        match &self.schema {
            Some(schema) => find(find(root, schema)?.as_object()?, &self.attribute),
            None => find(root, &self.attribute),
        }
    }

    fn write_attribute(&self, members: &mut Map<String, Value>, value: Value) {
        let key = spelling(members, &self.attribute);
        let slot = members.entry(key).or_insert(Value::Null);
        match (&self.selector, &self.sub) {
            (None, None) => *slot = value,
            (None, Some(sub)) => {
                let is_list = slot.is_array()
                    || MULTI_VALUED
                        .iter()
                        .any(|name| name.eq_ignore_ascii_case(&self.attribute));
                let target = if is_list {
                    let items = array(slot);
                    let at = items.iter().position(is_primary).unwrap_or(0);
                    if items.is_empty() {
                        items.push(json!({}));
                    }
                    &mut items[at]
                } else {
                    slot
                };
                set_member(target, sub, value);
            }
            (Some(selector), sub) => {
                let items = array(slot);
                let at = items
                    .iter()
                    .position(|item| has_type(item, selector))
                    .unwrap_or_else(|| {
                        items.push(json!({ "type": selector }));
                        items.len() - 1
                    });
                match sub {
                    Some(sub) => set_member(&mut items[at], sub, value),
                    None => items[at] = typed(selector, value),
                }
            }
        }
    }

    fn clear_attribute(&self, members: &mut Map<String, Value>) {
        let key = spelling(members, &self.attribute);
        let Some(slot) = members.get_mut(&key) else {
            return;
        };
        match (&self.selector, &self.sub, &mut *slot) {
            (None, None, _) => *slot = Value::Null,
            (None, Some(sub), Value::Array(items)) => {
                items.iter_mut().for_each(|item| remove_member(item, sub));
                items.retain(|item| !is_hollow(item));
            }
            (None, Some(sub), other) => remove_member(other, sub),
            (Some(selector), None, Value::Array(items)) => {
                items.retain(|item| !has_type(item, selector));
            }
            (Some(selector), Some(sub), Value::Array(items)) => {
                for item in items.iter_mut().filter(|item| has_type(item, selector)) {
                    remove_member(item, sub);
                }
                items.retain(|item| !(has_type(item, selector) && is_hollow(item)));
            }
            (Some(selector), sub, item) if has_type(item, selector) => {
                if let Some(sub) = sub {
                    remove_member(item, sub);
                }
                if sub.is_none() || is_hollow(item) {
                    *item = Value::Null;
                }
            }
            (Some(_), _, _) => {}
        }
        if present(slot).is_none() {
            members.remove(&key);
        }
    }
}

/// The value, unless it is one of the spellings of none.
fn present(value: &Value) -> Option<&Value> {
    let absent = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    (!absent).then_some(value)
}

fn sub_value<'a>(value: &'a Value, sub: &str) -> Option<&'a Value> {
    match value {
        Value::Object(members) => find(members, sub).and_then(present),
        Value::Array(_) => None,
        plain if sub.eq_ignore_ascii_case("value") => present(plain),
        _ => None,
    }
}

/// The elements of the given type; a single object counts as a list of one.
fn elements<'a>(attribute: &'a Value, selector: &str) -> impl Iterator<Item = &'a Value> {
    let items = match attribute {
        Value::Array(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    items.iter().filter(move |item| has_type(item, selector))
}

fn has_type(item: &Value, selector: &str) -> bool {
    item.as_object()
        .and_then(|members| find(members, "type"))
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.to_lowercase() == selector.to_lowercase())
}

fn is_primary(item: &Value) -> bool {
    item.as_object()
        .and_then(|members| find(members, "primary"))
        .and_then(lenient_bool)
        .unwrap_or(false)
}

/// Whether an element says nothing but which one it is.
fn is_hollow(item: &Value) -> bool {
    match item {
        Value::Object(members) => members.iter().all(|(name, value)| {
            name.eq_ignore_ascii_case("type")
                || name.eq_ignore_ascii_case("primary")
                || present(value).is_none()
        }),
        other => present(other).is_none(),
    }
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(members) => members,
        _ => unreachable!("made an object above"),
    }
}

/// The value as a list; a single object becomes its only element.
fn array(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        let single = value.take();
        *value = Value::Array(if single.is_object() {
            vec![single]
        } else {
            Vec::new()
        });
    }
    match value {
        Value::Array(items) => items,
        _ => unreachable!("made an array above"),
    }
}

fn set_member(target: &mut Value, name: &str, value: Value) {
    let members = object(target);
    let key = spelling(members, name);
    members.insert(key, value);
}

fn remove_member(target: &mut Value, name: &str) {
    if let Some(members) = target.as_object_mut() {
        let key = spelling(members, name);
        members.remove(&key);
    } else if name.eq_ignore_ascii_case("value") && !target.is_array() {
        *target = Value::Null;
    }
}

fn typed(selector: &str, value: Value) -> Value {
    match value {
        Value::Object(mut members) => {
            let key = spelling(&members, "type");
            members.insert(key, json!(selector));
            Value::Object(members)
        }
        plain => json!({ "type": selector, "value": plain }),
    }
}

fn is_schema(item: &Value, schema: &str) -> bool {
    item.as_str()
        .is_some_and(|known| known.eq_ignore_ascii_case(schema))
}

fn declare(root: &mut Map<String, Value>, schema: &str) {
    if let Some(Value::Array(schemas)) = root.get_mut("schemas")
        && !schemas.iter().any(|item| is_schema(item, schema))
    {
        schemas.push(json!(schema));
    }
}

fn undeclare(root: &mut Map<String, Value>, schema: &str) {
    if let Some(Value::Array(schemas)) = root.get_mut("schemas") {
        schemas.retain(|item| !is_schema(item, schema));
    }
}
