//! What goes wrong with a connection, and how it heals: each trouble has its own reason, users that
//! are in step are left alone, and everything recovers without a restart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use scim_operator_harness::{RecordingProxy, wait};
use scim_sim::{SimConfig, Simulator};
use serde_json::json;
use support::{DEADLINE, Rig, TOKEN, person, writes_since};

async fn simulator() -> Result<Simulator> {
    Ok(Simulator::start(SimConfig {
        tokens: vec![TOKEN.into()],
        ..SimConfig::default()
    })
    .await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trouble_has_its_reason_and_heals_by_itself() -> Result<()> {
    let rig = Rig::start().await?;
    let simulator = simulator().await?;
    let proxy = RecordingProxy::start(&simulator.base_url()).await?;

    // No Secret, no key, no token in it.
    rig.connect(&proxy.url(), json!({})).await?;
    rig.connection_is("Authenticated", "False", "SecretNotFound")
        .await?;
    rig.set_secret(json!({"other": "x"})).await?;
    rig.connection_is("Authenticated", "False", "KeyNotFound")
        .await?;
    rig.set_secret(json!({"token": "two words"})).await?;
    rig.connection_is("Authenticated", "False", "TokenMalformed")
        .await?;
    ensure!(
        proxy.requests().is_empty(),
        "nothing may be sent without a token"
    );

    // The wrong token, then the right one: acted upon without a restart.
    rig.set_token("wrong").await?;
    rig.connection_is("Authenticated", "False", "Unauthorized")
        .await?;
    let before = std::time::Instant::now();
    rig.set_token(TOKEN).await?;
    rig.connection_is("Ready", "True", "Connected").await?;
    println!("from new token to Ready: {:?}", before.elapsed());
    rig.connection_is("Authenticated", "True", "TokenAccepted")
        .await?;

    rig.declare("ada", person("ada@example.com")).await?;
    rig.declare("bob", person("bob@example.com")).await?;
    rig.settled("ada").await?;
    rig.settled("bob").await?;
    let versions = (rig.version("ada").await?, rig.version("bob").await?);

    // Rotation at the backend: users in step are not written to while it lasts.
    simulator.set_token("rotated");
    rig.sync("after-rotation").await?;
    rig.connection_is("Authenticated", "False", "Unauthorized")
        .await?;
    rig.set_token("rotated").await?;
    rig.connection_is("Ready", "True", "Connected").await?;

    // Gone, and back.
    proxy.set_down(true);
    rig.sync("gone").await?;
    rig.connection_is("Reachable", "False", "Unreachable")
        .await?;
    // A user that is declared meanwhile is told once, and provisioned when the backend is back.
    rig.declare("eve", person("eve@example.com")).await?;
    rig.user_is("eve", "Ready", "False", "ConnectionNotReady")
        .await?;
    proxy.set_down(false);
    rig.connection_is("Ready", "True", "Connected").await?;
    rig.settled("eve").await?;

    // Something answers that is not SCIM.
    simulator.faults().update(|f| f.not_scim = true);
    rig.sync("html").await?;
    rig.connection_is("Reachable", "False", "NotScim").await?;
    simulator.faults().reset();
    rig.connection_is("Ready", "True", "Connected").await?;
    ensure!(
        (rig.version("ada").await?, rig.version("bob").await?) == versions,
        "users in step were written to during outages"
    );

    let log = rig.operator.log();
    ensure!(
        !log.contains(TOKEN) && !log.contains("rotated\"") && !log.contains("example.com"),
        "the log holds the token or personal data"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn suspend_dry_run_and_namespaces_are_obeyed() -> Result<()> {
    let rig = Rig::start().await?;
    let simulator = simulator().await?;
    let proxy = RecordingProxy::start(&simulator.base_url()).await?;
    rig.set_token(TOKEN).await?;
    rig.connect(&proxy.url(), json!({"mode": "DryRun"})).await?;
    rig.connection_is("Ready", "True", "DryRun").await?;
    rig.declare("ada", person("ada@example.com")).await?;
    let user = rig.user_is("ada", "Ready", "False", "DryRun").await?;
    let plan = user.status.and_then(|s| s.plan).expect("a plan is shown");
    ensure!(
        plan.action == "Create" && plan.attributes.contains(&"userName".to_owned()),
        "{plan:?}"
    );
    ensure!(
        simulator.users().is_empty() && proxy.writes().is_empty(),
        "DryRun wrote to the backend"
    );

    let change = |spec| rig_patch(&rig, spec);
    change(json!({"mode": "Enforce"})).await?;
    rig.settled("ada").await?;
    ensure!(simulator.users().len() == 1);

    change(json!({"suspend": true})).await?;
    rig.connection_is("Ready", "False", "Suspended").await?;
    let mark = proxy.mark();
    rig.edit(
        "ada",
        json!({"title": null, "enterprise": {"department": "Analysis"}}),
    )
    .await?;
    rig.user_is("ada", "Ready", "False", "ConnectionNotReady")
        .await?;
    ensure!(
        proxy.since(mark).is_empty(),
        "a suspended connection sent something"
    );
    change(json!({"suspend": false})).await?;
    rig.settled("ada").await?;
    ensure!(writes_since(&proxy, mark) == ["PATCH"]);

    // Another namespace is refused until it is let in.
    rig.plane.create_namespace("team").await?;
    let manifest = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser", "metadata": {"name": "tim", "namespace": "team"}, "spec": {}});
    let mut spec = person("tim@example.com");
    spec["connectionRef"] = json!({"name": "scim", "namespace": "identity"});
    let mut object = manifest;
    object["spec"] = spec;
    rig.plane
        .kubectl_with_input(&["apply", "-f", "-"], &object.to_string())
        .await?;
    let team = kube::Api::<scim_operator::api::ScimUser>::namespaced(rig.client.clone(), "team");
    wait::wait_for_condition(
        team.clone(),
        "tim",
        "Valid",
        "False",
        Some("ConnectionNotAllowed"),
        DEADLINE,
    )
    .await?;
    change(json!({"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"scim": "yes"}}}})).await?;
    rig.plane
        .kubectl(&["label", "namespace", "team", "scim=yes"])
        .await?;
    wait::wait_for_condition(team, "tim", "Ready", "True", Some("Synced"), DEADLINE).await?;
    Ok(())
}

async fn rig_patch(rig: &Rig, spec: serde_json::Value) -> Result<()> {
    rig.connections()
        .patch(
            "scim",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": spec})),
        )
        .await?;
    Ok(())
}
