//! Every rule of CybSafe's table, shown firing and shown passing; what the RFC profile leaves free.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::connection::AttributeMapping;

const NO_PLACE: &str =
    "has no place in the profile CybSafe; remove it or map it by the connection's attributeMapping";
const NEEDED: &str = "is required by the profile CybSafe";
const CONTROL: &str = "must not contain control characters";
const EDGES: &str = "must not be empty, nor begin or end with a space";

fn person() -> Value {
    json!({
        "connectionRef": {"name": "cybsafe"}, "userName": "ada@example.com",
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"type": "work", "value": "ada@example.com"}],
        "addresses": [{"type": "work", "country": "GB"}],
        "preferredLanguage": "en-GB"
    })
}

/// The person with one field (a JSON pointer) set, or taken away by null.
fn with(pointer: &str, value: Value) -> Value {
    let mut spec = person();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match spec.pointer_mut(parent).unwrap() {
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        object => object[key] = value,
    }
    spec
}

fn subject() -> Subject<'static> {
    Subject {
        owner_id: "ns/cybsafe",
        namespace: "team",
        name: "ada",
        manager_id: None,
        expired: false,
    }
}

fn check_mapped(
    spec: Value,
    name: ProfileName,
    mapping: &[AttributeMapping],
) -> Result<Valid, Vec<Violation>> {
    let spec: ScimUserSpec = serde_json::from_value(spec).unwrap();
    validate(&spec, &Profile::resolve(name, mapping).unwrap(), subject())
}

fn cybsafe(spec: Value) -> Result<Valid, Vec<Violation>> {
    check_mapped(spec, ProfileName::CybSafe, &[])
}

fn rfc7643(spec: Value) -> Result<Valid, Vec<Violation>> {
    check_mapped(spec, ProfileName::RFC7643, &[])
}

/// Asserts that exactly one rule fires, as this sentence about this field.
fn assert_fires(outcome: Result<Valid, Vec<Violation>>, field: &str, rule: &str, why: &str) {
    let violations = outcome.expect_err(why);
    assert_eq!(sentence(&violations), format!("{field} {rule}"), "{why}");
}

#[test]
fn required_attributes_of_cybsafe_are_missed_by_name_and_pass_when_given() {
    for (pointer, absent, given, field, rule, why) in [
        (
            "/userName",
            json!(""),
            json!("ada"),
            "spec.userName",
            EDGES,
            "it signs in; the API requires the key",
        ),
        (
            "/emails",
            json!([]),
            json!([{"type": "work", "value": "a@example.com"}]),
            "spec.emails[work].value",
            NEEDED,
            "mail goes there",
        ),
        (
            "/name/givenName",
            Value::Null,
            json!("Ada"),
            "spec.name.givenName",
            NEEDED,
            "first name",
        ),
        (
            "/name/familyName",
            Value::Null,
            json!("King"),
            "spec.name.familyName",
            NEEDED,
            "last name",
        ),
        (
            "/addresses",
            json!([]),
            json!([{"type": "work", "country": "FR"}]),
            "spec.addresses[work].country",
            NEEDED,
            "no address at all",
        ),
        (
            "/addresses/0/country",
            Value::Null,
            json!("FR"),
            "spec.addresses[work].country",
            NEEDED,
            "an address without its country",
        ),
        (
            "/preferredLanguage",
            Value::Null,
            json!("de"),
            "spec.preferredLanguage",
            NEEDED,
            "one of the 18",
        ),
    ] {
        assert_fires(cybsafe(with(pointer, absent)), field, rule, why);
        assert!(cybsafe(with(pointer, given)).is_ok(), "{why}");
    }
}

#[test]
fn the_rfc_requires_only_a_user_name() {
    let spec = json!({"connectionRef": {"name": "c"}, "userName": "ada"});
    assert!(rfc7643(spec.clone()).is_ok());
    let fields: Vec<_> = cybsafe(spec)
        .unwrap_err()
        .into_iter()
        .map(|v| v.field)
        .collect();
    assert_eq!(
        fields,
        [
            "spec.addresses[work].country",
            "spec.emails[work].value",
            "spec.name.familyName",
            "spec.name.givenName",
            "spec.preferredLanguage"
        ]
    );
}

#[test]
fn languages_are_sent_as_cybsafe_spells_them() {
    let spellings = [
        "en_gb", "en", "en-us", "nl", "ar", "es", "es-ES", "fr", "de", "it", "pl", "pt-BR",
        "tr-TR", "ru", "ja-JP", "zh-CN", "zh-HK", "ko-KR",
    ];
    assert_eq!(languages::CYBSAFE, spellings, "the list of cybsafe.md");
    for spelled in spellings {
        let dashed = spelled.replace('_', "-");
        for written in [
            spelled.to_owned(),
            dashed.clone(),
            dashed.replace('-', "_"),
            dashed.to_lowercase(),
            dashed.to_uppercase(),
        ] {
            let valid = cybsafe(with("/preferredLanguage", json!(written))).expect(spelled);
            assert_eq!(
                valid.desired.attributes["preferredLanguage"], spelled,
                "{written}"
            );
        }
    }
}

#[test]
fn an_unknown_language_names_the_nearest_tags() {
    for (tag, nearest, why) in [
        ("en-AU", "en_gb, en, en-us", "all of the same language"),
        ("pt", "pt-BR", "the language without its region"),
        ("pt_PT", "pt-BR", "another region, another separator"),
        ("zh-TW", "zh-CN, zh-HK", "two of the same language"),
        ("fr-CA", "fr", "the region is not kept"),
        ("sv", "en", "an unknown language: International English"),
        ("english", "en", "a name is no tag"),
    ] {
        let rule = format!("is not a language that CybSafe knows; the nearest are {nearest}");
        assert_fires(
            cybsafe(with("/preferredLanguage", json!(tag))),
            "spec.preferredLanguage",
            &rule,
            why,
        );
    }
    let swedish = rfc7643(with("/preferredLanguage", json!("sv"))).unwrap();
    assert_eq!(
        swedish.desired.attributes["preferredLanguage"], "sv",
        "only CybSafe has a list"
    );
}

#[test]
fn tags_without_a_list_need_the_shape_of_one() {
    let rule = "must be a language tag, such as en-GB";
    for (tag, ok, why) in [
        ("en-GB", true, "language and region"),
        ("zh-Hant-TW", true, "with a script"),
        ("en_GB", true, "a locale's underscore"),
        ("e", false, "too short"),
        ("English (UK)", false, "a name"),
        ("en--GB", false, "an empty subtag"),
    ] {
        let outcome = cybsafe(with("/locale", json!(tag)));
        match ok {
            true => assert!(outcome.is_ok(), "{why}"),
            false => assert_fires(outcome, "spec.locale", rule, why),
        }
    }
}

#[test]
fn countries_are_alpha_2_in_upper_case() {
    let rule = "must be an ISO 3166-1 alpha-2 country code, such as GB";
    for (country, sent, why) in [
        ("GB", Some("GB"), "as it should be"),
        ("gb", Some("GB"), "case is ours to mend"),
        ("Fr", Some("FR"), "case is ours to mend"),
        ("UK", None, "reserved, not assigned"),
        ("XK", None, "user-assigned"),
        ("GBR", None, "alpha-3"),
        ("826", None, "numeric"),
        ("United Kingdom", None, "a name"),
    ] {
        let outcome = cybsafe(with("/addresses/0/country", json!(country)));
        match sent {
            Some(sent) => assert_eq!(
                outcome.expect(why).desired.attributes["addresses.work.country"],
                sent,
                "{why}"
            ),
            None => assert_fires(outcome, "spec.addresses[work].country", rule, why),
        }
    }
}

#[test]
fn every_optional_attribute_of_cybsafe_is_accepted() {
    for (pointer, value, attribute) in [
        (
            "/phoneNumbers",
            json!([{"type": "mobile", "value": "+447700900123"}]),
            "phoneNumbers.mobile",
        ),
        ("/locale", json!("en-GB"), "locale"),
        ("/enterprise", json!({"department": "x"}), "department"),
        ("/enterprise", json!({"division": "x"}), "division"),
        ("/enterprise", json!({"organization": "x"}), "organization"),
        (
            "/enterprise",
            json!({"employeeNumber": "7"}),
            "employeeNumber",
        ),
        ("/enterprise", json!({"manager": {"value": "7"}}), "manager"),
        ("/externalId", json!("hr-7"), "externalId"),
        ("/employeeType", json!("x"), "employeeType"),
        ("/city", json!("x"), "city"),
        ("/office", json!("x"), "office"),
        ("/businessUnit", json!("x"), "businessUnit"),
        ("/grade", json!("x"), "grade"),
    ] {
        let valid = cybsafe(with(pointer, value)).expect(attribute);
        assert!(
            valid.desired.attributes.contains_key(attribute),
            "{attribute}"
        );
    }
}

#[test]
fn what_a_profile_has_no_place_for_is_refused_as_unsupported() {
    let home = json!([{"type": "work", "value": "a@example.com"}, {"type": "home", "value": "h@example.com"}]);
    let phone = json!([{"type": "work", "value": "+441"}]);
    let street = json!({"type": "work", "country": "GB", "streetAddress": "1 Dorset Street"});
    for (pointer, value, field, why) in [
        (
            "/displayName",
            json!("Ada"),
            "spec.displayName",
            "CybSafe drops it",
        ),
        (
            "/title",
            json!("Countess"),
            "spec.title",
            "CybSafe drops it",
        ),
        (
            "/emails",
            home,
            "spec.emails[home].value",
            "only the work address",
        ),
        (
            "/phoneNumbers",
            phone,
            "spec.phoneNumbers[work].value",
            "only the mobile",
        ),
        (
            "/addresses/0",
            street,
            "spec.addresses[work].streetAddress",
            "only the country",
        ),
    ] {
        let spec = with(pointer, value);
        let violations = cybsafe(spec.clone()).expect_err(why);
        assert!(violations.iter().all(|v| v.unsupported), "{why}");
        assert_eq!(
            sentence(&violations),
            format!("{field} {NO_PLACE}"),
            "{why}"
        );
        assert!(rfc7643(spec).is_ok(), "{why}: the RFC has a place for it");
    }
    for attribute in ["city", "office", "businessUnit", "grade"] {
        let spec = with(&format!("/{attribute}"), json!("x"));
        let violations = rfc7643(spec.clone()).expect_err(attribute);
        assert!(violations[0].unsupported, "{attribute}");
        assert_eq!(violations[0].field, format!("spec.{attribute}"));
        assert!(cybsafe(spec).is_ok(), "{attribute}");
    }
    let broken = cybsafe(with("/preferredLanguage", json!("xx"))).unwrap_err();
    assert!(
        !broken[0].unsupported,
        "a bad value is not an unknown field"
    );
}

#[test]
fn a_mapping_makes_room_for_an_attribute() {
    for (name, attribute, path, why) in [
        (
            ProfileName::CybSafe,
            "displayName",
            "displayName",
            "at its usual place",
        ),
        (
            ProfileName::RFC7643,
            "city",
            r#"addresses[type eq "work"].locality2"#,
            "at a place of its own",
        ),
    ] {
        let mapping = AttributeMapping {
            attribute: attribute.into(),
            path: path.into(),
        };
        let spec = with(&format!("/{attribute}"), json!("x"));
        assert!(check_mapped(spec.clone(), name, &[]).is_err(), "{why}");
        let valid = check_mapped(spec, name, &[mapping]).expect(why);
        assert_eq!(valid.desired.attributes[attribute], "x", "{why}");
    }
}

#[test]
fn text_that_nobody_can_see_is_refused() {
    for (pointer, value, field, rule, why) in [
        (
            "/userName",
            "ada\n",
            "spec.userName",
            CONTROL,
            "a line feed",
        ),
        (
            "/userName",
            "ada ",
            "spec.userName",
            EDGES,
            "a space behind",
        ),
        (
            "/name/givenName",
            "A\u{0}da",
            "spec.name.givenName",
            CONTROL,
            "NUL",
        ),
        (
            "/name/givenName",
            " Ada",
            "spec.name.givenName",
            EDGES,
            "a space before",
        ),
        (
            "/name/familyName",
            "",
            "spec.name.familyName",
            EDGES,
            "empty",
        ),
        (
            "/preferredLanguage",
            "en\u{7f}",
            "spec.preferredLanguage",
            CONTROL,
            "DEL, before the list is asked",
        ),
        (
            "/emails/0/value",
            "a@b\u{9b}",
            "spec.emails[work].value",
            CONTROL,
            "C1",
        ),
        ("/grade", "\t", "spec.grade", CONTROL, "a tab"),
        (
            "/externalId",
            "hr\u{1b}7",
            "spec.externalId",
            CONTROL,
            "escape",
        ),
        (
            "/externalId",
            "hr-7 ",
            "spec.externalId",
            EDGES,
            "a space behind",
        ),
    ] {
        assert_fires(cybsafe(with(pointer, json!(value))), field, rule, why);
    }
    for (pointer, value, why) in [
        (
            "/name/givenName",
            "Zoë Mary-Jane",
            "letters, spaces and dashes",
        ),
        ("/name/familyName", "王", "one character"),
        ("/externalId", "hr-7", "a mark of one's own"),
    ] {
        assert!(cybsafe(with(pointer, json!(value))).is_ok(), "{why}");
    }
}

#[test]
fn every_violation_comes_at_once_sorted_by_field() {
    let violations = cybsafe(json!({
        "connectionRef": {"name": "c"}, "userName": "\u{7}", "title": "Countess", "displayName": "Ada",
        "name": {"familyName": " "}, "preferredLanguage": "xx",
        "addresses": [{"type": "work", "country": "UK"}], "locale": "?"
    }))
    .unwrap_err();
    let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.addresses[work].country",
            "spec.displayName",
            "spec.emails[work].value",
            "spec.locale",
            "spec.name.familyName",
            "spec.name.givenName",
            "spec.preferredLanguage",
            "spec.title",
            "spec.userName"
        ],
        "a broken field is not called missing as well"
    );
}

#[test]
fn warnings_name_fields_and_print_no_address() {
    let differs = "spec.userName differs from spec.emails[work].value: CybSafe may keep two accounts or miss mail";
    let primary = "spec.emails[work].primary: CybSafe needs the work address marked primary; it is sent as primary";
    for (pointer, value, expected, why) in [
        (
            "/userName",
            json!("al@example.com"),
            vec![differs],
            "the e-mail trap",
        ),
        (
            "/userName",
            json!("ADA@Example.com"),
            vec![],
            "case is no difference",
        ),
        (
            "/emails/0/primary",
            json!(false),
            vec![primary],
            "not the user's choice",
        ),
        (
            "/emails/0/primary",
            json!(true),
            vec![],
            "as CybSafe wants it",
        ),
        ("/locale", json!("en"), vec![], "nothing to say"),
    ] {
        let spec = with(pointer, value);
        let valid = cybsafe(spec.clone()).expect(why);
        assert_eq!(valid.warnings, expected, "{why}");
        assert!(valid.warnings.iter().all(|w| !w.contains('@')), "{why}");
        assert_eq!(
            valid.desired.attributes["emails.work.primary"], true,
            "{why}"
        );
        assert!(
            rfc7643(spec).expect(why).warnings.is_empty(),
            "{why}: CybSafe's alone"
        );
    }
}

#[test]
fn what_the_spec_cannot_know_comes_from_the_subject() {
    let spec: ScimUserSpec = serde_json::from_value(person()).unwrap();
    let profile = Profile::resolve(ProfileName::CybSafe, &[]).unwrap();
    let desired = |subject| validate(&spec, &profile, subject).unwrap().desired;
    let plain = desired(subject());
    assert_eq!(plain.external_id, "scim-operator:ns/cybsafe:team/ada");
    assert_eq!(plain.attributes["externalId"], plain.external_id.as_str());
    assert!(plain.active && !plain.attributes.contains_key("manager"));
    let expired = desired(Subject {
        expired: true,
        manager_id: Some("7"),
        ..subject()
    });
    assert_eq!(
        (expired.active, &expired.attributes["active"]),
        (false, &json!(false))
    );
    assert_eq!(expired.attributes["manager"], "7");
    let own = cybsafe(with("/externalId", json!("hr-7"))).unwrap().desired;
    assert_eq!(own.external_id, "hr-7");
    let archived = cybsafe(with("/active", json!(false))).unwrap().desired;
    assert!(!archived.active, "an archived user is a valid one");
}

#[test]
fn nobody_can_write_the_mark_of_another_resource() {
    let rule = "must not begin with scim-operator:, which marks the accounts of other resources";
    for (mark, ok, why) in [
        (
            "scim-operator:ns/cybsafe:team/grace",
            false,
            "another resource",
        ),
        ("scim-operator:prod:team/ada", false, "another operator"),
        (
            "SCIM-Operator:ns/cybsafe:team/grace",
            false,
            "a backend may ignore case",
        ),
        ("scim-operator:ns/cybsafe:team/ada", true, "one's own mark"),
        ("hr-7", true, "another system's"),
    ] {
        let outcome = cybsafe(with("/externalId", json!(mark)));
        match ok {
            true => assert!(outcome.is_ok(), "{why}"),
            false => assert_fires(outcome, "spec.externalId", rule, why),
        }
    }
}

#[test]
fn a_time_that_no_parser_takes_is_a_violation() {
    let rule = "must be a time as in RFC 3339, such as 2027-01-31T18:00:00Z";
    for (time, ok, why) in [
        ("2027-01-31T18:00:00Z", true, "as it should be"),
        ("2027-01-31T18:00:00+01:00", true, "with an offset"),
        ("2026-01-01T00:00:00+99:99", false, "no such offset"),
        ("2030-02-31T00:00:00Z", false, "no such day"),
        ("tomorrow", false, "a word"),
    ] {
        let outcome = cybsafe(with("/validUntil", json!(time)));
        match ok {
            true => assert!(outcome.is_ok(), "{why}"),
            false => assert_fires(outcome, "spec.validUntil", rule, why),
        }
    }
}

/// A spec that breaks every kind of rule, each with this text.
fn broken_with(text: &str) -> Value {
    json!({
        "connectionRef": {"name": "c"}, "userName": format!("{text}\u{7}"), "displayName": text, "title": text,
        "name": {"givenName": format!(" {text}"), "familyName": format!("{text}\n")},
        "emails": [{"type": "home", "value": text}], "phoneNumbers": [{"type": "fax", "value": text}],
        "addresses": [{"type": "work", "country": text, "streetAddress": text}],
        "preferredLanguage": format!("xx-{text}"), "locale": format!("-{text}")
    })
}

proptest! {
    /// Conditions, events and chat get to see the sentence.
    #[test]
    fn sentences_never_hold_a_value(text in "[A-Za-z0-9]{4,24}") {
        let vocabulary = sentence(&cybsafe(broken_with("!")).unwrap_err());
        prop_assume!(!vocabulary.contains(&text));
        let violations = cybsafe(broken_with(&text)).unwrap_err();
        prop_assert_eq!(sentence(&violations), vocabulary);
    }

    /// Warnings are as public as violations.
    #[test]
    fn warnings_never_hold_a_value(name in "[a-z0-9]{4,12}@x[.]example", mail in "[a-z0-9]{4,12}@y[.]example") {
        let mut spec = with("/userName", json!(name));
        spec["emails"] = json!([{"type": "work", "value": mail, "primary": false}]);
        let warnings = cybsafe(spec).unwrap().warnings;
        prop_assert_eq!(warnings.len(), 2);
        prop_assert!(warnings.iter().all(|w| !w.contains(&name) && !w.contains(&mail)));
    }
}
