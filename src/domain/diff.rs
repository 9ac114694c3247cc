//! The smallest set of changes that brings an account in step, and the requests that say them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::observed::Observed;
use super::profile::{Profile, Rule, languages};
use super::validate::Desired;
use crate::scim::patch::{Patch, PatchOp};
use crate::scim::path::AttributePath;
use crate::scim::types::ResourceKind;

/// One attribute to set, or to clear.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The profile's name for it.
    pub attribute: String,
    /// Where it goes.
    pub path: AttributePath,
    /// The new value; `None` clears it.
    pub to: Option<Value>,
}

/// What is known beside the two states.
#[derive(Clone, Copy, Debug)]
pub struct Knowledge<'a> {
    /// Attributes that this resource has set before (`status.managedAttributes`).
    pub managed: &'a BTreeSet<String>,
    /// Attributes that the backend was ever seen to return. One that is never returned is written
    /// when the spec changes and never reported as drift.
    pub echoed: &'a BTreeSet<String>,
    /// The spec has changed since it was last in step.
    pub spec_changed: bool,
}

/// The changes that bring `observed` to `desired`. An attribute that neither the spec nor we ever
/// set is not ours and never appears.
pub fn changes(
    desired: &Desired,
    observed: &Observed,
    profile: &Profile,
    knowledge: Knowledge<'_>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, attribute) in profile.iter() {
        let wanted = desired.attributes.get(name);
        let seen = observed.attributes.get(name);
        let to = match (wanted, seen) {
            (Some(wanted), Some(seen))
                if same(
                    attribute.rule,
                    wanted,
                    seen,
                    knowledge.spec_changed && name == "userName",
                ) =>
            {
                continue;
            }
            (Some(wanted), Some(_)) => Some(wanted.clone()),
            (Some(wanted), None) => {
                let written = knowledge.managed.contains(name) && !knowledge.spec_changed;
                let unobservable = !knowledge.echoed.contains(name);
                if unobservable && written {
                    continue;
                }
                Some(wanted.clone())
            }
            (None, Some(_)) if knowledge.managed.contains(name) => None,
            (None, None)
                if knowledge.managed.contains(name)
                    && knowledge.spec_changed
                    && !knowledge.echoed.contains(name) =>
            {
                None
            }
            (None, _) => continue,
        };
        changes.push(Change {
            attribute: name.to_owned(),
            path: attribute.path.clone(),
            to,
        });
    }
    changes
}

fn same(rule: Rule, wanted: &Value, seen: &Value, exactly: bool) -> bool {
    match (wanted.as_str(), seen.as_str()) {
        (Some(a), Some(b)) if exactly => a == b,
        (Some(a), Some(b)) => match rule {
            Rule::IgnoringCase | Rule::Country => a.to_lowercase() == b.to_lowercase(),
            Rule::CybSafeLanguage | Rule::LanguageTag => languages::same(a, b),
            Rule::Text | Rule::Flag => a == b,
        },
        _ if rule == Rule::Flag => {
            crate::scim::types::lenient_bool(wanted) == crate::scim::types::lenient_bool(seen)
        }
        (Some(a), None) => seen.as_u64().is_some_and(|n| n.to_string() == a),
        _ => wanted == seen,
    }
}

/// A PATCH of one operation per explicit path (RFC 7644 §3.5.2).
///
/// Three shapes that servers agree on: an element that is absent is added whole on its bare
/// attribute, since a filter that matches nothing is `noTarget`; one that loses its last value is
/// removed whole, since removing `.value` leaves `{"type": …}`; a `manager` is written as an object.
pub fn patch(
    changes: &[Change],
    desired: &Desired,
    observed: &Observed,
    profile: &Profile,
) -> Patch {
    let mut ops = Vec::new();
    let mut whole: BTreeMap<String, (AttributePath, Map<String, Value>)> = BTreeMap::new();
    let mut removed = BTreeSet::new();
    for change in changes {
        let container = change.path.container();
        let key = container.to_string();
        let element_absent = container.selector.is_some() && !observed.elements.contains(&key);
        match (&change.to, &change.path.sub) {
            (Some(value), Some(sub)) if element_absent => {
                let (_, element) = whole.entry(key).or_insert_with(|| (container, Map::new()));
                element.insert(sub.clone(), value.clone());
            }
            (Some(value), Some(sub)) if sub == "value" && container.selector.is_none() => {
                ops.push(set(
                    &change.attribute,
                    observed,
                    key,
                    json!({"value": value}),
                ));
            }
            (Some(value), _) => ops.push(set(
                &change.attribute,
                observed,
                change.path.to_string(),
                value.clone(),
            )),
            (None, Some(sub)) if container.selector.is_some() || sub == "value" => {
                if !element_absent && keeps_nothing(&container, desired, observed, changes, profile)
                {
                    if removed.insert(key.clone()) {
                        ops.push(PatchOp::Remove { path: key });
                    }
                } else if !element_absent {
                    ops.push(PatchOp::Remove {
                        path: change.path.to_string(),
                    });
                }
            }
            (None, _) => ops.push(PatchOp::Remove {
                path: change.path.to_string(),
            }),
        }
    }
    for (container, mut element) in whole.into_values() {
        if let Some(kind) = &container.selector {
            element.insert("type".into(), json!(kind));
        }
        let bare = AttributePath {
            selector: None,
            sub: None,
            ..container
        };
        ops.push(PatchOp::Add {
            path: bare.to_string(),
            value: json!([element]),
        });
    }
    // Removals last: a server that drops an emptied element would answer noTarget to what follows.
    ops.sort_by_key(|op| matches!(op, PatchOp::Remove { .. }));
    Patch(ops)
}

fn set(attribute: &str, observed: &Observed, path: String, value: Value) -> PatchOp {
    if observed.attributes.contains_key(attribute) {
        PatchOp::Replace { path, value }
    } else {
        PatchOp::Add { path, value }
    }
}

/// Whether an element has no value left that we want, or that somebody else put there; a `primary`
/// alone says nothing.
fn keeps_nothing(
    container: &AttributePath,
    desired: &Desired,
    observed: &Observed,
    changes: &[Change],
    profile: &Profile,
) -> bool {
    let theirs = |name: &str| {
        observed.attributes.contains_key(name)
            && !name.ends_with(".primary")
            && !changes.iter().any(|change| change.attribute == name)
    };
    !profile.iter().any(|(name, attribute)| {
        attribute.path.container() == *container
            && (desired.attributes.contains_key(name) || theirs(name))
    })
}

/// The body of a POST: everything desired at its path, with the schemas used (RFC 7643 §3).
pub fn create_body(desired: &Desired, profile: &Profile) -> Value {
    let mut body = json!({"schemas": [ResourceKind::User.schema()]});
    for (name, value) in &desired.attributes {
        if let Some(attribute) = profile.get(name) {
            attribute.path.write(&mut body, value.clone());
        }
    }
    body
}

/// Applies changes to a resource that was just read: GET, merge, PUT, for servers without PATCH.
/// What we do not own is kept as it was.
pub fn merge_into(resource: &mut Value, changes: &[Change]) {
    for change in changes {
        match &change.to {
            Some(value) => change.path.write(resource, value.clone()),
            None => change.path.clear(resource),
        }
    }
    if let Some(object) = resource.as_object_mut() {
        object.remove("meta");
    }
}

/// What the account looks like once `changes` are applied: the state assumed after an answer
/// without a body, until the next listing tells.
pub fn assume(
    observed: &Observed,
    changes: &[Change],
    desired: &Desired,
    profile: &Profile,
) -> Observed {
    let mut after = observed.clone();
    after.version = None;
    for change in changes {
        let container = change.path.container();
        match &change.to {
            Some(value) => {
                after
                    .attributes
                    .insert(change.attribute.clone(), value.clone());
                if container.selector.is_some() {
                    after.elements.insert(container.to_string());
                }
            }
            None => {
                after.attributes.remove(&change.attribute);
                if container.selector.is_some()
                    && keeps_nothing(&container, desired, observed, changes, profile)
                {
                    after.elements.remove(&container.to_string());
                }
            }
        }
        match (change.attribute.as_str(), &change.to) {
            ("userName", Some(Value::String(name))) => after.user_name = Some(name.clone()),
            ("externalId", Some(Value::String(mark))) => after.external_id = Some(mark.clone()),
            ("active", Some(Value::Bool(active))) => after.active = Some(*active),
            _ => {}
        }
    }
    after
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
