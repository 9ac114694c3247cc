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
    /// It lies in an element that we wrote and that the backend never returns, so that nobody can
    /// see whether the element is there.
    pub unseen: bool,
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
    /// What the backend is known to spell its own way (`status.respelled`), as [`spelling`] hashes it.
    pub respelled: &'a BTreeMap<String, String>,
}

/// Nothing is known to be spelled another way.
pub static NOTHING_RESPELLED: BTreeMap<String, String> = BTreeMap::new();

/// What was sent and what came back of one attribute, hashed, since both are personal data.
pub fn spelling(sent: &Value, back: &Value) -> String {
    super::names::short_hash(&json!([sent, back]).to_string())
}

/// The attributes that a backend answered with another value than was sent, and that matter little
/// enough to be left so: a telephone number in another notation is no reason to write it for ever.
/// Which account it is, and whether its person may sign in, is.
pub fn respelled(
    desired: &Desired,
    after: &Observed,
    differing: &[String],
) -> BTreeMap<String, String> {
    let harmless = differing.iter().filter(|name| !matters(name));
    let hashed = harmless.filter_map(|name| {
        let (sent, back) = (desired.attributes.get(name)?, after.attributes.get(name)?);
        Some((name.clone(), spelling(sent, back)))
    });
    hashed.collect()
}

/// Whether a backend has to keep an attribute exactly as it was sent.
pub fn matters(attribute: &str) -> bool {
    matches!(attribute, "active" | "userName")
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
        let sight = Sight::of(&attribute.path, observed, profile, knowledge);
        let seen = observed.attributes.get(name);
        if let (Some(wanted), Some(seen)) = (wanted, seen)
            && !matters(name)
            && knowledge.respelled.get(name) == Some(&spelling(wanted, seen))
        {
            continue;
        }
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
                    && !knowledge.echoed.contains(name)
                    && sight != Sight::Absent =>
            {
                None
            }
            (None, _) => continue,
        };
        changes.push(Change {
            attribute: name.to_owned(),
            path: attribute.path.clone(),
            unseen: sight == Sight::Unseen,
            to,
        });
    }
    changes
}

/// What is known of the element that holds a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// It is there, or the value needs none.
    Present,
    /// It is not there: never written by us, or something of it would show and does not.
    Absent,
    /// We wrote it, and nothing that we wrote of it is ever returned.
    Unseen,
}

impl Sight {
    fn of(
        path: &AttributePath,
        observed: &Observed,
        profile: &Profile,
        knowledge: Knowledge<'_>,
    ) -> Self {
        let container = path.container();
        if container.selector.is_none() || observed.elements.contains(&container.to_string()) {
            return Self::Present;
        }
        let mut ours = profile
            .iter()
            .filter(|(name, attribute)| {
                knowledge.managed.contains(*name) && attribute.path.is_in(&container)
            })
            .map(|(name, _)| name)
            .peekable();
        if ours.peek().is_some() && ours.all(|name| !knowledge.echoed.contains(name)) {
            Self::Unseen
        } else {
            Self::Absent
        }
    }
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

/// A PATCH of one operation per explicit path (RFC 7644 §3.5.2); never empty, unless `changes` is.
///
/// Four shapes that servers agree on: an element that is absent is added whole on its bare
/// attribute, since a filter that matches nothing is `noTarget`; one that loses its last value is
/// removed whole, since removing `.value` leaves `{"type": …}`; a `manager` is written as an object.
///
/// The fourth is for an element that we wrote and that is never returned: it is removed by its
/// filter and added again, both in the one atomic request. An `add` alone makes a second element
/// of the type. A `replace` on the filtered path would keep what others put into the element, but a
/// server that never returns a thing may as well have dropped it; there the filter matches nothing,
/// the answer must be 400 `noTarget` (§3.5.2.3), and every other change of the request would be
/// refused with it, again and again. A *removal* that matches nothing is no error by §3.5.2.2, and
/// is a success on the servers of `tests/scim-servers`; clearing such an element relies on the same.
pub fn patch(
    changes: &[Change],
    desired: &Desired,
    observed: &Observed,
    profile: &Profile,
) -> Patch {
    let mut ops = Vec::new();
    let mut whole: BTreeMap<String, (AttributePath, bool)> = BTreeMap::new();
    let mut removed = BTreeSet::new();
    for change in changes {
        let container = change.path.container();
        let key = container.to_string();
        let element = container.selector.is_some() && change.path.sub.is_some();
        if element && !observed.elements.contains(&key) {
            let (_, unseen) = whole.entry(key).or_insert((container, false));
            *unseen |= change.unseen;
            continue;
        }
        match &change.to {
            Some(value) if names_value(&change.path) => {
                ops.push(set(
                    &change.attribute,
                    observed,
                    key,
                    json!({"value": value}),
                ));
            }
            Some(value) => ops.push(set(
                &change.attribute,
                observed,
                change.path.to_string(),
                value.clone(),
            )),
            None if (element || names_value(&change.path))
                && keeps_nothing(&container, desired, observed, changes, profile) =>
            {
                if removed.insert(key.clone()) {
                    ops.push(PatchOp::Remove { path: key });
                }
            }
            None => ops.push(PatchOp::Remove {
                path: change.path.to_string(),
            }),
        }
    }
    let mut room = Vec::new();
    for (path, (container, unseen)) in whole {
        let Some(element) = whole_element(&container, desired, profile) else {
            ops.push(PatchOp::Remove { path });
            continue;
        };
        if unseen {
            room.push(PatchOp::Remove { path });
        }
        let bare = AttributePath {
            selector: None,
            ..container
        };
        ops.push(PatchOp::Add {
            path: bare.to_string(),
            value: json!([element]),
        });
    }
    // Removals last: a server that drops an emptied element would answer noTarget to what follows.
    // Only what makes room for an element comes before it.
    ops.sort_by_key(|op| matches!(op, PatchOp::Remove { .. }));
    room.extend(ops);
    Patch(room)
}

/// Whether a path names the `value` of a single complex attribute, such as `manager`. It is what
/// the attribute is; whatever else the attribute holds describes it (RFC 7643 §2.4, §4.3).
fn names_value(path: &AttributePath) -> bool {
    path.selector.is_none() && path.sub.as_deref() == Some("value")
}

/// Everything desired of an element, changed or not: an added element has nothing yet. `None` when
/// nothing is.
fn whole_element(
    container: &AttributePath,
    desired: &Desired,
    profile: &Profile,
) -> Option<Map<String, Value>> {
    let mut element: Map<String, Value> = profile
        .iter()
        .filter(|(_, attribute)| attribute.path.is_in(container))
        .filter_map(|(name, attribute)| {
            let value = desired.attributes.get(name)?;
            Some((attribute.path.sub.clone()?, value.clone()))
        })
        .collect();
    if element.is_empty() {
        return None;
    }
    element.insert("type".into(), json!(container.selector));
    Some(element)
}

fn set(attribute: &str, observed: &Observed, path: String, value: Value) -> PatchOp {
    if observed.attributes.contains_key(attribute) {
        PatchOp::Replace { path, value }
    } else {
        PatchOp::Add { path, value }
    }
}

/// Whether an element has no value left that we want, or that somebody else put there, be it where
/// the profile speaks of it or where it does not; a `primary` alone says nothing.
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
    let foreign = observed.extra.contains(&container.to_string());
    !foreign
        && !profile.iter().any(|(name, attribute)| {
            attribute.path.is_in(container)
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

/// What a PUT has to say besides the changes: values of ours that a GET does not show. Left out, they
/// would be cleared.
pub fn hidden(
    desired: &Desired,
    observed: &Observed,
    profile: &Profile,
    echoed: &BTreeSet<String>,
) -> Vec<Change> {
    let shown = |name: &str| observed.attributes.contains_key(name) || echoed.contains(name);
    let hidden = profile.iter().filter(|(name, _)| !shown(name));
    let ours = hidden.filter_map(|(name, attribute)| {
        let value = desired.attributes.get(name)?;
        Some(Change {
            attribute: name.to_owned(),
            path: attribute.path.clone(),
            unseen: false,
            to: Some(value.clone()),
        })
    });
    ours.collect()
}

/// Applies changes to a resource that was just read: GET, merge, PUT, for servers without PATCH.
/// What we do not own is kept as it was, except what describes a value that is no longer there: the
/// `$ref` and the name of a former manager, sent back beside the id of the new one, would
/// contradict it.
pub fn merge_into(resource: &mut Value, changes: &[Change]) {
    for change in changes {
        match &change.to {
            Some(value) => change.path.write(resource, value.clone()),
            None => change.path.clear(resource),
        }
        if names_value(&change.path) {
            for description in ["$ref", "display", "displayName"] {
                let path = AttributePath {
                    sub: Some(description.into()),
                    ..change.path.clone()
                };
                path.clear(resource);
            }
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
