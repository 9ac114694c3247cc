//! The PatchOp message (RFC 7644 §3.5.2), one explicit path an operation.
//!
//! What to change is decided elsewhere; operations without a path are left
//! out on purpose, since servers differ in what they make of them.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use serde_json::Value;

/// The URN of the PatchOp message.
pub const PATCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// One operation of a patch. Operation names are sent in lower case: some
/// servers refuse `Replace`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum PatchOp {
    /// Adds a value, or an element to a multi-valued attribute (§3.5.2.1).
    Add {
        /// Where, in canonical form.
        path: String,
        /// What.
        value: Value,
    },
    /// Replaces the value at the path (§3.5.2.3).
    Replace {
        /// Where, in canonical form.
        path: String,
        /// What.
        value: Value,
    },
    /// Removes the value at the path (§3.5.2.2).
    Remove {
        /// Where, in canonical form.
        path: String,
    },
    /// Removes with a value beside the path, as servers of before RFC 7644's
    /// filter form expect (`path: members`). A strict server may take it for
    /// the removal of *all* values: only for a dialect learned from the server.
    #[serde(rename = "remove")]
    RemoveValue {
        /// Where, in canonical form.
        path: String,
        /// Which.
        value: Value,
    },
}

impl PatchOp {
    /// The path the operation names.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Add { path, .. }
            | Self::Replace { path, .. }
            | Self::Remove { path }
            | Self::RemoveValue { path, .. } => path,
        }
    }
}

/// The operations of one PATCH request, applied atomically and in order
/// (RFC 7644 §3.5.2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch(pub Vec<PatchOp>);

impl Patch {
    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Patch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut message = serializer.serialize_struct("Patch", 2)?;
        message.serialize_field("schemas", &[PATCH_SCHEMA])?;
        message.serialize_field("Operations", &self.0)?;
        message.end()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_are_named_in_lower_case_under_the_patch_schema() {
        let patch = Patch(vec![
            PatchOp::Add {
                path: "members".into(),
                value: json!([{"value": "1"}]),
            },
            PatchOp::Replace {
                path: "active".into(),
                value: json!(true),
            },
            PatchOp::Remove {
                path: "title".into(),
            },
            PatchOp::RemoveValue {
                path: "members".into(),
                value: json!([{"value": "2"}]),
            },
        ]);
        assert_eq!(
            serde_json::to_value(&patch).unwrap(),
            json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [
                    {"op": "add", "path": "members", "value": [{"value": "1"}]},
                    {"op": "replace", "path": "active", "value": true},
                    {"op": "remove", "path": "title"},
                    {"op": "remove", "path": "members", "value": [{"value": "2"}]},
                ]
            })
        );
    }
}
