//! What is read of a resource, and what makes two sightings differ.

use serde_json::json;

use super::*;
use crate::api::connection::Profile as ProfileName;

fn seen(resource: &Value) -> Observed {
    let profile = Profile::resolve(ProfileName::CybSafe, &[]).unwrap();
    Observed::read(resource, &profile).unwrap()
}

#[test]
fn elements_with_sub_attributes_that_no_profile_speaks_of_are_remembered() {
    let (mail, address) = (r#"emails[type eq "work"]"#, r#"addresses[type eq "work"]"#);
    for (resource, expected, why) in [
        (
            json!({"id": "1", "emails": [{"type": "work", "value": "a@x", "primary": true}]}),
            vec![],
            "the profile speaks of all of it",
        ),
        (
            json!({"id": "1", "emails": [{"TYPE": "Work", "Value": "a@x", "PRIMARY": true}]}),
            vec![],
            "names and types ignore case (RFC 7643 §2.1)",
        ),
        (
            json!({"id": "1", "emails": [{"type": "work", "display": "Ada"}]}),
            vec![mail],
            "display is nobody's we know",
        ),
        (
            json!({"id": "1", "emails": [{"type": "work", "value": "a@x", "display": ""}]}),
            vec![],
            "an empty text is no value (RFC 7643 §2.5)",
        ),
        (
            json!({"id": "1", "addresses": [{"type": "work", "country": "GB", "locality": "Bath"}]}),
            vec![address],
            "CybSafe's profile has no town",
        ),
        (
            json!({"id": "1", "addresses": {"type": "work", "formatted": "Bath, GB"}}),
            vec![address],
            "a single object counts as a list of one",
        ),
        (
            json!({"id": "1", "addresses": [{"type": "work"}, {"type": "work", "formatted": "Bath"}]}),
            vec![address],
            "any element of the type",
        ),
        (
            json!({"id": "1", "addresses": [{"type": "home", "formatted": "Bath"}]}),
            vec![],
            "an element that the profile does not speak of at all is never removed",
        ),
    ] {
        let extra: Vec<_> = seen(&resource).extra.into_iter().collect();
        assert_eq!(extra, expected, "{why}");
    }
}

#[test]
fn what_a_profile_does_not_speak_of_wakes_nobody() {
    let plain =
        json!({"id": "1", "meta": {"version": "1"}, "emails": [{"type": "work", "value": "a@x"}]});
    for (pointer, value, same, why) in [
        ("/meta/version", json!("2"), true, "a version says nothing"),
        ("/emails/0/display", json!("Ada"), true, "not ours to mend"),
        ("/nickName", json!("A"), true, "not ours to mend"),
        ("/emails/0/value", json!("b@x"), false, "another address"),
        ("/emails/0/type", json!("home"), false, "another element"),
        ("/active", json!(false), false, "a leaver"),
        ("/userName", json!("ada"), false, "another name"),
        ("/externalId", json!("m"), false, "another mark"),
        ("/id", json!("2"), false, "another account"),
    ] {
        let mut changed = plain.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        changed.pointer_mut(parent).unwrap()[key] = value;
        assert_ne!(changed, plain, "{why}");
        assert_eq!(seen(&plain).same_state(&seen(&changed)), same, "{why}");
    }
}

#[test]
fn what_was_created_and_not_shown_is_what_was_sent_with_its_id() {
    let profile = Profile::resolve(ProfileName::CybSafe, &[]).unwrap();
    let sent = json!({
        "userName": "ada", "externalId": "m", "active": true,
        "emails": [{"type": "work", "value": "a@x", "primary": true}],
    });
    let mut shown = sent.clone();
    shown["id"] = json!("7");
    shown["meta"] = json!({"version": "W/\"1\""});
    let version = || Some("W/\"1\"".to_owned());
    let assumed = Observed::assumed(&sent, "7", version(), true, &profile);
    assert_eq!(assumed, Some(seen(&shown)));
    shown["externalId"].take();
    let assumed = Observed::assumed(&sent, "7", version(), false, &profile);
    assert_eq!(assumed, Some(seen(&shown)), "no mark where none comes back");
    assert_eq!(
        Observed::assumed(&json!([]), "7", None, true, &profile),
        None
    );
}
