//! Creates that go together in one request (RFC 7644 §3.7), where the backend offers that: how few
//! requests they take, and that each user comes to what a request of its own would have come to (R20).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use kube::api::ListParams;
use reqwest::Method;
use scim_operator_harness::judge::judge;
use scim_operator_harness::proxy::{Held, Matcher, Recorded};
use scim_operator_harness::servers::ThirdParty;
use scim_operator_harness::{RecordingProxy, wait};
use scim_sim::{BulkLimits, BulkStatus, FailNext, Faults};
use serde_json::{Value, json};
use std::sync::Arc;
use support::company::person as name_of;
use support::scene::{Scene, stage_offering};
use support::{Backend, DEADLINE, Rig, TOKEN, person};

const OPERATIONS: usize = 50;

/// A backend that offers Bulk, and a connection with one slot whose first user is in step: how the
/// backend returns what it is given is known.
async fn offered(limits: Option<BulkLimits>, bulk: &str) -> Result<Scene> {
    let scene = stage_offering(limits).await?;
    let one_slot = json!({"requestsPerSecond": 2000, "maxInFlight": 1});
    scene
        .connect(json!({"dialect": {"bulk": bulk}, "limits": one_slot}))
        .await?;
    scene
        .rig
        .declare("first", person("first@example.com"))
        .await?;
    scene.rig.settled("first").await?;
    Ok(scene)
}

/// The usual one.
async fn scene() -> Result<Scene> {
    let limits = BulkLimits {
        max_operations: OPERATIONS,
        ..BulkLimits::default()
    };
    offered(Some(limits), "Auto").await
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(name_of).collect()
}

/// Declares these while the first of their requests is on its way, so that all others wait for it.
async fn declare_together(scene: &Scene, names: &[String]) -> Result<()> {
    let (first, others) = names.split_at(1);
    let mut one = hold_one(scene);
    scene.rig.declare_all(first, json!({})).await?;
    one.committed().await?;
    scene.rig.declare_all(others, json!({})).await?;
    all_on_the_way(scene, names.len() + 1).await?;
    one.reply();
    Ok(())
}

/// The next create is carried out, and its answer does not come before it is let go: whoever comes meanwhile waits.
fn hold_one(scene: &Scene) -> Held {
    let creates = Matcher::new(Method::POST, "/Users");
    scene.proxy.hold_reply_after_commit(creates)
}

/// Waits until so many users have their finalizers, after which nothing is between them and the line.
async fn all_on_the_way(scene: &Scene, count: usize) -> Result<()> {
    wait::eventually("everybody to be on the way", DEADLINE, async || {
        let users = scene.rig.users().list(&ListParams::default()).await?;
        let begun = users.iter().filter(|u| !u.finalizers().is_empty());
        Ok((begun.count() == count).then_some(()))
    })
    .await
}

/// How many operations each write since then carried; 0 for a request of one's own.
fn carried(proxy: &RecordingProxy, mark: usize) -> Vec<usize> {
    let operations = |request: &Arc<Recorded>| match request.request_body() {
        Some(body) if request.path_and_query == "/Bulk" => {
            body["Operations"].as_array().map_or(0, Vec::len)
        }
        _ => 0,
    };
    let since = proxy.since(mark);
    since
        .iter()
        .filter(|r| r.is_write())
        .map(operations)
        .collect()
}

async fn all_in_step(rig: &Rig, names: &[String]) -> Result<()> {
    for name in names {
        rig.settled(name).await?;
    }
    Ok(())
}

/// One account each, with the id that its resource says it has.
async fn each_has_its_own(scene: &Scene, names: &[String]) -> Result<()> {
    let users = scene.rig.users().list(&ListParams::default()).await?;
    for name in names {
        let user = users.iter().find(|user| user.name_any() == *name);
        let id = user
            .and_then(|u| u.status.as_ref())
            .and_then(|s| s.id.as_deref());
        let mark = format!("scim-operator:identity/scim:identity/{name}");
        let accounts = scene.simulator.users();
        let own: Vec<&Value> = accounts
            .iter()
            .filter(|a| a["externalId"] == *mark)
            .collect();
        ensure!(
            own.len() == 1 && own[0]["id"].as_str() == id && id.is_some(),
            "{name} has {id:?}: {own:?}"
        );
    }
    ensure!(
        scene.simulator.users().len() == names.len() + 1,
        "{} accounts",
        scene.simulator.users().len()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_created_at_once_take_one_request_and_then_as_few_as_the_backend_allows()
-> Result<()> {
    let scene = scene().await?;
    let names = names(200);
    let mark = scene.proxy.mark();
    declare_together(&scene, &names).await?;
    all_in_step(&scene.rig, &names).await?;
    each_has_its_own(&scene, &names).await?;
    let carried = carried(&scene.proxy, mark);
    ensure!(
        carried.len() == 1 + 199_usize.div_ceil(OPERATIONS) && carried.iter().sum::<usize>() == 199,
        "{carried:?}"
    );
    let requests = scene.proxy.since(mark).len();
    ensure!(requests == carried.len(), "{requests} with what was read");

    // What was assumed of an account that was not shown is what is there: nothing is left to write.
    let before: Vec<_> = versions(&scene.rig).await?;
    let mark = scene.proxy.mark();
    scene.rig.sync("later").await?;
    ensure!(support::writes_since(&scene.proxy, mark).is_empty());
    ensure!(versions(&scene.rig).await? == before, "a user was written");
    let log = scene.rig.operator.log();
    ensure!(
        !log.contains(TOKEN) && !log.contains("example.com"),
        "the log holds the token or personal data"
    );
    Ok(())
}

async fn versions(rig: &Rig) -> Result<Vec<Option<String>>> {
    let users = rig.users().list(&ListParams::default()).await?;
    Ok(users.iter().map(ResourceExt::resource_version).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn r20_one_bad_user_is_rejected_by_its_own_result_and_the_others_are_provisioned()
-> Result<()> {
    let scene = stage_offering(Some(BulkLimits::default())).await?;
    // To this profile a country is a matter of taste, to this backend it is not.
    let one_slot = json!({"requestsPerSecond": 2000, "maxInFlight": 1});
    scene
        .connect(json!({"profile": "RFC7643", "limits": one_slot}))
        .await?;
    scene.simulator.faults().update(|f| {
        f.bulk_status = BulkStatus::Object;
        f.bulk_reversed = true;
    });
    let spec = |name: &str| {
        let mut spec = person(&format!("{name}@example.com"));
        spec["preferredLanguage"] = json!("fr");
        if name == "bad" {
            spec["addresses"] = json!([]);
        }
        spec
    };
    scene.rig.declare("first", spec("first")).await?;
    scene.rig.settled("first").await?;
    let good = names(30);
    let mark = scene.proxy.mark();
    let mut one = hold_one(&scene);
    for (number, name) in good.iter().enumerate() {
        if number == 15 {
            scene.rig.declare("bad", spec("bad")).await?;
        }
        scene.rig.declare(name, spec(name)).await?;
        if number == 0 {
            one.committed().await?;
        }
    }
    all_on_the_way(&scene, good.len() + 2).await?;
    one.reply();
    scene
        .rig
        .user_is("bad", "Valid", "False", "RejectedByBackend")
        .await?;
    all_in_step(&scene.rig, &good).await?;
    each_has_its_own(&scene, &good).await?;
    let message = scene.rig.condition("bad", "Valid").await?.2;
    ensure!(
        message.contains("status 400") && !message.contains("example.com"),
        "{message}"
    );
    let carried = carried(&scene.proxy, mark);
    ensure!(carried == [0, 30], "{carried:?}: nothing is sent again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r01_r20_a_kill_between_the_commit_and_the_reply_creates_nobody_twice() -> Result<()> {
    let mut scene = scene().await?;
    let names = names(30);
    let mut held = scene
        .proxy
        .hold_reply_after_commit(Matcher::new(Method::POST, "/Bulk"));
    declare_together(&scene, &names).await?;
    let committed = held.committed().await?;
    ensure!(committed.status == Some(200), "{:?}", committed.status);
    scene.rig.operator.kill9()?;
    held.release();
    let mark = scene.proxy.mark();
    scene.rig.restart().await?;
    all_in_step(&scene.rig, &names).await?;
    each_has_its_own(&scene, &names).await?;
    let writes = support::writes_since(&scene.proxy, mark);
    ensure!(
        writes.is_empty(),
        "found by their marks, not made: {writes:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r02_r20_what_a_bulk_answer_does_not_say_is_looked_up_before_anything_is_sent_again()
-> Result<()> {
    for (why, fault) in [
        (
            "the connection is cut after the commit",
            (|f: &mut Faults| f.drop_reply_after_commit = 2) as fn(&mut Faults),
        ),
        ("the answer is 500, though all was done", |f| {
            f.fail_next = FailNext {
                n: 2,
                status: 500,
                applied: true,
            }
        }),
        ("one result is missing", |f| f.bulk_loses_result = 1),
        ("one operation is answered 500, though done", |f| {
            f.bulk_fail_last = FailNext {
                n: 1,
                status: 500,
                applied: true,
            }
        }),
        ("one operation is answered 429, and not done", |f| {
            f.bulk_fail_last = FailNext {
                n: 1,
                status: 429,
                applied: false,
            }
        }),
    ] {
        let scene = scene().await?;
        let names = names(20);
        let reachable = reachable_since(&scene.rig).await?;
        scene.simulator.faults().update(fault);
        declare_together(&scene, &names).await?;
        all_in_step(&scene.rig, &names)
            .await
            .map_err(|error| error.context(why))?;
        each_has_its_own(&scene, &names)
            .await
            .map_err(|error| error.context(why))?;
        let refused = scene.proxy.requests();
        let conflicts = refused.iter().filter(|r| r.status == Some(409)).count();
        ensure!(conflicts == 0, "{why}: {conflicts} were sent again blindly");
        let bulk = refused.iter().filter(|r| r.path_and_query == "/Bulk");
        ensure!(bulk.count() >= 1, "{why}: nobody went together");
        // Two requests that failed are two failures, however many they carried: no reason to stop.
        ensure!(
            reachable_since(&scene.rig).await? == reachable,
            "{why}: the circuit opened"
        );
    }
    Ok(())
}

async fn reachable_since(rig: &Rig) -> Result<Value> {
    let connection = rig.connections().get("scim").await?;
    let reachable = wait::condition(&connection, "Reachable");
    let since = reachable.map(|condition| condition["lastTransitionTime"].clone());
    since.ok_or_else(|| anyhow::anyhow!("nothing is said of the backend"))
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_to_be_archived_is_looked_at_after_a_create_that_showed_nothing() -> Result<()> {
    let scene = scene().await?;
    let mark = scene.proxy.mark();
    let mut one = hold_one(&scene);
    let good = names(10);
    scene.rig.declare_all(&good[..1], json!({})).await?;
    one.committed().await?;
    scene.rig.declare_all(&good[1..5], json!({})).await?;
    let mut spec = person("gone@example.com");
    spec["active"] = json!(false);
    scene.rig.declare("gone", spec).await?;
    scene.rig.declare_all(&good[5..], json!({})).await?;
    all_on_the_way(&scene, good.len() + 2).await?;
    one.reply();
    scene
        .rig
        .user_is("gone", "Archived", "True", "Requested")
        .await?;
    all_in_step(&scene.rig, &good).await?;
    let carried = carried(&scene.proxy, mark);
    ensure!(carried == [0, 10], "{carried:?}");
    let since = scene.proxy.since(mark);
    let reads = since.iter().filter(|request| !request.is_write()).count();
    ensure!(reads == 1, "{reads} reads: of one, and of nobody else");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_refuses_the_bulk_it_offers_is_asked_once_and_gets_single_requests()
-> Result<()> {
    let scene = scene().await?;
    let names = names(20);
    scene
        .simulator
        .faults()
        .update(|f| f.bulk_refused = Some(501));
    let mark = scene.proxy.mark();
    declare_together(&scene, &names).await?;
    all_in_step(&scene.rig, &names).await?;
    each_has_its_own(&scene, &names).await?;
    let carried = carried(&scene.proxy, mark);
    ensure!(
        carried.len() == 21 && carried.iter().filter(|n| **n > 0).count() == 1,
        "{carried:?}"
    );
    let log = scene.rig.operator.log();
    let told = log.matches("offers Bulk and does not carry it out").count();
    ensure!(
        told == 1 && log.contains("identity/scim"),
        "told {told} times"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_takes_less_than_it_says_gets_less() -> Result<()> {
    let scene = scene().await?;
    let names = names(40);
    scene
        .simulator
        .faults()
        .update(|f| f.max_body_bytes = Some(8_000));
    let mark = scene.proxy.mark();
    declare_together(&scene, &names).await?;
    all_in_step(&scene.rig, &names).await?;
    each_has_its_own(&scene, &names).await?;
    let requests = scene.proxy.since(mark);
    let too_large = requests.iter().filter(|r| r.status == Some(413)).count();
    let carried = carried(&scene.proxy, mark);
    ensure!(
        (1..=3).contains(&too_large) && carried.len() < 20,
        "{too_large} too large: {carried:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_is_used_where_it_is_offered_and_not_forbidden() -> Result<()> {
    for (dialect, operations, used, why) in [
        ("Auto", Some(OPERATIONS), true, "offered"),
        ("Auto", None, false, "not offered"),
        ("Auto", Some(1), false, "one operation is none more"),
        ("Disabled", Some(OPERATIONS), false, "forbidden"),
        ("Enabled", None, false, "forced, refused, and done without"),
    ] {
        let limits = operations.map(|max_operations| BulkLimits {
            max_operations,
            ..BulkLimits::default()
        });
        let scene = offered(limits, dialect).await?;
        let names = names(10);
        let mark = scene.proxy.mark();
        declare_together(&scene, &names).await?;
        all_in_step(&scene.rig, &names).await?;
        each_has_its_own(&scene, &names).await?;
        let asked = scene.proxy.since(mark);
        let answered = |r: &&Arc<Recorded>| r.path_and_query == "/Bulk" && r.status == Some(200);
        ensure!(asked.iter().any(|r| answered(&r)) == used, "{why}");
        let asked = asked.iter().filter(|r| r.path_and_query == "/Bulk").count();
        ensure!(
            asked == usize::from(used || dialect == "Enabled"),
            "{why}: {asked}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_people_arrive_together_at_scim2_server() -> Result<()> {
    let server = ThirdParty::scim2_server(TOKEN).await?;
    arrive_together(server.base_url()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_people_arrive_together_at_scimmy() -> Result<()> {
    let server = ThirdParty::scimmy(TOKEN).await?;
    arrive_together(server.base_url()).await
}

async fn arrive_together(base: &str) -> Result<()> {
    let rig = Rig::start().await?;
    let proxy = RecordingProxy::start(base).await?;
    let backend = Backend::new(base, TOKEN);
    rig.set_token(TOKEN).await?;
    // Who is there already is in the way of one of them.
    let taken = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "user-007@example.com"});
    backend.create(taken).await?;
    let names = names(30);
    rig.declare_all(&names, json!({})).await?;
    rig.connect(
        &proxy.url(),
        json!({"profile": "RFC7643", "limits": {"requestsPerSecond": 2, "maxInFlight": 1}}),
    )
    .await?;
    let (taken, free): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| name == "user-007");
    all_in_step(&rig, &free).await?;
    rig.user_is(&taken[0], "Ready", "False", "Conflict").await?;
    let accounts = backend.users().await?;
    ensure!(accounts.len() == 30, "{} accounts", accounts.len());
    for name in &free {
        let account = backend.user(&format!("{name}@example.com")).await?;
        let id = rig.users().get(name).await?.status.and_then(|s| s.id);
        ensure!(account["id"].as_str() == id.as_deref(), "{name}: {account}");
        ensure!(account["active"] == true && account["name"]["givenName"] == "Ada");
    }
    let carried = carried(&proxy, 0);
    ensure!(
        carried.len() <= 6 && carried.iter().sum::<usize>() >= 20,
        "{carried:?}"
    );

    // One of them is changed and one archived, by the ids that the answers located.
    let mark = proxy.mark();
    rig.edit(
        "user-011",
        json!({"enterprise": {"department": "Analysis"}}),
    )
    .await?;
    rig.settled("user-011").await?;
    ensure!(support::writes_since(&proxy, mark) == ["PATCH"]);
    rig.delete("user-012").await?;
    ensure!(backend.user("user-012@example.com").await?["active"] == false);
    let mark = proxy.mark();
    rig.sync("later").await?;
    ensure!(support::writes_since(&proxy, mark).is_empty());

    let dump = rig.plane.directory().join("bodies.jsonl");
    proxy.dump_jsonl(&dump)?;
    judge(&dump, base, TOKEN).await?.into_result()?;
    Ok(())
}
