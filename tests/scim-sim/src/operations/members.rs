//! Members of groups: who may be one, and how removals and additions bend under faults.

use std::borrow::Cow;
use std::collections::HashSet;

use scim_v2::filter::{AttrPath, PatchPath};
use serde_json::{Map, Value};

use crate::Faults;
use crate::error::ScimError;
use crate::filter::members;
use crate::patch::{Operation, Verb};
use crate::schema::{Attribute, Resource, Target, locate};
use crate::store::Collection;

/// Members that are new must be users of this server.
///
/// # Errors
/// 400 invalidValue when a member is unknown.
pub(super) fn check_known(
    group: &Map<String, Value>,
    before: Option<&Map<String, Value>>,
    users: &Collection,
) -> Result<(), ScimError> {
    let before: HashSet<&str> = before.into_iter().flat_map(members).collect();
    let known = |id: &str| before.contains(id) || users.get(id).is_some();
    if members(group).all(known) {
        Ok(())
    } else {
        Err(ScimError::invalid_value(
            "members.value must be the id of a user",
        ))
    }
}

/// Drops members that are listed twice.
pub(super) fn deduplicate(group: &mut Map<String, Value>) {
    let mut seen = HashSet::new();
    if let Some(Value::Array(members)) = group.get_mut("members") {
        members.retain(|member| seen.insert(member["value"].to_string()));
    }
}

/// Refuses a body with too many members, where the server has a limit.
///
/// # Errors
/// 400 when there are more than [`Faults::member_cap`].
pub(super) fn check_cap(changes: usize, faults: &Faults) -> Result<(), ScimError> {
    match faults.member_cap {
        Some(cap) if changes > cap => Err(ScimError::invalid_value(format!(
            "members: more than {cap} changes in a request"
        ))),
        _ => Ok(()),
    }
}

/// How many members the operations of a PATCH touch.
pub(super) fn changes(operations: &[Operation]) -> usize {
    operations
        .iter()
        .map(
            |operation| match (targets_members(operation), &operation.path) {
                (true, Some(PatchPath::Value(_))) => 1,
                (true, _) => listed(operation.value.as_ref()).count().max(1),
                (false, _) => in_object(operation).count(),
            },
        )
        .sum()
}

/// The operations that stand for one on `members`, as this server understands it.
///
/// # Errors
/// 500 when a present member is added again and the server cannot bear it.
pub(super) fn bend<'a>(
    group: &Map<String, Value>,
    operation: &'a Operation,
    faults: &Faults,
) -> Result<Vec<Cow<'a, Operation>>, ScimError> {
    let on_members = targets_members(operation);
    if faults.readd_member_500 && operation.verb == Verb::Add {
        let present: HashSet<&str> = members(group).collect();
        let added = listed(operation.value.as_ref().filter(|_| on_members));
        if added
            .chain(in_object(operation))
            .any(|id| present.contains(id))
        {
            return Err(ScimError::new(500, "internal error"));
        }
    }
    if !on_members {
        return Ok(vec![Cow::Borrowed(operation)]);
    }
    let by_filter = matches!(operation.path, Some(PatchPath::Value(_)));
    match operation.verb {
        Verb::Remove if by_filter && faults.member_removal_filter_ignored => Ok(Vec::new()),
        Verb::Remove if !by_filter && !faults.value_form_removal_wipes => {
            let Some(value) = operation.value.as_ref().filter(|value| !value.is_null()) else {
                return Ok(vec![Cow::Borrowed(operation)]);
            };
            let gone: HashSet<&str> = listed(Some(value)).collect();
            let left: Vec<Value> = group
                .get("members")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter(|member| !member["value"].as_str().is_some_and(|id| gone.contains(id)))
                .cloned()
                .collect();
            let value = Some(Value::Array(left));
            Ok(vec![Cow::Owned(Operation {
                verb: Verb::Replace,
                value,
                ..operation.clone()
            })])
        }
        Verb::Replace if !by_filter && faults.replace_members_keeps_stale => {
            Ok(vec![Cow::Owned(Operation {
                verb: Verb::Add,
                ..operation.clone()
            })])
        }
        Verb::Add | Verb::Replace | Verb::Remove => Ok(vec![Cow::Borrowed(operation)]),
    }
}

fn targets_members(operation: &Operation) -> bool {
    let path: &AttrPath = match &operation.path {
        None => return false,
        Some(PatchPath::Attr(path)) => path,
        Some(PatchPath::Value(path)) => &path.attr,
    };
    matches!(
        locate(Resource::Group, path),
        Some(Target::Attribute {
            attribute: Attribute {
                name: "members",
                ..
            },
            sub: None,
            ..
        })
    )
}

/// The ids in a list of members, or in a single one.
fn listed(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let elements = value.map_or(&[][..], |value| {
        value
            .as_array()
            .map_or(std::slice::from_ref(value), Vec::as_slice)
    });
    elements
        .iter()
        .filter_map(|member| member["value"].as_str())
}

/// The ids in the `members` of an operation without a path.
fn in_object(operation: &Operation) -> impl Iterator<Item = &str> {
    let object = operation
        .value
        .as_ref()
        .filter(|_| operation.path.is_none());
    let members = object.and_then(Value::as_object).and_then(|object| {
        object
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("members"))
            .map(|(_, v)| v)
    });
    listed(members)
}
