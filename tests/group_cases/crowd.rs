//! Many members, and many changes at once: what they cost, and that they end exact.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use scim_operator::api::ScimGroup;
use scim_operator_harness::wait;
use scim_sim::{Dialect, SimConfig};
use serde_json::json;

use crate::support::DEADLINE;
use crate::support::groups::{group_writes_since, members};
use crate::{Scene, labelled, numbered, scene, scene_on};

/// Waits until that many members are in the group, and its status says so.
async fn counted(scene: &Scene, count: usize) -> Result<()> {
    let what = format!("{count} members to be in the group");
    let in_step = |group: Option<&ScimGroup>| {
        let members = group.and_then(|g| g.status.as_ref()?.members);
        members.is_some_and(|m| m.synced as usize == count && m.desired as usize == count)
            && group
                .and_then(|g| wait::condition(g, "Ready"))
                .is_some_and(|ready| ready["status"] == "True")
    };
    let groups = scene.rig.groups();
    wait::wait_for_object(groups, "everybody", &what, DEADLINE * 4, in_step)
        .await
        .map(drop)
}

/// How many members each PATCH of a group since `mark` was about.
fn pieces(scene: &Scene, mark: usize) -> Vec<usize> {
    let size = |op: &serde_json::Value| op["value"].as_array().map_or(1, Vec::len);
    scene
        .patches_since(mark)
        .iter()
        .filter_map(|r| r.request_body())
        .map(|body| {
            let operations = body["Operations"].as_array().cloned().unwrap_or_default();
            operations.iter().map(size).sum()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_more_are_five_patches_and_one_fewer_is_one() -> Result<()> {
    let scene = scene(json!({"limits": {"requestsPerSecond": 5000, "maxInFlight": 16}})).await?;
    let (first, second) = (numbered("first", 0..5000), numbered("second", 0..500));
    scene
        .rig
        .declare_all(&first, json!({"wave": "first"}))
        .await?;
    scene
        .rig
        .declare_all(&second, json!({"wave": "second"}))
        .await?;
    scene.rig.provisioned(5500).await?;
    let mark = scene.proxy.mark();
    let spec = json!({"displayName": "Everybody", "memberSelector": labelled("wave", "first")});
    scene.rig.declare_group("everybody", spec).await?;
    counted(&scene, 5000).await?;
    ensure!(
        pieces(&scene, mark) == [100; 50],
        "5,000 members took {:?}",
        pieces(&scene, mark)
    );

    // One edit of the selector, so that the 500 come at one moment and none of them is on its way.
    let mark = scene.proxy.mark();
    let both = json!({"matchLabels": null, "matchExpressions": [{"key": "wave", "operator": "In", "values": ["first", "second"]}]});
    let edit = json!({"memberSelector": both});
    scene.rig.edit_group("everybody", edit).await?;
    counted(&scene, 5500).await?;
    ensure!(
        pieces(&scene, mark) == [100; 5],
        "500 more took {:?}",
        pieces(&scene, mark)
    );

    let mark = scene.proxy.mark();
    scene
        .rig
        .label("first-0042", json!({"wave": "none"}))
        .await?;
    counted(&scene, 5499).await?;
    ensure!(
        pieces(&scene, mark) == [1],
        "one fewer took {:?}",
        pieces(&scene, mark)
    );
    scene.rests("everybody").await?;

    let expected: BTreeSet<String> = first
        .iter()
        .chain(&second)
        .filter(|name| *name != "first-0042")
        .cloned()
        .collect();
    let people = scene.people_in("Everybody")?;
    ensure!(people.len() == 5499, "{} members", people.len());
    ensure!(people.into_iter().collect::<BTreeSet<_>>() == expected);

    // As one commit in Git brings them: not there yet, and provisioned while the group looks on.
    let mark = scene.proxy.mark();
    let third = numbered("third", 0..500);
    scene
        .rig
        .declare_all(&third, json!({"wave": "second"}))
        .await?;
    counted(&scene, 5999).await?;
    let pieces = pieces(&scene, mark);
    // Each pass adds whom a quarter of a second brought, or five seconds: how many there are is a matter of how
    // fast the machine is, that they are few is not.
    ensure!(
        pieces.len() <= 25,
        "500 who were provisioned meanwhile took {pieces:?}"
    );
    Ok(())
}

/// The group of thirty whose labels change all at once, while somebody else edits it: fifteen leave
/// and fifteen come.
async fn thirty_at_once(scene: &Scene) -> Result<()> {
    let (leaving, coming) = (numbered("leaving", 0..15), numbered("coming", 0..15));
    let staying = numbered("staying", 0..15);
    scene.people(&leaving, json!({"crew": "yes"})).await?;
    scene.people(&staying, json!({"crew": "yes"})).await?;
    scene.people(&coming, json!({})).await?;
    let spec = json!({"displayName": "Crew", "memberSelector": labelled("crew", "yes")});
    scene.rig.declare_group("crew", spec).await?;
    let there: Vec<&String> = leaving.iter().chain(&staying).collect();
    scene.has("Crew", &there).await?;
    scene.rig.group_settled("crew").await?;

    // An outsider edits the group before, between and after the changes of labels.
    let stranger = scene.stranger();
    scene.put_in("Crew", &stranger)?;
    let relabel = async |names: &[String], label: serde_json::Value| {
        let edits = names
            .iter()
            .map(|name| scene.rig.label(name, label.clone()));
        futures::future::try_join_all(edits).await.map(drop)
    };
    let (off, on) = (json!({"crew": null}), json!({"crew": "yes"}));
    futures::try_join!(
        relabel(&leaving[..8], off.clone()),
        relabel(&coming[..7], on.clone())
    )?;
    scene.take_out("Crew", &scene.id_of("staying-0003"))?;
    // Somebody who is about to come is there already; somebody who is about to leave has left.
    scene.put_in("Crew", &scene.id_of("coming-0010"))?;
    scene.take_out("Crew", &scene.id_of("leaving-0010"))?;
    futures::try_join!(relabel(&leaving[8..], off), relabel(&coming[7..], on))?;
    scene.take_out("Crew", &scene.id_of("staying-0004"))?;

    scene.rig.sync("after-the-edits").await?;
    let expected: Vec<&String> = coming.iter().chain(&staying).collect();
    scene.has("Crew", &expected).await?;
    scene.rig.group_looked_at("crew", "after-the-edits").await?;
    scene.rig.group_settled("crew").await?;
    scene.rests("crew").await?;
    scene.has("Crew", &expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn r19_thirty_users_edited_at_once_with_an_outside_edit_in_between_end_exact() -> Result<()> {
    let scene = scene(json!({})).await?;
    thirty_at_once(&scene).await?;
    let patches = scene.patches_since(0).len();
    ensure!(
        patches <= 20,
        "thirty changes are gathered, and took {patches} PATCHes"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_versions_are_offered_a_stale_change_is_refused_and_the_group_ends_exact_as_well()
-> Result<()> {
    let config = SimConfig {
        dialect: Dialect {
            etag: true,
            ..Dialect::default()
        },
        ..SimConfig::default()
    };
    let scene = scene_on(config, json!({})).await?;
    thirty_at_once(&scene).await?;

    // Nobody has listed since this edit: the version that we know is an old one.
    let mark = scene.proxy.mark();
    scene.put_in("Crew", &scene.id_of("leaving-0001"))?;
    let label = json!({"crew": null});
    scene.rig.label("staying-0000", label).await?;
    let mut expected = numbered("coming", 0..15);
    expected.extend(numbered("staying", 1..15));
    scene.has("Crew", &expected).await?;
    let patches = scene.patches_since(mark);
    let statuses: Vec<Option<u16>> = patches.iter().map(|r| r.status).collect();
    ensure!(
        patches
            .iter()
            .all(|r| r.request_headers.contains_key("if-match"))
            && statuses.first() == Some(&Some(412)),
        "{statuses:?}"
    );
    scene.rests("crew").await
}

/// The group is seen first, as when both are in one commit: its members are added as they come, those
/// of a moment together.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_and_thirty_members_declared_at_once_cost_a_post_and_a_few_patches() -> Result<()> {
    let scene = scene(json!({})).await?;
    let people = numbered("crew", 0..30);
    let spec = json!({"displayName": "Crew", "members": members(&people)});
    scene.rig.declare_group("crew", spec).await?;
    scene.rig.declare_all(&people, json!({})).await?;
    scene.has("Crew", &people).await?;
    scene.rig.group_settled("crew").await?;
    let writes = group_writes_since(&scene.proxy, 0);
    ensure!(
        writes[0] == "POST" && writes.len() <= 4,
        "thirty members took {writes:?}"
    );
    Ok(())
}
