//! What the chart says of Leases: their name, who may write them, and whether they are shared.

use anyhow::{Result, ensure};
use scim_operator_harness::ControlPlane;
use serde_json::json;

use super::{CHART, leader_and_others, of, template, words};

/// Where the name of the lease were the release's, the old and the new one would lead at once.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_it_is_called_there_is_one_lease() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    for renamed in [
        "nameOverride=other",
        "fullnameOverride=other",
        "fullnameOverride=",
    ] {
        let release = ["template", "elsewise", CHART, "-n", "x", "--set", renamed];
        let text = plane.helm(&release).await?;
        ensure!(text.contains("- --lease-name=scim-operator\n"), "{text}");
        ensure!(
            text.contains("resourceNames: [scim-operator]\n"),
            "{renamed}: {text}"
        );
    }
    Ok(())
}

/// Where each connection has a lease, its name is known to nobody beforehand.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_share_are_told_so_and_may_write_leases_of_their_own_namespace_alone()
-> Result<()> {
    let plane = ControlPlane::shared().await?;
    let objects = template(plane, &["--set", "sharding.enabled=true"]).await?;
    let container = &of(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    let arguments = words(&container["args"]);
    ensure!(arguments.contains(&"--spread-connections"), "{arguments:?}");
    ensure!(arguments.contains(&"--leader-elect"), "{arguments:?}");
    let (of_leader, _) = leader_and_others(of(&objects, "Role"));
    ensure!(
        of_leader[0]["rules"]
            == json!([
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                 "verbs": ["get", "list", "update", "delete"]}
            ]),
        "{of_leader:?}"
    );
    ensure!(of_leader[0]["metadata"]["namespace"] == "scim-system");
    for role in of(&objects, "ClusterRole") {
        ensure!(!role.to_string().contains("leases"), "{role}");
    }
    let usual = template(plane, &[]).await?;
    let container = &of(&usual, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    ensure!(
        !words(&container["args"]).contains(&"--spread-connections"),
        "{container}"
    );
    Ok(())
}
