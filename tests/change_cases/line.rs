//! What waits in line when the ground moves: a suspend, a new spec, a stop, a listing cut short.

use std::time::Duration;

use super::*;
use crate::support::scene::{Scene, scene, stage};
use crate::support::{DEADLINE, person, writes_since};
use anyhow::{Result, ensure};
use kube::api::DeleteParams;
use reqwest::Method;
use scim_operator::api::ScimUser;
use scim_operator_harness::proxy::Matcher;
use scim_operator_harness::wait;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_in_line_writes_nothing_after_suspend_and_all_once_it_ends() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(slowly()).await?;
    declare_many(&rig, 10).await?;
    first_post(&proxy).await?;
    rig.edit_connection(json!({"suspend": true})).await?;
    rig.connection_is("Ready", "False", "Suspended").await?;
    let mark = proxy.mark();
    // Those that waited for the limiter come back at once and say why, where the line would have
    // kept the last of them for ten seconds.
    for i in 0..10 {
        let name = format!("user-{i}");
        wait::wait_for_object(
            rig.users(),
            &name,
            "the user to be in step, or to say that the connection is not ready",
            DEADLINE,
            |user: Option<&ScimUser>| {
                let ready = user.and_then(|u| {
                    let conditions = &u.status.as_ref()?.conditions;
                    conditions.iter().find(|c| c.type_ == "Ready")
                });
                ready.is_some_and(|c| c.status == "True" || c.reason == "ConnectionNotReady")
            },
        )
        .await?;
    }
    ensure!(
        proxy.since(mark).is_empty(),
        "{SLOWLY}: {:?}",
        writes_since(&proxy, mark)
    );
    let limits = json!({"requestsPerSecond": 1000, "maxInFlight": 8});
    rig.edit_connection(json!({"suspend": false, "limits": limits}))
        .await?;
    for i in 0..10 {
        rig.settled(&format!("user-{i}")).await?;
    }
    ensure!(simulator.users().len() == 10 && proxy.count(&Method::POST, "/Users") == 10);

    // A suspended user is left alone, its deletion included.
    rig.edit("user-3", json!({"suspend": true})).await?;
    rig.user_is("user-3", "Ready", "False", "Suspended").await?;
    let mark = proxy.mark();
    rig.users()
        .delete("user-3", &DeleteParams::default())
        .await?;
    wait::wait_for_object(
        rig.users(),
        "user-3",
        "the deletion to say what it waits for",
        DEADLINE,
        |user: Option<&ScimUser>| {
            user.and_then(|u| u.status.as_ref()).is_some_and(|s| {
                s.conditions
                    .iter()
                    .any(|c| c.reason == "Suspended" && c.message.contains("deletion waits"))
            })
        },
    )
    .await?;
    ensure!(writes_since(&proxy, mark).is_empty());
    rig.edit("user-3", json!({"suspend": false})).await?;
    wait::wait_for_absence(rig.users(), "user-3", DEADLINE).await?;
    ensure!(
        simulator
            .user_by_name("user-3@example.com")
            .expect("archived")["active"]
            == false
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r22_a_long_line_does_not_hold_up_the_end() -> Result<()> {
    let Scene {
        mut rig,
        simulator,
        proxy,
    } = scene(slowly()).await?;
    declare_many(&rig, 60).await?;
    first_post(&proxy).await?;
    // The line alone is a minute long; the grace period of a pod is half of that.
    rig.operator.terminate(Duration::from_secs(20)).await?;
    let status = rig.connections().get("scim").await?.status;
    let reasons: Vec<String> = status
        .map(|s| s.conditions.into_iter().map(|c| c.reason).collect())
        .unwrap_or_default();
    ensure!(
        !reasons.contains(&"Unreachable".to_owned()),
        "stopping was told as an outage: {reasons:?}"
    );
    let limits = json!({"requestsPerSecond": 1000, "maxInFlight": 8});
    rig.edit_connection(json!({"limits": limits})).await?;
    rig.restart().await?;
    for i in 0..60 {
        rig.settled(&format!("user-{i}")).await?;
    }
    ensure!(simulator.users().len() == 60 && proxy.count(&Method::POST, "/Users") == 60);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_only_planned_is_carried_out_when_dry_run_ends_in_an_outage() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = stage().await?;
    rig.connect(&proxy.url(), json!({"mode": "DryRun"})).await?;
    rig.connection_is("Ready", "True", "DryRun").await?;
    declare_many(&rig, 3).await?;
    for i in 0..3 {
        rig.user_is(&format!("user-{i}"), "Ready", "False", "DryRun")
            .await?;
    }
    proxy.fail_next(Matcher::new(Method::GET, "/Users"), 500)?;
    rig.edit_connection(json!({"mode": "Enforce"})).await?;
    for i in 0..3 {
        rig.settled(&format!("user-{i}")).await?;
    }
    ensure!(proxy.clear_faults() == 0, "the outage did not happen");
    ensure!(simulator.users().len() == 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_listing_says_that_it_is_under_way_and_one_cut_short_is_soon_repeated() -> Result<()>
{
    let Scene {
        rig,
        simulator,
        proxy,
    } = stage().await?;
    for i in 0..5 {
        simulator
            .insert_user(json!({"userName": format!("there-{i}@example.com"), "active": true}));
    }
    simulator.faults().update(|f| f.truncate_list = Some(3));
    rig.declare("ada", person("ada@example.com")).await?;
    let mut held = proxy.hold_reply_after_commit(Matcher::new(Method::GET, "/Users"));
    rig.connect(&proxy.url(), json!({})).await?;
    rig.connection_is("DirectoryComplete", "Unknown", "Listing")
        .await?;
    held.committed().await?;
    held.release();
    rig.connection_is("DirectoryComplete", "False", "Truncated")
        .await?;
    rig.user_is("ada", "Ready", "False", "Pending").await?;
    ensure!(
        writes_since(&proxy, 0).is_empty(),
        "created by half a listing"
    );
    // The interval is an hour.
    simulator.faults().update(|f| f.truncate_list = None);
    rig.connection_is("DirectoryComplete", "True", "Complete")
        .await?;
    rig.settled("ada").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r17_a_throttled_user_says_so() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy: _backend,
    } = scene(json!({})).await?;
    simulator.faults().update(|f| {
        f.throttle_next = 1;
        f.retry_after = Some("1".into());
    });
    rig.declare("ada", person("ada@example.com")).await?;
    rig.user_is("ada", "Synced", "False", "RateLimited").await?;
    rig.settled("ada").await?;
    Ok(())
}
