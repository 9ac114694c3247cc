//! The admission policy that sets the finalizer: where it is rendered, and that it is in force as installed.

use std::time::Duration;

use anyhow::{Result, ensure};
use scim_operator_harness::{ControlPlane, wait};
use serde_json::{Value, json};

use super::{CHART, of, template, typed};

const API: &str = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_is_there_where_the_api_is_or_when_it_is_asked_for() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let with = ["--api-versions", API];
    for (extra, rendered, why) in [
        (&[][..], false, "no such API"),
        (&with[..], true, "the API is there"),
        (
            &[
                "--api-versions",
                "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy",
            ],
            false,
            "an older version, with other rules",
        ),
        (
            &["--set", "finalizerPolicy.enabled=true"],
            true,
            "asked for, by whoever renders without the cluster",
        ),
        (
            &[with[0], with[1], "--set", "finalizerPolicy.enabled=false"],
            false,
            "not wanted",
        ),
    ] {
        let objects = template(plane, extra).await?;
        for kind in ["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"] {
            let found = of(&objects, kind).len();
            ensure!(found == usize::from(rendered), "{kind}: {found}: {why}");
        }
    }
    let objects = template(plane, &with).await?;
    let policy = of(&objects, "MutatingAdmissionPolicy")[0];
    let binding = of(&objects, "MutatingAdmissionPolicyBinding")[0];
    ensure!(binding["spec"]["policyName"] == policy["metadata"]["name"]);
    ensure!(policy["spec"]["failurePolicy"] == "Ignore", "{policy}");
    let rules = &policy["spec"]["matchConstraints"]["resourceRules"];
    let only = json!([{"apiGroups": ["scim-operator.io"], "apiVersions": ["v1alpha1"],
        "operations": ["CREATE"], "resources": ["scimusers", "scimgroups"]}]);
    ensure!(*rules == only, "{rules}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_release_has_a_policy_of_its_own_name() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let mut names = Vec::new();
    for release in ["one", "two"] {
        let line = format!("template {release} {CHART} -n x --api-versions {API}");
        let text = plane.helm(&typed(&line)).await?;
        let named = |line: &&str| line.trim_start().starts_with("policyName: ");
        names.extend(text.lines().find(named).map(str::to_owned));
    }
    ensure!(names.len() == 2 && names[0] != names[1], "{names:?}");
    Ok(())
}

/// Whether it is in force: what is created has the finalizer.
pub async fn is_in_force(plane: &ControlPlane) -> Result<()> {
    for (kind, spec) in [
        ("ScimUser", json!({"userName": "eve@example.com"})),
        ("ScimGroup", json!({"displayName": "Engines"})),
    ] {
        let mut object = json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": kind,
            "metadata": {"name": "eve", "namespace": "identity"}, "spec": spec
        });
        object["spec"]["connectionRef"] = json!({"name": "cybsafe"});
        let dry_run = typed("create --dry-run=server -o json -f -");
        // The API server hears of a new policy by a watch.
        wait::eventually("the finalizer", Duration::from_secs(30), async || {
            let made = plane
                .kubectl_with_input(&dry_run, &object.to_string())
                .await?;
            let made: Value = serde_json::from_str(&made)?;
            let set = made["metadata"]["finalizers"] == json!(["scim-operator.io/deprovision"]);
            Ok(set.then_some(()))
        })
        .await?;
    }
    Ok(())
}
