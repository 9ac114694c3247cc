//! Whose group it is: groups that were there before, and groups of which nobody knows whether they
//! were created.

use anyhow::{Result, ensure};
use reqwest::Method;
use scim_operator_harness::proxy::Matcher;
use scim_operator_harness::{RecordingProxy, wait};
use scim_sim::{FailNext, Faults, SimConfig, Simulator};
use serde_json::{Value, json};

use crate::support::TOKEN;
use crate::support::groups::{group_writes_since, members, people_in};
use crate::{Scene, labelled, scene, scene_on, text};

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_group_is_taken_over_only_where_it_is_named_and_then_retained() -> Result<()> {
    let scene = scene(json!({})).await?;
    let rig = &scene.rig;
    scene.people(&["ada", "bob"], json!({})).await?;
    let stranger = scene.stranger();
    let nested = scene
        .simulator
        .insert_group(json!({"displayName": "Nested"}));
    let before = [
        json!({"value": stranger}),
        json!({"value": scene.id_of("bob")}),
        json!({"value": nested, "type": "Group"}),
    ];
    let before = json!({"displayName": "Crew", "members": before});
    let id = scene.simulator.insert_group(before);
    let foreign =
        json!({"displayName": "Others", "externalId": "scim-operator:another:team/others"});
    scene.simulator.insert_group(foreign);
    rig.sync("listed").await?;
    let mark = scene.proxy.mark();
    let spec = |name: &str| json!({"displayName": name, "members": members(&["ada", "bob"])});
    rig.declare_group("crew", spec("Crew")).await?;
    rig.declare_group("others", spec("Others")).await?;
    for (name, reason) in [("crew", "AdoptionRequired"), ("others", "OwnedByOther")] {
        rig.group_is(name, "Synced", "False", reason).await?;
        rig.group_is(name, "Ready", "False", "Conflict").await?;
        let stalled = rig.group_condition(name, "Stalled").await?;
        ensure!(stalled.0 == "True", "{name}: {stalled:?}");
    }
    ensure!(group_writes_since(&scene.proxy, mark).is_empty());
    scene.has("Crew", &["bob", "stranger", &nested]).await?;

    // Named by its id, the group is ours: its members are those that are declared, and the groups
    // within it, which nobody can declare.
    rig.edit_group("crew", json!({"adopt": {"id": id}})).await?;
    rig.group_is("crew", "Synced", "True", "Adopted").await?;
    let group = rig.group_settled("crew").await?;
    scene.has("Crew", &["ada", "bob", &nested]).await?;
    let writes = group_writes_since(&scene.proxy, mark);
    ensure!(writes.iter().all(|method| method == "PATCH"), "{writes:?}");
    let status = group.status.unwrap_or_default();
    ensure!(status.adopted && status.id.as_ref() == Some(&id));
    let there = scene.simulator.group(&id).unwrap_or_default();
    ensure!(
        there["externalId"] == "scim-operator:identity/scim:identity/crew",
        "{there}"
    );
    scene.rests("crew").await?;

    // Whoever made it keeps it; what we made ourselves goes.
    let mark = scene.proxy.mark();
    rig.delete_group("crew").await?;
    ensure!(group_writes_since(&scene.proxy, mark).is_empty());
    scene.has("Crew", &["ada", "bob", &nested]).await?;
    rig.declare_group("own", spec("Our own")).await?;
    rig.group_settled("own").await?;
    let mark = scene.proxy.mark();
    rig.delete_group("own").await?;
    ensure!(group_writes_since(&scene.proxy, mark) == ["DELETE"]);
    ensure!(scene.group("Our own").is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn by_policy_a_name_is_enough_unless_two_groups_bear_it() -> Result<()> {
    let policy = json!({"adoption": {"match": ["DisplayName"]}});
    let scene = scene(policy).await?;
    let rig = &scene.rig;
    scene.people(&["ada"], json!({})).await?;
    let id = scene.simulator.insert_group(json!({"displayName": "CREW"}));
    for name in ["Twins", "twins"] {
        scene.simulator.insert_group(json!({"displayName": name}));
    }
    rig.sync("listed").await?;
    let mark = scene.proxy.mark();
    let spec = |name: &str| json!({"displayName": name, "members": members(&["ada"])});
    rig.declare_group("twins", spec("Twins")).await?;
    rig.group_is("twins", "Synced", "False", "Ambiguous")
        .await?;
    rig.group_is("twins", "Ready", "False", "Conflict").await?;
    ensure!(group_writes_since(&scene.proxy, mark).is_empty());
    rig.declare_group("crew", spec("Crew")).await?;
    rig.group_is("crew", "Synced", "True", "Adopted").await?;
    rig.group_settled("crew").await?;
    ensure!(text(&scene.group("Crew")?, "id") == id);
    scene.has("Crew", &["ada"]).await?;

    // An adopted group is deleted where the spec says so.
    rig.edit_group("crew", json!({"deletionPolicy": "Delete"}))
        .await?;
    rig.group_settled("crew").await?;
    rig.delete_group("crew").await?;
    ensure!(scene.group("Crew").is_err() && scene.simulator.groups().len() == 2);
    Ok(())
}

/// A scene with ada, on a backend that returns externalIds or does not. Where it does not, a first
/// group teaches that: the creates after it are marked ahead.
async fn where_marks_come_back(echoed: bool) -> Result<Scene> {
    let config = SimConfig {
        faults: Faults {
            external_id_not_echoed: !echoed,
            ..Faults::default()
        },
        ..SimConfig::default()
    };
    let scene = scene_on(config, json!({})).await?;
    scene.people(&["ada"], json!({})).await?;
    if !echoed {
        let first = json!({"displayName": "First"});
        scene.rig.declare_group("first", first).await?;
        scene.rig.group_settled("first").await?;
    }
    Ok(scene)
}

fn crew() -> Value {
    json!({"displayName": "Crew", "members": members(&["ada"])})
}

/// One group of that name, with its member, after however many tries.
async fn one_group_remains(scene: &Scene) -> Result<()> {
    let group = scene.rig.group_settled("crew").await?;
    scene.has("Crew", &["ada"]).await?;
    let there = scene.group("Crew")?;
    ensure!(group.status.and_then(|s| s.id) == Some(text(&there, "id")));
    scene.rests("crew").await?;
    ensure!(scene.group("Crew").is_ok());
    Ok(())
}

async fn a_post_whose_answer_was_lost(echoed: bool, answer: FailNext) -> Result<()> {
    let scene = where_marks_come_back(echoed).await?;
    let mark = scene.proxy.mark();
    scene.simulator.faults().update(|faults| {
        if answer.n > 0 {
            faults.fail_next = answer;
        } else {
            faults.drop_reply_after_commit = 1;
        }
    });
    scene.rig.declare_group("crew", crew()).await?;
    one_group_remains(&scene).await?;
    let writes = group_writes_since(&scene.proxy, mark);
    let posts = writes.iter().filter(|method| *method == "POST").count();
    ensure!(posts == 1, "{writes:?}");
    Ok(())
}

const ANSWERED_500: FailNext = FailNext {
    n: 1,
    status: 500,
    applied: true,
};
const NOT_ANSWERED: FailNext = FailNext {
    n: 0,
    ..ANSWERED_500
};

#[tokio::test(flavor = "multi_thread")]
async fn r04_a_post_answered_500_though_applied_leaves_one_group() -> Result<()> {
    a_post_whose_answer_was_lost(true, ANSWERED_500).await
}

#[tokio::test(flavor = "multi_thread")]
async fn r04_also_where_marks_are_not_returned() -> Result<()> {
    a_post_whose_answer_was_lost(false, ANSWERED_500).await
}

#[tokio::test(flavor = "multi_thread")]
async fn r04_a_post_that_was_not_answered_leaves_one_group() -> Result<()> {
    a_post_whose_answer_was_lost(true, NOT_ANSWERED).await
}

async fn killed_between_post_and_status_write(echoed: bool) -> Result<()> {
    let mut scene = where_marks_come_back(echoed).await?;
    let post = Matcher::new(Method::POST, "/Groups");
    let mut held = scene.proxy.hold_reply_after_commit(post);
    scene.rig.declare_group("crew", crew()).await?;
    held.committed().await?;
    scene.rig.operator.kill9()?;
    held.release();
    ensure!(scene.group("Crew").is_ok());
    let mark = scene.proxy.mark();
    scene.rig.restart().await?;
    one_group_remains(&scene).await?;
    let writes = group_writes_since(&scene.proxy, mark);
    ensure!(!writes.contains(&"POST".to_owned()), "{writes:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r04_killed_between_post_and_status_write_one_group_remains() -> Result<()> {
    killed_between_post_and_status_write(true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn r04_killed_also_where_marks_are_not_returned() -> Result<()> {
    killed_between_post_and_status_write(false).await
}

/// A group with ada, on a server that cannot bear to be told of a member twice; bob is about to come.
async fn where_nobody_is_added_twice() -> Result<Scene> {
    let config = SimConfig {
        faults: Faults {
            readd_member_500: true,
            ..Faults::default()
        },
        ..SimConfig::default()
    };
    let scene = scene_on(config, json!({})).await?;
    scene.people(&["ada"], json!({"crew": "yes"})).await?;
    scene.people(&["bob"], json!({})).await?;
    let spec = json!({"displayName": "Crew", "memberSelector": labelled("crew", "yes")});
    scene.rig.declare_group("crew", spec).await?;
    scene.rig.group_settled("crew").await?;
    scene.has("Crew", &["ada"]).await?;
    Ok(scene)
}

#[tokio::test(flavor = "multi_thread")]
async fn r04_a_patch_that_failed_though_applied_is_looked_at_and_not_repeated() -> Result<()> {
    let scene = where_nobody_is_added_twice().await?;
    for (step, on) in [("answered-500", true), ("lost", false), ("throttled", true)] {
        scene.simulator.faults().update(|faults| match step {
            "answered-500" => faults.fail_next = ANSWERED_500,
            "lost" => faults.drop_reply_after_commit = 1,
            _ => {
                faults.throttle_next = 1;
                faults.throttle_applied = true;
                faults.retry_after = Some("1".into());
            }
        });
        let mark = scene.proxy.mark();
        let (label, expected) = match on {
            true => (json!({"crew": "yes"}), vec!["ada", "bob"]),
            false => (json!({"crew": null}), vec!["ada"]),
        };
        scene.rig.label("bob", label).await?;
        scene.has("Crew", &expected).await?;
        scene.rig.group_looked_at("crew", step).await?;
        scene.rig.group_settled("crew").await?;
        scene.has("Crew", &expected).await?;
        let patches = scene.patches_since(mark).len();
        ensure!(patches == 1, "{step}: {patches} PATCHes for one change");
    }
    scene.rests("crew").await
}

#[tokio::test(flavor = "multi_thread")]
async fn r04_killed_between_a_patch_of_members_and_the_status_write_nothing_is_repeated()
-> Result<()> {
    let mut scene = where_nobody_is_added_twice().await?;
    let patch = Matcher::new(Method::PATCH, "/Groups");
    let mut held = scene.proxy.hold_reply_after_commit(patch);
    scene.rig.label("bob", json!({"crew": "yes"})).await?;
    held.committed().await?;
    scene.rig.operator.kill9()?;
    held.release();
    let mark = scene.proxy.mark();
    scene.rig.restart().await?;
    scene.rig.group_looked_at("crew", "restarted").await?;
    scene.rig.group_settled("crew").await?;
    scene.has("Crew", &["ada", "bob"]).await?;
    let writes = group_writes_since(&scene.proxy, mark);
    ensure!(writes.is_empty(), "{writes:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_endpoint_gets_a_group_of_its_own_with_the_accounts_that_are_there() -> Result<()> {
    let scene = scene(json!({})).await?;
    let rig = &scene.rig;
    scene.people(&["ada"], json!({})).await?;
    rig.declare_group("crew", crew()).await?;
    let id = rig.group_settled("crew").await?.status.and_then(|s| s.id);
    scene.has("Crew", &["ada"]).await?;

    // A stranger's account and group, under the ids that ours have here.
    let second = Simulator::start(SimConfig {
        tokens: vec![TOKEN.into()],
        ..SimConfig::default()
    })
    .await?;
    let account = second.insert_user(json!({"userName": "stranger@example.com", "active": true}));
    let theirs = json!({"displayName": "Theirs", "members": [{"value": account}]});
    let theirs = second.insert_group(theirs);
    ensure!(
        Some(&theirs) == id.as_ref() && account == scene.id_of("ada"),
        "the simulators number differently"
    );
    let elsewhere = RecordingProxy::start(&second.base_url()).await?;
    rig.move_to(&elsewhere.url()).await?;
    rig.group_when("crew", "the group to have an id there", |group| {
        let status = group.status.as_ref();
        let ready = wait::condition(group, "Ready");
        status.is_some_and(|s| s.id != id) && ready.is_some_and(|r| r["status"] == "True")
    })
    .await?;
    let people = people_in(second.groups(), &second.users(), "Crew")?;
    ensure!(people == ["ada"], "{people:?}");
    let people = people_in(second.groups(), &second.users(), "Theirs")?;
    ensure!(people == ["stranger"], "{people:?}");
    let writes = group_writes_since(&elsewhere, 0);
    ensure!(writes == ["POST", "PATCH"], "{writes:?}");

    // Back again, the mark finds the first group, and its member is who it was.
    let mark = scene.proxy.mark();
    rig.edit_connection(json!({"endpoint": scene.proxy.url()}))
        .await?;
    rig.group_when("crew", "the group to have its first id again", |group| {
        group.status.as_ref().is_some_and(|s| s.id == id)
    })
    .await?;
    rig.group_looked_at("crew", "back-again").await?;
    rig.group_settled("crew").await?;
    scene.has("Crew", &["ada"]).await?;
    let writes = group_writes_since(&scene.proxy, mark);
    ensure!(writes.is_empty(), "{writes:?}");
    Ok(())
}
