//! Names of people and of resources that come again, change hands, or go round in a circle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use reqwest::Method;
use scim_operator_harness::proxy::Matcher;
use scim_operator_harness::wait;
use serde_json::json;
use support::company::{Scene, company, person};
use support::{DEADLINE, writes_since};

fn address(name: &str) -> String {
    format!("{name}@example.com")
}

impl Scene {
    /// The id of the account with that userName.
    fn id_of(&self, name: &str) -> Result<String> {
        let account = self.simulator.user_by_name(&address(name));
        let account = account.with_context(|| format!("nobody is named {name}"))?;
        Ok(account["id"].as_str().unwrap_or_default().to_owned())
    }

    async fn rename(&self, resource: &str, name: &str) -> Result<()> {
        let spec = json!({"userName": address(name)});
        self.rig.edit(resource, spec).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r06_a_resource_made_anew_under_its_name_keeps_what_the_old_one_had() -> Result<()> {
    let scene = company(2).await?;
    let account = scene.id_of("user-000")?;
    // The old one is about to be archived when the API server is told to forget it.
    let mut held = scene
        .proxy
        .hold_reply_after_commit(Matcher::new(Method::PATCH, "/Users").containing("active"));
    let users = scene.rig.users();
    let old = users.get(&person(0)).await?;
    users.delete(&person(0), &DeleteParams::default()).await?;
    held.committed().await?;
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    users
        .patch(&person(0), &PatchParams::default(), &none)
        .await?;
    wait::wait_for_absence(users.clone(), &person(0), DEADLINE).await?;
    scene
        .rig
        .declare(&person(0), support::person(&address("user-000")))
        .await?;
    held.release();
    let new = scene.rig.settled(&person(0)).await?;
    ensure!(new.uid() != old.uid());
    scene.rig.sync("afterwards").await?;
    let new = scene.rig.settled(&person(0)).await?;
    ensure!(
        !new.finalizers().is_empty(),
        "the old one's end took the new one's finalizer"
    );
    ensure!(scene.id_of("user-000")? == account && scene.archived() == 0);
    ensure!(scene.simulator.users().len() == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r27_user_names_that_go_round_in_a_circle_end_where_they_should() -> Result<()> {
    let scene = company(5).await?;
    let ids: Vec<String> = (0..5)
        .map(|n| scene.id_of(&person(n)))
        .collect::<Result<_>>()?;
    // Two swap; three go round. Applied one by one, as kubectl does.
    for (resource, name) in [(0, 1), (1, 0), (2, 3), (3, 4), (4, 2)] {
        scene.rename(&person(resource), &person(name)).await?;
    }
    for number in 0..5 {
        scene.rig.settled(&person(number)).await?;
    }
    for (resource, name) in [(0, 1), (1, 0), (2, 3), (3, 4), (4, 2)] {
        ensure!(
            scene.id_of(&person(name))? == ids[resource],
            "{resource} is not {name}: {:?}",
            scene.simulator.users()
        );
    }
    let mark = scene.proxy.mark();
    scene.rig.sync("afterwards").await?;
    ensure!(writes_since(&scene.proxy, mark).is_empty(), "a loop");
    ensure!(scene.simulator.users().len() == 5);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r27_a_swap_that_is_killed_half_way_is_finished_by_the_next_start() -> Result<()> {
    let mut scene = company(2).await?;
    let ids = [scene.id_of("user-000")?, scene.id_of("user-001")?];
    let aside = Matcher::new(Method::PATCH, "/Users").containing(".renaming-");
    let mut held = scene.proxy.hold_reply_after_commit(aside);
    scene.rename(&person(0), &person(1)).await?;
    scene.rename(&person(1), &person(0)).await?;
    held.committed().await?;
    scene.rig.operator.kill9()?;
    scene.rig.operator.await_exit(DEADLINE).await?;
    held.release();
    scene.rig.restart().await?;
    scene.rig.settled(&person(0)).await?;
    scene.rig.settled(&person(1)).await?;
    ensure!([scene.id_of("user-001")?, scene.id_of("user-000")?] == ids);
    ensure!(scene.simulator.users().len() == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r27_a_chain_of_renames_needs_no_name_aside() -> Result<()> {
    let scene = company(3).await?;
    let ids: Vec<String> = (0..3)
        .map(|n| scene.id_of(&person(n)))
        .collect::<Result<_>>()?;
    let mark = scene.proxy.mark();
    scene.rename(&person(0), &person(1)).await?;
    scene.rename(&person(1), &person(2)).await?;
    scene.rename(&person(2), "somebody-new").await?;
    for number in 0..3 {
        scene.rig.settled(&person(number)).await?;
    }
    ensure!(scene.id_of(&person(1))? == ids[0] && scene.id_of(&person(2))? == ids[1]);
    ensure!(scene.id_of("somebody-new")? == ids[2]);
    let wrote = scene.proxy.since(mark);
    let aside = wrote
        .iter()
        .filter(|r| String::from_utf8_lossy(r.request_bytes()).contains(".renaming-"));
    ensure!(aside.count() == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r27_nobody_steps_aside_for_one_who_does_not_move() -> Result<()> {
    let scene = company(2).await?;
    let ids = [scene.id_of("user-000")?, scene.id_of("user-001")?];
    let mark = scene.proxy.mark();
    let spec = json!({"suspend": true, "userName": address("user-000")});
    scene.rig.edit(&person(1), spec).await?;
    scene
        .rig
        .user_is(&person(1), "Ready", "False", "Suspended")
        .await?;
    scene.rename(&person(0), &person(1)).await?;
    scene
        .rig
        .user_is(&person(0), "Ready", "False", "Conflict")
        .await?;
    ensure!([scene.id_of("user-000")?, scene.id_of("user-001")?] == ids);
    let tried = scene.proxy.since(mark);
    let aside = |r: &&std::sync::Arc<scim_operator_harness::proxy::Recorded>| {
        String::from_utf8_lossy(r.request_bytes()).contains(".renaming-")
    };
    ensure!(
        tried.iter().find(aside).is_none(),
        "a login was broken for nothing"
    );
    // Once the other moves, both do.
    scene
        .rig
        .edit(&person(1), json!({"suspend": false}))
        .await?;
    scene.rig.settled(&person(1)).await?;
    scene.rig.settled(&person(0)).await?;
    ensure!([scene.id_of("user-001")?, scene.id_of("user-000")?] == ids);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r27_whoever_steps_aside_and_leaves_is_archived_by_the_same_pass() -> Result<()> {
    let scene = company(2).await?;
    let leaver = scene.id_of("user-000")?;
    let aside = Matcher::new(Method::PATCH, "/Users").containing(".renaming-");
    let mut held = scene.proxy.hold_reply_after_commit(aside);
    scene.rename(&person(1), &person(0)).await?;
    let spec = json!({"userName": address("user-001"), "active": false});
    scene.rig.edit(&person(0), spec).await?;
    held.committed().await?;
    let account = scene.simulator.user(&leaver).unwrap_or_default();
    ensure!(account["active"] == false, "{account}");
    held.release();
    scene.rig.settled(&person(0)).await?;
    scene.rig.settled(&person(1)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r28_of_two_claims_the_older_wins_and_the_younger_touches_nothing() -> Result<()> {
    let scene = company(1).await?;
    let account = scene.id_of("user-000")?;
    let mark = scene.proxy.mark();
    let mut claim = support::person(&address("USER-000"));
    claim["enterprise"]["department"] = "Usurpers".into();
    scene.rig.declare("younger", claim).await?;
    scene
        .rig
        .user_is("younger", "Valid", "False", "DuplicateUserName")
        .await?;
    scene.rig.sync("meanwhile").await?;
    ensure!(writes_since(&scene.proxy, mark).is_empty());
    // Once the older is gone, the younger is all there is.
    scene.rig.delete(&person(0)).await?;
    scene.rig.settled("younger").await?;
    ensure!(scene.id_of("user-000")? == account && scene.archived() == 0);
    Ok(())
}
