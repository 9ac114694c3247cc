//! What comes and goes under replicas that share: connections, the API server, and the sharing itself.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use scim_operator_harness::wait;
use serde_json::json;

use crate::fleet::{FAST, Fleet, LOOK, RENEW_DEADLINE, SLOW, WAIT_OUT, terms};
use crate::support::relay::Relay;
use crate::support::{DEADLINE, Rig, person};

#[tokio::test(flavor = "multi_thread")]
async fn r24_a_replica_that_the_api_server_no_longer_answers_loses_its_share_and_comes_back()
-> Result<()> {
    let mut fleet = Fleet::start(&["one"], 2, SLOW).await?;
    let (relay, relayed) = Relay::before_plane(&fleet.rig.plane).await?;
    let behind = [("KUBECONFIG", relayed.display().to_string())];
    fleet.join_with("two", &behind).await?;
    fleet.shares_are(&[1, 1]).await?;
    fleet.declare(0..25).await?;
    fleet.posts(8).await?;

    relay.fall_silent();
    let silent = Instant::now();
    fleet.all_are_held_by("one").await?;
    println!("silence: taken over after {:?}", silent.elapsed());
    let mark = fleet.mark("two");
    relay.silence_the_first(0);
    fleet.shares_are(&[1, 1]).await?;
    println!("it shares again after {:?}", silent.elapsed());
    // What was declared before may be done by now.
    fleet.declare(25..30).await?;
    fleet.settled(0..30).await?;
    fleet.each_written_once(30)?;
    ensure!(
        fleet.writes_since("two", mark, Instant::now()) > 0,
        "it came back, and does nothing"
    );
    fleet.none_went_to_and_fro().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_connection_is_told_so_by_one_and_a_connection_made_anew_works_at_once()
-> Result<()> {
    let fleet = Fleet::start(&["one", "two"], 2, FAST).await?;
    fleet.shares_are(&[1, 1]).await?;
    let mut lost = person("lost@example.com");
    lost["connectionRef"]["name"] = json!("nowhere");
    fleet.rig.declare("lost", lost).await?;
    let told = fleet
        .rig
        .user_is("lost", "Valid", "False", "ConnectionNotFound")
        .await;
    fleet.told(told)?;

    // A connection that goes is given up; nobody waits it out when there is one of that name again.
    let connections = fleet.rig.connections();
    connections.delete("c1", &DeleteParams::default()).await?;
    wait::wait_for_absence(connections, "c1", DEADLINE).await?;
    let given_up = wait::eventually("the connection to be given up", DEADLINE, async || {
        let owners = fleet.owners().await?;
        ensure!(owners.keys().eq(["c0"]), "{owners:?}");
        Ok(Some(()))
    });
    fleet.told(given_up.await)?;
    let made = Instant::now();
    fleet.connect("c1", FAST).await?;
    fleet.shares_are(&[1, 1]).await?;
    ensure!(
        made.elapsed() < WAIT_OUT - RENEW_DEADLINE,
        "it was waited out: {:?}",
        made.elapsed()
    );
    fleet.declare(0..2).await?;
    fleet.settled(0..2).await?;
    fleet.each_written_once(2)
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_connection_goes_is_nobodys_and_told_so_also_by_the_replica_that_had_both()
-> Result<()> {
    let fleet = Fleet::start(&["one"], 1, FAST).await?;
    fleet.shares_are(&[1]).await?;
    fleet.declare(0..1).await?;
    fleet.settled(0..1).await?;
    let connections = fleet.rig.connections();
    let abandon = json!({"metadata": {"annotations": {"scim-operator.io/abandon": "true"}}});
    connections
        .patch("c0", &PatchParams::default(), &Patch::Merge(&abandon))
        .await?;
    connections.delete("c0", &DeleteParams::default()).await?;
    let users = fleet.rig.users().list(&ListParams::default()).await?;
    let name = users.iter().next().map(ResourceExt::name_any);
    let name = name.context("there is a user")?;
    let told = fleet
        .rig
        .user_is(&name, "Valid", "False", "ConnectionNotFound")
        .await;
    fleet.told(told).map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leads_and_those_that_share_wait_for_one_another() -> Result<()> {
    let mut fleet = Fleet::start(&["one", "two"], 2, FAST).await?;
    fleet.shares_are(&[1, 1]).await?;
    fleet.declare(0..2).await?;
    fleet.settled(0..2).await?;
    let mut leads = terms("alone");
    leads.retain(|(key, _)| *key != "SPREAD_CONNECTIONS");
    let mut alone = Rig::operator(&fleet.rig.plane, &leads).await?;
    alone.await_log("standing by", DEADLINE).await?;

    // Of those that share, the one that has the leader's lease as well is killed: the other goes on, and
    // the one that would lead does not, though that lease is waited out.
    let leader = fleet.leader().await?;
    let other = if leader == "one" { "two" } else { "one" };
    fleet.replica(&leader).operator.kill9()?;
    fleet.all_are_held_by(other).await?;
    fleet.renewals(3).await?;
    ensure!(!alone.log().contains("leading"), "{}", alone.log());
    fleet.declare(2..4).await?;
    fleet.settled(0..4).await?;
    fleet.each_written_once(4)?;

    let status = fleet.replica(other).operator.terminate(DEADLINE).await?;
    ensure!(status.success(), "{status}");
    let ended = Instant::now();
    alone.await_log("leading", DEADLINE).await?;
    println!(
        "it led {:?} after the last share was given back",
        ended.elapsed()
    );
    ensure!(fleet.owners().await?.is_empty());

    // And the other way round.
    fleet.join("three").await?;
    fleet.renewals(4).await?;
    ensure!(
        fleet.owners().await?.is_empty(),
        "a leader is at work on all"
    );
    alone.kill9()?;
    let killed = Instant::now();
    fleet.all_are_held_by("three").await?;
    println!(
        "they were shared {:?} after the leader was killed",
        killed.elapsed()
    );
    ensure!(
        killed.elapsed() > WAIT_OUT - RENEW_DEADLINE,
        "after {:?}",
        killed.elapsed()
    );
    ensure!(
        killed.elapsed() < WAIT_OUT + LOOK * 4,
        "{:?}",
        killed.elapsed()
    );
    fleet.declare(4..6).await?;
    fleet.settled(0..6).await?;
    let names = fleet.leases("nobodys").await?;
    ensure!(
        names.len() == 1 && names[0].name_any() == "scim-operator",
        "{names:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_would_lead_does_not_while_connections_are_held_though_the_leaders_lease_is_free()
-> Result<()> {
    let fleet = Fleet::start(&["one"], 2, SLOW).await?;
    fleet.shares_are(&[2]).await?;
    fleet.declare(0..15).await?;
    fleet.posts(4).await?;
    let mut leads = terms("alone");
    leads.retain(|(key, _)| *key != "SPREAD_CONNECTIONS");
    let mut alone = Rig::operator(&fleet.rig.plane, &leads).await?;
    alone.await_log("standing by", DEADLINE).await?;
    let leases: Api<Lease> = Api::namespaced(fleet.rig.client.clone(), "scim-system");
    let free = json!({"spec": {"holderIdentity": null, "leaseDurationSeconds": 1}});
    let looked = wait::eventually(
        "the leader's lease to be found free",
        DEADLINE,
        async || {
            let parameters = PatchParams::default();
            leases
                .patch("scim-operator", &parameters, &Patch::Merge(&free))
                .await?;
            let log = alone.log();
            let looked = ["have not ended yet", "leading"];
            ensure!(looked.iter().any(|what| log.contains(what)), "{log}");
            Ok(Some(()))
        },
    );
    fleet.told(looked.await)?;
    fleet.settled(0..15).await?;
    fleet.each_written_once(15)?;
    ensure!(!alone.log().contains("leading"), "{}", alone.log());
    ensure!(fleet.owners().await?.len() == 2);
    ensure!(
        fleet.leader().await? == "one",
        "what is nobody's is shared again"
    );
    Ok(())
}
