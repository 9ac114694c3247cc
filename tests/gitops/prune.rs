//! A tool prunes people by mistake, and it is undone as `docs/gitops/pruning.md` says. And what the cluster
//! has of a spec is what Git has: no tool sees a difference.

use anyhow::{Result, ensure};
use kube::ResourceExt as _;
use scim_operator_harness::wait;
use serde_json::{Value, json};

use super::support::company::company;
use super::support::{DEADLINE, NAMESPACE, person};

fn manifest(number: usize) -> Value {
    let name = format!("user-{number:03}");
    json!({
        "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": person(&format!("{name}@example.com"))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_that_was_a_mistake_is_undone_and_nobody_has_another_account() -> Result<()> {
    let scene = company(12).await?;
    let group = json!({"displayName": "Engineers", "members": super::members(&["user-000", "user-007", "user-011"])});
    scene.rig.declare_group("engineers", group).await?;
    scene.rig.group_settled("engineers").await?;
    let ids = |scene: &super::support::scene::Scene| {
        let users = scene.simulator.users();
        let mut ids: Vec<String> = users.iter().map(|u| u["id"].to_string()).collect();
        ids.sort();
        ids
    };
    let before = ids(&scene);
    // Everybody is pruned: five go, seven wait, with their accounts as they were.
    scene.delete(0..12).await?;
    scene.held(7).await?;
    scene.archives(5).await?;
    let left = scene.rig.users().list(&Default::default()).await?.items;
    ensure!(left.len() == 7, "{} are held", left.len());
    // They are let go as they are, and declared anew.
    for user in &left {
        let name = user.name_any();
        let abandon = [
            "annotate",
            "scimuser",
            &name,
            "-n",
            NAMESPACE,
            "scim-operator.io/abandon=true",
        ];
        scene.rig.plane.kubectl(&abandon).await?;
        scene
            .rig
            .told(wait::wait_for_absence(scene.rig.users(), &name, DEADLINE).await)?;
    }
    ensure!(scene.archived() == 5, "{} are archived", scene.archived());
    let list: Vec<Value> = (0..12).map(manifest).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": list}).to_string();
    let as_argo_cd = [
        "--server-side",
        "--field-manager=argocd-controller",
        "-f",
        "-",
    ];
    scene
        .rig
        .plane
        .kubectl_with_input(&[["apply"].as_slice(), &as_argo_cd].concat(), &list)
        .await?;
    for number in 0..12 {
        scene.rig.settled(&format!("user-{number:03}")).await?;
    }
    ensure!(ids(&scene) == before, "somebody has another account");
    ensure!(scene.archived() == 0, "{} are archived", scene.archived());
    scene.rig.group_settled("engineers").await?;
    // `diff` ends with an error where there is a difference.
    let diff = [["diff"].as_slice(), &as_argo_cd].concat();
    let difference = scene.rig.plane.kubectl_with_input(&diff, &list).await?;
    ensure!(difference.is_empty(), "{difference}");
    Ok(())
}
