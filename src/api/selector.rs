//! Label selectors as our kinds take them: Kubernetes' own shape, with the bounds and the rules
//! that its type leaves to whoever evaluates it.
//!
//! A selector decides whose accounts may be driven. Kubernetes' type stores `operator: Near`, an `In`
//! without values and keys that are no label keys; each of these would be found out only when
//! somebody waits in vain. Here the API server refuses them. Matching is `kube`'s.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use kube::KubeSchema;
use kube::core::{ParseExpressionError, Selector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What Kubernetes takes as the key of a label: a name, with a DNS prefix before it or without.
const LABEL_KEY: &str =
    "^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// What Kubernetes takes as the value of a label; empty is one.
const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";

/// Labels that have to match; all of the requirements, of both lists.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that have to be there with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 16,
        "additionalProperties" = {"type": "string", "maxLength": 63, "pattern": LABEL_VALUE}
    ))]
    #[x_kube(validation = Rule::new(format!("self.all(key, key.matches('{LABEL_KEY}'))")).message("matchLabels takes label keys only: a name, or prefix/name"))]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements that say more than equality.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<LabelRequirement>,
}

/// One requirement on one label.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[x_kube(
    validation = ("!(self.operator in ['In', 'NotIn']) || (has(self.values) && self.values.size() > 0)", "the operators In and NotIn need values"),
    validation = ("self.operator in ['In', 'NotIn'] || !has(self.values) || self.values.size() == 0", "the operators Exists and DoesNotExist take no values"),
)]
#[serde(rename_all = "camelCase")]
pub struct LabelRequirement {
    /// The label's key.
    #[schemars(length(min = 1, max = 317), regex(pattern = LABEL_KEY))]
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: LabelOperator,
    /// The values of `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(max = 63), regex(pattern = LABEL_VALUE))
    )]
    pub values: Vec<String>,
}

/// How a label and the values relate.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum LabelOperator {
    /// The label is there, with one of the values.
    In,
    /// The label is not there, or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

impl LabelOperator {
    const fn as_str(self) -> &'static str {
        match self {
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
        }
    }
}

impl LabelSelector {
    /// The selector in the form that matches labels.
    ///
    /// # Errors
    /// For `In` and `NotIn` without values. The API server refuses both; a `NotIn` that came in all
    /// the same must not select everybody.
    pub fn to_selector(&self) -> Result<Selector, ParseExpressionError> {
        meta::LabelSelector::from(self.clone()).try_into()
    }
}

impl From<LabelSelector> for meta::LabelSelector {
    fn from(selector: LabelSelector) -> Self {
        let LabelSelector {
            match_labels,
            match_expressions,
        } = selector;
        Self {
            match_labels: Some(match_labels),
            match_expressions: Some(match_expressions.into_iter().map(Into::into).collect()),
        }
    }
}

impl From<LabelRequirement> for meta::LabelSelectorRequirement {
    fn from(requirement: LabelRequirement) -> Self {
        let LabelRequirement {
            key,
            operator,
            values,
        } = requirement;
        Self {
            key,
            operator: operator.as_str().into(),
            values: (!values.is_empty()).then_some(values),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use kube::core::SelectorExt;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_matches_as_kubernetes_says() {
        for (selector, selects, why) in [
            (json!({"matchLabels": {"team": "red"}}), Some(true), "equal"),
            (
                json!({"matchLabels": {"team": "blue"}}),
                Some(false),
                "not equal",
            ),
            (
                json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["blue", "red"]}]}),
                Some(true),
                "one of them",
            ),
            (
                json!({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["red"]}]}),
                Some(false),
                "one of them",
            ),
            (
                json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]}),
                Some(true),
                "it is there",
            ),
            (
                json!({"matchLabels": {"team": "red"}, "matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}),
                Some(false),
                "all requirements have to be met",
            ),
            (
                json!({"matchExpressions": [{"key": "team", "operator": "NotIn"}]}),
                None,
                "it would select everybody",
            ),
        ] {
            let parsed: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
            let labels = BTreeMap::from([("team".to_owned(), "red".to_owned())]);
            let found = parsed.to_selector().ok().map(|s| s.matches(&labels));
            assert_eq!(found, selects, "{selector}: {why}");
        }
    }
}
