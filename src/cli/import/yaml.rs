//! Manifests as a person would write them: the fields in the order in which the types have them, no nulls, and nothing
//! that the API server would default to the same.

use serde::Serialize;

use crate::api::common::{Adopt, ConnectionRef, DeletionPolicy};
use crate::api::group::{GroupDeletionPolicy, Member, Membership, ScimGroupSpec};
use crate::api::selector::LabelSelector;
use crate::api::user::{Address, Email, Enterprise, Name, PhoneNumber, ScimUserSpec};
use crate::api::{GROUP, VERSION};
use crate::cli::Failure;
use crate::cli::tame::tame;

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
    document("ScimUser", name, namespace, tidy_user(spec), comments)
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
    document("ScimGroup", name, namespace, tidy_group(spec), comments)
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
    text.push_str(&written(&Document {
        api_version: format!("{GROUP}/{VERSION}"),
        kind,
        metadata: Metadata { name, namespace },
        spec,
    })?);
    Ok(text)
}

fn written(value: &impl Serialize) -> Result<String, Failure> {
    // A long text stays one line, as it was: folded ones are hard to edit, and to compare.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options)
        .map_err(|e| Failure::of("writing YAML", e.to_string()))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TidyUser<'a> {
    connection_ref: &'a ConnectionRef,
    user_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: &'a Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: &'a Option<String>,
    #[serde(skip_serializing_if = "<[Email]>::is_empty")]
    emails: &'a [Email],
    #[serde(skip_serializing_if = "<[PhoneNumber]>::is_empty")]
    phone_numbers: &'a [PhoneNumber],
    #[serde(skip_serializing_if = "<[Address]>::is_empty")]
    addresses: &'a [Address],
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_language: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enterprise: &'a Option<Enterprise>,
    #[serde(skip_serializing_if = "Option::is_none")]
    employee_type: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    city: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    office: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    business_unit: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grade: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_policy: &'a Option<DeletionPolicy>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    suspend: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    adopt: &'a Option<Adopt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: &'a Option<String>,
}

fn tidy_user(spec: &ScimUserSpec) -> TidyUser<'_> {
    // Whole: a field that is new to the spec must not get lost here.
    let ScimUserSpec {
        connection_ref,
        user_name,
        external_id,
        active,
        name,
        display_name,
        title,
        emails,
        phone_numbers,
        addresses,
        preferred_language,
        locale,
        enterprise,
        employee_type,
        city,
        office,
        business_unit,
        grade,
        deletion_policy,
        suspend,
        adopt,
        valid_until,
    } = spec;
    TidyUser {
        connection_ref,
        user_name,
        external_id,
        active: (!active).then_some(false),
        name,
        display_name,
        title,
        emails,
        phone_numbers,
        addresses,
        preferred_language,
        locale,
        enterprise,
        employee_type,
        city,
        office,
        business_unit,
        grade,
        deletion_policy,
        suspend: *suspend,
        adopt,
        valid_until,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TidyGroup<'a> {
    connection_ref: &'a ConnectionRef,
    display_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: &'a Option<String>,
    #[serde(skip_serializing_if = "<[Member]>::is_empty")]
    members: &'a [Member],
    #[serde(skip_serializing_if = "Option::is_none")]
    member_selector: &'a Option<LabelSelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<Membership>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_policy: &'a Option<GroupDeletionPolicy>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    suspend: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    adopt: &'a Option<Adopt>,
}

fn tidy_group(spec: &ScimGroupSpec) -> TidyGroup<'_> {
    let ScimGroupSpec {
        connection_ref,
        display_name,
        external_id,
        members,
        member_selector,
        membership,
        deletion_policy,
        suspend,
        adopt,
    } = spec;
    TidyGroup {
        connection_ref,
        display_name,
        external_id,
        members,
        member_selector,
        membership: (*membership != Membership::default()).then_some(*membership),
        deletion_policy,
        suspend: *suspend,
        adopt,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Texts that a reader of YAML may take for something else, or that end its line.
    const ODD: [&str; 24] = [
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
    }
}
