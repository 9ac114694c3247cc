//! Manifests as a person would write them: the fields in the order in which the types have them, no nulls, and nothing
//! that the API server would default to the same.

use serde::Serialize;

use crate::api::group::ScimGroupSpec;
use crate::api::user::ScimUserSpec;
use crate::api::{GROUP, VERSION};
use crate::cli::Failure;
use crate::cli::tame::tame;

/// What the types write though the API server would default to it: lines of a spec's own fields, which no text within
/// one can be, since a text stays in its line.
const USUAL: [&str; 2] = ["  active: true", "  membership: Exact"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a, S> {
    api_version: String,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: S,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
}

/// A ScimUser as YAML, under these comments.
///
/// # Errors
/// When it cannot be written as YAML, which no spec brings about.
pub fn user(
    name: &str,
    namespace: &str,
    spec: &ScimUserSpec,
    comments: &[String],
) -> Result<String, Failure> {
    document("ScimUser", name, namespace, spec, comments)
}

/// A ScimGroup as YAML, under these comments.
///
/// # Errors
/// As [`user`].
pub fn group(
    name: &str,
    namespace: &str,
    spec: &ScimGroupSpec,
    comments: &[String],
) -> Result<String, Failure> {
    document("ScimGroup", name, namespace, spec, comments)
}

/// A kustomization of these files.
///
/// # Errors
/// As [`user`].
pub fn kustomization(resources: &[String]) -> Result<String, Failure> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Kustomization<'a> {
        api_version: &'static str,
        kind: &'static str,
        resources: &'a [String],
    }
    written(&Kustomization {
        api_version: "kustomize.config.k8s.io/v1beta1",
        kind: "Kustomization",
        resources,
    })
}

fn document(
    kind: &'static str,
    name: &str,
    namespace: &str,
    spec: impl Serialize,
    comments: &[String],
) -> Result<String, Failure> {
    // One line each, whatever a backend has said: what follows a line break would be no comment.
    let mut text: String = comments
        .iter()
        .map(|line| format!("# {}\n", tame(line)))
        .collect();
    let whole = written(&Document {
        api_version: format!("{GROUP}/{VERSION}"),
        kind,
        metadata: Metadata { name, namespace },
        spec,
    })?;
    for line in whole.lines().filter(|line| !USUAL.contains(line)) {
        text.push_str(line);
        text.push('\n');
    }
    Ok(text)
}

fn written(value: &impl Serialize) -> Result<String, Failure> {
    // A long text stays one line, as it was: folded ones are hard to edit, and to compare.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options)
        .map_err(|e| Failure::of("writing YAML", e.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Texts that a reader of YAML may take for something else, or that end its line.
    const ODD: [&str; 26] = [
        "x\n  active: true\n  membership: Exact",
        "  active: true",
        "NO",
        "y",
        "on",
        "null",
        "~",
        "true",
        "0123",
        "+447700900123",
        "1e3",
        "12:30:45",
        "1_000",
        ".5",
        "0x1F",
        "2027-01-31",
        "=",
        "- a",
        "a: b",
        "a #b",
        "\"quoted\" 'single'",
        "{a}",
        "@ada",
        "Zoë 李 \u{1F600}",
        "back\\slash",
        "!tag &anchor *alias %directive",
    ];

    #[test]
    fn what_is_written_is_tidy() {
        let spec: ScimUserSpec = serde_json::from_value(json!({
            "connectionRef": {"name": "scim", "namespace": null}, "userName": "ada@example.com",
            "emails": [{"type": "work", "value": "ada@example.com", "primary": true}],
            "enterprise": {"manager": {"userRef": {"name": "charles"}}},
            "adopt": {"id": "7"},
        }))
        .unwrap();
        insta::assert_snapshot!(
            user("ada", "identity", &spec, &["A comment.".into()]).unwrap(),
            @r#"
        # A comment.
        apiVersion: scim-operator.io/v1alpha1
        kind: ScimUser
        metadata:
          name: ada
          namespace: identity
        spec:
          connectionRef:
            name: scim
          userName: ada@example.com
          emails:
          - type: work
            value: ada@example.com
            primary: true
          enterprise:
            manager:
              userRef:
                name: charles
          adopt:
            id: "7"
        "#
        );
    }

    #[test]
    fn nothing_is_lost_and_nothing_is_taken_for_something_else() {
        for odd in ODD {
            let told = json!({
                "connectionRef": {"name": "scim"}, "userName": odd, "externalId": odd, "active": false,
                "name": {"givenName": odd, "familyName": odd}, "displayName": odd, "title": odd.repeat(20),
                "emails": [{"type": "other", "value": odd}], "phoneNumbers": [{"type": "fax", "value": odd}],
                "addresses": [{"type": "home", "country": odd}], "preferredLanguage": odd, "locale": odd,
                "enterprise": {"department": odd}, "employeeType": odd, "city": odd, "office": odd,
                "businessUnit": odd, "grade": odd, "deletionPolicy": "Retain", "suspend": true,
                "adopt": {"id": odd}, "validUntil": "2027-01-31T18:00:00Z",
            });
            let spec: ScimUserSpec = serde_json::from_value(told.clone()).unwrap();
            let text = user("ada", "identity", &spec, &[]).unwrap();
            let back: Value = serde_saphyr::from_str(&text).unwrap();
            assert_eq!(back["spec"], told, "{text}");
        }
        let told = json!({
            "connectionRef": {"name": "scim"}, "displayName": "Staff", "externalId": "x", "membership": "AddOnly",
            "members": [{"userRef": {"name": "ada"}}], "deletionPolicy": "Delete", "suspend": true, "adopt": {"id": "7"},
        });
        let spec: ScimGroupSpec = serde_json::from_value(told.clone()).unwrap();
        let text = group("staff", "identity", &spec, &[]).unwrap();
        let back: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back["spec"], told, "{text}");
    }

    #[test]
    fn what_is_usual_is_not_written() {
        let spec: ScimGroupSpec = serde_json::from_value(
            json!({"connectionRef": {"name": "scim"}, "displayName": "Staff", "membership": "Exact"}),
        )
        .unwrap();
        let text = group("staff", "identity", &spec, &[]).unwrap();
        assert!(text.ends_with("  displayName: Staff\n"), "{text}");
        let spec: ScimUserSpec = serde_json::from_value(
            json!({"connectionRef": {"name": "scim"}, "userName": "ada", "active": true}),
        )
        .unwrap();
        let text = user("ada", "identity", &spec, &[]).unwrap();
        assert!(text.ends_with("  userName: ada\n"), "{text}");
    }
}
