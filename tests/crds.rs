//! The CustomResourceDefinitions on a real API server: fresh, explained, and each rule refusing what
//! it is for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anyhow::{Result, ensure};
use kube::CustomResourceExt;
use scim_operator::api::{ScimConnection, ScimGroup, ScimUser};
use scim_operator_harness::ControlPlane;
use serde_json::{Value, json};

#[test]
fn committed_crds_and_the_charts_copies_equal_the_types() {
    for (plural, crd) in [
        ("scimconnections", ScimConnection::crd()),
        ("scimusers", ScimUser::crd()),
        ("scimgroups", ScimGroup::crd()),
    ] {
        let fresh = serde_saphyr::to_string(&crd).unwrap();
        for folder in ["crds", "charts/scim-operator/files/crds"] {
            let committed =
                std::fs::read_to_string(format!("{folder}/scim-operator.io_{plural}.yaml"))
                    .unwrap();
            assert!(
                committed == fresh,
                "{folder}/scim-operator.io_{plural}.yaml is stale: run `make crds`"
            );
        }
    }
}

/// A valid spec with one change, and the words by which the API server refuses it.
struct Case {
    kind: &'static str,
    change: Value,
    refused: &'static str,
    why: &'static str,
}

fn valid(kind: &str) -> Value {
    match kind {
        "ScimConnection" => {
            json!({"endpoint": "https://scim.example.com/v2", "tokenSecretRef": {"name": "t"}, "ownerId": "prod"})
        }
        "ScimUser" => json!({"connectionRef": {"name": "c"}, "userName": "ada@example.com"}),
        _ => json!({"connectionRef": {"name": "c"}, "displayName": "Engineering"}),
    }
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

fn merged(mut spec: Value, change: &Value) -> Value {
    for (key, value) in change.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn cases() -> Vec<Case> {
    let case = |kind, change, refused, why| Case {
        kind,
        change,
        refused,
        why,
    };
    vec![
        case(
            "ScimConnection",
            json!({"endpoint": "http://scim.example.com"}),
            "endpoint must be an https URL",
            "the token would travel in clear text",
        ),
        case(
            "ScimConnection",
            json!({"endpoint": "https://user:pass@host/"}),
            "endpoint",
            "no credentials in URLs",
        ),
        case(
            "ScimConnection",
            json!({"allowedNamespaces": {"from": "Same", "selector": {"matchLabels": {"a": "b"}}}}),
            "selector goes with from: Selector",
            "a selector that is ignored misleads",
        ),
        case(
            "ScimConnection",
            json!({"allowedNamespaces": {"from": "Selector"}}),
            "selector goes with from: Selector",
            "Selector without selector",
        ),
        case(
            "ScimConnection",
            json!({"profile": "Okta"}),
            "Unsupported value",
            "an unknown profile",
        ),
        case(
            "ScimConnection",
            json!({"sync": {"interval": "soon"}}),
            "sync.interval",
            "a duration that nobody can parse",
        ),
        case(
            "ScimConnection",
            json!({"limits": {"maxInFlight": 0}}),
            "limits.maxInFlight",
            "nothing would ever be sent",
        ),
        case(
            "ScimConnection",
            json!({"attributeMapping": [{"attribute": "city", "path": "a"}, {"attribute": "city", "path": "b"}]}),
            "Duplicate value",
            "one attribute, one path",
        ),
        case(
            "ScimUser",
            json!({"userName": " ada"}),
            "userName",
            "a space nobody sees",
        ),
        case(
            "ScimUser",
            json!({"externalId": "12345"}),
            "externalId must not be a bare number",
            "CVE-2025-41115",
        ),
        case(
            "ScimUser",
            json!({"emails": [{"type": "work", "value": "a@b.c", "primary": true}, {"type": "home", "value": "d@e.f", "primary": true}]}),
            "at most one e-mail address may be primary",
            "RFC 7643 §2.4",
        ),
        case(
            "ScimUser",
            json!({"emails": [{"type": "work", "value": "a@b.c"}, {"type": "work", "value": "d@e.f"}]}),
            "Duplicate value",
            "one address a type",
        ),
        case(
            "ScimUser",
            json!({"emails": [{"type": "work", "value": "no address"}]}),
            "emails[0].value",
            "not an address",
        ),
        case(
            "ScimUser",
            json!({"phoneNumbers": [{"type": "satellite", "value": "12"}]}),
            "Unsupported value",
            "RFC 7643 §4.1.2",
        ),
        case(
            "ScimUser",
            json!({"enterprise": {"manager": {}}}),
            "exactly one of userRef and value must be set",
            "a manager that is nobody",
        ),
        case(
            "ScimUser",
            json!({"enterprise": {"manager": {"value": "1", "userRef": {"name": "b"}}}}),
            "exactly one of userRef and value must be set",
            "two managers",
        ),
        case(
            "ScimUser",
            json!({"validUntil": "tomorrow"}),
            "validUntil",
            "not a time",
        ),
        case(
            "ScimUser",
            json!({"deletionPolicy": "Shred"}),
            "Unsupported value",
            "an unknown policy",
        ),
        case(
            "ScimGroup",
            json!({"externalId": "7"}),
            "externalId must not be a bare number",
            "CVE-2025-41115",
        ),
        case(
            "ScimGroup",
            json!({"membership": "Some"}),
            "Unsupported value",
            "an unknown mode",
        ),
        case(
            "ScimGroup",
            json!({"deletionPolicy": "Archive"}),
            "Unsupported value",
            "groups have no archived state",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_refuses_what_it_is_for() -> Result<()> {
    let plane = ControlPlane::start().await?;
    plane
        .kubectl(&["apply", "--server-side", "-f", "crds"])
        .await?;
    plane
        .kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "crd",
            "--all",
        ])
        .await?;
    for kind in ["ScimConnection", "ScimUser", "ScimGroup"] {
        plane
            .kubectl_with_input(
                &["create", "-f", "-"],
                &object(kind, "valid", valid(kind)).to_string(),
            )
            .await?;
    }
    for Case {
        kind,
        change,
        refused,
        why,
    } in cases()
    {
        let spec = merged(valid(kind), &change);
        let answer = plane
            .kubectl_with_input(
                &["create", "-f", "-"],
                &object(kind, "bad", spec).to_string(),
            )
            .await;
        let text = answer
            .as_ref()
            .map_or_else(|e| format!("{e:#}"), Clone::clone);
        ensure!(
            answer.is_err() && text.contains(refused),
            "{kind} {change} ({why}): expected {refused:?}, got: {text}"
        );
    }
    for (kind, change, refused) in [
        (
            "scimconnection",
            json!({"ownerId": "other"}),
            "ownerId is immutable",
        ),
        (
            "scimconnection",
            json!({"ownerId": null}),
            "ownerId is immutable: it can be neither added nor removed",
        ),
        (
            "scimuser",
            json!({"connectionRef": {"name": "d"}}),
            "connectionRef is immutable",
        ),
        (
            "scimgroup",
            json!({"connectionRef": {"name": "d"}}),
            "connectionRef is immutable",
        ),
    ] {
        let patch = json!({"spec": change}).to_string();
        let answer = plane
            .kubectl(&["patch", kind, "valid", "--type=merge", "-p", &patch])
            .await;
        let text = answer
            .as_ref()
            .map_or_else(|e| format!("{e:#}"), Clone::clone);
        ensure!(
            answer.is_err() && text.contains(refused),
            "{kind} {change}: expected {refused:?}, got: {text}"
        );
    }

    // Defaults are applied, fields are explained, columns and field selectors work.
    let stored = plane
        .kubectl(&["get", "scimconnection", "valid", "-o", "json"])
        .await?;
    let stored: Value = serde_json::from_str(&stored)?;
    ensure!(
        stored["spec"]["profile"] == "CybSafe"
            && stored["spec"]["sync"]["interval"] == "30m"
            && stored["spec"]["limits"]["maxInFlight"] == 2,
        "{stored}"
    );
    ensure!(
        stored["spec"]["deletionPolicy"] == "Archive"
            && stored["spec"]["mode"] == "Enforce"
            && stored["spec"]["tokenSecretRef"]["key"] == "token",
        "{stored}"
    );
    let explained = plane.kubectl(&["explain", "scimuser.spec"]).await?;
    for field in [
        "userName",
        "preferredLanguage",
        "enterprise",
        "validUntil",
        "deletionPolicy",
    ] {
        ensure!(
            explained.contains(field),
            "{field} is missing from: {explained}"
        );
    }
    ensure!(
        plane
            .kubectl(&["explain", "scimuser.spec.enterprise.manager.userRef.name"])
            .await?
            .contains("Name of the ScimUser")
    );
    let columns = plane.kubectl(&["get", "scimusers", "-o", "wide"]).await?;
    for column in [
        "READY",
        "REASON",
        "ARCHIVED",
        "CONNECTION",
        "AGE",
        "USERNAME",
        "ID",
        "PLAN",
    ] {
        ensure!(
            columns.contains(column),
            "{column} is missing from: {columns}"
        );
    }
    ensure!(
        plane
            .kubectl(&[
                "get",
                "scimusers",
                "--field-selector",
                "spec.userName=ada@example.com",
                "-o",
                "name"
            ])
            .await?
            .contains("valid")
    );
    ensure!(
        plane
            .kubectl(&[
                "get",
                "scimusers",
                "--field-selector",
                "spec.userName=bob@example.com",
                "-o",
                "name"
            ])
            .await?
            .trim()
            .is_empty()
    );
    ensure!(
        plane
            .kubectl(&["get", "scim", "-A", "-o", "name"])
            .await?
            .lines()
            .count()
            == 3,
        "the category scim lists all kinds"
    );
    plane
        .kubectl(&[
            "apply",
            "--dry-run=server",
            "-k",
            "examples/gitops",
            "--validate=strict",
        ])
        .await
        .or_else(|e| {
            // The namespace itself does not exist yet in a server-side dry run.
            if format!("{e:#}").contains("namespaces \"identity\" not found") {
                Ok(String::new())
            } else {
                Err(e)
            }
        })?;
    Ok(())
}
