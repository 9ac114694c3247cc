//! What must hold before a write is stored: rules, uniqueness, preconditions.

use serde_json::{Map, Value};

use super::write::essence;
use super::{Context, members};
use crate::error::ScimError;
use crate::filter::same_user_name;
use crate::rules;
use crate::schema::Resource;
use crate::store::{Row, Store};

/// Brings a document into the form it is stored in.
///
/// # Errors
/// 400 when there are more members than the server bears.
pub(super) fn normalize(
    context: &Context<'_>,
    resource: Resource,
    document: &mut Map<String, Value>,
) -> Result<(), ScimError> {
    match resource {
        Resource::User => {
            lower_user_name(context, document);
            canonical_phone_numbers(context, document);
        }
        Resource::Group => {
            let listed = document
                .get("members")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            members::check_cap(listed, context.faults)?;
            members::deduplicate(document);
        }
    }
    Ok(())
}

/// Some servers keep telephone numbers in a notation of their own (RFC 3966).
pub(super) fn canonical_phone_numbers(context: &Context<'_>, document: &mut Map<String, Value>) {
    if !context.faults.canonical_phone_numbers {
        return;
    }
    let numbers = document
        .get_mut("phoneNumbers")
        .and_then(Value::as_array_mut);
    for number in numbers.into_iter().flatten() {
        if let Some(Value::String(text)) = number.get_mut("value")
            && !text.starts_with("tel:")
        {
            *text = format!("tel:{}", text.replace(' ', "-"));
        }
    }
}

/// Some servers keep userName in lower case only.
pub(super) fn lower_user_name(context: &Context<'_>, document: &mut Map<String, Value>) {
    if context.faults.lowercase_user_name
        && let Some(Value::String(name)) = document.get_mut("userName")
    {
        *name = name.to_lowercase();
    }
}

/// Everything that must hold before a document is stored.
///
/// # Errors
/// 400 invalidValue for a broken rule or an unknown member, 409 uniqueness for a taken name.
pub(super) fn check(
    store: &Store,
    context: &Context<'_>,
    resource: Resource,
    document: &Map<String, Value>,
    existing: Option<&Row>,
) -> Result<(), ScimError> {
    rules::check(resource, document, context.dialect)
        .map_err(|violation| ScimError::invalid_value(violation.detail()))?;
    if resource == Resource::Group {
        return members::check_known(document, existing.map(|row| &row.body), &store.users);
    }
    let Some(existing) = existing else {
        return Ok(());
    };
    if namesake(store, context, document, Some(existing.id())).is_some() {
        return Err(conflict(context));
    }
    if context.faults.archived_users_refuse_edits && !existing.is_active() {
        let (mut before, mut after) = (essence(existing), document.clone());
        before.remove("active");
        after.remove("active");
        if before != after {
            return Err(ScimError::new(400, "an archived user cannot be edited"));
        }
    }
    Ok(())
}

/// Another user of the same name.
pub(super) fn namesake<'a>(
    store: &'a Store,
    context: &Context<'_>,
    document: &Map<String, Value>,
    except: Option<&str>,
) -> Option<&'a Row> {
    let name = document.get("userName").and_then(Value::as_str)?;
    store
        .users
        .named(name)
        .filter(|row| Some(row.id()) != except)
        .find(|row| same_user_name(row.text("userName"), name, context.faults))
}

/// The refusal of a duplicate, as this server words it.
pub(super) fn conflict(context: &Context<'_>) -> ScimError {
    let detail = "userName is taken";
    match context.faults.conflict_status {
        Some(status) => ScimError::new(status, detail),
        None => ScimError::uniqueness(detail),
    }
}

/// If-Match (RFC 7644 §3.14).
///
/// # Errors
/// 412 when the client has seen another version.
pub(super) fn check_precondition(context: &Context<'_>, row: &Row) -> Result<(), ScimError> {
    match (context.if_match, context.style().etag(row)) {
        (Some(wanted), Some(etag)) if wanted != "*" && !wanted.contains(&etag) => {
            Err(ScimError::new(412, "the resource has changed"))
        }
        _ => Ok(()),
    }
}
