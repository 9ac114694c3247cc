//! Two real operators and one Lease: one writes, the other takes over when it is told to end, killed,
//! or paused for too long; and whoever was paused writes nothing when it wakes (R08, R22, R24).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use reqwest::Method;
use scim_operator_harness::{Operator, RecordingProxy, wait};
use scim_sim::{SimConfig, Simulator};
use serde_json::json;
use support::relay::Relay;
use support::{DEADLINE, OPERATOR_BINDS, Rig, TOKEN, election, person};

/// What a lease that nobody releases is waited out for: four seconds, and the longest request's two.
const WAIT_OUT: Duration = Duration::from_secs(6);
/// The oldest that the last renewal of a leader can be.
const RENEW_DEADLINE: Duration = Duration::from_secs(3);

/// Two operators that take part in the election; the first is `rig.operator`, and leads.
struct Pair {
    rig: Rig,
    other: Operator,
    simulator: Simulator,
    proxy: RecordingProxy,
}

/// How fast the backend may be worked.
const FAST: u32 = 2000;
/// So slow that a leader is always in the middle of a line of users.
const SLOW: u32 = 4;

impl Pair {
    async fn start(requests_per_second: u32) -> Result<Self> {
        let mut rig = Rig::start_with(&election("one")).await?;
        rig.operator.await_log("leading", DEADLINE).await?;
        Self::around(rig, requests_per_second).await
    }

    /// The leader of the two talks to the API server by way of a relay; with further variables.
    async fn start_behind_a_relay(more: &[(&'static str, &str)]) -> Result<(Self, Relay)> {
        let mut rig = Rig::start_by(&[OPERATOR_BINDS], &[]).await?;
        rig.operator.terminate(DEADLINE).await?;
        let (relay, relayed) = Relay::before_plane(&rig.plane).await?;
        let mut variables = election("one");
        variables.push(("KUBECONFIG", relayed.display().to_string()));
        variables.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        rig.operator = Rig::operator(&rig.plane, &variables).await?;
        rig.operator.await_log("leading", DEADLINE).await?;
        Ok((Self::around(rig, SLOW).await?, relay))
    }

    async fn around(rig: Rig, requests_per_second: u32) -> Result<Self> {
        let mut other = Rig::operator(&rig.plane, &election("two")).await?;
        other.await_log("standing by", DEADLINE).await?;
        let config = SimConfig {
            tokens: vec![TOKEN.into()],
            ..SimConfig::default()
        };
        let simulator = Simulator::start(config).await?;
        let proxy = RecordingProxy::start(&simulator.base_url()).await?;
        rig.set_token(TOKEN).await?;
        let limits =
            json!({"limits": {"requestsPerSecond": requests_per_second, "maxInFlight": 2}});
        rig.connect(&proxy.url(), limits).await?;
        rig.connection_is("Ready", "True", "Connected").await?;
        Ok(Self {
            rig,
            other,
            simulator,
            proxy,
        })
    }

    async fn declare(&self, users: std::ops::Range<usize>) -> Result<()> {
        for i in users {
            let name = format!("user-{i}");
            let spec = person(&format!("{name}@example.com"));
            self.rig.declare(&name, spec).await?;
        }
        Ok(())
    }

    /// Waits for so many accounts to be asked for.
    async fn posts(&self, at_least: usize) -> Result<()> {
        wait::eventually("POSTs of users", DEADLINE, async || {
            let posts = self.proxy.count(&Method::POST, "/Users");
            ensure!(posts >= at_least, "{posts} of {at_least}");
            Ok(Some(()))
        })
        .await
    }

    async fn settled(&self, users: std::ops::Range<usize>) -> Result<()> {
        for i in users {
            let settled = self.rig.settled(&format!("user-{i}")).await;
            let log = || format!("the other operator:\n{}", self.other.log());
            settled.with_context(log)?;
        }
        Ok(())
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.rig.client.clone(), "scim-system")
    }

    async fn holder(&self) -> Result<String> {
        let spec = self.leases().get("scim-operator").await?.spec;
        Ok(spec.and_then(|s| s.holder_identity).unwrap_or_default())
    }

    /// Every account was asked for once, and nothing was sent to any of them again.
    fn each_written_once(&self, users: usize) -> Result<()> {
        let mut posts: BTreeMap<String, usize> = BTreeMap::new();
        let mut others = Vec::new();
        for request in self.proxy.since(0) {
            if request.method == Method::POST {
                let body = request.request_body().unwrap_or_default();
                let name = body["userName"].as_str().unwrap_or_default().to_owned();
                *posts.entry(name).or_default() += 1;
            } else if request.is_write() {
                others.push(format!("{} {}", request.method, request.path_and_query));
            }
        }
        let doubled: Vec<_> = posts.iter().filter(|(_, count)| **count > 1).collect();
        ensure!(doubled.is_empty(), "asked for more than once: {doubled:?}");
        ensure!(others.is_empty(), "{others:?}");
        let accounts = self.simulator.users().len();
        ensure!(posts.len() == users && accounts == users, "{accounts}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r22_one_of_two_writes_and_hands_over_as_soon_as_it_has_drained() -> Result<()> {
    let mut pair = Pair::start(FAST).await?;
    pair.declare(0..20).await?;
    pair.settled(0..20).await?;
    pair.each_written_once(20)?;
    ensure!(pair.holder().await?.starts_with("one_"));
    ensure!(!pair.other.log().contains("leading"), "two lead");

    let told = Instant::now();
    let status = pair.rig.operator.terminate(DEADLINE).await?;
    ensure!(status.success(), "{status}");
    let ended = told.elapsed();
    let leading = pair.other.await_log("leading", DEADLINE).await?;
    println!(
        "SIGTERM: the leader ended after {ended:?}, the other led after {:?}",
        told.elapsed()
    );
    let log = pair.rig.operator.log();
    ensure!(log.contains("the lease is released"), "{log}");
    ensure!(!leading.contains("waited_out"), "{leading}");
    let lease = pair.leases().get("scim-operator").await?.spec.unwrap();
    ensure!(lease.holder_identity.unwrap().starts_with("two_"));
    ensure!(lease.lease_transitions == Some(1));

    pair.declare(20..25).await?;
    pair.settled(0..25).await?;
    pair.each_written_once(25)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_users_goes_on_with_the_next_leader_where_it_was_left() -> Result<()> {
    let mut pair = Pair::start(SLOW).await?;
    pair.declare(0..20).await?;
    pair.posts(5).await?;
    let status = pair.rig.operator.terminate(DEADLINE).await?;
    ensure!(status.success(), "{status}");
    pair.other.await_log("leading", DEADLINE).await?;
    pair.settled(0..20).await?;
    pair.each_written_once(20)
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_a_leader_that_is_killed_is_waited_out_and_no_account_is_doubled() -> Result<()> {
    let mut pair = Pair::start(SLOW).await?;
    pair.declare(0..20).await?;
    pair.posts(5).await?;
    pair.rig.operator.kill9()?;
    let (killed, mark) = (Instant::now(), pair.proxy.mark());
    let leading = pair.other.await_log("leading", DEADLINE).await?;
    let took = killed.elapsed();
    ensure!(leading.contains("waited_out=\"one_"), "{leading}");
    println!("SIGKILL: the other led after {took:?}, of {WAIT_OUT:?} to wait out");
    ensure!(
        took > WAIT_OUT - RENEW_DEADLINE,
        "it waited for {took:?} only"
    );
    pair.settled(0..20).await?;
    ensure!(pair.proxy.since(mark).iter().any(|r| r.is_write()));
    // One request may have been under way, without anybody to hear the answer: it is found again.
    let accounts = pair.simulator.users().len();
    ensure!(accounts == 20, "{accounts} accounts");
    pair.each_written_once(20)
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_a_leader_that_was_paused_writes_nothing_when_it_wakes_and_ends() -> Result<()> {
    let mut pair = Pair::start(SLOW).await?;
    pair.declare(0..40).await?;
    pair.posts(5).await?;
    pair.rig.operator.pause()?;
    let paused = Instant::now();
    pair.other.await_log("leading", DEADLINE).await?;
    println!("SIGSTOP: the other led after {:?}", paused.elapsed());
    // It wakes while the other is in the middle of the line that it has in mind itself.
    let mark = pair.proxy.mark();
    pair.posts(15).await?;
    pair.rig.operator.resume()?;
    let resumed = Instant::now();
    let status = pair.rig.operator.await_exit(DEADLINE).await?;
    println!(
        "SIGCONT: the old leader ended after {:?}",
        resumed.elapsed()
    );
    ensure!(!status.success(), "it ended as if all were well: {status}");
    let log = pair.rig.operator.log();
    ensure!(log.contains("leads no longer"), "{log}");
    ensure!(!log.contains("the lease is released"), "it was not its own");
    pair.settled(0..40).await?;
    ensure!(pair.proxy.since(mark).iter().any(|r| r.is_write()));
    pair.each_written_once(40)?;
    ensure!(pair.holder().await?.starts_with("two_"));

    // Started anew, as the kubelet does, it is a standby.
    pair.rig.operator = Rig::operator(&pair.rig.plane, &election("one")).await?;
    pair.rig.operator.await_log("standing by", DEADLINE).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_deleted_under_its_holder_ends_it_and_the_next_one_waits_all_the_same() -> Result<()>
{
    let mut pair = Pair::start(FAST).await?;
    pair.leases()
        .delete("scim-operator", &DeleteParams::default())
        .await?;
    let deleted = Instant::now();
    let status = pair.rig.operator.await_exit(DEADLINE).await?;
    ensure!(!status.success(), "{status}");
    pair.other.await_log("leading", DEADLINE).await?;
    let took = deleted.elapsed();
    println!("lease deleted: the other led after {took:?}");
    ensure!(
        took > WAIT_OUT - RENEW_DEADLINE,
        "it waited for {took:?} only"
    );
    pair.declare(0..3).await?;
    pair.settled(0..3).await?;
    pair.each_written_once(3)
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_a_holder_that_was_taken_out_by_hand_ends_and_is_waited_out_all_the_same() -> Result<()>
{
    let mut pair = Pair::start(SLOW).await?;
    pair.declare(0..20).await?;
    pair.posts(3).await?;
    let nobody = Patch::Merge(json!({"spec": {"holderIdentity": null}}));
    let parameters = PatchParams::default();
    pair.leases()
        .patch("scim-operator", &parameters, &nobody)
        .await?;
    let cleared = Instant::now();
    let status = pair.rig.operator.await_exit(DEADLINE).await?;
    ensure!(!status.success(), "{status}");
    pair.other.await_log("leading", DEADLINE).await?;
    let took = cleared.elapsed();
    println!("holder cleared: the other led after {took:?}");
    ensure!(took >= WAIT_OUT, "it waited for {took:?} only");
    pair.settled(0..20).await?;
    pair.each_written_once(20)
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_a_leader_that_the_api_server_no_longer_answers_stops_before_the_next_one_writes()
-> Result<()> {
    // The other has a shorter lease in mind, and waits for as long as the holder wrote.
    let longer = [("LEASE_SECONDS", "7")];
    let (mut pair, relay) = Pair::start_behind_a_relay(&longer).await?;
    pair.declare(0..30).await?;
    pair.posts(5).await?;
    relay.fall_silent();
    let silent = Instant::now();
    let status = pair.rig.operator.await_exit(DEADLINE).await?;
    println!("silence: the leader ended after {:?}", silent.elapsed());
    ensure!(!status.success(), "{status}");
    let log = pair.rig.operator.log();
    ensure!(log.contains("could not be renewed in time"), "{log}");
    let mark = pair.proxy.mark();
    let log = pair.other.log();
    ensure!(
        !log.contains("leading"),
        "before the old one had ended: {log}"
    );
    pair.other.await_log("leading", DEADLINE).await?;
    println!("silence: the other led after {:?}", silent.elapsed());
    pair.settled(0..30).await?;
    ensure!(pair.proxy.since(mark).iter().any(|r| r.is_write()));
    pair.each_written_once(30)
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_connections_that_hang_cost_the_leader_a_call_and_not_its_lease() -> Result<()> {
    let (mut pair, relay) =
        Pair::start_behind_a_relay(&[("LEASE_SECONDS", "40"), ("RENEW_DEADLINE_SECONDS", "7")])
            .await?;
    relay.silence_the_first(2);
    let operator = &mut pair.rig.operator;
    operator
        .await_log("the lease could not be renewed", DEADLINE)
        .await?;
    let known = pair.leases().get("scim-operator").await?;
    let renewed = wait::wait_for_object(
        pair.leases(),
        "scim-operator",
        "renewed",
        DEADLINE,
        |now: Option<&Lease>| {
            now.is_some_and(|l| l.metadata.resource_version != known.metadata.resource_version)
        },
    );
    renewed.await?;
    ensure!(pair.holder().await?.starts_with("one_"));
    let log = pair.rig.operator.log();
    ensure!(!log.contains("leads no longer"), "{log}");
    Ok(())
}

/// An API server that dies after it took a request in: the connections of the election, of the watches
/// and of every status write go silent at once, and the next ones work.
#[tokio::test(flavor = "multi_thread")]
async fn r24_calls_that_hang_for_ever_cost_the_users_a_moment_and_the_operator_no_restart()
-> Result<()> {
    let terms = [("LEASE_SECONDS", "40"), ("RENEW_DEADLINE_SECONDS", "10")];
    let (mut pair, relay) = Pair::start_behind_a_relay(&terms).await?;
    pair.declare(0..20).await?;
    // The watches bring nothing afterwards, for minutes: everybody has to be known before.
    wait::eventually("all to be known", DEADLINE, async || {
        let users = pair.rig.users().list(&ListParams::default()).await?;
        let known = users.iter().filter(|u| !u.finalizers().is_empty()).count();
        ensure!(known == 20, "{known} of 20");
        Ok(Some(()))
    })
    .await?;
    relay.silence_those_of_now();
    let (silent, posts) = (Instant::now(), pair.proxy.count(&Method::POST, "/Users"));
    pair.settled(0..20).await?;
    println!(
        "silence after {posts} POSTs: settled after {:?}",
        silent.elapsed()
    );
    ensure!(posts < 20, "nothing was left to do");
    let log = pair.rig.operator.log();
    ensure!(!log.contains("leads no longer"), "{log}");
    ensure!(!pair.other.log().contains("leading"), "two lead");
    ensure!(pair.holder().await?.starts_with("one_"));
    pair.each_written_once(20)?;

    // A stop now: what hangs does not hold up the end.
    let status = pair.rig.operator.terminate(DEADLINE).await?;
    ensure!(status.success(), "{status}");
    Ok(())
}
