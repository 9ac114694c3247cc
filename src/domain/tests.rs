//! The rules of the domain, each shown firing and each shown passing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod properties;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::diff::{self, Knowledge};
use super::identity::{AdoptionPolicy, Candidates, Identity, identify};
use super::observed::Observed;
use super::plan::{Farewell, farewell};
use super::profile::Profile;
use super::validate::{Desired, Subject, Valid, Violation, sentence, validate};
use crate::api::common::DeletionPolicy;
use crate::api::connection::Profile as Name;
use crate::api::user::ScimUserSpec;

fn profile(name: Name) -> Profile {
    Profile::resolve(name, &[]).unwrap()
}

fn person() -> Value {
    json!({
        "connectionRef": {"name": "c"}, "userName": "ada@example.com",
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"type": "work", "value": "ada@example.com"}],
        "phoneNumbers": [{"type": "mobile", "value": "+447700900123"}],
        "addresses": [{"type": "work", "country": "gb"}],
        "preferredLanguage": "en-GB", "enterprise": {"department": "Engines"}
    })
}

fn check(spec: Value, name: Name) -> Result<Valid, Vec<Violation>> {
    let spec: ScimUserSpec = serde_json::from_value(spec).unwrap();
    let subject = Subject {
        owner_id: "ns/c",
        namespace: "ns",
        name: "ada",
        manager_id: None,
        expired: false,
    };
    validate(&spec, &profile(name), subject)
}

fn desired(spec: Value, name: Name) -> Desired {
    check(spec, name).unwrap().desired
}

fn with(path: &str, value: Value) -> Value {
    let mut spec = person();
    *spec.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
    spec
}

fn plus(key: &str, value: Value) -> Value {
    let mut spec = person();
    spec[key] = value;
    spec
}

#[test]
fn every_rule_of_cybsafe_fires_by_field_and_names_no_value() {
    assert!(check(person(), Name::CybSafe).is_ok());
    for (spec, expected, why) in [
        (
            with("/name/givenName", Value::Null),
            "spec.name.givenName is required by the profile CybSafe",
            "required",
        ),
        (
            with("/name/familyName", Value::Null),
            "spec.name.familyName is required by the profile CybSafe",
            "required",
        ),
        (
            with("/emails", json!([])),
            "spec.emails[work].value is required by the profile CybSafe",
            "required",
        ),
        (
            with("/addresses", json!([])),
            "spec.addresses[work].country is required by the profile CybSafe",
            "required",
        ),
        (
            with("/preferredLanguage", Value::Null),
            "spec.preferredLanguage is required by the profile CybSafe",
            "required",
        ),
        (
            with("/preferredLanguage", json!("en-XX")),
            "spec.preferredLanguage is not a language that CybSafe knows; the nearest are en_gb, en, en-us",
            "one of 18",
        ),
        (
            with("/addresses/0/country", json!("UK")),
            "spec.addresses[work].country must be an ISO 3166-1 alpha-2 country code, such as GB",
            "UK is no code",
        ),
        (
            plus("locale", json!("not a tag")),
            "spec.locale must be a language tag, such as en-GB",
            "RFC 5646",
        ),
        (
            plus("displayName", json!("Ada")),
            "spec.displayName has no place in the profile CybSafe; remove it or map it by the connection's attributeMapping",
            "CybSafe drops it",
        ),
        (
            with("/phoneNumbers/0/type", json!("work")),
            "spec.phoneNumbers[work].value has no place in the profile CybSafe; remove it or map it by the connection's attributeMapping",
            "only mobile",
        ),
        (
            with("/name/givenName", json!("A\u{7}da")),
            "spec.name.givenName must not contain control characters",
            "unprintable",
        ),
        (
            with("/name/givenName", json!(" Ada")),
            "spec.name.givenName must not be empty, nor begin or end with a space",
            "invisible",
        ),
    ] {
        let violations = check(spec, Name::CybSafe).expect_err(why);
        assert_eq!(sentence(&violations), expected, "{why}");
    }
}

#[test]
fn all_violations_come_at_once() {
    let spec = json!({"connectionRef": {"name": "c"}, "userName": "eve@example.com", "preferredLanguage": "xx"});
    let fields: Vec<String> = check(spec, Name::CybSafe)
        .unwrap_err()
        .into_iter()
        .map(|v| v.field)
        .collect();
    let expected = [
        "spec.addresses[work].country",
        "spec.emails[work].value",
        "spec.name.familyName",
        "spec.name.givenName",
        "spec.preferredLanguage",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn values_are_normalised_to_what_the_backend_spells() {
    let desired = desired(person(), Name::CybSafe);
    assert_eq!(desired.attributes["preferredLanguage"], "en_gb");
    assert_eq!(desired.attributes["addresses.work.country"], "GB");
    assert_eq!(desired.attributes["emails.work.primary"], true);
    assert_eq!(desired.external_id, "scim-operator:ns/c:ns/ada");
}

#[test]
fn the_rfc_profile_asks_for_little_and_has_no_city() {
    let small = json!({"connectionRef": {"name": "c"}, "userName": "ada"});
    assert!(check(small, Name::RFC7643).is_ok());
    let city = check(plus("city", json!("Bath")), Name::RFC7643).unwrap_err();
    assert!(city[0].unsupported && city[0].field == "spec.city");
}

#[test]
fn warnings_name_fields_and_no_address() {
    let valid = check(with("/userName", json!("al@example.com")), Name::CybSafe).unwrap();
    assert_eq!(
        valid.warnings,
        [
            "spec.userName differs from spec.emails[work].value: CybSafe may keep two accounts or miss mail"
        ]
    );
    assert!(
        check(with("/userName", json!("ADA@example.com")), Name::CybSafe)
            .unwrap()
            .warnings
            .is_empty()
    );
    let mut spec = person();
    spec["emails"][0]["primary"] = json!(false);
    assert!(
        check(spec, Name::CybSafe).unwrap().warnings[0].starts_with("spec.emails[work].primary")
    );
}

fn patch_of(before: Value, after: Value) -> Value {
    let (name, old) = (Name::RFC7643, desired(before, Name::RFC7643));
    let profile = profile(name);
    let mut body = diff::create_body(&old, &profile);
    body["id"] = json!("1");
    let observed = Observed::read(&body, &profile).unwrap();
    let managed: BTreeSet<String> = old.attributes.keys().cloned().collect();
    let new = desired(after, name);
    let changes = diff::changes(
        &new,
        &observed,
        &profile,
        Knowledge {
            managed: &managed,
            echoed: &managed,
            spec_changed: true,
        },
    );
    serde_json::to_value(diff::patch(&changes, &new, &observed, &profile)).unwrap()["Operations"]
        .clone()
}

#[test]
fn patches_have_the_shapes_that_servers_agree_on() {
    let ext = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let mut no_phone = person();
    no_phone["phoneNumbers"] = json!([]);
    let mut street = person();
    street["addresses"][0]["streetAddress"] = json!("1 Dorset Street");
    for (before, after, expected, why) in [
        (person(), person(), json!([]), "nothing to do"),
        (
            person(),
            with("/enterprise/department", json!("Analysis")),
            json!([{"op": "replace", "path": format!("{ext}:department"), "value": "Analysis"}]),
            "one path",
        ),
        (
            person(),
            no_phone.clone(),
            json!([{"op": "remove", "path": "phoneNumbers[type eq \"mobile\"]"}]),
            "removing .value leaves a husk",
        ),
        (
            no_phone,
            person(),
            json!([{"op": "add", "path": "phoneNumbers", "value": [{"type": "mobile", "value": "+447700900123"}]}]),
            "a filter that matches nothing is noTarget",
        ),
        (
            person(),
            street.clone(),
            json!([{"op": "add", "path": "addresses[type eq \"work\"].streetAddress", "value": "1 Dorset Street"}]),
            "the element is there",
        ),
        (
            street,
            person(),
            json!([{"op": "remove", "path": "addresses[type eq \"work\"].streetAddress"}]),
            "the country stays",
        ),
        (
            person(),
            with("/enterprise/department", Value::Null),
            json!([{"op": "remove", "path": format!("{ext}:department")}]),
            "cleared, not null",
        ),
        (
            person(),
            with(
                "/enterprise",
                json!({"department": "Engines", "manager": {"value": "7"}}),
            ),
            json!([{"op": "add", "path": format!("{ext}:manager"), "value": {"value": "7"}}]),
            "a manager is an object",
        ),
        (
            with(
                "/enterprise",
                json!({"department": "Engines", "manager": {"value": "7"}}),
            ),
            person(),
            json!([{"op": "remove", "path": format!("{ext}:manager")}]),
            "the whole manager goes",
        ),
    ] {
        assert_eq!(patch_of(before, after), expected, "{why}");
    }
}

#[test]
fn what_is_not_ours_or_not_visible_is_left_alone() {
    let profile = profile(Name::CybSafe);
    let want = desired(person(), Name::CybSafe);
    let mut body = diff::create_body(&want, &profile);
    body["id"] = json!("1");
    body["locale"] = json!("it-IT");
    body["active"] = json!("True");
    body["userName"] = json!("ADA@example.com");
    let hidden = body.as_object_mut().unwrap().remove("phoneNumbers");
    assert!(hidden.is_some());
    let observed = Observed::read(&body, &profile).unwrap();
    let managed: BTreeSet<String> = want.attributes.keys().cloned().collect();
    let echoed = observed.attributes.keys().cloned().collect();
    let names = |spec_changed| {
        let knowledge = Knowledge {
            managed: &managed,
            echoed: &echoed,
            spec_changed,
        };
        diff::changes(&want, &observed, &profile, knowledge)
            .into_iter()
            .map(|c| c.attribute)
            .collect::<Vec<_>>()
    };
    assert!(
        names(false).is_empty(),
        "locale is not ours, the phone is not observable, case and spelling are no drift"
    );
    assert_eq!(
        names(true),
        ["phoneNumbers.mobile", "userName"],
        "a change of the spec writes both"
    );
}

fn account(id: &str, name: &str, mark: Option<&str>) -> Observed {
    Observed {
        id: id.into(),
        user_name: Some(name.into()),
        external_id: mark.map(Into::into),
        active: Some(true),
        ..Observed::default()
    }
}

#[test]
fn identity_is_id_then_mark_then_name_as_far_as_policy_allows() {
    let want = desired(person(), Name::CybSafe);
    let ours = account("1", "other", Some("scim-operator:ns/c:ns/ada"));
    let stranger = account("2", "ADA@example.com", Some("hr-7"));
    let foreign = account("3", "ada@example.com", Some("scim-operator:x:y/z"));
    let none = AdoptionPolicy::default();
    let by_name = AdoptionPolicy {
        user_name: true,
        ..none
    };
    let named = |accounts: &[&Observed]| Candidates {
        by_user_name: accounts.iter().map(|a| (*a).clone()).collect(),
        ..Candidates::default()
    };
    let marked = |accounts: &[&Observed]| Candidates {
        by_external_id: accounts.iter().map(|a| (*a).clone()).collect(),
        ..Candidates::default()
    };
    let recorded = |a: &Observed| Candidates {
        recorded: Some(a.clone()),
        ..Candidates::default()
    };
    for (candidates, policy, expected, why) in [
        (
            recorded(&stranger),
            none,
            Identity::Ours(stranger.clone()),
            "the recorded id decides",
        ),
        (
            recorded(&foreign),
            none,
            Identity::OwnedByOther,
            "an id of another backend may be anybody's",
        ),
        (
            marked(&[&ours]),
            none,
            Identity::Ours(ours.clone()),
            "our mark, whatever the name",
        ),
        (
            marked(&[&ours, &ours]),
            none,
            Identity::Ambiguous,
            "never guess",
        ),
        (
            marked(&[&stranger]),
            none,
            Identity::Nobody,
            "a server that ignores filters",
        ),
        (
            named(&[&stranger]),
            none,
            Identity::AdoptionRequired,
            "no policy, no adoption",
        ),
        (
            named(&[&stranger]),
            by_name,
            Identity::Adopted(stranger.clone()),
            "by policy",
        ),
        (
            named(&[&foreign]),
            by_name,
            Identity::OwnedByOther,
            "another operator's",
        ),
        (
            named(&[&stranger, &stranger]),
            by_name,
            Identity::Ambiguous,
            "never guess",
        ),
        (
            named(&[&ours]),
            by_name,
            Identity::Nobody,
            "the name is another, filter ignored",
        ),
        (
            Candidates::default(),
            AdoptionPolicy {
                by_id: true,
                ..none
            },
            Identity::AdoptionRequired,
            "adopt.id names nobody",
        ),
        (
            named(&[&stranger]),
            AdoptionPolicy {
                creating: true,
                ..none
            },
            Identity::AdoptionRequired,
            "a marked account is not the one we began to create",
        ),
        (
            named(&[&account("4", "ada@example.com", None)]),
            AdoptionPolicy {
                creating: true,
                ..none
            },
            Identity::Adopted(account("4", "ada@example.com", None)),
            "the one we began to create",
        ),
    ] {
        assert_eq!(identify(&want, candidates, policy), expected, "{why}");
    }
}

#[test]
fn deletion_follows_the_policy() {
    let active = account("1", "a", None);
    let archived = Observed {
        active: Some(false),
        ..active.clone()
    };
    for (policy, given, expected) in [
        (
            DeletionPolicy::Archive,
            Some(active.clone()),
            Farewell::Archive(active.clone()),
        ),
        (
            DeletionPolicy::Archive,
            Some(archived.clone()),
            Farewell::Forget,
        ),
        (
            DeletionPolicy::Delete,
            Some(archived.clone()),
            Farewell::Delete(archived),
        ),
        (DeletionPolicy::Delete, None, Farewell::Forget),
        (DeletionPolicy::Retain, Some(active), Farewell::Forget),
    ] {
        assert_eq!(farewell(policy, given), expected);
    }
}

#[test]
fn nobody_can_write_the_mark_of_another_resource() {
    let forged = plus("externalId", json!("scim-operator:ns/c:ns/grace"));
    let violations = check(forged, Name::CybSafe).unwrap_err();
    assert_eq!(violations[0].field, "spec.externalId");
    for fine in ["scim-operator:ns/c:ns/ada", "hr-7"] {
        assert!(check(plus("externalId", json!(fine)), Name::CybSafe).is_ok());
    }
}

#[test]
fn a_time_that_no_parser_takes_is_a_violation_and_stops_nothing_else() {
    for bad in [
        "2026-01-01T00:00:00+99:99",
        "2030-02-31T00:00:00Z",
        "tomorrow",
    ] {
        let violations = check(plus("validUntil", json!(bad)), Name::CybSafe).unwrap_err();
        assert_eq!(violations[0].field, "spec.validUntil", "{bad}");
    }
    assert!(
        check(
            plus("validUntil", json!("2027-01-31T18:00:00Z")),
            Name::CybSafe
        )
        .is_ok()
    );
}

#[test]
fn an_account_with_our_own_mark_stays_ours_under_a_new_external_id() {
    let want = desired(plus("externalId", json!("hr-7")), Name::CybSafe);
    let ours = account("1", "ada@example.com", Some("scim-operator:ns/c:ns/ada"));
    let candidates = Candidates {
        recorded: Some(ours.clone()),
        ..Candidates::default()
    };
    assert_eq!(
        identify(&want, candidates, AdoptionPolicy::default()),
        Identity::Ours(ours)
    );
}
