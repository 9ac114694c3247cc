//! Namespaces whose labels are not known, where a connection lets namespaces in by their labels.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use crate::api::ScimConnection;
use crate::api::selector::{LabelOperator, LabelSelector};
use crate::domain::allowed::lets_in;

/// Those that are known, and for each other that is used one that the connection lets in: of two mistakes the one that
/// tells too much.
pub fn of(
    known: &[Namespace],
    all: bool,
    connection: &ScimConnection,
    used: &BTreeSet<&str>,
) -> Vec<Namespace> {
    let selector = connection.spec.allowed_namespaces.selector.clone();
    let labels = matching(&selector.unwrap_or_default());
    let made = unknown(known, all, connection, used).into_iter();
    let made = made.map(|name| Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.clone()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    });
    known.iter().cloned().chain(made).collect()
}

/// Those that are used and not known, where it is for their labels to say whether they are let in.
pub fn unknown<'a>(
    known: &[Namespace],
    all: bool,
    connection: &ScimConnection,
    used: &BTreeSet<&'a str>,
) -> Vec<&'a str> {
    if all {
        return Vec::new();
    }
    let home = connection.namespace().unwrap_or_default();
    let allowed = &connection.spec.allowed_namespaces;
    let labels = matching(&allowed.selector.clone().unwrap_or_default());
    let open = used.iter().filter(|name| {
        let is_known = known.iter().any(|namespace| namespace.name_any() == **name);
        let decides = lets_in(allowed, &home, name, None).is_none();
        !is_known && decides && lets_in(allowed, &home, name, Some(&labels)) == Some(true)
    });
    open.copied().collect()
}

/// Labels that a selector matches, if any do.
fn matching(selector: &LabelSelector) -> BTreeMap<String, String> {
    let mut labels = selector.match_labels.clone();
    for wanted in &selector.match_expressions {
        if matches!(wanted.operator, LabelOperator::In | LabelOperator::Exists) {
            let value = || wanted.values.first().cloned().unwrap_or_default();
            labels.entry(wanted.key.clone()).or_insert_with(value);
        }
    }
    labels
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_whose_labels_are_not_known_is_let_in_where_any_labels_would_be() {
        let connection = |selector| -> ScimConnection {
            serde_json::from_value(json!({
                "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimConnection",
                "metadata": {"name": "c", "namespace": "home"},
                "spec": {"endpoint": "https://x.example.com", "tokenSecretRef": {"name": "t"},
                    "allowedNamespaces": {"from": "Selector", "selector": selector}},
            }))
            .unwrap()
        };
        let seen: Namespace =
            serde_json::from_value(json!({"metadata": {"name": "seen", "labels": {"a": "no"}}}))
                .unwrap();
        let used = BTreeSet::from(["home", "seen", "away"]);
        for (selector, expected) in [
            (json!({"matchLabels": {"a": "yes"}}), vec!["away"]),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "y"]},
                    {"key": "b", "operator": "Exists"}, {"key": "c", "operator": "NotIn", "values": ["z"]}]}),
                vec!["away"],
            ),
            // Nobody, whatever their labels are.
            (json!({}), vec![]),
            (
                json!({"matchLabels": {"a": "yes"}, "matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}),
                vec![],
            ),
        ] {
            let connection = connection(selector);
            let known = [seen.clone()];
            assert_eq!(unknown(&known, false, &connection, &used), expected);
            assert_eq!(
                of(&known, false, &connection, &used).len(),
                1 + expected.len()
            );
            assert!(unknown(&known, true, &connection, &used).is_empty());
        }
    }
}
