//! A backend that is down, hangs, refuses the token, or fails for one person only: what is sent meanwhile,
//! who notices, and that all of it passes by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Instant;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use reqwest::Method;
use scim_operator_harness::proxy::{Canned, Matcher};
use scim_operator_harness::wait;
use serde_json::json;
use support::company::{Scene, company, person};
use support::{DEADLINE, writes_since};

impl Scene {
    /// The resourceVersions of so many people: equal ones say that nothing was written.
    async fn versions(&self, people: usize) -> Result<Vec<String>> {
        let mut versions = Vec::new();
        for number in 0..people {
            versions.push(self.rig.version(&person(number)).await?);
        }
        Ok(versions)
    }

    /// Edits so many people, who are then pending.
    async fn edit_all(&self, people: usize, department: &str) -> Result<()> {
        for number in 0..people {
            let spec = json!({"enterprise": {"department": department}});
            self.rig.edit(&person(number), spec).await?;
        }
        Ok(())
    }

    async fn all_settled(&self, people: usize) -> Result<()> {
        for number in 0..people {
            self.rig.settled(&person(number)).await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_revoked_token_costs_a_probe_a_step_and_one_condition() -> Result<()> {
    let scene = company(30).await?;
    let versions = scene.versions(30).await?;
    scene.simulator.set_token("another");
    let mark = scene.proxy.mark();
    scene.rig.sync("revoked").await?;
    scene
        .rig
        .connection_is("Authenticated", "False", "Unauthorized")
        .await?;
    ensure!(
        scene.versions(30).await? == versions,
        "users in step were told"
    );
    scene.edit_all(30, "Looms").await?;
    for number in 0..30 {
        scene
            .rig
            .user_is(&person(number), "Ready", "False", "ConnectionNotReady")
            .await?;
    }
    let asked = scene.proxy.since(mark).len();
    scene.rig.set_token("another").await?;
    scene.all_settled(30).await?;
    // The listing that found out (asked twice at most), and a probe in 1, 2, 4, 8, 16… seconds.
    ensure!(asked <= 10, "{asked} requests with a refused token");
    ensure!(writes_since(&scene.proxy, mark).len() == 30);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_writes_that_fail_though_listing_works_open_the_circuit_and_are_tried_by_few()
-> Result<()> {
    let scene = company(40).await?;
    let broken = || Canned::error(503);
    let patches = Matcher::new(Method::PATCH, "/Users");
    scene.proxy.reply_always(patches, broken()?);
    let mark = scene.proxy.mark();
    let since = Instant::now();
    scene.edit_all(40, "Looms").await?;
    scene
        .rig
        .connection_is("Reachable", "False", "CircuitOpen")
        .await?;
    wait::eventually("three trials", DEADLINE, async || {
        let listed = scene.proxy.since(mark);
        let listed = listed.iter().filter(|r| r.method == Method::GET);
        Ok((listed.count() >= 3).then_some(()))
    })
    .await?;
    let tried = writes_since(&scene.proxy, mark).len();
    let seconds = since.elapsed().as_secs_f64();
    // Up to the opening five and what was in flight (8), then one a trial, and those who try again by
    // themselves what they tried before.
    let most = 13 + 3 * 3;
    ensure!(
        tried <= most,
        "{tried} tries in {seconds:.0} s by 40 people"
    );
    let shown = scene.rig.connections().get("scim").await?;
    let shown = wait::condition(&shown, "Ready").unwrap_or_default();
    ensure!(
        shown["reason"] == "CircuitOpen",
        "a trial is no recovery yet: {shown}"
    );
    scene.proxy.clear_faults();
    scene.all_settled(40).await?;
    scene
        .rig
        .connection_is("Ready", "True", "Connected")
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_a_backend_that_is_down_is_asked_by_one_and_everybody_follows() -> Result<()> {
    let scene = company(30).await?;
    let versions = scene.versions(30).await?;
    scene.simulator.set_reachable(false);
    let mark = scene.proxy.mark();
    scene.rig.sync("down").await?;
    scene
        .rig
        .connection_is("Reachable", "False", "Unreachable")
        .await?;
    ensure!(scene.versions(30).await? == versions);
    scene.edit_all(30, "Looms").await?;
    for number in 0..30 {
        scene
            .rig
            .user_is(&person(number), "Ready", "False", "ConnectionNotReady")
            .await?;
    }
    let writes = writes_since(&scene.proxy, mark);
    ensure!(writes.is_empty(), "{writes:?}");
    scene.simulator.set_reachable(true);
    scene.all_settled(30).await?;
    ensure!(writes_since(&scene.proxy, mark).len() == 30);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r25_a_connection_that_hangs_keeps_nobody_else_waiting() -> Result<()> {
    let scene = company(5).await?;
    // A connection that works, and then does not: its users hold what they may, and wait.
    let spec = json!({
        "endpoint": scene.proxy.url(), "insecure": true, "tokenSecretRef": {"name": "scim"}, "ownerId": "other",
        "limits": {"requestsPerSecond": 2000, "maxInFlight": 2}, "sync": {"interval": "1h"}
    });
    let object = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimConnection", "metadata": {"name": "other"}, "spec": spec});
    scene
        .rig
        .connections()
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?;
    let ready = wait::wait_for_condition(
        scene.rig.connections(),
        "other",
        "Ready",
        "True",
        None,
        DEADLINE,
    );
    scene.rig.told(ready.await)?;
    let names: Vec<String> = (0..260).map(|number| format!("hang-{number}")).collect();
    for name in &names {
        let mut spec = support::person(&format!("{name}@example.com"));
        spec["connectionRef"]["name"] = "other".into();
        scene.rig.declare(name, spec).await?;
    }
    for name in &names {
        scene.rig.settled(name).await?;
    }
    // As many as the connection asks at once hang, so that its passes wait, and others for those.
    let patch = Matcher::new(Method::PATCH, "/Users/").containing("Hanging");
    let hold = || scene.proxy.hold_reply_after_commit(patch.clone());
    let mut hangs = [hold(), hold()];
    for name in &names {
        scene
            .rig
            .edit(name, json!({"name": {"givenName": "Hanging"}}))
            .await?;
    }
    for hang in &mut hangs {
        hang.committed().await?;
    }
    scene.edit_all(5, "Looms").await?;
    scene.all_settled(5).await?;
    scene
        .rig
        .declare("new", support::person("new@example.com"))
        .await?;
    scene.rig.settled("new").await?;
    // Whoever stands in line and is abandoned does not wait for a slot.
    let abandon = json!({"metadata": {"annotations": {"scim-operator.io/abandon": "true"}}});
    let users = scene.rig.users();
    for name in &names {
        let patch = Patch::Merge(&abandon);
        users.patch(name, &PatchParams::default(), &patch).await?;
        users.delete(name, &DeleteParams::default()).await?;
    }
    wait::eventually(
        "whoever stands in line to be let go",
        DEADLINE,
        async || {
            let left = users.list_metadata(&ListParams::default()).await?;
            let of = |name: &str| name.starts_with("hang-");
            let left = left.items.iter().filter(|user| of(&user.name_any()));
            Ok((left.count() <= 200).then_some(()))
        },
    )
    .await?;
    hangs.into_iter().for_each(|hang| hang.release());
    for name in &names {
        let gone = wait::wait_for_absence(scene.rig.users(), name, DEADLINE).await;
        scene.rig.told(gone)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r26_one_person_who_fails_for_ever_opens_nothing_and_delays_nobody() -> Result<()> {
    let scene = company(3).await?;
    let poison = Matcher::new(Method::POST, "/Users").containing("poison@example.com");
    scene.proxy.reply_always(poison, Canned::error(500)?);
    let mark = scene.proxy.mark();
    scene
        .rig
        .declare("poison", support::person("poison@example.com"))
        .await?;
    let tries = || {
        let seen = scene.proxy.since(mark);
        seen.iter().filter(|r| r.method == Method::POST).count()
    };
    wait::eventually("three tries", DEADLINE, async || {
        Ok((tries() >= 3).then_some(()))
    })
    .await?;
    scene
        .rig
        .user_is("poison", "Synced", "False", "RequestFailed")
        .await?;
    scene.edit_all(3, "Looms").await?;
    scene.all_settled(3).await?;
    let connection = scene.rig.connections().get("scim").await?;
    let ready = wait::condition(&connection, "Ready").unwrap_or_default();
    ensure!(ready["status"] == "True", "{ready}");
    ensure!(tries() < 8, "{} tries: no pause between them", tries());
    scene.proxy.clear_faults();
    scene.rig.settled("poison").await?;
    ensure!(scene.simulator.user_by_name("poison@example.com").is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_a_deletion_that_works_ends_a_trial() -> Result<()> {
    let scene = company(12).await?;
    let renamings = Matcher::new(Method::PATCH, "/Users").containing("Looms");
    scene.proxy.reply_always(renamings, Canned::error(503)?);
    scene.edit_all(12, "Looms").await?;
    scene
        .rig
        .connection_is("Reachable", "False", "CircuitOpen")
        .await?;
    // Five in a row, and then everybody is taken away but one who can be archived.
    for number in 1..12 {
        scene
            .rig
            .edit(&person(number), json!({"suspend": true}))
            .await?;
    }
    scene.delete(0..1).await?;
    scene.gone(0..1).await?;
    ensure!(scene.archived() == 1);
    scene
        .rig
        .connection_is("Ready", "True", "Connected")
        .await?;
    Ok(())
}
