//! What holds from a spec to the requests, across the modules, for every input: one pass converges,
//! and messages hold no values. What one module decides is shown in its own tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::diff::{self, Knowledge};
use super::observed::Observed;
use super::profile::Profile;
use super::validate::{Desired, Subject, Valid, Violation, sentence, validate};
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

proptest! {
    /// Acting once is enough: what a patch is assumed to leave needs no other patch.
    #[test]
    fn one_pass_converges(before in subset(), after in subset()) {
        let profile = profile(Name::RFC7643);
        let old = desired(before, Name::RFC7643);
        let new = desired(after, Name::RFC7643);
        let mut body = diff::create_body(&old, &profile);
        body["id"] = json!("1");
        let observed = Observed::read(&body, &profile).unwrap();
        let managed: BTreeSet<String> = old.attributes.keys().cloned().collect();
        let all: BTreeSet<String> = profile.iter().map(|(name, _)| name.to_owned()).collect();
        let changes = diff::changes(&new, &observed, &profile, Knowledge { managed: &managed, echoed: &all, spec_changed: true, respelled: &diff::NOTHING_RESPELLED });
        let settled = diff::assume(&observed, &changes, &new, &profile);
        let managed: BTreeSet<String> = new.attributes.keys().cloned().collect();
        let rest = diff::changes(&new, &settled, &profile, Knowledge { managed: &managed, echoed: &all, spec_changed: false, respelled: &diff::NOTHING_RESPELLED });
        prop_assert!(rest.is_empty(), "{rest:?}");
        // And GET, merge, PUT ends in the same state as the patch.
        diff::merge_into(&mut body, &changes);
        prop_assert_eq!(Observed::read(&body, &profile).unwrap().attributes, settled.attributes);
    }

    /// Messages name fields and rules, never what somebody wrote.
    #[test]
    fn messages_hold_no_values(value in "[A-Z0-9]{6,20}") {
        let mut spec = person();
        spec["preferredLanguage"] = json!(value);
        spec["displayName"] = json!(value);
        spec["addresses"][0]["country"] = json!(value);
        let message = sentence(&check(spec, Name::CybSafe).unwrap_err());
        prop_assert!(!message.contains(&value), "{message}");
    }
}

fn subset() -> impl Strategy<Value = Value> {
    (any::<[bool; 6]>(), "[a-z]{1,8}").prop_map(|(keep, word)| {
        let mut spec = person();
        let object = spec.as_object_mut().unwrap();
        object["enterprise"] = json!({"department": word, "division": word, "manager": {"value": word}});
        object["addresses"] = json!([{"type": "work", "country": "GB", "locality": word}, {"type": "home", "country": "FR"}]);
        for (kept, key) in keep.iter().zip(["name", "emails", "phoneNumbers", "addresses", "enterprise", "preferredLanguage"]) {
            if !kept {
                object.remove(key);
            }
        }
        spec
    })
}
