//! Plans that are only shown, and a backend that has no groups at all.

use anyhow::{Result, ensure};
use reqwest::Method;
use scim_operator::api::ScimGroup;
use scim_operator::api::common::PlanStatus;
use scim_operator_harness::proxy::{Canned, Matcher};
use scim_operator_harness::wait;
use scim_sim::SimConfig;
use serde_json::json;

use crate::support::groups::{group_writes_since, members};
use crate::support::{DEADLINE, writes_since};
use crate::{labelled, scene, stage};

fn plan(group: ScimGroup) -> PlanStatus {
    group.status.and_then(|s| s.plan).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_shows_what_it_would_do_and_writes_nothing() -> Result<()> {
    let scene = scene(json!({})).await?;
    let rig = &scene.rig;
    scene
        .people(&["ada", "bob"], json!({"crew": "yes"}))
        .await?;
    let old = json!({"displayName": "Old", "memberSelector": labelled("crew", "yes")});
    rig.declare_group("old", old).await?;
    rig.group_settled("old").await?;
    scene.has("Old", &["ada", "bob"]).await?;

    rig.edit_connection(json!({"mode": "DryRun"})).await?;
    rig.connection_is("Ready", "True", "DryRun").await?;
    let mark = scene.proxy.mark();
    let new = json!({"displayName": "New", "members": members(&["ada"])});
    rig.declare_group("new", new).await?;
    let group = rig.group_is("new", "Ready", "False", "DryRun").await?;
    let planned = plan(group);
    ensure!(
        planned.action == "Create"
            && planned.attributes == ["displayName", "externalId", "members"],
        "{planned:?}"
    );
    rig.label("bob", json!({"crew": null})).await?;
    let group = rig
        .group_when("old", "the removal to be planned", |group| {
            group.status.as_ref().is_some_and(|s| {
                let named = s.plan.as_ref().map(|plan| &plan.attributes);
                named.is_some_and(|named| named.contains(&"members".to_owned()))
            })
        })
        .await?;
    let planned = plan(group);
    ensure!(
        planned.action == "Update" && planned.attributes == ["members"],
        "{planned:?}"
    );
    rig.sync("still-planning").await?;
    for name in ["old", "new"] {
        rig.group_looked_at(name, "still-planning").await?;
    }
    ensure!(
        writes_since(&scene.proxy, mark).is_empty() && scene.simulator.groups().len() == 1,
        "{:?}",
        writes_since(&scene.proxy, mark)
    );
    scene.has("Old", &["ada", "bob"]).await?;

    rig.edit_connection(json!({"mode": "Enforce"})).await?;
    scene.has("Old", &["ada"]).await?;
    scene.has("New", &["ada"]).await?;
    for name in ["old", "new"] {
        let group = rig.group_settled(name).await?;
        ensure!(plan(group) == PlanStatus::default());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_without_groups_is_no_trouble_for_its_users() -> Result<()> {
    let scene = stage(SimConfig::default()).await?;
    let rig = &scene.rig;
    for method in [Method::GET, Method::POST] {
        let groups = Matcher::new(method, "/Groups");
        scene.proxy.reply_always(groups, Canned::error(404)?);
    }
    rig.connect(&scene.proxy.url(), json!({})).await?;
    rig.connection_is("Ready", "True", "Connected").await?;
    scene.people(&["ada"], json!({"crew": "yes"})).await?;
    let spec = json!({"displayName": "Crew", "memberSelector": labelled("crew", "yes")});
    rig.declare_group("crew", spec).await?;
    let group = rig
        .group_when("crew", "the group to say that it cannot be", |group| {
            let ready = wait::condition(group, "Ready");
            ready.is_some_and(|ready| ready["status"] == "False")
        })
        .await?;
    let ready = wait::condition(&group, "Ready").unwrap_or_default();
    let said = ready["message"].as_str().unwrap_or_default();
    ensure!(said.to_lowercase().contains("group"), "{ready}");

    // Syncs are whole, users come, change and go, and nobody hammers on the door of the groups.
    let mark = scene.proxy.mark();
    for stamp in ["one", "two", "three"] {
        rig.sync(stamp).await?;
    }
    rig.connection_is("DirectoryComplete", "True", "Complete")
        .await?;
    rig.connection_is("Ready", "True", "Connected").await?;
    scene.people(&["bob"], json!({"crew": "yes"})).await?;
    rig.edit("ada", json!({"enterprise": {"department": "Analysis"}}))
        .await?;
    rig.settled("ada").await?;
    rig.delete("bob").await?;
    let asked = scene.proxy.since(mark);
    let asked = asked
        .iter()
        .filter(|r| r.path_and_query.starts_with("/Groups"))
        .count();
    ensure!(
        asked <= 12,
        "{asked} requests for groups that are not there"
    );
    ensure!(group_writes_since(&scene.proxy, mark).len() <= 6);

    // Groups come with a new version of the backend: a sync finds them.
    scene.proxy.clear_faults();
    rig.sync("with-groups").await?;
    scene.has("Crew", &["ada"]).await?;
    rig.group_settled("crew").await?;
    Ok(())
}

/// Whatever else a backend answers for groups, it is the groups' trouble alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_will_not_list_its_groups_is_no_trouble_for_its_users() -> Result<()> {
    let scene = scene(json!({})).await?;
    let rig = &scene.rig;
    scene.people(&["ada"], json!({"crew": "yes"})).await?;
    let page = "<html><body>Welcome</body></html>";
    for (stamp, canned) in [
        ("forbidden", Canned::error(403)?),
        ("unknown", Canned::error(501)?),
        ("gateway", Canned::raw(404, "text/html", page)?),
        ("welcome", Canned::raw(200, "text/html", page)?),
        ("broken", Canned::error(500)?),
    ] {
        scene.proxy.clear_faults();
        let groups = Matcher::new(Method::GET, "/Groups");
        scene.proxy.reply_always(groups, canned);
        if stamp == "forbidden" {
            let spec = json!({"displayName": "Crew", "memberSelector": labelled("crew", "yes")});
            rig.declare_group("crew", spec).await?;
        }
        rig.sync(stamp).await?;
        let connection = rig.connections().get("scim").await?;
        for kind in ["Ready", "DirectoryComplete"] {
            let found = wait::condition(&connection, kind).unwrap_or_default();
            ensure!(found["status"] == "True", "{stamp}: {found}");
        }
        rig.edit("ada", json!({"enterprise": {"department": stamp}}))
            .await?;
        rig.settled("ada").await?;
        let group = rig
            .group_when("crew", "the group not to be Ready", |group| {
                let ready = wait::condition(group, "Ready");
                ready.is_some_and(|ready| ready["status"] == "False")
            })
            .await?;
        let ready = wait::condition(&group, "Ready").unwrap_or_default();
        let said = ready["message"].as_str().unwrap_or_default();
        ensure!(said.contains("group"), "{stamp}: {ready}");
    }
    ensure!(group_writes_since(&scene.proxy, 0).is_empty());
    scene.proxy.clear_faults();
    rig.sync("mended").await?;
    rig.group_settled("crew").await?;
    scene.has("Crew", &["ada"]).await
}

/// A listing of groups that fails is repeated before the interval is over, less and less often, and
/// with it everybody who is listed besides.
#[tokio::test(flavor = "multi_thread")]
async fn groups_that_cannot_be_listed_are_asked_for_less_and_less_often() -> Result<()> {
    let scene = scene(json!({})).await?;
    let groups = Matcher::new(Method::GET, "/Groups");
    scene.proxy.reply_always(groups, Canned::error(500)?);
    scene
        .rig
        .declare_group("crew", json!({"displayName": "Crew"}))
        .await?;
    let arrivals = || -> Vec<std::time::Instant> {
        let requests = scene.proxy.requests();
        let asked = requests
            .iter()
            .filter(|r| r.path_and_query.starts_with("/Groups?"));
        asked.map(|r| r.arrived).collect()
    };
    // One listing asks four times for its first page before it gives up.
    let what = "the groups to be listed for the fourth time";
    let arrived = wait::eventually(what, DEADLINE, async || {
        let arrived = arrivals();
        Ok((arrived.len() >= 13).then_some(arrived))
    })
    .await?;
    let waited = arrived[12].duration_since(arrived[11]);
    ensure!(
        waited.as_millis() >= 1_900,
        "after three listings that failed the next came within {waited:?}"
    );
    Ok(())
}
