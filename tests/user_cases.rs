//! The cases of one user that are not everyday life: invalid, taken, duplicate, managed by another,
//! expired, killed in between, and a thousand at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anyhow::{Result, ensure};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use reqwest::Method;
use scim_operator_harness::proxy::{Canned, Matcher};
use scim_operator_harness::wait;
use serde_json::json;
use support::scene::{Scene, scene};
use support::{DEADLINE, person, writes_since};

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_user_names_every_violation_and_the_backend_never_hears_of_it() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    let mut spec = person("eve@example.com");
    spec["preferredLanguage"] = json!("en-XX");
    spec["name"] = json!({"givenName": "Eve"});
    spec["addresses"] = json!([]);
    spec["displayName"] = json!("Eve");
    rig.declare("eve", spec).await?;
    let user = rig.user_is("eve", "Valid", "False", "SpecInvalid").await?;
    let message = rig.condition("eve", "Valid").await?.2;
    for part in [
        "spec.addresses[work].country is required by the profile CybSafe",
        "spec.name.familyName is required by the profile CybSafe",
        "spec.preferredLanguage is not a language that CybSafe knows; the nearest are en_gb, en, en-us",
        "spec.displayName has no place in the profile CybSafe",
    ] {
        ensure!(message.contains(part), "{part} is missing from: {message}");
    }
    ensure!(
        !message.contains("example.com") && !message.contains("en-XX"),
        "a value is in the message"
    );
    ensure!(
        rig.condition("eve", "Stalled").await?.0 == "True"
            && user.status.and_then(|s| s.id).is_none()
    );
    ensure!(
        proxy.writes().is_empty() && simulator.users().is_empty(),
        "the backend heard of an invalid user"
    );
    rig.edit("eve", json!({"preferredLanguage": "en-us", "displayName": null, "name": {"familyName": "Sample"}, "addresses": [{"type": "work", "country": "us"}]})).await?;
    // As a person, or a pipeline, waits for it.
    rig.plane
        .kubectl(&[
            "wait",
            "--for=condition=Ready",
            "--timeout=60s",
            "scimuser/eve",
            "-n",
            "identity",
        ])
        .await?;
    rig.settled("eve").await?;
    let account = simulator
        .user_by_name("eve@example.com")
        .expect("provisioned");
    ensure!(
        account["preferredLanguage"] == "en-us" && account["addresses"][0]["country"] == "US",
        "{account}"
    );
    let connection = wait::wait_for_object(
        rig.connections(),
        "scim",
        "one provisioned, none invalid",
        DEADLINE,
        |c: Option<&scim_operator::api::ScimConnection>| {
            c.and_then(|c| c.status.as_ref())
                .and_then(|s| s.users)
                .is_some_and(|u| {
                    u.provisioned == 1 && u.invalid == 0 && u.desired == 1 && u.unmanaged == 0
                })
        },
    );
    connection.await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r01_killed_between_post_and_status_write_one_account_remains() -> Result<()> {
    let Scene {
        mut rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    let mut held = proxy.hold_reply_after_commit(Matcher::new(Method::POST, "/Users"));
    rig.declare("ada", person("ada@example.com")).await?;
    held.committed().await?;
    rig.operator.kill9()?;
    held.release();
    ensure!(simulator.users().len() == 1);
    let mark = proxy.mark();
    rig.restart().await?;
    rig.settled("ada").await?;
    ensure!(
        simulator.users().len() == 1 && writes_since(&proxy, mark).is_empty(),
        "{:?}",
        writes_since(&proxy, mark)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r02_a_post_that_failed_though_applied_is_looked_up_first() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    simulator.faults().update(|f| {
        f.fail_next = scim_sim::FailNext {
            n: 1,
            status: 500,
            applied: true,
        }
    });
    rig.declare("ada", person("ada@example.com")).await?;
    rig.settled("ada").await?;
    ensure!(
        simulator.users().len() == 1 && writes_since(&proxy, 0) == ["POST"],
        "{:?}",
        writes_since(&proxy, 0)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r01_also_where_the_backend_does_not_return_external_ids() -> Result<()> {
    let Scene {
        mut rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    simulator
        .faults()
        .update(|f| f.external_id_not_echoed = true);
    // The first account teaches that externalId does not come back; the next create is marked ahead.
    rig.declare("first", person("first@example.com")).await?;
    rig.settled("first").await?;
    let mut held = proxy.hold_reply_after_commit(Matcher::new(Method::POST, "/Users"));
    rig.declare("ada", person("ada@example.com")).await?;
    held.committed().await?;
    rig.operator.kill9()?;
    held.release();
    let mark = proxy.mark();
    rig.restart().await?;
    let user = rig.settled("ada").await?;
    ensure!(
        simulator.users().len() == 2,
        "{} accounts",
        simulator.users().len()
    );
    ensure!(
        !writes_since(&proxy, mark).contains(&"POST".to_owned()),
        "{:?}",
        writes_since(&proxy, mark)
    );
    ensure!(user.status.and_then(|s| s.id).is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r17_a_throttled_backend_is_waited_for_and_gets_no_account_twice() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    simulator.faults().update(|f| {
        f.throttle_next = 2;
        f.throttle_applied = true;
        f.retry_after = Some("1".into());
    });
    for name in ["ada", "bob", "eve"] {
        rig.declare(name, person(&format!("{name}@example.com")))
            .await?;
    }
    for name in ["ada", "bob", "eve"] {
        rig.settled(name).await?;
    }
    let posts = proxy.count(&Method::POST, "/Users");
    ensure!(
        simulator.users().len() == 3 && posts == 3,
        "{} accounts by {posts} POSTs",
        simulator.users().len()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r02_also_where_the_backend_cannot_filter() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    proxy.fail_next(Matcher::new(Method::GET, "/Users"), 400)?;
    simulator.faults().update(|f| {
        f.fail_next = scim_sim::FailNext {
            n: 1,
            status: 500,
            applied: true,
        }
    });
    rig.declare("ada", person("ada@example.com")).await?;
    rig.settled("ada").await?;
    ensure!(
        simulator.users().len() == 1 && writes_since(&proxy, 0) == ["POST"],
        "{:?}",
        writes_since(&proxy, 0)
    );
    ensure!(proxy.clear_faults() == 0, "the filter was never asked for");

    // A mark of one's own choice replaces the default one, on the same account.
    rig.edit("ada", json!({"externalId": "hr-7"})).await?;
    rig.settled("ada").await?;
    ensure!(simulator.user_by_name("ada@example.com").expect("there")["externalId"] == "hr-7");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_only_says_it_archived_keeps_the_resource() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    rig.declare("ada", person("ada@example.com")).await?;
    rig.settled("ada").await?;
    let account = simulator
        .user_by_name("ada@example.com")
        .expect("provisioned");
    let path = format!("/Users/{}", account["id"].as_str().unwrap_or_default());
    let lie = Canned::raw(200, "application/scim+json", account.to_string())?;
    proxy.reply_next(Matcher::new(Method::PATCH, &path), lie);
    rig.delete("ada").await?;
    ensure!(simulator.user_by_name("ada@example.com").expect("archived")["active"] == false);
    ensure!(
        writes_since(&proxy, 0) == ["POST", "PATCH", "PATCH"],
        "{:?}",
        writes_since(&proxy, 0)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r03_existing_accounts_are_taken_over_only_by_policy() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    let existing = |name: &str, mark: serde_json::Value| {
        json!({"userName": name, "externalId": mark, "active": true, "name": {"givenName": "Old", "familyName": "Account"},
            "emails": [{"type": "work", "value": name, "primary": true}], "addresses": [{"type": "work", "country": "GB"}], "preferredLanguage": "en_gb"})
    };
    let id = simulator.insert_user(existing("old@example.com", json!("hr-7")));
    simulator.insert_user(existing(
        "other@example.com",
        json!("scim-operator:another:team/other"),
    ));
    rig.sync("listed").await?;
    rig.declare("old", person("old@example.com")).await?;
    rig.declare("other", person("other@example.com")).await?;
    rig.user_is("old", "Synced", "False", "AdoptionRequired")
        .await?;
    rig.user_is("other", "Synced", "False", "OwnedByOther")
        .await?;
    ensure!(rig.condition("old", "Ready").await?.1 == "Conflict" && proxy.writes().is_empty());

    // Named by id, it is taken over with one PATCH.
    rig.edit("old", json!({"adopt": {"id": id}})).await?;
    rig.user_is("old", "Synced", "True", "Adopted").await?;
    ensure!(
        writes_since(&proxy, 0) == ["PATCH"],
        "{:?}",
        writes_since(&proxy, 0)
    );
    let account = simulator.user(&id).expect("still there");
    ensure!(
        account["externalId"] == "scim-operator:identity/scim:identity/old"
            && account["name"]["givenName"] == "Ada",
        "{account}"
    );

    // Two resources for one person: the older wins, the younger touches nothing (R28).
    rig.declare("twin", person("OLD@example.com")).await?;
    rig.user_is("twin", "Valid", "False", "DuplicateUserName")
        .await?;
    ensure!(writes_since(&proxy, 0) == ["PATCH"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_follow_their_users_and_expired_users_are_archived() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    let mut spec = person("ada@example.com");
    spec["enterprise"]["manager"] = json!({"userRef": {"name": "boss"}});
    rig.declare("ada", spec).await?;
    rig.user_is("ada", "Ready", "False", "Pending").await?;
    rig.declare("boss", person("boss@example.com")).await?;
    rig.settled("ada").await?;
    let boss = simulator
        .user_by_name("boss@example.com")
        .expect("provisioned");
    let ada = simulator
        .user_by_name("ada@example.com")
        .expect("provisioned");
    ensure!(
        ada["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"]["manager"]["value"]
            == boss["id"],
        "{ada}"
    );

    ensure!(
        rig.condition("ada", "Synced").await?.1 == "Updated",
        "a manager known only now is no drift"
    );

    let mark = proxy.mark();
    let until = jiff::Timestamp::now() + std::time::Duration::from_secs(2);
    rig.edit("ada", json!({"validUntil": until.to_string()}))
        .await?;
    rig.user_is("ada", "Archived", "True", "Expired").await?;
    rig.settled("ada").await?;
    ensure!(writes_since(&proxy, mark) == ["PATCH"]);

    // Retain leaves the account; abandon frees a connection that is needed, and a resource without one.
    rig.edit("boss", json!({"deletionPolicy": "Retain"}))
        .await?;
    rig.settled("boss").await?;
    rig.delete("boss").await?;
    ensure!(
        simulator
            .user_by_name("boss@example.com")
            .expect("retained")["active"]
            == true
    );
    let abandon = json!({"metadata": {"annotations": {"scim-operator.io/abandon": "true"}}});
    let (parameters, abandon) = (PatchParams::default(), Patch::Merge(abandon));
    let connections = rig.connections();
    connections.patch("scim", &parameters, &abandon).await?;
    connections.delete("scim", &DeleteParams::default()).await?;
    wait::wait_for_absence(connections, "scim", DEADLINE).await?;
    rig.plane
        .kubectl(&[
            "delete",
            "scimuser",
            "ada",
            "-n",
            "identity",
            "--wait=false",
        ])
        .await?;
    rig.user_is("ada", "Ready", "False", "ConnectionNotReady")
        .await?;
    rig.plane
        .kubectl(&[
            "annotate",
            "scimuser",
            "ada",
            "-n",
            "identity",
            "scim-operator.io/abandon=true",
        ])
        .await?;
    wait::wait_for_absence(rig.users(), "ada", DEADLINE).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_without_patch_gets_a_merged_put() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({"dialect": {"patch": "Disabled"}})).await?;
    rig.declare("ada", person("ada@example.com")).await?;
    let id = rig
        .settled("ada")
        .await?
        .status
        .and_then(|s| s.id)
        .unwrap_or_default();
    simulator.edit_user(&id, |user| user["locale"] = json!("it-IT"));
    let mark = proxy.mark();
    rig.edit("ada", json!({"phoneNumbers": null})).await?;
    rig.settled("ada").await?;
    ensure!(
        writes_since(&proxy, mark) == ["PUT"],
        "{:?}",
        writes_since(&proxy, mark)
    );
    let account = simulator.user(&id).expect("there");
    ensure!(
        account["locale"] == "it-IT" && account["phoneNumbers"].is_null(),
        "{account}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_promises_patch_and_has_none_gets_a_put_as_well() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy: _backend,
    } = scene(json!({"dialect": {"patch": "Enabled"}})).await?;
    rig.declare("ada", person("ada@example.com")).await?;
    rig.settled("ada").await?;
    simulator.faults().update(|f| f.no_patch = Some(501));
    rig.edit("ada", json!({"enterprise": {"department": "Analysis"}}))
        .await?;
    rig.settled("ada").await?;
    rig.delete("ada").await?;
    let account = simulator
        .user_by_name("ada@example.com")
        .expect("archived, not deleted");
    let enterprise = &account["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"];
    ensure!(
        account["active"] == false && enterprise["department"] == "Analysis",
        "{account}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_users_converge_and_a_restart_writes_nothing() -> Result<()> {
    const USERS: usize = 1000;
    let Scene {
        mut rig,
        simulator,
        proxy,
    } = scene(json!({"limits": {"requestsPerSecond": 5000, "maxInFlight": 16}})).await?;
    let items: Vec<serde_json::Value> = (0..USERS)
        .map(|i| json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser", "metadata": {"name": format!("user-{i}"), "namespace": "identity"}, "spec": person(&format!("user-{i}@example.com"))}))
        .collect();
    rig.plane
        .kubectl_with_input(
            &["create", "-f", "-"],
            &json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string(),
        )
        .await?;
    let synced = |list: &[scim_operator::api::ScimUser]| {
        list.iter()
            .filter(|u| {
                u.status.as_ref().is_some_and(|s| {
                    s.conditions
                        .iter()
                        .any(|c| c.type_ == "Ready" && c.status == "True")
                })
            })
            .count()
    };
    wait::eventually("1,000 users to be Ready", DEADLINE * 3, async || {
        let users = rig.users().list(&ListParams::default()).await?.items;
        if synced(&users) < USERS {
            anyhow::bail!("{} of {USERS} are Ready", synced(&users));
        }
        Ok(Some(()))
    })
    .await?;
    ensure!(
        simulator.users().len() == USERS && proxy.count(&Method::POST, "/Users") == USERS,
        "{} POSTs",
        proxy.count(&Method::POST, "/Users")
    );

    let versions = |users: Vec<scim_operator::api::ScimUser>| {
        users
            .into_iter()
            .filter_map(|u| u.metadata.resource_version)
            .collect::<Vec<_>>()
    };
    let before = versions(rig.users().list(&ListParams::default()).await?.items);
    rig.operator.terminate(DEADLINE).await?;
    let mark = proxy.mark();
    rig.restart().await?;
    rig.operator
        .await_log("every user was looked at", DEADLINE)
        .await?;
    rig.sync("after-restart").await?;
    ensure!(
        writes_since(&proxy, mark).is_empty(),
        "{:?}",
        writes_since(&proxy, mark)
    );
    ensure!(
        versions(rig.users().list(&ListParams::default()).await?.items) == before,
        "a restart wrote to users in step"
    );
    Ok(())
}
