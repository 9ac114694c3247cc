//! The same short story on servers that bend the rules of membership: whatever they do with a request,
//! the group ends with the declared members, each of them once, and nobody else.

use anyhow::{Result, ensure};
use scim_operator::api::ScimConnection;
use scim_operator_harness::wait;
use scim_sim::{Dialect, Faults, SimConfig};
use serde_json::json;

use crate::support::DEADLINE;
use crate::support::groups::{group_writes_since, members};
use crate::{Scene, labelled, numbered, scene_on, text};

/// A simulator that bends so from its start.
fn bent(faults: Faults) -> SimConfig {
    SimConfig {
        faults,
        ..SimConfig::default()
    }
}

/// Members come and go by labels, one, two, and one again; an outsider adds somebody whom we are about
/// to add.
async fn short_story(faults: Faults) -> Result<Scene> {
    let scene = scene_on(bent(faults), json!({})).await?;
    let rig = &scene.rig;
    let crew = || json!({"crew": "yes"});
    let nobody = || json!({"crew": null});
    scene.people(&["ada", "bob", "cid", "dan"], crew()).await?;
    scene.people(&["eve", "fay"], json!({})).await?;
    let spec = json!({"displayName": "Crew", "memberSelector": labelled("crew", "yes")});
    rig.declare_group("crew", spec).await?;
    scene.has("Crew", &["ada", "bob", "cid", "dan"]).await?;
    rig.group_settled("crew").await?;

    rig.label("dan", nobody()).await?;
    scene.has("Crew", &["ada", "bob", "cid"]).await?;
    rig.label("bob", nobody()).await?;
    rig.label("fay", crew()).await?;
    scene.has("Crew", &["ada", "cid", "fay"]).await?;
    rig.label("bob", crew()).await?;
    scene.has("Crew", &["ada", "bob", "cid", "fay"]).await?;

    scene.put_in("Crew", &scene.id_of("eve"))?;
    rig.label("eve", crew()).await?;
    rig.label("dan", crew()).await?;
    rig.label("ada", nobody()).await?;
    scene
        .has("Crew", &["bob", "cid", "dan", "eve", "fay"])
        .await?;
    rig.group_looked_at("crew", "short-story").await?;
    rig.group_settled("crew").await?;
    Ok(scene)
}

/// What an outsider did to the members is put right, where the backend shows it.
async fn and_outsiders(scene: &Scene) -> Result<()> {
    let stranger = scene.stranger();
    scene.put_in("Crew", &stranger)?;
    scene.take_out("Crew", &scene.id_of("bob"))?;
    scene.rig.sync("outsiders").await?;
    scene
        .has("Crew", &["bob", "cid", "dan", "eve", "fay"])
        .await?;
    scene.rests("crew").await
}

/// Waits until the connection says what it learned.
async fn learned(scene: &Scene, field: &str, expected: &str) -> Result<()> {
    let what = format!("status.capabilities.{field} to be {expected}");
    let found = wait::wait_for_object(
        scene.rig.connections(),
        "scim",
        &what,
        DEADLINE,
        |connection: Option<&ScimConnection>| {
            let status = connection.and_then(|c| serde_json::to_value(c).ok());
            status.is_some_and(|c| c["status"]["capabilities"][field] == expected)
        },
    );
    found.await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_all_right_is_asked_by_filter_for_ever() -> Result<()> {
    let scene = short_story(Faults::default()).await?;
    and_outsiders(&scene).await?;
    learned(&scene, "memberRemoval", "Filter").await?;
    learned(&scene, "members", "Returned").await?;
    let operations = scene.member_operations_since(0);
    ensure!(
        operations
            .iter()
            .all(|(op, path)| (op == "add") == (path == "members") && op != "replace"),
        "{operations:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_by_filter_that_is_ignored_is_noticed_once_and_then_asked_by_value() -> Result<()>
{
    let faults = Faults {
        member_removal_filter_ignored: true,
        ..Faults::default()
    };
    let scene = short_story(faults).await?;
    and_outsiders(&scene).await?;
    learned(&scene, "memberRemoval", "Value").await?;
    let filtered = |(op, path): &&(String, String)| op == "remove" && path != "members";
    let operations = scene.member_operations_since(0);
    let tried = operations.iter().filter(filtered).count();
    ensure!(
        tried == 1,
        "the filter was tried {tried} times: {operations:?}"
    );

    // What was learned outlives the operator.
    let mut scene = scene;
    scene.rig.operator.kill9()?;
    scene.rig.restart().await?;
    let mark = scene.proxy.mark();
    scene.rig.label("fay", json!({"crew": null})).await?;
    scene.has("Crew", &["bob", "cid", "dan", "eve"]).await?;
    let operations = scene.member_operations_since(mark);
    ensure!(
        operations == [("remove".to_owned(), "members".to_owned())],
        "{operations:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_list_of_values_removes_everybody_it_is_never_sent() -> Result<()> {
    let faults = Faults {
        value_form_removal_wipes: true,
        ..Faults::default()
    };
    let scene = short_story(faults).await?;
    and_outsiders(&scene).await?;
    learned(&scene, "memberRemoval", "Filter").await?;
    let operations = scene.member_operations_since(0);
    ensure!(
        !operations.contains(&("remove".to_owned(), "members".to_owned())),
        "{operations:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_neither_form_works_the_wiped_are_put_back_and_nothing_is_removed_again() -> Result<()>
{
    let faults = Faults {
        member_removal_filter_ignored: true,
        value_form_removal_wipes: true,
        ..Faults::default()
    };
    let mut scene = scene_on(bent(faults), json!({})).await?;
    let crew = json!({"crew": "yes"});
    scene.people(&["ada", "bob", "cid", "dan"], crew).await?;
    let spec = json!({"displayName": "Crew", "memberSelector": labelled("crew", "yes")});
    scene.rig.declare_group("crew", spec).await?;
    scene.has("Crew", &["ada", "bob", "cid", "dan"]).await?;
    scene.rig.group_settled("crew").await?;
    scene.rig.label("dan", json!({"crew": null})).await?;
    learned(&scene, "memberRemoval", "Broken").await?;
    // Everybody was removed at once; those who belong there are back, and so dan alone is gone.
    scene.has("Crew", &["ada", "bob", "cid"]).await?;

    // From now on whoever is one too many stays, and the group does not say that it is in step.
    let mark = scene.proxy.mark();
    scene.rig.label("cid", json!({"crew": null})).await?;
    scene
        .rig
        .group_when("crew", "the group not to be Ready", |group| {
            wait::condition(group, "Ready").is_some_and(|ready| ready["status"] == "False")
        })
        .await?;
    scene.rig.group_looked_at("crew", "broken").await?;
    ensure!(scene.people_in("Crew")? == ["ada", "bob", "cid"]);
    let removals = scene.member_operations_since(mark);
    ensure!(
        removals.iter().all(|(op, _)| op != "remove"),
        "{removals:?}"
    );

    // A restart is no reason to find out again what it costs.
    scene.rig.operator.kill9()?;
    scene.rig.restart().await?;
    scene.rig.label("bob", json!({"crew": null})).await?;
    scene.rig.group_looked_at("crew", "restarted").await?;
    let removals = scene.member_operations_since(mark);
    ensure!(
        !removals.contains(&("remove".to_owned(), "members".to_owned()))
            && scene.people_in("Crew")? == ["ada", "bob", "cid"],
        "{removals:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_are_never_returned_are_remembered_and_nothing_spins() -> Result<()> {
    let faults = Faults {
        omit_members: true,
        ..Faults::default()
    };
    let mut scene = short_story(faults).await?;
    learned(&scene, "members", "NotReturned").await?;
    let mark = scene.proxy.mark();
    scene.rests("crew").await?;
    let reads: Vec<String> = scene
        .proxy
        .since(mark)
        .iter()
        .map(|r| r.path_and_query.clone())
        .filter(|path| path.starts_with("/Groups/"))
        .collect();
    ensure!(
        reads.len() <= 6,
        "four syncs and two looks at one group took {reads:?}"
    );

    // Nobody but us knows who was added: that outlives the operator.
    scene.rig.operator.kill9()?;
    scene.rig.restart().await?;
    let mark = scene.proxy.mark();
    scene.rig.label("fay", json!({"crew": null})).await?;
    scene.rig.label("ada", json!({"crew": "yes"})).await?;
    scene
        .has("Crew", &["ada", "bob", "cid", "dan", "eve"])
        .await?;
    scene.rig.group_looked_at("crew", "restarted").await?;
    let changed: usize = scene
        .patches_since(mark)
        .iter()
        .filter_map(|r| r.request_body())
        .flat_map(|body| body["Operations"].as_array().cloned().unwrap_or_default())
        .map(|op| op["value"].as_array().map_or(1, Vec::len))
        .sum();
    ensure!(
        changed == 2,
        "one came and one left, and {changed} members were sent"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_below_ours_is_met_by_smaller_pieces() -> Result<()> {
    const PEOPLE: usize = 230;
    let faults = Faults {
        member_cap: Some(100),
        ..Faults::default()
    };
    let dialect = json!({"dialect": {"membersPerRequest": 250}});
    let mut scene = scene_on(bent(faults), dialect).await?;
    let people = numbered("crew", 0..PEOPLE);
    scene
        .rig
        .declare_all(&people, json!({"crew": "yes"}))
        .await?;
    scene.rig.provisioned(230).await?;
    let spec = json!({"displayName": "Crew", "memberSelector": labelled("crew", "yes")});
    scene.rig.declare_group("crew", spec).await?;
    scene.has("Crew", &people).await?;
    scene.rig.group_settled("crew").await?;
    let asked = scene.patches_since(0).len();
    ensure!(
        asked <= 10,
        "230 members, at most 100 of them at once, took {asked} PATCHes"
    );

    // The same on the way out, by an operator who does not know yet: everybody but ten.
    scene.rig.operator.kill9()?;
    scene.rig.restart().await?;
    let mark = scene.proxy.mark();
    let few = json!({"memberSelector": null, "members": members(&people[..10])});
    scene.rig.edit_group("crew", few).await?;
    scene.has("Crew", &people[..10]).await?;
    scene.rig.group_settled("crew").await?;
    let asked = scene.patches_since(mark).len();
    ensure!(
        asked <= 10,
        "220 removals, at most 100 of them at once, took {asked} PATCHes"
    );
    scene.rests("crew").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_there_already_and_answered_500_is_no_trouble() -> Result<()> {
    let faults = Faults {
        readd_member_500: true,
        ..Faults::default()
    };
    let scene = short_story(faults).await?;
    and_outsiders(&scene).await
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_a_post_ignores_are_added_after_it() -> Result<()> {
    let faults = Faults {
        post_group_ignores_members: true,
        ..Faults::default()
    };
    let scene = short_story(faults).await?;
    and_outsiders(&scene).await
}

/// A merged PUT would send the whole list, and undo what others did since the group was read.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_on_a_server_without_patch_says_so_and_is_never_replaced_whole() -> Result<()> {
    let faults = Faults {
        no_patch: Some(501),
        ..Faults::default()
    };
    let scene = scene_on(bent(faults), json!({})).await?;
    scene.people(&["ada"], json!({})).await?;
    let spec = json!({"displayName": "Crew", "members": members(&["ada"])});
    scene.rig.declare_group("crew", spec).await?;
    scene
        .rig
        .group_is("crew", "Valid", "False", "RejectedByBackend")
        .await?;
    let ready = scene.rig.group_condition("crew", "Ready").await?;
    ensure!(ready.0 == "False" && ready.2.contains("PATCH"), "{ready:?}");
    scene.rig.sync("again").await?;
    scene.rig.group_looked_at("crew", "again").await?;
    let writes = group_writes_since(&scene.proxy, 0);
    ensure!(writes == ["POST"], "{writes:?}");
    Ok(())
}

/// One member of three hundred is refused: it is found by halves, the others are in, and neither is
/// the size of the pieces blamed for it.
#[tokio::test(flavor = "multi_thread")]
async fn one_member_that_is_refused_costs_a_search_and_leaves_nobody_else_out() -> Result<()> {
    let scene = scene_on(SimConfig::default(), json!({})).await?;
    let people = numbered("crew", 0..300);
    scene
        .rig
        .declare_all(&people, json!({"crew": "yes"}))
        .await?;
    scene.rig.provisioned(300).await?;
    // The last of the first hundred, in the order in which ids are sent.
    let mut by_id: Vec<(String, &String)> = people
        .iter()
        .map(|name| (scene.id_of(name), name))
        .collect();
    by_id.sort();
    let (id, refused) = by_id[99].clone();
    scene.simulator.remove_user(&id);
    let spec = json!({"displayName": "Crew", "memberSelector": labelled("crew", "yes")});
    scene.rig.declare_group("crew", spec).await?;
    let others: Vec<&String> = people.iter().filter(|name| *name != refused).collect();
    scene.has("Crew", &others).await?;
    let group = scene
        .rig
        .group_when("crew", "the refusal to be told", |group| {
            wait::condition(group, "Synced").is_some_and(|synced| synced["status"] == "False")
        })
        .await?;
    let synced = wait::condition(&group, "Synced").unwrap_or_default();
    let said = text(&synced, "message");
    ensure!(said.starts_with("1 members were refused"), "{said}");
    let asked = scene.patches_since(0).len();
    ensure!(asked <= 30, "to leave one of 300 out took {asked} PATCHes");

    // Made anew by the next sync, the account is no stranger to the backend any more.
    scene.rig.sync("made-anew").await?;
    scene.has("Crew", &people).await?;
    scene.rig.group_settled("crew").await?;
    scene.rests("crew").await
}

/// Nobody was added, and so nothing was learned of whether members are returned.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_member_that_is_refused_does_not_teach_that_members_are_never_returned()
-> Result<()> {
    let config = SimConfig {
        dialect: Dialect {
            patch_no_content: true,
            ..Dialect::default()
        },
        ..SimConfig::default()
    };
    let scene = scene_on(config, json!({})).await?;
    scene.people(&["ada"], json!({})).await?;
    scene.simulator.remove_user(&scene.id_of("ada"));
    let spec = json!({"displayName": "Crew", "members": members(&["ada"])});
    scene.rig.declare_group("crew", spec).await?;
    scene
        .rig
        .group_is("crew", "Synced", "False", "RequestFailed")
        .await?;
    scene.rig.sync("made-anew").await?;
    scene.has("Crew", &["ada"]).await?;
    scene.rig.group_settled("crew").await?;
    let stranger = scene.stranger();
    scene.put_in("Crew", &stranger)?;
    scene.rig.sync("a-stranger-came").await?;
    scene.has("Crew", &["ada"]).await?;
    learned(&scene, "members", "Returned").await
}
