//! A spec of every account that a profile can hold, judged by the operator's own rules.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::ScimUser;
use crate::api::connection::{AttributeMapping, Profile as ProfileName};
use crate::cli::import::target::tests::of as target_of;
use crate::domain::declared::declared;
use crate::domain::profile::countries::ALPHA2;
use crate::domain::profile::languages::CYBSAFE;
use crate::domain::profile::{Profile, Rule, cybsafe, rfc7643};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::of::<ScimUser>().unwrap());

const PROFILES: [ProfileName; 2] = [ProfileName::CybSafe, ProfileName::RFC7643];
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn profile(name: ProfileName) -> Profile {
    Profile::resolve(name, &[]).unwrap()
}

fn target(profile: &Profile) -> Target<'_> {
    target_of(profile, Adoption::ById)
}

/// What import makes of one account.
fn made(target: &Target<'_>, resource: &Value) -> (BuiltUser, Standing) {
    made_of(target, resource, None)
}

fn made_of(
    target: &Target<'_>,
    resource: &Value,
    manager: Option<&UserRef>,
) -> (BuiltUser, Standing) {
    let all = [Observed::read(resource, target.profile).unwrap()];
    let built = spec_of(&all[0], target, &SCHEMA, "ada", manager);
    let crowd = Crowd::of(&all);
    let standing = standing_of(&built.spec, &all[0], target, &SCHEMA, "ada", &crowd);
    (built, standing)
}

/// An account that both profiles call whole.
fn ada() -> Value {
    json!({
        "id": "7", "externalId": "hr-7", "userName": "Ada@example.com", "active": true,
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"type": "work", "value": "ada@example.com", "primary": true}],
        "phoneNumbers": [{"type": "mobile", "value": "+447700900123"}],
        "addresses": [{"type": "work", "country": "gb"}],
        "preferredLanguage": "en_gb",
        (ENTERPRISE): {"department": "Engines", "employeeNumber": 42, "manager": {"value": "9"}},
    })
}

fn with(edits: Value) -> Value {
    let mut account = ada();
    for (name, value) in edits.as_object().unwrap() {
        account[name] = value.clone();
    }
    account
}

fn fields(violations: &[Violation]) -> Vec<&str> {
    violations.iter().map(|v| v.field.as_str()).collect()
}

#[test]
fn an_account_is_said_as_it_is_and_taken_over_without_a_write() {
    for name in PROFILES {
        let profile = profile(name);
        let (built, standing) = made(&target(&profile), &ada());
        assert_eq!(standing, Standing::InStep, "{name:?}");
        assert_eq!(built.left_out, []);
        let spec = serde_json::to_value(&built.spec).unwrap();
        assert_eq!(
            spec,
            json!({
                "connectionRef": {"name": "scim"}, "userName": "Ada@example.com", "externalId": "hr-7", "active": true,
                "name": {"givenName": "Ada", "familyName": "Lovelace"},
                "emails": [{"type": "work", "value": "ada@example.com", "primary": true}],
                "phoneNumbers": [{"type": "mobile", "value": "+447700900123"}],
                "addresses": [{"type": "work", "country": "gb"}],
                "preferredLanguage": "en_gb",
                "enterprise": {"employeeNumber": "42", "department": "Engines", "manager": {"value": "9"}},
                "adopt": {"id": "7"},
            })
        );
    }
}

/// `put` is the other way round of `domain::declared`: of no attribute is forgotten that a spec can say it.
#[test]
fn whatever_a_profile_has_can_be_said() {
    for row in cybsafe::TABLE.iter().chain(&rfc7643::TABLE) {
        if is_identity(row.attribute) {
            continue;
        }
        let profile = profile(ProfileName::RFC7643);
        let account = Observed::read(&json!({"id": "7", "userName": "ada"}), &profile).unwrap();
        let mut spec = bare(&account, &target(&profile));
        let value = match row.rule {
            Rule::Flag => {
                let of = row.attribute.trim_end_matches(".primary");
                assert!(put(&mut spec, of, &json!("ada@example.com")));
                json!(true)
            }
            _ => json!("ada@example.com"),
        };
        assert!(put(&mut spec, row.attribute, &value), "{}", row.attribute);
        let said = declared(&spec);
        let found = said.iter().find(|d| d.attribute == row.attribute);
        let found = found.unwrap_or_else(|| panic!("{} is not said", row.attribute));
        assert_eq!(found.value, value);
        assert_eq!(found.field, format!("spec.{}", row.field));
    }
}

/// The one way to have an account taken over without a write is to keep the mark that it has. One without a mark is
/// given one: no spec says that there is to be none.
#[test]
fn an_account_without_a_mark_costs_one_write_of_the_mark_and_no_more() {
    for name in PROFILES {
        let profile = profile(name);
        let mut account = ada();
        account.as_object_mut().unwrap().remove("externalId");
        let (built, standing) = made(&target(&profile), &account);
        assert_eq!(built.spec.external_id, None);
        assert_eq!(
            standing,
            Standing::Writes(vec!["externalId".into()]),
            "{name:?}"
        );
        // Nor is there an externalId that would not be written.
        for mark in ["hr-7", "scim-operator:identity/scim:identity/ada"] {
            let mut spec = built.spec.clone();
            spec.external_id = Some(mark.into());
            let observed = [Observed::read(&account, &profile).unwrap()];
            let crowd = Crowd::of(&observed);
            let standing = standing_of(
                &spec,
                &observed[0],
                &target(&profile),
                &SCHEMA,
                "ada",
                &crowd,
            );
            assert_eq!(
                standing,
                Standing::Writes(vec!["externalId".into()]),
                "{mark}"
            );
        }
    }
}

#[test]
fn a_mark_that_is_a_bare_number_is_not_replaced_by_ours_in_silence() {
    let profile = profile(ProfileName::RFC7643);
    let (built, standing) = made(&target(&profile), &with(json!({"externalId": "1234"})));
    assert_eq!(built.spec.external_id.as_deref(), Some("1234"));
    let Standing::Invalid(broken) = standing else {
        panic!("{standing:?}");
    };
    assert_eq!(fields(&broken), ["spec.externalId"]);
}

#[test]
fn what_bears_our_mark_needs_neither_mark_nor_adoption() {
    let profile = profile(ProfileName::CybSafe);
    let mark = "scim-operator:identity/scim:identity/ada";
    let (built, standing) = made(&target(&profile), &with(json!({"externalId": mark})));
    assert_eq!((&built.spec.external_id, &built.spec.adopt), (&None, &None));
    assert_eq!(standing, Standing::InStep);
}

#[test]
fn a_required_value_that_is_missing_or_unknown_makes_the_account_invalid() {
    let profile = profile(ProfileName::CybSafe);
    for (edits, field) in [
        (json!({"name": null}), "spec.name.givenName"),
        (
            json!({"name": {"givenName": "Ada"}}),
            "spec.name.familyName",
        ),
        (
            json!({"addresses": [{"type": "work", "country": "United Kingdom"}]}),
            "spec.addresses[work].country",
        ),
        (
            json!({"addresses": [{"type": "work", "country": "UK"}]}),
            "spec.addresses[work].country",
        ),
        (json!({"preferredLanguage": "cy"}), "spec.preferredLanguage"),
        (
            json!({"emails": [{"type": "home", "value": "a@b.example"}]}),
            "spec.emails[work].value",
        ),
        (
            json!({"emails": [{"value": "a@b.example", "primary": true}]}),
            "spec.emails[work].value",
        ),
        (json!({"userName": " ada@example.com"}), "spec.userName"),
        (json!({"userName": null}), "spec.userName"),
        (json!({"id": "x".repeat(300)}), "spec.adopt.id"),
    ] {
        let (_, standing) = made(&target(&profile), &with(edits.clone()));
        let Standing::Invalid(broken) = standing else {
            panic!("{edits}: {standing:?}");
        };
        assert!(fields(&broken).contains(&field), "{edits}: {broken:?}");
    }
}

#[test]
fn an_optional_value_that_breaks_a_rule_is_left_out_and_told_and_left_alone() {
    let profile = profile(ProfileName::RFC7643);
    for (edits, field) in [
        (
            json!({"addresses": [{"type": "work", "country": "United Kingdom"}]}),
            "spec.addresses[work].country",
        ),
        (
            json!({"preferredLanguage": "English (British)"}),
            "spec.preferredLanguage",
        ),
        (json!({"title": "x".repeat(300)}), "spec.title"),
        (json!({"displayName": "Ada "}), "spec.displayName"),
        (json!({"title": "a\nb"}), "spec.title"),
        (json!({"title": ["Countess"]}), "spec.title"),
        (
            json!({"phoneNumbers": [{"type": "fax", "value": "7"}]}),
            "spec.phoneNumbers[fax].value",
        ),
        (
            json!({"emails": [{"type": "home", "value": "nobody", "primary": true}]}),
            "spec.emails[home].value",
        ),
        (
            json!({(ENTERPRISE): {"manager": {"value": "x".repeat(300)}}}),
            "spec.enterprise.manager",
        ),
    ] {
        let (built, standing) = made(&target(&profile), &with(edits.clone()));
        let left = fields(&built.left_out);
        let left: Vec<_> = left.iter().map(|f| f.trim_end_matches(".value")).collect();
        assert_eq!(left, [field.trim_end_matches(".value")], "{edits}");
        assert_eq!(standing, Standing::InStep, "{edits}");
    }
}

#[test]
fn odd_accounts_are_taken_over_without_a_write() {
    let profile = profile(ProfileName::RFC7643);
    for (edits, why) in [
        (
            json!({"name": null, "emails": null, "phoneNumbers": [], "addresses": []}),
            "hardly anything",
        ),
        (json!({"active": false}), "archived"),
        (json!({"active": "True"}), "a flag as text"),
        (
            json!({"name": {"givenName": "Zoë", "familyName": "李"}, "userName": "ZOË@example.com"}),
            "not ASCII",
        ),
        (
            json!({"emails": [{"type": "work", "value": "a@b.example"}, {"type": "home", "value": "c@d.example"}]}),
            "no primary",
        ),
        (
            json!({"emails": [{"type": "WORK", "value": "a@b.example", "primary": true}, {"type": "home", "value": "c@d.example", "primary": true}]}),
            "two primaries",
        ),
        (
            json!({"emails": [{"type": "work", "value": "a@b.example"}, {"type": "work", "value": "c@d.example"}]}),
            "two of a type",
        ),
        (
            json!({"emails": [{"type": "work", "value": "a@b.example", "primary": false}]}),
            "no primary, said so",
        ),
        (
            json!({"preferredLanguage": "EN-us", "locale": "de_AT"}),
            "spellings of languages",
        ),
        (json!({(ENTERPRISE): {"manager": "9"}}), "a manager as text"),
        (
            json!({"nickName": "Countess", "roles": [{"value": "x"}]}),
            "what no spec can say",
        ),
    ] {
        let (built, standing) = made(&target(&profile), &with(edits));
        assert_eq!(standing, Standing::InStep, "{why}");
        assert_eq!(built.left_out, [], "{why}");
        let primaries = built.spec.emails.iter().filter(|e| e.primary.is_some());
        assert!(primaries.count() <= 1, "{why}");
    }
    let (built, _) = made(&target(&profile), &with(json!({"active": false})));
    assert!(!built.spec.active);
}

#[test]
fn what_cybsafe_needs_and_the_account_has_not_is_written_and_told() {
    let profile = profile(ProfileName::CybSafe);
    let emails = json!([{"type": "work", "value": "ada@example.com"}]);
    let (_, standing) = made(&target(&profile), &with(json!({"emails": emails})));
    assert_eq!(
        standing,
        Standing::Writes(vec!["emails.work.primary".into()])
    );
}

#[test]
fn a_mapping_of_the_connection_is_followed() {
    let mapping = [AttributeMapping {
        attribute: "city".into(),
        path: r#"addresses[type eq "work"].locality"#.into(),
    }];
    let profile = Profile::resolve(ProfileName::CybSafe, &mapping).unwrap();
    let addresses = json!([{"type": "work", "country": "GB", "locality": "London"}]);
    let (built, standing) = made(&target(&profile), &with(json!({"addresses": addresses})));
    assert_eq!(built.spec.city.as_deref(), Some("London"));
    assert_eq!(standing, Standing::InStep);
}

#[test]
fn a_manager_who_is_imported_is_named() {
    let profile = profile(ProfileName::CybSafe);
    let reference = UserRef {
        name: "charles".into(),
        namespace: None,
    };
    let (built, standing) = made_of(&target(&profile), &ada(), Some(&reference));
    let manager = built.spec.enterprise.unwrap().manager.unwrap();
    assert_eq!((manager.user_ref, manager.value), (Some(reference), None));
    assert_eq!(standing, Standing::InStep);
}

#[test]
fn by_policy_one_is_taken_over_only_where_the_policy_finds_it() {
    let profile = profile(ProfileName::CybSafe);
    let policy = |all: &[AdoptionMatch]| Target {
        adoption: Adoption::ByPolicy(all.to_vec()),
        ..target(&profile)
    };
    for (matches, expected) in [
        (&[AdoptionMatch::ExternalId][..], Standing::InStep),
        (
            &[AdoptionMatch::UserName],
            Standing::Waits("AdoptionRequired"),
        ),
        (
            &[AdoptionMatch::UserName, AdoptionMatch::ExternalId],
            Standing::InStep,
        ),
        (&[], Standing::Waits("AdoptionRequired")),
    ] {
        let (built, standing) = made(&policy(matches), &ada());
        assert_eq!(built.spec.adopt, None);
        assert_eq!(standing, expected, "{matches:?}");
    }
    // Two with one mark are never guessed between.
    let target = policy(&[AdoptionMatch::ExternalId]);
    let read = |value: &Value| Observed::read(value, &profile).unwrap();
    let all = [
        read(&ada()),
        read(&with(json!({"id": "8", "userName": "bea@example.com"}))),
    ];
    let built = spec_of(&all[0], &target, &SCHEMA, "ada", None);
    let standing = standing_of(
        &built.spec,
        &all[0],
        &target,
        &SCHEMA,
        "ada",
        &Crowd::of(&all),
    );
    assert_eq!(standing, Standing::Waits("Ambiguous"));
}

/// A value that the rule of an attribute allows, and the bounds of its field.
fn value_for(attribute: &'static str, rule: Rule) -> BoxedStrategy<Value> {
    let cased = |texts: &'static [&'static str]| {
        (prop::sample::select(texts), prop::bool::ANY).prop_map(|(text, lower)| {
            json!(if lower {
                text.to_lowercase()
            } else {
                text.to_owned()
            })
        })
    };
    if attribute.starts_with("emails.") && rule != Rule::Flag {
        return "[a-zA-Z0-9é.+]{1,12}@[a-z]{1,8}\\.example"
            .prop_map(Value::from)
            .boxed();
    }
    match rule {
        Rule::Flag => Just(json!(true)).boxed(),
        Rule::Country => cased(&ALPHA2).boxed(),
        Rule::CybSafeLanguage => cased(&CYBSAFE).boxed(),
        Rule::LanguageTag => "[a-z]{2}(-[A-Z]{2})?".prop_map(Value::from).boxed(),
        Rule::Text | Rule::IgnoringCase => prop_oneof![
            "[^\\pC\\pZ]([^\\pC]{0,20}[^\\pC\\pZ])|[0-9]{2,9}".prop_map(Value::from),
            (10..10_000u32).prop_map(Value::from),
        ]
        .boxed(),
    }
}

fn accounts(name: ProfileName) -> BoxedStrategy<Value> {
    let profile = profile(name);
    let mut made = Just(json!({"id": "7", "externalId": "hr-7", "active": true})).boxed();
    let rows: &'static [_] = match name {
        ProfileName::CybSafe => &cybsafe::TABLE,
        ProfileName::RFC7643 => &rfc7643::TABLE,
    };
    for row in rows {
        let path = profile.get(row.attribute).unwrap().path.clone();
        let there = match (row.attribute, row.required) {
            ("externalId", _) => continue,
            // One at most, and CybSafe's has to be there.
            (name, _) if name.ends_with(".primary") && name != "emails.work.primary" => continue,
            ("emails.work.primary", _) => matches!(profile.name, ProfileName::CybSafe),
            (_, required) => required,
        };
        let value = match row.attribute {
            "userName" => "[^\\pC\\pZ]([^\\pC]{0,20}[^\\pC\\pZ])"
                .prop_map(Value::from)
                .boxed(),
            "active" => {
                prop_oneof![Just(json!(true)), Just(json!(false)), Just(json!("False"))].boxed()
            }
            attribute => value_for(attribute, row.rule),
        };
        let value = (prop::bool::weighted(0.4), value)
            .prop_map(move |(also, value)| (there || also).then_some(value));
        made = (made, value)
            .prop_map(move |(mut account, value)| {
                if let Some(value) = value {
                    path.write(&mut account, value);
                }
                account
            })
            .boxed();
    }
    made
}

/// Anything that a server might put somewhere.
fn anything() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| json!(f)),
        any::<String>().prop_map(Value::from),
        "[a-zA-Z@. -]{0,40}".prop_map(Value::from),
        Just(json!("x".repeat(600))),
    ];
    plain.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(inner, 1..3)
                .prop_map(|all| json!({"type": "work", "value": all})),
        ]
    })
}

fn disfigured(name: ProfileName) -> impl Strategy<Value = Value> {
    let profile = profile(name);
    let paths: Vec<_> = profile.iter().map(|(_, a)| a.path.clone()).collect();
    let edits = prop::collection::vec((prop::sample::select(paths), anything()), 0..6);
    (accounts(name), edits).prop_map(|(mut account, edits)| {
        for (path, value) in edits {
            path.write(&mut account, value);
        }
        account
    })
}

/// Whatever is at the backend, only the mark, the flag that says who is active and CybSafe's primary address are ever
/// written: these alone the operator needs and an account may lack. Everything else is as it is, or left out.
fn nothing_else_is_written(name: ProfileName, account: &Value) -> Result<(), TestCaseError> {
    let profile = profile(name);
    let target = target(&profile);
    let (_, standing) = made(&target, account);
    match standing {
        Standing::InStep => {}
        Standing::Writes(attributes) => {
            for attribute in attributes {
                let known = ["externalId", "active", "emails.work.primary"];
                prop_assert!(known.contains(&attribute.as_str()), "{attribute}");
            }
        }
        Standing::Waits(why) => prop_assert!(false, "{}", why),
        Standing::Invalid(broken) => {
            for violation in &broken {
                let required = |field: &str| {
                    let mut rows = profile.iter();
                    rows.any(|(_, row)| row.required && row.field == field)
                };
                let own = ["spec.userName", "spec.externalId"];
                let field = violation.field.as_str();
                prop_assert!(required(field) || own.contains(&field), "{field}");
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_account_that_cybsafe_can_hold_is_taken_over_without_a_write(account in accounts(ProfileName::CybSafe)) {
        let profile = profile(ProfileName::CybSafe);
        let (built, standing) = made(&target(&profile), &account);
        prop_assert_eq!(standing, Standing::InStep);
        prop_assert_eq!(built.left_out, []);
    }

    #[test]
    fn every_account_that_the_rfc_can_hold_is_taken_over_without_a_write(account in accounts(ProfileName::RFC7643)) {
        let profile = profile(ProfileName::RFC7643);
        let (built, standing) = made(&target(&profile), &account);
        prop_assert_eq!(standing, Standing::InStep);
        prop_assert_eq!(built.left_out, []);
    }

    #[test]
    fn of_a_disfigured_account_nothing_is_written_but_what_the_operator_needs_on_cybsafe(account in disfigured(ProfileName::CybSafe)) {
        nothing_else_is_written(ProfileName::CybSafe, &account)?;
    }

    #[test]
    fn of_a_disfigured_account_nothing_is_written_but_what_the_operator_needs_by_the_rfc(account in disfigured(ProfileName::RFC7643)) {
        nothing_else_is_written(ProfileName::RFC7643, &account)?;
    }
}
