//! What a spec may say of membership: never to remove, to select nobody, to leave the group alone.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::groups::{group_writes_since, members};
use crate::{labelled, scene};

#[tokio::test(flavor = "multi_thread")]
async fn add_only_never_removes_and_exact_does_as_soon_as_it_is_asked_to() -> Result<()> {
    let scene = scene(json!({})).await?;
    let rig = &scene.rig;
    scene
        .people(&["ada", "bob"], json!({"crew": "yes"}))
        .await?;
    let spec = json!({"displayName": "Crew", "membership": "AddOnly", "memberSelector": labelled("crew", "yes")});
    rig.declare_group("crew", spec).await?;
    rig.group_settled("crew").await?;
    scene.has("Crew", &["ada", "bob"]).await?;

    let mark = scene.proxy.mark();
    let stranger = scene.stranger();
    scene.put_in("Crew", &stranger)?;
    rig.label("bob", json!({"crew": null})).await?;
    rig.sync("two-too-many").await?;
    rig.group_looked_at("crew", "two-too-many").await?;
    rig.group_settled("crew").await?;
    scene.has("Crew", &["ada", "bob", "stranger"]).await?;
    ensure!(group_writes_since(&scene.proxy, mark).is_empty());

    // It still adds.
    scene.people(&["cid"], json!({"crew": "yes"})).await?;
    scene
        .has("Crew", &["ada", "bob", "cid", "stranger"])
        .await?;

    rig.edit_group("crew", json!({"membership": "Exact"}))
        .await?;
    rig.group_settled("crew").await?;
    scene.has("Crew", &["ada", "cid"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_selector_selects_nobody() -> Result<()> {
    let scene = scene(json!({})).await?;
    let rig = &scene.rig;
    scene.people(&["ada"], json!({"crew": "yes"})).await?;
    scene.people(&["bob"], json!({})).await?;
    let spec = json!({"displayName": "Nobody", "memberSelector": {}});
    rig.declare_group("nobody", spec).await?;
    let group = rig.group_settled("nobody").await?;
    let counts = group.status.and_then(|s| s.members).unwrap_or_default();
    ensure!(counts == Default::default(), "{counts:?}");
    rig.group_is("nobody", "MembersResolved", "True", "AllResolved")
        .await?;
    scene.has::<&str>("Nobody", &[]).await?;
    let writes = group_writes_since(&scene.proxy, 0);
    ensure!(writes == ["POST"], "{writes:?}");

    // Emptied, a selector takes with it whom it had selected; those named stay.
    let spec = json!({"displayName": "Crew", "members": members(&["bob"]), "memberSelector": labelled("crew", "yes")});
    rig.declare_group("crew", spec).await?;
    rig.group_settled("crew").await?;
    scene.has("Crew", &["ada", "bob"]).await?;
    let empty = json!({"memberSelector": {"matchLabels": null}});
    rig.edit_group("crew", empty).await?;
    rig.group_settled("crew").await?;
    scene.has("Crew", &["bob"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_group_is_left_alone_and_then_caught_up_with() -> Result<()> {
    let scene = scene(json!({})).await?;
    let rig = &scene.rig;
    scene
        .people(&["ada", "bob"], json!({"crew": "yes"}))
        .await?;
    let spec = |suspend: bool| json!({"displayName": "Crew", "suspend": suspend, "memberSelector": labelled("crew", "yes")});
    rig.declare_group("crew", spec(true)).await?;
    rig.group_is("crew", "Ready", "False", "Suspended").await?;
    ensure!(scene.simulator.groups().is_empty());
    rig.edit_group("crew", json!({"suspend": false})).await?;
    rig.group_settled("crew").await?;
    scene.has("Crew", &["ada", "bob"]).await?;

    rig.edit_group(
        "crew",
        json!({"suspend": true, "displayName": "Flight crew"}),
    )
    .await?;
    rig.group_is("crew", "Ready", "False", "Suspended").await?;
    let mark = scene.proxy.mark();
    let stranger = scene.stranger();
    scene.put_in("Crew", &stranger)?;
    rig.label("bob", json!({"crew": null})).await?;
    rig.sync("while-suspended").await?;
    rig.group_looked_at("crew", "while-suspended").await?;
    scene.has("Crew", &["ada", "bob", "stranger"]).await?;

    // Its deletion waits as well.
    rig.groups()
        .delete("crew", &kube::api::DeleteParams::default())
        .await?;
    rig.group_when("crew", "the deletion to say what it waits for", |group| {
        let conditions = group.status.as_ref().map(|s| &s.conditions);
        conditions.into_iter().flatten().any(|condition| {
            condition.reason == "Suspended" && condition.message.contains("deletion waits")
        })
    })
    .await?;
    ensure!(group_writes_since(&scene.proxy, mark).is_empty());
    rig.edit_group("crew", json!({"suspend": false})).await?;
    scim_operator_harness::wait::wait_for_absence(rig.groups(), "crew", crate::DEADLINE).await?;
    ensure!(scene.simulator.groups().is_empty());

    // Declared suspended and resumed, a group comes to exactly what is declared by then.
    rig.declare_group("crew", spec(false)).await?;
    rig.group_settled("crew").await?;
    scene.has("Crew", &["ada"]).await
}
