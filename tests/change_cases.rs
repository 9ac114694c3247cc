//! The ground moves under users that are in step: a spec of the connection changes while writes wait,
//! the endpoint leads elsewhere, a resource is renamed, a listing is cut short, the operator stops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use reqwest::Method;
use scim_operator::api::ScimUser;
use scim_operator_harness::proxy::Matcher;
use scim_operator_harness::{RecordingProxy, wait};
use scim_sim::{SimConfig, Simulator};
use serde_json::{Value, json};
use support::{DEADLINE, Rig, TOKEN, person, writes_since};

struct Scene {
    rig: Rig,
    simulator: Simulator,
    proxy: RecordingProxy,
}

async fn simulator() -> Result<Simulator> {
    Ok(Simulator::start(SimConfig {
        tokens: vec![TOKEN.into()],
        ..SimConfig::default()
    })
    .await?)
}

/// Everything but the connection.
async fn stage() -> Result<Scene> {
    let rig = Rig::start().await?;
    let simulator = simulator().await?;
    let proxy = RecordingProxy::start(&simulator.base_url()).await?;
    rig.set_token(TOKEN).await?;
    Ok(Scene {
        rig,
        simulator,
        proxy,
    })
}

async fn scene(extra: Value) -> Result<Scene> {
    let scene = stage().await?;
    scene.rig.connect(&scene.proxy.url(), extra).await?;
    scene
        .rig
        .connection_is("Ready", "True", "Connected")
        .await?;
    Ok(scene)
}

async fn change_connection(rig: &Rig, spec: Value) -> Result<()> {
    let patch = Patch::Merge(json!({"spec": spec}));
    rig.connections()
        .patch("scim", &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

async fn first_post(proxy: &RecordingProxy) -> Result<()> {
    wait::eventually("the first POST", DEADLINE, async || {
        Ok((proxy.count(&Method::POST, "/Users") > 0).then_some(()))
    })
    .await
}

const SLOWLY: &str = "one request a second, so that users wait in line";

fn slowly() -> Value {
    json!({"limits": {"requestsPerSecond": 1, "maxInFlight": 1}})
}

async fn declare_many(rig: &Rig, count: usize) -> Result<()> {
    for i in 0..count {
        rig.declare(
            &format!("user-{i}"),
            person(&format!("user-{i}@example.com")),
        )
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_in_line_writes_nothing_after_suspend_and_all_once_it_ends() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(slowly()).await?;
    declare_many(&rig, 10).await?;
    first_post(&proxy).await?;
    change_connection(&rig, json!({"suspend": true})).await?;
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
    change_connection(&rig, json!({"suspend": false, "limits": limits})).await?;
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
    change_connection(&rig, json!({"limits": limits})).await?;
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
    change_connection(&rig, json!({"mode": "Enforce"})).await?;
    for i in 0..3 {
        rig.settled(&format!("user-{i}")).await?;
    }
    ensure!(proxy.clear_faults() == 0, "the outage did not happen");
    ensure!(simulator.users().len() == 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_renamed_in_git_keeps_its_account_and_a_retained_one_can_be_named() -> Result<()>
{
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    rig.declare("ada", person("ada@example.com")).await?;
    let id = rig.settled("ada").await?.status.and_then(|s| s.id);
    rig.declare("ada-lovelace", person("ada@example.com"))
        .await?;
    rig.user_is("ada-lovelace", "Valid", "False", "DuplicateUserName")
        .await?;
    rig.delete("ada").await?;
    let user = rig.settled("ada-lovelace").await?;
    ensure!(user.status.and_then(|s| s.id) == id, "another account");
    ensure!(rig.condition("ada-lovelace", "Synced").await?.1 == "Adopted");
    let account = simulator.user_by_name("ada@example.com").expect("there");
    ensure!(
        account["active"] == true
            && account["externalId"] == "scim-operator:identity/scim:identity/ada-lovelace",
        "{account}"
    );
    ensure!(
        writes_since(&proxy, 0) == ["POST", "PATCH", "PATCH"],
        "{:?}",
        writes_since(&proxy, 0)
    );

    // Retained under another userName, it is taken over by its id.
    rig.edit("ada-lovelace", json!({"deletionPolicy": "Retain"}))
        .await?;
    rig.settled("ada-lovelace").await?;
    rig.delete("ada-lovelace").await?;
    let mut spec = person("countess@example.com");
    spec["adopt"] = json!({"id": id});
    rig.declare("countess", spec).await?;
    rig.settled("countess").await?;
    ensure!(simulator.users().len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_another_endpoint_is_nobodys_and_comes_back_with_its_endpoint() -> Result<()> {
    let Scene {
        rig,
        simulator: first,
        proxy,
    } = scene(json!({})).await?;
    rig.declare("ada", person("ada@example.com")).await?;
    let id = rig
        .settled("ada")
        .await?
        .status
        .and_then(|s| s.id)
        .unwrap_or_default();
    // A stranger of the same id, as with servers that number their accounts.
    let second = simulator().await?;
    let stranger = json!({"userName": "stranger@example.com", "active": true, "name": {"givenName": "A", "familyName": "Stranger"}});
    ensure!(
        second.insert_user(stranger) == id,
        "the simulators number their accounts differently"
    );
    let elsewhere = RecordingProxy::start(&second.base_url()).await?;
    change_connection(&rig, json!({"endpoint": elsewhere.url()})).await?;
    wait::eventually("ada to have an account there", DEADLINE, async || {
        let user = rig.users().get("ada").await?;
        let now = user.status.unwrap_or_default();
        if now.id.as_ref() == Some(&id) {
            anyhow::bail!("{:?}", now.conditions);
        }
        Ok(Some(()))
    })
    .await?;
    rig.settled("ada").await?;
    ensure!(
        writes_since(&elsewhere, 0) == ["POST"],
        "{:?}",
        writes_since(&elsewhere, 0)
    );
    ensure!(second.user(&id).expect("there")["userName"] == "stranger@example.com");

    // Back again, the mark finds the first account.
    let mark = proxy.mark();
    change_connection(&rig, json!({"endpoint": proxy.url()})).await?;
    wait::eventually(
        "ada to have her first account again",
        DEADLINE,
        async || {
            let user = rig.users().get("ada").await?;
            Ok((user.status.and_then(|s| s.id).as_ref() == Some(&id)).then_some(()))
        },
    )
    .await?;
    ensure!(writes_since(&proxy, mark).is_empty() && first.users().len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r01_also_with_an_external_id_of_ones_own_and_for_a_user_deleted_meanwhile() -> Result<()> {
    let Scene {
        mut rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    for (name, stays) in [("ada", true), ("bob", false)] {
        let mut held = proxy.hold_reply_after_commit(Matcher::new(Method::POST, "/Users"));
        let mut spec = person(&format!("{name}@example.com"));
        spec["externalId"] = json!(format!("hr-{name}"));
        rig.declare(name, spec).await?;
        held.committed().await?;
        rig.operator.kill9()?;
        held.release();
        if !stays {
            rig.users().delete(name, &DeleteParams::default()).await?;
        }
        rig.restart().await?;
        if stays {
            rig.settled(name).await?;
        } else {
            wait::wait_for_absence(rig.users(), name, DEADLINE).await?;
        }
        let account = simulator
            .user_by_name(&format!("{name}@example.com"))
            .expect("created");
        ensure!(account["active"] == stays, "{name}: {account}");
    }
    ensure!(
        writes_since(&proxy, 0) == ["POST", "POST", "PATCH"],
        "{:?}",
        writes_since(&proxy, 0)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_given_up_goes_to_whoever_waits_for_it() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    for name in ["ada", "bob"] {
        rig.declare(name, person(&format!("{name}@example.com")))
            .await?;
        rig.settled(name).await?;
    }
    let renamed = |to: &str| json!({"userName": to, "emails": [{"type": "work", "value": to, "primary": true}]});
    // Declared in Git in one commit, seen in the order that hurts.
    let bobs = "bob@example.com";
    let mut held =
        proxy.hold_reply_after_commit(Matcher::new(Method::PATCH, "/Users").containing("robert"));
    rig.edit("bob", renamed("robert@example.com")).await?;
    held.committed().await?;
    drop(held);
    rig.edit("ada", renamed(bobs)).await?;
    rig.settled("ada").await?;
    rig.settled("bob").await?;
    let names: Vec<Value> = simulator
        .users()
        .iter()
        .map(|u| u["userName"].clone())
        .collect();
    ensure!(
        names.contains(&json!(bobs)) && names.contains(&json!("robert@example.com")),
        "{names:?}"
    );

    // Taken while ada asks, and let go later: no listing is needed in between.
    rig.edit("ada", renamed("robert@example.com")).await?;
    rig.user_is("ada", "Ready", "False", "Conflict").await?;
    rig.edit("bob", renamed("rob@example.com")).await?;
    rig.settled("bob").await?;
    rig.settled("ada").await?;
    ensure!(simulator.user_by_name("robert@example.com").is_some());
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

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_not_let_in_claims_nobody() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    rig.plane.create_namespace("elsewhere").await?;
    let there: Api<ScimUser> = Api::namespaced(rig.client.clone(), "elsewhere");
    let mut spec = person("ada@example.com");
    spec["connectionRef"]["namespace"] = json!("identity");
    let object = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser", "metadata": {"name": "a"}, "spec": spec});
    there
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?;
    let refused = || {
        wait::wait_for_condition(
            there.clone(),
            "a",
            "Valid",
            "False",
            Some("ConnectionNotAllowed"),
            DEADLINE,
        )
    };
    refused().await?;
    rig.declare("ada", person("ada@example.com")).await?;
    rig.settled("ada").await?;

    // Let in, the older claims the person; shut out again, it does not.
    change_connection(&rig, json!({"allowedNamespaces": {"from": "All"}})).await?;
    rig.user_is("ada", "Valid", "False", "DuplicateUserName")
        .await?;
    change_connection(&rig, json!({"allowedNamespaces": {"from": "Same"}})).await?;
    rig.settled("ada").await?;
    refused().await?;
    ensure!(simulator.users().len() == 1 && proxy.count(&Method::POST, "/Users") == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_tenant_can_write_makes_an_account_its_own() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    rig.declare("ceo", person("ceo@example.com")).await?;
    rig.settled("ceo").await?;
    let old = json!({"userName": "old@example.com", "active": true, "name": {"givenName": "Old", "familyName": "Account"}});
    simulator.insert_user(old);
    rig.sync("listed").await?;
    let mark = proxy.mark();
    // Whoever may write specs and metadata in a namespace that is not even let in.
    rig.plane.create_namespace("elsewhere").await?;
    let there: Api<ScimUser> = Api::namespaced(rig.client.clone(), "elsewhere");
    for (name, user_name, external_id) in [
        (
            "a",
            "x@example.com",
            Some("scim-operator:identity/scim:identity/ceo"),
        ),
        ("b", "old@example.com", None),
        ("c", "ceo@example.com", None),
    ] {
        let mut spec = person(user_name);
        spec["connectionRef"]["namespace"] = json!("identity");
        spec["deletionPolicy"] = json!("Delete");
        if let Some(external_id) = external_id {
            spec["externalId"] = json!(external_id);
        }
        let object = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser", "metadata": {
            "name": name, "finalizers": ["scim-operator.io/deprovision"],
            "annotations": {"scim-operator.io/creating": "true"}
        }, "spec": spec});
        there
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?;
        there.delete(name, &DeleteParams::default()).await?;
        wait::wait_for_absence(there.clone(), name, DEADLINE).await?;
    }
    ensure!(
        writes_since(&proxy, mark).is_empty() && simulator.users().len() == 2,
        "{:?}",
        writes_since(&proxy, mark)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_only_says_it_archived_is_not_believed_while_the_user_lives() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    rig.declare("ada", person("ada@example.com")).await?;
    rig.settled("ada").await?;
    let account = simulator.user_by_name("ada@example.com").expect("there");
    let path = format!("/Users/{}", account["id"].as_str().unwrap_or_default());
    let lie = scim_operator_harness::proxy::Canned::raw(
        200,
        "application/scim+json",
        account.to_string(),
    )?;
    proxy.reply_next(Matcher::new(Method::PATCH, &path), lie);
    rig.edit("ada", json!({"active": false})).await?;
    rig.user_is("ada", "Synced", "False", "RequestFailed")
        .await?;
    rig.user_is("ada", "Archived", "True", "Requested").await?;
    rig.settled("ada").await?;
    ensure!(simulator.user_by_name("ada@example.com").expect("there")["active"] == false);
    ensure!(
        writes_since(&proxy, 0) == ["POST", "PATCH", "PATCH"],
        "{:?}",
        writes_since(&proxy, 0)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_beside_it_keeps_no_leaver_in() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    for name in ["ada", "bob"] {
        rig.declare(name, person(&format!("{name}@example.com")))
            .await?;
        rig.settled(name).await?;
    }
    let active = |name: &str| {
        let account = simulator.user_by_name(&format!("{name}@example.com"));
        account.expect("there")["active"].clone()
    };
    // A rename onto a name that is taken, and archived in the same commit.
    simulator.insert_user(json!({"userName": "taken@example.com", "active": true}));
    rig.edit(
        "ada",
        json!({"userName": "taken@example.com", "active": false}),
    )
    .await?;
    rig.user_is("ada", "Ready", "False", "Conflict").await?;
    ensure!(active("ada") == false, "the conflict kept her in");
    ensure!(rig.condition("ada", "Archived").await?.1 == "Requested");

    // A spec that breaks a rule, and is archived in the same commit.
    let mark = proxy.mark();
    rig.edit(
        "bob",
        json!({"preferredLanguage": "en-XX", "active": false}),
    )
    .await?;
    rig.user_is("bob", "Valid", "False", "SpecInvalid").await?;
    rig.user_is("bob", "Archived", "True", "Requested").await?;
    ensure!(active("bob") == false, "the invalid language kept him in");
    ensure!(writes_since(&proxy, mark) == ["PATCH"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaver_is_let_go_only_on_good_evidence() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    for name in ["ada", "bob", "eve"] {
        rig.declare(name, person(&format!("{name}@example.com")))
            .await?;
        rig.settled(name).await?;
    }
    let account = |name: &str| {
        simulator
            .user_by_name(&format!("{name}@example.com"))
            .expect("there")
    };
    // Archived as far as the listing knows, and reactivated by somebody since.
    rig.edit("ada", json!({"active": false})).await?;
    rig.user_is("ada", "Archived", "True", "Requested").await?;
    let id = account("ada")["id"].as_str().unwrap_or_default().to_owned();
    simulator.set_active(&id, true);
    rig.delete("ada").await?;
    ensure!(account("ada")["active"] == false, "reactivated and let go");

    // Imported anew by the backend under another id, our mark still on it.
    let mut bob = account("bob");
    simulator.remove_user(bob["id"].as_str().unwrap_or_default());
    bob.as_object_mut().expect("an object").remove("id");
    simulator.insert_user(bob);
    rig.sync("imported").await?;
    rig.settled("bob").await?;
    rig.delete("bob").await?;
    ensure!(account("bob")["active"] == false);

    // Recorded at another endpoint, and not to be found at this one: a person has to say.
    let second = Simulator::start(SimConfig {
        tokens: vec![TOKEN.into()],
        ..SimConfig::default()
    })
    .await?;
    let elsewhere = RecordingProxy::start(&second.base_url()).await?;
    change_connection(&rig, json!({"endpoint": elsewhere.url(), "mode": "DryRun"})).await?;
    rig.user_is("eve", "Ready", "False", "DryRun").await?;
    rig.users().delete("eve", &DeleteParams::default()).await?;
    change_connection(&rig, json!({"mode": "Enforce"})).await?;
    wait::wait_for_object(
        rig.users(),
        "eve",
        "the deletion to say what it waits for",
        DEADLINE,
        |user: Option<&ScimUser>| {
            user.and_then(|u| u.status.as_ref()).is_some_and(|s| {
                s.conditions
                    .iter()
                    .any(|c| c.message.contains("recorded at another endpoint"))
            })
        },
    )
    .await?;
    change_connection(&rig, json!({"endpoint": proxy.url()})).await?;
    wait::wait_for_absence(rig.users(), "eve", DEADLINE).await?;
    ensure!(account("eve")["active"] == false && second.users().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_is_never_two_peoples() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({"adoption": {"match": ["UserName"]}})).await?;
    simulator
        .faults()
        .update(|f| f.external_id_not_echoed = true);
    rig.declare("john", person("john@example.com")).await?;
    let first = rig.settled("john").await?.status.and_then(|s| s.id);
    // In one commit the first John gets a number, and another John comes: the second is seen first.
    let mut held =
        proxy.hold_reply_after_commit(Matcher::new(Method::PATCH, "/Users").containing("john1"));
    let one = json!({"userName": "john1@example.com", "emails": [{"type": "work", "value": "john1@example.com", "primary": true}]});
    proxy.fail_next(
        Matcher::new(Method::PATCH, "/Users").containing("john1"),
        500,
    )?;
    rig.edit("john", one).await?;
    rig.declare("john-two", person("john@example.com")).await?;
    held.committed().await?;
    held.release();
    rig.settled("john").await?;
    let second = rig.settled("john-two").await?.status.and_then(|s| s.id);
    ensure!(second.is_some() && first != second, "both have {first:?}");
    ensure!(simulator.users().len() == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_with_a_spelling_of_its_own_is_left_to_it() -> Result<()> {
    let Scene {
        mut rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    simulator
        .faults()
        .update(|f| f.canonical_phone_numbers = true);
    rig.declare("ada", person("ada@example.com")).await?;
    rig.settled("ada").await?;
    let (_, reason, message) = rig.condition("ada", "Valid").await?;
    ensure!(
        reason == "AcceptedWithWarnings" && message.contains("phoneNumbers.mobile"),
        "{reason}: {message}"
    );
    let mark = proxy.mark();
    let version = rig.version("ada").await?;
    for stamp in ["one", "two"] {
        rig.sync(stamp).await?;
    }
    rig.operator.terminate(DEADLINE).await?;
    rig.restart().await?;
    rig.operator
        .await_log("every user was looked at", DEADLINE)
        .await?;
    ensure!(
        writes_since(&proxy, mark).is_empty() && rig.version("ada").await? == version,
        "{:?}",
        writes_since(&proxy, mark)
    );
    // Changed outside all the same, it is put right.
    let id = simulator.users()[0]["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    simulator.edit_user(&id, |user| {
        user["phoneNumbers"][0]["value"] = json!("tel:+15550100");
    });
    rig.sync("three").await?;
    rig.user_is("ada", "Synced", "True", "DriftCorrected")
        .await?;
    ensure!(
        writes_since(&proxy, mark).len() <= 2,
        "{:?}",
        writes_since(&proxy, mark)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_mapping_keeps_managers_and_a_mark_that_cannot_change_keeps_nobody_in() -> Result<()>
{
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    rig.declare("boss", person("boss@example.com")).await?;
    rig.settled("boss").await?;
    let mut spec = person("ada@example.com");
    spec["enterprise"]["manager"] = json!({"userRef": {"name": "boss"}});
    rig.declare("ada", spec).await?;
    rig.settled("ada").await?;
    let mark = proxy.mark();
    let mapping = json!([{"attribute": "city", "path": "addresses[type eq \"work\"].locality"}]);
    change_connection(&rig, json!({"attributeMapping": mapping})).await?;
    rig.connection_is("Ready", "True", "Connected").await?;
    rig.sync("mapped").await?;
    rig.settled("ada").await?;
    ensure!(
        writes_since(&proxy, mark).is_empty(),
        "a mapping that concerns nobody wrote {:?}",
        writes_since(&proxy, mark)
    );

    // Taken over from a resource that is gone, and the backend forbids another mark.
    rig.edit("boss", json!({"deletionPolicy": "Retain"}))
        .await?;
    rig.settled("boss").await?;
    rig.delete("boss").await?;
    let account = simulator
        .user_by_name("boss@example.com")
        .expect("retained");
    let path = format!("/Users/{}", account["id"].as_str().unwrap_or_default());
    let lie = scim_operator_harness::proxy::Canned::raw(
        200,
        "application/scim+json",
        account.to_string(),
    )?;
    proxy.reply_next(Matcher::new(Method::PATCH, &path), lie);
    rig.declare("chief", person("boss@example.com")).await?;
    rig.settled("chief").await?;
    ensure!(
        simulator.user_by_name("boss@example.com").expect("there")["externalId"]
            == account["externalId"]
    );
    rig.delete("chief").await?;
    ensure!(
        simulator.user_by_name("boss@example.com").expect("there")["active"] == false,
        "let go with the mark of a resource that is gone"
    );
    Ok(())
}
