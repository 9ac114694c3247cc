//! Real operators that share connections, a Lease each: shares even out, a lost replica's are taken over,
//! and no connection is ever written to by two (R08, R22, R24). Each replica reaches the backend through a
//! proxy of its own, which tells who wrote what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "replicas/change.rs"]
mod change;
#[path = "replicas/fleet.rs"]
mod fleet;
mod support;

use std::time::Instant;

use anyhow::{Result, ensure};
use fleet::{FAST, Fleet, RENEW_DEADLINE, SLOW, WAIT_OUT};
use support::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_shared_and_even_out_when_a_replica_joins_and_each_has_one_owner()
-> Result<()> {
    let mut fleet = Fleet::start(&["one", "two"], 4, FAST).await?;
    fleet.shares_are(&[2, 2]).await?;
    fleet.declare(0..5).await?;
    fleet.settled(0..5).await?;
    fleet.each_written_once(5)?;
    let before = fleet.owners().await?;
    for (connection, owner) in &before {
        let writers = fleet.writers(connection);
        ensure!(
            writers == [owner.clone()],
            "{connection}: {writers:?}, held by {owner}"
        );
    }

    let versions = fleet.versions().await?;
    fleet.join("three").await?;
    fleet.shares_are(&[2, 1, 1]).await?;
    let third = &mut fleet.replica("three").operator;
    third
        .await_log("every user was looked at", DEADLINE)
        .await?;
    ensure!(
        fleet.versions().await? == versions,
        "a share that moved wrote to users that are in step"
    );
    fleet.each_written_once(5)?;
    fleet.declare(5..10).await?;
    fleet.settled(0..10).await?;
    fleet.each_written_once(10)?;
    let after = fleet.owners().await?;
    let moved = before
        .iter()
        .filter(|(name, owner)| after[*name] != **owner);
    ensure!(moved.count() == 1, "{before:?}, then {after:?}");
    for (connection, owner) in &after {
        let mut expected = vec![before[connection].clone(), owner.clone()];
        expected.dedup();
        let writers = fleet.writers(connection);
        ensure!(
            writers == expected,
            "{connection}: {writers:?}, not {expected:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_the_connections_of_a_killed_replica_are_taken_over_within_the_lease_and_the_longest_request()
-> Result<()> {
    let mut fleet = Fleet::start(&["one", "two"], 4, SLOW).await?;
    fleet.shares_are(&[2, 2]).await?;
    let before = fleet.owners().await?;
    fleet.declare(0..15).await?;
    fleet.posts(12).await?;
    fleet.replica("one").operator.kill9()?;
    let (killed, mark) = (Instant::now(), fleet.mark("two"));
    fleet.all_are_held_by("two").await?;
    let took = killed.elapsed();
    println!("SIGKILL: its connections were another's after {took:?}, of {WAIT_OUT:?} to wait out");
    ensure!(took > WAIT_OUT - RENEW_DEADLINE, "after {took:?} only");
    // Its last renewal may just have been sent; the other looks at least every two seconds.
    ensure!(took < WAIT_OUT + fleet::LOOK * 3, "only after {took:?}");
    let meanwhile = fleet.writes_since("two", mark, killed + WAIT_OUT - RENEW_DEADLINE);
    ensure!(meanwhile > 0, "the other's own connections stood still");
    fleet.settled(0..15).await?;
    fleet.each_written_once(15)?;
    for (connection, owner) in before {
        let mut expected = vec![owner, "two".to_owned()];
        expected.dedup();
        let writers = fleet.writers(&connection);
        ensure!(
            writers == expected,
            "{connection}: {writers:?}, not {expected:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_a_replica_that_was_paused_writes_nothing_for_what_others_took_and_goes_on()
-> Result<()> {
    let mut fleet = Fleet::start(&["one", "two"], 4, SLOW).await?;
    fleet.shares_are(&[2, 2]).await?;
    fleet.declare(0..30).await?;
    fleet.posts(12).await?;
    fleet.replica("one").operator.pause()?;
    fleet.all_are_held_by("two").await?;
    // It wakes while the other is in the middle of the lines that it has in mind itself.
    let worked = fleet.mark("two");
    fleet.writes("two", worked, 8).await?;
    let (resumed, mark) = (Instant::now(), fleet.mark("one"));
    fleet.replica("one").operator.resume()?;
    fleet.shares_are(&[2, 2]).await?;
    println!(
        "SIGCONT: it has its share again after {:?}",
        resumed.elapsed()
    );
    // What was declared before may be done by now.
    fleet.declare(30..35).await?;
    fleet.settled(0..35).await?;
    fleet.each_written_once(35)?;
    ensure!(
        fleet.writes_since("one", mark, Instant::now()) > 0,
        "nothing was left for it to do"
    );
    fleet.none_went_to_and_fro().await?;
    let log = fleet.replica("one").operator.log();
    ensure!(log.contains("a share was lost"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r22_a_replica_that_is_told_to_end_drains_and_its_connections_go_on_at_once() -> Result<()>
{
    let mut fleet = Fleet::start(&["one", "two"], 4, SLOW).await?;
    fleet.shares_are(&[2, 2]).await?;
    fleet.declare(0..10).await?;
    fleet.posts(12).await?;
    let told = Instant::now();
    let status = fleet.replica("one").operator.terminate(DEADLINE).await?;
    ensure!(status.success(), "{status}");
    fleet.all_are_held_by("two").await?;
    println!(
        "SIGTERM: its connections were another's after {:?}",
        told.elapsed()
    );
    ensure!(
        told.elapsed() < WAIT_OUT - RENEW_DEADLINE + fleet::LOOK,
        "they were waited out"
    );
    fleet.settled(0..10).await?;
    fleet.each_written_once(10)?;
    let log = fleet.replica("one").operator.log();
    ensure!(log.contains("the lease is released"), "{log}");
    let replicas = fleet.leases("replica").await?;
    ensure!(replicas.len() == 1, "{replicas:?}");
    Ok(())
}
