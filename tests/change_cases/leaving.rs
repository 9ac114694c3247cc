//! Leavers, and backends that do not do as they say.

use crate::support::scene::{Scene, scene};
use crate::support::{DEADLINE, TOKEN, person, writes_since};
use anyhow::{Result, ensure};
use kube::api::DeleteParams;
use reqwest::Method;
use scim_operator::api::ScimUser;
use scim_operator_harness::proxy::Matcher;
use scim_operator_harness::{RecordingProxy, wait};
use scim_sim::{SimConfig, Simulator};
use serde_json::json;

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
    rig.edit_connection(json!({"endpoint": elsewhere.url(), "mode": "DryRun"}))
        .await?;
    rig.user_is("eve", "Ready", "False", "DryRun").await?;
    rig.users().delete("eve", &DeleteParams::default()).await?;
    rig.edit_connection(json!({"mode": "Enforce"})).await?;
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
    rig.edit_connection(json!({"endpoint": proxy.url()}))
        .await?;
    wait::wait_for_absence(rig.users(), "eve", DEADLINE).await?;
    ensure!(account("eve")["active"] == false && second.users().is_empty());
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
    let before = rig.users().get("ada").await?;
    for stamp in ["one", "two"] {
        rig.sync(stamp).await?;
    }
    rig.operator.terminate(DEADLINE).await?;
    rig.restart().await?;
    rig.operator
        .await_log("every user was looked at", DEADLINE)
        .await?;
    let after = rig.users().get("ada").await?;
    ensure!(
        writes_since(&proxy, mark).is_empty()
            && after.metadata.resource_version == before.metadata.resource_version,
        "{:?}\n{:?}\n{:?}",
        writes_since(&proxy, mark),
        before.status,
        after.status
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
    rig.edit_connection(json!({"attributeMapping": mapping}))
        .await?;
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
