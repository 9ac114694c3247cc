//! The chart with real Helm: lint, schema, rights, install, upgrade, uninstall.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anyhow::{Result, ensure};
use scim_operator_harness::ControlPlane;
use serde_json::Value;

const CHART: &str = "charts/scim-operator";

async fn template(plane: &ControlPlane, extra: &[&str]) -> Result<Vec<Value>> {
    let mut arguments = vec![
        "template",
        "scim-operator",
        CHART,
        "--namespace",
        "scim-system",
    ];
    arguments.extend(extra);
    let text = plane.helm(&arguments).await?;
    let documents = text
        .split("\n---")
        .map(|d| d.trim_start_matches("---"))
        .filter(|d| d.contains("kind:"));
    documents
        .map(|d| Ok(serde_saphyr::from_str::<Value>(d)?))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chart_grants_little_runs_restricted_and_keeps_the_crds() -> Result<()> {
    let plane = ControlPlane::start().await?;
    plane.helm(&["lint", "--strict", CHART]).await?;

    let objects = template(
        &plane,
        &[
            "--set-json",
            r#"secretAccess=[{"namespace":"identity","names":["cybsafe-scim"]}]"#,
        ],
    )
    .await?;
    let of = |kind: &str| {
        objects
            .iter()
            .filter(|o| o["kind"] == kind)
            .collect::<Vec<_>>()
    };
    for role in of("ClusterRole") {
        ensure!(
            !role.to_string().contains("\"secrets\"") && !role.to_string().contains("\"*\""),
            "too much for a whole cluster: {role}"
        );
    }
    let roles = of("Role");
    ensure!(
        roles.len() == 1
            && roles[0]["metadata"]["namespace"] == "identity"
            && roles[0]["rules"][0]["resourceNames"][0] == "cybsafe-scim",
        "{roles:?}"
    );
    ensure!(
        roles[0]["rules"][0]["verbs"] == serde_json::json!(["get", "list", "watch"]),
        "{roles:?}"
    );
    let pod = &of("Deployment")[0]["spec"]["template"]["spec"];
    let container = &pod["containers"][0]["securityContext"];
    ensure!(
        pod["securityContext"]["runAsNonRoot"] == true
            && pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault",
        "{pod}"
    );
    ensure!(
        container["readOnlyRootFilesystem"] == true
            && container["allowPrivilegeEscalation"] == false
            && container["capabilities"]["drop"][0] == "ALL",
        "{pod}"
    );
    ensure!(
        of("CustomResourceDefinition")
            .iter()
            .all(|c| c["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep")
    );

    for bad in [
        "replicas=3",
        "crds.install=maybe",
        "logFormat=xml",
        "image.digest=latest",
        r#"secretAccess[0].names[0]=*"#,
    ] {
        ensure!(
            template(&plane, &["--set", bad]).await.is_err(),
            "the schema let {bad} pass"
        );
    }

    plane.create_namespace("scim-system").await?;
    plane
        .helm(&["install", "scim-operator", CHART, "-n", "scim-system"])
        .await?;
    plane
        .kubectl(&[
            "label",
            "namespace",
            "scim-system",
            "pod-security.kubernetes.io/enforce=restricted",
        ])
        .await?;
    let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "like-the-deployment", "namespace": "scim-system"}, "spec": pod});
    plane
        .kubectl_with_input(&["create", "--dry-run=server", "-f", "-"], &pod.to_string())
        .await?;
    plane
        .helm(&[
            "upgrade",
            "scim-operator",
            CHART,
            "-n",
            "scim-system",
            "--set",
            "logLevel=debug",
        ])
        .await?;
    plane
        .helm(&["uninstall", "scim-operator", "-n", "scim-system"])
        .await?;
    let left = plane.kubectl(&["get", "crds", "-o", "name"]).await?;
    ensure!(left.lines().count() == 3, "the CRDs were not kept: {left}");
    // And the next install takes them over again.
    plane
        .helm(&["install", "scim-operator", CHART, "-n", "scim-system"])
        .await?;
    Ok(())
}
