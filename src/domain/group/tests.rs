//! Every rule for groups, shown firing: the spec, whose group it is, and, beside this file, sighting,
//! members, deltas, requests, plans and dialects.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::domain::identity::{AdoptionPolicy, Candidates, Identity, Wanted, identify};
use crate::domain::validate::sentence;

mod delta;
mod dialect;
mod members;
mod observed;
mod patch;
mod plan;

const MARK: &str = "scim-operator:prod:team/eng";

fn ids(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn list(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn engineering() -> DesiredGroup {
    DesiredGroup {
        display_name: "Engineering".into(),
        external_id: MARK.into(),
        own_mark: MARK.into(),
    }
}

fn group(id: &str, name: &str, mark: Option<&str>, members: Option<&[&str]>) -> ObservedGroup {
    ObservedGroup {
        id: id.into(),
        external_id: mark.map(str::to_owned),
        display_name: Some(name.into()),
        version: None,
        stamp: Some("1".into()),
        members: members.map(ids),
    }
}

fn check(fields: Value) -> Result<DesiredGroup, String> {
    let mut spec = json!({"connectionRef": {"name": "c"}, "displayName": "Engineering"});
    for (field, value) in fields.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let spec = serde_json::from_value(spec).unwrap();
    validate_group(&spec, "prod", "team", "eng").map_err(|violations| sentence(&violations))
}

#[test]
fn a_valid_spec_is_desired_under_its_own_mark_or_the_one_it_chose() {
    assert_eq!(check(json!({})), Ok(engineering()));
    let chosen = DesiredGroup {
        external_id: "hr-7".into(),
        ..engineering()
    };
    assert_eq!(check(json!({"externalId": "hr-7"})), Ok(chosen));
    assert_eq!(
        check(json!({"externalId": MARK})),
        Ok(engineering()),
        "our own mark, spelled out"
    );
}

#[test]
fn every_rule_of_a_group_fires() {
    const FORGED: &str = "spec.externalId must not begin with scim-operator:, which marks the accounts of other resources";
    const EDGES: &str = "must not be empty, nor begin or end with a space";
    for (fields, expected, why) in [
        (
            json!({"externalId": "scim-operator:prod:team/ops"}),
            FORGED.to_owned(),
            "another group's mark",
        ),
        (
            json!({"externalId": "SCIM-operator:prod:team/eng"}),
            FORGED.to_owned(),
            "a server that ignores case would mix them up",
        ),
        (
            json!({"externalId": "hr\u{7}"}),
            "spec.externalId must not contain control characters".to_owned(),
            "a bell nobody sees",
        ),
        (
            json!({"externalId": "hr "}),
            format!("spec.externalId {EDGES}"),
            "a space nobody sees",
        ),
        (
            json!({"displayName": ""}),
            format!("spec.displayName {EDGES}"),
            "required by RFC 7643 §4.2",
        ),
        (
            json!({"displayName": " Engineering"}),
            format!("spec.displayName {EDGES}"),
            "servers trim it, and it would be drift for ever",
        ),
        (
            json!({"displayName": "Engi\nneering"}),
            "spec.displayName must not contain control characters".to_owned(),
            "a line break nobody sees",
        ),
        (
            json!({"memberSelector": {"matchExpressions": [{"key": "team", "operator": "NotIn"}]}}),
            "spec.memberSelector must give values to the operators In and NotIn".to_owned(),
            "it would select everybody",
        ),
        (
            json!({"displayName": " ", "externalId": "scim-operator:x"}),
            format!("spec.displayName {EDGES}; {FORGED}"),
            "every violation at once, sorted by field",
        ),
    ] {
        assert_eq!(check(fields), Err(expected), "{why}");
    }
}

#[test]
fn a_group_is_recognised_as_an_account_is() {
    const BY_NAME: AdoptionPolicy = AdoptionPolicy {
        external_id: false,
        name: true,
        by_id: false,
        explicit_external_id: false,
    };
    const NOTHING: AdoptionPolicy = AdoptionPolicy {
        name: false,
        ..BY_NAME
    };
    let plain = || group("1", "ENGINEERING", None, None);
    let marked = || group("2", "Engineers", Some(MARK), None);
    let others = || {
        group(
            "3",
            "Engineering",
            Some("scim-operator:prod:team/ops"),
            None,
        )
    };
    let named = |groups: Vec<ObservedGroup>| Candidates {
        by_name: groups,
        ..Candidates::default()
    };
    for (candidates, policy, expected, why) in [
        (
            Candidates {
                by_external_id: vec![marked()],
                ..named(vec![plain()])
            },
            BY_NAME,
            Identity::Ours(marked()),
            "the mark counts more than the name",
        ),
        (
            named(vec![plain()]),
            NOTHING,
            Identity::AdoptionRequired,
            "no policy, no adoption",
        ),
        (
            named(vec![plain()]),
            BY_NAME,
            Identity::Adopted(plain()),
            "by policy, ignoring case",
        ),
        (
            named(vec![plain(), group("4", "engineering", None, None)]),
            BY_NAME,
            Identity::Ambiguous,
            "a displayName is not unique (R04)",
        ),
        (
            named(vec![others()]),
            BY_NAME,
            Identity::OwnedByOther,
            "another resource's",
        ),
        (
            named(vec![group("5", "Sales", None, None)]),
            BY_NAME,
            Identity::Nobody,
            "a server that ignores the filter",
        ),
    ] {
        let wanted = engineering();
        assert_eq!(
            identify(&Wanted::from(&wanted), candidates, policy),
            expected,
            "{why}"
        );
    }
}
