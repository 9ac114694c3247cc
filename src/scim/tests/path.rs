//! Paths: the forms accepted, the canonical spelling, the refusals.

use proptest::prelude::*;

use crate::scim::path::{AttributePath, PathError};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn parsed(text: &str) -> AttributePath {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_form_is_parsed_and_printed_canonically() {
    let department = format!("{ENTERPRISE}:department");
    let manager = format!("{ENTERPRISE}:manager.value");
    let cases = [
        ("userName", "userName", "a bare attribute"),
        ("name.givenName", "name.givenName", "a sub-attribute"),
        ("manager.$ref", "manager.$ref", "the one name with a dollar"),
        (
            r#"emails[type eq "work"].value"#,
            r#"emails[type eq "work"].value"#,
            "an element",
        ),
        (
            r#"emails[ TYPE  EQ "a:b.c]" ]"#,
            r#"emails[type eq "a:b.c]"]"#,
            "spaces and case",
        ),
        (&department, &department, "an extension"),
        (&manager, &manager, "an extension's sub-attribute"),
        (
            "urn:ietf:params:scim:schemas:core:2.0:User:name.givenName",
            "name.givenName",
            "the core schema is no prefix",
        ),
    ];
    for (text, canonical, why) in cases {
        assert_eq!(parsed(text).to_string(), canonical, "{why}");
    }
    let path = parsed(&manager);
    assert_eq!(path.schema.as_deref(), Some(ENTERPRISE));
    assert_eq!(
        (path.attribute.as_str(), path.sub.as_deref()),
        ("manager", Some("value"))
    );
    assert_eq!(
        path.container().to_string(),
        format!("{ENTERPRISE}:manager")
    );
}

#[test]
fn every_rule_fires_where_the_text_breaks_it() {
    let long = "a".repeat(257);
    let schema = format!("{ENTERPRISE}:");
    let cases = [
        ("", PathError::Empty),
        (&long, PathError::TooLong),
        ("1a", PathError::Name { position: 0 }),
        ("a b", PathError::Name { position: 1 }),
        ("name.", PathError::Name { position: 5 }),
        ("name.given.x", PathError::Trailing { position: 10 }),
        ("émails", PathError::Name { position: 0 }),
        (
            r#"emails[value eq "x"]"#,
            PathError::Selector { position: 7 },
        ),
        (
            r#"emails[type ne "x"]"#,
            PathError::Selector { position: 12 },
        ),
        (
            r#"emails[type eq "x" and primary eq true]"#,
            PathError::Selector { position: 19 },
        ),
        (
            r#"emails[type eq "a\"b"]"#,
            PathError::Selector { position: 17 },
        ),
        (
            r#"emails[type eq ""]"#,
            PathError::Selector { position: 16 },
        ),
        (r#"emails[type eq "x"#, PathError::Selector { position: 17 }),
        (
            r#"emails[type eq "x"]value"#,
            PathError::Trailing { position: 19 },
        ),
        ("ldap:cn", PathError::Schema { position: 0 }),
        ("urn:a b:cn", PathError::Schema { position: 5 }),
        (
            &schema,
            PathError::Name {
                position: schema.len(),
            },
        ),
        (ENTERPRISE, PathError::SchemaOnly),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<AttributePath>(), Err(error), "{text}");
    }
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z][A-Za-z0-9_-]{0,12}"
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_itself(
        schema in proptest::option::of("urn:[a-z]{1,5}:[a-zA-Z0-9._-]{1,8}:x"),
        attribute in name(),
        selector in proptest::option::of(r#"[^"\\\pC]{1,20}"#),
        sub in proptest::option::of(name()),
    ) {
        let path = AttributePath { schema, attribute, selector, sub };
        prop_assert_eq!(path.to_string().parse::<AttributePath>(), Ok(path));
    }

    #[test]
    fn no_text_panics_and_what_parses_is_stable(text in r#"[a-z:.\[\]"$ é]{0,40}|\PC{0,40}"#) {
        if let Ok(path) = text.parse::<AttributePath>() {
            prop_assert_eq!(path.to_string().parse::<AttributePath>(), Ok(path));
        }
    }
}
