//! Objects in every state that matters to a GitOps tool, as the real operator left them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use http::Method;
use kube::api::{DeleteParams, PostParams};
use scim_operator::api::ScimConnection;
use scim_operator_harness::proxy::{Canned, Matcher};
use scim_operator_harness::wait;
use serde::Serialize;
use serde_json::{Value, json};

use super::support::groups::members;
use super::support::scene::{Scene, stage};
use super::support::{DEADLINE, merge, person};

/// The objects, by what is the matter with them.
struct Album(BTreeMap<String, Value>);

impl Album {
    fn keep(&mut self, state: &str, object: &impl Serialize) -> Result<()> {
        let before = self
            .0
            .insert(state.to_owned(), serde_json::to_value(object)?);
        assert!(before.is_none(), "{state} is there twice");
        Ok(())
    }
}

/// Every state of the table.
pub async fn all() -> Result<BTreeMap<String, Value>> {
    let mut album = Album(BTreeMap::new());
    let mut scene = stage().await?;
    // Nobody leaves without approval.
    scene
        .connect(json!({"deprovisionGuard": {"maxPercent": 0, "minimum": 0}}))
        .await?;
    users(&scene, &mut album).await?;
    groups(&scene, &mut album).await?;
    connections(&scene, &mut album).await?;
    held(&scene, &mut album).await?;
    outage(&scene, &mut album).await?;
    unseen(&mut scene, &mut album).await?;
    Ok(album.0)
}

fn with(name: &str, extra: Value) -> Value {
    let mut spec = person(&format!("{name}@example.com"));
    merge(&mut spec, extra);
    spec
}

async fn users(scene: &Scene, album: &mut Album) -> Result<()> {
    let rig = &scene.rig;
    album.keep(
        "a connection that works",
        &rig.connections().get("scim").await?,
    )?;
    for name in ["ada", "carol", "dave"] {
        rig.declare(name, with(name, json!({}))).await?;
        rig.settled(name).await?;
    }
    album.keep("a user who is provisioned", &rig.users().get("ada").await?)?;
    for (name, extra, condition, state) in [
        (
            "bob",
            json!({"active": false}),
            ["Ready", "True", "Synced"],
            "a user who is archived as declared",
        ),
        (
            "eve",
            json!({"addresses": [{"type": "work", "country": "Atlantis"}]}),
            ["Ready", "False", "Invalid"],
            "a user who is invalid",
        ),
        (
            "orphan",
            json!({"connectionRef": {"name": "nobody"}}),
            ["Valid", "False", "ConnectionNotFound"],
            "a user before their connection",
        ),
        (
            "frank",
            json!({"suspend": true}),
            ["Ready", "False", "Suspended"],
            "a user who is suspended",
        ),
    ] {
        rig.declare(name, with(name, extra)).await?;
        let [kind, status, reason] = condition;
        album.keep(state, &rig.user_is(name, kind, status, reason).await?)?;
    }
    // Somebody else made an account of that name.
    scene
        .simulator
        .insert_user(json!({"userName": "grace@example.com", "active": true}));
    rig.sync("a-stranger").await?;
    rig.declare("grace", with("grace", json!({}))).await?;
    let conflict = rig.user_is("grace", "Ready", "False", "Conflict").await?;
    album.keep("a user in conflict with an account", &conflict)?;
    // The backend answers every reactivation with the account as it is.
    rig.declare("heidi", with("heidi", json!({}))).await?;
    let heidi = rig
        .settled("heidi")
        .await?
        .status
        .and_then(|s| s.id)
        .unwrap_or_default();
    scene.simulator.set_active(&heidi, false);
    let as_it_is = scene.simulator.user(&heidi).unwrap_or_default().to_string();
    let stubborn = Canned::raw(200, "application/scim+json", as_it_is)?;
    let patches = Matcher::new(Method::PATCH, &format!("/Users/{heidi}"));
    scene.proxy.reply_always(patches, stubborn);
    rig.sync("archived-there").await?;
    let archived = rig
        .user_is("heidi", "Ready", "False", "ArchivedByBackend")
        .await?;
    album.keep("a user whom the backend keeps archived", &archived)
}

async fn groups(scene: &Scene, album: &mut Album) -> Result<()> {
    let rig = &scene.rig;
    for (name, spec, condition, state) in [
        (
            "whole",
            json!({"members": members(&["ada"])}),
            ["Ready", "True", "Synced"],
            "a group in step",
        ),
        (
            "lacking",
            json!({"members": members(&["ada", "zoe"])}),
            ["MembersResolved", "False", "MembersNotFound"],
            "a group with a member who does not exist",
        ),
        (
            "resting",
            json!({"suspend": true}),
            ["Ready", "False", "Suspended"],
            "a group that is suspended",
        ),
    ] {
        let mut whole = json!({"displayName": name});
        merge(&mut whole, spec);
        rig.declare_group(name, whole).await?;
        let [kind, status, reason] = condition;
        album.keep(state, &rig.group_is(name, kind, status, reason).await?)?;
    }
    Ok(())
}

/// A connection of that name to the same backend.
async fn connection(scene: &Scene, name: &str, extra: Value) -> Result<ScimConnection> {
    let mut spec = json!({
        "endpoint": scene.proxy.url(), "insecure": true, "tokenSecretRef": {"name": "scim"}, "ownerId": name
    });
    merge(&mut spec, extra);
    let object = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimConnection", "metadata": {"name": name}, "spec": spec});
    let api = scene.rig.connections();
    Ok(api
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?)
}

async fn connections(scene: &Scene, album: &mut Album) -> Result<()> {
    let rig = &scene.rig;
    for (name, extra, condition, state) in [
        (
            "dry",
            json!({"mode": "DryRun"}),
            ["Ready", "True", "DryRun"],
            "a connection in a dry run",
        ),
        (
            "resting",
            json!({"suspend": true}),
            ["Ready", "False", "Suspended"],
            "a connection that is suspended",
        ),
        (
            "keyless",
            json!({"tokenSecretRef": {"name": "nowhere"}}),
            ["Ready", "False", "SecretNotFound"],
            "a connection whose Secret is missing",
        ),
    ] {
        connection(scene, name, extra).await?;
        let [kind, status, reason] = condition;
        let found = wait::wait_for_condition(
            rig.connections(),
            name,
            kind,
            status,
            Some(reason),
            DEADLINE,
        );
        album.keep(state, &rig.told(found.await)?)?;
    }
    rig.declare(
        "ivan",
        with("ivan", json!({"connectionRef": {"name": "dry"}})),
    )
    .await?;
    let planned = rig.user_is("ivan", "Ready", "False", "DryRun").await?;
    album.keep("a user in a dry run", &planned)
}

async fn held(scene: &Scene, album: &mut Album) -> Result<()> {
    let rig = &scene.rig;
    rig.edit("carol", json!({"active": false})).await?;
    let held = rig
        .user_is("carol", "Ready", "False", "DeprovisioningHeld")
        .await?;
    album.keep("a user whose archiving is held", &held)?;
    rig.users().delete("dave", &DeleteParams::default()).await?;
    let held = rig
        .user_is("dave", "Ready", "False", "DeprovisioningHeld")
        .await?;
    album.keep("a user whose deletion is held", &held)?;
    let held = rig
        .connection_is("DeprovisioningHeld", "True", "GuardExceeded")
        .await?;
    album.keep("a connection that holds a plan", &held)
}

async fn outage(scene: &Scene, album: &mut Album) -> Result<()> {
    let rig = &scene.rig;
    scene.proxy.set_down(true);
    let ask = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "outage"}}});
    rig.connections()
        .patch(
            "scim",
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(ask),
        )
        .await?;
    let down = rig.connection_is("Ready", "False", "Unreachable").await?;
    album.keep("a connection that is unreachable", &down)?;
    rig.declare("judy", with("judy", json!({}))).await?;
    let waits = rig
        .user_is("judy", "Ready", "False", "ConnectionNotReady")
        .await?;
    album.keep("a user whose connection cannot be used", &waits)
}

/// What the operator has not looked at: it is ended first.
async fn unseen(scene: &mut Scene, album: &mut Album) -> Result<()> {
    scene.rig.operator.kill9()?;
    scene
        .rig
        .operator
        .await_exit(Duration::from_secs(30))
        .await?;
    let rig = &scene.rig;
    rig.declare("new", with("new", json!({}))).await?;
    // As a tool reads it: our own types take the default of status for none.
    let raw = |kind: &'static str, name: &'static str| async move {
        let text = rig
            .plane
            .kubectl(&[
                "get",
                kind,
                name,
                "-n",
                super::support::NAMESPACE,
                "-o",
                "json",
            ])
            .await?;
        anyhow::Ok(serde_json::from_str::<Value>(&text)?)
    };
    album.keep(
        "a user just declared, nothing reported yet",
        &raw("scimuser", "new").await?,
    )?;
    connection(scene, "fresh", json!({})).await?;
    album.keep(
        "a connection just declared, nothing reported yet",
        &raw("scimconnection", "fresh").await?,
    )?;
    rig.edit("ada", json!({"title": "Countess"})).await?;
    album.keep(
        "a user whose spec changed and was not looked at yet",
        &raw("scimuser", "ada").await?,
    )
}
