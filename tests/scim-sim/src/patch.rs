//! PATCH (RFC 7644 §3.5.2): reads the operations and applies them to a captured document.
//!
//! Atomicity comes from working on a copy: the caller stores it only when all went well. How
//! members bend under faults is in `operations::members`.

mod apply;
mod filtered;

use scim_v2::filter::PatchPath;
use serde_json::{Map, Value};

use crate::error::ScimError;
use crate::schema::ENTERPRISE_URN;

const PATCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

pub(crate) use apply::{PatchRules, apply};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Add,
    Replace,
    Remove,
}

/// One operation, its path parsed and its value still as it came.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) verb: Verb,
    pub(crate) path: Option<PatchPath>,
    pub(crate) value: Option<Value>,
}

/// The operations of a PatchOp message.
///
/// # Errors
/// 400 invalidSyntax for anything but a PatchOp, 400 invalidPath for a path that does not parse,
/// 400 noTarget for a remove without a path.
pub(crate) fn read(body: &Value) -> Result<Vec<Operation>, ScimError> {
    let Value::Object(body) = body else {
        return Err(ScimError::invalid_syntax("the body must be a JSON object"));
    };
    let names_the_message = field(body, "schemas")
        .and_then(Value::as_array)
        .is_some_and(|urns| urns.iter().any(|urn| urn == PATCH_URN));
    if !names_the_message {
        return Err(ScimError::invalid_syntax(format!(
            "schemas must name {PATCH_URN}"
        )));
    }
    let operations = field(body, "Operations").and_then(Value::as_array);
    match operations {
        Some(operations) if !operations.is_empty() => operations.iter().map(read_one).collect(),
        _ => Err(ScimError::invalid_syntax(
            "Operations must be a list that is not empty",
        )),
    }
}

fn read_one(operation: &Value) -> Result<Operation, ScimError> {
    let Value::Object(operation) = operation else {
        return Err(ScimError::invalid_syntax(
            "an operation must be a JSON object",
        ));
    };
    let verb = match field(operation, "op").and_then(Value::as_str) {
        Some(op) if op.eq_ignore_ascii_case("add") => Verb::Add,
        Some(op) if op.eq_ignore_ascii_case("replace") => Verb::Replace,
        Some(op) if op.eq_ignore_ascii_case("remove") => Verb::Remove,
        _ => {
            return Err(ScimError::invalid_syntax(
                "op must be add, replace or remove",
            ));
        }
    };
    let path = match field(operation, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) => Some(
            path.parse::<PatchPath>()
                .map_err(|_| ScimError::invalid_path("a path is malformed"))?,
        ),
        Some(_) => return Err(ScimError::invalid_path("a path must be a string")),
    };
    let value = field(operation, "value").cloned();
    match (verb, &path, &value) {
        (Verb::Remove, None, _) => Err(ScimError::no_target("a remove needs a path")),
        (Verb::Add | Verb::Replace, _, None) => {
            Err(ScimError::invalid_syntax("an add or replace needs a value"))
        }
        _ => Ok(Operation { verb, path, value }),
    }
}

/// Drops the extension when no attribute is left in it (RFC 7643 §2.5).
pub(crate) fn prune(document: &mut Map<String, Value>) {
    let extension = document.get(ENTERPRISE_URN).and_then(Value::as_object);
    if extension.is_some_and(Map::is_empty) {
        document.remove(ENTERPRISE_URN);
    }
}

fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| {
        object
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_malformed_message_names_its_scim_type() {
        for (operations, scim_type) in [
            (json!([]), "invalidSyntax"),
            (json!({}), "invalidSyntax"),
            (json!([{"op": "move", "path": "a"}]), "invalidSyntax"),
            (json!([{"op": "add", "path": "locale"}]), "invalidSyntax"),
            (
                json!([{"op": "add", "path": "emails[", "value": 1}]),
                "invalidPath",
            ),
            (json!([{"op": "add", "path": 7, "value": 1}]), "invalidPath"),
            (json!([{"op": "remove"}]), "noTarget"),
        ] {
            let body = json!({"schemas": [PATCH_URN], "Operations": operations});
            assert_eq!(
                read(&body).unwrap_err().scim_type,
                Some(scim_type),
                "{operations}"
            );
        }
        assert!(read(&json!({"Operations": [{"op": "remove", "path": "a"}]})).is_err());
    }

    #[test]
    fn names_and_verbs_are_read_without_regard_to_case() {
        let body = json!({
            "Schemas": [PATCH_URN],
            "operations": [{"OP": "Replace", "Path": "locale", "VALUE": "en"}],
        });
        assert_eq!(read(&body).unwrap()[0].verb, Verb::Replace);
    }
}
