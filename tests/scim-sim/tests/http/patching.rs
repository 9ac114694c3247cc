//! PATCH (RFC 7644 §3.5.2) on users.

use serde_json::{Value, json};

use crate::support::{ENTERPRISE, Rig};

/// One operation that succeeds, and what is then found at a JSON pointer.
#[tokio::test]
async fn every_form_of_path_is_understood() {
    let rig = Rig::new().await;
    let extension = |name: &str| format!("/{ENTERPRISE}/{name}");
    let urn = |name: &str| format!("{ENTERPRISE}:{name}");
    let new_email = json!({"type": "work", "value": "n@example.com", "primary": true});
    for (why, operation, pointer, expected) in [
        (
            "plain",
            json!({"op": "add", "path": "city", "value": "Oslo"}),
            "/city".into(),
            json!("Oslo"),
        ),
        (
            "any case",
            json!({"op": "Replace", "path": "CITY", "value": "Oslo"}),
            "/city".into(),
            json!("Oslo"),
        ),
        (
            "core URN",
            json!({"op": "add", "path": "urn:ietf:params:scim:schemas:core:2.0:User:city", "value": "Oslo"}),
            "/city".into(),
            json!("Oslo"),
        ),
        (
            "externalId",
            json!({"op": "add", "path": "externalId", "value": "x"}),
            "/externalId".into(),
            json!("x"),
        ),
        (
            "sub-attribute",
            json!({"op": "replace", "path": "name.givenName", "value": "Eve"}),
            "/name".into(),
            json!({"givenName": "Eve", "familyName": "Lovelace"}),
        ),
        (
            "complex merges",
            json!({"op": "replace", "path": "name", "value": {"GivenName": "Eve"}}),
            "/name".into(),
            json!({"givenName": "Eve", "familyName": "Lovelace"}),
        ),
        (
            "filter and sub",
            json!({"op": "replace", "path": "emails[type eq \"work\"].value", "value": "n@example.com"}),
            "/emails/0".into(),
            new_email.clone(),
        ),
        (
            "filter, any case",
            json!({"op": "add", "path": "addresses[Type EQ \"WORK\"].country", "value": "NO"}),
            "/addresses/0/country".into(),
            json!("NO"),
        ),
        (
            "filter, whole element",
            json!({"op": "replace", "path": "emails[type eq \"work\"]", "value": new_email}),
            "/emails/0".into(),
            new_email.clone(),
        ),
        (
            "filter, add merges",
            json!({"op": "add", "path": "emails[type eq \"work\" and primary eq true]", "value": {"value": "n@example.com"}}),
            "/emails/0".into(),
            new_email.clone(),
        ),
        (
            "filter, not and pr",
            json!({"op": "replace", "path": "emails[not (type ne \"work\") and value pr].value", "value": "n@example.com"}),
            "/emails/0".into(),
            new_email.clone(),
        ),
        (
            "multi-valued sub",
            json!({"op": "replace", "path": "emails.value", "value": "n@example.com"}),
            "/emails/0".into(),
            new_email.clone(),
        ),
        (
            "multi-valued",
            json!({"op": "add", "path": "phoneNumbers", "value": [{"type": "mobile", "value": "1"}]}),
            "/phoneNumbers".into(),
            json!([{"type": "mobile", "value": "1"}]),
        ),
        (
            "single for multi-valued",
            json!({"op": "add", "path": "phoneNumbers", "value": {"type": "mobile", "value": "1"}}),
            "/phoneNumbers/0/value".into(),
            json!("1"),
        ),
        (
            "new primary takes the mark",
            json!({"op": "add", "path": "emails", "value": [new_email]}),
            "/emails/0/primary".into(),
            json!(false),
        ),
        (
            "extension attribute",
            json!({"op": "add", "path": urn("department"), "value": "R&D"}),
            extension("department"),
            json!("R&D"),
        ),
        (
            "extension, any case",
            json!({"op": "add", "path": urn("DEPARTMENT").to_uppercase(), "value": "R&D"}),
            extension("department"),
            json!("R&D"),
        ),
        (
            "extension sub",
            json!({"op": "add", "path": urn("manager.value"), "value": "m"}),
            extension("manager/value"),
            json!("m"),
        ),
        (
            "extension complex",
            json!({"op": "replace", "path": urn("manager"), "value": {"value": "m"}}),
            extension("manager/value"),
            json!("m"),
        ),
        (
            "whole extension",
            json!({"op": "add", "path": ENTERPRISE, "value": {"division": "d"}}),
            extension("division"),
            json!("d"),
        ),
        (
            "no path",
            json!({"op": "add", "value": {"city": "Oslo", "nickName": "x"}}),
            "/city".into(),
            json!("Oslo"),
        ),
        (
            "no path, extension",
            json!({"op": "replace", "value": {ENTERPRISE: {"division": "d"}}}),
            extension("division"),
            json!("d"),
        ),
        (
            "unknown is dropped",
            json!({"op": "add", "path": "nickName", "value": "x"}),
            "/nickName".into(),
            Value::Null,
        ),
        (
            "null clears",
            json!({"op": "replace", "path": "locale", "value": null}),
            "/locale".into(),
            Value::Null,
        ),
        (
            "remove",
            json!({"op": "remove", "path": "locale"}),
            "/locale".into(),
            Value::Null,
        ),
        (
            "remove what is not there",
            json!({"op": "remove", "path": urn("division")}),
            extension("division"),
            Value::Null,
        ),
        (
            "remove without a match",
            json!({"op": "remove", "path": "emails[type eq \"home\"]"}),
            "/emails/1".into(),
            Value::Null,
        ),
    ] {
        let id = rig.add_user(why).await;
        rig.sim.edit_user(&id, |user| user["locale"] = "en".into());
        let patched = rig.patch(&format!("Users/{id}"), json!([operation])).await;
        assert_eq!(patched.status, 200, "{why}: {}", patched.body);
        let found = patched.body.pointer(&pointer).unwrap_or(&Value::Null);
        assert_eq!(found, &expected, "{why}: {}", patched.body);
        assert_eq!(rig.sim.user(&id).unwrap(), patched.body, "{why}");
    }
}

#[tokio::test]
async fn refused_patches_say_why_and_change_nothing() {
    let rig = Rig::new().await;
    let id = rig.add_user("ada@example.com").await;
    let before = rig.sim.user(&id);
    for (operation, refusal) in [
        (
            json!({"op": "replace", "path": "emails[type eq \"home\"].value", "value": "a@b"}),
            "noTarget",
        ),
        (
            json!({"op": "add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "1"}),
            "noTarget",
        ),
        (
            json!({"op": "replace", "path": "phoneNumbers.value", "value": "1"}),
            "noTarget",
        ),
        (json!({"op": "remove"}), "noTarget"),
        (
            json!({"op": "replace", "path": "id", "value": "x"}),
            "mutability",
        ),
        (
            json!({"op": "remove", "path": "meta.created"}),
            "mutability",
        ),
        (json!({"op": "remove", "path": "userName"}), "mutability"),
        (
            json!({"op": "remove", "path": "emails[type eq \"work\"]"}),
            "mutability",
        ),
        (
            json!({"op": "replace", "path": "emails", "value": []}),
            "invalidValue",
        ),
        (
            json!({"op": "replace", "path": "emails", "value": [{"type": "home", "value": "a@b"}]}),
            "invalidValue",
        ),
        (
            json!({"op": "replace", "path": "preferredLanguage", "value": "xx"}),
            "invalidValue",
        ),
        (
            json!({"op": "replace", "path": "active", "value": "False"}),
            "invalidValue",
        ),
        (json!({"op": "add", "value": "city"}), "invalidValue"),
        (
            json!({"op": "replace", "path": "name[x eq \"1\"]", "value": {}}),
            "invalidPath",
        ),
        (
            json!({"op": "replace", "path": "emails[type eq", "value": "x"}),
            "invalidPath",
        ),
        (
            json!({"op": "replace", "path": "emails[type co \"w\"].value", "value": "x"}),
            "invalidFilter",
        ),
        (
            json!({"op": "move", "path": "city", "value": "x"}),
            "invalidSyntax",
        ),
        (json!({"op": "add", "path": "city"}), "invalidSyntax"),
    ] {
        let first = json!({"op": "replace", "path": "city", "value": "Oslo"});
        let refused = rig
            .patch(&format!("Users/{id}"), json!([first, operation]))
            .await;
        assert_eq!(refused.refusal(), (400, refusal), "{operation}");
        assert_eq!(rig.sim.user(&id), before, "{operation}: PATCH is atomic");
    }
    assert_eq!(rig.patch("Users/nobody", json!([])).await.status, 404);
}
