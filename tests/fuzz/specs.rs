//! Specs: what the schema lets in can be read and planned on, and what it does not is refused in peace.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;
use scim_operator::api::connection::Profile as ProfileName;
use scim_operator::api::group::ScimGroupSpec;
use scim_operator::api::user::ScimUserSpec;
use scim_operator::api::{ScimConnection, ScimGroup, ScimUser};
use scim_operator::domain::diff::{self, Knowledge, NOTHING_RESPELLED};
use scim_operator::domain::group::validate_group;
use scim_operator::domain::identity::Identity;
use scim_operator::domain::names;
use scim_operator::domain::observed::Observed;
use scim_operator::domain::plan::{Plan, plan};
use scim_operator::domain::profile::Profile;
use scim_operator::domain::validate::{Desired, Subject, sentence, validate};
use serde_json::{Value, json};

use super::schema::{json as any_json, spec_of, spoil, valid};
use super::{config, profile};

fn subject() -> Subject<'static> {
    Subject {
        owner_id: "team/hr",
        namespace: "team",
        name: "ada",
        manager_id: None,
        expired: false,
    }
}

/// A spec of a valid person: what the schema lets in, and what the profile needs besides.
fn person() -> impl Strategy<Value = Value> {
    valid(&spec_of::<ScimUser>()).prop_map(|mut spec| {
        let mail = format!(
            "{}@example.com",
            spec["userName"].as_str().map_or(0, str::len)
        );
        for (name, value) in [
            ("userName", json!(mail)),
            ("externalId", Value::Null),
            (
                "name",
                json!({"givenName": "Ada", "familyName": "Lovelace"}),
            ),
            ("emails", json!([{"type": "work", "value": mail}])),
            ("addresses", json!([{"type": "work", "country": "GB"}])),
            ("preferredLanguage", json!("en-GB")),
            ("validUntil", Value::Null),
        ] {
            spec[name] = value;
        }
        // What a text must not be is another property's.
        tidy(&mut spec);
        spec
    })
}

fn tidy(value: &mut Value) {
    match value {
        Value::String(text) => {
            let bare: String = text.chars().filter(|c| !c.is_control()).collect();
            let bare = bare.trim();
            *text = if bare.is_empty() {
                "x".into()
            } else {
                bare.into()
            };
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(object) => object.values_mut().for_each(tidy),
        _ => {}
    }
}

/// The desired state, of what of the spec the profile has a place for.
fn desired(mut spec: Value, profile: &Profile) -> Option<Desired> {
    for _ in 0..2 {
        let read: ScimUserSpec = serde_json::from_value(spec.clone()).unwrap();
        match validate(&read, profile, subject()) {
            Ok(valid) => return Some(valid.desired),
            Err(violations) => {
                for violation in violations {
                    let field = violation.field.trim_start_matches("spec.");
                    let path = field.split(['.', '[']).next().unwrap();
                    spec.as_object_mut().unwrap().remove(path);
                }
            }
        }
    }
    None
}

proptest! {
    #![proptest_config(config(file!()))]

    /// R15: one object that cannot be decoded would stop the watch of all of its kind.
    #[test]
    fn r15_what_the_schema_lets_in_the_types_can_read(
        user in valid(&spec_of::<ScimUser>()),
        group in valid(&spec_of::<ScimGroup>()),
        connection in valid(&spec_of::<ScimConnection>()),
    ) {
        let object = |kind: &str, spec: Value| json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec});
        let user: ScimUser = serde_json::from_value(object("ScimUser", user)).unwrap();
        let group: ScimGroup = serde_json::from_value(object("ScimGroup", group)).unwrap();
        let connection: ScimConnection = serde_json::from_value(object("ScimConnection", connection)).unwrap();
        for profile in [profile(ProfileName::CybSafe), profile(ProfileName::RFC7643)] {
            if let Err(violations) = validate(&user.spec, &profile, subject()) {
                prop_assert!(!sentence(&violations).is_empty());
            }
        }
        if let Err(violations) = validate_group(&group.spec, "team/hr", "team", "crew") {
            prop_assert!(!violations.is_empty());
        }
        let connection = connection.spec;
        let _ = Profile::resolve(connection.profile, &connection.attribute_mapping);
        // The rule in CEL keeps it within bounds; what no CEL kept is a number, or none, and no panic.
        let _ = names::duration_seconds(&connection.sync.interval);
    }

    /// Whatever else is in an object, it is refused or read, in peace.
    #[test]
    fn a_spoiled_spec_is_refused_or_judged(
        mut user in valid(&spec_of::<ScimUser>()),
        mut group in valid(&spec_of::<ScimGroup>()),
        place: Index, how in 0u8..5, other in any_json(),
    ) {
        spoil(&mut user, &place, how, other.clone());
        spoil(&mut group, &place, how, other);
        if let Ok(user) = serde_json::from_value::<ScimUserSpec>(user) {
            let _ = validate(&user, &profile(ProfileName::CybSafe), subject());
            let _ = validate(&user, &profile(ProfileName::RFC7643), subject());
        }
        if let Ok(group) = serde_json::from_value::<ScimGroupSpec>(group) {
            let _ = validate_group(&group, "team/hr", "team", "crew");
        }
    }

    /// Created, and then changed from any spec to any other: each is in step after one write, as the
    /// backend has it and as it is assumed to.
    #[test]
    fn a_sequence_of_specs_is_in_step_after_each(
        specs in prop::collection::vec(person(), 2..4),
        cybsafe: bool,
    ) {
        let profile = profile(if cybsafe { ProfileName::CybSafe } else { ProfileName::RFC7643 });
        let echoed: BTreeSet<String> = profile.iter().map(|(name, _)| name.to_owned()).collect();
        let mut managed = BTreeSet::new();
        let mut account: Option<Value> = None;
        for spec in specs {
            let Some(desired) = desired(spec, &profile) else { continue };
            let mut knowledge = Knowledge { managed: &managed, echoed: &echoed, spec_changed: true, respelled: &NOTHING_RESPELLED };
            let identity = match &account {
                Some(account) => Identity::Ours(Observed::read(account, &profile).unwrap()),
                None => Identity::Nobody,
            };
            match plan(&desired, identity, &profile, knowledge) {
                Plan::Noop(_) => {}
                Plan::Create => {
                    let mut body = diff::create_body(&desired, &profile);
                    body["id"] = json!("1");
                    account = Some(body);
                }
                Plan::Update { changes, account: seen, .. } => {
                    let there = account.as_mut().unwrap();
                    diff::merge_into(there, &changes);
                    let after = Observed::read(there, &profile).unwrap();
                    prop_assert!(!diff::patch(&changes, &desired, &seen, &profile).is_empty());
                    prop_assert_eq!(after.attributes, diff::assume(&seen, &changes, &desired, &profile).attributes);
                }
                Plan::Blocked(identity) => prop_assert!(false, "{:?}", identity),
            }
            managed = desired.attributes.keys().cloned().collect();
            knowledge = Knowledge { managed: &managed, echoed: &echoed, spec_changed: false, respelled: &NOTHING_RESPELLED };
            let now = Observed::read(account.as_ref().unwrap(), &profile).unwrap();
            prop_assert_eq!(diff::changes(&desired, &now, &profile, knowledge), vec![]);
        }
    }

    /// The mark is the proof of ownership: no spec passes with the mark of another resource.
    #[test]
    fn no_spec_bears_the_mark_of_another(mut spec in person(), mark in "(scim|SCIM)-[oO]perator:[a-z/:]{0,9}|[a-z]{1,9}") {
        spec["externalId"] = json!(mark);
        let spec: ScimUserSpec = serde_json::from_value(spec).unwrap();
        if let Ok(valid) = validate(&spec, &profile(ProfileName::RFC7643), subject()) {
            prop_assert!(!names::is_mark_of_another(Some(&valid.desired.external_id.to_lowercase()), &valid.desired.own_mark));
        }
    }

    /// Never more nor less than the sum, and no text is too odd.
    #[test]
    fn durations_are_read_or_refused(parts in prop::collection::vec((0u64..100_000, 0usize..3), 1..9), odd in r"\PC{0,12}|[0-9]{0,30}[hms]") {
        let text: String = parts.iter().map(|(number, unit)| format!("{number}{}", ["h", "m", "s"][*unit])).collect();
        let sum: u64 = parts.iter().map(|(number, unit)| number * [3600, 60, 1][*unit]).sum();
        prop_assert_eq!(names::duration_seconds(&text), Some(sum));
        let _ = names::duration_seconds(&odd);
    }

    /// A mark leads back to its resource, and to none of another owner.
    #[test]
    fn marks_lead_back(owner in "[a-z0-9/._-]{1,20}", other in "[a-z0-9/._-]{1,20}", namespace in "[a-z0-9-]{1,9}", name in "[a-z0-9.-]{1,9}") {
        let mark = names::external_id(&owner, &namespace, &name);
        prop_assert_eq!(names::resource_of_mark(&owner, &mark), Some((&*namespace, &*name)));
        prop_assert_eq!(names::resource_of_mark(&other, &mark).is_some(), other == owner);
    }
}
