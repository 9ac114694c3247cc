//! What is deleted in another order than it should be, or as a whole: nothing waits for ever, and an end
//! is never read as everybody leaving.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use scim_operator::api::ScimUser;
use scim_operator_harness::wait;
use serde_json::json;
use support::company::{Scene, company, company_with, person};
use support::{DEADLINE, NAMESPACE, writes_since};

impl Scene {
    /// Deletes the namespace, as far as an API server without a namespace controller does.
    async fn end_namespace(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.rig.client.clone());
        namespaces
            .delete(NAMESPACE, &DeleteParams::default())
            .await?;
        Ok(())
    }

    async fn end_secret_and_connection(&self) -> Result<()> {
        let kubectl = ["delete", "secret", "scim", "--namespace", NAMESPACE];
        self.rig.plane.kubectl(&kubectl).await?;
        let connections = self.rig.connections();
        connections.delete("scim", &DeleteParams::default()).await?;
        Ok(())
    }

    async fn connection_is_gone(&self) -> Result<()> {
        let gone = wait::wait_for_absence(self.rig.connections(), "scim", DEADLINE);
        self.rig.told(gone.await)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r11_a_namespace_goes_with_its_secret_and_its_connection_first() -> Result<()> {
    let scene = company(4).await?;
    let group = json!({"displayName": "Engines", "members": [{"userRef": {"name": person(0)}}]});
    scene.rig.declare_group("engines", group).await?;
    scene.rig.group_settled("engines").await?;
    scene.end_namespace().await?;
    scene.end_secret_and_connection().await?;
    let groups = scene.rig.groups();
    groups.delete("engines", &DeleteParams::default()).await?;
    scene.delete(0..4).await?;
    scene.gone(0..4).await?;
    let gone = wait::wait_for_absence(groups, "engines", DEADLINE);
    scene.rig.told(gone.await)?;
    scene.connection_is_gone().await?;
    ensure!(scene.archived() == 4, "{} are archived", scene.archived());
    // Nobody said that the group is to go.
    let groups = scene.simulator.groups();
    ensure!(groups.len() == 1, "{groups:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r11_a_namespace_goes_though_its_backend_is_gone_and_it_is_told_where_it_is_seen()
-> Result<()> {
    let scene = company_with(3, &[("SCOPE_GRACE_SECONDS", "2".into())]).await?;
    scene.proxy.set_down(true);
    scene.end_namespace().await?;
    scene.end_secret_and_connection().await?;
    scene.delete(0..3).await?;
    scene.gone(0..3).await?;
    scene.connection_is_gone().await?;
    ensure!(scene.archived() == 0, "the backend could not be asked");
    // The namespace itself takes no events any more.
    let events: Api<Event> = Api::namespaced(scene.rig.client.clone(), "default");
    wait::eventually("the namespace's event", DEADLINE, async || {
        let found = events.list(&ListParams::default()).await?;
        let told = found.items.iter().any(|event| {
            let about = event.regarding.clone().unwrap_or_default();
            let note = event.note.clone().unwrap_or_default();
            about.kind.as_deref() == Some("Namespace")
                && about.name.as_deref() == Some(NAMESPACE)
                && event.reason.as_deref() == Some("Released")
                && note.contains("left as it is")
        });
        Ok(told.then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn r12_a_connection_stays_for_as_long_as_somebody_needs_it() -> Result<()> {
    let scene = company(2).await?;
    let connections = scene.rig.connections();
    connections.delete("scim", &DeleteParams::default()).await?;
    let connection = scene
        .rig
        .connection_is("DeprovisioningHeld", "True", "ScopeTerminating")
        .await?;
    let told = connection.status.unwrap_or_default().conditions;
    ensure!(
        told.iter()
            .any(|c| c.message.contains("2 users and groups need this")),
        "{told:?}"
    );
    // Nobody is deprovisioned by it, and whoever leaves now still is.
    ensure!(scene.archived() == 0);
    scene.delete(0..1).await?;
    scene.gone(0..1).await?;
    ensure!(scene.archived() == 1);
    scene.rig.edit(&person(1), json!({"city": "York"})).await?;
    scene.delete(1..2).await?;
    scene.gone(1..2).await?;
    scene.connection_is_gone().await?;
    ensure!(scene.archived() == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r12_an_abandoned_connection_goes_and_an_abandoned_user_after_it() -> Result<()> {
    let mut scene = company(2).await?;
    let mark = scene.proxy.mark();
    let connections = scene.rig.connections();
    connections.delete("scim", &DeleteParams::default()).await?;
    scene
        .rig
        .connection_is("DeprovisioningHeld", "True", "ScopeTerminating")
        .await?;
    // Nor does a start forget that it is needed.
    scene.rig.operator.terminate(DEADLINE).await?;
    scene.rig.restart().await?;
    scene
        .rig
        .connection_is("DeprovisioningHeld", "True", "ScopeTerminating")
        .await?;
    let abandon = json!({"metadata": {"annotations": {"scim-operator.io/abandon": "true"}}});
    let patch = Patch::Merge(abandon);
    let parameters = PatchParams::default();
    connections.patch("scim", &parameters, &patch).await?;
    scene.connection_is_gone().await?;
    let user = scene
        .rig
        .user_is(&person(0), "Valid", "False", "ConnectionNotFound")
        .await?;
    ensure!(user.metadata.deletion_timestamp.is_none());
    scene.delete(0..2).await?;
    scene
        .rig
        .user_is(&person(0), "Ready", "False", "ConnectionNotReady")
        .await?;
    for number in 0..2 {
        let users = scene.rig.users();
        users.patch(&person(number), &parameters, &patch).await?;
    }
    scene.gone(0..2).await?;
    ensure!(writes_since(&scene.proxy, mark).is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r13_a_kind_that_is_deleted_is_nobody_leaving() -> Result<()> {
    let scene = company_with(8, &[("SCOPE_GRACE_SECONDS", "8".into())]).await?;
    for number in 0..8 {
        scene
            .rig
            .label(&person(number), json!({"team": "engines"}))
            .await?;
    }
    let group =
        json!({"displayName": "Engines", "memberSelector": {"matchLabels": {"team": "engines"}}});
    scene.rig.declare_group("engines", group).await?;
    scene.rig.group_settled("engines").await?;
    let members = || {
        scene.simulator.groups()[0]["members"]
            .as_array()
            .map(Vec::len)
    };
    wait::eventually("eight members", DEADLINE, async || {
        Ok((members() == Some(8)).then_some(()))
    })
    .await?;
    let mark = scene.proxy.mark();
    let crd = [
        "delete",
        "crd",
        "scimusers.scim-operator.io",
        "--wait=false",
    ];
    scene.rig.plane.kubectl(&crd).await?;
    // Not even as many as may go on any other day.
    scene.held(8).await?;
    scene
        .rig
        .connection_is("DeprovisioningHeld", "True", "ScopeTerminating")
        .await?;
    wait::eventually("the kind to be gone", DEADLINE, async || {
        let left = ["get", "crd", "--output=name"];
        let left = scene.rig.plane.kubectl(&left).await?;
        Ok((!left.contains("scimusers")).then_some(()))
    })
    .await?;
    scene.rig.group_looked_at("engines", "afterwards").await?;
    let wrote = writes_since(&scene.proxy, mark);
    ensure!(wrote.is_empty() && members() == Some(8), "{wrote:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r13_more_than_may_go_stay_when_their_namespace_goes() -> Result<()> {
    let scene = company_with(9, &[("SCOPE_GRACE_SECONDS", "8".into())]).await?;
    scene.end_namespace().await?;
    scene.delete(0..9).await?;
    scene.held(4).await?;
    scene
        .rig
        .connection_is("DeprovisioningHeld", "True", "ScopeTerminating")
        .await?;
    scene.gone(0..9).await?;
    ensure!(scene.archived() == 5, "{} are archived", scene.archived());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r11_a_namespace_waits_for_its_connection_no_longer_than_the_grace() -> Result<()> {
    let scene = company_with(1, &[("SCOPE_GRACE_SECONDS", "4".into())]).await?;
    let all = json!({"allowedNamespaces": {"from": "All"}});
    scene.rig.edit_connection(all).await?;
    scene.rig.plane.create_namespace("elsewhere").await?;
    let mut spec = support::person("far@example.com");
    spec["connectionRef"]["namespace"] = NAMESPACE.into();
    let far = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
        "metadata": {"name": "far", "namespace": "elsewhere"}, "spec": spec});
    let apply = ["apply", "-f", "-"];
    let input = far.to_string();
    scene.rig.plane.kubectl_with_input(&apply, &input).await?;
    let users: Api<ScimUser> = Api::namespaced(scene.rig.client.clone(), "elsewhere");
    wait::wait_for_condition(users.clone(), "far", "Ready", "True", None, DEADLINE).await?;
    scene.end_namespace().await?;
    scene.end_secret_and_connection().await?;
    scene.delete(0..1).await?;
    scene.gone(0..1).await?;
    // It works, and would look again in an hour.
    scene.connection_is_gone().await?;
    let why = Some("ConnectionNotFound");
    wait::wait_for_condition(users, "far", "Valid", "False", why, DEADLINE).await?;
    ensure!(scene.archived() == 1, "nobody leaves by that");
    Ok(())
}
