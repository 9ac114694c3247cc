//! The CustomResourceDefinitions on a real API server: fresh, with defaults, explained, with columns
//! and field selectors. What each rule refuses is in `crd_rules.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anyhow::{Result, ensure};
use scim_operator::api::definitions::definitions;
use scim_operator_harness::ControlPlane;
use serde_json::{Value, json};

#[test]
fn committed_crds_and_the_charts_copies_equal_the_types() {
    for (plural, crd) in definitions() {
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

#[tokio::test(flavor = "multi_thread")]
async fn defaults_columns_selectors_and_explanations_work() -> Result<()> {
    let plane = ControlPlane::start().await?;
    plane.define("crds").await?;
    for kind in ["ScimConnection", "ScimUser", "ScimGroup"] {
        plane
            .kubectl_with_input(
                &["create", "-f", "-"],
                &object(kind, "valid", valid(kind)).to_string(),
            )
            .await?;
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
    // What nobody has looked at says so, or kstatus takes it for current.
    for kind in ["scimconnection", "scimuser", "scimgroup"] {
        let observed = "jsonpath={.status.observedGeneration}";
        let observed = plane
            .kubectl(&["get", kind, "valid", "-o", observed])
            .await?;
        ensure!(observed == "-1", "{kind} was observed at {observed:?}");
    }
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
