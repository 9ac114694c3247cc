//! The requests that change a group. Members are added and removed, never replaced: a replace of
//! `members` leaves stale ones on some servers (keycloak/keycloak#52752), and would undo what others
//! did since the group was read.

use serde_json::{Value, json};

use super::delta::Delta;
use super::dialect::Form;
use super::{DesiredGroup, ObservedGroup};
use crate::scim::patch::{Patch, PatchOp};
use crate::scim::types::ResourceKind;

/// What differs of a group's own attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupChanges {
    /// The new displayName.
    pub display_name: Option<String>,
    /// The new externalId.
    pub external_id: Option<String>,
    /// The group shows an externalId, so that the new one replaces it.
    pub marked: bool,
}

impl GroupChanges {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.display_name.is_none() && self.external_id.is_none()
    }
}

/// The body of a POST, with those members at once whom one request may carry.
pub fn create_body(desired: &DesiredGroup, members: &[String]) -> Value {
    let mut body = json!({
        "schemas": [ResourceKind::Group.schema()],
        "displayName": desired.display_name,
        "externalId": desired.external_id,
    });
    if !members.is_empty() {
        body["members"] = values(members);
    }
    body
}

/// A PATCH of the group's own attributes, one operation per explicit path (RFC 7644 §3.5.2).
pub fn attributes_patch(changes: &GroupChanges) -> Patch {
    let GroupChanges {
        display_name,
        external_id,
        marked,
    } = changes;
    let mut ops = Vec::new();
    if let Some(name) = display_name {
        ops.push(PatchOp::Replace {
            path: "displayName".into(),
            value: json!(name),
        });
    }
    if let Some(mark) = external_id {
        let (path, value) = ("externalId".to_owned(), json!(mark));
        ops.push(if *marked {
            PatchOp::Replace { path, value }
        } else {
            PatchOp::Add { path, value }
        });
    }
    Patch(ops)
}

/// Adds members in one operation (RFC 7644 §3.5.2.1). Only who is none yet: some servers make two
/// of a member that is added again (SCIMMY).
pub fn add_members(ids: &[String]) -> Patch {
    if ids.is_empty() {
        return Patch::default();
    }
    Patch(vec![PatchOp::Add {
        path: "members".into(),
        value: values(ids),
    }])
}

/// Removes members as the server understands it.
pub fn remove_members(form: Form, ids: &[String]) -> Patch {
    match form {
        Form::Filter => remove_members_by_filter(ids),
        Form::Value => remove_members_by_value(ids),
    }
}

/// Removes members by a filter each, as RFC 7644 §3.5.2.2 has it. The filter's strings are JSON's
/// (§3.4.2.2).
pub fn remove_members_by_filter(ids: &[String]) -> Patch {
    let remove = |id: &String| PatchOp::Remove {
        path: format!("members[value eq {}]", json!(id)),
    };
    Patch(ids.iter().map(remove).collect())
}

/// Removes members by a list beside the path, as some servers want it. To RFC 7644 §3.5.2.2 a path
/// without a filter is all values, so that a strict server removes everybody
/// (goauthentik/authentik#23798): only for a server that ignored the filter.
pub fn remove_members_by_value(ids: &[String]) -> Patch {
    if ids.is_empty() {
        return Patch::default();
    }
    Patch(vec![PatchOp::RemoveValue {
        path: "members".into(),
        value: values(ids),
    }])
}

/// What the group looks like once changes are applied: the state assumed after an answer without a
/// body. It has no stamp, so that the next listing, which cannot prove it, has the group looked at.
pub fn assume(group: &ObservedGroup, changes: &GroupChanges, delta: &Delta) -> ObservedGroup {
    let mut after = group.clone();
    (after.version, after.stamp) = (None, None);
    if let Some(name) = &changes.display_name {
        after.display_name = Some(name.clone());
    }
    if let Some(mark) = &changes.external_id {
        after.external_id = Some(mark.clone());
    }
    if let Some(members) = &mut after.members {
        members.extend(delta.add.iter().cloned());
        for id in &delta.remove {
            members.remove(id);
        }
    }
    after
}

fn values(ids: &[String]) -> Value {
    ids.iter().map(entry_of).collect()
}

fn entry_of(id: &String) -> Value {
    json!({"value": id})
}
