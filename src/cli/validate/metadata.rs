//! What the API server asks of any object's metadata: apimachinery's `ObjectMeta` and `ValidateObjectMeta`.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::finding::{Fault, Trail};
use super::schema::Node;
use super::structure;
use crate::cli::Failure;

const ANNOTATIONS_BYTES: usize = 256 * 1024;

/// `ObjectMeta` in the words of a schema. Go takes null for the empty value of any type.
pub fn schema() -> Result<Node, Failure> {
    let text = json!({"type": "string", "nullable": true});
    let flag = json!({"type": "boolean", "nullable": true});
    let time = json!({"type": "string", "format": "date-time", "nullable": true});
    let count = json!({"type": "integer", "format": "int64", "nullable": true});
    let texts = json!({"type": "object", "nullable": true, "additionalProperties": text});
    let owner = json!({"type": "object", "nullable": true, "properties": {
        "apiVersion": text, "kind": text, "name": text, "uid": text, "controller": flag, "blockOwnerDeletion": flag,
    }});
    let any =
        json!({"type": "object", "nullable": true, "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"type": "object", "nullable": true, "properties": {
        "name": text, "generateName": text, "namespace": text, "selfLink": text, "uid": text, "resourceVersion": text,
        "generation": count, "deletionGracePeriodSeconds": count,
        "creationTimestamp": time, "deletionTimestamp": time,
        "labels": texts, "annotations": texts,
        "finalizers": {"type": "array", "nullable": true, "items": text},
        "ownerReferences": {"type": "array", "nullable": true, "items": owner},
        "managedFields": {"type": "array", "nullable": true, "items": any},
    }});
    let props =
        serde_json::from_value(schema).map_err(|e| Failure::of("the schema of metadata", e))?;
    Node::compiled(props, "metadata")
}

/// Everything that is wrong with an object's metadata.
pub fn check(schema: &Node, object: &Value, found: &mut Vec<Fault>) {
    let trail = Trail::ROOT.key("metadata");
    let nothing = Value::Object(Map::new());
    let metadata = object.get("metadata").unwrap_or(&nothing);
    structure::unknown_fields(schema, metadata, &trail, found);
    structure::check(schema, metadata, &trail, found);
    let entries = |field: &str| {
        metadata
            .get(field)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    };
    let items = |field: &str| {
        metadata
            .get(field)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };

    names(metadata, &trail, found);
    for (key, value) in entries("labels") {
        let labels = trail.key("labels");
        let here = labels.key(key);
        if let Some(why) = of_qualified_name(key) {
            found.push(Fault::error(
                here.path(),
                "metadata/labels",
                format!("has a key that {why}"),
            ));
        }
        if !value.as_str().is_none_or(is_label_value) {
            let message = "must have at most 63 letters, digits, dashes, dots and underscores, and begin and end with a letter or digit";
            found.push(Fault::error(here.path(), "metadata/labels", message));
        }
    }
    let mut bytes = 0;
    for (key, value) in entries("annotations") {
        bytes += key.len() + value.as_str().map_or(0, str::len);
        if let Some(why) = of_qualified_name(&key.to_lowercase()) {
            let path = trail.key("annotations").key(key).path();
            found.push(Fault::error(
                path,
                "metadata/annotations",
                format!("has a key that {why}"),
            ));
        }
    }
    if bytes > ANNOTATIONS_BYTES {
        let path = trail.key("annotations").path();
        found.push(Fault::error(
            path,
            "metadata/annotations",
            "must have at most 262144 bytes together",
        ));
    }
    let (mut orphan, mut foreground) = (false, false);
    for (at, finalizer) in items("finalizers").enumerate() {
        let finalizer = finalizer.as_str().unwrap_or_default();
        orphan |= finalizer == "orphan";
        foreground |= finalizer == "foregroundDeletion";
        if let Some(why) = of_qualified_name(finalizer) {
            let path = trail.key("finalizers").index(at).path();
            found.push(Fault::error(path, "metadata/finalizers", why));
        }
    }
    if orphan && foreground {
        let path = trail.key("finalizers").path();
        found.push(Fault::error(
            path,
            "metadata/finalizers",
            "must not have both orphan and foregroundDeletion",
        ));
    }
    owners(metadata, &trail, found);
    if metadata
        .get("generation")
        .and_then(Value::as_f64)
        .is_some_and(|generation| generation < 0.0)
    {
        found.push(Fault::error(
            trail.key("generation").path(),
            "schema/range",
            "must be at least 0",
        ));
    }
}

fn names(metadata: &Value, trail: &Trail<'_>, found: &mut Vec<Fault>) {
    let text = |field: &str| {
        metadata
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (name, generated, namespace) = (text("name"), text("generateName"), text("namespace"));
    let is_text = |field: &str| {
        metadata
            .get(field)
            .is_none_or(|v| v.is_string() || v.is_null())
    };
    let mut say = |field: &str, rule: &str, message: &str| {
        found.push(Fault::error(trail.key(field).path(), rule, message));
    };
    const NAME: &str = "must be a DNS subdomain (RFC 1123): at most 253 small letters, digits, dashes and dots, and each part begins and ends with a letter or digit";
    if !generated.is_empty() && !is_subdomain(&without_last_dash(generated)) {
        say("generateName", "metadata/name", NAME);
    }
    if name.is_empty() && generated.is_empty() && is_text("name") {
        say("name", "metadata/name", "is required");
    }
    if !name.is_empty() && !is_subdomain(name) {
        say("name", "metadata/name", NAME);
    }
    if !namespace.is_empty() && !is_label(namespace) {
        let message = "must be a DNS label (RFC 1123): at most 63 small letters, digits and dashes, and begin and end with a letter or digit";
        say("namespace", "metadata/namespace", message);
    }
}

fn owners(metadata: &Value, trail: &Trail<'_>, found: &mut Vec<Fault>) {
    let all = trail.key("ownerReferences");
    let owners = metadata.get("ownerReferences").and_then(Value::as_array);
    let mut controllers = 0;
    for (at, owner) in owners.into_iter().flatten().enumerate() {
        let here = all.index(at);
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        for field in ["apiVersion", "kind", "name", "uid"] {
            let is_missing =
                text(field).is_empty() || field == "apiVersion" && text(field).ends_with('/');
            if is_missing {
                let path = here.key(field).path();
                found.push(Fault::error(
                    path,
                    "metadata/ownerReferences",
                    "is required",
                ));
            }
        }
        if text("apiVersion") == "v1" && text("kind") == "Event" {
            found.push(Fault::error(
                here.path(),
                "metadata/ownerReferences",
                "must not be an Event",
            ));
        }
        controllers += usize::from(owner.get("controller").and_then(Value::as_bool) == Some(true));
    }
    if controllers > 1 {
        let message = "must not have more than one controller";
        found.push(Fault::error(
            all.path(),
            "metadata/ownerReferences",
            message,
        ));
    }
}

/// What a generated name would be like, as far as it is known: apimachinery's `maskTrailingDash`.
fn without_last_dash(name: &str) -> String {
    match name.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let mut kept: String = rest.chars().collect();
            kept.pop();
            kept + "a"
        }
        _ => name.to_owned(),
    }
}

fn is_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    ends.is_some_and(|(first, last)| inner(*first) && inner(*last))
        && bytes.iter().all(|c| inner(*c) || *c == b'-')
        && text.len() <= 63
}

/// Whether it is a DNS subdomain (RFC 1123), as names of objects are.
pub fn is_subdomain(text: &str) -> bool {
    // Parts of a subdomain may be longer than a label.
    static PARTS: LazyLock<Option<regex::Regex>> = LazyLock::new(|| {
        regex::Regex::new(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$").ok()
    });
    text.len() <= 253 && PARTS.as_ref().is_some_and(|parts| parts.is_match(text))
}

fn is_name_part(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    ends.is_some_and(|(first, last)| inner(*first) && inner(*last))
        && bytes.iter().all(|c| inner(*c) || b"-_.".contains(c))
        && text.len() <= 63
}

/// Whether labels may have this value; the empty one is one.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name_part(text)
}

/// What is wrong with a key: `name`, or `prefix/name`.
fn of_qualified_name(text: &str) -> Option<&'static str> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if prefix.is_some_and(|prefix| !is_subdomain(prefix)) {
        return Some("must be a name, or a DNS subdomain, a slash and a name");
    }
    (!is_name_part(name))
        .then_some("must be at most 63 letters, digits, dashes, dots and underscores, and begin and end with a letter or digit")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn faults(metadata: Value) -> Vec<String> {
        let mut found = Vec::new();
        check(
            &schema().unwrap(),
            &json!({"metadata": metadata}),
            &mut found,
        );
        found
            .iter()
            .map(|f| format!("{} {}", f.rule, f.field))
            .collect()
    }

    /// What a good one differs in.
    fn with(change: Value) -> Value {
        let mut metadata = json!({"name": "ada", "namespace": "team"});
        metadata
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        metadata
    }

    #[test]
    #[rustfmt::skip] // One case a line.
    fn what_kubernetes_takes_is_taken() {
        for (metadata, why) in [
            (with(json!({})), "the least"),
            (with(json!({"name": "a.b-c.0"})), "a subdomain"),
            (with(json!({"name": "a".repeat(253)})), "at the bound; a part may be longer than a label"),
            (json!({"generateName": "ada-"}), "a name that is made"),
            (with(json!({"namespace": null, "labels": null, "finalizers": null})), "null is as absent"),
            (with(json!({"labels": {"a": "", "example.com/B_c.d": "V-1", "n": null}})), "labels"),
            (with(json!({"labels": {"a": "x".repeat(63)}})), "at the bound"),
            (with(json!({"annotations": {"Example.COM/a": "ä any text", "b": ""}})), "keys of annotations ignore case"),
            (with(json!({"annotations": {"a": "x".repeat(ANNOTATIONS_BYTES - 1)}})), "at the bound"),
            (with(json!({"finalizers": ["scim-operator.io/deprovision", "orphan"]})), "finalizers"),
            (with(json!({"creationTimestamp": null, "generation": 1, "uid": "x"})), "what kubectl printed"),
            (with(json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true}]})), "an owner"),
        ] {
            assert_eq!(faults(metadata), [""; 0], "{why}");
        }
    }

    #[test]
    #[rustfmt::skip] // One case a line.
    fn what_kubernetes_refuses_is_refused() {
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true});
        for (metadata, expected) in [
            (json!({}), vec!["metadata/name metadata.name"]),
            (json!(null), vec!["metadata/name metadata.name"]),
            (json!("x"), vec!["schema/type metadata", "metadata/name metadata.name"]),
            (with(json!({"name": "Ada"})), vec!["metadata/name metadata.name"]),
            (with(json!({"name": "a..b"})), vec!["metadata/name metadata.name"]),
            (with(json!({"name": "a".repeat(254)})), vec!["metadata/name metadata.name"]),
            (with(json!({"name": 5})), vec!["schema/type metadata.name"]),
            (json!({"generateName": "Ada-"}), vec!["metadata/name metadata.generateName"]),
            (with(json!({"namespace": "a.b"})), vec!["metadata/namespace metadata.namespace"]),
            (with(json!({"namespace": "a".repeat(64)})), vec!["metadata/namespace metadata.namespace"]),
            (with(json!({"labels": {"a b": "x"}})), vec!["metadata/labels metadata.labels.a b"]),
            (with(json!({"labels": {"A.b/c": "x"}})), vec!["metadata/labels metadata.labels.A.b/c"]),
            (with(json!({"labels": {"a/b/c": "x"}})), vec!["metadata/labels metadata.labels.a/b/c"]),
            (with(json!({"labels": {"a": "x y"}})), vec!["metadata/labels metadata.labels.a"]),
            (with(json!({"labels": {"a": "x".repeat(64)}})), vec!["metadata/labels metadata.labels.a"]),
            (with(json!({"labels": {"a": true}})), vec!["schema/type metadata.labels.a"]),
            (with(json!({"annotations": {"a b": "x"}})), vec!["metadata/annotations metadata.annotations.a b"]),
            (with(json!({"annotations": {"a": 1}})), vec!["schema/type metadata.annotations.a"]),
            (with(json!({"annotations": {"a": "x".repeat(ANNOTATIONS_BYTES)}})), vec!["metadata/annotations metadata.annotations"]),
            (with(json!({"finalizers": ["a b"]})), vec!["metadata/finalizers metadata.finalizers[0]"]),
            (with(json!({"finalizers": ["orphan", "foregroundDeletion"]})), vec!["metadata/finalizers metadata.finalizers"]),
            (with(json!({"ownerReferences": [{"kind": "Pod", "name": "p"}]})), vec!["metadata/ownerReferences metadata.ownerReferences[0].apiVersion", "metadata/ownerReferences metadata.ownerReferences[0].uid"]),
            (with(json!({"ownerReferences": [owner, owner]})), vec!["metadata/ownerReferences metadata.ownerReferences"]),
            (with(json!({"generation": -1})), vec!["schema/range metadata.generation"]),
            (with(json!({"label": {"a": "b"}})), vec!["schema/unknown metadata.label"]),
            (with(json!({"creationTimestamp": "yesterday"})), vec!["schema/format metadata.creationTimestamp"]),
        ] {
            assert_eq!(faults(metadata.clone()), expected, "{:.100}", metadata.to_string());
        }
    }
}
