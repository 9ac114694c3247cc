//! Create, replace, patch and delete (RFC 7644 §3.3, §3.5, §3.6), with CybSafe's archiving.

use serde_json::{Map, Value};

use super::checks::{
    canonical_phone_numbers, check, check_precondition, conflict, lower_user_name, namesake,
    normalize,
};
use super::{Context, Outcome, members, stamp};
use crate::ReactivationReply;
use crate::error::ScimError;
use crate::patch::{self, PatchRules, Verb};
use crate::projection::Projection;
use crate::rules;
use crate::schema::{Resource, capture};
use crate::store::{Row, Store};

/// POST: a new resource, or an archived user that comes back under its old id.
pub(super) fn create(
    store: &mut Store,
    context: &Context<'_>,
    resource: Resource,
    body: &Value,
    projection: &Projection,
) -> Result<Outcome, ScimError> {
    let mut document = capture(resource, body)?;
    normalize(context, resource, &mut document)?;
    if resource == Resource::Group && context.faults.post_group_ignores_members {
        document.remove("members");
    }
    check(store, context, resource, &document, None)?;
    if resource == Resource::User {
        if let Some(existing) = namesake(store, context, &document, None) {
            let reply = context.dialect.reactivate_on_create;
            if existing.is_active() || reply == ReactivationReply::Conflict {
                return Err(conflict(context));
            }
            let mut merged = essence(existing);
            document.entry("active").or_insert(Value::Bool(true));
            merged.extend(document);
            let id = existing.id().to_owned();
            let row = keep(store, resource, &id, merged)?;
            return Ok(context.outcome(reply.into(), resource, row, projection));
        }
        document.entry("active").or_insert(Value::Bool(false));
    }
    let document = stamp::complete(store, resource, document, context.base_url);
    let id = document
        .get("id")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    store.collection_mut(resource).put(document);
    let row = store
        .collection(resource)
        .get(&id)
        .ok_or_else(ScimError::not_found)?;
    Ok(context.outcome(201, resource, row, projection))
}

/// PUT: what the body does not mention is cleared.
pub(super) fn replace(
    store: &mut Store,
    context: &Context<'_>,
    resource: Resource,
    id: &str,
    body: &Value,
    projection: &Projection,
) -> Result<Outcome, ScimError> {
    let existing = store.collection(resource).get(id);
    let existing = existing.filter(|row| context.shows(resource, row));
    let existing = existing.ok_or_else(ScimError::not_found)?;
    check_precondition(context, existing)?;
    let mut document = capture(resource, body)?;
    if context.faults.put_is_partial {
        let mut merged = essence(existing);
        merged.extend(document);
        document = merged;
    }
    if resource == Resource::User {
        document.entry("active").or_insert(Value::Bool(false));
    }
    normalize(context, resource, &mut document)?;
    check(store, context, resource, &document, Some(existing))?;
    let row = keep(store, resource, id, document)?;
    Ok(context.outcome(200, resource, row, projection))
}

/// PATCH: all operations or none.
pub(super) fn patch(
    store: &mut Store,
    context: &Context<'_>,
    resource: Resource,
    id: &str,
    body: &Value,
    projection: &Projection,
) -> Result<Outcome, ScimError> {
    if let Some(status) = context.faults.no_patch {
        return Err(ScimError::new(status, "PATCH is not supported"));
    }
    let existing = store
        .collection(resource)
        .get(id)
        .ok_or_else(ScimError::not_found)?;
    check_precondition(context, existing)?;
    let operations = patch::read(body)?;
    let rules = PatchRules {
        remove_without_match_fails: context.dialect.remove_without_match_fails,
        requires_path: context.faults.patch_requires_path,
    };
    let mut document = essence(existing);
    if resource == Resource::Group {
        members::check_cap(members::changes(&operations), context.faults)?;
    }
    for operation in &operations {
        if resource == Resource::Group {
            for operation in members::bend(&document, operation, context.faults)? {
                patch::apply(resource, &mut document, &operation, rules)?;
            }
        } else {
            patch::apply(resource, &mut document, operation, rules)?;
        }
    }
    patch::prune(&mut document);
    if resource == Resource::User {
        document.entry("active").or_insert(Value::Bool(false));
        lower_user_name(context, &mut document);
        canonical_phone_numbers(context, &mut document);
    }
    members::deduplicate(&mut document);
    rules::check(resource, &document, context.dialect).map_err(|violation| {
        let removes = operations
            .iter()
            .any(|operation| operation.verb == Verb::Remove);
        if violation.is_missing() && removes {
            ScimError::mutability(violation.detail()) // RFC 7644 §3.5.2.2
        } else {
            ScimError::invalid_value(violation.detail())
        }
    })?;
    check(store, context, resource, &document, Some(existing))?;
    let row = keep(store, resource, id, document)?;
    let mut outcome = context.outcome(200, resource, row, projection);
    if context.dialect.patch_no_content && projection.is_all() {
        outcome.status = 204;
        outcome.body = None;
    }
    Ok(outcome)
}

/// DELETE: gone from lists and groups, or archived where the dialect says so.
pub(super) fn delete(
    store: &mut Store,
    context: &Context<'_>,
    resource: Resource,
    id: &str,
) -> Result<Outcome, ScimError> {
    let existing = store.collection(resource).get(id);
    let existing = existing.filter(|row| context.shows(resource, row));
    let existing = existing.ok_or_else(ScimError::not_found)?;
    check_precondition(context, existing)?;
    if resource == Resource::User && context.dialect.delete_archives {
        let mut document = essence(existing);
        document.insert("active".to_owned(), Value::Bool(false));
        keep(store, resource, id, document)?;
    } else {
        store.collection_mut(resource).remove(id);
        if resource == Resource::User && !context.faults.deleted_users_stay_members {
            leave_groups(store, id);
        }
    }
    Ok(Outcome {
        status: 204,
        ..Outcome::default()
    })
}

pub(crate) fn leave_groups(store: &mut Store, user: &str) {
    let is_user = |member: &Value| member["value"] == user;
    let holds = |row: &&Row| {
        row.body
            .get("members")
            .and_then(Value::as_array)
            .is_some_and(|m| m.iter().any(is_user))
    };
    let changed: Vec<Row> = store.groups.iter().filter(holds).cloned().collect();
    for old in changed {
        let mut document = essence(&old);
        if let Some(Value::Array(members)) = document.get_mut("members") {
            members.retain(|member| !is_user(member));
            if members.is_empty() {
                document.remove("members");
            }
        }
        store
            .groups
            .put(stamp::touch(Resource::Group, &old, document));
    }
}

/// The attributes of the client, without those of the server.
pub(super) fn essence(row: &Row) -> Map<String, Value> {
    let mut document = row.body.clone();
    for name in ["id", "schemas", "meta"] {
        document.remove(name);
    }
    document
}

/// Stores a changed document; one that is the same keeps its version and time.
fn keep<'a>(
    store: &'a mut Store,
    resource: Resource,
    id: &str,
    document: Map<String, Value>,
) -> Result<&'a Row, ScimError> {
    let rows = store.collection_mut(resource);
    let old = rows.get(id).ok_or_else(ScimError::not_found)?;
    if essence(old) != document {
        let document = stamp::touch(resource, old, document);
        rows.put(document);
    }
    store
        .collection(resource)
        .get(id)
        .ok_or_else(ScimError::not_found)
}
