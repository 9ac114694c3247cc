//! Whose resources a connection lets in.

use std::collections::BTreeMap;

use kube::core::SelectorExt;

use crate::api::connection::{AllowedNamespaces, NamespacesFrom};

/// Whether resources of `namespace`, which has these labels, may use a connection of `home`; `None` where the labels
/// decide, and are not known.
#[must_use]
pub fn lets_in(
    allowed: &AllowedNamespaces,
    home: &str,
    namespace: &str,
    labels: Option<&BTreeMap<String, String>>,
) -> Option<bool> {
    match allowed.from {
        _ if home == namespace => Some(true),
        NamespacesFrom::Same => Some(false),
        NamespacesFrom::All => Some(true),
        NamespacesFrom::Selector => {
            let labels = labels?;
            let selector = allowed.selector.clone().unwrap_or_default();
            let selector = selector.to_selector().ok();
            Some(selector.is_some_and(|s| !s.selects_all() && s.matches(labels)))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_namespace_is_let_in_by_being_home_by_all_or_by_its_labels() {
        let labels = BTreeMap::from([("scim".to_owned(), "yes".to_owned())]);
        let (known, unknown) = (Some(&labels), None);
        for (allowed, namespace, labels, expected) in [
            (json!({"from": "Same"}), "home", unknown, Some(true)),
            (json!({"from": "Same"}), "away", known, Some(false)),
            (json!({"from": "All"}), "away", unknown, Some(true)),
            (json!({"from": "Selector"}), "home", unknown, Some(true)),
            // An empty selector selects nobody.
            (json!({"from": "Selector"}), "away", known, Some(false)),
            (
                json!({"from": "Selector", "selector": {"matchLabels": {"scim": "yes"}}}),
                "away",
                known,
                Some(true),
            ),
            (
                json!({"from": "Selector", "selector": {"matchLabels": {"scim": "no"}}}),
                "away",
                known,
                Some(false),
            ),
            (
                json!({"from": "Selector", "selector": {"matchLabels": {"scim": "yes"}}}),
                "away",
                unknown,
                None,
            ),
        ] {
            let spec: AllowedNamespaces = serde_json::from_value(allowed.clone()).unwrap();
            let found = lets_in(&spec, "home", namespace, labels);
            assert_eq!(found, expected, "{allowed} {namespace}");
        }
    }
}
