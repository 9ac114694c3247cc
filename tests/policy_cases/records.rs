//! What is recorded in a status, when it is lost, or cannot be written.

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use reqwest::Method;
use scim_operator_harness::wait;
use serde_json::json;

use super::support::DEADLINE;
use super::support::scene::stage;
use super::{ada, governed};

#[tokio::test(flavor = "multi_thread")]
async fn whose_status_was_lost_is_looked_for() -> Result<()> {
    let mut scene = governed(json!({})).await?;
    scene.declare_bound("ada", ada()).await?;
    scene.rig.settled("ada").await?;
    scene.rig.restart().await?;
    scene
        .rig
        .connection_is("Ready", "True", "Connected")
        .await?;
    // Whatever the new process had to write of her is written.
    scene.rig.sync("afterwards").await?;
    let users = scene.rig.users();
    let lost = Patch::Merge(json!({"status": null}));
    users
        .patch_status("ada", &PatchParams::default(), &lost)
        .await?;
    scene.rig.delete("ada").await?;
    ensure!(
        scene.simulator.users()[0]["active"] == false,
        "a leaver was left in"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_status_is_not_taken_is_not_listed_over_and_over() -> Result<()> {
    let mut scene = stage().await?;
    scene.proxy.set_down(true);
    scene.rig.connect(&scene.proxy.url(), json!({})).await?;
    scene
        .rig
        .connection_is("Ready", "False", "Unreachable")
        .await?;
    let name = "no-capabilities";
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {"matchConstraints": {"resourceRules": [{"apiGroups": ["scim-operator.io"], "apiVersions": ["*"],
                "operations": ["UPDATE"], "resources": ["scimconnections/status"]}]},
            "validations": [{"expression": "!has(object.status.capabilities)"}]}});
    let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}});
    for object in [policy, binding] {
        let create = ["create", "-f", "-"];
        let plane = &scene.rig.plane;
        plane
            .kubectl_with_input(&create, &object.to_string())
            .await?;
    }
    let connections = scene.rig.connections();
    let dry_run = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let able = json!({"status": {"capabilities": {"discovered": true, "patch": true, "bulk": false,
        "filter": true, "etag": true, "externalId": "Echoed", "memberRemoval": "Unknown", "members": "Unknown"}}});
    wait::eventually("the status to be refused", DEADLINE, async || {
        let able = Patch::Merge(&able);
        let patched = connections.patch_status("scim", &dry_run, &able).await;
        Ok(patched.is_err().then_some(()))
    })
    .await?;
    scene.proxy.clear();
    scene.proxy.set_down(false);
    let refused = "the status of a connection could not be written";
    scene.rig.operator.await_log(refused, DEADLINE).await?;
    let listings = scene.proxy.count(&Method::GET, "/Users");
    ensure!(listings < 5, "{listings} requests for one refused status");
    // Nobody is forgotten once it is taken.
    scene.declare_bound("ada", ada()).await?;
    let binding = "validatingadmissionpolicybinding";
    scene.rig.plane.kubectl(&["delete", binding, name]).await?;
    scene.rig.settled("ada").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_while_nobody_knows_whether_it_was_created_it_is_looked_for() -> Result<()> {
    let scene = governed(json!({"deletionPolicy": "Delete"})).await?;
    let held = scene.created_and_unanswered().await?;
    // Its answer is lost.
    scene.proxy.set_down(true);
    drop(held);
    scene
        .rig
        .user_is("ada", "Synced", "False", "RequestFailed")
        .await?;
    scene.ask_to_delete("ada").await?;
    scene.proxy.set_down(false);
    scene.is_gone("ada").await?;
    ensure!(scene.simulator.users().len() == 1, "a leaver was left in");
    Ok(())
}
