//! The worst day: a commit that takes out most of a company, and a person who has to say whether it was
//! meant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anyhow::{Result, ensure};
use kube::api::ListParams;
use reqwest::Method;
use scim_operator_harness::proxy::{Canned, Matcher};
use scim_operator_harness::{RecordingProxy, wait};
use scim_sim::{SimConfig, Simulator};
use serde_json::json;
use support::company::{Scene, company, person};
use support::{DEADLINE, TOKEN, writes_since};

#[tokio::test(flavor = "multi_thread")]
async fn r14_sixty_of_a_hundred_deleted_by_one_commit_wait_for_approval() -> Result<()> {
    let mut scene = company(100).await?;
    let mark = scene.proxy.mark();
    scene.delete(0..60).await?;
    let plan = scene.held(50).await?;
    ensure!(plan.users.len() == 10, "{plan:?}");
    // A tenth may go; those ten are granted by the same stroke that holds the others.
    scene.archives(10).await?;
    let held = plan.users[0].rsplit('/').next().unwrap_or_default();
    scene
        .rig
        .user_is(held, "Ready", "False", "DeprovisioningHeld")
        .await?;

    // Neither the hash of something else nor a restart lets anybody go.
    scene.approve("0123456789abcdef").await?;
    scene.rig.operator.terminate(DEADLINE).await?;
    scene.rig.restart().await?;
    scene.rig.sync("after-restart").await?;
    let again = scene.held(50).await?;
    ensure!(again.hash == plan.hash, "the same plan has another hash");
    scene.delete(60..61).await?;
    let more = scene.held(51).await?;
    ensure!(more.hash != plan.hash);
    scene.approve(&plan.hash).await?;
    scene.rig.sync("approved-the-old").await?;
    ensure!(
        scene.archived() == 10 && writes_since(&scene.proxy, mark).len() == 10,
        "{} archived by {:?}",
        scene.archived(),
        writes_since(&scene.proxy, mark)
    );

    // What was looked at is what goes.
    scene.approve(&more.hash).await?;
    scene.gone(0..61).await?;
    ensure!(scene.archived() == 61);
    let connection = scene.rig.connections().get("scim").await?;
    let status = connection.status.unwrap_or_default();
    ensure!(
        status.held_plan.is_none(),
        "still held: {:?}",
        status.held_plan
    );

    // The next one is another plan, and the old approval says nothing of it.
    scene.delete(61..64).await?;
    let next = scene.held(3).await?;
    ensure!(next.hash != more.hash && scene.archived() == 61);
    let left = scene.rig.users().list(&ListParams::default()).await?;
    ensure!(left.items.len() == 39, "{} are left", left.items.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn archiving_by_spec_counts_as_well_and_whoever_stays_leaves_the_plan() -> Result<()> {
    let scene = company(20).await?;
    for number in 0..8 {
        scene
            .rig
            .edit(&person(number), json!({"active": false}))
            .await?;
    }
    let plan = scene.held(3).await?;
    // The minimum is five.
    scene.archives(5).await?;
    let held: Vec<String> = plan
        .users
        .iter()
        .map(|user| user.rsplit('/').next().unwrap_or_default().to_owned())
        .collect();
    let user = scene
        .rig
        .user_is(&held[0], "Ready", "False", "DeprovisioningHeld")
        .await?;
    let shown = user.status.and_then(|s| s.plan).unwrap_or_default();
    ensure!(
        shown.action == "Hold" && shown.attributes == ["active"],
        "{shown:?}"
    );
    scene.rig.edit(&held[0], json!({"active": true})).await?;
    scene.rig.settled(&held[0]).await?;
    let plan = scene.held(2).await?;
    scene.approve(&plan.hash).await?;
    for name in &held[1..] {
        scene
            .rig
            .user_is(name, "Archived", "True", "Requested")
            .await?;
        scene.rig.settled(name).await?;
    }
    ensure!(scene.archived() == 7);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_archived_already_makes_no_room_for_others() -> Result<()> {
    let scene = company(30).await?;
    let connection =
        |maximum: u32| json!({"deprovisionGuard": {"maxPercent": maximum, "minimum": 1}});
    scene.rig.edit_connection(connection(100)).await?;
    for number in 0..20 {
        scene
            .rig
            .edit(&person(number), json!({"active": false}))
            .await?;
    }
    scene.archives(20).await?;
    for number in 0..20 {
        scene.rig.settled(&person(number)).await?;
    }
    // Half of thirty may go, and twenty have: whoever is archived is not one of more than thirty.
    scene.rig.edit_connection(connection(50)).await?;
    scene
        .rig
        .edit_connection(json!({"deprovisionGuard": {"window": "1m"}}))
        .await?;
    scene.delete(20..30).await?;
    scene.held(10).await?;
    ensure!(scene.archived() == 20, "{} are archived", scene.archived());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_the_backend_keeps_active_does_not_eat_what_others_may_spend() -> Result<()>
{
    let scene = company(8).await?;
    let account = scene
        .simulator
        .user_by_name("user-000@example.com")
        .expect("there");
    let path = format!("/Users/{}", account["id"].as_str().unwrap_or_default());
    let lie = Canned::raw(200, "application/scim+json", account.to_string())?;
    let patches = Matcher::new(Method::PATCH, &path);
    scene.proxy.reply_always(patches, lie);
    scene.rig.edit(&person(0), json!({"active": false})).await?;
    let stubborn = format!("PATCH {path}");
    let tries = || {
        let writes = scene.proxy.writes();
        let tried = writes
            .iter()
            .filter(|r| format!("{} {}", r.method, r.path_and_query) == stubborn);
        tried.count()
    };
    wait::eventually("four tries", DEADLINE, async || {
        Ok((tries() >= 4).then_some(()))
    })
    .await?;
    // The minimum of five: the stubborn one has spent one of them, however often it was tried.
    for number in 1..5 {
        scene
            .rig
            .edit(&person(number), json!({"active": false}))
            .await?;
    }
    scene.archives(4).await?;
    let connection = scene.rig.connections().get("scim").await?;
    let status = connection.status.unwrap_or_default();
    ensure!(status.held_plan.is_none(), "{:?}", status.held_plan);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_while_suspended_forgets_neither_what_went_nor_what_is_held() -> Result<()> {
    let mut scene = company(20).await?;
    scene.delete(0..12).await?;
    let plan = scene.held(7).await?;
    scene.archives(5).await?;
    scene.rig.edit_connection(json!({"suspend": true})).await?;
    scene
        .rig
        .connection_is("Ready", "False", "Suspended")
        .await?;
    scene.rig.operator.terminate(DEADLINE).await?;
    scene.rig.restart().await?;
    scene.rig.edit_connection(json!({"suspend": false})).await?;
    scene
        .rig
        .connection_is("Ready", "True", "Connected")
        .await?;
    scene.delete(12..13).await?;
    let more = scene.held(8).await?;
    ensure!(
        more.hash != plan.hash && scene.archived() == 5,
        "{} are archived",
        scene.archived()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_another_backend_is_recognised_before_anybody_is_made_there_or_taken_for_gone()
-> Result<()> {
    let mut scene = company(20).await?;
    let other = Simulator::start(SimConfig {
        tokens: vec![TOKEN.into()],
        ..SimConfig::default()
    })
    .await?;
    let elsewhere = RecordingProxy::start(&other.base_url()).await?;
    let here = scene.proxy.url();
    let move_to = async |scene: &Scene, endpoint: &str| {
        let edit = scene.rig.edit_connection(json!({"endpoint": endpoint}));
        edit.await
    };
    let mark = scene.proxy.mark();
    move_to(&scene, &elsewhere.url()).await?;
    let stuck = async |scene: &Scene| {
        let changed = scene.rig.connection_is("Ready", "False", "BackendChanged");
        let status = changed.await?.status.unwrap_or_default();
        let missing = status.missing_accounts.unwrap_or_default();
        ensure!(
            (missing.count, missing.approved) == (20, false),
            "{missing:?}"
        );
        anyhow::Ok(missing.hash)
    };
    let hash = stuck(&scene).await?;
    scene.delete(0..1).await?;
    // A deletion finds nothing there, which proves nothing.
    scene
        .rig
        .user_is(&person(0), "Stalled", "True", "Pending")
        .await?;
    scene
        .rig
        .user_is(&person(1), "Ready", "False", "Pending")
        .await?;

    // A mistake, put right: nothing was lost by it.
    move_to(&scene, &here).await?;
    scene
        .rig
        .connection_is("Ready", "True", "Connected")
        .await?;
    scene.gone(0..1).await?;
    for number in 1..20 {
        scene.rig.settled(&person(number)).await?;
    }
    ensure!(elsewhere.writes().is_empty() && other.users().is_empty());
    let wrote = writes_since(&scene.proxy, mark);
    ensure!(wrote == ["PATCH"] && scene.archived() == 1, "{wrote:?}");

    // Meant, this time: a person says so, and no restart forgets it.
    move_to(&scene, &elsewhere.url()).await?;
    scene
        .rig
        .connection_is("Ready", "False", "BackendChanged")
        .await?;
    scene.approve(&hash).await?;
    scene.rig.sync("the-hash-of-before").await?;
    let again = scene.rig.connections().get("scim").await?.status;
    let again = again.and_then(|s| s.missing_accounts).unwrap_or_default();
    ensure!(!again.approved && other.users().is_empty(), "{again:?}");
    scene.rig.operator.terminate(DEADLINE).await?;
    scene.rig.restart().await?;
    scene
        .rig
        .connection_is("Ready", "False", "BackendChanged")
        .await?;
    scene.approve(&again.hash).await?;
    for number in 1..20 {
        scene.rig.settled(&person(number)).await?;
    }
    ensure!(other.users().len() == 19, "{}", other.users().len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_a_backend_that_was_reset_is_filled_again_only_when_a_person_says_so() -> Result<()> {
    let scene = company(20).await?;
    let ids: Vec<String> = scene
        .simulator
        .users()
        .iter()
        .filter_map(|user| user["id"].as_str().map(str::to_owned))
        .collect();
    for id in &ids {
        scene.simulator.remove_user(id);
    }
    let mark = scene.proxy.mark();
    scene.rig.sync("reset").await?;
    let connection = scene
        .rig
        .connection_is("DeprovisioningHeld", "True", "BackendChanged")
        .await?;
    scene.delete(0..1).await?;
    scene
        .rig
        .user_is(&person(0), "Ready", "False", "DeprovisioningHeld")
        .await?;
    ensure!(writes_since(&scene.proxy, mark).is_empty());
    let missing = connection.status.and_then(|s| s.missing_accounts);
    scene.approve(&missing.unwrap_or_default().hash).await?;
    scene.gone(0..1).await?;
    for number in 1..20 {
        scene.rig.settled(&person(number)).await?;
    }
    scene.rig.sync("filled").await?;
    let status = scene.rig.connection_is("Ready", "True", "Connected");
    let status = status.await?.status.unwrap_or_default();
    ensure!(status.missing_accounts.is_none(), "{status:?}");
    ensure!(writes_since(&scene.proxy, mark).len() == 19);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_while_a_listing_is_cut_short_nobody_goes_and_then_they_do() -> Result<()> {
    let scene = company(8).await?;
    let mark = scene.proxy.mark();
    scene
        .simulator
        .faults()
        .update(|faults| faults.truncate_list = Some(3));
    scene.rig.sync("cut-short").await?;
    scene
        .rig
        .connection_is("DirectoryComplete", "False", "Truncated")
        .await?;
    scene.rig.edit(&person(0), json!({"active": false})).await?;
    scene
        .rig
        .user_is(&person(0), "Ready", "False", "DeprovisioningHeld")
        .await?;
    scene
        .rig
        .connection_is("DeprovisioningHeld", "True", "Truncated")
        .await?;
    ensure!(writes_since(&scene.proxy, mark).is_empty());
    scene.simulator.faults().reset();
    scene.rig.sync("whole").await?;
    scene.rig.settled(&person(0)).await?;
    ensure!(scene.archived() == 1);
    let held = scene.rig.connections().get("scim").await?;
    let held = wait::condition(&held, "DeprovisioningHeld");
    ensure!(held.is_none(), "{held:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_what_is_held_stays_held_through_a_dry_run_and_a_restart() -> Result<()> {
    let mut scene = company(20).await?;
    scene.delete(0..12).await?;
    let plan = scene.held(7).await?;
    scene.archives(5).await?;
    scene.rig.edit_connection(json!({"mode": "DryRun"})).await?;
    scene.rig.connection_is("Ready", "True", "DryRun").await?;
    scene.rig.operator.terminate(DEADLINE).await?;
    scene.rig.restart().await?;
    scene.rig.sync("in-dry-run").await?;
    let still = scene.held(7).await?;
    ensure!(still.hash == plan.hash);
    // Room for more lets others go, and nobody of these.
    let room = json!({"mode": "Enforce", "deprovisionGuard": {"minimum": 9}});
    scene.rig.edit_connection(room).await?;
    scene
        .rig
        .connection_is("Ready", "True", "Connected")
        .await?;
    scene.rig.sync("in-force").await?;
    let still = scene.held(7).await?;
    ensure!(still.hash == plan.hash && scene.archived() == 5);
    scene.approve(&plan.hash).await?;
    scene.gone(0..12).await?;
    ensure!(scene.archived() == 12);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_who_is_held_is_a_member_still_of_the_groups_that_select_them() -> Result<()> {
    let scene = company(20).await?;
    let labels = json!({"team": "engines"});
    for number in 0..20 {
        scene.rig.label(&person(number), labels.clone()).await?;
    }
    let group = json!({"displayName": "Engines", "memberSelector": {"matchLabels": labels}});
    scene.rig.declare_group("engines", group).await?;
    let members = async |count: usize| {
        wait::eventually("so many members", DEADLINE, async || {
            let groups = scene.simulator.groups();
            let members = groups.first().and_then(|group| group["members"].as_array());
            Ok((members.map(Vec::len) == Some(count)).then_some(()))
        })
        .await
    };
    members(20).await?;
    scene.delete(0..12).await?;
    let plan = scene.held(7).await?;
    scene.archives(5).await?;
    members(15).await?;
    scene.rig.group_looked_at("engines", "held").await?;
    members(15).await?;
    scene.approve(&plan.hash).await?;
    scene.gone(0..12).await?;
    members(8).await
}
