//! Refusals: what a backend will not do to one member, or to the name of a group, must not keep others
//! in, make group after group, or have somebody else's group deleted as ours.

use anyhow::{Result, ensure};
use kube::api::DeleteParams;
use reqwest::Method;
use scim_operator_harness::proxy::{Canned, Matcher};
use scim_operator_harness::wait;
use serde_json::json;

use crate::scene;
use crate::support::DEADLINE;
use crate::support::groups::members;

fn patches() -> Matcher {
    Matcher::new(Method::PATCH, "/Groups")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_was_taken_over_stays_though_a_member_was_refused_at_once() -> Result<()> {
    let scene = scene(json!({})).await?;
    let rig = &scene.rig;
    scene.people(&["ada", "bob"], json!({})).await?;
    let id = scene
        .simulator
        .insert_group(json!({"displayName": "Old", "members": []}));
    let refused = patches().containing(&scene.id_of("bob"));
    scene.proxy.reply_always(refused, Canned::error(400)?);
    rig.declare_group(
        "old",
        json!({"displayName": "Old", "adopt": {"id": id}, "members": members(&["ada", "bob"])}),
    )
    .await?;
    rig.group_is("old", "Synced", "False", "RequestFailed")
        .await?;
    scene.has("Old", &["ada"]).await?;
    scene.proxy.clear_faults();
    rig.delete_group("old").await?;
    ensure!(
        scene.simulator.group(&id).is_some(),
        "somebody else's group was deleted as ours"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_about_one_member_makes_no_second_group() -> Result<()> {
    let scene = scene(json!({})).await?;
    let rig = &scene.rig;
    scene.people(&["ada", "bob", "eve"], json!({})).await?;
    let unknown = patches().containing(&scene.id_of("bob"));
    scene.proxy.reply_always(unknown, Canned::error(404)?);
    rig.declare_group(
        "crew",
        json!({"displayName": "Crew", "members": members(&["ada", "bob", "eve"])}),
    )
    .await?;
    rig.group_is("crew", "Synced", "False", "RequestFailed")
        .await?;
    scene.has("Crew", &["ada", "eve"]).await?;
    ensure!(
        scene.simulator.groups().len() == 1 && scene.proxy.count(&Method::POST, "/Groups") == 1,
        "{} groups",
        scene.simulator.groups().len()
    );
    scene.proxy.clear_faults();
    scene.has("Crew", &["ada", "bob", "eve"]).await?;
    rig.group_settled("crew").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_refused_keeps_no_leaver_in() -> Result<()> {
    let scene = scene(json!({})).await?;
    let rig = &scene.rig;
    scene.people(&["ada", "bob"], json!({})).await?;
    let spec = json!({"displayName": "Crew", "members": members(&["ada", "bob"])});
    rig.declare_group("crew", spec).await?;
    rig.group_settled("crew").await?;
    let rename = patches().containing("Forbidden Name");
    scene.proxy.reply_always(rename, Canned::error(400)?);
    rig.edit_group(
        "crew",
        json!({"displayName": "Forbidden Name", "members": members(&["ada"])}),
    )
    .await?;
    scene.has("Crew", &["ada"]).await?;
    rig.group_is("crew", "Valid", "False", "RejectedByBackend")
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_collection_is_gone_for_a_while_is_not_let_go() -> Result<()> {
    let mut scene = scene(json!({})).await?;
    scene.people(&["ada"], json!({})).await?;
    let rig = &mut scene.rig;
    let spec = json!({"displayName": "Crew", "members": members(&["ada"])});
    rig.declare_group("crew", spec).await?;
    rig.group_settled("crew").await?;
    let groups = Matcher::new(Method::GET, "/Groups");
    scene.proxy.reply_always(groups, Canned::error(404)?);
    rig.sync("glitch").await?;
    // The mirror is empty after a restart, and the id answers 404 as everything there does.
    rig.operator.terminate(DEADLINE).await?;
    rig.restart().await?;
    rig.groups()
        .delete("crew", &DeleteParams::default())
        .await?;
    rig.group_when("crew", "the deletion to say what it waits for", |group| {
        group.status.as_ref().is_some_and(|status| {
            let mut messages = status.conditions.iter().map(|c| &c.message);
            messages.any(|message| message.contains("deletion waits"))
        })
    })
    .await?;
    ensure!(scene.simulator.groups().len() == 1);
    scene.proxy.clear_faults();
    rig.sync("back").await?;
    wait::wait_for_absence(rig.groups(), "crew", DEADLINE).await?;
    ensure!(
        scene.simulator.groups().is_empty(),
        "let go, and left there"
    );
    Ok(())
}
