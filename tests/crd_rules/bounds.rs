//! Every field of a spec has a bound in the schema, and every field of a status has one or a reason why not.

use serde_json::Value;

use crate::{KINDS, crd, schema, walk};

fn is_bounded(node: &Value) -> bool {
    let has = |key: &str| !node[key].is_null();
    match node["type"].as_str() {
        Some("string") => has("maxLength") || has("enum") || has("format"),
        Some("array") => has("maxItems"),
        Some("integer" | "number") => has("maximum") && has("minimum"),
        Some("object") => has("properties") || has("maxProperties"),
        Some("boolean") => true,
        _ => false,
    }
}

/// The fields below `part` that nothing bounds, and how many there are in all.
fn unbounded(part: &str) -> (Vec<String>, usize) {
    let (mut found, mut seen) = (Vec::new(), 0);
    for (_, plural) in KINDS {
        let crd = crd(plural);
        walk(
            &schema(&crd)["properties"][part],
            plural,
            &mut |path, node| {
                seen += 1;
                if !is_bounded(node) {
                    found.push(path.to_owned());
                }
            },
        );
    }
    (found, seen)
}

#[test]
fn every_field_of_a_spec_is_bounded() {
    let (unbounded, seen) = unbounded("spec");
    assert_eq!(unbounded, Vec::<String>::new());
    assert!(seen > 80, "only {seen} fields were found");
}

/// What the schema of a status leaves open, since whoever writes it bounds it: by the end of the path, why.
#[rustfmt::skip] // One field a line.
const BOUNDED_BY_THE_WRITER: [(&str, &str); 13] = [
    (".conditions", "one a type, of a list of ours"),
    (".conditions[].type", "of a list of ours"),
    (".conditions[].status", "True, False or Unknown"),
    (".conditions[].reason", "of a list of ours"),
    (".conditions[].message", "clipped: long_messages_are_clipped_by_characters"),
    (".conditions[].observedGeneration", "a generation is any int64"),
    (".observedGeneration", "a generation is any int64"),
    (".syncedGeneration", "a generation is any int64"),
    (".id", "an id of more than 1,024 bytes is none: scim::types::id_of"),
    (".lastHandledReconcileAt", "an annotation, repeated as GitOps tools want it: the API server bounds those"),
    (".attributes[]", "names of a profile or of its mapping, which is bounded"),
    ("Attributes[]", "names of a profile or of its mapping, which is bounded"),
    ("[]", "namespace/name of an object"),
];

#[test]
fn every_field_of_a_status_is_bounded_or_has_its_reason() {
    let (unbounded, seen) = unbounded("status");
    let reason = |path: &String| {
        let reasons = BOUNDED_BY_THE_WRITER.iter();
        let mut fits = reasons.filter(|(end, _)| path.ends_with(end));
        fits.next().map(|(end, _)| *end)
    };
    let without: Vec<_> = unbounded.iter().filter(|p| reason(p).is_none()).collect();
    assert!(without.is_empty(), "{without:?}");
    let named: Vec<_> = unbounded
        .iter()
        .filter(|p| reason(p) == Some("[]"))
        .collect();
    assert_eq!(
        named,
        [
            "scimconnections.heldPlan.users[]",
            "scimgroups.unresolved[]"
        ]
    );
    for (end, why) in BOUNDED_BY_THE_WRITER {
        let used = unbounded.iter().any(|path| reason(path) == Some(end));
        assert!(used, "{end} ({why}) excuses nothing any more");
    }
    assert!(seen > 60, "only {seen} fields were found");
}
