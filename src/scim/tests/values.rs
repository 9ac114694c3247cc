//! Reading, writing and clearing along a path; lenient reading of replies.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::scim::path::AttributePath;
use crate::scim::types::{self, Page};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn path(text: &str) -> AttributePath {
    text.parse().unwrap()
}

fn enterprise(attribute: &str) -> AttributePath {
    path(&format!("{ENTERPRISE}:{attribute}"))
}

#[test]
fn values_are_found_whatever_the_server_did_to_the_spelling() {
    let ada = json!({
        "USERNAME": "ada",
        "name": {"givenname": "Ada"},
        "emails": [
            {"type": "home", "value": "h"},
            {"type": "Work"},
            {"TYPE": "work", "Value": "w"},
        ],
        "phoneNumbers": [{"value": "1"}, {"value": "2", "primary": "True"}],
        "addresses": {"type": "work", "country": "GB"},
        ENTERPRISE.to_lowercase(): {"department": "Maths", "manager": "m1"},
    });
    let cases = [
        (path("userName"), Some(json!("ada"))),
        (path("name.givenName"), Some(json!("Ada"))),
        (path(r#"emails[type eq "work"].value"#), Some(json!("w"))),
        (
            path(r#"emails[type eq "home"]"#),
            Some(json!({"type": "home", "value": "h"})),
        ),
        (path(r#"emails[type eq "other"].value"#), None),
        (path("phoneNumbers.value"), Some(json!("2"))),
        (
            path(r#"addresses[type eq "work"].country"#),
            Some(json!("GB")),
        ),
        (enterprise("department"), Some(json!("Maths"))),
        (enterprise("manager.value"), Some(json!("m1"))),
        (enterprise("division"), None),
        (path("department"), None),
    ];
    for (path, expected) in cases {
        assert_eq!(path.read(&ada), expected.as_ref(), "{path}");
    }
}

#[test]
fn null_and_empty_values_are_absent() {
    for nothing in [json!(null), json!(""), json!([]), json!({})] {
        assert_eq!(path("title").read(&json!({"title": nothing})), None);
        assert_eq!(
            path("name.givenName").read(&json!({"name": {"givenName": nothing}})),
            None
        );
        assert_eq!(path("title").read(&nothing), None);
    }
    assert_eq!(
        path("active").read(&json!({"active": false})),
        Some(&json!(false))
    );
}

#[test]
fn an_element_exists_whether_or_not_it_has_the_value() {
    let ada = json!({"emails": [{"type": "work"}], "name": {"givenName": "Ada"}});
    assert!(path(r#"emails[type eq "WORK"].value"#).element_exists(&ada));
    assert!(!path(r#"emails[type eq "home"].value"#).element_exists(&ada));
    assert!(path("name.familyName").element_exists(&ada));
    assert!(!path("title").element_exists(&ada));
    assert!(!enterprise("manager.value").element_exists(&ada));
}

#[test]
fn writing_builds_a_body_that_declares_its_extension() {
    let mut body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]});
    path("userName").write(&mut body, json!("ada"));
    path("name.givenName").write(&mut body, json!("Ada"));
    path(r#"emails[type eq "work"].value"#).write(&mut body, json!("w"));
    path(r#"emails[type eq "work"].primary"#).write(&mut body, json!(true));
    path(r#"addresses[type eq "work"]"#).write(&mut body, json!({"country": "GB"}));
    path("roles.value").write(&mut body, json!("admin"));
    enterprise("department").write(&mut body, json!("Maths"));
    enterprise("manager.value").write(&mut body, json!("m1"));
    assert_eq!(
        body,
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
            "userName": "ada",
            "name": {"givenName": "Ada"},
            "emails": [{"type": "work", "value": "w", "primary": true}],
            "addresses": [{"type": "work", "country": "GB"}],
            "roles": [{"value": "admin"}],
            ENTERPRISE: {"department": "Maths", "manager": {"value": "m1"}},
        })
    );
}

#[test]
fn writing_keeps_the_servers_spelling_and_its_other_values() {
    let mut ada = json!({
        "Name": {"GIVENNAME": "A", "familyName": "L"},
        "emails": [{"type": "home", "value": "h"}, {"type": "Work", "value": "w", "display": "d"}],
        "manager": "in the way",
    });
    path("name.givenName").write(&mut ada, json!("Ada"));
    path(r#"emails[type eq "work"].value"#).write(&mut ada, json!("new"));
    path("manager.value").write(&mut ada, json!("m1"));
    assert_eq!(
        ada,
        json!({
            "Name": {"GIVENNAME": "Ada", "familyName": "L"},
            "emails": [
                {"type": "home", "value": "h"},
                {"type": "Work", "value": "new", "display": "d"},
            ],
            "manager": {"value": "m1"},
        })
    );
}

#[test]
fn clearing_removes_the_value_and_what_it_leaves_hollow() {
    let full = json!({
        "schemas": [ENTERPRISE],
        "name": {"givenName": "Ada"},
        "emails": [
            {"type": "work", "value": "w", "primary": true},
            {"type": "home", "value": "h", "display": "d"},
        ],
        "title": "Countess",
        ENTERPRISE: {"department": "Maths", "manager": {"value": "m1"}},
    });
    let cleared = |paths: &[AttributePath]| {
        let mut resource = full.clone();
        paths.iter().for_each(|path| path.clear(&mut resource));
        resource
    };
    let cases = [
        (vec![path("title")], "title", None),
        (vec![path("name.givenName")], "name", None),
        (
            vec![path(r#"emails[type eq "work"].value"#)],
            "emails",
            Some(json!([{"type": "home", "value": "h", "display": "d"}])),
        ),
        (
            vec![path(r#"emails[type eq "home"].value"#)],
            "emails",
            Some(json!([
                {"type": "work", "value": "w", "primary": true},
                {"type": "home", "display": "d"},
            ])),
        ),
        (
            vec![
                path(r#"emails[type eq "work"]"#),
                path(r#"emails[type eq "home"]"#),
            ],
            "emails",
            None,
        ),
        (
            vec![enterprise("department"), enterprise("manager.value")],
            ENTERPRISE,
            None,
        ),
        (
            vec![enterprise("department"), enterprise("manager.value")],
            "schemas",
            Some(json!([])),
        ),
        (
            vec![enterprise("manager")],
            ENTERPRISE,
            Some(json!({"department": "Maths"})),
        ),
    ];
    for (paths, member, expected) in cases {
        assert_eq!(cleared(&paths).get(member), expected.as_ref(), "{member}");
    }
    assert_eq!(
        cleared(&[path("nickName"), path("title.x"), path("x[type eq \"y\"]")]),
        full
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_once_cleared_is_gone(
        text in r#"(urn:x:y:)?[a-c](\[type eq "[a-c]"\])?(\.[a-c])?"#,
        others in proptest::collection::vec(r#"(urn:x:y:)?[a-c](\[type eq "[a-c]"\])?(\.[a-c])?"#, 0..4),
    ) {
        let path = path(&text);
        let mut resource = json!({});
        for other in others {
            other.parse::<AttributePath>().unwrap().write(&mut resource, json!("other"));
        }
        path.write(&mut resource, json!("it"));
        let read = path.read(&resource).cloned();
        if path.selector.is_some() && path.sub.is_none() {
            prop_assert_eq!(&read.unwrap()["value"], &json!("it"));
        } else {
            prop_assert_eq!(read, Some(json!("it")));
        }
        path.clear(&mut resource);
        prop_assert_eq!(path.read(&resource), None);
    }
}

#[test]
fn pages_are_read_in_every_shape_seen() {
    let read = |value: Value| Page::from_value(value);
    let schemas = json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]);
    let missing = read(json!({"schemas": schemas, "totalResults": 0})).unwrap();
    assert_eq!((missing.total, missing.resources.len()), (Some(0), 0));
    let strings = read(
        json!({"totalResults": "2", "startIndex": "1", "itemsPerPage": 2.0,
        "resources": [{}, {}], "nextCursor": ""}),
    )
    .unwrap();
    assert_eq!((strings.total, strings.start_index), (Some(2), 1));
    assert_eq!(
        (strings.items_per_page, strings.next_cursor),
        (Some(2), None)
    );
    assert_eq!(strings.resources.len(), 2);
    assert_eq!(read(json!({"Resources": null})).unwrap().resources.len(), 0);
    assert_eq!(read(json!([{"id": "1"}])).unwrap().resources.len(), 1);
    assert!(
        read(json!({"schemas": schemas}))
            .unwrap()
            .resources
            .is_empty()
    );
    for no_list in [
        json!({"message": "welcome"}),
        json!("x"),
        json!({"Resources": {}}),
        json!({}),
    ] {
        assert!(read(no_list.clone()).is_err(), "{no_list}");
    }
}

#[test]
fn the_common_attributes_are_read_leniently() {
    let user = json!({"ID": 7, "userName": "ada", "externalId": "x", "active": "False",
        "meta": {"version": "W/\"1\"", "LastModified": "2027-01-31"}, "displayName": ""});
    assert_eq!(types::id_of(&user).as_deref(), Some("7"));
    assert_eq!(types::user_name_of(&user), Some("ada"));
    assert_eq!(types::external_id_of(&user), Some("x"));
    assert_eq!(types::active_of(&user), Some(false));
    assert_eq!(types::version_of(&user), Some("W/\"1\""));
    assert_eq!(types::last_modified_of(&user), Some("2027-01-31"));
    assert_eq!(types::display_name_of(&user), None);
    assert_eq!(types::external_id_of(&json!({"externalId": 7})), None);
    assert_eq!(types::id_of(&json!({"id": ""})), None);
    let long = |length: usize| types::id_of(&json!({"id": "x".repeat(length)}));
    assert!(long(1024).is_some() && long(1025).is_none());
    assert_eq!(types::active_of(&json!({"active": "yes"})), None);
}
